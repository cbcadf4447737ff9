//! Runs one kernel and prints its checksum: `compute KERNEL ROUNDS`.

#![expect(clippy::print_stdout, reason = "a guest speaks through its standard output")]

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let [kernel, rounds] = words.as_slice() else { return ExitCode::FAILURE };
    let known = compute_kernels::KERNELS.iter().find(|known| known.name == kernel.as_str());
    let (Some(known), Ok(rounds)) = (known, rounds.parse()) else { return ExitCode::FAILURE };
    println!("{}", (known.run)(rounds));
    ExitCode::SUCCESS
}
