//! One run of one guest, from its seat to its end. An attempt has several if it may (`attempt`).
//!
//! ```text
//! seat -> context -> store -> Started -> instance, _start -> outcome, usage -> (all dropped)
//! ```
//! Always holds: a store serves one run and is dropped after it, whatever came of it; a guest can
//! be killed at each step. Deliberately absent: when a guest's turn comes among others, which is
//! the workers' matter (`cpu`).

use crate::{
    attempt::Runs,
    component::{self, FileStreams},
    coredump, cpu, engine,
    host::{
        clock::VirtualClock, disk::Disk, files::Files, listing::Listings, price::Meter,
        random::RandomBudget, transcript::Transcript,
    },
    inputs,
    lanes::{Program, Seat},
    life::Life,
    limiter::Limiter,
    mail::{Mailbox, Mailroom},
    outbox::Outbox,
    outcome,
    output::Output,
    speech::Speech,
    wasi::{self, View},
    wire::GuestFiles,
};
use skep_protocol::{
    executor::StartGuest,
    ids::{Attempt, FrameworkId, TaskId, TaskKey},
    outcome::{Checkpoint, KilledBy, Outcome, Progress, TaskMessage, Usage},
    task::{Access, Diagnostics, DirSource, Limits, NetGrant},
    time::Time,
};
use std::{
    collections::BTreeSet,
    fs::File,
    future::poll_fn,
    mem,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::select;
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
    /// The directories that it is reading.
    pub(crate) listings: Listings,
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
    /// The state that it goes on from, or has left since; empty if there is none.
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) life: Arc<Life>,
    /// If it may speak as a framework.
    pub(crate) speech: Option<Speech>,
    pub(crate) mailbox: Arc<Mailbox>,
    key: TaskKey,
    outbox: Arc<Outbox>,
}

/// What goes from one run of a guest to the next.
pub(crate) struct Carried {
    output: Arc<Output>,
    disk: Disk,
    random: RandomBudget,
    checkpoint: Vec<u8>,
    /// What is to be laid into its folder; nothing any more when that is done.
    inputs: Vec<Arc<File>>,
}

impl Carried {
    pub(crate) fn new(guest: &StartGuest, inputs: Vec<Arc<File>>) -> Self {
        let StartGuest { limits, sandbox, checkpoint, .. } = guest;
        Self {
            output: Output::new(sandbox.clone(), limits.output_bytes),
            disk: Disk::new(limits.disk_bytes, limits.files),
            random: RandomBudget(limits.random_bytes),
            checkpoint: checkpoint.clone(),
            inputs,
        }
    }
}

impl GuestState {
    fn new(attempt: &Runs<'_>, view: View, carried: Carried) -> Self {
        let StartGuest { key, memory_bytes, limits, grants, .. } = attempt.guest;
        let Carried { output, disk, random, checkpoint, .. } = carried;
        let writable = grants.dirs.iter().any(|dir| dir.access == Access::ReadWrite);
        let shared = grants.dirs.iter().any(|dir| dir.source != DirSource::Sandbox);
        let deterministic = grants.is_deterministic();
        let mut limiter = Limiter::new(*memory_bytes);
        limiter.hold(checkpoint.len() as u64);
        Self {
            wasi: view.wasi,
            limiter,
            output,
            meter: Meter::new(fuel_budget(limits), limits.host_calls_per_second),
            disk,
            files: Files::new(limits.handles, writable, deterministic).shared(shared),
            listings: Listings::default(),
            clock: view.clock,
            random,
            streams: FileStreams::default(),
            peers: grants.network.clone(),
            transcript: deterministic.then(|| Transcript::new(engine::COSTS, attempt.guest)),
            instance: None,
            result: Vec::new(),
            checkpoint,
            life: Arc::clone(&attempt.life),
            speech: attempt.speech.clone(),
            mailbox: Arc::clone(&attempt.mailbox),
            key: key.clone(),
            outbox: Arc::clone(attempt.outbox),
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
            listings: Listings::default(),
            clock: None,
            random: RandomBudget(None),
            streams: FileStreams::default(),
            peers: BTreeSet::new(),
            transcript: None,
            instance: None,
            result: Vec::new(),
            checkpoint: Vec::new(),
            life: Arc::new(Life::new()),
            speech: None,
            mailbox: Mailroom::new().mailbox(),
            key: TaskKey { framework, task, attempt: Attempt::FIRST },
            outbox: Arc::new(Outbox::new()),
        }
    }

