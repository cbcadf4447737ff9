//! Sleeps for as many milliseconds as its first argument says.

use std::{env, thread, time::Duration};

#[expect(clippy::disallowed_methods, reason = "sleeping is what this guest is for")]
fn main() {
    let millis = env::args().nth(1).and_then(|text| text.parse().ok());
    thread::sleep(Duration::from_millis(millis.expect("usage: sleep MILLISECONDS")));
}
