//! The functions of WASI preview 1, made safe to call, and what checks need around them.
//!
//! Owns all `unsafe` of this guest. Deliberately absent: any judgement of what is answered.

#![expect(unsafe_code, reason = "the functions of the host are foreign ones")]

use std::mem::MaybeUninit;
pub(crate) use wasi::*;

/// What the host answers.
pub(crate) type Answer<T = ()> = Result<T, Errno>;

/// What a file is opened with when a check is about something else.
pub(crate) const READ_WRITE: Rights = RIGHTS_FD_READ
    | RIGHTS_FD_WRITE
    | RIGHTS_FD_SEEK
    | RIGHTS_FD_TELL
    | RIGHTS_FD_FILESTAT_GET
    | RIGHTS_FD_FILESTAT_SET_SIZE
    | RIGHTS_FD_FILESTAT_SET_TIMES
    | RIGHTS_FD_ALLOCATE
    | RIGHTS_FD_ADVISE
    | RIGHTS_FD_FDSTAT_SET_FLAGS
    | RIGHTS_FD_SYNC
    | RIGHTS_FD_DATASYNC
    | RIGHTS_POLL_FD_READWRITE;

/// How a path is opened.
#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    pub(crate) follow: Lookupflags,
    pub(crate) flags: Oflags,
    pub(crate) rights: Rights,
    pub(crate) inheriting: Rights,
    pub(crate) fd_flags: Fdflags,
}

impl How {
    /// With these flags, and nothing allowed on what is opened.
    pub(crate) fn flags(flags: Oflags) -> Self {
        Self { flags, ..Self::default() }
    }

    /// With these flags, to read and write.
    pub(crate) fn file(flags: Oflags) -> Self {
        Self { flags, rights: READ_WRITE, ..Self::default() }
    }

    pub(crate) fn follow(self) -> Self {
        Self { follow: LOOKUPFLAGS_SYMLINK_FOLLOW, ..self }
    }
}

/// A name in a directory, as `fd_readdir` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) filetype: u8,
    pub(crate) inode: u64,
    pub(crate) next: u64,
}

pub(crate) fn open(dir: Fd, path: &str, how: How) -> Answer<Fd> {
    let How { follow, flags, rights, inheriting, fd_flags } = how;
    unsafe { path_open(dir, follow, path, flags, rights, inheriting, fd_flags) }
}

pub(crate) fn close(fd: Fd) -> Answer {
    unsafe { fd_close(fd) }
}

pub(crate) fn renumber(fd: Fd, to: Fd) -> Answer {
    unsafe { fd_renumber(fd, to) }
}

pub(crate) fn read(fd: Fd, bytes: &mut [u8]) -> Answer<usize> {
    unsafe { fd_read(fd, &[Iovec { buf: bytes.as_mut_ptr(), buf_len: bytes.len() }]) }
}

/// Reads into two buffers with one call.
pub(crate) fn read_two(fd: Fd, first: &mut [u8], second: &mut [u8]) -> Answer<usize> {
    let first = Iovec { buf: first.as_mut_ptr(), buf_len: first.len() };
    let second = Iovec { buf: second.as_mut_ptr(), buf_len: second.len() };
    unsafe { fd_read(fd, &[first, second]) }
}

pub(crate) fn read_at(fd: Fd, bytes: &mut [u8], offset: u64) -> Answer<usize> {
    unsafe { fd_pread(fd, &[Iovec { buf: bytes.as_mut_ptr(), buf_len: bytes.len() }], offset) }
}

pub(crate) fn write(fd: Fd, bytes: &[u8]) -> Answer<usize> {
    unsafe { fd_write(fd, &[Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() }]) }
}

/// Writes two buffers with one call.
pub(crate) fn write_two(fd: Fd, first: &[u8], second: &[u8]) -> Answer<usize> {
    let first = Ciovec { buf: first.as_ptr(), buf_len: first.len() };
    let second = Ciovec { buf: second.as_ptr(), buf_len: second.len() };
    unsafe { fd_write(fd, &[first, second]) }
}

pub(crate) fn write_at(fd: Fd, bytes: &[u8], offset: u64) -> Answer<usize> {
    unsafe { fd_pwrite(fd, &[Ciovec { buf: bytes.as_ptr(), buf_len: bytes.len() }], offset) }
}

pub(crate) fn seek(fd: Fd, offset: i64, whence: Whence) -> Answer<u64> {
    unsafe { fd_seek(fd, offset, whence) }
}

