//! Files of components: what each call opens, makes, grows and removes, counted on its way.
//!
//! Always holds: a name and a byte are charged to `disk.rs` before they come into being, and a name
//! is given back if it was not made; a guest never has more open than its limit. Names are looked
//! up beneath the directory that the guest names, as the call itself will; nobody but the guest
//! changes its folder meanwhile, and in a shared one a count that is off by a race costs nobody but
//! it. A listing is a snapshot in the guest's table, charged to its memory until it is dropped;
//! what has no name in UTF-8 is refused by the name that a listing gives it.

use crate::{
    guest::GuestState,
    host::{
        directory::{Snapshot, Unlisted},
        disk::{Inode, Place},
        files::Open,
    },
    limiter::HANDLE_BYTES,
};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use skep_protocol::escape::unescape;
use std::{io, os::unix::fs::MetadataExt as _, sync::Arc};
use tokio::task::spawn_blocking;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::{
    WasiView as _,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{
        DynInputStream, DynOutputStream, FsError, FsResult,
        bindings::filesystem::types::{
            Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
            DirectoryEntryStream, ErrorCode, Filesize, Host, HostDescriptor,
            HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
        },
    },
};

/// What names cost beside their crossing, in units of fuel: as much as in preview 1.
const NAME: u64 = 4_000;
const CHANGE: u64 = 9_000;
const NAME_BYTE: u64 = 10;

type Fd = Resource<Descriptor>;

/// What a stream of entries stands for in the guest's table: a listing, and how much of it is
/// given.
#[derive(Debug)]
struct Listing {
    snapshot: Snapshot,
    given: usize,
}

fn listing(stream: &Resource<DirectoryEntryStream>) -> Resource<Listing> {
    Resource::new_borrow(stream.rep())
}

const fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Directory => DescriptorType::Directory,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Socket => DescriptorType::Socket,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

/// What the file system says of a name.
#[derive(Clone, Copy, Debug)]
struct Found {
    inode: Inode,
    links: u64,
}

impl GuestState {
    fn descriptor(&mut self, fd: &Fd) -> FsResult<Descriptor> {
        Ok(self.wasi.ctx().table.get(fd)?.clone())
    }

    /// The file behind a descriptor and its size, if it is one that can be written.
    fn file(&mut self, fd: &Fd) -> FsResult<Option<(Inode, u64)>> {
        let Descriptor::File(file) = self.descriptor(fd)? else { return Ok(None) };
        if file.perms.write_not_permitted() {
            return Ok(None);
        }
        let metadata = file.file.metadata()?;
        let inode = Inode { device: metadata.dev(), number: metadata.ino() };
        Ok(Some((inode, metadata.len())))
    }

    /// What a name leads to. None if it does not.
    async fn look_up(&mut self, fd: &Fd, path: &str, flags: PathFlags) -> FsResult<Option<Found>> {
        let Descriptor::Dir(dir) = self.descriptor(fd)? else { return Ok(None) };
        let dir = Arc::clone(&dir.dir);
        let path = path.to_owned();
        let mut how = OFlags::PATH | OFlags::CLOEXEC;
        how.set(OFlags::NOFOLLOW, !flags.contains(PathFlags::SYMLINK_FOLLOW));
        let found = spawn_blocking(move || {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let found = openat2(&*dir, path, how, Mode::empty(), resolve).ok()?;
            let stat = fstat(found).ok()?;
            let inode = Inode { device: stat.st_dev, number: stat.st_ino };
            #[allow(clippy::useless_conversion, reason = "it is smaller on other processors")]
            let links = u64::from(stat.st_nlink);
            Some(Found { inode, links })
        });
        Ok(found.await.unwrap_or(None))
    }

    /// Refuses a path that stands for what cannot be had: see `host/directory.rs`.
    async fn refuse_foreign(&mut self, fd: &Fd, path: &str) -> FsResult<()> {
        if unescape(path).is_none() {
            return Ok(());
        }
        let Descriptor::Dir(dir) = self.descriptor(fd)? else { return Ok(()) };
        match self.is_foreign(Arc::clone(&dir.dir), path).await {
            true => Err(ErrorCode::IllegalByteSequence.into()),
            false => Ok(()),
        }
    }

    /// Opens what there is room for.
    async fn open(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        self.pay_name(NAME, &path);
        self.refuse_foreign(&fd, &path).await?;
        let creates = open_flags.contains(OpenFlags::CREATE);
        let is_new = creates && self.look_up(&fd, &path, path_flags).await?.is_none();
        if is_new {
            self.add_name("")?;
        }
        let mut wasi = self.wasi.filesystem();
        let opened = wasi.open_at(fd, path_flags, path, open_flags, flags).await;
        let opened = if is_new { self.made(opened)? } else { opened? };
        let file = self.file(&opened)?;
        if let Some((inode, size)) = file {
            self.disk.opened(inode, size);
            if open_flags.contains(OpenFlags::TRUNCATE) {
                // It is empty already, so this gives back and is never refused.
                let _ = self.disk.resize(inode, 0);
            }
        }
        let inode = file.map(|(inode, _)| inode);
        self.files.insert(opened.rep().cast_signed(), Open { inode, appends: false });
        Ok(opened)
    }

