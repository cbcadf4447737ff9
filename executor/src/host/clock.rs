//! Clocks that are not the machine's: one that stands still, and one that the guest's work moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// A clock that a guest's own work and waits move.
///
/// Always holds: it never goes back; a unit of fuel moves it by a nanosecond. It is set at each
/// host call, which is the only place where a guest can look.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    start: Duration,
    worked_nanos: AtomicU64,
    waited_nanos: AtomicU64,
}

impl VirtualClock {
    pub(crate) fn new(start: Duration) -> Arc<Self> {
        Arc::new(Self { start, worked_nanos: AtomicU64::new(0), waited_nanos: AtomicU64::new(0) })
    }

    /// The guest has used so much fuel in all.
    pub(crate) fn worked(&self, fuel: u64) {
        self.worked_nanos.store(fuel, Ordering::Relaxed);
    }

    /// The guest has waited for so long, or would have.
    pub(crate) fn waited(&self, nanos: u64) {
        let before = self.waited_nanos.load(Ordering::Relaxed);
        self.waited_nanos.store(before.saturating_add(nanos), Ordering::Relaxed);
    }

    /// Nanoseconds since the guest's first instruction.
    pub(crate) fn nanos(&self) -> u64 {
        let worked = self.worked_nanos.load(Ordering::Relaxed);
        worked.saturating_add(self.waited_nanos.load(Ordering::Relaxed))
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn wall_nanos(&self) -> u64 {
        let start = u64::try_from(self.start.as_nanos()).unwrap_or(u64::MAX);
        start.saturating_add(self.nanos())
    }
}

/// A guest's handle on its virtual clock.
#[derive(Clone, Debug)]
pub(crate) struct Hands(pub(crate) Arc<VirtualClock>);

impl HostWallClock for Hands {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.wall_nanos())
    }
}

impl HostMonotonicClock for Hands {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        self.0.nanos()
    }
}

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedClock(pub(crate) Duration);

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_waits_move_a_virtual_clock() {
        let clock = VirtualClock::new(Duration::from_secs(1));
        clock.worked(500);
        clock.waited(1_000);
        clock.waited(1_000);
        let hands = Hands(clock);
        assert_eq!(HostMonotonicClock::now(&hands), 2_500);
        assert_eq!(HostWallClock::now(&hands), Duration::from_nanos(1_000_002_500));
    }
}
