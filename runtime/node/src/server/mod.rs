//! One running node.

pub mod calls;
pub mod boot;
pub mod chores;
pub mod cluster_fabric;
pub mod config;
pub mod config_error;
pub mod deploy;
pub mod fabric;
pub mod guests;
pub mod http;
pub mod limits;
pub mod loads;
pub mod metrics;
pub mod node_server;
mod peer;
pub mod problem;
mod tls;
pub mod view;
pub mod weigh;

pub use node_server::NodeServer;

use tokio_util::sync::CancellationToken;

use config::NodeConfig;

/// Runs a node until it is told to end.
///
/// # Errors
/// If the node cannot start, or must end because a promise could no longer be kept.
pub async fn run(config: NodeConfig, shutdown: CancellationToken) -> Result<(), anyhow::Error> {
    config.validate()?;
    shutdown.cancelled().await;
    Ok(())
}
