//! Tests a framework that is a guest as one that is a program: by a cluster in a plain unit test.
//!
//! ```no_run
//! use skep_guest_testing::Program;
//! use skep_scheduler::{prelude::*, testing::ClusterOf};
//!
//! let program = Program::new(&std::fs::read("mine.wasm")?)?;
//! let guest = program.bundle("hello.wasm", Digest::of(b"hello")).start();
//! let mut cluster = ClusterOf::with(framework_info("mine"), guest);
//! cluster.offer("agent-1", "cpus:1;mem:64");
//! assert_eq!(cluster.running(), ["task-1"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The guest runs on a thread of its own, and only while the test tells it something: when a method
//! of the cluster returns, the guest waits for the next event. Its time is the cluster's. So two
//! runs of a test are alike, and the same test holds a native scheduler and its guest to the same.
//! It has no limits here but one: it must come to rest within [`PATIENCE`].
//!
//! | file | owns |
//! |---|---|
//! | `talk.rs` | what guest and test tell each other, and who waits for whom |
//! | `host.rs` | the functions that the guest calls |

mod host;
mod talk;

use host::Host;
use skep_protocol::{
    Digest, Time,
    codec::Message as _,
    framework::{Call, Event},
};
use skep_scheduler::{Ending, testing::Party};
use std::{fmt, sync::Arc, thread::JoinHandle, time::Duration};
use talk::Talk;
use wasmtime::{Config, Engine, Module};

/// How long a guest may take to come to rest after each event, by the machine's clock.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A file is no guest.
#[derive(Debug, thiserror::Error)]
#[error("this is no module of WebAssembly that can be compiled")]
pub struct ProgramError(#[from] wasmtime::Error);

/// A compiled framework, and what it is started with.
#[derive(Clone)]
pub struct Program {
    engine: Engine,
    module: Module,
    args: Vec<String>,
    env: Vec<(String, String)>,
    bundle: String,
}

impl Program {
    /// A core module for WASI preview 1, in bytes.
    ///
    /// # Errors
    /// [`ProgramError`] if it is none.
    pub fn new(module: &[u8]) -> Result<Self, ProgramError> {
        let engine = Engine::new(Config::new().epoch_interruption(true))?;
        let module = Module::new(&engine, module)?;
        Ok(Self { engine, module, args: Vec::new(), env: Vec::new(), bundle: String::new() })
    }

    /// With an argument, behind the others.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With a module that it may launch, as `skep framework run --file` bundles one.
    #[must_use]
    pub fn bundle(mut self, name: &str, module: Digest) -> Self {
        self.bundle += &format!("{module} {name}\n");
        self
    }

    /// An instance, which begins when the cluster connects it.
    pub fn start(&self) -> Guest {
        let (program, talk) = (self.clone(), Arc::default());
        Guest { program, talk, thread: None, ending: None }
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { args, env, bundle, .. } = self;
        let mut program = f.debug_struct("Program");
        let program = program.field("args", args).field("env", env).field("bundle", bundle);
        program.finish_non_exhaustive()
    }
}

/// A framework that runs as a guest. It ends when this is dropped.
///
/// # Panics
/// Its methods do if the guest dies otherwise than by the end of its `main`, with what it wrote to
/// its standard error; or if it does not come to rest.
#[derive(Debug)]
pub struct Guest {
    program: Program,
    talk: Arc<Talk>,
    thread: Option<JoinHandle<()>>,
    ending: Option<Ending>,
}

impl Guest {
    /// Waits until the guest has nothing more to do.
    fn rest(&mut self) {
        match self.talk.rest(PATIENCE) {
            None => {}
            Some(Ok(())) => self.ending = Some(Ending::Done),
            Some(Err(why)) => panic!("the guest has died: {why}"),
        }
    }
}

impl Party for Guest {
    fn connected(&mut self, now: Time) {
        self.talk.connect(now);
        if self.thread.is_none() {
            let host = Host::new(self.program.clone(), Arc::clone(&self.talk));
            self.thread = Some(std::thread::spawn(move || host.run()));
        }
        self.rest();
    }

    fn disconnected(&mut self, now: Time) {
        self.talk.disconnect(now);
        self.rest();
    }

    fn handle(&mut self, now: Time, event: Event) {
        self.talk.tell(now, event.encode().to_vec());
        self.rest();
    }

    fn deadline(&self) -> Option<Time> {
        self.talk.due()
    }

    fn woken(&mut self, now: Time) {
        self.talk.wake(now);
        self.rest();
    }

    fn take_calls(&mut self) -> Vec<Call> {
        self.talk.take_calls()
    }

    fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.talk.stop();
        self.program.engine.increment_epoch();
        if let Some(thread) = self.thread.take() {
            // Its end was told already, if anybody asked.
            let _ = thread.join();
        }
    }
}
