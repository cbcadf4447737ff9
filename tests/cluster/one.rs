//! One task: its output and exit code are the command's own.

use crate::kit::Home;
use std::{io::Write as _, process::Stdio};

#[test]
fn a_guest_says_hello_and_the_command_ends_as_it_does() {
    let ended = Home::new().run(&[], "hello", &["world"]).expect_code(0);
    assert!(ended.stdout.starts_with("Hello"), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_guests_exit_code_is_the_commands() {
    let home = Home::new();
    for code in ["1", "42", "125"] {
        home.run(&[], "exit", &[code]).expect_code(code.parse().unwrap());
    }
}

#[test]
fn out_of_fuel_is_152_and_says_so() {
    let ended = Home::new().run(&["--fuel", "1000"], "spin", &[]);
    ended.expect_code(152).expect_words(&["out of fuel", "1000"]);
}

#[test]
fn out_of_memory_is_137_whatever_trap_follows() {
    let ended = Home::new().run(&["--mem", "2MiB"], "hoard", &[]);
    ended.expect_code(137).expect_words(&["out of memory", "2097152"]);
}

#[test]
fn a_module_that_needs_more_memory_than_its_limit_from_the_start_is_out_of_memory() {
    let ended = Home::new().run(&["--mem", "1MiB"], "hoard", &[]);
    ended.expect_code(137).expect_words(&["out of memory", "1048576"]);
}

#[test]
fn a_passed_deadline_is_124_and_says_so() {
    let home = Home::new();
    for guest in ["spin", "sleep"] {
        let ended = home.run(&["--timeout", "1s"], guest, &["60000"]);
        ended.expect_code(124).expect_words(&["deadline passed", "1 s"]);
    }
}

#[test]
fn a_trap_is_134_with_the_names_of_the_functions() {
    let ended = Home::new().run(&[], "trap", &[]).expect_code(134);
    ended.expect_words(&["trapped", "0: ", "trap::inner", "trap::middle", "trap::outer"]);
}

#[test]
fn too_much_output_is_153_and_what_fits_the_limit_is_shown() {
    let home = Home::new();
    let ended = home.run(&["--max-output", "10"], "echo", &["0123456789abcdef"]);
    let ended = ended.expect_code(153).expect_words(&["output limit", "10 bytes"]);
    assert!(ended.stdout.len() <= 10, "{ended:?}");
}

#[test]
fn nothing_of_the_environment_is_seen_but_what_is_granted() {
    let home = Home::new();
    let mut command = home.skep(["run", "--env", "A=1", "--env", "PASSED"]);
    command.arg(crate::kit::module("echo")).env("PASSED", "on").env("HIDDEN", "secret");
    let ended = crate::kit::Ended::from(command.output().unwrap()).expect_code(0);
    assert!(ended.stdout.contains("A=1"), "{ended:?}");
    assert!(ended.stdout.contains("PASSED=on"), "{ended:?}");
    assert!(!ended.stdout.contains("HIDDEN"), "{ended:?}");
}

#[test]
fn standard_input_comes_from_a_file_or_from_the_commands_own() {
    let home = Home::new();
    let text = "line\n".repeat(100_000);
    std::fs::write(home.path("input"), &text).unwrap();
    let ended = home.run(&["--stdin", "input"], "cat", &[]).expect_code(0);
    assert!(ended.stdout == text, "{} bytes came back", ended.stdout.len());

    let mut command = home.skep(["run", "--stdin", "-"]);
    command.arg(crate::kit::module("cat")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"typed");
}

#[test]
fn a_guest_writes_where_it_may_and_nowhere_else() {
    let home = Home::new();
    std::fs::create_dir(home.path("out")).unwrap();
    home.run(&["--dir", "out::/out"], "write", &["/out/a", "hello"]).expect_code(0);
    assert_eq!(std::fs::read_to_string(home.path("out/a")).unwrap(), "hello");

    let refused = home.run(&["--dir", "out::/out"], "write", &["/out/../b", "hello"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let refused = home.run(&[], "write", &["/out/c", "hello"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(std::fs::read_dir(home.path("out")).unwrap().count(), 1);
}

#[test]
fn a_second_run_of_a_module_does_not_compile_it() {
    let home = Home::new();
    let artifacts = || {
        let mut found = Vec::new();
        let mut folders = vec![home.path("cache")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let (path, data) = (entry.path(), entry.metadata().unwrap());
                if data.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "cwasm") {
                    found.push((path, data.modified().unwrap()));
                }
            }
        }
        found
    };
    home.run(&[], "noop", &[]).expect_code(0);
    let first = artifacts();
    assert_eq!(first.len(), 1);
    home.run(&[], "noop", &[]).expect_code(0);
    assert_eq!(artifacts(), first);
}

#[test]
fn json_holds_all_there_is_to_know() {
    let ended = Home::new().run(&["-o", "json"], "echo", &["hi"]).expect_code(0);
    let document = ended.json();
    let task = &document["tasks"][0];
    assert_eq!(document["exit_code"], 0);
    assert_eq!(task["state"], "FINISHED");
    assert_eq!((&task["outcome"], &task["code"]), (&"exited".into(), &0.into()));
    assert!(task["stdout"].as_str().unwrap().contains("hi"), "{document}");
    assert!(task["usage"]["fuel"].as_u64().unwrap() > 0, "{document}");
}
