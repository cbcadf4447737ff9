//! Laws of the codec, for all messages: what goes in comes out, and nothing from outside harms.

mod ends;
pub(crate) mod examples;
mod golden;
mod parts;
pub(crate) mod strategies;
mod values;
mod views;

use super::{DecodeError, Message, convert::Convert, wire};
use crate::{
    agent, bounds::*, data, executor, framework, framework::Call, hello::Hello, ids::OfferId,
    outcome::Outcome,
};
use proptest::{prelude::*, sample::Index};
use prost::Message as _;
use std::fmt::Debug;

fn comes_out_as_it_went_in<M: Message + Debug + PartialEq>(message: &M) {
    assert_eq!(M::decode(&message.encode()).as_ref(), Ok(message));
}

proptest! {
    #![proptest_config(skep_properties::cases(256))]

    #[test]
    fn every_message_comes_out_as_it_went_in(
        hello in strategies::hello(),
        call in strategies::call(),
        event in strategies::event(),
        to_master in strategies::to_master(),
        to_agent in strategies::to_agent(),
        to_executor in strategies::to_executor(),
        from_executor in strategies::from_executor(),
        request in strategies::request(),
        response in strategies::response(),
        header in strategies::stream_header(),
    ) {
        comes_out_as_it_went_in(&hello);
        comes_out_as_it_went_in(&call);
        comes_out_as_it_went_in(&event);
        comes_out_as_it_went_in(&to_master);
        comes_out_as_it_went_in(&to_agent);
        comes_out_as_it_went_in(&to_executor);
        comes_out_as_it_went_in(&from_executor);
        comes_out_as_it_went_in(&request);
        comes_out_as_it_went_in(&response);
        comes_out_as_it_went_in(&header);
    }

    #[test]
    fn no_bytes_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn no_spoilt_message_harms(
        bytes in strategies::any_encoded(),
        flips in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        end in any::<Index>(),
    ) {
        let mut bytes = bytes.to_vec();
        for (place, byte) in flips {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        decode_as_everything(&bytes);
        bytes.truncate(end.index(bytes.len() + 1));
        decode_as_everything(&bytes);
    }
}

/// Decodes `bytes` as each message; none may panic, and what can be read at all can be read again.
fn decode_as_everything(bytes: &[u8]) {
    fn decode_as<M: Message>(bytes: &[u8]) {
        if let Ok(message) = M::decode(bytes) {
            let encoded = message.encode();
            // Bytes are compared, since a view may hold a NaN, which is not equal to itself.
            assert_eq!(M::decode(&encoded).map(|again| again.encode()), Ok(encoded));
        }
    }
    decode_as::<Hello>(bytes);
    decode_as::<Call>(bytes);
    decode_as::<framework::Event>(bytes);
    decode_as::<agent::ToMaster>(bytes);
    decode_as::<agent::ToAgent>(bytes);
    decode_as::<executor::ToExecutor>(bytes);
    decode_as::<executor::ToAgent>(bytes);
    decode_as::<data::Request>(bytes);
    decode_as::<data::Response>(bytes);
    decode_as::<data::StreamHeader>(bytes);
    decode_as::<data::OutputPiece>(bytes);
}

/// The protobuf of field 1000, which no message has.
const UNKNOWN_FIELD: [u8; 3] = [0xc0, 0x3e, 0x01];

#[test]
fn fields_that_only_newer_builds_know_are_passed_over() {
    for (_, call) in examples::calls() {
        let newer = [&call.encode()[..], &UNKNOWN_FIELD].concat();
        assert_eq!(Call::decode(&newer), Ok(call));
    }
}

#[test]
fn a_kind_that_only_newer_builds_know_is_told_apart_from_a_violation() {
    let unknown = DecodeError::UnknownVariant { message: "Call".into() };
    assert_eq!(Call::decode(&UNKNOWN_FIELD), Err(unknown));
    let mut update = examples::update(crate::TaskState::Running).to_wire();
    update.source = 99;
    let updates = wire::framework::event::StatusUpdates { updates: vec![update] };
    let kind = Some(wire::framework::event::Kind::StatusUpdates(updates));
    let bytes = wire::framework::Event { kind }.encode_to_vec();
    let message = "Event.status_updates.updates[0].source".into();
    let unknown = DecodeError::UnknownVariant { message };
    assert_eq!(framework::Event::decode(&bytes), Err(unknown));
}

#[test]
fn a_trap_that_only_newer_builds_know_is_some_trap() {
    let (trap, why) = (99, "wasm trap: a new one".to_owned());
    let trapped = wire::common::outcome::Trapped { trap, why: why.clone(), backtrace: vec![] };
    let kind = Some(wire::common::outcome::Kind::Trapped(trapped));
    let outcome = Outcome::Trapped { trap: crate::outcome::Trap::Other, why, backtrace: vec![] };
    assert_eq!(Outcome::from_wire(wire::common::Outcome { kind }), Ok(outcome));
}

fn decline(offers: Vec<String>) -> Vec<u8> {
    let decline = wire::framework::call::Decline { offers, filters: None };
    let kind = Some(wire::framework::call::Kind::Decline(decline));
    wire::framework::Call { kind }.encode_to_vec()
}

#[test]
fn an_error_names_the_field() {
    let offers = ["o-1", "o-2", "three"].map(String::from).to_vec();
    let error = Call::decode(&decline(offers)).expect_err("a wrong offer id");
    assert_eq!(
        error.to_string(),
        "Call.decline.offers[2]: \"three\" is no offer id: it is not o-HEX"
    );
    let error = Call::decode(&[0x0a, 0x00]).expect_err("an empty subscription");
    assert_eq!(error.to_string(), "Call.subscribe.info: it is missing");
    let error = Call::decode(b"no protobuf").expect_err("no protobuf");
    assert_eq!(error.to_string(), "Call: it is no protobuf of this message");
}

#[test]
fn what_the_contract_gives_a_default_may_be_left_out() {
    let filters = framework::Filters::default();
    let call = Call::Decline { offers: vec![OfferId(1)], filters };
    assert_eq!(Call::decode(&decline(vec!["o-1".into()])), Ok(call));
    let info = wire::framework::FrameworkInfo { name: "batch".into(), ..Default::default() };
    let info = framework::FrameworkInfo::from_wire(info).expect("a framework");
    assert_eq!(info.role, crate::Role::default());
    assert_eq!(info.failover_timeout, framework::FAILOVER_TIMEOUT_DEFAULT);
}

#[test]
fn more_than_the_bounds_allow_is_refused() {
    let allocation = crate::AllocationId(1);
    let tasks = vec![Ok(examples::plain_spec()); LAUNCH_TASKS_MAX];
    let mut enqueue = Call::Enqueue { allocation, tasks };
    comes_out_as_it_went_in(&enqueue);
    if let Call::Enqueue { tasks, .. } = &mut enqueue {
        tasks.push(Ok(examples::plain_spec()));
    }
    let error = Call::decode(&enqueue.encode()).expect_err("too many tasks");
    assert_eq!(error.to_string(), "Call.enqueue.tasks: it holds 1001, at most 1000 are allowed");

    let mut update = examples::update(crate::TaskState::Running);
    update.result = vec![0; RESULT_BYTES_MAX + 1];
    let updates = vec![update];
    let error = framework::Event::decode(&framework::Event::StatusUpdates { updates }.encode())
        .expect_err("too large a result");
    assert_eq!(
        error.to_string(),
        "Event.status_updates.updates[0].result: it has 262145 bytes, at most 262144 are allowed"
    );
}

#[test]
fn a_sentence_that_is_too_long_is_cut_and_its_message_kept() {
    // Three bytes a character, so that the bound lies within one.
    let failed = Outcome::Failed { why: "€".repeat(WHY_BYTES_MAX) };
    let Ok(Outcome::Failed { why }) = Outcome::from_wire(failed.to_wire()) else {
        panic!("the outcome was lost");
    };
    assert!((WHY_BYTES_MAX - 3..=WHY_BYTES_MAX).contains(&why.len()), "{}", why.len());
    let failed = wire::common::outcome::Failed { why: "x".repeat(WHY_BYTES_MAX + 1) };
    let kind = Some(wire::common::outcome::Kind::Failed(failed));
    let why = "x".repeat(WHY_BYTES_MAX);
    assert_eq!(Outcome::from_wire(wire::common::Outcome { kind }), Ok(Outcome::Failed { why }));
}

#[test]
fn an_executor_takes_no_order_that_requires_what_it_does_not_know() {
    let guest = examples::guest();
    let mut newer = guest.to_wire();
    newer.requires.push("limit.gpu_memory".into());
    let error = executor::StartGuest::from_wire(newer).expect_err("a name of the future");
    assert!(error.to_string().contains("\"limit.gpu_memory\" is not known here"), "{error}");
    let mut careless = guest.to_wire();
    careless.requires.retain(|name| name != "limit.fuel");
    let error = executor::StartGuest::from_wire(careless).expect_err("an undeclared limit");
    assert!(error.to_string().contains("\"limit.fuel\" is used but not named"), "{error}");
}
