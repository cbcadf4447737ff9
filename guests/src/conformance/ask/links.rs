//! Links: symbolic and hard ones, dangling and looping ones.

use super::{Behaviour, contents, new_dir, p1::*, put, refused, touch};

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("a symbolic link says its target", says_target),
    ("a symbolic link is followed when asked to", followed),
    ("a symbolic link is not followed otherwise", not_followed),
    ("a dangling link is a name like another", dangling),
    ("links that loop are found out", looping),
    ("no symbolic link leads out of the directory", no_way_out),
    ("a symbolic link is not made over a name that exists", taken),
    ("the status of a link is its own unless followed", status_of_link),
    ("a hard link is the same file", hard),
    ("a hard link is made to files only, under new names", hard_refused),
    ("a hard link to a symbolic link is one to the link", hard_to_symbolic),
];

fn says_target(dir: Fd) {
    symlink("some/where", dir, "link").expect("made");
    assert_eq!(read_link(dir, "link", 100).as_deref(), Ok("some/where"));
    assert_eq!(read_link(dir, "link", 10).as_deref(), Ok("some/where"));
    match read_link(dir, "link", 4) {
        Ok(said) => assert_eq!(said, "some"),
        Err(reason) => assert_eq!(reason, ERRNO_RANGE),
    }
    refused(read_link(dir, "missing", 10), &[ERRNO_NOENT]);
    touch(dir, "file");
    refused(read_link(dir, "file", 10), &[ERRNO_INVAL]);
    refused(read_link(dir, "link/x", 10), &[ERRNO_NOENT, ERRNO_NOTDIR, ERRNO_LOOP]);
}

fn followed(dir: Fd) {
    put(dir, "file", b"abc");
    symlink("file", dir, "link").expect("made");
    let file = open(dir, "link", How::file(0).follow()).expect("followed");
    assert_eq!(read(file, &mut [0; 8]), Ok(3));
    close(file).expect("closed");
    new_dir(dir, "inner");
    put(dir, "inner/file", b"inner");
    symlink("inner", dir, "door").expect("made");
    assert_eq!(contents(dir, "door/file"), b"inner", "on the way links are always followed");
    let inner = open(dir, "door", How::flags(OFLAGS_DIRECTORY).follow()).expect("followed");
    assert_eq!(contents(inner, "file"), b"inner");
    symlink("../file", dir, "inner/up").expect("made");
    let file = open(dir, "inner/up", How::file(0).follow()).expect("it stays inside");
    assert_eq!(read(file, &mut [0; 8]), Ok(3));
    refused(open(dir, "link", How::flags(OFLAGS_DIRECTORY).follow()), &[ERRNO_NOTDIR]);
}

fn not_followed(dir: Fd) {
    touch(dir, "file");
    symlink("file", dir, "link").expect("made");
    refused(open(dir, "link", How::file(0)), &[ERRNO_LOOP]);
    refused(open(dir, "link", How::default()), &[ERRNO_LOOP]);
    new_dir(dir, "inner");
    symlink("inner", dir, "door").expect("made");
    let reasons = [ERRNO_LOOP, ERRNO_NOTDIR];
    refused(open(dir, "door", How::flags(OFLAGS_DIRECTORY)), &reasons);
    refused(remove_dir(dir, "door"), &[ERRNO_NOTDIR]);
    unlink(dir, "door").expect("the link goes");
    open(dir, "inner", How::default()).expect("its target stays");
}

fn dangling(dir: Fd) {
    symlink("target", dir, "link").expect("made");
    refused(open(dir, "link", How::file(0).follow()), &[ERRNO_NOENT]);
    refused(open(dir, "link", How::file(0)), &[ERRNO_LOOP]);
    let reasons = [ERRNO_LOOP, ERRNO_NOTDIR];
    refused(open(dir, "link", How::flags(OFLAGS_DIRECTORY)), &reasons);
    refused(stat_path(dir, LOOKUPFLAGS_SYMLINK_FOLLOW, "link").map(drop), &[ERRNO_NOENT]);
    let own = stat_path(dir, 0, "link").expect("it is there itself");
    assert_eq!(own.filetype, FILETYPE_SYMBOLIC_LINK);
    refused(open(dir, "link", How::file(OFLAGS_CREAT | OFLAGS_EXCL)), &[ERRNO_EXIST]);
    unlink(dir, "link").expect("unlinked");
    refused(stat_path(dir, 0, "link").map(drop), &[ERRNO_NOENT]);
}

fn looping(dir: Fd) {
    symlink("link", dir, "link").expect("made");
    refused(open(dir, "link", How::file(0)), &[ERRNO_LOOP]);
    refused(open(dir, "link", How::file(0).follow()), &[ERRNO_LOOP]);
    refused(open(dir, "link/x", How::file(0)), &[ERRNO_LOOP]);
    symlink("two", dir, "one").expect("made");
    symlink("one", dir, "two").expect("made");
    refused(open(dir, "one", How::file(0).follow()), &[ERRNO_LOOP]);
    refused(stat_path(dir, LOOKUPFLAGS_SYMLINK_FOLLOW, "two").map(drop), &[ERRNO_LOOP]);
    stat_path(dir, 0, "two").expect("it is there itself");
}

