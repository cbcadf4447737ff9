//! How connections end, and how they come back.

mod common;

use common::{Cluster, soon};
use skep_protocol::{
    Digest,
    agent::{ToAgent, ToMaster},
    data::{Request, Response},
};
use skep_transport::{
    Address, CloseCode, CloseReason, Closed, DialWhy, Dialer, Identity, Listener, SetupError,
    reconnect,
};
use std::{net::SocketAddr, ops::ControlFlow};

#[tokio::test]
async fn what_was_said_before_a_graceful_end_arrives_and_then_the_reason() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let (mut says, _) = master.control::<ToAgent, ToMaster>().expect("control");
    let (_keep, mut hears) = agent.control::<ToMaster, ToAgent>().expect("control");
    let recall = ToAgent::Recall { allocation: skep_protocol::AllocationId(7) };
    let reason = CloseReason::new(CloseCode::Refused, "another process uses this agent id");

    soon(says.send(&recall)).await.expect("sent");
    soon(says.finish()).await.expect("all arrived");
    master.close(&reason);

    assert_eq!(soon(agent.closed()).await, Closed::ByPeer(reason));
    assert_eq!(soon(hears.recv()).await, Ok(Some(recall)));
    assert_eq!(soon(master.closed()).await, Closed::ByUs);
    assert!(soon(agent.accept_request()).await.is_none());
}

#[tokio::test]
async fn the_last_handle_that_is_dropped_closes_the_connection_as_done() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let clone = agent.clone();
    drop(agent);
    let request = Request::FetchBlob { digest: Digest::of(b"") };
    let answer = async {
        let incoming = master.accept_request().await.expect("a request");
        incoming.respond(&Response::Stored).await.expect("answered");
    };
    let (answered, ()) = soon(async { tokio::join!(clone.request(&request), answer) }).await;
    assert_eq!(answered, Ok(Response::Stored));
    drop(clone);
    let Closed::ByPeer(reason) = soon(master.closed()).await else { panic!("not closed") };
    assert_eq!(reason.code, CloseCode::Done);
}

/// Binds a port that an endpoint of this process is just giving up.
async fn bind_again(address: SocketAddr, master: &Identity) -> Listener {
    loop {
        match Listener::bind(address, master) {
            Err(SetupError::Socket { .. }) => tokio::task::yield_now().await,
            listener => return listener.expect("a listener"),
        }
    }
}

#[tokio::test]
async fn a_peer_of_a_master_that_goes_down_knows_it_and_finds_it_again() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let address = cluster.address();
    let fresh = Listener::bind(common::any_port(), &cluster.master).expect("a listener");
    let listener = std::mem::replace(&mut cluster.listener, fresh);
    soon(listener.close("the master is updated")).await;
    drop(master);
    let expected = CloseReason::new(CloseCode::ShuttingDown, "the master is updated");
    assert_eq!(soon(agent.closed()).await, Closed::ByPeer(expected));
    drop(agent);

    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");
    let addresses = ["no-such-host.invalid".parse().expect("an address"), Address::from(address)];
    let mut failures = 0;
    let back = reconnect(&dialer, &addresses[..1], |error| {
        failures += 1;
        assert!(matches!(error.failures[0].why, DialWhy::Unresolved { .. }), "{error}");
        if failures < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    soon(back).await.expect_err("given up");
    assert_eq!(failures, 3);

    cluster.listener = soon(bind_again(address, &cluster.master)).await;
    let back = reconnect(&dialer, &addresses, |_| ControlFlow::Continue(()));
    let (back, _) = soon(async { tokio::join!(back, cluster.listener.accept()) }).await;
    assert_eq!(back.expect("connected").peer(), Some(cluster.master.name()));
}

#[test]
fn a_master_that_crashed_and_is_back_tells_its_old_peers_at_once() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    let mut cluster = first.block_on(async { Cluster::start() });
    let address = cluster.address();
    let addresses = cluster.addresses();
    let identity = cluster.agent("a1");
    let (agent, master) = second.block_on(soon(async {
        let dialer = Dialer::new(&identity).expect("a dialer");
        let (agent, master) = tokio::join!(dialer.dial(&addresses), cluster.listener.accept());
        (agent.expect("connected"), master.expect("a peer"))
    }));
    // The process is gone: its socket closes and nobody hangs up.
    first.shutdown_timeout(std::time::Duration::from_secs(10));
    let identity = cluster.master.clone();
    drop((cluster, master));
    second.block_on(soon(async {
        let _listener = bind_again(address, &identity).await;
        assert_eq!(agent.closed().await, Closed::Restarted);
    }));
}
