//! Orders to an executor as they leave: frames, and the open files that accompany them.
//!
//! Several orders leave together. Their files go with the first byte of what is sent, so that each
//! has arrived when its order is whole; the executor takes them in the order of the orders (see
//! [`skep_protocol::executor::start_files`]). Always holds: no message carries more files than
//! Linux lets pass.

use bytes::{Buf as _, BytesMut};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use skep_protocol::{
    bounds::{FRAME_BYTES_MAX, START_FILES_MAX},
    codec::Message as _,
    executor::ToExecutor,
    hello::Hello,
};
use std::{
    fs::File,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{UnixStream, unix::OwnedWriteHalf},
    time::sleep,
};
use tokio_util::codec::{Encoder as _, LengthDelimitedCodec};

/// What is gathered before it is sent: about what a socket takes at once.
const BATCH_BYTES_MAX: usize = 64 << 10;
/// How long the kernel is left alone that has too many files under way, to an executor that does
/// not read.
const TOO_MANY_FILES_WAIT: Duration = Duration::from_millis(5);

/// The writing half of the conversation.
pub(crate) struct Orders {
    socket: OwnedWriteHalf,
    framing: LengthDelimitedCodec,
    bytes: BytesMut,
    files: Vec<Arc<File>>,
}

impl Orders {
    pub(crate) fn new(socket: OwnedWriteHalf) -> Self {
        let (framing, bytes, files) = (framing(), BytesMut::new(), Vec::new());
        Self { socket, framing, bytes, files }
    }

    /// Takes what is said ahead of all orders.
    pub(crate) fn say(&mut self, hello: &Hello) -> io::Result<()> {
        self.framing.encode(hello.encode(), &mut self.bytes)
    }

    /// Takes an order and the files that accompany it, and sends what was gathered if it is much.
    pub(crate) async fn feed(
        &mut self,
        order: &ToExecutor,
        files: Vec<Arc<File>>,
    ) -> io::Result<()> {
        if self.files.len() + files.len() > START_FILES_MAX {
            self.flush().await?;
        }
        self.framing.encode(order.encode(), &mut self.bytes)?;
        self.files.extend(files);
        if self.bytes.len() >= BATCH_BYTES_MAX { self.flush().await } else { Ok(()) }
    }

    /// Sends all that was gathered.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while self.bytes.has_remaining() {
            self.socket.writable().await?;
            let socket: &UnixStream = self.socket.as_ref();
            let files: Vec<BorrowedFd<'_>> = self.files.iter().map(|file| file.as_fd()).collect();
            match socket.try_io(Interest::WRITABLE, || send(socket, &self.bytes, &files)) {
                Ok(sent) => {
                    self.bytes.advance(sent);
                    self.files.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => {
                    sleep(TOO_MANY_FILES_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn send(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(START_FILES_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(files)), "there is room for all");
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// How frames are told apart, in both directions.
pub(crate) fn framing() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_BYTES_MAX).new_codec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use skep_protocol::{FrameworkId, TaskId, TaskKey, ids::Attempt, outcome::KilledBy};
    use std::{
        io::{IoSliceMut, Read as _, Seek as _, Write as _},
        os::{fd::OwnedFd, unix::net},
    };

    fn pair() -> (Orders, net::UnixStream) {
        let (ours, theirs) = net::UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("set");
        let (_, writer) = UnixStream::from_std(ours).expect("registered").into_split();
        (Orders::new(writer), theirs)
    }

    fn order() -> ToExecutor {
        let (framework, task) = (FrameworkId::new("f").expect("an id"), TaskId::new("t"));
        let key = TaskKey { framework, task: task.expect("an id"), attempt: Attempt::FIRST };
        ToExecutor::Kill { key, by: KilledBy::Operator }
    }

    fn file(text: &str) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file.rewind().expect("rewound");
        Arc::new(file)
    }

    fn receive(socket: &net::UnixStream) -> (Vec<u8>, Vec<OwnedFd>) {
        let (mut bytes, mut files) = (vec![0; 1 << 20], Vec::new());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(START_FILES_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let slices = &mut [IoSliceMut::new(&mut bytes)];
        let got =
            recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC).expect("a message");
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                files.extend(came);
            }
        }
        bytes.truncate(got.bytes);
        (bytes, files)
    }

    #[tokio::test]
    async fn several_orders_leave_in_one_message_with_all_their_files() {
        let (mut orders, executor) = pair();
        orders.feed(&order(), vec![file("one")]).await.expect("taken");
        orders.feed(&order(), Vec::new()).await.expect("taken");
        orders.feed(&order(), vec![file("two"), file("three")]).await.expect("taken");
        orders.flush().await.expect("sent");
        let (bytes, files) = receive(&executor);
        assert_eq!(bytes.len(), 3 * (4 + order().encode().len()));
        let read = |file: OwnedFd| {
            let mut text = String::new();
            File::from(file).read_to_string(&mut text).expect("read");
            text
        };
        assert_eq!(files.into_iter().map(read).collect::<Vec<_>>(), ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn more_files_than_a_message_carries_leave_in_two() {
        let (mut orders, executor) = pair();
        let many = |count| vec![file("x"); count];
        orders.feed(&order(), many(START_FILES_MAX)).await.expect("taken");
        orders.feed(&order(), many(1)).await.expect("taken");
        assert_eq!(receive(&executor).1.len(), START_FILES_MAX);
        orders.flush().await.expect("sent");
        assert_eq!(receive(&executor).1.len(), 1);
    }

    #[tokio::test]
    async fn an_executor_that_does_not_read_is_waited_for_and_files_go_once() {
        let (mut orders, executor) = pair();
        let sent = async {
            for _ in 0..100_000 {
                orders.feed(&order(), Vec::new()).await.expect("taken");
            }
            orders.feed(&order(), vec![file("x")]).await.expect("taken");
            orders.flush().await.expect("sent");
        };
        let expected = 100_001 * (4 + order().encode().len());
        let received = tokio::task::spawn_blocking(move || {
            let (mut bytes, mut files) = (0, 0);
            while bytes < expected {
                let (more, came) = receive(&executor);
                (bytes, files) = (bytes + more.len(), files + came.len());
            }
            (bytes, files)
        });
        let ((), received) = tokio::join!(sent, received);
        assert_eq!(received.expect("no panic"), (expected, 1));
    }
}
