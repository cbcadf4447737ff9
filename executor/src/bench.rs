//! For `skep bench compute` alone: runs a program of ours in this process, metered in one way or
//! another, to tell what each way costs.
//!
//! Always holds: what is measured is compiled with the settings of `engine.rs`, but for what is
//! compared. Deliberately absent: everything that makes a sandbox of an engine; no guest of
//! anybody's runs here.

use crate::{engine, guest::SLICE_FUEL};
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::runtime;
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::{
    WasiCtxBuilder,
    p1::{self, WasiP1Ctx},
    p2::pipe::MemoryOutputPipe,
};

/// How often the epoch moves: the slice that fuel gives a guest is about as long.
const EPOCH: Duration = Duration::from_millis(1);
/// What a program of ours may print: a number.
const OUTPUT_BYTES_MAX: usize = 4096;

/// What interrupts a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metering {
    /// Nothing, as with plain wasmtime.
    None,
    /// Fuel, as in skep's sandbox.
    Fuel,
    /// The epoch.
    Epoch,
    /// Both.
    Both,
}

/// What a NaN looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nan {
    /// As the processor makes it, as with plain wasmtime.
    Processor,
    /// The same everywhere, as in skep's sandbox.
    Canonical,
}

/// A program, compiled.
pub struct Program {
    module: Module,
    metering: Metering,
    ticker: Option<Ticker>,
}

/// What a run gave, and the processor time that it took.
#[derive(Debug)]
pub struct Run {
    /// What it printed.
    pub stdout: String,
    /// Processor time of the thread that ran it.
    pub cpu: Duration,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// Wasmtime's, in its words.
    pub fn new(wasm: &[u8], metering: Metering, nan: Nan) -> Result<Self, String> {
        let fuel = matches!(metering, Metering::Fuel | Metering::Both);
        let epoch = matches!(metering, Metering::Epoch | Metering::Both);
        let mut config = engine::settings();
        config
            .consume_fuel(fuel)
            .epoch_interruption(epoch)
            .cranelift_nan_canonicalization(nan == Nan::Canonical);
        let engine = Engine::new(&config).map_err(words)?;
        let module = Module::new(&engine, wasm).map_err(words)?;
        let ticker = epoch.then(|| Ticker::start(engine));
        Ok(Self { module, metering, ticker })
    }

    /// Runs it once.
    ///
    /// # Errors
    /// Wasmtime's, in its words; also if the program exits otherwise than by returning.
    pub fn run(&self, args: &[&str]) -> Result<Run, String> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(words)?;
        let stdout = MemoryOutputPipe::new(OUTPUT_BYTES_MAX);
        let wasi = WasiCtxBuilder::new().arg("bench").args(args).stdout(stdout.clone()).build_p1();
        let engine = self.module.engine();
        let mut linker = Linker::new(engine);
        p1::add_to_linker_async(&mut linker, |wasi: &mut WasiP1Ctx| wasi).map_err(words)?;
        let mut store = Store::new(engine, wasi);
        if matches!(self.metering, Metering::Fuel | Metering::Both) {
            store.set_fuel(u64::MAX).map_err(words)?;
            store.fuel_async_yield_interval(Some(SLICE_FUEL)).map_err(words)?;
        }
        if self.ticker.is_some() {
            store.set_epoch_deadline(1);
            store.epoch_deadline_async_yield_and_update(1);
        }
        let cpu = runtime.block_on(async {
            let instance = linker.instantiate_async(&mut store, &self.module).await?;
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            let before = thread_cpu();
            start.call_async(&mut store, ()).await?;
            Ok::<_, wasmtime::Error>(thread_cpu().saturating_sub(before))
        });
        let cpu = cpu.map_err(words)?;
        let stdout = String::from_utf8_lossy(&stdout.contents()).into_owned();
        Ok(Run { stdout, cpu })
    }
}

/// The processor time that this thread has had.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn words(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

/// Moves an engine's epoch until it is dropped.
struct Ticker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: Engine) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        #[expect(clippy::disallowed_methods, reason = "it ticks, and waits for nothing")]
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(EPOCH);
                engine.increment_epoch();
            }
        });
        Self { stopped, thread: Some(thread) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of a loop that only counts has nothing to tell.
            let _ = thread.join();
        }
    }
}
