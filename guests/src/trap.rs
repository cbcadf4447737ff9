//! Panics in the innermost of three functions, so that a backtrace has names to show.

use std::{env, hint::black_box};

fn main() {
    outer(black_box(env::args().count()));
}

#[inline(never)]
fn outer(depth: usize) {
    middle(black_box(depth) + 1);
    black_box(());
}

#[inline(never)]
fn middle(depth: usize) {
    inner(black_box(depth) + 1);
    black_box(());
}

#[inline(never)]
fn inner(depth: usize) {
    panic!("trapped at depth {}", black_box(depth));
}