pub(crate) fn tell(fd: Fd) -> Answer<u64> {
    unsafe { fd_tell(fd) }
}

pub(crate) fn advise(fd: Fd, offset: u64, length: u64, advice: Advice) -> Answer {
    unsafe { fd_advise(fd, offset, length, advice) }
}

pub(crate) fn allocate(fd: Fd, offset: u64, length: u64) -> Answer {
    unsafe { fd_allocate(fd, offset, length) }
}

pub(crate) fn sync(fd: Fd) -> Answer {
    unsafe { fd_sync(fd).and_then(|()| fd_datasync(fd)) }
}

pub(crate) fn status(fd: Fd) -> Answer<Fdstat> {
    unsafe { fd_fdstat_get(fd) }
}

pub(crate) fn set_flags(fd: Fd, flags: Fdflags) -> Answer {
    unsafe { fd_fdstat_set_flags(fd, flags) }
}

pub(crate) fn set_rights(fd: Fd, base: Rights, inheriting: Rights) -> Answer {
    unsafe { fd_fdstat_set_rights(fd, base, inheriting) }
}

pub(crate) fn stat(fd: Fd) -> Answer<Filestat> {
    unsafe { fd_filestat_get(fd) }
}

pub(crate) fn set_size(fd: Fd, size: u64) -> Answer {
    unsafe { fd_filestat_set_size(fd, size) }
}

pub(crate) fn set_times(fd: Fd, accessed: u64, modified: u64, flags: Fstflags) -> Answer {
    unsafe { fd_filestat_set_times(fd, accessed, modified, flags) }
}

pub(crate) fn preopen(fd: Fd) -> Answer<usize> {
    let prestat = unsafe { fd_prestat_get(fd) }?;
    assert_eq!(prestat.tag, PREOPENTYPE_DIR.raw(), "only directories are opened beforehand");
    Ok(unsafe { prestat.u.dir.pr_name_len })
}

pub(crate) fn preopen_name(fd: Fd, length: usize) -> Answer<String> {
    let mut name = vec![0; length];
    unsafe { fd_prestat_dir_name(fd, name.as_mut_ptr(), name.len()) }?;
    Ok(String::from_utf8(name).expect("a name in UTF-8"))
}

pub(crate) fn make_dir(dir: Fd, path: &str) -> Answer {
    unsafe { path_create_directory(dir, path) }
}

pub(crate) fn remove_dir(dir: Fd, path: &str) -> Answer {
    unsafe { path_remove_directory(dir, path) }
}

pub(crate) fn unlink(dir: Fd, path: &str) -> Answer {
    unsafe { path_unlink_file(dir, path) }
}

pub(crate) fn rename(from: Fd, old: &str, to: Fd, new: &str) -> Answer {
    unsafe { path_rename(from, old, to, new) }
}

pub(crate) fn link(from: Fd, flags: Lookupflags, old: &str, to: Fd, new: &str) -> Answer {
    unsafe { path_link(from, flags, old, to, new) }
}

pub(crate) fn symlink(target: &str, dir: Fd, path: &str) -> Answer {
    unsafe { path_symlink(target, dir, path) }
}

/// What a symbolic link says, as far as it fits into `room` bytes.
pub(crate) fn read_link(dir: Fd, path: &str, room: usize) -> Answer<String> {
    let mut bytes = vec![0; room];
    let length = unsafe { path_readlink(dir, path, bytes.as_mut_ptr(), room) }?;
    bytes.truncate(length);
    Ok(String::from_utf8(bytes).expect("a target in UTF-8"))
}

pub(crate) fn stat_path(dir: Fd, follow: Lookupflags, path: &str) -> Answer<Filestat> {
    unsafe { path_filestat_get(dir, follow, path) }
}

pub(crate) fn set_times_path(
    dir: Fd,
    follow: Lookupflags,
    path: &str,
    (accessed, modified): (u64, u64),
    flags: Fstflags,
) -> Answer {
    unsafe { path_filestat_set_times(dir, follow, path, accessed, modified, flags) }
}

