//! The protocol in small worlds, in whole clusters, and with each of its rules left out.

mod broken_rules;
mod clusters;
mod repair;
mod scale;
mod terms;
mod worlds;
