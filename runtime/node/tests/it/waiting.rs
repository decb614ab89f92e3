//! Waiting for what happens by itself.

use std::time::Duration;

use tokio::time::Instant;

/// Waits until it is so, and says what was waited for if it never is.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
