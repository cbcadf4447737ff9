//! Guests and modules that chance makes: whatever they do, the executor answers and goes on.
//!
//! One guest serves all runs of the first test: it reads from its standard input which functions
//! to call with which numbers. Found cases are small, because proptest makes them so.

use crate::kit::{Bench, EXITED, SECRET, files_of, guest_bytes, held_by};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use skep_executor::{CompileError, compile_unlimited};
use skep_protocol::{Nans, executor::StartGuest};
use std::{fmt::Write as _, fs, time::Duration};
use tokio::runtime::Runtime;

/// Every function of the host interface but `proc_exit`, with its parameters: `i` is 32 bits wide,
/// `l` is 64.
const FUNCTIONS: [(&str, &str); 47] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
    ("progress", "llii"),
    ("result", "ii"),
];
/// The two at the end are skep's.
const WASI_FUNCTIONS: usize = FUNCTIONS.len() - 2;
const ARGUMENTS_MAX: usize = 9;

/// Runs of the guest; each starts three guests and takes some milliseconds.
const RUNS: u32 = 96;
const CALLS_MAX: usize = 40;
/// Modules that are made of a real one by changing some bytes.
const MODULES: u32 = 256;
const DISK_BYTES: u64 = 64 << 10;
const FILES: u64 = 16;

/// One call: which function, with which numbers.
type Call = (usize, [i64; ARGUMENTS_MAX]);

