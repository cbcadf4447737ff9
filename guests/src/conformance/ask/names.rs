//! Names: making, removing and renaming files and directories, and paths of every spelling.

use super::{Behaviour, contents, new_dir, p1::*, put, refused, touch};

/// What leads out of the directory is refused with one of these.
const OUTSIDE: [Errno; 2] = [ERRNO_PERM, ERRNO_NOTCAPABLE];

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("a directory is made once and removed when empty", directories),
    ("a file is unlinked, a directory is not", unlinking),
    ("slashes at the end are for directories", trailing_slashes),
    ("a directory is renamed", rename_directory),
    ("a directory replaces an empty one only", rename_onto_directory),
    ("a file is renamed, onto another too", rename_file),
    ("renaming leads nowhere else", rename_refused),
    ("renaming with slashes at the end", rename_slashes),
    ("paths are walked as they are written", interesting),
    ("no path leads out of the directory", no_way_out),
    ("odd names are names, impossible ones are refused", odd),
    ("the status of a path", status_of_path),
];

fn directories(dir: Fd) {
    make_dir(dir, "one").expect("made");
    refused(make_dir(dir, "one"), &[ERRNO_EXIST]);
    make_dir(dir, "one/two").expect("made in it");
    refused(make_dir(dir, "missing/two"), &[ERRNO_NOENT]);
    refused(remove_dir(dir, "one"), &[ERRNO_NOTEMPTY]);
    remove_dir(dir, "one/two").expect("removed");
    remove_dir(dir, "one").expect("removed");
    refused(remove_dir(dir, "one"), &[ERRNO_NOENT]);
    touch(dir, "file");
    refused(make_dir(dir, "file"), &[ERRNO_EXIST]);
    refused(remove_dir(dir, "file"), &[ERRNO_NOTDIR]);
    refused(remove_dir(dir, "."), &[ERRNO_INVAL, ERRNO_NOTEMPTY, ERRNO_BUSY, ERRNO_PERM]);
}

fn unlinking(dir: Fd) {
    touch(dir, "file");
    unlink(dir, "file").expect("unlinked");
    refused(unlink(dir, "file"), &[ERRNO_NOENT]);
    make_dir(dir, "inner").expect("made");
    refused(unlink(dir, "inner"), &[ERRNO_ISDIR, ERRNO_PERM]);
    refused(unlink(dir, "inner/missing"), &[ERRNO_NOENT]);
    open(dir, "inner", How::default()).expect("it is still there");
}

