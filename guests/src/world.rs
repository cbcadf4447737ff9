//! Looks at all that differs between machines and runs, and prints it: times, random numbers,
//! floats, what a NaN looks like, the files of the directory that the first argument names. Waits
//! for an hour on the way.

#![expect(clippy::print_stdout, reason = "a guest speaks through its standard output")]

use std::{
    collections::HashMap,
    env, fs,
    hash::{BuildHasher as _, RandomState},
    io::Read as _,
    thread,
    time::{Duration, Instant, SystemTime},
};

fn main() {
    let start = Instant::now();
    println!("now {:?}", SystemTime::UNIX_EPOCH.elapsed().expect("a time after the epoch"));
    println!("random {:016x}", RandomState::new().hash_one("seed"));
    let map: HashMap<u32, u32> = (0..20).map(|n| (n, n * n)).collect();
    println!("order {:?}", map.keys().collect::<Vec<_>>());
    let sum: f64 = (1..2_000).map(|n| (f64::from(n) * 0.7).sin() / f64::from(n).sqrt()).sum();
    println!("float {:016x}", sum.to_bits());
    let zero = if env::args().count() == 0 { 1.0 } else { 0.0_f64 };
    let nan = -(zero * f64::INFINITY).sqrt();
    println!("nan {:016x}", nan.to_bits());
    #[expect(clippy::disallowed_methods, reason = "to wait is what it looks at")]
    thread::sleep(Duration::from_secs(3_600));
    println!("waited {:?}", start.elapsed());
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input).expect("standard input");
    println!("input {} {}", input.len(), input.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    if let Some(dir) = env::args().nth(1) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("metadata");
            let bytes = fs::read(entry.path()).expect("a file");
            let modified = metadata.modified().expect("a time");
            println!("file {:?} {} {bytes:?} {modified:?}", entry.file_name(), metadata.len());
        }
    }
}
