//! Descriptors: preopened directories, rights, renumbering, and calls on what they do not fit.

use super::{Behaviour, STDERR, STDIN, STDOUT, new_dir, open_new, p1::*, refused};

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("the preopened directory has a name and rights", preopened),
    ("a preopened directory can be opened again", reopened),
    ("a preopened directory can be closed", preopen_closed),
    ("a descriptor is renumbered onto another", renumbered),
    ("a preopened directory is replaced or kept", preopen_replaced),
    ("rights can be dropped, or that is not supported", rights_dropped),
    ("a directory is not read, written or moved in like a file", directory_no_file),
    ("a file is not used as a directory", file_no_directory),
    ("without the right to write there is no writing", no_right_to_write),
    ("without the right to read there is no reading", no_right_to_read),
    ("no descriptor is a socket", no_socket),
    ("a descriptor outlives the name of its file", dangling),
    ("the standard streams are what they are", standard_streams),
];

fn preopened(dir: Fd) {
    let length = preopen(dir).expect("the directory was opened beforehand");
    assert_eq!(preopen_name(dir, length).expect("it has a name").len(), length);
    refused(preopen_name(dir, 0), &[ERRNO_NAMETOOLONG, ERRNO_INVAL]);
    refused(preopen(dir + 100).map(drop), &[ERRNO_BADF]);
    refused(preopen(STDOUT).map(drop), &[ERRNO_BADF, ERRNO_NOTSUP, ERRNO_INVAL]);
    assert_eq!(stat(dir).expect("known").filetype, FILETYPE_DIRECTORY);
    let status = status(dir).expect("known");
    assert_eq!(status.fs_filetype, FILETYPE_DIRECTORY);
    // C libraries refuse to use a directory that does not show them these.
    let needed = RIGHTS_PATH_OPEN
        | RIGHTS_PATH_CREATE_FILE
        | RIGHTS_PATH_CREATE_DIRECTORY
        | RIGHTS_PATH_LINK_SOURCE
        | RIGHTS_PATH_LINK_TARGET
        | RIGHTS_PATH_READLINK
        | RIGHTS_PATH_SYMLINK
        | RIGHTS_PATH_RENAME_SOURCE
        | RIGHTS_PATH_RENAME_TARGET
        | RIGHTS_PATH_REMOVE_DIRECTORY
        | RIGHTS_PATH_UNLINK_FILE
        | RIGHTS_PATH_FILESTAT_GET
        | RIGHTS_PATH_FILESTAT_SET_TIMES
        | RIGHTS_FD_READDIR
        | RIGHTS_FD_FILESTAT_GET;
    assert_eq!(status.fs_rights_base & needed, needed);
    assert_eq!(status.fs_rights_inheriting & (needed | READ_WRITE), needed | READ_WRITE);
}

fn reopened(dir: Fd) {
    let status = status(dir).expect("known");
    let (rights, inheriting) = (status.fs_rights_base, status.fs_rights_inheriting);
    open(dir, ".", How { rights, inheriting, ..How::default() }).expect("with the same rights");
    open(dir, ".", How::default()).expect("with none");
    open(dir, ".", How::flags(OFLAGS_DIRECTORY)).expect("as a directory");
    let reading = How { rights: RIGHTS_FD_READ, ..How::flags(OFLAGS_DIRECTORY) };
    open(dir, ".", reading).expect("to read");
    let rights = RIGHTS_FD_READ | RIGHTS_FD_WRITE;
    refused(open(dir, ".", How { rights, ..How::flags(OFLAGS_DIRECTORY) }), &[ERRNO_ISDIR]);
    refused(
        preopen(open(dir, ".", How::default()).expect("opened")).map(drop),
        &[ERRNO_BADF, ERRNO_NOTSUP],
    );
}

fn preopen_closed(dir: Fd) {
    let other = open(dir, ".", How::flags(OFLAGS_DIRECTORY)).expect("opened");
    match close(dir) {
        Ok(()) => {
            refused(preopen(dir).map(drop), &[ERRNO_BADF]);
            refused(open(dir, ".", How::default()), &[ERRNO_BADF]);
        }
        Err(reason) => assert_eq!(reason, ERRNO_NOTSUP),
    }
    touch_through(other);
}

