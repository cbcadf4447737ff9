//! One run of one guest, from its seat to its end.
//!
//! ```text
//! seat -> context -> store -> Started -> instance, _start -> outcome, usage -> (all dropped)
//! ```
//! Always holds: a store serves one run and is dropped after it, whatever came of it; a guest can
//! be killed at each step; the deadline counts from the first instruction. Deliberately absent:
//! when a guest's turn comes among others, which is the workers' matter (`cpu`).

use crate::{
    component::{self, FileStreams},
    coredump,
    cpu::{self, Gate},
    engine,
    host::{
        clock::VirtualClock, disk::Disk, files::Files, listing::Listing, price::Meter,
        random::RandomBudget, transcript::Transcript,
    },
    lanes::{Lanes, Program, Seat},
    limiter::Limiter,
    outbox::Outbox,
    outcome,
    output::Output,
    wasi::{self, View},
    wire::GuestFiles,
};
use skep_protocol::{
    executor::StartGuest,
    ids::{Attempt, FrameworkId, TaskId, TaskKey},
    outcome::{KilledBy, Outcome, Progress, Usage},
    task::{Access, Diagnostics, Limits, NetGrant},
    time::Time,
};
use std::{
    collections::BTreeSet,
    future::{pending, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{select, sync::oneshot, time::sleep};
use wasmtime::{Instance, Store};
use wasmtime_wasi::{WasiCtxBuilder, p1::WasiP1Ctx};

/// Fuel after which a guest yields: from 0.02 to 0.6 ms of computing, so that a guest that wakes is
/// not kept waiting for longer; changing guests takes a microsecond or two.
pub(crate) const SLICE_FUEL: u64 = 500_000;

/// What belongs to a running guest on the host's side of the wall.
pub(crate) struct GuestState {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) limiter: Limiter,
    pub(crate) output: Arc<Output>,
    pub(crate) meter: Meter,
    pub(crate) disk: Disk,
    pub(crate) files: Files,
    /// The directory that it is reading, if it is.
    pub(crate) listing: Option<Listing>,
    /// Its clock, if that is virtual.
    pub(crate) clock: Option<Arc<VirtualClock>>,
    pub(crate) random: RandomBudget,
    /// The streams of files that a component has open.
    pub(crate) streams: FileStreams,
    /// The peers that it may connect to.
    pub(crate) peers: BTreeSet<NetGrant>,
    /// What it saw and did, if its run is deterministic.
    pub(crate) transcript: Option<Transcript>,
    /// What runs, if it is a module and has come into being.
    pub(crate) instance: Option<Instance>,
    /// The value that the guest returns; empty if it does not.
    pub(crate) result: Vec<u8>,
    key: TaskKey,
    outbox: Arc<Outbox>,
}

impl GuestState {
    fn new(guest: &StartGuest, view: View, output: Arc<Output>, outbox: Arc<Outbox>) -> Self {
        let StartGuest { key, memory_bytes, limits, grants, .. } = guest;
        let writable = grants.dirs.iter().any(|dir| dir.access == Access::ReadWrite);
        let deterministic = grants.is_deterministic();
        Self {
            wasi: view.wasi,
            limiter: Limiter::new(*memory_bytes),
            output,
            meter: Meter::new(fuel_budget(limits), limits.host_calls_per_second),
            disk: Disk::new(limits.disk_bytes, limits.files),
            files: Files::new(limits.handles, writable, deterministic),
            listing: None,
            clock: view.clock,
            random: RandomBudget(limits.random_bytes),
            streams: FileStreams::default(),
            peers: grants.network.clone(),
            transcript: deterministic.then(|| Transcript::new(engine::COSTS, guest)),
            instance: None,
            result: Vec::new(),
            key: key.clone(),
            outbox,
        }
    }

    /// A state in which no guest ever runs.
    pub(crate) fn of_nobody() -> Self {
        let framework = FrameworkId::new("nobody").expect("an id");
        let task = TaskId::new("nothing").expect("an id");
        Self {
            wasi: WasiCtxBuilder::new().build_p1(),
            limiter: Limiter::new(0),
            output: Output::new("/nowhere".into(), 0),
            meter: Meter::new(0, None),
            disk: Disk::new(0, 0),
            files: Files::new(0, false, false),
            listing: None,
            clock: None,
            random: RandomBudget(None),
            streams: FileStreams::default(),
            peers: BTreeSet::new(),
            transcript: None,
            instance: None,
            result: Vec::new(),
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            outbox: Arc::new(Outbox::new()),
        }
    }

    /// Tells the agent, in good time, how far the guest says it is.
    pub(crate) fn progress(&self, done: u64, total: u64, message: String) {
        self.outbox.progress(Progress { key: self.key.clone(), done, total, message });
    }
}

/// What is left of a guest.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    pub(crate) result: Vec<u8>,
    pub(crate) last_words: String,
}

impl End {
    fn before_start(outcome: Outcome) -> Self {
        let (result, last_words) = (Vec::new(), String::new());
        Self { outcome, usage: Usage::default(), result, last_words }
    }
}

