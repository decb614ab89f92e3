//! One running node.

pub mod backup;
pub mod boot;
pub mod calls;
pub mod chores;
pub mod cluster_fabric;
mod cluster_state;
pub mod config;
pub mod config_error;
pub mod deploy;
pub mod deploys;
mod disk_and_net;
pub mod endings;
pub mod fabric;
pub mod guest_lines;
pub mod guests;
pub mod http;
pub mod limits;
pub mod loads;
pub mod metrics;
pub mod node_server;
pub mod observe;
pub mod outgoing;
mod peer;
pub mod problem;
mod readings;
pub mod repair;
pub mod restore;
pub mod serving;
pub mod state;
mod tls;
pub mod view;
pub mod weigh;

pub use boot::run;
pub use node_server::NodeServer;
