//! What an instance may take of the host's memory, counted over everything in it.

use wasmtime::{ResourceLimiter, Store};

use crate::limits::Limits;
use crate::stop::LimitHit;

/// Counts and bounds the memories and tables of one store.
///
/// A growth that was allowed counts even where the system then has no memory for it: taking it back would let a guest
/// that fails on purpose lower its count.
#[derive(Debug)]
pub(crate) struct Bounds {
    memory_bytes_max: u64,
    table_elements_max: u32,
    instances_max: u32,
    tables_max: u32,
    memory_bytes: u64,
    table_elements: u64,
    /// The limit that the guest met last. It is told of it and may go on; if it traps, this is why.
    hit: Option<LimitHit>,
}

/// What wasmtime itself counts, for each call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallBounds {
    /// Bytes that the guest may hand to the host at once.
    pub(crate) hand_over_bytes: usize,
    /// Live component-model handles.
    pub(crate) handles: usize,
}

impl Bounds {
    pub(crate) fn new(limits: &Limits) -> Bounds {
        Bounds {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: limits.table_elements,
            instances_max: limits.instances,
            tables_max: limits.tables,
            memory_bytes: 0,
            table_elements: 0,
            hit: None,
        }
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(crate) fn forget_hit(&mut self) {
        self.hit = None;
    }

    pub(crate) fn hit(&self) -> Option<LimitHit> {
        self.hit
    }
}

impl CallBounds {
    /// Sets what wasmtime itself counts.
    pub(crate) fn apply<T>(self, store: &mut Store<T>) {
        store.set_hostcall_fuel(self.hand_over_bytes);
        store.set_max_component_handles(self.handles);
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current) as u64;
        if self.memory_bytes.saturating_add(growth) > self.memory_bytes_max {
            self.hit = Some(LimitHit::Memory(self.memory_bytes_max));
            return Ok(false);
        }
        self.memory_bytes += growth;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current) as u64;
        if self.table_elements.saturating_add(growth) > u64::from(self.table_elements_max) {
            self.hit = Some(LimitHit::Tables(self.table_elements_max));
            return Ok(false);
        }
        self.table_elements += growth;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances_max as usize
    }

    fn tables(&self) -> usize {
        self.tables_max as usize
    }

    fn memories(&self) -> usize {
        self.tables_max as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_bounded_together() {
        let mut bounds = Bounds::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        assert!(!bounds.memory_growing(0, 60, None).unwrap());
        assert_eq!(bounds.hit(), Some(LimitHit::Memory(100)));
        assert!(!bounds.memory_growing(60, 90, Some(80)).unwrap());
        assert!(bounds.memory_growing(60, 100, None).unwrap());
        assert_eq!(bounds.memory_bytes(), 100);
    }
}
