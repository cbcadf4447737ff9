//! Counts, slowly, and goes on counting wherever it is started again: after it has failed, after
//! its machine has died, on another machine of another kind.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a guest speaks through its standard output"
)]

use skep_guest::{checkpoint, progress, restored, set_result, sleep_unless_cancelled};
use std::{env, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let mut args = env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(goal)), Some(Ok(millis))) = (args.next(), args.next()) else {
        eprintln!("counter: say how far to count, and how many milliseconds to take for each step");
        return ExitCode::from(2);
    };
    let mut count = restored().and_then(|state| read(&state)).unwrap_or(0);
    println!("counting on from {count}");
    while count < goal {
        if sleep_unless_cancelled(Duration::from_millis(millis)) {
            println!("told to end at {count}");
            return ExitCode::FAILURE;
        }
        count += 1;
        // Outside of skep there is nobody to keep it, and nobody to tell.
        let _ = checkpoint(&count.to_le_bytes());
        let _ = progress(count, goal, "");
    }
    println!("counted to {count}");
    let _ = set_result(count.to_string().as_bytes());
    ExitCode::SUCCESS
}

fn read(state: &[u8]) -> Option<u64> {
    state.try_into().ok().map(u64::from_le_bytes)
}
