//! Exits with the code that its first argument names.

use std::{env, process};

fn main() {
    let code = env::args().nth(1).and_then(|text| text.parse().ok());
    process::exit(code.expect("usage: exit CODE"));
}