/// The names from `cookie` on that fit into `room` bytes, and whether they are the last ones.
pub(crate) fn entries(dir: Fd, room: usize, cookie: u64) -> Answer<(Vec<Entry>, bool)> {
    /// Bytes of a `dirent`.
    const HEAD: usize = 24;
    let mut bytes = vec![0_u8; room];
    let used = unsafe { fd_readdir(dir, bytes.as_mut_ptr(), room, cookie) }?;
    assert!(used <= room, "{used} bytes were written where {room} fit");
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let (mut found, mut at) = (Vec::new(), 0);
    while at + HEAD <= used {
        let length = u32::from_le_bytes(bytes[at + 16..at + 20].try_into().expect("4 bytes"));
        let end = at + HEAD + length as usize;
        if end > used {
            break;
        }
        let name = String::from_utf8(bytes[at + HEAD..end].to_vec()).expect("UTF-8");
        let (next, inode, filetype) = (number(at), number(at + 8), bytes[at + 20]);
        found.push(Entry { name, filetype, inode, next });
        at = end;
    }
    Ok((found, used < room))
}

pub(crate) fn time(clock: Clockid) -> Answer<u64> {
    unsafe { clock_time_get(clock, 1) }
}

pub(crate) fn resolution(clock: Clockid) -> Answer<u64> {
    unsafe { clock_res_get(clock) }
}

pub(crate) fn random(bytes: &mut [u8]) -> Answer {
    unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) }
}

pub(crate) fn yield_now() -> Answer {
    unsafe { sched_yield() }
}

pub(crate) fn raise() -> Answer {
    unsafe { proc_raise(SIGNAL_USR1) }
}

/// What the functions for sockets answer for `fd`, in one list.
pub(crate) fn socket_answers(fd: Fd) -> Vec<Answer> {
    let mut byte = [0_u8];
    let vector = [Iovec { buf: byte.as_mut_ptr(), buf_len: 1 }];
    unsafe {
        vec![
            sock_accept(fd, 0).map(drop),
            sock_shutdown(fd, SDFLAGS_RD),
            sock_recv(fd, &vector, 0).map(drop),
            sock_send(fd, &[Ciovec { buf: [1].as_ptr(), buf_len: 1 }], 0).map(drop),
        ]
    }
}

/// A wait until `clock` says `timeout`, or, without `flags`, until so long from now.
pub(crate) fn until(
    userdata: Userdata,
    id: Clockid,
    timeout: u64,
    flags: Subclockflags,
) -> Subscription {
    let clock = SubscriptionClock { id, timeout, precision: 0, flags };
    let u = SubscriptionU { tag: EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } };
    Subscription { userdata, u }
}

/// A wait until `fd` can be read.
pub(crate) fn readable(userdata: Userdata, file_descriptor: Fd) -> Subscription {
    let fd_read = SubscriptionFdReadwrite { file_descriptor };
    let u = SubscriptionU { tag: EVENTTYPE_FD_READ.raw(), u: SubscriptionUU { fd_read } };
    Subscription { userdata, u }
}

/// A wait until `fd` can be written.
pub(crate) fn writable(userdata: Userdata, file_descriptor: Fd) -> Subscription {
    let fd_write = SubscriptionFdReadwrite { file_descriptor };
    let u = SubscriptionU { tag: EVENTTYPE_FD_WRITE.raw(), u: SubscriptionUU { fd_write } };
    Subscription { userdata, u }
}

pub(crate) fn poll(waits: &[Subscription]) -> Answer<Vec<Event>> {
    let mut events = vec![MaybeUninit::<Event>::zeroed(); waits.len().max(1)];
    let first = events.as_mut_ptr().cast();
    let count = unsafe { poll_oneoff(waits.as_ptr(), first, waits.len()) }?;
    // Zero is a valid value of each field, and the host wrote the first `count` of them.
    Ok(events[..count].iter().map(|event| unsafe { event.assume_init() }).collect())
}

/// The arguments, got without the standard library.
pub(crate) fn arguments() -> Answer<Vec<String>> {
    let (count, size) = unsafe { args_sizes_get() }?;
    let (mut pointers, mut bytes) = (vec![std::ptr::null_mut(); count], vec![0_u8; size]);
    unsafe { args_get(pointers.as_mut_ptr(), bytes.as_mut_ptr()) }?;
    Ok(strings(&bytes))
}

/// The environment, got without the standard library.
pub(crate) fn environment() -> Answer<Vec<String>> {
    let (count, size) = unsafe { environ_sizes_get() }?;
    let (mut pointers, mut bytes) = (vec![std::ptr::null_mut(); count], vec![0_u8; size]);
    unsafe { environ_get(pointers.as_mut_ptr(), bytes.as_mut_ptr()) }?;
    Ok(strings(&bytes))
}

fn strings(bytes: &[u8]) -> Vec<String> {
    let words = bytes.split_inclusive(|byte| *byte == 0);
    words.map(|word| String::from_utf8_lossy(&word[..word.len() - 1]).into_owned()).collect()
}
