//! Where a guest runs: in the pool, whose slots are ready before it comes, or on demand.
//!
//! The pool is the fast lane and never a limit: a guest goes on demand if its memory limit or its
//! module exceeds a slot, if it wants another stack or a core dump, if all slots are taken, or if
//! the machine could not make a pool. When the pool is full for the first time it gets a larger
//! second one, which would be dear to make for executors of a few guests. Always holds: guests wait
//! for a seat rather than run the process out of memory mappings, which are what the machine gives
//! a process fewest of.

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
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use wasmtime::{Engine, InstancePre, Linker, component};
use wasmtime_wasi::p2::bindings::CommandPre;

/// Slots that the pool aims for: more guests than this seldom run at once, and they cost nothing.
const SLOTS_MAX: u64 = 1_000;
/// Slots that the second pool aims for, so that ten thousand guests run at once where the kernel
/// allows its usual number of mappings. To make it takes a tenth of a second or two.
const MORE_SLOTS_MAX: u64 = 9_000;
/// With fewer slots a pool is not worth its while.
const SLOTS_MIN: u64 = 10;
/// Memory mappings that a guest of the pool takes at most: a stack and its guard; of its memory
/// what lies before its data, the data, what lies behind, and the guard.
const SLOT_MAPS: u64 = 6;
/// What one on demand takes, with a guard before its memory too, and one to spare.
const ON_DEMAND_MAPS: u32 = 8;
/// Guests on demand for which the second pool leaves room.
const ON_DEMAND_MIN: u64 = 256;
/// Mappings of the process itself: its code, threads and heap, and some ten for each loaded module.
const OWN_MAPS: u64 = 3_000;
/// What Linux allows a process by default, for machines that do not tell.
const MAPS_DEFAULT: u64 = 65_530;
/// Stacks are told apart by pages, so that there are few engines.
const STACK_UNIT_BYTES: u64 = 4 << 10;

/// All engines of the executor, and the room in each.
pub(crate) struct Lanes {
    pool: Option<Pool>,
    /// The second pool, once the first was full; none if there is no room for it.
    more: OnceCell<Option<Pool>>,
    on_demand: Mutex<BTreeMap<(usize, Diagnostics), Arc<OnDemand>>>,
    /// Counts the mappings that guests on demand may still take, or a second pool.
    maps_free: Arc<Semaphore>,
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
        let slots = SLOTS_MAX.min(maps / 4 / SLOT_MAPS);
        let free = maps.saturating_sub(OWN_MAPS + slots * SLOT_MAPS).max(maps / 4);
        let free = usize::try_from(free).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            pool: Pool::new(slots),
            more: OnceCell::new(),
            on_demand: Mutex::default(),
            maps_free: Arc::new(Semaphore::new(free)),
        }
    }

    /// Finds a guest its place, and waits for one if need be.
    pub(crate) async fn seat(
        &self,
        guest: &StartGuest,
        artifact: &Arc<File>,
    ) -> Result<Seat, SeatError> {
        if fits_slot(guest)
            && let Some(seat) = self.pooled(guest, artifact).await
        {
            return Ok(seat);
        }
        let free = Arc::clone(&self.maps_free).acquire_many_owned(ON_DEMAND_MAPS).await;
        let permit = free.map_err(|_| SeatError::Stopping)?;
        let on_demand = self.on_demand(guest.limits.stack_bytes, guest.diagnostics)?;
        let load = || load(Arc::clone(&on_demand.lane), Arc::clone(artifact));
        let module = on_demand.modules.get_or_load(guest.artifact(), load).await?;
        Ok(Seat { program: module, _permit: permit })
    }

    /// A seat in a pool, if the module fits and a slot is free.
    async fn pooled(&self, guest: &StartGuest, artifact: &Arc<File>) -> Option<Seat> {
        let pool = self.pool.as_ref()?;
        if let Some(permit) = pool.permit() {
            return pool.seat(permit, guest, artifact).await;
        }
        let more = self.more.get_or_init(|| self.second_pool()).await.as_ref()?;
        more.seat(more.permit()?, guest, artifact).await
    }

    /// As large a pool as the mappings allow that are left.
    async fn second_pool(&self) -> Option<Pool> {
        let free = self.maps_free.available_permits() as u64;
        let spare = free.saturating_sub(ON_DEMAND_MIN * u64::from(ON_DEMAND_MAPS));
        let slots = MORE_SLOTS_MAX.min(spare / SLOT_MAPS);
        let maps = u32::try_from(slots * SLOT_MAPS).expect("slots are bounded above");
        let taken = Arc::clone(&self.maps_free).try_acquire_many_owned(maps).ok()?;
        let pool = spawn_blocking(move || Pool::new(slots)).await.ok().flatten()?;
        taken.forget();
        Some(pool)
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
        let slots = u32::try_from(slots).expect("slots are bounded above");
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

    /// The right to a slot, if one is free.
    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A seat in the pool, if the module fits.
    async fn seat(
        &self,
        permit: OwnedSemaphorePermit,
        guest: &StartGuest,
        artifact: &Arc<File>,
    ) -> Option<Seat> {
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

fn fits_slot(guest: &StartGuest) -> bool {
    guest.memory_bytes <= engine::SLOT_BYTES
        && guest.limits.stack_bytes >= STACK_BYTES_MAX
        && guest.diagnostics != Diagnostics::Coredump
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
