//! Does nothing: what a task costs by itself.

fn main() {}
