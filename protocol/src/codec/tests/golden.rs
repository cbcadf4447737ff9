//! The bytes of the contract: `tests/golden/*.hex`, one line for each kind of message.
//!
//! `SKEP_GOLDEN=write cargo test -p skep-protocol` adds lines for new examples; it never changes
//! one that is there.

use super::super::{Message, convert::Convert, wire};
use super::{UNKNOWN_FIELD, examples};
use crate::{framework::Call, rejection::Rejection};
use prost::Message as _;
use std::{collections::BTreeMap, env, fmt::Debug, fs, io, path::PathBuf};

#[test]
fn hello_has_its_golden_bytes() {
    check("hello", examples::hellos());
}

#[test]
fn framework_messages_have_their_golden_bytes() {
    check("call", examples::calls());
    check("event", examples::events());
}

#[test]
fn agent_messages_have_their_golden_bytes() {
    check("agent_to_master", examples::to_master());
    check("master_to_agent", examples::to_agent());
}

#[test]
fn executor_messages_have_their_golden_bytes() {
    check("agent_to_executor", examples::to_executor());
    check("executor_to_agent", examples::from_executor());
}

#[test]
fn data_messages_have_their_golden_bytes() {
    check("request", examples::requests());
    check("response", examples::responses());
    check("stream_header", examples::stream_headers());
    check("output_piece", examples::output_pieces());
}

#[test]
fn a_spec_of_the_future_is_refused_by_the_name_of_what_is_not_known() {
    let spec = examples::rich_spec();
    let (task, attempt) = (spec.task.clone(), spec.attempt);
    let Some(wire::common::launch_task::Kind::Spec(mut future)) = Ok(spec).to_wire().kind else {
        panic!("a spec goes as a spec");
    };
    future.requires.push("limit.gpu_memory".into());
    let future = [future.encode_to_vec(), UNKNOWN_FIELD.to_vec()].concat();
    let launch = nested(2, &nested(1, &future));
    let enqueue = nested(4, &[nested(1, b"l-1"), launch].concat());
    let bytes = golden("future", "enqueue", &enqueue);

    let Ok(Call::Enqueue { tasks, .. }) = Call::decode(&bytes) else {
        panic!("one task of the future spoilt the whole call");
    };
    let [Err(refused)] = &tasks[..] else { panic!("{tasks:?}") };
    assert_eq!((&refused.task, refused.attempt), (&task, attempt));
    assert_eq!(refused.rejection, Rejection::Unsupported { name: "limit.gpu_memory".into() });
}

/// A length-delimited field of that number.
fn nested(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut field);
    field
}

/// Checks that each example is encoded as it ever was, and that this can still be read.
fn check<M: Message + Debug + PartialEq>(file: &str, examples: Vec<(&'static str, M)>) {
    for (case, message) in &examples {
        let bytes = golden(file, case, &message.encode());
        assert_eq!(M::decode(&bytes).as_ref(), Ok(message), "{file}.hex: {case}");
    }
    let cases: Vec<_> = examples.iter().map(|(case, _)| *case).collect();
    for case in lines(file).keys() {
        assert!(cases.contains(&case.as_str()), "{file}.hex: {case} has lost its example");
    }
}

/// The golden bytes of that case, which are asserted to be `bytes`.
fn golden(file: &str, case: &str, bytes: &[u8]) -> Vec<u8> {
    let mut lines = lines(file);
    if !lines.contains_key(case) {
        assert_eq!(
            env::var("SKEP_GOLDEN").as_deref(),
            Ok("write"),
            "{file}.hex: {case} is missing: run with SKEP_GOLDEN=write to add it"
        );
        lines.insert(case.into(), hex::encode(bytes));
        let text: String = lines.iter().map(|(case, hex)| format!("{case} {hex}\n")).collect();
        fs::write(path(file), text).expect("the golden file can be written");
    }
    assert_eq!(
        lines[case],
        hex::encode(bytes),
        "{file}.hex: {case} is encoded otherwise than before, so peers of other builds would \
         misread it: a changed byte is a changed contract. Use a new field number or kind"
    );
    hex::decode(&lines[case]).expect("golden bytes are hex")
}

/// The lines of a golden file, by their case.
fn lines(file: &str) -> BTreeMap<String, String> {
    let text = match fs::read_to_string(path(file)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.expect("the golden file can be read"),
    };
    let split = |line: &str| line.split_once(' ').map(|(case, hex)| (case.into(), hex.into()));
    text.lines().map(|line| split(line).expect("a golden line is: case hex")).collect()
}

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", &format!("{file}.hex")].iter().collect()
}
