//! One running node.

pub mod calls;
pub mod config;
pub mod config_error;
pub mod fabric;
pub mod guests;
pub mod limits;
pub mod loads;
pub mod metrics;
pub mod problem;
pub mod view;

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
