//! What waits to be sent to one peer, and the loop that sends it over QUIC.

use crate::shell::Full;
use skep_protocol::{agent::ToAgent, codec::Message, framework::Event};
use skep_shell::{Parcel, Room};
use skep_transport::{CloseCode, CloseReason, Connection, ControlSender};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait for one peer: some seconds of a busy cluster's talk. A peer that falls
/// further behind is hung up on; it connects again and is told what it missed.
const OUTBOX_MAX: usize = 8_192;

/// The way to one peer's control stream, to its stream over HTTP, or to one task's conversation.
/// When it is dropped, what it holds is sent, and then the connection is closed; that of a task is
/// its agent's, so that only the task's stream ends.
pub(crate) struct Outbox {
    messages: Messages,
    /// For what tasks and frameworks say to each other.
    room: Room,
    line: Line,
}

/// What is hung up.
enum Line {
    Quic(Connection),
    Http(CancellationToken),
    /// Nothing but the stream.
    Task,
}

enum Messages {
    Agent(mpsc::Sender<Parcel<ToAgent>>),
    Framework(mpsc::Sender<Parcel<Event>>),
}

impl Outbox {
    /// The outbox of an agent.
    pub(crate) fn to_agent(sender: ControlSender<ToAgent>, connection: Connection) -> Self {
        let messages = Messages::Agent(open(sender, Some(connection.clone())));
        Self { messages, room: Room::new(), line: Line::Quic(connection) }
    }

    /// The outbox of a framework.
    pub(crate) fn to_framework(sender: ControlSender<Event>, connection: Connection) -> Self {
        let messages = Messages::Framework(open(sender, Some(connection.clone())));
        Self { messages, room: Room::new(), line: Line::Quic(connection) }
    }

    /// The outbox of a task that speaks as a framework.
    pub(crate) fn to_task(sender: ControlSender<Event>) -> Self {
        let messages = Messages::Framework(open(sender, None));
        Self { messages, room: Room::new(), line: Line::Task }
    }

    /// The outbox of a framework that reads a stream over HTTP: what it holds is to be taken from
    /// the receiver, and `cut` tells that nothing more is to be written.
    pub(crate) fn to_stream(cut: CancellationToken) -> (Self, mpsc::Receiver<Parcel<Event>>) {
        let (queue, events) = mpsc::channel(OUTBOX_MAX);
        let messages = Messages::Framework(queue);
        (Self { messages, room: Room::new(), line: Line::Http(cut) }, events)
    }

    pub(crate) fn send_agent(&self, message: ToAgent) -> Result<(), Full> {
        match &self.messages {
            Messages::Agent(queue) => {
                let message_bytes = message.message_bytes();
                self.put(queue, message, message_bytes)
            }
            Messages::Framework(_) => unreachable!("the core knows agents from frameworks"),
        }
    }

    pub(crate) fn send_framework(&self, event: Event) -> Result<(), Full> {
        match &self.messages {
            Messages::Framework(queue) => {
                let message_bytes = event.message_bytes();
                self.put(queue, event, message_bytes)
            }
            Messages::Agent(_) => unreachable!("the core knows agents from frameworks"),
        }
    }

    /// Puts something into the queue, but for a message that finds no room.
    fn put<T>(
        &self,
        queue: &mpsc::Sender<Parcel<T>>,
        content: T,
        message_bytes: Option<usize>,
    ) -> Result<(), Full> {
        match self.room.pack(content, message_bytes) {
            Some(parcel) => queue.try_send(parcel).or_else(only_if_full),
            None => {
                tracing::debug!("a peer reads slowly: messages for it are dropped");
                Ok(())
            }
        }
    }

    /// Hangs up without sending what is held.
    pub(crate) fn abandon(self) {
        let why = "the master's queue for this peer is full: it reads too slowly";
        match self.line {
            Line::Quic(connection) => {
                connection.close(&CloseReason::new(CloseCode::ShuttingDown, why));
            }
            Line::Http(cut) => cut.cancel(),
            Line::Task => {}
        }
    }

    /// Hangs up because the master goes. Streams over HTTP and of tasks have ends of their own.
    pub(crate) fn leave(self) {
        if let Line::Quic(connection) = &self.line {
            connection.close(&CloseReason::new(CloseCode::ShuttingDown, "the master goes down"));
        }
    }
}

/// A closed queue is a connection that has ended, which its reader reports.
fn only_if_full<T>(error: mpsc::error::TrySendError<T>) -> Result<(), Full> {
    match error {
        mpsc::error::TrySendError::Full(_) => Err(Full),
        mpsc::error::TrySendError::Closed(_) => Ok(()),
    }
}

fn open<Out: Message + Send + Sync + 'static>(
    sender: ControlSender<Out>,
    connection: Option<Connection>,
) -> mpsc::Sender<Parcel<Out>> {
    let (queue, messages) = mpsc::channel(OUTBOX_MAX);
    tokio::spawn(async move {
        let reason = match sender.send_all(messages).await {
            Ok(()) => CloseReason::new(CloseCode::Done, "the master hung up"),
            Err(error) => {
                tracing::debug!(%error, "sending ended");
                CloseReason::new(CloseCode::ShuttingDown, "the master cannot send any more")
            }
        };
        if let Some(connection) = connection {
            connection.close(&reason);
        }
    });
    queue
}
