//! The loops of one connection: what the peer says becomes inputs, what it asks is answered.

use crate::{hub::Hub, outbox::Outbox, requests, shell::Event};
use skep_master_core::{ConnectionId, Input};
use skep_protocol::{
    AgentId,
    agent::{ToAgent, ToMaster},
    codec::Message,
    framework::{Call, Event as ToFramework},
    operator::PeerKind,
};
use skep_transport::{CloseCode, CloseReason, Connection, ControlReceiver, PeerName};

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
            listen(receiver, hub, input).await;
        }
        PeerKind::Master => {
            let why = "a master does not take the calls of another master";
            connection.close(&CloseReason::new(CloseCode::Refused, why));
        }
    }
}

/// What frameworks are owned by: the certificate's kind and id.
pub(crate) fn principal(peer: &PeerName) -> String {
    format!("{}/{}", peer.kind(), peer.id())
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
