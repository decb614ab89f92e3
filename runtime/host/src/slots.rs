//! How many instances the process may hold: the kernel bounds the mappings of a process, and each instance takes some.
//!
//! At that bound not the guest but the next allocation or thread of the node would fail, and end it. So instances are
//! counted over all hosts of the process, and refused well before.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mappings reckoned per instance: 4.5 to 6.5 were measured for guests in C and Rust; the rest is the node's own.
const MAPPINGS_PER_INSTANCE: usize = 10;

/// What Linux allows a process unless told otherwise.
const MAPPINGS_MAX_DEFAULT: usize = 65_530;

/// The places of this process.
static PLACES: Places = Places(AtomicUsize::new(0));

/// How many places are taken.
#[derive(Debug)]
struct Places(AtomicUsize);

/// The most handler instances that this process may hold at once, by the kernel's `vm.max_map_count`.
///
/// Whoever keeps instances warm should evict before it; beyond it none is made.
pub fn instances_max() -> usize {
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let mappings_max = told.and_then(|text| text.trim().parse().ok()).unwrap_or(MAPPINGS_MAX_DEFAULT);
        (mappings_max / MAPPINGS_PER_INSTANCE).max(1)
    })
}

/// The place of one instance, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(&'static Places);

impl Slot {
    /// Takes a place; none where the process is full.
    pub(crate) fn take() -> Option<Slot> {
        PLACES.take(instances_max())
    }
}

impl Places {
    fn take(&'static self, max: usize) -> Option<Slot> {
        let one_more = |taken: usize| (taken < max).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Slot(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_process_gives_no_place_until_one_is_given_back() {
        static PLACES: Places = Places(AtomicUsize::new(0));
        let slots: Vec<Slot> = std::iter::from_fn(|| PLACES.take(3)).collect();
        assert_eq!(slots.len(), 3);
        drop(slots);
        assert!(PLACES.take(1).is_some());
    }
}
