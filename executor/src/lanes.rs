//! Where a guest runs: in the pool, whose slots are ready before it comes, or on demand.
//!
//! The pool is the fast lane and never a limit: a guest goes on demand if its memory limit or its
//! module exceeds a slot, if it wants another stack or a core dump, if all slots are taken, or if
//! the machine could not make a pool. Always holds: guests wait for a seat rather than run the
//! process out of memory mappings, which are what the machine gives a process fewest of.

use crate::{
    artifact::{self, Code},
    engine,
    guest::GuestState,
    host,
    lines::Lines,
    modules::Modules,
};
use skep_protocol::{bounds::STACK_BYTES_MAX, executor::StartGuest, task::Diagnostics};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use wasmtime::{Engine, InstancePre, Linker, component};
use wasmtime_wasi::p2::bindings::CommandPre;

/// Slots that the pool aims for: more guests than this seldom run at once, and they cost nothing.
const SLOTS_MAX: u64 = 1_000;
/// With fewer slots a pool is not worth its while.
const SLOTS_MIN: u64 = 10;
/// Memory mappings that a guest of the pool, or one on demand, takes at most.
const SLOT_MAPS: u64 = 5;
const ON_DEMAND_MAPS: u64 = 8;
/// What Linux allows a process by default, for machines that do not tell.
const MAPS_DEFAULT: u64 = 65_530;
/// Stacks are told apart by pages, so that there are few engines.
const STACK_UNIT_BYTES: u64 = 4 << 10;

/// All engines of the executor, and the room in each.
pub(crate) struct Lanes {
    pool: Option<Pool>,
    on_demand: Mutex<BTreeMap<(usize, Diagnostics), Arc<OnDemand>>>,
    on_demand_free: Arc<Semaphore>,
}

struct Pool {
    lane: Arc<Lane>,
    free: Arc<Semaphore>,
    /// None: the module does not fit a slot.
    modules: Modules<Option<Program>>,
}

struct OnDemand {
    lane: Arc<Lane>,
    modules: Modules<Program>,
}

struct Lane {
    engine: Engine,
    linker: Linker<GuestState>,
    components: component::Linker<GuestState>,
}

/// What a guest runs: ready to be instantiated.
#[derive(Clone)]
pub(crate) enum Program {
    Module(InstancePre<GuestState>, Option<Arc<Lines>>),
    Component(CommandPre<GuestState>),
}

impl Program {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Module(module, _) => module.module().engine(),
            Self::Component(component) => component.engine(),
        }
    }

    /// The source lines of its code, if they are known.
    pub(crate) fn lines(&self) -> Option<&Lines> {
        match self {
            Self::Module(_, lines) => lines.as_deref(),
            Self::Component(_) => None,
        }
    }
}

/// A guest's right to run and what it is to run. Given back when dropped.
pub(crate) struct Seat {
    pub(crate) program: Program,
    _permit: OwnedSemaphorePermit,
}

