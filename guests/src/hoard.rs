//! Takes memory, a mebibyte at a time, until it is refused; then aborts, as Rust programs do.

use std::hint::black_box;

const MEBIBYTE: usize = 1 << 20;

fn main() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1u8; MEBIBYTE]);
        black_box(&hoard);
    }
}
