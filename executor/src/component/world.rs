//! Clocks and random numbers of components.
//!
//! Always holds: under a virtual clock nobody waits in earnest: asking for a wait moves the clock
//! by it; random bytes are within the guest's limit. Deliberately absent: where either comes from,
//! which `wasi.rs` decides for modules and components alike.

use crate::{guest::GuestState, host::random::STEP_BYTES};
use wasmtime::{bail, component::Resource};
use wasmtime_wasi::{
    clocks::WasiClocksView as _,
    p2::{
        DynPollable,
        bindings::{
            clocks::monotonic_clock::{Duration, Host as Clock, Instant},
            random::{insecure, random},
        },
    },
    random::WasiRandomView as _,
};

/// Random bytes of one call, which the host makes without yielding: five milliseconds' worth.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// What a random byte costs beside its moving, in units of fuel: as much as in preview 1.
const RANDOM_BYTE_EXTRA: u64 = 9;

impl Clock for GuestState {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        Clock::now(&mut self.wasi.clocks())
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        Clock::resolution(&mut self.wasi.clocks())
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        let Some(clock) = &self.clock else {
            return self.wasi.clocks().subscribe_instant(when);
        };
        clock.waited(when.saturating_sub(clock.nanos()));
        self.wasi.clocks().subscribe_duration(0)
    }

    fn subscribe_duration(&mut self, wait: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let Some(clock) = &self.clock else {
            return self.wasi.clocks().subscribe_duration(wait);
        };
        clock.waited(wait);
        self.wasi.clocks().subscribe_duration(0)
    }
}

impl GuestState {
    fn draw(&mut self, bytes: u64) -> wasmtime::Result<()> {
        if bytes > RANDOM_BYTES_MAX {
            bail!("it asked for {bytes} random bytes; one call gives {RANDOM_BYTES_MAX} at most");
        }
        self.random.take(bytes)?;
        self.meter.touched(bytes.saturating_mul(1 + RANDOM_BYTE_EXTRA));
        Ok(())
    }
}

/// The lengths of the steps in which `bytes` are made.
fn steps(bytes: u64) -> impl Iterator<Item = u64> {
    let step = STEP_BYTES as u64;
    (0..bytes).step_by(STEP_BYTES).map(move |start| step.min(bytes - start))
}

impl random::Host for GuestState {
    fn get_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.draw(bytes)?;
        let mut all = Vec::new();
        for step in steps(bytes) {
            all.extend(random::Host::get_random_bytes(self.wasi.random(), step)?);
        }
        Ok(all)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.draw(8)?;
        random::Host::get_random_u64(self.wasi.random())
    }
}

impl insecure::Host for GuestState {
    fn get_insecure_random_bytes(&mut self, bytes: u64) -> wasmtime::Result<Vec<u8>> {
        self.draw(bytes)?;
        let mut all = Vec::new();
        for step in steps(bytes) {
            all.extend(insecure::Host::get_insecure_random_bytes(self.wasi.random(), step)?);
        }
        Ok(all)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.draw(8)?;
        insecure::Host::get_insecure_random_u64(self.wasi.random())
    }
}
