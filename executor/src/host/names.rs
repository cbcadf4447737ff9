//! Preview 1's names: what each call makes appear or removes, counted on its way.
//!
//! Always holds: a name is charged to `disk.rs` before it is made, and given back if it was not.
//! Whether a name is new is looked up first; nobody but the guest changes its folder meanwhile, and
//! in a shared one a count that is off by a race costs nobody but the guest. What is there and has
//! no name in UTF-8 is refused by the name that a listing gives it.

use super::{
    errno,
    files::{APPEND, FILESTAT_BYTES, Open, Stat, path},
    memory::{bytes, u32_at},
    p1::Call,
};
use crate::limiter::HANDLE_BYTES;
use skep_protocol::escape::unescape;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as abi;
use wiggle::GuestMemory;

/// The flags of `path_open`.
const CREATE: i32 = 1;
const TRUNCATE: i32 = 8;
/// The flag of a look-up that follows a link at the end of a path.
const FOLLOW: i32 = 1;
/// The longest path that is looked up; the kernel takes no longer ones.
const PATH_BYTES_MAX: usize = 4_096;

impl Call<'_> {
    /// What the file system says of a name. Err: its error number.
    async fn look_up(
        &mut self,
        dir: i32,
        flags: i32,
        path: &[u8],
    ) -> wasmtime::Result<Result<Stat, i32>> {
        if path.len() > PATH_BYTES_MAX {
            return Ok(Err(errno::INVAL));
        }
        // The answer, and behind it the question: there is but one memory to put both in.
        let mut scratch = vec![0; FILESTAT_BYTES];
        scratch.extend_from_slice(path);
        let (pointer, length) = (64, i32::try_from(path.len()).expect("a short path"));
        let memory = &mut GuestMemory::Unshared(&mut scratch);
        let wasi = &mut self.state.wasi;
        let errno = abi::path_filestat_get(wasi, memory, dir, flags, pointer, length, 0).await?;
        let stat = || Stat::read(&scratch[..FILESTAT_BYTES]);
        Ok(if errno == errno::SUCCESS { Ok(stat()) } else { Err(errno) })
    }

    /// Takes a name's price in bytes. Gives whether it is one that stands for what cannot be had:
    /// see `directory`.
    async fn is_foreign(&mut self, dir: i32, pointer: i32, length: i32) -> wasmtime::Result<bool> {
        let Some(path) = bytes(self.memory, pointer, length) else { return Ok(false) };
        self.state.meter.touched(path.len() as u64);
        let path = std::str::from_utf8(path).ok().filter(|path| unescape(path).is_some());
        let Some(path) = path.map(ToOwned::to_owned) else { return Ok(false) };
        Ok(match self.directory(dir).await? {
            Ok(directory) => self.state.is_foreign(directory, &path).await,
            Err(_) => false,
        })
    }

    /// A call that makes a name has ended: gives the name back if it was not made.
    fn made(&mut self, errno: i32) -> i32 {
        if errno != errno::SUCCESS {
            self.state.disk.drop_name();
        }
        errno
    }

    /// A name is gone that led to this.
    fn gone(&mut self, stat: Option<Stat>) {
        self.state.disk.drop_name();
        if let Some(stat) = stat
            && stat.links() <= 1
        {
            self.state.disk.unlinked(stat.inode());
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "they are preview 1's")]
pub(super) async fn path_open(
    call: &mut Call<'_>,
    dir: i32,
    dir_flags: i32,
    pointer: i32,
    length: i32,
    open_flags: i32,
    rights: i64,
    rights_inheriting: i64,
    fd_flags: i32,
    fd_at: i32,
) -> wasmtime::Result<i32> {
    if !call.state.files.has_room() {
        return Ok(errno::MFILE);
    }
    if !call.state.limiter.hold(HANDLE_BYTES) {
        return Ok(errno::NOMEM);
    }
    let opened = open(
        call,
        (dir, dir_flags, pointer, length),
        (open_flags, rights, rights_inheriting, fd_flags),
        fd_at,
    );
    let errno = opened.await?;
    if errno != errno::SUCCESS {
        call.state.limiter.release(HANDLE_BYTES);
    }
    Ok(errno)
}

