//! A task of a job: sleeps, fails at its first attempt if its place says so, and writes its place
//! into files.

use std::{env, fs, io, process, thread, time::Duration};

#[expect(clippy::disallowed_methods, reason = "a task takes its time")]
fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(millis), Some(each)) = (number(), number()) else {
        let usage = "usage: act MILLISECONDS FAILS_EACH [FILE]...";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, usage));
    };
    let named = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let place = named("SKEP_TASK_INDEX").unwrap_or(0);
    thread::sleep(Duration::from_millis(millis));
    let is_chosen = each > 0 && place.is_multiple_of(each);
    if is_chosen && named("SKEP_TASK_ATTEMPT") == Some(1) {
        process::exit(1);
    }
    args.try_for_each(|file| fs::write(file, place.to_string()))
}