fn no_way_out(dir: Fd) {
    let reasons = [ERRNO_PERM, ERRNO_NOTCAPABLE];
    for target in ["..", "../outside", "inner/../../outside"] {
        let _ = unlink(dir, "link");
        if symlink(target, dir, "link").is_ok() {
            refused(
                open(dir, "link", How::default().follow()),
                &[&reasons[..], &[ERRNO_NOENT]].concat(),
            );
            refused(open(dir, "link/x", How::default()), &[&reasons[..], &[ERRNO_NOENT]].concat());
        }
    }
    // An absolute target would lead past the directory, whatever it names.
    for target in ["/", "/etc/passwd"] {
        refused(symlink(target, dir, "absolute"), &reasons);
    }
    refused(symlink("x", dir, "../link"), &reasons);
    refused(symlink("x", dir, "/link"), &reasons);
}

fn taken(dir: Fd) {
    touch(dir, "file");
    new_dir(dir, "inner");
    symlink("nowhere", dir, "link").expect("made");
    for name in ["file", "inner", "link"] {
        refused(symlink("target", dir, name), &[ERRNO_EXIST]);
    }
    refused(symlink("target", dir, "inner/"), &[ERRNO_EXIST, ERRNO_NOENT]);
    refused(symlink("target", dir, "file/"), &[ERRNO_NOTDIR, ERRNO_NOENT, ERRNO_EXIST]);
    refused(symlink("target", dir, "new/"), &[ERRNO_NOENT, ERRNO_NOTDIR]);
    refused(symlink("", dir, "empty"), &[ERRNO_NOENT, ERRNO_INVAL]);
}

fn status_of_link(dir: Fd) {
    put(dir, "file", b"abcdef");
    symlink("file", dir, "link").expect("made");
    let own = stat_path(dir, 0, "link").expect("known");
    assert_eq!((own.filetype, own.size), (FILETYPE_SYMBOLIC_LINK, 4));
    let file = stat_path(dir, LOOKUPFLAGS_SYMLINK_FOLLOW, "link").expect("known");
    assert_eq!((file.filetype, file.size), (FILETYPE_REGULAR_FILE, 6));
    assert_ne!(own.ino, file.ino);
    let before = file.mtim;
    set_times_path(dir, 0, "link", (1_000, 2_000), FSTFLAGS_MTIM).expect("set on the link");
    assert_eq!(stat_path(dir, 0, "link").expect("known").mtim, 2_000);
    assert_eq!(stat_path(dir, 0, "file").expect("known").mtim, before);
    let follow = LOOKUPFLAGS_SYMLINK_FOLLOW;
    set_times_path(dir, follow, "link", (1_000, 3_000), FSTFLAGS_MTIM).expect("set on the file");
    assert_eq!(stat_path(dir, 0, "file").expect("known").mtim, 3_000);
    assert_eq!(stat_path(dir, 0, "link").expect("known").mtim, 2_000);
}

fn hard(dir: Fd) {
    put(dir, "file", b"abc");
    let inner = new_dir(dir, "inner");
    link(dir, 0, "file", dir, "link").expect("beside it");
    link(dir, 0, "file", inner, "link").expect("in another directory");
    let file = stat_path(dir, 0, "file").expect("known");
    assert_eq!(file.nlink, 3);
    for (dir, name) in [(dir, "link"), (inner, "link")] {
        let other = stat_path(dir, 0, name).expect("known");
        assert_eq!((other.ino, other.dev, other.size), (file.ino, file.dev, 3));
    }
    unlink(dir, "file").expect("unlinked");
    assert_eq!(contents(inner, "link"), b"abc");
    assert_eq!(stat_path(dir, 0, "link").expect("known").nlink, 2);
}

fn hard_refused(dir: Fd) {
    put(dir, "file", b"abc");
    touch(dir, "other");
    new_dir(dir, "inner");
    for name in ["file", "other", "inner"] {
        refused(link(dir, 0, "file", dir, name), &[ERRNO_EXIST]);
    }
    refused(link(dir, 0, "inner", dir, "link"), &[ERRNO_PERM, ERRNO_ACCES]);
    refused(link(dir, 0, "file", dir, "link/"), &[ERRNO_NOENT, ERRNO_NOTDIR]);
    refused(link(dir, 0, "file/", dir, "link"), &[ERRNO_NOTDIR, ERRNO_NOENT]);
    refused(link(dir, 0, "missing", dir, "link"), &[ERRNO_NOENT]);
    let outside = [ERRNO_PERM, ERRNO_NOTCAPABLE];
    refused(link(dir, 0, "file", dir, "../link"), &outside);
    refused(link(dir, 0, "../file", dir, "link"), &outside);
    refused(link(dir, 0, "/etc/passwd", dir, "link"), &outside);
    assert_eq!(stat_path(dir, 0, "file").expect("known").nlink, 1);
}

fn hard_to_symbolic(dir: Fd) {
    symlink("target", dir, "symbolic").expect("made");
    link(dir, 0, "symbolic", dir, "link").expect("the link itself is linked");
    let own = stat_path(dir, 0, "link").expect("known");
    assert_eq!(own.filetype, FILETYPE_SYMBOLIC_LINK);
    assert_eq!(own.ino, stat_path(dir, 0, "symbolic").expect("known").ino);
    let followed = link(dir, LOOKUPFLAGS_SYMLINK_FOLLOW, "symbolic", dir, "second");
    refused(followed, &[ERRNO_INVAL, ERRNO_NOENT]);
    touch(dir, "file");
    refused(link(dir, 0, "file", dir, "symbolic"), &[ERRNO_EXIST]);
}
