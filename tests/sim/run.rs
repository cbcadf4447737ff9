//! Many histories on all cores: played in silence, and told again in words if something breaks.
//!
//! Always holds: which seeds are played depends on nothing but what was asked for.

use crate::{
    jobs,
    sim::Sim,
    swarm,
    trace::{Detail, LINES, Trace},
};
use std::{
    cell::Cell,
    env,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is said how far things are.
const PROGRESS: Duration = Duration::from_secs(10);
/// After so many failures nobody reads more.
pub const BROKEN_MAX: usize = 10;

thread_local! {
    /// Whether a panic of this thread is to be told by nobody.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What drives a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Frameworks of the simulation, which do all that the protocol allows.
    Tasks,
    /// The schedulers that come with skep, and what is ordered of them.
    Jobs,
}

/// A history that broke no promise.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// How much time passed in it.
    pub simulated: Duration,
    /// How much happened in it.
    pub steps: u64,
}

/// A history that broke a promise; it was told on stderr.
#[derive(Clone, Copy, Debug)]
pub struct Broken {
    /// Which.
    pub seed: u64,
}

/// Which histories to play.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Which histories are played.
    pub about: About,
    /// The first seed.
    pub from: u64,
    /// How many at most, each seed one more than the one before.
    pub seeds: u64,
    /// After how long none is begun any more.
    pub time_max: Duration,
    /// After how many that broke a promise to stop.
    pub broken_max: usize,
    /// Whether to say now and then how far it is.
    pub progress: Progress,
}

/// Whether to say how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On stdout.
    Told,
    /// Not at all.
    Untold,
}

/// What came of many histories.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many were played.
    pub played: u64,
    /// Those that broke a promise, in no order.
    pub broken: Vec<u64>,
    /// How much time passed in them.
    pub simulated: Duration,
    /// How much happened in them.
    pub steps: u64,
    /// How long that took.
    pub took: Duration,
}

impl Summary {
    /// Simulated hours per minute of ours.
    pub fn hours_per_minute(&self) -> f64 {
        self.simulated.as_secs_f64() / 60.0 / self.took.as_secs_f64().max(0.001)
    }
}

/// Plays one history.
///
/// # Errors
/// [`Broken`] if a promise was broken: its last events, seed and step were written to stderr.
pub fn judge(about: About, seed: u64) -> Result<Story, Broken> {
    /// Two failures at once are told one after the other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    hush();
    IS_QUIET.set(true);
    let played = catch_unwind(|| play(about, seed, Detail::Counted));
    IS_QUIET.set(false);
    match played {
        Ok(sim) => Ok(Story { simulated: sim.simulated(), steps: sim.steps() }),
        Err(_) => {
            let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            let again = AssertUnwindSafe(|| drop(tell(about, seed)));
            assert!(catch_unwind(again).is_err(), "{seed:#x} is not the same history twice");
            Err(Broken { seed })
        }
    }
}

fn play(about: About, seed: u64, detail: Detail) -> Sim {
    match about {
        About::Tasks => swarm::play(seed, Trace::new(detail)),
        About::Jobs => jobs::play(seed, Trace::new(detail)),
    }
}

/// Plays one history in words, of which the last stay.
fn tell(about: About, seed: u64) -> Sim {
    let lines = env::var("LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(LINES);
    play(about, seed, Detail::Told(lines))
}

/// Plays one history and writes its end to stderr, whatever it is.
pub fn show(about: About, seed: u64) {
    tell(about, seed).print_last();
}

/// Plays many histories, one on each core at a time.
pub fn run(order: Order) -> Summary {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Summary::default());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| play_next(order, &next, &sum, begun));
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    Summary { took: begun.elapsed(), ..sum }
}

fn play_next(order: Order, next: &AtomicU64, sum: &Mutex<Summary>, begun: Instant) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= order.seeds || begun.elapsed() >= order.time_max {
            return;
        }
        let judged = judge(order.about, order.from.wrapping_add(number));
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.played += 1;
        match judged {
            Ok(Story { simulated, steps }) => {
                sum.simulated += simulated;
                sum.steps += steps;
            }
            Err(Broken { seed }) => sum.broken.push(seed),
        }
        let before = sum.took;
        sum.took = begun.elapsed();
        let is_time =
            before.as_secs() / PROGRESS.as_secs() != sum.took.as_secs() / PROGRESS.as_secs();
        if order.progress == Progress::Told && is_time {
            tell_progress(order, &sum);
        }
        if sum.broken.len() >= order.broken_max {
            next.store(order.seeds, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::print_stdout, reason = "somebody waits and wants to know how long")]
fn tell_progress(order: Order, sum: &Summary) {
    let (played, seeds, broken) = (sum.played, order.seeds, sum.broken.len());
    let pace = sum.hours_per_minute();
    let of = if seeds == u64::MAX { String::new() } else { format!(" of {seeds}") };
    println!("{played}{of} played, {broken} broken, {pace:.0} simulated hours a minute");
}

/// Lets a thread fail without a word, if it wants to.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                tell(panic);
            }
        }));
    });
}
