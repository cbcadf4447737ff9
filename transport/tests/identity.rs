//! Who may connect as whom: certificates, tokens, strangers, other clusters.

mod common;

use common::{Cluster, framed, name, raw_dial, soon};
use skep_protocol::{
    Digest, Rejection,
    agent::{ToAgent, ToMaster},
    data::{Request, Response},
    hello::Hello,
    operator::PeerKind,
};
use skep_transport::{
    CloseCode, Closed, Connection, DialWhy, Dialer, Identity, JoinError, JoinToken, RequestError,
    join,
};

#[tokio::test]
async fn both_sides_see_the_name_that_the_certificate_proves() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("edge-7")).await;
    assert_eq!(agent.peer(), Some(cluster.master.name()));
    assert_eq!(master.peer(), Some(cluster.agent("edge-7").name()));
    assert_eq!(master.peer_hello(), &Hello::ours());
    assert_eq!(agent.peer_hello(), &Hello::ours());
}

/// Plays the master for one newcomer: admits whoever has the token's secret.
async fn admit_one(cluster: &mut Cluster, token: &JoinToken) -> Connection {
    let peer = cluster.listener.accept().await.expect("a peer");
    let incoming = peer.accept_request().await.expect("a request");
    let Request::Join { secret, csr, name: wish } = &incoming.request else {
        panic!("only a Join can come: {:?}", incoming.request);
    };
    if JoinToken::digest_of_secret(secret) != token.secret_digest() {
        incoming.refuse(Rejection::UnknownToken).await.expect("refused");
        return peer;
    }
    let admitted = name(&cluster.authority, PeerKind::Agent, wish);
    let certificate = cluster.authority.issue(csr, &admitted).expect("a certificate");
    let authority = cluster.authority.certificate().to_vec();
    incoming.respond(&Response::Joined { certificate, authority }).await.expect("answered");
    peer
}

#[tokio::test]
async fn a_newcomer_with_a_token_joins_and_connects_by_its_new_name() {
    let mut cluster = Cluster::start();
    let token = cluster.authority.join_token();
    let addresses = cluster.addresses();
    let (joined, stranger) = soon(async {
        tokio::join!(join(&addresses, &token, "new"), admit_one(&mut cluster, &token))
    })
    .await;
    assert_eq!(stranger.peer(), None);
    let folder = tempfile::tempdir().expect("a folder");
    joined.expect("joined").save(folder.path()).expect("saved");

    let identity = Identity::load(folder.path()).expect("loaded");
    let dialer = Dialer::new(&identity).expect("a dialer");
    let (mine, masters) =
        soon(async { tokio::join!(dialer.dial(&addresses), cluster.listener.accept()) }).await;
    mine.expect("connected");
    let expected = name(&cluster.authority, PeerKind::Agent, "new");
    assert_eq!(masters.expect("a peer").peer(), Some(&expected));
}

#[tokio::test]
async fn a_token_that_the_master_refuses_tells_the_newcomer_why() {
    let mut cluster = Cluster::start();
    let (known, unknown) = (cluster.authority.join_token(), cluster.authority.join_token());
    let addresses = cluster.addresses();
    let (refused, _) = soon(async {
        tokio::join!(join(&addresses, &unknown, "x"), admit_one(&mut cluster, &known))
    })
    .await;
    assert!(matches!(
        refused,
        Err(JoinError::Request(RequestError::Refused(Rejection::UnknownToken)))
    ));
}

#[tokio::test]
async fn a_token_of_another_cluster_is_not_shown_to_this_one() {
    let (cluster, other) = (Cluster::start(), Cluster::start());
    let refused = soon(join(&cluster.addresses(), &other.authority.join_token(), "x")).await;
    let Err(JoinError::Dial(error)) = refused else { panic!("it joined: {refused:?}") };
    assert_eq!(error.failures[0].why, DialWhy::OtherAuthority);
    assert!(error.is_lasting());
}

