//! Opening paths: with each flag, of each kind of thing.

use super::{Behaviour, STDERR, new_dir, open_new, p1::*, refused, touch};

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("what is missing is not opened", missing),
    ("creating exclusively fails where something is", exclusive),
    ("creating opens what exists", create_existing),
    ("a directory is asked for", directory),
    ("a directory is not opened to write", directory_to_write),
    ("a file is opened without blocking", nonblocking),
    ("each open file has a number of its own", numbers),
    ("flags that exclude each other are refused", contradiction),
    ("a directory that was opened is a place like another", in_directory),
];

fn missing(dir: Fd) {
    refused(open(dir, "file", How::file(0)), &[ERRNO_NOENT]);
    refused(open(dir, "file", How::flags(OFLAGS_DIRECTORY)), &[ERRNO_NOENT]);
    refused(open(dir, "file", How::flags(OFLAGS_EXCL)), &[ERRNO_NOENT, ERRNO_INVAL]);
    refused(open(dir, "inner/file", How::file(OFLAGS_CREAT)), &[ERRNO_NOENT]);
}

fn exclusive(dir: Fd) {
    let how = How::file(OFLAGS_CREAT | OFLAGS_EXCL);
    close(open(dir, "file", how).expect("made")).expect("closed");
    refused(open(dir, "file", how), &[ERRNO_EXIST]);
    make_dir(dir, "inner").expect("made");
    refused(open(dir, "inner", how), &[ERRNO_EXIST]);
    symlink("nowhere", dir, "link").expect("made");
    refused(open(dir, "link", how), &[ERRNO_EXIST]);
}

fn create_existing(dir: Fd) {
    let first = open_new(dir, "file");
    assert_eq!(write(first, b"abc"), Ok(3));
    let second = open_new(dir, "file");
    assert_eq!(stat(second).expect("known").size, 3, "creating cuts nothing");
    assert_eq!(stat(first).expect("known").ino, stat(second).expect("known").ino);
}

fn directory(dir: Fd) {
    make_dir(dir, "inner").expect("made");
    let inner = open(dir, "inner", How::flags(OFLAGS_DIRECTORY)).expect("opened");
    assert_eq!(stat(inner).expect("known").filetype, FILETYPE_DIRECTORY);
    assert_eq!(status(inner).expect("known").fs_filetype, FILETYPE_DIRECTORY);
    let plain = open(dir, "inner", How::default()).expect("opened without being asked for");
    assert_eq!(stat(plain).expect("known").filetype, FILETYPE_DIRECTORY);
    touch(dir, "file");
    refused(open(dir, "file", How::flags(OFLAGS_DIRECTORY)), &[ERRNO_NOTDIR]);
}

fn directory_to_write(dir: Fd) {
    make_dir(dir, "inner").expect("made");
    let rights = RIGHTS_FD_READ | RIGHTS_FD_WRITE;
    let how = How { rights, ..How::flags(OFLAGS_DIRECTORY) };
    refused(open(dir, "inner", how), &[ERRNO_ISDIR]);
    refused(open(dir, "inner", How { rights, ..How::default() }), &[ERRNO_ISDIR]);
    refused(open(dir, "inner", How::file(OFLAGS_TRUNC)), &[ERRNO_ISDIR]);
    refused(open(dir, "inner", How::file(OFLAGS_CREAT)), &[ERRNO_ISDIR, ERRNO_EXIST]);
}

fn nonblocking(dir: Fd) {
    touch(dir, "file");
    let how = How { fd_flags: FDFLAGS_NONBLOCK, ..How::file(0) };
    match open(dir, "file", how) {
        Ok(file) => assert_eq!(write(file, b"abc"), Ok(3)),
        Err(reason) => assert_eq!(reason, ERRNO_NOTSUP),
    }
}

fn numbers(dir: Fd) {
    let mut open: Vec<_> = (0..20).map(|n| open_new(dir, &format!("file.{n}"))).collect();
    open.sort_unstable();
    open.dedup();
    assert_eq!(open.len(), 20);
    assert!(open[0] > STDERR);
    for fd in open {
        close(fd).expect("closed");
        refused(close(fd), &[ERRNO_BADF]);
    }
}

fn contradiction(dir: Fd) {
    let both = OFLAGS_CREAT | OFLAGS_DIRECTORY;
    refused(open(dir, "new", How::flags(both)), &[ERRNO_INVAL, ERRNO_NOTDIR, ERRNO_NOENT]);
    refused(stat_path(dir, 0, "new").map(drop), &[ERRNO_NOENT]);
}

fn in_directory(dir: Fd) {
    let inner = new_dir(dir, "inner");
    let file = open_new(inner, "file");
    assert_eq!(write(file, b"abc"), Ok(3));
    assert_eq!(stat_path(dir, 0, "inner/file").expect("known").size, 3);
    make_dir(inner, "deeper").expect("made");
    rename(inner, "file", inner, "deeper/file").expect("renamed");
    assert_eq!(stat_path(dir, 0, "inner/deeper/file").expect("known").size, 3);
    let deeper = open(inner, "deeper", How::flags(OFLAGS_DIRECTORY)).expect("opened");
    unlink(deeper, "file").expect("unlinked");
    remove_dir(inner, "deeper").expect("removed");
}
