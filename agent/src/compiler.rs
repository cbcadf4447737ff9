//! `skep compile`: the short-lived process that checks and compiles modules.
//!
//! Its contract: `compile --describe` prints one line of JSON; `compile MODULE ARTIFACT`, with
//! [`DETERMINISTIC`] or without, ends with 0 if it made the whole artifact, with [`REJECTED`] and a
//! sentence on stderr if the module is at fault, and otherwise if it is not. Whatever it left in
//! the artifact's place is worth nothing then.

use crate::config::Sandbox;
use serde::Deserialize;
use skep_agent_core::CompileFailure;
use skep_protocol::{ModuleLimits, Nans, bounds::WHY_BYTES_MAX};
use std::{
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    thread::available_parallelism,
};
use tokio::{process::Command, time::timeout};

/// Asks for machine code whose NaNs are the same on every processor.
const DETERMINISTIC: &str = "--deterministic";
/// The exit code that blames the module.
const REJECTED: i32 = 3;
/// The compiler bounds its own use of the processor; its waiting for one may be that much longer.
const WALL_PER_CPU: u32 = 6;
/// What stands before the sentence of a command that failed.
const SPEAKER: &str = "skep: ";

/// What the compiler says of itself and of the executors of its build.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Description {
    /// Names all that decides compiled code: artifacts of another fingerprint do not fit.
    pub(crate) fingerprint: String,
    /// The limits and grants that executors enforce.
    pub(crate) enforces: Vec<String>,
    /// The layers of the jail that this kernel lacks.
    pub(crate) missing_layers: Vec<String>,
}

/// The skep binary cannot compile.
#[derive(Debug, thiserror::Error)]
pub enum CompilerError {
    /// It cannot be started.
    #[error("`{program} compile` cannot be started")]
    Start {
        /// The binary.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It does not say what it is.
    #[error("`{program} compile --describe` failed: {why}")]
    Describe {
        /// The binary.
        program: String,
        /// What went wrong.
        why: String,
    },
}

/// Asks the compiler what it is.
pub(crate) async fn describe(program: &Path) -> Result<Description, CompilerError> {
    let name = program.display().to_string();
    let output = command(program).arg("--describe").output().await;
    let output = output.map_err(|source| CompilerError::Start { program: name.clone(), source })?;
    let parsed = if output.status.success() {
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    } else {
        Err(last_line(&output))
    };
    let fits = |description: &Description| is_folder_name(&description.fingerprint);
    match parsed {
        Ok(description) if fits(&description) => Ok(description),
        Ok(_) => {
            let why = "its fingerprint cannot name a folder".into();
            Err(CompilerError::Describe { program: name, why })
        }
        Err(why) => Err(CompilerError::Describe { program: name, why }),
    }
}

/// The compiler of an agent: where it lies, and how far it may go.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) program: PathBuf,
    pub(crate) limits: ModuleLimits,
    pub(crate) sandbox: Sandbox,
}

impl Compiler {
    /// Has a module of `module_bytes` compiled.
    pub(crate) async fn compile(
        &self,
        module: &Path,
        artifact: &Path,
        nans: Nans,
        module_bytes: u64,
    ) -> Result<(), CompileFailure> {
        let wall_max = self.limits.compile_cpu(module_bytes).saturating_mul(WALL_PER_CPU);
        let mut command = command(&self.program);
        command.arg("--sandbox").arg(self.sandbox.name());
        command.arg("--module-limits").arg(self.limits.to_string());
        if nans == Nans::Canonical {
            command.arg(DETERMINISTIC);
        }
        let running = command.arg(module).arg(artifact).output();
        match timeout(wall_max, running).await {
            Ok(Ok(output)) => verdict(&output),
            Ok(Err(error)) => Err(failed(format!("the compiler cannot be started: {error}"))),
            Err(_) => Err(failed(format!("it took longer than {} s", wall_max.as_secs()))),
        }
    }
}

