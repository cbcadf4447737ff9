//! The agent's orders as they arrive: frames, and the open files that accompany them.
//!
//! A file comes with the first byte of the frame that needs it, or earlier, and in the order of
//! the frames; so files that have come are a queue, and each order to start takes its own from the
//! head. Always holds: every descriptor is closed on exec; an order starts with exactly its files
//! or the conversation ends; when all that was read is dealt with, no file is left over.
//! Deliberately absent: opening anything by name.

use crate::serve::ServeError;
use bytes::BytesMut;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use skep_protocol::{
    artifact::Artifact,
    bounds::{FRAME_BYTES_MAX, START_FILES_MAX},
    codec::{DecodeError, Message as _},
    executor::{StartFile, StartGuest, ToExecutor, start_files},
    hello::Hello,
    ids::Digest,
};
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    hash::Hash,
    io::{self, IoSliceMut, Seek as _},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, Weak},
};
use tokio::{
    io::Interest,
    net::{UnixStream, unix::OwnedReadHalf},
};
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};

/// What is read at once: a frame of a hundred guests.
const READ_BYTES: usize = 64 << 10;
/// What stands before a frame: its length.
const HEAD_BYTES: usize = 4;
/// Artifacts, or inputs, known to be open here before those that are closed again are forgotten.
const SHARED_MAX: usize = 256;

/// The open files of one guest.
#[derive(Debug)]
pub struct GuestFiles {
    /// The compiled module. Guests of one module share it.
    pub artifact: Arc<File>,
    /// Its standard input, if that is granted; read by nobody else. A pipe that does not block,
    /// if it is granted as a stream.
    pub stdin: Option<File>,
    /// Its inputs, in their order. Guests of one input share it, so nobody may move its place.
    pub inputs: Vec<Arc<File>>,
}

impl GuestFiles {
    /// The same, to be read from the beginning.
    ///
    /// # Errors
    /// If the process may open no more files.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let stdin = self.stdin.as_ref().map(|file| {
            let mut file = file.try_clone()?;
            file.rewind()?;
            io::Result::Ok(file)
        });
        let (artifact, inputs) = (Arc::clone(&self.artifact), self.inputs.clone());
        Ok(Self { artifact, stdin: stdin.transpose()?, inputs })
    }
}

/// Files and orders do not match: the other side is no agent of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// An order came without its files.
    #[error("an order needs {needed} files, and {came} came with it")]
    Missing {
        /// How many it needs.
        needed: usize,
        /// How many there were.
        came: usize,
    },
    /// Files came that no order needs.
    #[error("{0} files came that no order needs")]
    Unasked(usize),
    /// The kernel dropped files on the way.
    #[error("files were lost on the way: this process may open too few, see RLIMIT_NOFILE")]
    Lost,
}

/// An order, with the files of the guests that it starts.
pub(crate) enum Order {
    Start(Vec<(StartGuest, GuestFiles)>),
    Other(ToExecutor),
}

/// The reading half of the conversation.
pub(crate) struct Orders {
    socket: OwnedReadHalf,
    framing: LengthDelimitedCodec,
    bytes: BytesMut,
    /// Bytes that came and are of no whole frame yet. The codec takes a frame's head out of `bytes`
    /// before its body is there, so that these do not tell.
    unframed: usize,
    read: Box<[u8]>,
    files: VecDeque<OwnedFd>,
    /// Open already for guests that run or wait, so that a thousand guests of one module that are
    /// started one by one hold it once.
    artifacts: HashMap<Artifact, Weak<File>>,
    /// The same of inputs, which guests let go of as soon as they start.
    inputs: HashMap<Digest, Weak<File>>,
}

impl Orders {
    pub(crate) fn new(socket: OwnedReadHalf) -> Self {
        Self {
            socket,
            framing: framing(),
            bytes: BytesMut::new(),
            unframed: 0,
            read: vec![0; READ_BYTES].into(),
            files: VecDeque::new(),
            artifacts: HashMap::new(),
            inputs: HashMap::new(),
        }
    }

