//! Says, to whoever runs the node, that it has come upon what only a newer build can read.

use tokio::sync::watch;

use super::NewerBuild;

/// Whether this build has come upon what it cannot read: it must end then, since it can neither skip that nor go on without it.
#[derive(Debug, Default)]
pub struct Outdated {
    found: watch::Sender<Option<NewerBuild>>,
}

impl Outdated {
    /// Notes what it has come upon; the first counts.
    pub fn note(&self, newer: NewerBuild) {
        self.found.send_if_modified(|found| {
            let first = found.is_none();
            found.get_or_insert(newer);
            first
        });
    }

    /// What it has come upon, if anything.
    pub fn found(&self) -> Option<NewerBuild> {
        self.found.borrow().clone()
    }

    /// Waits until it has come upon something.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn wait(&self) -> NewerBuild {
        let mut found = self.found.subscribe();
        let newer = found.wait_for(Option::is_some).await.ok().and_then(|newer| newer.clone());
        match newer {
            Some(newer) => newer,
            // The sender lives as long as `self`.
            None => std::future::pending().await,
        }
    }
}