/// How a compiler dies of its own limits on memory, time and output, or of a fault of its own that
/// a module sets off; whoever sends another signal means the process and not the module.
const BLAMED_SIGNALS: [i32; 4] = [
    rustix::process::Signal::ABORT.as_raw(),
    rustix::process::Signal::SEGV.as_raw(),
    rustix::process::Signal::XCPU.as_raw(),
    rustix::process::Signal::XFSZ.as_raw(),
];

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("compile")
        .env_clear()
        // A backtrace would stand between us and its one sentence.
        .env("RUST_BACKTRACE", "0")
        .env("RAYON_NUM_THREADS", threads().to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Half of the processors, so that starts of other tasks find one free; at a lower priority
/// besides (`skep compile` sees to that).
fn threads() -> usize {
    available_parallelism().map_or(1, |count| count.get().div_ceil(2))
}

fn verdict(output: &Output) -> Result<(), CompileFailure> {
    match output.status.code() {
        Some(0) => Ok(()),
        Some(REJECTED) => Err(CompileFailure::Rejected { why: last_line(output) }),
        None if output.status.signal().is_some_and(|signal| BLAMED_SIGNALS.contains(&signal)) => {
            let why = format!("compiling it takes more than is allowed: {}", output.status);
            Err(CompileFailure::Rejected { why })
        }
        _ => Err(failed(died(output.status, &last_line(output)))),
    }
}

fn died(status: ExitStatus, said: &str) -> String {
    if said.is_empty() { format!("the compiler ended with {status}") } else { said.into() }
}

fn failed(why: String) -> CompileFailure {
    CompileFailure::Failed { why }
}

/// The last thing a process said before it ended.
fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let line = line.strip_prefix(SPEAKER).unwrap_or(line);
    line[..line.floor_char_boundary(WHY_BYTES_MAX)].into()
}

fn is_folder_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, stderr: &str) -> Output {
        let status = ExitStatus::from_raw(code << 8);
        Output { status, stdout: Vec::new(), stderr: stderr.into() }
    }

    #[test]
    fn only_the_agreed_exit_code_blames_the_module() {
        assert_eq!(verdict(&ended(0, "")), Ok(()));
        let rejected = CompileFailure::Rejected { why: "it imports env.fork".into() };
        assert_eq!(verdict(&ended(3, "a warning\nskep: it imports env.fork\n")), Err(rejected));
        assert_eq!(verdict(&ended(1, "skep: disk full\n")), Err(failed("disk full".into())));
    }

    #[test]
    fn a_module_that_kills_the_compiler_is_to_blame() {
        let aborted = Output { status: ExitStatus::from_raw(6), ..ended(0, "out of memory") };
        let Err(CompileFailure::Rejected { why }) = verdict(&aborted) else { panic!("taken") };
        assert_eq!(why, "compiling it takes more than is allowed: signal: 6 (SIGABRT)");
    }

    #[test]
    fn a_compiler_that_dies_without_a_word_is_told_by_its_status() {
        let killed = Output { status: ExitStatus::from_raw(9), ..ended(0, "") };
        let Err(CompileFailure::Failed { why }) = verdict(&killed) else { panic!("not failed") };
        assert_eq!(why, "the compiler ended with signal: 9 (SIGKILL)");
    }

    #[tokio::test]
    async fn a_program_that_is_no_skep_is_refused() {
        let error = describe(Path::new("/nonexistent/skep")).await.expect_err("no such program");
        assert!(matches!(error, CompilerError::Start { .. }), "{error}");
        let error = describe(Path::new("/bin/false")).await.expect_err("not skep");
        assert!(matches!(error, CompilerError::Describe { .. }), "{error}");
        let error = describe(Path::new("/bin/echo")).await.expect_err("not skep");
        assert!(matches!(error, CompilerError::Describe { .. }), "{error}");
    }
}
