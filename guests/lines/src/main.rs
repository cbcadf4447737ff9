//! Traps in the innermost of three functions, so that a backtrace has lines to show.
//!
//! Without the standard library, whose debug information would be ten times as large as the rest.

#![cfg_attr(target_arch = "wasm32", no_std, no_main)]
#![expect(unsafe_code, reason = "without the standard library a program exports its own start")]

use core::hint::black_box;
#[cfg(target_arch = "wasm32")]
use core::{arch::wasm32::unreachable, panic::PanicInfo};

#[cfg(target_arch = "wasm32")]
#[link(name = "c")]
unsafe extern "C" {}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    unreachable()
}

/// What the C library's start calls.
#[unsafe(no_mangle)]
extern "C" fn __main_void() -> i32 {
    outer(black_box(3));
    0
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
    black_box(depth);
    panic!("trapped");
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    __main_void();
}
