//! Prints what it was given: a line for each argument, the program's name first, then a line
//! `NAME=value` for each name of its environment, sorted.

#![expect(clippy::print_stdout, reason = "a guest speaks through its standard output")]

use std::{collections::BTreeMap, env};

fn main() {
    for argument in env::args() {
        println!("{argument}");
    }
    for (name, value) in env::vars().collect::<BTreeMap<_, _>>() {
        println!("{name}={value}");
    }
}