fn touch_through(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"x"), Ok(1));
}

fn renumbered(dir: Fd) {
    let (from, to) = (open_new(dir, "from"), open_new(dir, "to"));
    assert_eq!(write(from, b"abc"), Ok(3));
    let inode = stat(from).expect("known").ino;
    renumber(from, to).expect("it takes the other number");
    refused(close(from), &[ERRNO_BADF]);
    assert_eq!(stat(to).expect("known").ino, inode);
    assert_eq!(tell(to), Ok(3), "its position comes along");
    refused(renumber(from, to), &[ERRNO_BADF]);
    refused(renumber(to, 1_000), &[ERRNO_BADF]);
    let again = open_new(dir, "again");
    assert_ne!(again, to);
    close(to).expect("closed");
    refused(stat(to).map(drop), &[ERRNO_BADF]);
}

fn preopen_replaced(dir: Fd) {
    let inner = new_dir(dir, "inner");
    match renumber(inner, dir) {
        Ok(()) => {
            open_new(dir, "file");
            refused(open(dir, "inner", How::default()), &[ERRNO_NOENT]);
        }
        Err(reason) => {
            assert_eq!(reason, ERRNO_NOTSUP);
            close(inner).expect("it is still open");
        }
    }
}

fn rights_dropped(dir: Fd) {
    let file = open_new(dir, "file");
    let had = status(file).expect("known").fs_rights_base;
    let kept = had & !(RIGHTS_FD_READ | RIGHTS_FD_WRITE);
    match set_rights(file, kept, 0) {
        Ok(()) => {
            refused(write(file, b"x"), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
            refused(read(file, &mut [0]), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
            refused(set_rights(file, had, 0), &[ERRNO_NOTCAPABLE]);
        }
        Err(reason) => {
            assert_eq!(reason, ERRNO_NOTSUP);
            assert_eq!(write(file, b"x"), Ok(1));
        }
    }
    refused(set_rights(1_000, 0, 0), &[ERRNO_BADF]);
}

fn directory_no_file(dir: Fd) {
    let inner = new_dir(dir, "inner");
    let reasons = [ERRNO_ISDIR, ERRNO_BADF, ERRNO_NOTCAPABLE];
    for fd in [dir, inner] {
        refused(read(fd, &mut [0; 16]), &reasons);
        refused(read_at(fd, &mut [0; 16], 0), &reasons);
        refused(write(fd, &[0; 16]), &reasons);
        refused(write_at(fd, &[0; 16], 0), &reasons);
        refused(seek(fd, 0, WHENCE_SET), &reasons);
        refused(seek(fd, 0, WHENCE_CUR), &reasons);
        refused(seek(fd, 0, WHENCE_END), &reasons);
        refused(tell(fd), &reasons);
        refused(allocate(fd, 0, 1), &[&reasons[..], &[ERRNO_NOTSUP]].concat());
        refused(set_size(fd, 0), &[&reasons[..], &[ERRNO_INVAL]].concat());
    }
}

fn file_no_directory(dir: Fd) {
    let file = open_new(dir, "file");
    let reasons = [ERRNO_NOTDIR, ERRNO_BADF, ERRNO_NOTCAPABLE];
    refused(open(file, "x", How::file(OFLAGS_CREAT)), &reasons);
    refused(open(file, ".", How::default()), &reasons);
    refused(make_dir(file, "x"), &reasons);
    refused(remove_dir(file, "x"), &reasons);
    refused(unlink(file, "x"), &reasons);
    refused(symlink("x", file, "y"), &reasons);
    refused(stat_path(file, 0, "x").map(drop), &reasons);
    refused(read_link(file, "x", 10), &reasons);
    refused(rename(file, "x", dir, "y"), &reasons);
    refused(link(file, 0, "x", dir, "y"), &reasons);
    refused(entries(file, 100, 0), &reasons);
    refused(open(dir, "file", How::flags(OFLAGS_DIRECTORY)), &[ERRNO_NOTDIR]);
    refused(open(dir, "file/x", How::default()), &[ERRNO_NOTDIR]);
    refused(make_dir(dir, "file/x"), &[ERRNO_NOTDIR]);
}

fn no_right_to_write(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"abc"), Ok(3));
    let how = How { rights: RIGHTS_FD_READ, ..How::default() };
    let reader = open(dir, "file", how).expect("opened to read");
    assert_eq!(read(reader, &mut [0; 8]), Ok(3));
    let reasons = [ERRNO_BADF, ERRNO_NOTCAPABLE];
    refused(write(reader, b"x"), &reasons);
    refused(write_at(reader, b"x", 0), &reasons);
    refused(set_size(reader, 0), &[ERRNO_BADF, ERRNO_NOTCAPABLE, ERRNO_INVAL]);
    assert_eq!(stat(file).expect("known").size, 3);
    assert_eq!(status(reader).expect("known").fs_rights_base & RIGHTS_FD_WRITE, 0);
}

