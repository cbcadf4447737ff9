//! The memory of one guest: what it holds, and what it was refused.
//!
//! Always holds: memories and tables together stay within the limit. A refusal is remembered, so
//! that a guest which then dies of whatever follows (an abort, a null pointer) is reported as what
//! it is: out of memory. What the host holds on the guest's behalf for as long as the guest likes
//! (open files, its result, a directory's listing) counts too; what it holds during one call has
//! bounds of its own in `host/`.

use wasmtime::ResourceLimiter;

/// What wasmtime sets aside for each element of a table.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// What the host holds for each open file of a guest: entries in two tables, and the kernel's own
/// record of it and of its name.
pub(crate) const HANDLE_BYTES: u64 = 1 << 10;

/// Instances of one guest. A module is one; a component has some of its own, and each of them costs
/// the host some kilobytes.
const INSTANCES_MAX: usize = 100;

/// Counts the bytes of a guest's memories and tables.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: u64,
    held: u64,
    peak: u64,
    /// The last growth that was granted, to take back should the machine not carry it out.
    granted: u64,
    refused: Option<u64>,
}

impl Limiter {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, held: 0, peak: 0, granted: 0, refused: None }
    }

    /// The most that was held at once, in bytes.
    pub(crate) const fn peak(&self) -> u64 {
        self.peak
    }

    /// What the guest would have held, in bytes, had its last refused request been granted.
    pub(crate) const fn refused(&self) -> Option<u64> {
        self.refused
    }

    /// Takes memory of the host's for the guest, until it is released. Gives false if the limit
    /// does not allow it.
    pub(crate) fn hold(&mut self, bytes: u64) -> bool {
        self.grow(bytes, false)
    }

    /// Gives back what was held.
    pub(crate) const fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    fn grow(&mut self, bytes: u64, beyond_its_own_maximum: bool) -> bool {
        self.granted = 0;
        let asked = self.held.saturating_add(bytes);
        if asked > self.limit {
            self.refused = Some(asked);
            return false;
        }
        if beyond_its_own_maximum {
            return false;
        }
        self.granted = bytes;
        self.held = asked;
        self.peak = self.peak.max(asked);
        true
    }

    fn take_back(&mut self) {
        self.held -= self.granted;
        self.granted = 0;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = (desired - current) as u64;
        Ok(self.grow(bytes, maximum.is_some_and(|maximum| desired > maximum)))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "memory could not grow");
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = ((desired - current) as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.grow(bytes, maximum.is_some_and(|maximum| desired > maximum)))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "a table could not grow");
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limiter = Limiter::new(2 * PAGE as u64);
        assert!(limiter.memory_growing(0, PAGE, None).expect("an answer"));
        assert!(limiter.table_growing(0, PAGE / 8, None).expect("an answer"));
        assert_eq!(limiter.refused(), None);
        assert!(!limiter.table_growing(PAGE / 8, PAGE / 8 + 1, None).expect("an answer"));
        assert_eq!(limiter.refused(), Some(2 * PAGE as u64 + 8));
        assert_eq!(limiter.peak(), 2 * PAGE as u64);
    }

    #[test]
    fn what_the_host_holds_for_the_guest_counts_until_it_is_released() {
        let mut limiter = Limiter::new(PAGE as u64);
        assert!(limiter.hold(1));
        assert!(!limiter.memory_growing(0, PAGE, None).expect("an answer"));
        limiter.release(1);
        assert!(limiter.memory_growing(0, PAGE, None).expect("an answer"));
        assert!(!limiter.hold(1));
    }

    #[test]
    fn what_the_machine_did_not_give_is_not_held() {
        let mut limiter = Limiter::new(2 * PAGE as u64);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).expect("an answer"));
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).expect("an answer");
        assert!(limiter.memory_growing(0, 2 * PAGE, None).expect("an answer"));
    }

    #[test]
    fn a_modules_own_maximum_is_no_refusal_of_ours() {
        let mut limiter = Limiter::new(9 * PAGE as u64);
        assert!(!limiter.memory_growing(PAGE, 3 * PAGE, Some(2 * PAGE)).expect("an answer"));
        assert_eq!(limiter.refused(), None);
    }
}
