//! A node's server towards clients: its listener and the bounds of its connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::sync::Semaphore;

use super::connection::{self, Carrier};
use super::routes::routes;
use crate::server::NodeServer;

impl NodeServer {
    /// Answers clients until [`NodeServer::finish`] is called and the last connection has ended.
    ///
    /// # Cancel safety
    /// Dropping the future cuts all connections off.
    pub async fn serve<L: Listener<Addr = SocketAddr>>(self: &Arc<Self>, listener: L, carrier: Carrier) {
        let routes = routes(Arc::clone(self));
        connection::serve(listener, routes, self.bounds(carrier), self.endings.clone()).await;
    }

    fn bounds(&self, carrier: Carrier) -> connection::Bounds {
        let key_encoded_bytes = self.limits.key_bytes_max.saturating_mul(3);
        let head_bytes = self.limits.header_bytes_max.saturating_add(key_encoded_bytes);
        connection::Bounds {
            connections: usize::try_from(self.limits.connections_max).unwrap_or(Semaphore::MAX_PERMITS),
            head_bytes: usize::try_from(head_bytes).unwrap_or(usize::MAX),
            head_wait: Duration::from_millis(self.timings.header_read_ms),
            open: self.metrics.connections.clone(),
            carrier,
        }
    }
}