/// Opens what there is room for.
async fn open(
    call: &mut Call<'_>,
    (dir, dir_flags, pointer, length): (i32, i32, i32, i32),
    (open_flags, rights, rights_inheriting, fd_flags): (i32, i64, i64, i32),
    fd_at: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    let is_new = open_flags & CREATE != 0 && {
        let name = path(call.memory, pointer, length);
        matches!(call.look_up(dir, dir_flags & FOLLOW, &name).await?, Err(errno::NOENT))
    };
    if is_new && call.state.disk.add_name().is_err() {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let errno = abi::path_open(
        &mut call.state.wasi,
        memory,
        dir,
        dir_flags,
        pointer,
        length,
        open_flags,
        rights,
        rights_inheriting,
        fd_flags,
        fd_at,
    )
    .await?;
    if errno != errno::SUCCESS {
        if is_new {
            call.state.disk.drop_name();
        }
        return Ok(errno);
    }
    let fd = u32_at(call.memory, fd_at).expect("the new descriptor was written there");
    opened(call, fd.cast_signed(), open_flags, fd_flags).await?;
    Ok(errno)
}

/// Enters a new descriptor into the books.
async fn opened(
    call: &mut Call<'_>,
    fd: i32,
    open_flags: i32,
    fd_flags: i32,
) -> wasmtime::Result<()> {
    let mut open = Open { inode: None, appends: fd_flags & APPEND != 0 };
    if call.state.files.writable
        && let Some(stat) = call.stat(fd).await?
        && stat.is_file()
    {
        let disk = &mut call.state.disk;
        disk.opened(stat.inode(), stat.size());
        if open_flags & TRUNCATE != 0 {
            disk.resize(stat.inode(), stat.size()).expect("it has become smaller");
        }
        open.inode = Some(stat.inode());
    }
    call.state.files.insert(fd, open);
    Ok(())
}

pub(super) async fn path_create_directory(
    call: &mut Call<'_>,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    if call.state.disk.add_name().is_err() {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::path_create_directory(wasi, memory, dir, pointer, length).await?;
    Ok(call.made(errno))
}

#[expect(clippy::too_many_arguments, reason = "they are preview 1's")]
pub(super) async fn path_link(
    call: &mut Call<'_>,
    old_dir: i32,
    flags: i32,
    old_pointer: i32,
    old_length: i32,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(old_dir, old_pointer, old_length).await?
        || call.is_foreign(dir, pointer, length).await?
    {
        return Ok(errno::ILSEQ);
    }
    if call.state.disk.add_name().is_err() {
        return Ok(errno::NOSPC);
    }
    let errno = abi::path_link(
        &mut call.state.wasi,
        &mut GuestMemory::Unshared(call.memory),
        old_dir,
        flags,
        old_pointer,
        old_length,
        dir,
        pointer,
        length,
    )
    .await?;
    Ok(call.made(errno))
}

pub(super) async fn path_symlink(
    call: &mut Call<'_>,
    old_pointer: i32,
    old_length: i32,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if let Some(target) = bytes(call.memory, old_pointer, old_length) {
        call.state.meter.touched(target.len() as u64);
    }
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    if call.state.disk.add_name().is_err() {
        return Ok(errno::NOSPC);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno =
        abi::path_symlink(wasi, memory, old_pointer, old_length, dir, pointer, length).await?;
    Ok(call.made(errno))
}

/// What a rename takes the name of is gone, unless both names lead to one file: then nothing
/// happens, as POSIX has it.
pub(super) async fn path_rename(
    call: &mut Call<'_>,
    old_dir: i32,
    old_pointer: i32,
    old_length: i32,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(old_dir, old_pointer, old_length).await?
        || call.is_foreign(dir, pointer, length).await?
    {
        return Ok(errno::ILSEQ);
    }
    let (old, new) =
        (path(call.memory, old_pointer, old_length), path(call.memory, pointer, length));
    let old = call.look_up(old_dir, 0, &old).await?.ok();
    let replaced = call.look_up(dir, 0, &new).await?.ok();
    let errno = abi::path_rename(
        &mut call.state.wasi,
        &mut GuestMemory::Unshared(call.memory),
        old_dir,
        old_pointer,
        old_length,
        dir,
        pointer,
        length,
    )
    .await?;
    let same = old.zip(replaced).is_some_and(|(old, new)| old.inode() == new.inode());
    if errno == errno::SUCCESS && replaced.is_some() && !same {
        call.gone(replaced);
    }
    Ok(errno)
}

pub(super) async fn path_unlink_file(
    call: &mut Call<'_>,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    let name = path(call.memory, pointer, length);
    let stat = call.look_up(dir, 0, &name).await?.ok();
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::path_unlink_file(wasi, memory, dir, pointer, length).await?;
    if errno == errno::SUCCESS {
        call.gone(stat);
    }
    Ok(errno)
}

pub(super) async fn path_remove_directory(
    call: &mut Call<'_>,
    dir: i32,
    pointer: i32,
    length: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::path_remove_directory(wasi, memory, dir, pointer, length).await?;
    if errno == errno::SUCCESS {
        call.gone(None);
    }
    Ok(errno)
}

pub(super) async fn path_filestat_get(
    call: &mut Call<'_>,
    dir: i32,
    flags: i32,
    pointer: i32,
    length: i32,
    at: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    let errno = abi::path_filestat_get(wasi, memory, dir, flags, pointer, length, at).await?;
    if errno == errno::SUCCESS {
        call.settle_stat(at);
    }
    Ok(errno)
}

#[expect(clippy::too_many_arguments, reason = "they are preview 1's")]
pub(super) async fn path_filestat_set_times(
    call: &mut Call<'_>,
    dir: i32,
    flags: i32,
    pointer: i32,
    length: i32,
    accessed: i64,
    modified: i64,
    which: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    abi::path_filestat_set_times(
        &mut call.state.wasi,
        &mut GuestMemory::Unshared(call.memory),
        dir,
        flags,
        pointer,
        length,
        accessed,
        modified,
        which,
    )
    .await
}

pub(super) async fn path_readlink(
    call: &mut Call<'_>,
    dir: i32,
    pointer: i32,
    length: i32,
    buffer: i32,
    room: i32,
    used_at: i32,
) -> wasmtime::Result<i32> {
    if call.is_foreign(dir, pointer, length).await? {
        return Ok(errno::ILSEQ);
    }
    let memory = &mut GuestMemory::Unshared(call.memory);
    let wasi = &mut call.state.wasi;
    abi::path_readlink(wasi, memory, dir, pointer, length, buffer, room, used_at).await
}
