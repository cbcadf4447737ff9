//! The bytes of a file: reading, writing, seeking, sizes and times.

use super::{Behaviour, STDERR, contents, open_new, p1::*, put, refused};

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("reading and writing at a place leaves the position", at_a_place),
    ("several buffers are read and written in order", several_buffers),
    ("seeking moves the position and tell says it", seeking),
    ("a file is cut and grows to a size", sizes),
    ("opening truncates when asked to", truncation),
    ("a file grows past its end with zeros between", hole),
    ("an appending file is written at its end", appending),
    ("allocating grows a file or is not supported", allocating),
    ("advice is taken on a file", advice),
    ("a file's times can be set", times),
    ("times and now exclude each other", times_validated),
    ("what is written is seen at once by another descriptor", unbuffered),
    ("a file syncs", syncing),
    ("flags of a descriptor can be set", flags),
    ("a file that is closed or never was is no file", not_open),
    ("a large write is whole", large_write),
];

fn at_a_place(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write_at(file, &[1, 2, 3, 4], 0), Ok(4));
    assert_eq!(tell(file), Ok(0), "pwrite leaves the position");
    let mut bytes = [0; 4];
    assert_eq!(read_at(file, &mut bytes, 0), Ok(4));
    assert_eq!(bytes, [1, 2, 3, 4]);
    assert_eq!(read_at(file, &mut bytes[..2], 2), Ok(2));
    assert_eq!(bytes, [3, 4, 3, 4]);
    assert_eq!(read_at(file, &mut bytes, 4), Ok(0), "nothing is there at the end");
    assert_eq!(read_at(file, &mut bytes, 1_000), Ok(0), "nor behind it");
    assert_eq!(write_at(file, &[9], 3), Ok(1));
    assert_eq!(tell(file), Ok(0), "pread leaves the position");
    assert_eq!(contents(dir, "file"), [1, 2, 3, 9]);
    assert_eq!(read_at(file, &mut [], 0), Ok(0));
    assert_eq!(write_at(file, &[], 0), Ok(0));
}

fn several_buffers(dir: Fd) {
    let file = open_new(dir, "file");
    let written = write_two(file, b"abc", b"de").expect("it is written");
    // A host may stop after the first buffer, as POSIX allows, but must say so.
    if written < 5 {
        assert_eq!(write(file, &b"abcde"[written..]), Ok(5 - written));
    }
    assert_eq!(seek(file, 0, WHENCE_SET), Ok(0));
    let (mut first, mut second) = ([0; 2], [0; 2]);
    let count = read_two(file, &mut first, &mut second).expect("it is read");
    assert_eq!(&first, b"ab");
    assert!(count == 2 || (count == 4 && &second == b"cd"), "{count} {second:?}");
    assert_eq!(tell(file), Ok(count as u64));
}

fn seeking(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(tell(file), Ok(0));
    assert_eq!(write(file, &[7; 100]), Ok(100));
    assert_eq!(tell(file), Ok(100));
    assert_eq!(seek(file, -50, WHENCE_CUR), Ok(50));
    assert_eq!(seek(file, 0, WHENCE_CUR), Ok(50));
    assert_eq!(seek(file, 8, WHENCE_SET), Ok(8));
    assert_eq!(seek(file, -1, WHENCE_END), Ok(99));
    assert_eq!(read(file, &mut [0; 10]), Ok(1), "one byte is left");
    assert_eq!(read(file, &mut [0; 10]), Ok(0), "and then none");
    assert_eq!(seek(file, 1_000, WHENCE_END), Ok(1_100), "it may go behind the end");
    refused(seek(file, -2_000, WHENCE_CUR), &[ERRNO_INVAL]);
    refused(seek(file, -1, WHENCE_SET), &[ERRNO_INVAL]);
    refused(seek(file, -101, WHENCE_END), &[ERRNO_INVAL]);
    assert_eq!(tell(file), Ok(1_100), "a refused seek moves nothing");
    assert_eq!(stat(file).expect("known").size, 100, "seeking writes nothing");
}

