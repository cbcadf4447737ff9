//! The loop that keeps a connection to the master, and passes on what comes over it.

use crate::{logs::Logs, outbox::Outbox, shell::Event};
use skep_agent_core::Input;
use skep_protocol::agent::ToAgent;
use skep_transport::{Address, Connection, ControlReceiver, Dialer, reconnect};
use std::{ops::ControlFlow, time::Duration};
use tokio::{
    select,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long to wait before dialling again after a connection has ended: a master that hangs up on
/// us is not to be dialled without a breath.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a master may take to hear our last words.
const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Session {
    pub(crate) dialer: Dialer,
    pub(crate) addresses: Vec<Address>,
    pub(crate) inbox: mpsc::Sender<Event>,
    /// The connection, for those who fetch.
    pub(crate) link: watch::Sender<Option<Connection>>,
    pub(crate) logs: Logs,
    /// Cancelled when the shell has ended.
    pub(crate) over: CancellationToken,
}

impl Session {
    pub(crate) async fn run(self) {
        while let Some(Some(connection)) = self.over.run_until_cancelled(self.dial()).await {
            self.serve(&connection).await;
            drop(connection);
            self.over.run_until_cancelled(sleep(PAUSE)).await;
        }
        self.dialer.close("the agent ends").await;
    }

    async fn dial(&self) -> Option<Connection> {
        let failed = |error: &_| {
            tracing::warn!(%error, "dialling the master goes on");
            ControlFlow::Continue(())
        };
        reconnect(&self.dialer, &self.addresses, failed).await.ok()
    }

    async fn serve(&self, connection: &Connection) {
        let Some((sender, receiver)) = connection.control() else { return };
        let (outbox, sending) = Outbox::open(sender, connection.clone());
        tracing::info!(master = %connection.remote_address(), "connected");
        self.link.send_replace(Some(connection.clone()));
        self.tell(Event::Connected { outbox }).await;
        select! {
            () = self.listen(receiver) => {}
            () = self.answer_requests(connection) => {}
            () = self.over.cancelled() => {
                // The shell is gone and its outbox with it: what it held is on its way.
                let _ = timeout(LAST_WORDS_MAX, sending).await;
            }
        }
        self.link.send_replace(None);
        self.tell(Event::Disconnected).await;
    }

    async fn listen(&self, mut receiver: ControlReceiver<ToAgent>) {
        loop {
            match receiver.recv().await {
                Ok(Some(order)) => self.tell(Event::Input(Input::Master(order))).await,
                Ok(None) => return tracing::info!("the master hung up"),
                Err(error) => return tracing::warn!(%error, "the connection ended"),
            }
        }
    }

    async fn answer_requests(&self, connection: &Connection) {
        // Ended with the connection: nobody could take the answers.
        let mut answers = JoinSet::new();
        while let Some(incoming) = connection.accept_request().await {
            while answers.try_join_next().is_some() {}
            answers.spawn(self.logs.clone().answer(connection.clone(), incoming));
        }
    }

    async fn tell(&self, event: Event) {
        // Without a shell the agent is ending.
        let _ = self.inbox.send(event).await;
    }
}
