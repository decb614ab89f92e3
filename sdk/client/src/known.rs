//! What all calls of a client share: what was learned of the cluster, and who cannot be reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::address::Address;
use crate::candidates::Rests;
use crate::directory::{Directory, MapError};
use crate::owners::Owners;

/// How often at most the shard map is read without being asked for: a large one has megabytes, and each reply tells a part of it.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What was learned.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) owners: Owners,
    pub(crate) rests: Rests,
}

/// What was learned, for all to read and to add to. Nobody holds it for longer than a look-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Known>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        // Each change is whole in itself; one that panicked has left a part of it, and that is no lie.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the shard map again when something does not fit it, in the background: no call waits for it.
#[derive(Debug)]
pub(crate) struct MapReader {
    directory: Directory,
    known: Shared,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// The task that reads, if there is one; it ends with the client.
    tasks: JoinSet<()>,
    began: Option<Instant>,
}

impl MapReader {
    pub(crate) fn new(directory: Directory, known: Shared) -> MapReader {
        MapReader { directory, known, running: Mutex::default() }
    }

    /// Reads the map now.
    ///
    /// # Errors
    /// If no node gives it.
    pub(crate) async fn read(&self) -> Result<(), MapError> {
        read(&self.directory, &self.known).await
    }

    /// Has the map read, unless that was done a short while ago.
    pub(crate) fn read_soon(&self, now: Instant) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.tasks.try_join_next().is_some() {}
        let fresh = running.began.is_some_and(|began| now < began + READ_AGAIN_AFTER);
        if fresh || !running.tasks.is_empty() {
            return;
        }
        running.began = Some(now);
        let (directory, known) = (self.directory.clone(), self.known.clone());
        running.tasks.spawn(async move {
            // Calls go on without it, and the next thing that does not fit asks again.
            let _ = read(&directory, &known).await;
        });
    }
}

async fn read(directory: &Directory, known: &Shared) -> Result<(), MapError> {
    let lists = directory.read().await?;
    lists.note(&mut known.lock().owners);
    Ok(())
}

/// Where calls may go: what was given and what was learned.
pub(crate) fn all<'a>(given: &'a [Address], owners: &'a Owners) -> Vec<&'a Address> {
    given.iter().chain(owners.addresses()).collect()
}
