//! The control stream: order, versions, and peers that break the rules.

mod common;

use common::{Cluster, any_port, frame, framed, raw_dial, raw_listen, soon};
use skep_protocol::{
    agent::{ToAgent, ToMaster},
    bounds::FRAME_BYTES_MAX,
    hello::Hello,
};
use skep_transport::{Address, CloseCode, Closed, ControlError, DialWhy, Dialer, StreamError};

const fn beat(inputs: u64) -> ToMaster {
    ToMaster::Beat { inputs, unsaved_millis: 0, acknowledged: 0 }
}

#[tokio::test]
async fn ten_thousand_messages_arrive_in_order_and_then_the_end() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let (mut says, _) = agent.control::<ToMaster, ToAgent>().expect("control");
    let (_keep, mut hears) = master.control::<ToAgent, ToMaster>().expect("control");
    assert!(master.control::<ToAgent, ToMaster>().is_none(), "control was handed out twice");
    let sending = async {
        for n in 0..10_000 {
            says.feed(&beat(n)).await.expect("fed");
        }
        says.finish().await.expect("all arrived");
    };
    let receiving = async {
        for n in 0..10_000 {
            assert_eq!(hears.recv().await, Ok(Some(beat(n))));
        }
        assert_eq!(hears.recv().await, Ok(None));
    };
    soon(async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test]
async fn a_message_of_a_newer_kind_is_passed_over() {
    let mut cluster = Cluster::start();
    let agent = cluster.agent("a1");
    let raw = soon(raw_dial(cluster.address(), &cluster.authority, Some(&agent))).await;
    let (mut send, _receive) = raw.open_bi().await.expect("a stream");
    send.write_all(&framed(&Hello::ours())).await.expect("sent");
    let master = soon(cluster.listener.accept()).await.expect("a peer");
    let (_keep, mut hears) = master.control::<ToAgent, ToMaster>().expect("control");
    // Field 1,000 of the message, of length 0: no version has it yet.
    send.write_all(&frame(&[0xc2, 0x3e, 0])).await.expect("sent");
    send.write_all(&framed(&beat(7))).await.expect("sent");
    assert_eq!(soon(hears.recv()).await, Ok(Some(beat(7))));
}

/// Sends `bytes` behind a good `Hello`; returns what the master's loop sees, after checking that
/// the faulty peer was hung up on and that another peer of the same master noticed nothing.
async fn error_of(bytes: &[u8]) -> ControlError {
    let mut cluster = Cluster::start();
    let (good, good_master) = cluster.connect("good").await;
    let bad = cluster.agent("bad");
    let raw = raw_dial(cluster.address(), &cluster.authority, Some(&bad)).await;
    let (mut send, _receive) = raw.open_bi().await.expect("a stream");
    send.write_all(&framed(&Hello::ours())).await.expect("sent");
    let master = cluster.listener.accept().await.expect("a peer");
    let (_keep, mut hears) = master.control::<ToAgent, ToMaster>().expect("control");
    send.write_all(bytes).await.expect("sent");

    let error = hears.recv().await.expect_err("a violation");

    let quinn::ConnectionError::ApplicationClosed(close) = raw.closed().await else {
        panic!("the faulty peer was not hung up on");
    };
    assert_eq!(close.reason, error.error.to_string());
    let (mut says, _) = good.control::<ToMaster, ToAgent>().expect("control");
    let (_keep, mut hears) = good_master.control::<ToAgent, ToMaster>().expect("control");
    says.send(&beat(1)).await.expect("sent");
    assert_eq!(hears.recv().await, Ok(Some(beat(1))));
    error
}

#[tokio::test]
async fn a_frame_that_is_too_long_costs_only_its_sender_the_connection() {
    let length = u32::try_from(FRAME_BYTES_MAX + 1).expect("it fits").to_be_bytes();
    let ControlError { peer, error } = soon(error_of(&length)).await;
    assert_eq!(error, StreamError::TooLong { max: FRAME_BYTES_MAX });
    assert!(peer.ends_with("/agent/bad"), "{peer}");
}

