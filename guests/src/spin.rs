//! Computes for ever and never calls the host: only a limit or a kill ends it.

use std::hint::black_box;

fn main() {
    let mut count: u64 = 0;
    while black_box(true) {
        count = black_box(count.wrapping_add(1));
    }
}
