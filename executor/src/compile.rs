//! Compiling a module into an artifact, in a process of its own that does nothing else.
//!
//! Cranelift is the part of wasmtime that a hostile module can keep busy longest: 45 KB can cost
//! seconds and a gigabyte. So it runs in a child of the agent that holds itself to a budget of time
//! and memory and then dies. And it is in jail like an executor: a module that took the compiler
//! over could write its own artifact wrong, which its own tasks would run in their own jail, and
//! nothing else. Always holds: an artifact is whole and synced when the compiler says that it is.

use crate::{
    component, engine, host,
    jail::{self, Files, Jail, JailError, Network, Strictness},
    lines, precheck,
};
use rustix::{
    process::{Resource, Rlimit, nice, setrlimit},
    time::{ClockId, clock_gettime},
};
use skep_protocol::{ModuleLimits, Nans, bounds::MODULE_BYTES_MAX};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};
use wasmtime::Module;

/// The kernel's own limit lies above ours, which has time to say what happened.
const CPU_GRACE: Duration = Duration::from_secs(5);
const CPU_LOOK_EVERY: Duration = Duration::from_millis(100);
/// Compiling is never more urgent than the guests that run.
const NICENESS: i32 = 10;

/// What a compiler is to do.
#[derive(Clone, Debug)]
pub struct CompileOrder {
    /// The file of the module.
    pub module: PathBuf,
    /// Where the artifact goes: a file that is not there yet. Worth nothing unless all went well.
    pub artifact: PathBuf,
    /// Whose NaNs.
    pub nans: Nans,
    /// What the module may be like, and what it may take.
    pub limits: ModuleLimits,
    /// What is done about a kernel that lacks a layer of the jail.
    pub strictness: Strictness,
}

/// What came of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileReport {
    /// Bytes of the module.
    pub module_bytes: u64,
    /// Bytes of the artifact.
    pub artifact_bytes: u64,
}

/// Why there is no artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The module is at fault; compiling it again would end the same way.
    #[error("{why}")]
    Rejected {
        /// What is wrong with it and what to do.
        why: String,
    },
    /// The machine or the caller is at fault.
    #[error("{why}")]
    Failed {
        /// What went wrong.
        why: String,
    },
}

/// Holds this process to the budget of a module, jails it with nothing but the open artifact, and
/// compiles. For a process of its own, and its only thread: limits and jail stay. Should it need
/// more memory than its budget, the process dies of SIGABRT.
///
/// # Errors
/// [`CompileError`]
pub fn compile(order: &CompileOrder) -> Result<CompileReport, CompileError> {
    let CompileOrder { nans, limits, strictness, .. } = *order;
    jail::close_inherited().map_err(|error| failed("cannot close what it inherited", error))?;
    let bytes = read(&order.module)?;
    let artifact = File::create_new(&order.artifact)
        .map_err(|error| failed(&format!("cannot make {:?}", order.artifact), error))?;
    let budget = Budget::of(bytes.len() as u64, &limits);
    budget.impose().map_err(|error| failed("the compiler cannot limit itself", error))?;
    enter_jail(strictness).map_err(|error| failed("the compiler cannot enter its jail", error))?;
    let (done, result) = channel();
    thread::spawn(move || done.send(compile_bytes(&bytes, artifact, nans, &limits)));
    loop {
        match result.recv_timeout(CPU_LOOK_EVERY) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => budget.check()?,
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the compiler failed on this module: a fault in wasmtime".into();
                return Err(CompileError::Rejected { why });
            }
        }
    }
}

fn enter_jail(strictness: Strictness) -> Result<(), JailError> {
    jail::enter(&Jail {
        strictness,
        user: None,
        root: None,
        dirs: BTreeMap::new(),
        network: Network::Closed,
        files: Files::Own,
    })
}

