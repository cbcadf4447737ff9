//! What waits to be sent to the master, and the loop that sends it.

use skep_protocol::agent::ToMaster;
use skep_shell::{Parcel, Room};
use skep_transport::{CloseCode, CloseReason, Connection, ControlSender};
use tokio::{sync::mpsc, task::JoinHandle};

/// Messages that may wait for the master. One that falls further behind is hung up on; the next
/// registration tells it what it missed.
const OUTBOX_MAX: usize = 8_192;

/// The way to one connection's control stream. When it is dropped, what it holds is sent, and then
/// the connection is closed.
pub(crate) struct Outbox {
    queue: mpsc::Sender<Parcel<ToMaster>>,
    room: Room,
    connection: Connection,
}

impl Outbox {
    /// Opens it; the loop ends when all is sent or the connection is gone.
    pub(crate) fn open(
        sender: ControlSender<ToMaster>,
        connection: Connection,
    ) -> (Self, JoinHandle<()>) {
        let (queue, messages) = mpsc::channel(OUTBOX_MAX);
        let closing = connection.clone();
        let sending = tokio::spawn(async move {
            match sender.send_all(messages).await {
                Ok(()) => closing.close(&CloseReason::new(CloseCode::Done, "the agent hung up")),
                Err(error) => {
                    // Mostly it is the connection that broke; if not, it is of no more use.
                    tracing::debug!(%error, "sending to the master ended");
                    closing.close(&CloseReason::new(CloseCode::Done, error.to_string()));
                }
            }
        });
        (Self { queue, room: Room::new(), connection }, sending)
    }

    pub(crate) fn send(&self, message: ToMaster) {
        let message_bytes = message.message_bytes();
        let Some(message) = self.room.pack(message, message_bytes) else {
            return tracing::debug!("the master reads slowly: messages of tasks are dropped");
        };
        // A closed queue is a connection that has ended, which its reader reports.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(message) {
            tracing::warn!("the master reads too slowly: hanging up");
            let why = "the agent's queue for its master is full: it reads too slowly";
            self.connection.close(&CloseReason::new(CloseCode::ShuttingDown, why));
        }
    }
}
