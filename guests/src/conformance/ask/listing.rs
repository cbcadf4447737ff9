//! The names in a directory: whole, in pieces, from a place on.

use super::{Behaviour, new_dir, open_new, p1::*, refused, touch};
use std::collections::BTreeSet;

/// Enough for every listing here at once.
const ROOM: usize = 64 << 10;

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("an empty directory lists itself and its parent", empty),
    ("each kind of name is listed with its kind", kinds),
    ("a listing goes on from a cookie", from_cookie),
    ("a thousand names are each listed once in small pieces", thousand),
    ("a name that does not fit is cut, and comes again", cut),
    ("a listing follows what happens to the directory", follows),
];

fn empty(dir: Fd) {
    let inner = new_dir(dir, "inner");
    let (mut found, whole) = entries(inner, ROOM, 0).expect("listed");
    assert!(whole);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = found.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".", ".."]);
    assert!(found.iter().all(|entry| entry.filetype == FILETYPE_DIRECTORY.raw()));
    assert_eq!(found[0].inode, stat(inner).expect("known").ino);
}

fn kinds(dir: Fd) {
    let file = open_new(dir, "file");
    new_dir(dir, "inner");
    symlink("file", dir, "link").expect("made");
    let (found, _) = entries(dir, ROOM, 0).expect("listed");
    let find = |name: &str| found.iter().find(|entry| entry.name == name).expect("listed");
    assert_eq!(found.len(), 5);
    assert_eq!(find("file").filetype, FILETYPE_REGULAR_FILE.raw());
    assert_eq!(find("file").inode, stat(file).expect("known").ino);
    assert_eq!(find("inner").filetype, FILETYPE_DIRECTORY.raw());
    assert_eq!(find("link").filetype, FILETYPE_SYMBOLIC_LINK.raw());
}

fn from_cookie(dir: Fd) {
    for name in ["a", "b", "c"] {
        touch(dir, name);
    }
    let (all, _) = entries(dir, ROOM, 0).expect("listed");
    assert_eq!(all.len(), 5);
    for at in 0..all.len() {
        let (rest, whole) = entries(dir, ROOM, all[at].next).expect("listed");
        assert!(whole);
        assert_eq!(rest, all[at + 1..], "from behind {:?}", all[at].name);
    }
    let (again, _) = entries(dir, ROOM, 0).expect("listed");
    assert_eq!(again, all, "a listing can begin anew");
}

fn thousand(dir: Fd) {
    for number in 0..1_000 {
        touch(dir, &format!("file.{number}"));
    }
    let (mut seen, mut cookie) = (BTreeSet::new(), 0);
    loop {
        let (found, last) = entries(dir, 256, cookie).expect("listed");
        assert!(last || !found.is_empty(), "a piece of 256 bytes holds a name");
        cookie = found.last().map_or(cookie, |entry| entry.next);
        for entry in found {
            assert!(seen.insert(entry.name.clone()), "{:?} came twice", entry.name);
        }
        if last {
            break;
        }
    }
    assert_eq!(seen.len(), 1_002, "and . and ..");
}

fn cut(dir: Fd) {
    let long = "n".repeat(200);
    touch(dir, &long);
    let (all, _) = entries(dir, ROOM, 0).expect("listed");
    let before = all.iter().position(|entry| entry.name == long).expect("it is there");
    let cookie = if before == 0 { 0 } else { all[before - 1].next };
    let (none, last) = entries(dir, 100, cookie).expect("what fits is given");
    assert!(!last, "a full buffer says that there is more");
    assert_eq!(none, [], "no name is whole in it");
    let (found, _) = entries(dir, 224, cookie).expect("listed");
    assert_eq!(found[0].name, long);
    let (none, _) = entries(dir, 0, 0).expect("nothing fits into nothing");
    assert_eq!(none, []);
}

fn follows(dir: Fd) {
    let names = |dir| {
        let (found, _) = entries(dir, ROOM, 0).expect("listed");
        found.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>()
    };
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    touch(dir, "one");
    assert_eq!(names(dir), set(&[".", "..", "one"]));
    touch(dir, "two");
    unlink(dir, "one").expect("unlinked");
    assert_eq!(names(dir), set(&[".", "..", "two"]));
    let file = open(dir, "two", How::file(0)).expect("opened");
    refused(entries(file, ROOM, 0), &[ERRNO_NOTDIR, ERRNO_BADF, ERRNO_NOTCAPABLE]);
}
