//! Compiling a module into an artifact, in a process of its own that does nothing else.
//!
//! Cranelift is the part of wasmtime that a hostile module can keep busy longest: 45 KB can cost
//! seconds and a gigabyte. So it runs in a child of the agent that holds itself to a budget of time
//! and memory and then dies. Always holds: an artifact appears whole or not at all.

use crate::{component, engine, host, lines, precheck};
use rustix::{
    process::{Resource, Rlimit, nice, setrlimit},
    time::{ClockId, clock_gettime},
};
use skep_protocol::{Nans, bounds::MODULE_BYTES_MAX};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};
use wasmtime::Module;

/// What compiling a module may take: real code takes two seconds of CPU and some fifty bytes of
/// memory for each byte of the module.
const CPU_BASE: Duration = Duration::from_secs(10);
const CPU_PER_MIB: Duration = Duration::from_secs(5);
const MEMORY_BYTES_BASE: u64 = 1536 << 20;
const MEMORY_BYTES_PER_BYTE: u64 = 64;
/// The kernel's own limit lies above ours, which has time to say what happened.
const CPU_GRACE: Duration = Duration::from_secs(5);
const CPU_LOOK_EVERY: Duration = Duration::from_millis(100);
/// Compiling is never more urgent than the guests that run.
const NICENESS: i32 = 10;

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

/// Holds this process to the budget of `module` and compiles it. For a process of its own: the
/// limits stay. Should it need more memory than its budget, the process dies of SIGABRT.
///
/// # Errors
/// [`CompileError`]
pub fn compile(module: &Path, artifact: &Path, nans: Nans) -> Result<CompileReport, CompileError> {
    let bytes = read(module)?;
    let budget = Budget::of(bytes.len() as u64);
    budget.impose().map_err(|error| failed("the compiler cannot limit itself", error))?;
    let artifact = artifact.to_owned();
    let (done, result) = channel();
    thread::spawn(move || done.send(compile_bytes(&bytes, &artifact, nans)));
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

/// As [`compile`], within a process that has other things to do: without limits, for tests.
///
/// # Errors
/// [`CompileError`]
pub fn compile_unlimited(
    module: &Path,
    artifact: &Path,
    nans: Nans,
) -> Result<CompileReport, CompileError> {
    compile_bytes(&read(module)?, artifact, nans)
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

fn compile_bytes(bytes: &[u8], artifact: &Path, nans: Nans) -> Result<CompileReport, CompileError> {
    let engine =
        engine::compiling(nans).map_err(|error| failed("no engine", error.root_cause()))?;
    let provided =
        host::provided(&engine).map_err(|error| failed("no imports", error.root_cause()))?;
    let rejected = |why: String| CompileError::Rejected { why };
    if skep_admission::is_component(bytes) {
        let compiled = component::admit::compile(&engine, bytes).map_err(rejected)?;
        return write(artifact, bytes, &[&compiled]);
    }
    precheck::check(bytes, &provided).map_err(rejected)?;
    Module::validate(&engine, bytes)
        .map_err(|error| rejected(format!("it is no valid module: {}", error.root_cause())))?;
    let compiled = engine
        .precompile_module(bytes)
        .map_err(|error| rejected(format!("it cannot be compiled: {}", error.root_cause())))?;
    write(artifact, bytes, &[&compiled, &lines::table(bytes)])
}

fn write(artifact: &Path, bytes: &[u8], parts: &[&[u8]]) -> Result<CompileReport, CompileError> {
    write_whole(artifact, parts)
        .map_err(|error| failed(&format!("cannot write {artifact:?}"), error))?;
    let artifact_bytes = parts.iter().map(|part| part.len() as u64).sum();
    Ok(CompileReport { module_bytes: bytes.len() as u64, artifact_bytes })
}

/// Writes a file under another name, syncs it and puts it in its place.
fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", process::id()));
    let written = File::create_new(&draft).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        // A draft that cannot be removed is swept with the cache; the first error matters more.
        let _ = fs::remove_file(&draft);
    }
    written
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
    fn of(module_bytes: u64) -> Self {
        let mebibytes = u32::try_from(module_bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let memory_bytes = MEMORY_BYTES_BASE + MEMORY_BYTES_PER_BYTE * module_bytes;
        Self { cpu: CPU_BASE + CPU_PER_MIB * mebibytes, memory_bytes, file_bytes: memory_bytes / 2 }
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
