//! Several masters, of which one leads: whoever dials any of them finds that one.

mod common;

use common::{Cluster, soon};
use skep_transport::{Address, CloseCode, DialWhy, Dialer, Listener};
use std::net::UdpSocket;

#[tokio::test]
async fn a_standby_sends_who_dials_it_to_the_leader() {
    let mut cluster = Cluster::start();
    let standby = Listener::bind(common::any_port(), &cluster.master).expect("a listener");
    standby.standing().stand_by(cluster.address().to_string());
    let to_standby = [Address::from(standby.local_addr().expect("an address"))];
    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");

    let (connection, accepted) =
        soon(async { tokio::join!(dialer.dial(&to_standby), cluster.listener.accept()) }).await;

    assert_eq!(connection.expect("the leader").remote_address().port(), cluster.address().port());
    assert!(accepted.is_some());
}

#[tokio::test]
async fn one_that_knows_no_leader_says_so_and_the_silent_are_not_waited_for() {
    let cluster = Cluster::start();
    cluster.listener.standing().stand_by(String::new());
    let silent = UdpSocket::bind(common::any_port()).expect("a socket");
    let silent = Address::from(silent.local_addr().expect("an address"));
    let [standby] = cluster.addresses();
    let dialer = Dialer::new(&cluster.agent("a1")).expect("a dialer");

    let error = soon(dialer.dial(&[silent, standby.clone()])).await.expect_err("no leader");

    assert!(error.is_standby() && !error.is_lasting(), "{error}");
    assert_eq!(error.failures.len(), 1, "{error}");
    assert_eq!(error.failures[0].address, standby);
    assert_eq!(error.failures[0].why, DialWhy::NotLeader { leader: None });
    assert!(error.to_string().contains("no leader at the moment"), "{error}");
}

#[tokio::test]
async fn standbys_that_name_each_other_do_not_send_anybody_in_a_circle() {
    let cluster = Cluster::start();
    let other = Listener::bind(common::any_port(), &cluster.master).expect("a listener");
    let address = other.local_addr().expect("an address");
    cluster.listener.standing().stand_by(address.to_string());
    other.standing().stand_by(cluster.address().to_string());

    let dialled = soon(cluster.dial_as(&cluster.agent("a1"))).await;

    let error = dialled.expect_err("no leader");
    assert_eq!(error.failures.len(), 2, "{error}");
}

#[tokio::test]
async fn a_standby_that_is_elected_takes_peers_in() {
    let mut cluster = Cluster::start();
    cluster.listener.standing().stand_by(String::new());
    cluster.dial_as(&cluster.agent("a1")).await.expect_err("it is a standby");
    cluster.listener.standing().lead();
    let (_agent, master) = soon(cluster.connect("a1")).await;
    let reason = skep_transport::CloseReason::new(CloseCode::NotLeader, "");
    assert_eq!(reason.to_string(), "this master leads no more");
    master.close(&reason);
}