fn no_right_to_read(dir: Fd) {
    open_new(dir, "file");
    let how = How { rights: RIGHTS_FD_WRITE, ..How::default() };
    let writer = open(dir, "file", how).expect("opened to write");
    assert_eq!(write(writer, b"abc"), Ok(3));
    refused(read(writer, &mut [0; 8]), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
    refused(read_at(writer, &mut [0; 8], 0), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
    assert_eq!(status(writer).expect("known").fs_rights_base & RIGHTS_FD_READ, 0);
}

fn no_socket(dir: Fd) {
    let file = open_new(dir, "file");
    for fd in [STDIN, dir, file] {
        for answer in socket_answers(fd) {
            refused(answer, &[ERRNO_NOTSOCK, ERRNO_BADF, ERRNO_NOTSUP]);
        }
    }
    for answer in socket_answers(1_000) {
        refused(answer, &[ERRNO_BADF, ERRNO_NOTSUP]);
    }
}

fn dangling(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"abc"), Ok(3));
    unlink(dir, "file").expect("unlinked");
    refused(open(dir, "file", How::file(0)), &[ERRNO_NOENT]);
    assert_eq!(write(file, b"def"), Ok(3), "it can still be written");
    let mut bytes = [0; 8];
    assert_eq!(read_at(file, &mut bytes, 0), Ok(6));
    assert_eq!(&bytes[..6], b"abcdef");
    assert_eq!(stat(file).expect("known").nlink, 0);
    close(file).expect("closed");
    let inner = new_dir(dir, "inner");
    remove_dir(dir, "inner").expect("removed");
    refused(open(inner, "file", How::file(OFLAGS_CREAT)), &[ERRNO_NOENT]);
    assert_eq!(stat(inner).expect("known").filetype, FILETYPE_DIRECTORY);
}

fn standard_streams(_: Fd) {
    for fd in [STDIN, STDOUT, STDERR] {
        stat(fd).expect("known");
        let status = status(fd).expect("known");
        assert_ne!(status.fs_filetype, FILETYPE_DIRECTORY);
        refused(preopen(fd).map(drop), &[ERRNO_BADF, ERRNO_NOTSUP, ERRNO_INVAL]);
        refused(open(fd, "x", How::default()), &[ERRNO_NOTDIR, ERRNO_BADF, ERRNO_NOTCAPABLE]);
        // What C libraries take for a terminal.
        let moving = status.fs_rights_base & (RIGHTS_FD_SEEK | RIGHTS_FD_TELL);
        let terminal = status.fs_filetype == FILETYPE_CHARACTER_DEVICE && moving == 0;
        assert!(!terminal, "{fd} looks like a terminal");
    }
    assert_eq!(write(STDOUT, b"out\n"), Ok(4));
    assert_eq!(write(STDERR, b"err\n"), Ok(4));
    assert_eq!(write(STDOUT, b""), Ok(0));
    refused(write(STDIN, b"x"), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
    refused(read(STDOUT, &mut [0]), &[ERRNO_BADF, ERRNO_NOTCAPABLE]);
    let reasons = [ERRNO_SPIPE, ERRNO_BADF, ERRNO_NOTCAPABLE];
    refused(seek(STDOUT, 0, WHENCE_CUR), &reasons);
    for fd in [STDIN, STDOUT, STDERR] {
        close(fd).expect("a standard stream can be closed");
        refused(close(fd), &[ERRNO_BADF]);
    }
}
