//! The loops of one connection: what the peer says becomes inputs, what it asks is answered.

use crate::{hub::Hub, outbox::Outbox, requests, shell::Event};
use skep_master_core::{ConnectionId, Input};
use skep_protocol::{
    AgentId, TaskKey,
    agent::{ToAgent, ToMaster},
    codec::Message,
    data::Response,
    framework::{Call, Event as ToFramework},
    operator::PeerKind,
};
use skep_transport::{
    CloseCode, CloseReason, Connection, ControlReceiver, IncomingRequest, PeerName, StreamError,
};

/// Serves a connection until it ends.
pub(crate) async fn serve(connection: Connection, id: ConnectionId, hub: Hub) {
    let requests = tokio::spawn(requests::serve(connection.clone(), hub.clone()));
    if let Some(peer) = connection.peer().cloned() {
        converse(&connection, &peer, id, &hub).await;
        hub.tell(Event::Input(Input::Disconnected { connection: id })).await;
        hub.forget(id);
    }
    // Requests go on after a peer has said all on its control stream; they end with it.
    let closed = connection.closed().await;
    tracing::debug!(peer = %connection, %closed, "connection ended");
    requests.abort();
}

async fn converse(connection: &Connection, peer: &PeerName, id: ConnectionId, hub: &Hub) {
    match peer.kind() {
        PeerKind::Agent => {
            let (Ok(agent), Some((sender, receiver))) =
                (AgentId::new(peer.id()), connection.control::<ToAgent, ToMaster>())
            else {
                return;
            };
            hub.remember(id, connection.clone());
            let outbox = Outbox::to_agent(sender, connection.clone());
            hub.tell(Event::Opened { connection: id, outbox }).await;
            let input = |message| Input::Agent { connection: id, agent: agent.clone(), message };
            listen(receiver, hub, input).await;
        }
        PeerKind::Framework | PeerKind::Operator => {
            let Some((sender, receiver)) = connection.control::<ToFramework, Call>() else {
                return;
            };
            let principal = principal(peer);
            let outbox = Outbox::to_framework(sender, connection.clone());
            hub.tell(Event::Opened { connection: id, outbox }).await;
            let input =
                |call| Input::Framework { connection: id, principal: principal.clone(), call };
            listen_to_framework(receiver, hub, input).await;
        }
        PeerKind::Master => {
            let why = "a master does not take the calls of another master";
            connection.close(&CloseReason::new(CloseCode::Refused, why));
        }
    }
}

/// Hears a task of an agent as a framework, on a stream of its own, until either is done with it.
pub(crate) async fn host(
    incoming: IncomingRequest,
    connection: &Connection,
    hub: &Hub,
    agent: AgentId,
    key: TaskKey,
) -> Result<(), StreamError> {
    if let Err(rejection) = hub.may_speak(&agent, &key).await {
        return incoming.refuse(rejection).await;
    }
    let (sender, receiver) = incoming.converse(connection, &Response::Hosted).await?;
    let id = ConnectionId(hub.number());
    hub.tell(Event::Opened { connection: id, outbox: Outbox::to_task(sender) }).await;
    let input = |call| {
        let (agent, key) = (agent.clone(), key.clone());
        Input::Hosted { connection: id, agent, key, call }
    };
    // Told even if this is dropped with the agent's connection.
    let _over = Over { id, hub };
    listen_to_framework(receiver, hub, input).await;
    Ok(())
}

/// Says that a task's conversation is over.
struct Over<'a> {
    id: ConnectionId,
    hub: &'a Hub,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let (hub, connection) = (self.hub.clone(), self.id);
        tokio::spawn(async move {
            hub.tell(Event::Input(Input::Disconnected { connection })).await;
        });
    }
}

/// What frameworks are owned by: the certificate's kind and id.
pub(crate) fn principal(peer: &PeerName) -> String {
    format!("{}/{}", peer.kind(), peer.id())
}

/// Blobs that come as calls are stored before the calls behind them are dealt with.
async fn listen_to_framework(
    mut receiver: ControlReceiver<Call>,
    hub: &Hub,
    input: impl Fn(Call) -> Input,
) {
    loop {
        match receiver.recv().await {
            Ok(Some(call)) => {
                if let Call::Put { blob } = &call
                    && let Err(rejection) = requests::store(hub, blob).await
                {
                    // A task that names it is refused by that.
                    tracing::warn!(%rejection, "a framework's blob was not stored");
                }
                hub.tell(Event::Input(input(call))).await;
            }
            Ok(None) => return,
            Err(error) => {
                tracing::info!(%error, "a control conversation ended");
                return;
            }
        }
    }
}

async fn listen<In: Message>(
    mut receiver: ControlReceiver<In>,
    hub: &Hub,
    input: impl Fn(In) -> Input,
) {
    loop {
        match receiver.recv().await {
            Ok(Some(message)) => hub.tell(Event::Input(input(message))).await,
            Ok(None) => return,
            Err(error) => {
                tracing::info!(%error, "a control conversation ended");
                return;
            }
        }
    }
}
