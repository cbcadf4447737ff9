//! The behaviours, by name, and what all of them use.
//!
//! Without an argument the guest prints the names of the behaviours; with one of these it tries
//! that one in the directory that was opened beforehand, which must be empty, and panics with a
//! sentence at the first answer that is wrong. They cover what the public test suite of WASI
//! covers. Where two answers are right by the specification, both are accepted.

mod fds;
mod files;
mod links;
mod listing;
mod names;
mod opening;
mod p1;
mod world;

use p1::{Answer, Errno, Fd, How, OFLAGS_CREAT};
use std::{env, fmt::Debug, process::ExitCode};

/// What is tried, and how, in the directory `fd`.
type Behaviour = (&'static str, fn(Fd));

/// The first directory that is opened beforehand.
const ROOT: Fd = 3;
/// File descriptors that a guest has from its start.
const STDIN: Fd = 0;
const STDOUT: Fd = 1;
const STDERR: Fd = 2;

pub(super) fn main() -> ExitCode {
    let groups = [
        files::BEHAVIOURS,
        fds::BEHAVIOURS,
        links::BEHAVIOURS,
        listing::BEHAVIOURS,
        names::BEHAVIOURS,
        opening::BEHAVIOURS,
        world::BEHAVIOURS,
    ];
    let mut all = groups.into_iter().flatten();
    let Some(wanted) = env::args().nth(1) else {
        all.for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, check)) = all.find(|(name, _)| *name == wanted) else {
        println!("no behaviour is named {wanted:?}");
        return ExitCode::FAILURE;
    };
    check(ROOT);
    ExitCode::SUCCESS
}

/// An answer that must be a refusal, for one of these reasons.
#[track_caller]
fn refused<T: Debug>(answer: Answer<T>, reasons: &[Errno]) {
    match answer {
        Ok(value) => panic!("it must be refused, but gave {value:?}"),
        Err(reason) => assert!(reasons.contains(&reason), "{reason:?} is none of {reasons:?}"),
    }
}

/// Makes an empty file.
#[track_caller]
fn touch(dir: Fd, path: &str) {
    let file = open_new(dir, path);
    p1::close(file).expect("a file can be closed");
}

/// Makes a file, open to read and write.
#[track_caller]
fn open_new(dir: Fd, path: &str) -> Fd {
    let file = p1::open(dir, path, How::file(OFLAGS_CREAT)).expect("a file can be made");
    assert!(file > STDERR, "{file} is the number of a standard stream");
    file
}

/// Makes a file with these bytes.
#[track_caller]
fn put(dir: Fd, path: &str, bytes: &[u8]) {
    let file = open_new(dir, path);
    assert_eq!(p1::write(file, bytes), Ok(bytes.len()));
    p1::close(file).expect("a file can be closed");
}

/// Makes a directory, and opens it.
#[track_caller]
fn new_dir(dir: Fd, path: &str) -> Fd {
    p1::make_dir(dir, path).expect("a directory can be made");
    let how = How { inheriting: p1::READ_WRITE, ..How::flags(p1::OFLAGS_DIRECTORY) };
    p1::open(dir, path, how).expect("a directory can be opened")
}

/// The bytes of a file.
#[track_caller]
fn contents(dir: Fd, path: &str) -> Vec<u8> {
    let file = p1::open(dir, path, How::file(0)).expect("a file can be opened");
    let mut bytes = vec![0; 4096];
    let count = p1::read(file, &mut bytes).expect("a file can be read");
    p1::close(file).expect("a file can be closed");
    bytes.truncate(count);
    bytes
}