/// Why there is no seat for a guest. Not the guest's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeatError {
    #[error("the compiled module cannot be loaded: {why}")]
    Load { why: String },
    #[error("no engine for a stack of {stack_bytes} bytes: {why}")]
    Engine { stack_bytes: usize, why: String },
    #[error("the executor is stopping")]
    Stopping,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        let maps = maps_max();
        let on_demand = usize::try_from(maps / 2 / ON_DEMAND_MAPS).unwrap_or(usize::MAX);
        Self {
            pool: Pool::new(SLOTS_MAX.min(maps / 4 / SLOT_MAPS)),
            on_demand: Mutex::default(),
            on_demand_free: Arc::new(Semaphore::new(on_demand.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Finds a guest its place, and waits for one if need be.
    pub(crate) async fn seat(
        &self,
        guest: &StartGuest,
        artifact: &Arc<File>,
    ) -> Result<Seat, SeatError> {
        if let Some(pool) = &self.pool
            && let Some(seat) = pool.seat(guest, artifact).await
        {
            return Ok(seat);
        }
        let free = Arc::clone(&self.on_demand_free).acquire_owned().await;
        let permit = free.map_err(|_| SeatError::Stopping)?;
        let on_demand = self.on_demand(guest.limits.stack_bytes, guest.diagnostics)?;
        let load = || load(Arc::clone(&on_demand.lane), Arc::clone(artifact));
        let module = on_demand.modules.get_or_load(guest.artifact(), load).await?;
        Ok(Seat { program: module, _permit: permit })
    }

    fn on_demand(
        &self,
        stack_bytes: u64,
        diagnostics: Diagnostics,
    ) -> Result<Arc<OnDemand>, SeatError> {
        let stack_bytes = stack_bytes.min(STACK_BYTES_MAX).next_multiple_of(STACK_UNIT_BYTES);
        let stack_bytes = usize::try_from(stack_bytes).expect("512 KiB fit an address");
        let mut engines = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&(stack_bytes, diagnostics)) {
            return Ok(Arc::clone(engine));
        }
        let lane = engine::on_demand(stack_bytes, diagnostics).and_then(Lane::new);
        let lane = lane.map_err(|error| SeatError::Engine {
            stack_bytes,
            why: error.root_cause().to_string(),
        })?;
        let engine = Arc::new(OnDemand { lane: Arc::new(lane), modules: Modules::new() });
        engines.insert((stack_bytes, diagnostics), Arc::clone(&engine));
        Ok(engine)
    }
}

impl Pool {
    fn new(slots: u64) -> Option<Self> {
        if slots < SLOTS_MIN {
            tracing::warn!(slots, "vm.max_map_count leaves no room for a pool: starts are slower");
            return None;
        }
        let slots = u32::try_from(slots).expect("at most a thousand");
        match engine::pooled(slots).and_then(Lane::new) {
            Ok(lane) => Some(Self {
                lane: Arc::new(lane),
                free: Arc::new(Semaphore::new(slots as usize)),
                modules: Modules::new(),
            }),
            Err(error) => {
                let why = error.root_cause().to_string();
                tracing::warn!(slots, why, "no pool on this machine: starts are slower");
                None
            }
        }
    }

    /// A seat in the pool, if the guest fits and a slot is free.
    async fn seat(&self, guest: &StartGuest, artifact: &Arc<File>) -> Option<Seat> {
        if guest.memory_bytes > engine::SLOT_BYTES
            || guest.limits.stack_bytes < STACK_BYTES_MAX
            || guest.diagnostics == Diagnostics::Coredump
        {
            return None;
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let load = || async {
            let loaded = load(Arc::clone(&self.lane), Arc::clone(artifact)).await;
            match loaded {
                Err(SeatError::Load { why }) => {
                    tracing::debug!(why, "a module does not fit the pool");
                    Ok(None)
                }
                loaded => loaded.map(Some),
            }
        };
        let module = self.modules.get_or_load(guest.artifact(), load).await.ok()??;
        Some(Seat { program: module, _permit: permit })
    }
}

impl Lane {
    fn new(engine: Engine) -> wasmtime::Result<Self> {
        let (linker, components) = (host::linker(&engine)?, crate::component::linker(&engine)?);
        Ok(Self { engine, linker, components })
    }

    fn prepare(&self, code: Code) -> wasmtime::Result<Program> {
        Ok(match code {
            Code::Module(module, lines) => {
                Program::Module(self.linker.instantiate_pre(&module)?, lines)
            }
            Code::Component(component) => {
                let instance = self.components.instantiate_pre(&component)?;
                Program::Component(CommandPre::new(instance)?)
            }
        })
    }
}

/// Loads a module on a blocking thread: the first touch of its pages reads the disk.
async fn load(lane: Arc<Lane>, artifact: Arc<File>) -> Result<Program, SeatError> {
    let loaded = spawn_blocking(move || {
        let code = artifact::load(&lane.engine, &artifact);
        code.and_then(|code| lane.prepare(code))
            .map_err(|error| SeatError::Load { why: error.root_cause().to_string() })
    });
    loaded.await.unwrap_or(Err(SeatError::Stopping))
}

fn maps_max() -> u64 {
    let told = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(MAPS_DEFAULT)
}
