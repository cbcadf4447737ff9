//! What people get wrong: told what, where, and what to do; nothing else notices.

use crate::kit::{Ended, Home, module};

fn run_file(home: &Home, name: &str, bytes: &[u8]) -> Ended {
    std::fs::write(home.path(name), bytes).unwrap();
    home.output(["run", name])
}

#[test]
fn a_file_that_is_no_module_is_refused_before_anything_starts() {
    let ended = run_file(&Home::new(), "text.wasm", b"#!/bin/sh\n");
    ended.expect_code(125).expect_words(&["text.wasm", "no WebAssembly module", "wasm32-wasip1"]);
}

#[test]
fn a_missing_file_is_named() {
    Home::new().output(["run", "gone.wasm"]).expect_code(125).expect_words(&["gone.wasm"]);
}

#[test]
fn a_truncated_module_is_rejected() {
    let bytes = std::fs::read(module("hello")).unwrap();
    let ended = run_file(&Home::new(), "cut.wasm", &bytes[..bytes.len() / 2]);
    ended.expect_code(125).expect_words(&["module rejected"]);
}

#[test]
fn an_import_that_is_not_granted_is_named() {
    let wat = r#"(module (import "env" "launch_missiles" (func)) (func (export "_start")))"#;
    let ended = run_file(&Home::new(), "bad.wasm", &wat::parse_str(wat).unwrap());
    ended.expect_code(125).expect_words(&["module rejected", "env", "launch_missiles"]);
}

#[test]
fn a_component_is_not_taken_for_a_broken_module() {
    let ended = run_file(&Home::new(), "component.wasm", b"\0asm\x0d\0\x01\0");
    ended.expect_code(125).expect_words(&["component"]);
}

#[test]
fn a_task_larger_than_any_agent_is_refused_at_once_with_the_largest_agent() {
    let ended = Home::new().run(&["--cpus", "4096"], "noop", &[]);
    ended.expect_code(125).expect_words(&["cpus:4096", "the largest agent has", "--cpus"]);
}

#[test]
fn unknown_flags_and_units_are_usage_errors() {
    let home = Home::new();
    for (option, value, expected) in [
        ("--mem", "much", "64MiB"),
        ("--fuel", "lots", "5G"),
        ("--timeout", "soon", "90s"),
        ("--array", "9-1", "backwards"),
        ("--colour", "red", "--colour"),
    ] {
        home.run(&[option, value], "noop", &[]).expect_code(2).expect_words(&[expected]);
    }
}

#[test]
fn a_folder_of_this_machine_is_not_promised_to_a_cluster() {
    let ended = Home::new().run(&["--master", "127.0.0.1:1", "--dir", "."], "noop", &[]);
    ended.expect_code(125).expect_words(&["--dir", "--stdin"]);
}

#[test]
fn what_cannot_be_handed_over_is_not_ignored() {
    let home = Home::new();
    for (option, value) in [
        ("--constraint", "zone equals z1"),
        ("--role", "eng"),
        ("--output", "a.txt::b.txt"),
        ("--coredump=dump", "--scratch"),
    ] {
        let words = ["--master", "127.0.0.1:1", "--detach", option, value];
        let named = option.split('=').next().unwrap();
        home.run(&words, "noop", &[]).expect_code(125).expect_words(&[named]);
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let ended = Home::new().output(["run", "-o", "json", "gone.wasm"]).expect_code(125);
    let document: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("gone.wasm"), "{document}");
}