/// Runs a guest to its end, or until it is killed.
pub(crate) async fn run(
    guest: StartGuest,
    files: GuestFiles,
    lanes: &Lanes,
    outbox: &Arc<Outbox>,
    gate: &Gate,
    killed: oneshot::Receiver<KilledBy>,
) -> End {
    let ordered = Instant::now();
    let mut killed = pin!(async {
        match killed.await {
            Ok(by) => by,
            Err(_) => pending().await,
        }
    });
    let prepared = select! {
        biased;
        by = &mut killed => Err(Outcome::Killed { by }),
        prepared = prepare(&guest, files, lanes, outbox) => prepared,
    };
    let (seat, mut store) = match prepared {
        Ok(prepared) => prepared,
        Err(outcome) => return End::before_start(outcome),
    };
    gate.begin(&guest.key, outbox);
    let started = Instant::now();
    let start = started.duration_since(ordered);
    let run = execute(&mut store, &seat.program);
    let (outcome, returned) = select! {
        biased;
        by = killed => (Some(Outcome::Killed { by }), Ok(())),
        limit = deadline(guest.limits.deadline) => {
            (Some(Outcome::DeadlinePassed { limit }), Ok(()))
        }
        returned = gate.hold(&guest.key, outbox, told(outbox, run)) => (None, returned),
    };
    let wall = started.elapsed();
    let error = returned.err();
    let outcome = outcome.unwrap_or_else(|| {
        let returned = error.as_ref().map_or(Ok(()), Err);
        outcome::of(returned, store.data(), &guest, seat.program.lines())
    });
    let usage = Usage { start, ..usage(&store, wall) };
    if guest.diagnostics == Diagnostics::Coredump {
        let left = coredump::leave(store, &outcome, error, &guest).await;
        let Some(left) = left else { return End { usage, ..End::before_start(outcome) } };
        store = left;
    }
    let GuestState { output, result, transcript, .. } = store.into_data();
    let run_digest = transcript.map(|transcript| transcript.end(&outcome, usage.fuel, &result));
    let usage = Usage { run_digest, cpu: cpu::spent(), ..usage };
    let last_words = if outcome.is_success() { String::new() } else { output.last_words() };
    End { outcome, usage, result, last_words }
}

/// Tells that a guest has started when its first turn is over. One that ends in it tells both at
/// once, which spares the agent half of the reports of short tasks, and wakes the loop that sends
/// them once instead of twice.
async fn told<F: Future>(outbox: &Outbox, guest: F) -> F::Output {
    let mut guest = pin!(guest);
    let mut is_told = false;
    poll_fn(|context| {
        let polled = guest.as_mut().poll(context);
        if polled.is_pending() && !mem::replace(&mut is_told, true) {
            outbox.nudge();
        }
        polled
    })
    .await
}

async fn prepare(
    guest: &StartGuest,
    files: GuestFiles,
    lanes: &Lanes,
    outbox: &Arc<Outbox>,
) -> Result<(Seat, Store<GuestState>), Outcome> {
    let seat = lanes.seat(guest, &files.artifact).await.map_err(failed)?;
    let output = Output::new(guest.sandbox.clone(), guest.limits.output_bytes);
    let view = wasi::view(guest, files.stdin, &output).await.map_err(failed)?;
    let state = GuestState::new(guest, view, output, Arc::clone(outbox));
    let mut store = Store::new(seat.program.engine(), state);
    store.limiter(|state| &mut state.limiter);
    if let Program::Component(program) = &seat.program {
        component::admit::granted(program, &guest.grants)?;
        component::set_up(&mut store);
    }
    store
        .set_fuel(fuel_budget(&guest.limits))
        .and_then(|()| store.fuel_async_yield_interval(Some(SLICE_FUEL)))
        .map_err(|error| failed(error.root_cause()))?;
    Ok((seat, store))
}

async fn execute(store: &mut Store<GuestState>, program: &Program) -> wasmtime::Result<()> {
    let module = match program {
        Program::Module(module, _) => module,
        Program::Component(component) => return component::execute(store, component).await,
    };
    let instance = module.instantiate_async(&mut *store).await?;
    store.data_mut().instance = Some(instance);
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    start.call_async(store, ()).await
}

async fn deadline(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            sleep(limit).await;
            limit
        }
        None => pending().await,
    }
}

/// Fuel is counted whether it is limited or not.
fn fuel_budget(limits: &Limits) -> u64 {
    limits.fuel.unwrap_or(u64::MAX)
}

fn usage(store: &Store<GuestState>, wall: Duration) -> Usage {
    let left = store.get_fuel().expect("the engine counts fuel");
    let state = store.data();
    let (stdout_bytes, stderr_bytes) = state.output.bytes();
    Usage {
        fuel: state.meter.budget().saturating_sub(left),
        wall,
        memory_bytes_peak: state.limiter.peak(),
        stdout_bytes,
        stderr_bytes,
        bytes_in: state.meter.bytes_in,
        bytes_out: state.meter.bytes_out,
        ..Usage::default()
    }
}

fn failed(error: impl std::fmt::Display) -> Outcome {
    Outcome::Failed { why: error.to_string() }
}

/// The time of day. Agents order reports by their arrival, so it need not be steady.
pub(crate) fn now() -> Time {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Time::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
