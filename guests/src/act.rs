//! A task of a job: sleeps, fails at its first attempt if its place says so, writes its place into
//! files and leaves it as its result.

use std::{env, fs, process, thread, time::Duration};

#[expect(clippy::disallowed_methods, reason = "a task takes its time")]
fn main() {
    let mut args = env::args().skip(1);
    let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(millis), Some(each)) = (number(), number()) else {
        panic!("usage: act MILLISECONDS FAILS_EACH [FILE]...");
    };
    let named = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let place = named("SKEP_TASK_INDEX").unwrap_or(0);
    thread::sleep(Duration::from_millis(millis));
    let is_chosen = each > 0 && place.is_multiple_of(each);
    if is_chosen && named("SKEP_TASK_ATTEMPT") == Some(1) {
        process::exit(1);
    }
    for file in args {
        fs::write(file, place.to_string()).expect("a folder of its own");
    }
    skep_guest::set_result(place.to_string().as_bytes()).expect("a short result");
}
