//! Streams and waits of components: what moves is counted, what grows a file is charged.
//!
//! Always holds: a write to a file asks `disk.rs` for room before it is made; what was read and
//! written stands in the record of a deterministic run.

use crate::{
    guest::GuestState,
    host::disk::{Inode, Place},
};
use rustix::io::Errno;
use std::{collections::BTreeMap, io};
use wasmtime::{
    Result,
    component::{Resource, ResourceTable},
};
use wasmtime_wasi::{
    WasiView as _,
    p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult},
};
use wasmtime_wasi_io::bindings::wasi::io::{
    poll::{Host as Poll, HostPollable},
    streams::{Host, HostInputStream, HostOutputStream, StreamError as GuestStreamError},
};

/// What looking at one more pollable costs, in units of fuel.
const POLLABLE: u64 = 200;

/// The streams of files that a guest has open, by their number in its table.
#[derive(Debug, Default)]
pub(crate) struct FileStreams {
    open: BTreeMap<u32, FileStream>,
}

#[derive(Clone, Copy, Debug)]
struct FileStream {
    inode: Inode,
    /// None: it reads.
    at: Option<Place>,
}

impl GuestState {
    fn table(&mut self) -> &mut ResourceTable {
        self.wasi.ctx().table
    }

    /// Enters a stream of a file into the books; it keeps the file as a handle does.
    pub(super) fn streams_from(&mut self, stream: u32, inode: Inode, size: u64) {
        self.disk.opened(inode, size);
        self.streams.open.insert(stream, FileStream { inode, at: None });
    }

    /// As [`Self::streams_from`], for one that writes.
    pub(super) fn streams_to(&mut self, stream: u32, inode: Inode, size: u64, at: Place) {
        self.disk.opened(inode, size);
        self.streams.open.insert(stream, FileStream { inode, at: Some(at) });
    }

    fn stream_closed(&mut self, stream: u32) {
        if let Some(FileStream { inode, .. }) = self.streams.open.remove(&stream) {
            self.disk.closed(inode);
        }
    }

    /// Takes room for a write to a stream.
    fn make_room(&mut self, stream: u32, bytes: u64) -> StreamResult<()> {
        let Some(FileStream { inode, at: Some(at) }) = self.streams.open.get_mut(&stream) else {
            return Ok(());
        };
        if self.disk.write(*inode, *at, bytes).is_err() {
            let full = io::Error::from(Errno::NOSPC);
            return Err(StreamError::LastOperationFailed(full.into()));
        }
        if let Place::Offset(offset) = at {
            *offset = offset.saturating_add(bytes);
        }
        Ok(())
    }

    pub(super) fn wrote(&mut self, bytes: &[u8]) {
        self.meter.written(bytes.len() as u64);
        if let Some(transcript) = &mut self.transcript {
            transcript.moved("stream.write", bytes);
        }
    }

    pub(super) fn have_read(&mut self, bytes: &[u8]) {
        self.meter.read(bytes.len() as u64);
        if let Some(transcript) = &mut self.transcript {
            transcript.moved("stream.read", bytes);
        }
    }
}

impl Host for GuestState {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<GuestStreamError> {
        self.table().convert_stream_error(error)
    }
}

impl HostOutputStream for GuestState {
    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        let number = stream.rep();
        HostOutputStream::drop(self.table(), stream).await?;
        self.stream_closed(number);
        Ok(())
    }

    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.table().check_write(stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.make_room(stream.rep(), bytes.len() as u64)?;
        self.wrote(&bytes);
        self.table().write(stream, bytes)
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        HostOutputStream::subscribe(self.table(), stream)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.make_room(stream.rep(), bytes.len() as u64)?;
        self.wrote(&bytes);
        self.table().blocking_write_and_flush(stream, bytes).await
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: u64,
    ) -> StreamResult<()> {
        self.make_room(stream.rep(), bytes)?;
        self.meter.written(bytes);
        self.table().blocking_write_zeroes_and_flush(stream, bytes).await
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, bytes: u64) -> StreamResult<()> {
        self.make_room(stream.rep(), bytes)?;
        self.meter.written(bytes);
        self.table().write_zeroes(stream, bytes)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.table().flush(stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.table().blocking_flush(stream).await
    }

    /// Read and written here, for what is read must be known before there is room for it.
    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<u64> {
        let permitted = self.table().check_write(Resource::new_borrow(to.rep()))?;
        let bytes = HostInputStream::read(self, from, bytes.min(permitted))?;
        let count = bytes.len() as u64;
        if count > 0 {
            self.write(to, bytes)?;
        }
        Ok(count)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<u64> {
        let permitted = self.table().get_mut(&to)?.write_ready().await? as u64;
        let bytes = self.blocking_read(from, bytes.min(permitted)).await?;
        let count = bytes.len() as u64;
        if count > 0 {
            self.make_room(to.rep(), count)?;
            self.wrote(&bytes);
            let to = self.table().get_mut(&to)?;
            to.blocking_write_and_flush(bytes.into()).await?;
        }
        Ok(count)
    }
}

impl HostInputStream for GuestState {
    async fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        let number = stream.rep();
        HostInputStream::drop(self.table(), stream).await?;
        self.stream_closed(number);
        Ok(())
    }

    fn read(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<Vec<u8>> {
        let bytes = HostInputStream::read(self.table(), stream, bytes)?;
        self.have_read(&bytes);
        Ok(bytes)
    }

    async fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<Vec<u8>> {
        let bytes = self.table().blocking_read(stream, bytes).await?;
        self.have_read(&bytes);
        Ok(bytes)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, bytes: u64) -> StreamResult<u64> {
        let count = self.table().skip(stream, bytes)?;
        self.meter.read(count);
        Ok(count)
    }

    async fn blocking_skip(
        &mut self,
        stream: Resource<DynInputStream>,
        bytes: u64,
    ) -> StreamResult<u64> {
        let count = self.table().blocking_skip(stream, bytes).await?;
        self.meter.read(count);
        Ok(count)
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        HostInputStream::subscribe(self.table(), stream)
    }
}

impl Poll for GuestState {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        self.meter.touched((pollables.len() as u64).saturating_mul(POLLABLE));
        self.table().poll(pollables).await
    }
}

impl HostPollable for GuestState {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        self.table().block(pollable).await
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        self.table().ready(pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        HostPollable::drop(self.table(), pollable)
    }
}
