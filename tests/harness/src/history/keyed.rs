//! The operations on many objects of one kind: what one client did to one key says nothing about another key, so each is judged alone.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::linearize::linearize;
use super::model::{Model, Operation};

/// Operations by key.
#[derive(Debug)]
pub struct History<M: Model> {
    keys: BTreeMap<String, Vec<Operation<M>>>,
}

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self { keys: BTreeMap::new() }
    }
}

impl<M: Model> History<M> {
    /// Takes note of an operation.
    pub fn note(&mut self, key: &str, operation: Operation<M>) {
        match self.keys.get_mut(key) {
            Some(operations) => operations.push(operation),
            None => drop(self.keys.insert(key.to_owned(), vec![operation])),
        }
    }

    /// Adds what another client has noted.
    pub fn join(&mut self, other: Self) {
        for (key, operations) in other.keys {
            self.keys.entry(key).or_default().extend(operations);
        }
    }

    /// The keys that were used.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// All operations.
    pub fn operations(&self) -> impl Iterator<Item = &Operation<M>> {
        self.keys.values().flatten()
    }

    /// Whether every key's operations have an order.
    ///
    /// # Errors
    /// The first key whose operations have none, and where the longest try ended.
    pub fn verdict(&self) -> Result<()> {
        for (key, operations) in &self.keys {
            if let Err(refuted) = linearize(operations) {
                bail!("key {key:?}: {refuted}");
            }
        }
        Ok(())
    }
}