/// As [`compile`], within a process that has other things to do: without jail and budget, by the
/// default limits, for tests and benchmarks. What was there is replaced; a failure leaves nothing.
///
/// # Errors
/// [`CompileError`]
pub fn compile_unlimited(
    module: &Path,
    artifact: &Path,
    nans: Nans,
) -> Result<CompileReport, CompileError> {
    let bytes = read(module)?;
    let file = File::create(artifact)
        .map_err(|error| failed(&format!("cannot make {artifact:?}"), error))?;
    let result = compile_bytes(&bytes, file, nans, &ModuleLimits::default());
    if result.is_err() {
        // The first error matters more.
        let _ = fs::remove_file(artifact);
    }
    result
}

fn read(module: &Path) -> Result<Vec<u8>, CompileError> {
    let size = fs::metadata(module).map(|metadata| metadata.len());
    let size = size.map_err(|error| failed(&format!("cannot read {module:?}"), error))?;
    if size > MODULE_BYTES_MAX {
        let why = format!("it has {size} bytes, a module may have {MODULE_BYTES_MAX}");
        return Err(CompileError::Rejected { why });
    }
    fs::read(module).map_err(|error| failed(&format!("cannot read {module:?}"), error))
}

fn compile_bytes(
    bytes: &[u8],
    artifact: File,
    nans: Nans,
    limits: &ModuleLimits,
) -> Result<CompileReport, CompileError> {
    let engine =
        engine::compiling(nans).map_err(|error| failed("no engine", error.root_cause()))?;
    let provided =
        host::provided(&engine).map_err(|error| failed("no imports", error.root_cause()))?;
    // That a feature is off is the better reason: without it no other may be there.
    let rejected = |why: String| CompileError::Rejected {
        why: skep_admission::lacking_features(bytes).unwrap_or(why),
    };
    if skep_admission::is_component(bytes) {
        let compiled = component::admit::compile(&engine, bytes, limits).map_err(rejected)?;
        return write(artifact, bytes, &[&compiled]);
    }
    precheck::check(bytes, &provided, limits).map_err(rejected)?;
    Module::validate(&engine, bytes).map_err(|error| {
        rejected(format!("it is no valid module, a fault of what made it: {}", error.root_cause()))
    })?;
    let compiled = engine
        .precompile_module(bytes)
        .map_err(|error| rejected(format!("it cannot be compiled: {}", error.root_cause())))?;
    write(artifact, bytes, &[&compiled, &lines::table(bytes)])
}

fn write(mut artifact: File, bytes: &[u8], parts: &[&[u8]]) -> Result<CompileReport, CompileError> {
    let written = parts.iter().try_for_each(|part| artifact.write_all(part));
    let written = written.and_then(|()| artifact.sync_all());
    written.map_err(|error| failed("cannot write the artifact", error))?;
    let artifact_bytes = parts.iter().map(|part| part.len() as u64).sum();
    Ok(CompileReport { module_bytes: bytes.len() as u64, artifact_bytes })
}

fn failed(what: &str, error: impl std::fmt::Display) -> CompileError {
    CompileError::Failed { why: format!("{what}: {error}") }
}

/// What the compiler may use.
struct Budget {
    cpu: Duration,
    memory_bytes: u64,
    file_bytes: u64,
}

impl Budget {
    fn of(module_bytes: u64, limits: &ModuleLimits) -> Self {
        let memory_bytes = limits.compile_memory(module_bytes);
        let cpu = limits.compile_cpu(module_bytes);
        Self { cpu, memory_bytes, file_bytes: memory_bytes / 2 }
    }

    /// Memory is limited by RLIMIT_DATA, not by address space: that one would also count what the
    /// allocator reserves for each thread and never touches.
    fn impose(&self) -> io::Result<()> {
        let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(Resource::Cpu, limit((self.cpu + CPU_GRACE).as_secs()))?;
        setrlimit(Resource::Data, limit(self.memory_bytes))?;
        setrlimit(Resource::Fsize, limit(self.file_bytes))?;
        setrlimit(Resource::Core, limit(0))?;
        nice(NICENESS)?;
        Ok(())
    }

    fn check(&self) -> Result<(), CompileError> {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        if used.tv_sec.unsigned_abs() < self.cpu.as_secs() {
            return Ok(());
        }
        let why = format!("compiling it takes more than {} s of CPU", self.cpu.as_secs());
        Err(CompileError::Rejected { why })
    }
}
