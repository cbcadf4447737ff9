//! For guests that are frameworks: a scheduler that runs in the sandbox, and launches tasks.
//!
//! The names are those of `skep-framework`, so that one source is both: a program of its own, and a
//! guest that `skep framework run` hosts.
//!
//! ```no_run
//! use skep_guest::framework::{Modules, ProgramError, prelude::*, run};
//!
//! struct OneTaskPerOffer(Digest);
//!
//! impl Scheduler for OneTaskPerOffer {
//!     fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
//!         for offer in offers {
//!             let id = TaskId::new(format!("task-{}", offer.id)).expect("an id");
//!             let resources = Resources::new(Amount::units(1), Amount::units(64));
//!             driver.launch(&offer, [TaskSpec::new(id, self.0, resources)]);
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), ProgramError> {
//!     run(framework_info("mine"), |modules| Ok(OneTaskPerOffer(modules.find("hello.wasm")?)))
//! }
//! ```

use crate::host::{imports, is_cancelled, sleep_unless_cancelled};
use skep_protocol::{
    Digest, Rejection, Role, Time,
    codec::Message as _,
    framework::{Call, Event, FrameworkInfo},
};
use skep_scheduler::{Driver, Ending, Scheduler};
use std::{
    collections::BTreeMap,
    env, error, fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::Path,
    time::{Duration, SystemTime},
};

pub use skep_scheduler::{Question, testing};

/// The names that most schedulers need.
pub mod prelude {
    pub use super::Modules;
    pub use skep_scheduler::prelude::*;
}

/// The longest time without a look at whether this task is told to end.
const LOOK: Duration = Duration::from_secs(60);
/// How long to wait before subscribing again when a conversation broke.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest such wait.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a framework could not begin, or ended otherwise than it wanted.
#[derive(Clone, PartialEq, Eq)]
pub enum ProgramError {
    /// This program is no task, or one that is not granted to be a framework.
    NotHosted,
    /// A module was not bundled with it.
    NoModule {
        /// Which.
        file: String,
    },
    /// What it was told to subscribe as is no role.
    NoRole(String),
    /// The master refused the framework.
    Refused(Rejection),
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHosted => f.write_str(
                "this is a scheduler to be hosted: start it with `skep framework run FILE`",
            ),
            Self::NoModule { file } => {
                write!(f, "{file} was not bundled: `skep framework run --file {file} ...`")
            }
            Self::NoRole(text) => write!(f, "{text:?} in FRAMEWORK_ROLE is no role"),
            Self::Refused(rejection) => write!(f, "the master refused the framework: {rejection}"),
        }
    }
}

/// As `main` prints it that returns it: in words.
impl fmt::Debug for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for ProgramError {}

/// The modules that a framework launches: those that were bundled with it.
#[derive(Clone, Debug, Default)]
pub struct Modules(BTreeMap<String, Digest>);

impl Modules {
    fn bundled() -> Self {
        let lines = env::var("FRAMEWORK_BUNDLE").unwrap_or_default();
        let entry = |line: &str| {
            let (digest, name) = line.split_once(' ')?;
            Some((name.to_owned(), digest.parse().ok()?))
        };
        Self(lines.lines().filter_map(entry).collect())
    }