fn sizes(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(stat(file).expect("known").size, 0);
    set_size(file, 100).expect("it grows");
    assert_eq!(stat(file).expect("known").size, 100);
    assert_eq!(tell(file), Ok(0));
    let mut bytes = [1; 200];
    assert_eq!(read(file, &mut bytes), Ok(100));
    assert!(bytes[..100].iter().all(|byte| *byte == 0), "what grows is zero");
    set_size(file, 10).expect("it is cut");
    assert_eq!(stat(file).expect("known").size, 10);
    assert_eq!(read(file, &mut bytes), Ok(0), "the position lies behind the end now");
    refused(set_size(file, u64::MAX), &[ERRNO_INVAL, ERRNO_FBIG, ERRNO_NOSPC]);
    assert_eq!(stat(file).expect("known").size, 10);
}

fn truncation(dir: Fd) {
    put(dir, "file", b"long ago");
    assert_eq!(contents(dir, "file"), b"long ago");
    let file = open(dir, "file", How::file(0)).expect("opened");
    assert_eq!(stat(file).expect("known").size, 8, "opening alone cuts nothing");
    close(file).expect("closed");
    let file = open(dir, "file", How::file(OFLAGS_TRUNC)).expect("opened");
    assert_eq!(stat(file).expect("known").size, 0);
    assert_eq!(read(file, &mut [0; 8]), Ok(0));
    close(file).expect("closed");
    put(dir, "file", b"again");
    let file = open(dir, "file", How::file(OFLAGS_CREAT | OFLAGS_TRUNC)).expect("opened");
    assert_eq!(stat(file).expect("known").size, 0);
    refused(open(dir, "missing", How::file(OFLAGS_TRUNC)), &[ERRNO_NOENT]);
}

fn hole(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write_at(file, b"end", 50), Ok(3));
    assert_eq!(stat(file).expect("known").size, 53);
    let all = contents(dir, "file");
    assert!(all[..50].iter().all(|byte| *byte == 0));
    assert_eq!(&all[50..], b"end");
    assert_eq!(seek(file, 60, WHENCE_SET), Ok(60));
    assert_eq!(write(file, b"!"), Ok(1));
    assert_eq!(contents(dir, "file").len(), 61);
}

fn appending(dir: Fd) {
    put(dir, "file", b"first ");
    let how = How { fd_flags: FDFLAGS_APPEND, ..How::file(0) };
    let file = open(dir, "file", how).expect("opened");
    assert_ne!(status(file).expect("known").fs_flags & FDFLAGS_APPEND, 0);
    assert_eq!(write(file, b"second "), Ok(7));
    assert_eq!(seek(file, 0, WHENCE_SET), Ok(0));
    assert_eq!(write(file, b"third"), Ok(5));
    assert_eq!(contents(dir, "file"), b"first second third");
}

fn allocating(dir: Fd) {
    let file = open_new(dir, "file");
    match allocate(file, 0, 100) {
        Ok(()) => {
            assert_eq!(stat(file).expect("known").size, 100);
            allocate(file, 10, 10).expect("what is there already");
            assert_eq!(stat(file).expect("known").size, 100);
            allocate(file, 90, 20).expect("partly there");
            assert_eq!(stat(file).expect("known").size, 110);
        }
        Err(reason) => assert_eq!(reason, ERRNO_NOTSUP),
    }
}

fn advice(dir: Fd) {
    let file = open_new(dir, "file");
    set_size(file, 100).expect("it grows");
    let all = [
        ADVICE_NORMAL,
        ADVICE_SEQUENTIAL,
        ADVICE_RANDOM,
        ADVICE_WILLNEED,
        ADVICE_DONTNEED,
        ADVICE_NOREUSE,
    ];
    for advice in all {
        advise(file, 10, 50, advice).expect("it is heard");
    }
    advise(file, 0, 0, ADVICE_WILLNEED).expect("to the end");
    assert_eq!(stat(file).expect("known").size, 100);
    refused(advise(dir, 0, 0, ADVICE_NORMAL), &[ERRNO_BADF, ERRNO_ISDIR, ERRNO_NOTCAPABLE]);
}

fn times(dir: Fd) {
    let file = open_new(dir, "file");
    let before = stat(file).expect("known");
    let set = before.mtim - 100_000;
    set_times(file, set, set, FSTFLAGS_MTIM).expect("it is set");
    let after = stat(file).expect("known");
    assert_eq!(after.mtim, set);
    assert_eq!(after.atim, before.atim, "the other one stays");
    set_times(file, set - 1_000, 0, FSTFLAGS_ATIM).expect("it is set");
    assert_eq!(stat(file).expect("known").atim, set - 1_000);
    assert_eq!(stat(file).expect("known").mtim, set);
    set_times(file, 0, 0, FSTFLAGS_MTIM_NOW).expect("it is set");
    assert!(stat(file).expect("known").mtim > set);
    set_times_path(dir, 0, "file", (5_000, 6_000), FSTFLAGS_ATIM | FSTFLAGS_MTIM).expect("set");
    let after = stat_path(dir, 0, "file").expect("known");
    assert_eq!((after.atim, after.mtim), (5_000, 6_000));
    let missing = set_times_path(dir, 0, "missing", (0, 0), FSTFLAGS_MTIM);
    refused(missing, &[ERRNO_NOENT]);
}