    fn pay_name(&mut self, price: u64, path: &str) {
        self.meter.touched(price.saturating_add((path.len() as u64).saturating_mul(NAME_BYTE)));
    }

    fn add_name(&mut self, path: &str) -> FsResult<()> {
        self.pay_name(CHANGE, path);
        self.disk.add_name().map_err(|_| ErrorCode::InsufficientSpace.into())
    }

    /// A call that makes a name has ended: gives the name back if it was not made.
    fn made<T>(&mut self, result: FsResult<T>) -> FsResult<T> {
        if result.is_err() {
            self.disk.drop_name();
        }
        result
    }

    /// A name is gone that led to this.
    fn gone(&mut self, found: Option<Found>) {
        self.disk.drop_name();
        if let Some(found) = found
            && found.links <= 1
        {
            self.disk.unlinked(found.inode);
        }
    }

    /// Takes from what the file system says of a file what differs between machines.
    fn settle(&self, stat: DescriptorStat) -> DescriptorStat {
        if !self.files.is_deterministic() {
            return stat;
        }
        DescriptorStat {
            data_access_timestamp: None,
            data_modification_timestamp: None,
            status_change_timestamp: None,
            ..stat
        }
    }

    fn settle_hash(&mut self, hash: MetadataHashValue) -> MetadataHashValue {
        let inode = Inode { device: hash.upper, number: hash.lower };
        match self.files.number(inode) {
            Some(number) => MetadataHashValue { lower: number, upper: 0 },
            None => hash,
        }
    }
}

impl Host for GuestState {
    fn convert_error_code(&mut self, error: FsError) -> Result<ErrorCode> {
        self.wasi.filesystem().convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> Result<Option<ErrorCode>> {
        self.wasi.filesystem().filesystem_error_code(error)
    }
}

impl HostDescriptor for GuestState {
    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let file = self.file(&fd)?;
        let stream = self.wasi.filesystem().read_via_stream(fd, offset)?;
        if let Some((inode, size)) = file {
            self.streams_from(stream.rep(), inode, size);
        }
        Ok(stream)
    }

    fn write_via_stream(
        &mut self,
        fd: Fd,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        let stream = self.wasi.filesystem().write_via_stream(fd, offset)?;
        if let Some((inode, size)) = file {
            self.streams_to(stream.rep(), inode, size, Place::Offset(offset));
        }
        Ok(stream)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file(&fd)?;
        let stream = self.wasi.filesystem().append_via_stream(fd)?;
        if let Some((inode, size)) = file {
            self.streams_to(stream.rep(), inode, size, Place::End);
        }
        Ok(stream)
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        self.meter.touched(CHANGE);
        if let Some((inode, _)) = self.file(&fd)?
            && self.disk.resize(inode, size).is_err()
        {
            return Err(ErrorCode::InsufficientSpace.into());
        }
        self.wasi.filesystem().set_size(fd, size).await
    }