    /// The digest of a module, by its file's name; folders before it do not count.
    ///
    /// # Errors
    /// [`ProgramError::NoModule`] if it was not bundled.
    pub fn find(&self, file: &str) -> Result<Digest, ProgramError> {
        let name = Path::new(file).file_name().map(|name| name.to_string_lossy().into_owned());
        let found = name.and_then(|name| self.0.get(&name));
        found.copied().ok_or_else(|| ProgramError::NoModule { file: file.into() })
    }

    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Makes a scheduler and runs it until it stops itself. For `fn main`.
///
/// It subscribes with the name and in the role that `skep framework run` gave it, if it gave any.
/// A task that is told to end leaves the framework as it is, for its next instance.
///
/// # Errors
/// [`ProgramError`], which says what to do.
pub fn run<S: Scheduler>(
    info: FrameworkInfo,
    make: impl FnOnce(&Modules) -> Result<S, ProgramError>,
) -> Result<(), ProgramError> {
    let mut scheduler = make(&Modules::bundled())?;
    let mut driver = Driver::new(named(info)?, None).with_run(random());
    let mut buffer = vec![0; 64 << 10];
    let mut pause = PAUSE;
    loop {
        match converse(&mut driver, &mut scheduler, &mut buffer)? {
            Talk::Stopped(Ending::Refused(rejection)) => {
                return Err(ProgramError::Refused(rejection));
            }
            Talk::Stopped(Ending::Done | Ending::Paused) => return Ok(()),
            Talk::Broken { heard } => pause = if heard { PAUSE } else { pause },
        }
        driver.disconnected(now(), &mut scheduler);
        if sleep_unless_cancelled(pause) {
            return Ok(());
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn named(info: FrameworkInfo) -> Result<FrameworkInfo, ProgramError> {
    let name = env::var("FRAMEWORK_NAME").unwrap_or(info.name);
    let role = match env::var("FRAMEWORK_ROLE") {
        Ok(text) => Role::new(&text).map_err(|_| ProgramError::NoRole(text))?,
        Err(_) => info.role,
    };
    Ok(FrameworkInfo { name, role, ..info })
}

/// How a conversation ended.
enum Talk {
    Stopped(Ending),
    Broken {
        /// Whether the master said anything.
        heard: bool,
    },
}

fn converse(
    driver: &mut Driver,
    scheduler: &mut impl Scheduler,
    buffer: &mut Vec<u8>,
) -> Result<Talk, ProgramError> {
    let mut heard = false;
    if !say(&driver.connected())? {
        return Ok(Talk::Broken { heard });
    }
    loop {
        if is_cancelled() {
            return Ok(Talk::Stopped(Ending::Paused));
        }
        let due = driver.deadline().map_or(LOOK, |due| due.since(now()).min(LOOK));
        match listen(due, buffer)? {
            Heard::Event(event) => {
                heard = true;
                driver.handle(now(), event, scheduler);
            }
            Heard::Nothing => {}
            Heard::End => return Ok(Talk::Broken { heard }),
        }
        if driver.deadline().is_some_and(|due| due <= now()) {
            driver.woken(now(), scheduler);
        }
        for call in driver.take_calls() {
            if !say(&call)? {
                return Ok(Talk::Broken { heard });
            }
        }
        if let Some(ending) = driver.ending() {
            return Ok(Talk::Stopped(ending.clone()));
        }
    }
}

enum Heard {
    Event(Event),
    Nothing,
    End,
}

/// Says something; false if nobody listens.
fn say(call: &Call) -> Result<bool, ProgramError> {
    match imports::call(&call.encode()) {
        Some(0) => Ok(true),
        // It is the host that is older than this program, or there is no conversation.
        Some(2 | 5 | 6) => Ok(false),
        Some(_) | None => Err(ProgramError::NotHosted),
    }
}

fn listen(wait: Duration, buffer: &mut Vec<u8>) -> Result<Heard, ProgramError> {
    // A timer that fires a moment early would otherwise make a round for nothing.
    let millis = i64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
    let length = match imports::event(buffer, millis) {
        Some(0) => return Ok(Heard::Nothing),
        Some(-2) => return Ok(Heard::End),
        Some(length) => usize::try_from(length).map_err(|_| ProgramError::NotHosted)?,
        None => return Err(ProgramError::NotHosted),
    };
    if length > buffer.len() {
        buffer.resize(length, 0);
        return Ok(Heard::Nothing);
    }
    // What only a newer build knows is passed over.
    Ok(Event::decode(&buffer[..length]).map_or(Heard::Nothing, Heard::Event))
}

fn now() -> Time {
    SystemTime::now().into()
}

/// A number that no other instance is likely to have drawn: hash maps are seeded by the host.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Scheduler for Nobody {
        fn resource_offers(&mut self, _: &mut Driver, _: Vec<skep_scheduler::Offer>) {}
    }

    #[test]
    fn outside_of_the_sandbox_it_says_how_to_start_it() {
        let ended = run(FrameworkInfo::default(), |_| Ok(Nobody));
        assert_eq!(ended, Err(ProgramError::NotHosted));
        let missing =
            run(FrameworkInfo::default(), |modules| modules.find("a/b.wasm").map(|_| Nobody));
        assert_eq!(missing, Err(ProgramError::NoModule { file: "a/b.wasm".into() }));
    }
}
