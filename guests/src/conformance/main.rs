//! Asks the host for everything that WASI preview 1 promises, a behaviour at a time.
//!
//! Nothing of it means anything outside a sandbox: built for this machine it only says so.

#![expect(clippy::print_stdout, reason = "a guest speaks through its standard output")]

use std::process::ExitCode;

#[cfg(target_arch = "wasm32")]
mod ask;

#[cfg(target_arch = "wasm32")]
fn main() -> ExitCode {
    ask::main()
}

#[cfg(not(target_arch = "wasm32"))]
fn main() -> ExitCode {
    println!("build it for wasm32-wasip1 and run it in skep");
    ExitCode::FAILURE
}