    async fn read(&mut self, fd: Fd, bytes: Filesize, at: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let (bytes, end) = self.wasi.filesystem().read(fd, bytes, at).await?;
        self.have_read(&bytes);
        Ok((bytes, end))
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, at: Filesize) -> FsResult<Filesize> {
        if let Some((inode, _)) = self.file(&fd)?
            && self.disk.write(inode, Place::Offset(at), bytes.len() as u64).is_err()
        {
            return Err(ErrorCode::InsufficientSpace.into());
        }
        self.wrote(&bytes);
        self.wasi.filesystem().write(fd, bytes, at).await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        if !self.files.has_room() {
            // WASI 0.2 has no word for it.
            return Err(ErrorCode::InsufficientMemory.into());
        }
        if !self.limiter.hold(HANDLE_BYTES) {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let opened = self.open(fd, path_flags, path, open_flags, flags).await;
        if opened.is_err() {
            self.limiter.release(HANDLE_BYTES);
        }
        opened
    }

    fn drop(&mut self, fd: Fd) -> Result<()> {
        let number = fd.rep().cast_signed();
        HostDescriptor::drop(&mut self.wasi.filesystem(), fd)?;
        if let Some(open) = self.files.remove(number) {
            self.limiter.release(HANDLE_BYTES);
            open.inode.into_iter().for_each(|inode| self.disk.closed(inode));
        }
        Ok(())
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.refuse_foreign(&fd, &path).await?;
        self.add_name(&path)?;
        let made = self.wasi.filesystem().create_directory_at(fd, path).await;
        self.made(made)
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        old: String,
        new_fd: Fd,
        new: String,
    ) -> FsResult<()> {
        self.refuse_foreign(&fd, &old).await?;
        self.refuse_foreign(&new_fd, &new).await?;
        self.add_name(&new)?;
        let made = self.wasi.filesystem().link_at(fd, flags, old, new_fd, new).await;
        self.made(made)
    }

    async fn symlink_at(&mut self, fd: Fd, old: String, new: String) -> FsResult<()> {
        self.refuse_foreign(&fd, &new).await?;
        self.add_name(&new)?;
        let made = self.wasi.filesystem().symlink_at(fd, old, new).await;
        self.made(made)
    }

    async fn rename_at(&mut self, fd: Fd, old: String, new_fd: Fd, new: String) -> FsResult<()> {
        self.pay_name(CHANGE, &new);
        self.refuse_foreign(&fd, &old).await?;
        self.refuse_foreign(&new_fd, &new).await?;
        let moved = self.look_up(&fd, &old, PathFlags::empty()).await?;
        let replaced = self.look_up(&new_fd, &new, PathFlags::empty()).await?;
        self.wasi.filesystem().rename_at(fd, old, new_fd, new).await?;
        // Two names of one file both stay, as POSIX has it.
        if replaced.is_some() && replaced.map(|found| found.inode) != moved.map(|m| m.inode) {
            self.gone(replaced);
        }
        Ok(())
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.pay_name(CHANGE, &path);
        self.refuse_foreign(&fd, &path).await?;
        let found = self.look_up(&fd, &path, PathFlags::empty()).await?;
        self.wasi.filesystem().unlink_file_at(fd, path).await?;
        self.gone(found);
        Ok(())
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.pay_name(CHANGE, &path);
        self.refuse_foreign(&fd, &path).await?;
        self.wasi.filesystem().remove_directory_at(fd, path).await?;
        self.gone(None);
        Ok(())
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<DirectoryEntryStream>> {
        self.meter.touched(NAME);
        let Descriptor::Dir(dir) = self.descriptor(&fd)? else {
            return Err(ErrorCode::NotDirectory.into());
        };
        let snapshot = self.snapshot(Arc::clone(&dir.dir)).await.map_err(|why| match why {
            Unlisted::NoMemory => FsError::from(ErrorCode::InsufficientMemory),
            Unlisted::Refused(errno) => io::Error::from(errno).into(),
        })?;
        let bytes = snapshot.bytes();
        let listing = self.wasi.ctx().table.push(Listing { snapshot, given: 0 });
        let listing = listing.inspect_err(|_| self.limiter.release(bytes))?;
        Ok(Resource::new_own(listing.rep()))
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        let stat = self.wasi.filesystem().stat(fd).await?;
        Ok(self.settle(stat))
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.pay_name(NAME, &path);
        self.refuse_foreign(&fd, &path).await?;
        let stat = self.wasi.filesystem().stat_at(fd, flags, path).await?;
        Ok(self.settle(stat))
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        let hash = self.wasi.filesystem().metadata_hash(fd).await?;
        Ok(self.settle_hash(hash))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.pay_name(NAME, &path);
        self.refuse_foreign(&fd, &path).await?;
        let hash = self.wasi.filesystem().metadata_hash_at(fd, flags, path).await?;
        Ok(self.settle_hash(hash))
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.pay_name(NAME, &path);
        self.refuse_foreign(&fd, &path).await?;
        self.wasi.filesystem().readlink_at(fd, path).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.pay_name(CHANGE, &path);
        self.refuse_foreign(&fd, &path).await?;
        let mut wasi = self.wasi.filesystem();
        wasi.set_times_at(fd, flags, path, accessed, modified).await
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.filesystem().set_times(fd, accessed, modified).await
    }

    async fn advise(
        &mut self,
        fd: Fd,
        offset: Filesize,
        bytes: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.wasi.filesystem().advise(fd, offset, bytes, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.meter.touched(CHANGE);
        self.wasi.filesystem().sync_data(fd).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.meter.touched(CHANGE);
        self.wasi.filesystem().sync(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.wasi.filesystem().get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.wasi.filesystem().get_type(fd).await
    }

    async fn is_same_object(&mut self, a: Fd, b: Fd) -> Result<bool> {
        self.wasi.filesystem().is_same_object(a, b).await
    }
}

impl HostDirectoryEntryStream for GuestState {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.wasi.ctx().table.get_mut(&listing(&stream))?;
        let Some(entry) = listing.snapshot.entry(listing.given) else { return Ok(None) };
        let (type_, name) = (descriptor_type(entry.kind), entry.name.to_owned());
        listing.given += 1;
        self.have_read(name.as_bytes());
        Ok(Some(DirectoryEntry { type_, name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> Result<()> {
        let listing = self.wasi.ctx().table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        self.limiter.release(listing.snapshot.bytes());
        Ok(())
    }
}