    /// What the agent says first; none if it has hung up.
    pub(crate) async fn hello(&mut self) -> Result<Option<Hello>, ServeError> {
        loop {
            if let Some(frame) = self.frame()? {
                return Hello::decode(&frame).map(Some).map_err(ServeError::Violation);
            }
            if self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next order; none when the agent has hung up.
    pub(crate) async fn next(&mut self) -> Result<Option<Order>, ServeError> {
        loop {
            while let Some(frame) = self.frame()? {
                match ToExecutor::decode(&frame) {
                    Ok(ToExecutor::Start { guests }) => {
                        return Ok(Some(Order::Start(self.take_files(guests)?)));
                    }
                    Ok(order) => return Ok(Some(Order::Other(order))),
                    Err(error @ DecodeError::UnknownVariant { .. }) => {
                        tracing::warn!(%error, "an order of a newer agent is ignored");
                    }
                    Err(error) => return Err(ServeError::Violation(error)),
                }
            }
            if self.unframed == 0 && !self.files.is_empty() {
                return Err(FilesError::Unasked(self.files.len()).into());
            }
            if self.read_more().await? == 0 {
                // What ends within a frame is an error of the codec.
                self.framing.decode_eof(&mut self.bytes).map_err(ServeError::Socket)?;
                return Ok(None);
            }
        }
    }

    /// The next frame that is whole.
    fn frame(&mut self) -> Result<Option<BytesMut>, ServeError> {
        let frame = self.framing.decode(&mut self.bytes).map_err(ServeError::Socket)?;
        self.unframed -= frame.as_ref().map_or(0, |frame| HEAD_BYTES + frame.len());
        Ok(frame)
    }

    fn take_files(
        &mut self,
        guests: Vec<StartGuest>,
    ) -> Result<Vec<(StartGuest, GuestFiles)>, FilesError> {
        let wanted = start_files(&guests);
        let (needed, came) = (wanted.len(), self.files.len());
        if came < needed {
            return Err(FilesError::Missing { needed, came });
        }
        let mut stdins: Vec<Option<File>> = guests.iter().map(|_| None).collect();
        let (mut artifacts, mut inputs) = (HashMap::new(), HashMap::new());
        for (need, file) in wanted.into_iter().zip(self.files.drain(..needed)) {
            match need {
                StartFile::Artifact { artifact } => {
                    artifacts.insert(artifact, known(&mut self.artifacts, artifact, file));
                }
                StartFile::Stdin { guest, .. } | StartFile::Stream { guest } => {
                    stdins[guest] = Some(file.into());
                }
                StartFile::Input { blob } => {
                    inputs.insert(blob, known(&mut self.inputs, blob, file));
                }
            }
        }
        let files = stdins.into_iter().zip(guests).map(|(stdin, guest)| {
            let artifact = Arc::clone(&artifacts[&guest.artifact()]);
            let blobs = guest.inputs.iter().map(|input| Arc::clone(&inputs[&input.digest]));
            let inputs = blobs.collect();
            (guest, GuestFiles { artifact, stdin, inputs })
        });
        Ok(files.collect())
    }

    async fn read_more(&mut self) -> Result<usize, ServeError> {
        loop {
            self.socket.readable().await.map_err(ServeError::Socket)?;
            let socket: &UnixStream = self.socket.as_ref();
            let (read, files) = (&mut self.read, &mut self.files);
            let received = socket.try_io(Interest::READABLE, || receive(socket, read, files));
            match received {
                Ok((_, Delivery::Cut)) => return Err(FilesError::Lost.into()),
                Ok((count, Delivery::Whole)) => {
                    self.bytes.extend_from_slice(&self.read[..count]);
                    self.unframed += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(ServeError::Socket(error)),
            }
        }
    }
}

/// A file that came, or the one that is open for the same content already.
fn known<K: Eq + Hash>(open: &mut HashMap<K, Weak<File>>, key: K, came: OwnedFd) -> Arc<File> {
    if let Some(file) = open.get(&key).and_then(Weak::upgrade) {
        return file;
    }
    if open.len() >= SHARED_MAX {
        open.retain(|_, file| file.strong_count() > 0);
    }
    let file = Arc::new(came.into());
    open.insert(key, Arc::downgrade(&file));
    file
}

/// Whether all files arrived that were sent.
enum Delivery {
    Whole,
    Cut,
}

fn receive(
    socket: &UnixStream,
    bytes: &mut [u8],
    files: &mut VecDeque<OwnedFd>,
) -> io::Result<(usize, Delivery)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(START_FILES_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let bytes = &mut [IoSliceMut::new(bytes)];
    let received = recvmsg(socket, bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            files.extend(came);
        }
    }
    let cut = received.flags.contains(ReturnFlags::CTRUNC);
    Ok((received.bytes, if cut { Delivery::Cut } else { Delivery::Whole }))
}

/// How frames are told apart, in both directions.
pub(crate) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

#[cfg(test)]
mod tests;
