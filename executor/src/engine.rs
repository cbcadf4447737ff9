//! The engine's settings, stated once: what compiles a module and what runs it agree by
//! construction.
//!
//! Owns every number that wasmtime is told. Always holds: all engines share [`settings`], which
//! decide the compiled code, so that one artifact loads in each of them; they differ only in how
//! they allocate, in the Wasm stack, and in whether they can compile. What NaNs look like is the
//! compiler's matter alone: the code of both kinds loads everywhere. Deliberately absent: what a
//! single guest may use (`guest.rs`), and epochs, which would cost as much again as fuel does.

use sha2::{Digest as _, Sha256};
use skep_protocol::{
    Nans,
    bounds::{BACKTRACE_FRAMES_MAX, STACK_BYTES_MAX},
    task::Diagnostics,
};
use std::{
    hash::{Hash as _, Hasher},
    num::NonZeroUsize,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, OptLevel,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

/// The largest memory of a guest that runs in the pool. It also bounds how long one `memory.fill`,
/// which cannot be interrupted, keeps a worker thread: tens of milliseconds.
pub(crate) const SLOT_BYTES: u64 = 256 << 20;
/// Elements of the one table that a guest in the pool may have; compiled C and Rust need one each
/// for every function whose address is taken.
const SLOT_TABLE_ELEMENTS: usize = 20_000;
/// Core instances and tables of a component in the pool. One that was made of a module by the usual
/// adapter has four and two: the program, the adapter, and two small ones that tie their knot; and
/// one memory, like all that is not composed of several programs.
const COMPONENT_INSTANCES: u32 = 8;
const COMPONENT_TABLES: u32 = 2;
/// Bytes of wasmtime's own record of an instance: about thirty per function, global and import.
const SLOT_INSTANCE_BYTES: usize = 256 << 10;
/// Memory that an idle slot may keep, so that the next guest finds its pages in place. A thousand
/// idle slots hold 64 MiB at most.
const SLOT_BYTES_KEPT: usize = 64 << 10;
/// Idle slots that stay mapped for the module they ran last.
const WARM_SLOTS_MAX: u32 = 100;

/// The address space of one memory. All that a 32-bit address reaches, so that the compiled code
/// needs no bounds checks: the guard pages behind it are the check.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;
const MEMORY_GUARD_BYTES: u64 = 32 << 20;
/// A guest's stack with that of the host functions it calls: these need 512 KiB of their own.
const FIBER_STACK_BYTES: usize = 1 << 20;
const _: () = assert!(STACK_BYTES_MAX as usize + (512 << 10) <= FIBER_STACK_BYTES);

/// What a deterministic run's fuel, output and end depend on besides its inputs: the semantics and
/// the cost table of the engine, and the prices of host calls. To be changed with any of them.
pub(crate) const COSTS: &str = "wasmtime 48, skep costs 1";

/// Fuel for each page that `memory.grow` asks for, which otherwise costs 1 however large it is.
const FUEL_PER_GROWN_PAGE: u8 = 200;

/// An engine that compiles and never runs.
pub(crate) fn compiling(nans: Nans) -> wasmtime::Result<Engine> {
    let mut config = settings();
    config.cranelift_nan_canonicalization(nans == Nans::Canonical);
    Engine::new(&config)
}

/// An engine that runs guests in a pool of `slots` that are set up beforehand.
pub(crate) fn pooled(slots: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots.saturating_mul(COMPONENT_INSTANCES))
        .total_component_instances(slots)
        .max_core_instances_per_component(COMPONENT_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(COMPONENT_TABLES)
        .max_component_instance_size(SLOT_INSTANCE_BYTES)
        .total_memories(slots)
        .total_tables(slots.saturating_mul(COMPONENT_TABLES))
        .total_stacks(slots)
        .total_gc_heaps(0)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .max_memory_size(usize::try_from(SLOT_BYTES).expect("256 MiB fit an address"))
        .table_elements(SLOT_TABLE_ELEMENTS)
        .max_core_instance_size(SLOT_INSTANCE_BYTES)
        .linear_memory_keep_resident(SLOT_BYTES_KEPT)
        .table_keep_resident(SLOT_BYTES_KEPT)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .pagemap_scan(Enabled::Auto)
        // At once: what ended guests had is memory that the next tasks were promised.
        .decommit_batch_size(1);
    let mut config = settings();
    config.enable_compiler(false).allocation_strategy(pool);
    Engine::new(&config)
}

/// An engine that runs guests of any size, and maps what each needs when it starts. If they are to
/// leave core dumps, each of their traps takes note of all they have.
pub(crate) fn on_demand(stack_bytes: usize, diagnostics: Diagnostics) -> wasmtime::Result<Engine> {
    let mut config = settings();
    config
        .enable_compiler(false)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .coredump_on_trap(diagnostics == Diagnostics::Coredump)
        .max_wasm_stack(stack_bytes);
    Engine::new(&config)
}

/// A digest of all that decides the compiled code: settings, processor features, wasmtime's
/// version and ours. Artifacts are named by it; one of another fingerprint is never loaded.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = StableHasher(Sha256::new());
    hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..16])
}

pub(crate) fn settings() -> Config {
    let mut cost = OperatorCost::new();
    cost.variable.memory_grow_per_page = FUEL_PER_GROWN_PAGE;
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(false)
        .operator_cost(cost)
        .cranelift_opt_level(OptLevel::Speed)
        .relaxed_simd_deterministic(true)
        .native_unwind_info(false)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .guard_before_linear_memory(true)
        .memory_may_move(false)
        .signals_based_traps(true)
        .memory_init_cow(true)
        .table_lazy_init(true)
        .max_wasm_stack(usize::try_from(STACK_BYTES_MAX).expect("512 KiB fit an address"))
        .async_stack_size(FIBER_STACK_BYTES)
        .async_stack_zeroing(false)
        .wasm_component_model(true)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        // Lines come from a table of ours: see `lines`.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_features(skep_admission::features_off(), false).shared_memory(false);
    config
}

/// Feeds SHA-256 with what the standard library's hashers are fed with, because theirs may change
/// from one build to the next.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("only the whole digest is used")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_name_the_engine_that_is_built() {
        let lock = include_str!("../../Cargo.lock");
        let package = lock.split("[[package]]").find(|p| p.contains("name = \"wasmtime\"\n"));
        let version = package.and_then(|package| package.split("version = \"").nth(1));
        let major = version.and_then(|version| version.split('.').next()).expect("a version");
        assert!(COSTS.starts_with(&format!("wasmtime {major},")), "wasmtime is {major} now");
    }

    #[test]
    fn the_fingerprint_is_the_same_for_every_engine_of_these_settings() {
        let of = |engine: wasmtime::Result<Engine>| fingerprint(&engine.expect("an engine"));
        let made = of(compiling(Nans::Native));
        assert_eq!(of(compiling(Nans::Native)), made);
        assert_eq!(made.len(), 32);
    }
}
