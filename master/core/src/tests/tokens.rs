//! Join tokens: what they admit, how often, until when.

use super::kit::Story;
use crate::{Input, Record};
use skep_protocol::{
    Digest,
    operator::{PeerKind, Request},
};
use std::time::Duration;

fn create(s: &mut Story, id: &str, kind: PeerKind, uses: u32) {
    let (request, secret) = (s.request(), Digest::of(id.as_bytes()));
    let ttl = Duration::from_secs(60);
    s.feed(Input::CreateToken { request, id: id.into(), secret, kind, uses, ttl });
}

fn join(s: &mut Story, id: &str, name: &str) {
    let (request, secret) = (s.request(), Digest::of(id.as_bytes()));
    s.feed(Input::Join { request, secret, name: name.into() });
}

#[test]
fn a_token_admits_as_many_agents_as_it_says_each_under_its_own_id() {
    let mut s = Story::new();
    create(&mut s, "t", PeerKind::Agent, 2);
    s.expect(["record token/t", "answer: done"]);
    let mut admitted = Vec::new();
    for _ in 0..2 {
        join(&mut s, "t", "node");
        let Some(Record::AgentAdmitted { agent, name, .. }) = s.records.last().cloned() else {
            panic!("nobody was admitted");
        };
        assert_eq!(name, "node");
        // The use is recorded first, and both before the peer hears of it.
        s.expect([
            "record token/t",
            &format!("record agent/{agent}"),
            &format!("answer: admitted agent {agent}"),
        ]);
        admitted.push(agent);
    }
    assert_ne!(admitted[0], admitted[1]);
    assert!(admitted[0].as_str().starts_with("a-"));
    join(&mut s, "t", "node");
    s.expect(["answer: refused: the join token is used up: \
               ask for another with `skep token create`"]);
}

#[test]
fn a_framework_or_operator_gets_a_name_of_its_own_made_of_what_it_wished() {
    let mut s = Story::new();
    create(&mut s, "t", PeerKind::Framework, 9);
    s.take_effects();
    let mut name = |wish: &str| {
        join(&mut s, "t", wish);
        let answer = s.take_effects().pop().expect("an answer");
        answer.strip_prefix("answer: admitted framework ").expect("admitted").to_owned()
    };
    let (first, second) = (name("my batch/job!"), name("my batch/job!"));
    assert!(first.starts_with("mybatchjob-"), "{first}");
    assert_ne!(first, second);
    assert!(name("..-//").starts_with("framework-"));
    assert!(skep_protocol::FrameworkId::new(name(&"x".repeat(500))).is_ok());
}

#[test]
fn a_token_that_is_unknown_expired_or_revoked_admits_nobody() {
    let mut s = Story::new();
    join(&mut s, "t", "node");
    let unknown = "answer: refused: the join token is not known or was revoked: \
                   ask for one with `skep token create`";
    s.expect([unknown]);
    create(&mut s, "t", PeerKind::Agent, 1);
    create(&mut s, "u", PeerKind::Agent, 1);
    s.take_effects();
    s.order(Request::RevokeToken { id: "u".into() });
    s.expect(["delete token/u", "answer: done"]);
    s.order(Request::RevokeToken { id: "u".into() });
    s.expect([unknown]);
    join(&mut s, "u", "node");
    s.expect([unknown]);
    s.wait(60.0);
    join(&mut s, "t", "node");
    s.expect(["answer: refused: the join token has expired: \
               ask for another with `skep token create`"]);
}

#[test]
fn a_token_must_be_of_use() {
    let mut s = Story::new();
    create(&mut s, "t", PeerKind::Agent, 0);
    s.expect(["answer: refused: uses: a token that admits nobody is of no use"]);
    create(&mut s, "t", PeerKind::Master, 1);
    s.expect(["answer: refused: kind: use agent, framework or operator"]);
    create(&mut s, "t", PeerKind::Agent, 1);
    s.take_effects();
    create(&mut s, "t", PeerKind::Agent, 1);
    s.expect(["answer: refused: id: there is a token t already"]);
}

#[test]
fn tokens_and_agents_are_bounded_and_useless_tokens_give_way() {
    let mut s = Story::with(|policy| (policy.tokens_max, policy.agents_max) = (1, 1));
    create(&mut s, "t", PeerKind::Agent, 2);
    create(&mut s, "u", PeerKind::Agent, 1);
    s.expect([
        "record token/t",
        "answer: done",
        "answer: refused: too many join tokens: at most 1",
    ]);
    join(&mut s, "t", "node");
    s.take_effects();
    join(&mut s, "t", "node");
    s.expect(["answer: refused: too many agents: at most 1"]);
    s.wait(60.0);
    create(&mut s, "u", PeerKind::Agent, 1);
    s.expect(["delete token/t", "record token/u", "answer: done"]);
}