fn times_validated(dir: Fd) {
    let file = open_new(dir, "file");
    for both in [FSTFLAGS_ATIM | FSTFLAGS_ATIM_NOW, FSTFLAGS_MTIM | FSTFLAGS_MTIM_NOW] {
        refused(set_times(file, 1, 1, both), &[ERRNO_INVAL]);
        refused(set_times_path(dir, 0, "file", (1, 1), both), &[ERRNO_INVAL]);
    }
}

fn unbuffered(dir: Fd) {
    let writer = open_new(dir, "file");
    let reader = open(dir, "file", How::file(0)).expect("opened");
    assert_eq!(read(reader, &mut [0; 10]), Ok(0));
    assert_eq!(write(writer, &[42]), Ok(1));
    let mut bytes = [0; 10];
    assert_eq!(read(reader, &mut bytes), Ok(1));
    assert_eq!(bytes[0], 42);
    assert_eq!(tell(writer), Ok(1), "each descriptor has a position of its own");
}

fn syncing(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"kept"), Ok(4));
    sync(file).expect("it syncs");
    assert_eq!(contents(dir, "file"), b"kept");
}

fn flags(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"abcd"), Ok(4));
    assert_eq!(status(file).expect("known").fs_flags & FDFLAGS_APPEND, 0);
    set_flags(file, FDFLAGS_APPEND).expect("it appends from now on");
    assert_ne!(status(file).expect("known").fs_flags & FDFLAGS_APPEND, 0);
    assert_eq!(seek(file, 0, WHENCE_SET), Ok(0));
    assert_eq!(write(file, b"ef"), Ok(2));
    assert_eq!(contents(dir, "file"), b"abcdef");
    set_flags(file, 0).expect("and no longer");
    assert_eq!(seek(file, 0, WHENCE_SET), Ok(0));
    assert_eq!(write(file, b"AB"), Ok(2));
    assert_eq!(contents(dir, "file"), b"ABcdef");
    assert_eq!(status(file).expect("known").fs_filetype, FILETYPE_REGULAR_FILE);
}

fn not_open(dir: Fd) {
    let file = open_new(dir, "file");
    close(file).expect("closed");
    for fd in [file, 1_000, u32::MAX] {
        refused(close(fd), &[ERRNO_BADF]);
        refused(read(fd, &mut [0]), &[ERRNO_BADF]);
        refused(write(fd, &[0]), &[ERRNO_BADF]);
        refused(seek(fd, 0, WHENCE_SET), &[ERRNO_BADF]);
        refused(tell(fd), &[ERRNO_BADF]);
        refused(stat(fd).map(|_| ()), &[ERRNO_BADF]);
        refused(status(fd).map(|_| ()), &[ERRNO_BADF]);
        refused(sync(fd), &[ERRNO_BADF]);
        refused(set_size(fd, 0), &[ERRNO_BADF]);
        refused(entries(fd, 100, 0), &[ERRNO_BADF]);
        refused(open(fd, "file", How::file(0)), &[ERRNO_BADF]);
    }
    assert!(open(dir, "file", How::file(0)).expect("opened") > STDERR);
}

fn large_write(dir: Fd) {
    let file = open_new(dir, "file");
    let pattern: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
    let mut written = 0;
    while written < pattern.len() {
        written += write(file, &pattern[written..]).expect("it is written");
    }
    assert_eq!(stat(file).expect("known").size, 1_000_000);
    assert_eq!(seek(file, 0, WHENCE_SET), Ok(0));
    let (mut back, mut count) = (vec![0; pattern.len()], 0);
    while count < back.len() {
        let step = read(file, &mut back[count..]).expect("it is read");
        assert_ne!(step, 0, "it ends after {count} bytes");
        count += step;
    }
    assert!(back == pattern, "the same bytes come back");
}