#[tokio::test]
async fn a_master_of_another_cluster_is_told_from_one_that_does_not_answer() {
    let (cluster, other) = (Cluster::start(), Cluster::start());
    let foreigner = other.agent("a1");
    let error = soon(cluster.dial_as(&foreigner)).await.expect_err("refused");
    assert_eq!(error.failures[0].why, DialWhy::OtherCluster { ours: foreigner.cluster().clone() });
    let text = error.to_string();
    assert!(text.contains(&cluster.address().to_string()), "{text}");
    assert!(text.contains(foreigner.cluster().as_str()), "{text}");
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_and_the_next_peer_is_served() {
    let mut cluster = Cluster::start();
    let foreigner = Cluster::start().agent("a1");
    let raw = soon(raw_dial(cluster.address(), &cluster.authority, Some(&foreigner))).await;
    let error = soon(raw.closed()).await;
    // 0x133: the TLS alert decrypt_error, for a signature that is not this authority's.
    assert!(
        matches!(&error, quinn::ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == 0x133),
        "{error:?}"
    );
    let (_, master) = soon(cluster.connect("a2")).await;
    assert_eq!(master.peer().map(|peer| peer.id().to_owned()), Some("a2".into()));
}

#[tokio::test]
async fn an_agent_that_listens_does_not_pass_for_a_master() {
    let cluster = Cluster::start();
    let (endpoint, address) = common::raw_listen(&cluster.agent("liar"));
    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");
    let addresses = [address];
    let lying = async { endpoint.accept().await.expect("a peer").await };
    let (dialled, _) = soon(async { tokio::join!(dialer.dial(&addresses), lying) }).await;
    let error = dialled.expect_err("refused");
    assert!(matches!(error.failures[0].why, DialWhy::Broken { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused_whatever_is_no_join() {
    let mut cluster = Cluster::start();
    let token = cluster.authority.join_token();
    let dialer = Dialer::joining(&token).expect("a dialer");
    let addresses = cluster.addresses();
    let (mine, masters) =
        soon(async { tokio::join!(dialer.dial(&addresses), cluster.listener.accept()) }).await;
    let (mine, masters) = (mine.expect("connected"), masters.expect("a peer"));
    assert!(masters.control::<ToAgent, ToMaster>().is_none());

    let request = Request::FetchBlob { digest: Digest::of(b"secret") };
    let refused = soon(mine.request(&request)).await;
    let Err(RequestError::Refused(Rejection::WrongKind { kind, .. })) = refused else {
        panic!("it was not refused: {refused:?}");
    };
    assert_eq!(kind, "unnamed");

    let (mut control, _) = mine.control::<ToMaster, ToAgent>().expect("the control stream");
    let beat = ToMaster::Beat { inputs: 1, unsaved_millis: 0, acknowledged: 0 };
    soon(control.send(&beat)).await.expect("sent");
    let Closed::ByPeer(reason) = soon(mine.closed()).await else { panic!("not hung up on") };
    assert!(reason.why.contains("join first"), "{reason}");
    assert!(soon(masters.accept_request()).await.is_none(), "a request reached the master");
}

#[tokio::test]
async fn a_stranger_cannot_open_byte_streams_or_long_frames() {
    let cluster = Cluster::start();
    let raw = soon(raw_dial(cluster.address(), &cluster.authority, None)).await;
    let (mut send, mut receive) = raw.open_bi().await.expect("a stream");
    send.write_all(&framed(&Hello::ours())).await.expect("sent");
    let mut byte = [0];
    soon(receive.read_exact(&mut byte)).await.expect("the master's Hello");
    let no_stream = tokio::time::timeout(std::time::Duration::ZERO, raw.open_uni()).await;
    assert!(no_stream.is_err(), "a stranger got a byte stream");

    let (mut request, _answers) = raw.open_bi().await.expect("a stream");
    request.write_all(&(65_u32 << 10).to_be_bytes()).await.expect("sent");
    let Closed::ByPeer(reason) = soon(raw.closed()).await.into() else { panic!("not hung up on") };
    assert_eq!(reason.code, CloseCode::Violation);
}