    /// Tells the agent, in good time, how far the guest says it is.
    pub(crate) fn progress(&self, done: u64, total: u64, message: String) {
        self.life.sign();
        self.outbox.progress(Progress { key: self.key.clone(), done, total, message });
    }
}

impl GuestState {
    /// Keeps the state that the guest would go on from, and tells the agent in good time.
    pub(crate) fn leave_checkpoint(&mut self, bytes: Vec<u8>) {
        self.checkpoint.clone_from(&bytes);
        self.outbox.checkpoint(Checkpoint { key: self.key.clone(), bytes });
    }
}

impl GuestState {
    /// Sends the framework a message. False: too many have not left yet.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> bool {
        self.life.sign();
        self.outbox.send(TaskMessage { key: self.key.clone(), bytes })
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
    pub(crate) fn before_start(outcome: Outcome) -> Self {
        let (result, last_words) = (Vec::new(), String::new());
        Self { outcome, usage: Usage::default(), result, last_words }
    }
}

/// Runs a guest until it ends or is killed. What is carried to its next run is taken, and left
/// again if there can be one.
pub(crate) async fn run(
    attempt: &Runs<'_>,
    files: GuestFiles,
    carried: &mut Option<Carried>,
    mut killed: impl Future<Output = KilledBy> + Unpin,
) -> End {
    let Runs { guest, outbox, gate, .. } = attempt;
    let ordered = Instant::now();
    let prepared = select! {
        biased;
        by = &mut killed => Err(Outcome::Killed { by }),
        prepared = prepare(attempt, files, carried) => prepared,
    };
    let (seat, mut store) = match prepared {
        Ok(prepared) => prepared,
        Err(outcome) => return End::before_start(outcome),
    };
    attempt.mailbox.begin();
    if !gate.has_begun() {
        gate.begin(&guest.key, outbox);
    }
    let started = Instant::now();
    attempt.began.get_or_init(|| started);
    attempt.life.sign();
    if let Some(speech) = &attempt.speech {
        speech.begin();
    }
    let start = started.duration_since(ordered);
    let run = execute(&mut store, &seat.program);
    let (outcome, returned) = select! {
        biased;
        by = killed => (Some(Outcome::Killed { by }), Ok(())),
        limit = attempt.deadline() => (Some(Outcome::DeadlinePassed { limit }), Ok(())),
        limit = attempt.silence() => (Some(Outcome::Unhealthy { limit }), Ok(())),
        returned = gate.hold(&guest.key, outbox, told(outbox, run)) => (None, returned),
    };
    let wall = started.elapsed();
    let error = returned.err();
    let outcome = outcome.unwrap_or_else(|| {
        let returned = error.as_ref().map_or(Ok(()), Err);
        outcome::of(returned, store.data(), guest, seat.program.lines())
    });
    let usage = Usage { start, ..usage(&store, wall) };
    if guest.diagnostics == Diagnostics::Coredump {
        let left = coredump::leave(store, &outcome, error, guest).await;
        let Some(left) = left else { return End { usage, ..End::before_start(outcome) } };
        store = left;
    }
    let state = store.into_data();
    let GuestState { output, result, transcript, mut disk, random, checkpoint, .. } = state;
    let run_digest = transcript.map(|transcript| transcript.end(&outcome, usage.fuel, &result));
    let usage = Usage { run_digest, cpu: cpu::spent(), ..usage };
    let last_words = if outcome.is_success() { String::new() } else { output.last_words() };
    disk.all_closed();
    let inputs = Vec::new();
    *carried = Some(Carried { output, disk, random, checkpoint, inputs });
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
    attempt: &Runs<'_>,
    files: GuestFiles,
    carried: &mut Option<Carried>,
) -> Result<(Seat, Store<GuestState>), Outcome> {
    let Runs { guest, lanes, .. } = attempt;
    let seat = lanes.seat(guest, &files.artifact).await.map_err(failed)?;
    let gone = || failed("what an earlier run left is gone");
    let before = carried.as_mut().ok_or_else(gone)?;
    let output = Arc::clone(&before.output);
    if !before.inputs.is_empty() {
        inputs::lay(guest, &before.inputs).await?;
        before.inputs = Vec::new();
    }
    let view = wasi::view(guest, files.stdin, &output).await.map_err(failed)?;
    let state = GuestState::new(attempt, view, carried.take().ok_or_else(gone)?);
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