#[tokio::test]
async fn a_frame_of_garbage_costs_only_its_sender_the_connection() {
    let ControlError { peer, error } = soon(error_of(&frame(&[0xff; 100]))).await;
    assert!(matches!(error, StreamError::Garbage { .. }), "{error}");
    assert!(peer.ends_with("/agent/bad"), "{peer}");
}

#[tokio::test]
async fn garbage_instead_of_a_hello_does_not_hold_up_the_next_peer() {
    let mut cluster = Cluster::start();
    let bad = cluster.agent("bad");
    let raw = soon(raw_dial(cluster.address(), &cluster.authority, Some(&bad))).await;
    let silent = soon(raw_dial(cluster.address(), &cluster.authority, Some(&bad))).await;
    let (mut send, _receive) = raw.open_bi().await.expect("a stream");
    send.write_all(&frame(&[0xff; 100])).await.expect("sent");
    assert!(matches!(soon(raw.closed()).await, quinn::ConnectionError::ApplicationClosed(_)));
    let (_, master) = soon(cluster.connect("good")).await;
    assert!(master.to_string().ends_with("/agent/good"));
    assert_eq!(silent.close_reason(), None);
}

fn from_the_future() -> Hello {
    Hello { protocol_min: 8, protocol_max: 9, build: "9.0.0".into(), features: Vec::new() }
}

#[tokio::test]
async fn a_dialler_without_a_common_protocol_gets_the_masters_hello_to_say_so() {
    let mut cluster = Cluster::start();
    let agent = cluster.agent("a1");
    let raw = soon(raw_dial(cluster.address(), &cluster.authority, Some(&agent))).await;
    let (mut send, mut receive) = raw.open_bi().await.expect("a stream");
    send.write_all(&framed(&from_the_future())).await.expect("sent");
    let expected = framed(&Hello::ours());
    let mut hello = vec![0; expected.len()];
    soon(receive.read_exact(&mut hello)).await.expect("a Hello");
    assert_eq!(hello, expected);
    raw.close(4_u32.into(), b"no common protocol");
    let (_, master) = soon(cluster.connect("a2")).await;
    assert!(master.to_string().ends_with("/agent/a2"), "the first peer was admitted");
}

#[tokio::test]
async fn a_master_without_a_common_protocol_is_a_typed_error_for_the_dialler() {
    let cluster = Cluster::start();
    let (endpoint, address) = raw_listen(&cluster.master);
    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");
    let addresses = [address];
    let serving = async {
        let raw = endpoint.accept().await.expect("a peer").await.expect("a connection");
        let (mut send, _receive) = raw.accept_bi().await.expect("a stream");
        send.write_all(&framed(&from_the_future())).await.expect("sent");
        raw.closed().await
    };
    let (dialled, closed) = soon(async { tokio::join!(dialer.dial(&addresses), serving) }).await;
    let error = dialled.expect_err("no common protocol");
    let DialWhy::NoCommonProtocol(why) = &error.failures[0].why else { panic!("{error}") };
    assert_eq!((why.ours, why.theirs), ((1, 1), (8, 9)));
    assert!(error.is_lasting());
    assert!(matches!(Closed::from(closed), Closed::ByPeer(reason)
        if reason.code == CloseCode::NoCommonProtocol));
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_named_and_the_next_one_is_tried() {
    let mut cluster = Cluster::start();
    let nobody = std::net::UdpSocket::bind(any_port()).expect("a socket");
    let nobody = Address::from(nobody.local_addr().expect("an address"));
    let nameless: Address = "no-such-host.invalid".parse().expect("an address");
    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");

    let error = soon(dialer.dial(&[nobody.clone(), nameless.clone()])).await.expect_err("nobody");
    assert_eq!(error.failures[0].why, DialWhy::NoAnswer { port: nobody.port() });
    assert!(matches!(error.failures[1].why, DialWhy::Unresolved { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&nobody.to_string()) && text.contains("UDP port"), "{text}");
    assert!(!error.is_lasting());

    let addresses = [nameless, cluster.address().into()];
    let (mine, _) =
        soon(async { tokio::join!(dialer.dial(&addresses), cluster.listener.accept()) }).await;
    assert_eq!(mine.expect("the second answers").peer(), Some(cluster.master.name()));
}