fn trailing_slashes(dir: Fd) {
    touch(dir, "file");
    make_dir(dir, "inner").expect("made");
    open(dir, "inner/", How::default()).expect("a directory may have one");
    open(dir, "inner///", How::default()).expect("or more");
    let reasons = [ERRNO_NOTDIR, ERRNO_NOENT];
    refused(open(dir, "file/", How::default()), &reasons);
    refused(open(dir, "file///", How::default()), &reasons);
    refused(unlink(dir, "file/"), &[ERRNO_NOTDIR]);
    refused(unlink(dir, "inner/"), &[ERRNO_ISDIR, ERRNO_PERM]);
    refused(remove_dir(dir, "file/"), &[ERRNO_NOTDIR]);
    // Hosts differ: some look a file up in spite of the slash, some want none on a removal.
    if let Err(reason) = stat_path(dir, 0, "file/") {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
    make_dir(dir, "second/").expect("made");
    if let Err(reason) = remove_dir(dir, "second/") {
        assert_eq!(reason, ERRNO_INVAL);
        remove_dir(dir, "second").expect("removed");
    }
    let reasons = [ERRNO_NOTDIR, ERRNO_NOENT, ERRNO_ISDIR, ERRNO_INVAL];
    refused(open(dir, "new/", How::file(OFLAGS_CREAT)), &reasons);
    assert_eq!(contents(dir, "file"), b"");
}

fn rename_directory(dir: Fd) {
    make_dir(dir, "source").expect("made");
    put(dir, "source/file", b"abc");
    rename(dir, "source", dir, "target").expect("renamed");
    refused(open(dir, "source", How::flags(OFLAGS_DIRECTORY)), &[ERRNO_NOENT]);
    assert_eq!(contents(dir, "target/file"), b"abc");
    let inner = new_dir(dir, "inner");
    rename(dir, "target", inner, "moved").expect("into another");
    assert_eq!(contents(dir, "inner/moved/file"), b"abc");
}

fn rename_onto_directory(dir: Fd) {
    make_dir(dir, "source").expect("made");
    make_dir(dir, "target").expect("made");
    rename(dir, "source", dir, "target").expect("an empty one is replaced");
    refused(stat_path(dir, 0, "source").map(drop), &[ERRNO_NOENT]);
    make_dir(dir, "source").expect("made");
    touch(dir, "target/file");
    refused(rename(dir, "source", dir, "target"), &[ERRNO_NOTEMPTY]);
    refused(rename(dir, "source", dir, "target/file"), &[ERRNO_NOTDIR]);
    touch(dir, "file");
    refused(rename(dir, "file", dir, "source"), &[ERRNO_ISDIR]);
    refused(rename(dir, "source", dir, "source/inside"), &[ERRNO_INVAL]);
    open(dir, "source", How::flags(OFLAGS_DIRECTORY)).expect("it is still there");
}

fn rename_file(dir: Fd) {
    put(dir, "source", b"abc");
    rename(dir, "source", dir, "target").expect("renamed");
    refused(open(dir, "source", How::default()), &[ERRNO_NOENT]);
    assert_eq!(contents(dir, "target"), b"abc");
    put(dir, "source", b"second");
    rename(dir, "source", dir, "target").expect("onto another");
    refused(open(dir, "source", How::default()), &[ERRNO_NOENT]);
    assert_eq!(contents(dir, "target"), b"second");
    rename(dir, "target", dir, "target").expect("onto itself, which is nothing");
    symlink("target", dir, "link").expect("made");
    rename(dir, "link", dir, "moved").expect("a link is renamed itself");
    assert_eq!(read_link(dir, "moved", 10).as_deref(), Ok("target"));
    let inner = new_dir(dir, "inner");
    rename(dir, "target", inner, "deep").expect("into another directory");
    assert_eq!(contents(inner, "deep"), b"second");
}

fn rename_refused(dir: Fd) {
    touch(dir, "file");
    refused(rename(dir, "missing", dir, "target"), &[ERRNO_NOENT]);
    refused(rename(dir, "file", dir, "missing/target"), &[ERRNO_NOENT]);
    refused(rename(dir, "file", dir, "../target"), &OUTSIDE);
    refused(rename(dir, "../file", dir, "target"), &OUTSIDE);
    refused(rename(dir, "file", dir, "/target"), &OUTSIDE);
    refused(rename(dir, "file", 1_000, "target"), &[ERRNO_BADF]);
    refused(rename(1_000, "file", dir, "target"), &[ERRNO_BADF]);
    stat_path(dir, 0, "file").expect("it is still there");
}

fn rename_slashes(dir: Fd) {
    make_dir(dir, "source").expect("made");
    rename(dir, "source", dir, "target/").expect("a directory may have one");
    rename(dir, "target/", dir, "source").expect("on either side");
    touch(dir, "file");
    refused(rename(dir, "file", dir, "target/"), &[ERRNO_NOTDIR, ERRNO_NOENT]);
    refused(rename(dir, "file/", dir, "target"), &[ERRNO_NOTDIR]);
    stat_path(dir, 0, "file").expect("it is still there");
}

fn interesting(dir: Fd) {
    make_dir(dir, "dir").expect("made");
    make_dir(dir, "dir/nested").expect("made");
    put(dir, "dir/nested/file", b"found");
    for path in [
        "dir/nested/file",
        "./dir/./nested/./file",
        "dir//nested///file",
        "dir/../dir/nested/file",
        "dir/.//nested/../../dir/nested/../nested///./file",
    ] {
        assert_eq!(contents(dir, path), b"found", "{path}");
    }
    assert_eq!(
        stat_path(dir, 0, "dir/nested/..").expect("known").ino,
        stat_path(dir, 0, "dir").expect("known").ino,
    );
    refused(open(dir, "dir/missing/../nested/file", How::default()), &[ERRNO_NOENT]);
    refused(open(dir, "dir/nested/file/..", How::default()), &[ERRNO_NOTDIR]);
}

fn no_way_out(dir: Fd) {
    let inner = new_dir(dir, "inner");
    touch(dir, "file");
    for path in ["..", "../", "../file", "/", "/file", "x/../../file", "./../file", "../inner"] {
        // Where a name on the way is missing, that may be said first.
        let reasons = [ERRNO_PERM, ERRNO_NOTCAPABLE, ERRNO_NOENT];
        for fd in [inner, dir] {
            refused(open(fd, path, How::default()), &reasons);
            refused(stat_path(fd, 0, path).map(drop), &reasons);
            refused(make_dir(fd, path), &reasons);
            refused(remove_dir(fd, path), &reasons);
            refused(unlink(fd, path), &reasons);
            refused(read_link(fd, path, 10), &reasons);
            refused(set_times_path(fd, 0, path, (0, 0), FSTFLAGS_MTIM), &reasons);
        }
    }
    refused(open(dir, "inner/../../file", How::default()), &OUTSIDE);
    refused(open(inner, "../file", How::default()), &OUTSIDE);
    refused(open(dir, "/file", How::default()), &OUTSIDE);
}

fn odd(dir: Fd) {
    for name in ["a b", "-", "...", "*?\"<>|", "Ünïcödé-名前", "new\nline", "back\\slash"] {
        put(dir, name, name.as_bytes());
    }
    for name in ["a b", "-", "...", "*?\"<>|", "Ünïcödé-名前", "new\nline", "back\\slash"] {
        assert_eq!(contents(dir, name), name.as_bytes(), "{name:?}");
    }
    let nul = [ERRNO_INVAL, ERRNO_ILSEQ, ERRNO_NOENT];
    refused(open(dir, "a b\0", How::default()), &nul);
    refused(open(dir, "a\0b", How::file(OFLAGS_CREAT)), &nul);
    refused(open(dir, "", How::default()), &[ERRNO_NOENT, ERRNO_INVAL]);
    refused(make_dir(dir, ""), &[ERRNO_NOENT, ERRNO_INVAL]);
    let long = "x".repeat(256);
    refused(open(dir, &long, How::file(OFLAGS_CREAT)), &[ERRNO_NAMETOOLONG]);
    touch(dir, &long[1..]);
}

fn status_of_path(dir: Fd) {
    put(dir, "file", b"abc");
    let by_path = stat_path(dir, 0, "file").expect("known");
    assert_eq!((by_path.size, by_path.nlink), (3, 1));
    assert_eq!(by_path.filetype, FILETYPE_REGULAR_FILE);
    let file = open(dir, "file", How::file(0)).expect("opened");
    let by_descriptor = stat(file).expect("known");
    assert_eq!((by_path.ino, by_path.dev), (by_descriptor.ino, by_descriptor.dev));
    assert_eq!(by_path.mtim, by_descriptor.mtim);
    assert_eq!(stat_path(dir, 0, ".").expect("known").filetype, FILETYPE_DIRECTORY);
    refused(stat_path(dir, 0, "missing").map(drop), &[ERRNO_NOENT]);
    assert_eq!(write_at(file, b"abcdef", 0), Ok(6));
    assert_eq!(stat_path(dir, 0, "file").expect("known").size, 6);
}