/// The guest's text: at 0 it has a path, at 64 a list of buffers, at 65536 the calls to make, each
/// of which is the function's number and then its arguments.
fn text() -> String {
    let mut text = "(module\n".to_owned();
    for (place, (name, parameters)) in FUNCTIONS.iter().enumerate() {
        let module = if place < WASI_FUNCTIONS { "wasi_snapshot_preview1" } else { "skep" };
        let types = parameters.chars().map(|kind| if kind == 'i' { " i32" } else { " i64" });
        let types: String = types.collect();
        let line =
            format!("(import {module:?} {name:?} (func $f{place} (param{types}) (result i32)))");
        writeln!(text, "{line}").expect("text");
    }
    text += r#"
      (memory (export "memory") 16)
      (data (i32.const 0) "file\00folder/below\00../secret\00/etc/passwd")
      (data (i32.const 64) "\00\04\00\00\10\00\00\00\00\08\00\00\80\00\00\00")
      (func (export "_start") (local $at i32) (local $end i32)
        (local.set $end (i32.const 65536))
        (loop $read
          (i32.store (i32.const 32768) (local.get $end))
          (i32.store (i32.const 32772) (i32.const 4096))
          (drop (call $f20
            (i32.const 0) (i32.const 32768) (i32.const 1) (i32.const 32776)))
          (local.set $end (i32.add (local.get $end) (i32.load (i32.const 32776))))
          (br_if $read (i32.load (i32.const 32776))))
        (local.set $at (i32.const 65536))
        (loop $next
          (if (i32.lt_u (local.get $at) (local.get $end)) (then"#;
    for (place, (_, parameters)) in FUNCTIONS.iter().enumerate() {
        write!(text, "\n(if (i32.eq (i32.load (local.get $at)) (i32.const {place})) (then")
            .expect("text");
        write!(text, " (drop (call $f{place}").expect("text");
        for (argument, kind) in parameters.chars().enumerate() {
            let load = format!("(i64.load offset={} (local.get $at))", 8 + 8 * argument);
            let load = if kind == 'i' { format!("(i32.wrap_i64 {load})") } else { load };
            write!(text, " {load}").expect("text");
        }
        text += "))))";
    }
    text += "(local.set $at (i32.add (local.get $at) (i32.const 80))) (br $next))))))";
    text
}

fn encoded(calls: &[Call]) -> Vec<u8> {
    let words = calls.iter().flat_map(|(function, arguments)| {
        [i64::try_from(*function).expect("small")].into_iter().chain(*arguments)
    });
    words.flat_map(i64::to_le_bytes).collect()
}

/// Numbers as they are likely to hurt: descriptors, flags, lengths, addresses about the end of the
/// guest's memory, the ends of what fits.
fn number() -> impl Strategy<Value = i64> {
    let memory = 16_i64 << 16;
    prop_oneof![
        4 => 0_i64..6,
        2 => select(vec![4, 12, 64, 66, 100, 1_024, 32_768, 65_536]),
        1 => memory - 70..memory + 2,
        1 => select(vec![-1, i64::MIN, i64::MAX, 0x7fff_ffff, -0x8000_0000, 1 << 40]),
        1 => 0_i64..1 << 20,
        1 => any::<i64>(),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let arguments = proptest::array::uniform9(number());
    vec((0..FUNCTIONS.len(), arguments), 1..CALLS_MAX)
}

/// What is found is kept beside this file.
fn kept(config: Config) -> TestRunner {
    TestRunner::new(Config { source_file: Some(file!()), ..config })
}

#[test]
fn whatever_a_guest_asks_of_the_host_it_ends_and_nobody_else_does() {
    let runtime = Runtime::new().expect("threads");
    let bench = Bench::new();
    let module = wat::parse_str(text()).expect("the text is right");
    let mut guest = bench.guest_of("fuzzed", &module);
    guest.grants.dirs = bench.guest_with_directory("noop").grants.dirs;
    guest.limits.deadline = Some(Duration::from_millis(200));
    guest.limits.fuel = Some(100_000_000);
    (guest.limits.disk_bytes, guest.limits.files) = (DISK_BYTES, FILES);
    guest.limits.handles = 8;
    guest.limits.output_bytes = 4 << 10;
    guest.limits.random_bytes = Some(2 << 20);
    guest.memory_bytes = 2 << 20;
    let run = |calls: Vec<Call>| {
        let mut guest = guest.clone();
        bench.give_input(&mut guest, &encoded(&calls));
        let _ = fs::remove_dir_all(&guest.sandbox);
        fs::create_dir_all(files_of(&guest)).expect("made");
        fs::write(guest.sandbox.join("secret"), SECRET).expect("written");
        let end = runtime.block_on(bench.run(guest.clone()));
        let name = end.outcome.name();
        prop_assert!(!["failed", "lost", "refused"].contains(&name), "{:?}", end.outcome);
        let (bytes, names) = held_by(&files_of(&guest));
        prop_assert!(bytes <= DISK_BYTES && names <= FILES, "{bytes} bytes, {names} names");
        let kept = fs::read_to_string(guest.sandbox.join("secret")).expect("text");
        prop_assert_eq!(kept, SECRET);
        let next = StartGuest { ..bench.guest("noop") };
        prop_assert_eq!(runtime.block_on(bench.outcome(next)), EXITED);
        Ok(())
    };
    kept(skep_properties::cases(RUNS)).run(&calls(), run).expect("no case is found");
}

/// Compiles bytes; they may be taken or rejected, and nothing else.
fn is_taken_or_rejected(bytes: &[u8], folder: &std::path::Path) -> Result<(), TestCaseError> {
    let (file, artifact) = (folder.join("module.wasm"), folder.join("artifact"));
    fs::write(&file, bytes).expect("written");
    match compile_unlimited(&file, &artifact, Nans::Native) {
        Ok(_) => fs::remove_file(&artifact).expect("removed"),
        Err(CompileError::Rejected { why }) => prop_assert!(!why.is_empty()),
        Err(CompileError::Failed { why }) => prop_assert!(false, "{why}"),
    }
    Ok(())
}

#[test]
fn whatever_a_module_is_made_of_it_is_taken_or_rejected() {
    let folder = tempfile::tempdir().expect("a folder");
    let sources: Vec<_> =
        ["escape_across", "spin_branches", "trap_table_copy", "report"].map(guest_bytes).to_vec();
    let changes = vec((any::<Index>(), any::<u8>()), 1..6);
    let run = |(mut bytes, changes): (Vec<u8>, Vec<(Index, u8)>)| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        is_taken_or_rejected(&bytes, folder.path())
    };
    let spoilt = (select(sources), changes);
    kept(skep_properties::cases(MODULES)).run(&spoilt, run).expect("no case is found");
    let run = |bytes: Vec<u8>| {
        let bytes = [b"\0asm\x01\0\0\0", bytes.as_slice()].concat();
        is_taken_or_rejected(&bytes, folder.path())
    };
    let made_up = vec(any::<u8>(), 0..200);
    kept(skep_properties::cases(MODULES)).run(&made_up, run).expect("no case is found");
}
