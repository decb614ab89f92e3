//! Which workloads are being deployed through this node: each by one at a time.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::problem::{Code, Problem};

/// The names that are being deployed through this node.
#[derive(Debug, Default)]
pub struct Deploys(Mutex<BTreeSet<String>>);

/// One of them, until it is dropped.
pub(super) struct UnderWay<'a> {
    deploys: &'a Deploys,
    name: String,
}

impl Deploys {
    /// Begins a deploy.
    ///
    /// # Errors
    /// One of that name is under way.
    pub(super) fn begin(&self, name: &str) -> Result<UnderWay<'_>, Problem> {
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
            return Err(Problem::new(Code::DeployConflict, format!("a deploy of {name} is under way")));
        }
        Ok(UnderWay { deploys: self, name: name.to_owned() })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.deploys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}
