//! What a guest that sins not may rely on: the measure for those that do.

use crate::kit::{Bench, EXITED, guest_bytes, key};
use skep_protocol::{
    executor::{Report, StartGuest},
    ids::Digest,
    outcome::{KilledBy, Outcome, Progress},
    task::{DirGrant, DirSource},
};
use std::fs;

#[tokio::test]
async fn a_guest_that_ends_well_is_reported_started_and_ended() {
    let bench = Bench::new();
    bench.start(bench.guest("noop"));
    let mut reports = Vec::new();
    while reports.len() < 2 {
        reports.extend(bench.runner.reports().await);
    }
    let [
        Report::Started { key: started, at: since },
        Report::Ended { key: ended, at, outcome, .. },
    ] = reports.as_slice()
    else {
        panic!("{reports:?}");
    };
    assert_eq!((started, ended, outcome), (&key("noop"), &key("noop"), &EXITED));
    assert!(since <= at);
    assert!(!bench.path("noop.sandbox").exists(), "a silent guest needs no folder");
}

#[tokio::test]
async fn the_same_work_costs_the_same_fuel() {
    let bench = Bench::new();
    let first = bench.run(bench.guest("recurse_some")).await;
    let second = bench.run(bench.guest("recurse_some")).await;
    assert_eq!(first.outcome, EXITED);
    assert!(first.usage.fuel > 1_000);
    assert_eq!(first.usage.fuel, second.usage.fuel);
}

#[tokio::test]
async fn a_guest_says_as_much_before_its_line_as_it_is_told() {
    let bench = Bench::new();
    for (number, args, x) in [("7", &["7"][..], 0), ("8", &["8", "0", "40000"], 40_000)] {
        let args = args.iter().map(ToString::to_string).collect();
        let guest = StartGuest { args, ..bench.guest("index_line") };
        assert_eq!(bench.outcome(guest.clone()).await, EXITED);
        let said = fs::read_to_string(guest.sandbox.join("stdout")).expect("stdout");
        assert_eq!(said, format!("{}{number}\n", "x".repeat(x)));
        fs::remove_dir_all(&guest.sandbox).expect("it is there");
    }
}

#[tokio::test]
async fn an_exit_code_is_passed_on_as_it_is() {
    let bench = Bench::new();
    for code in [1, 77, 126, 1_000] {
        // The guest's one argument is its name, which counts with its NUL.
        let name = "x".repeat(code - 1);
        let guest = StartGuest { name, ..bench.guest("exit_code") };
        let code = i32::try_from(code).expect("a small number");
        assert_eq!(bench.outcome(guest).await, Outcome::Exited { code });
    }
    assert_eq!(bench.outcome(bench.guest("exit_negative")).await, Outcome::Exited { code: -1 });
}

#[tokio::test]
async fn progress_and_result_reach_the_agent_in_order() {
    let bench = Bench::new();
    let guest = bench.guest("report");
    bench.start(guest.clone());
    let mut reports = Vec::new();
    while !matches!(reports.last(), Some(Report::Ended { .. })) {
        reports.extend(bench.runner.reports().await);
    }
    let message = "almost done".to_owned();
    let last = Progress { key: guest.key, done: 3, total: 3, message };
    assert!(matches!(reports.first(), Some(Report::Started { .. })));
    assert_eq!(reports.get(reports.len() - 2), Some(&Report::Progressed(last)));
    let Some(Report::Ended { outcome, result, .. }) = reports.last() else {
        panic!("{reports:?}");
    };
    assert_eq!((outcome, result.as_slice()), (&EXITED, &b"forty-two"[..]));
}

#[tokio::test]
async fn the_environment_is_what_is_granted_and_who_the_guest_is() {
    let bench = Bench::new();
    let mut guest = bench.guest("environment");
    guest.index = Some(7);
    guest.grants.env.insert("COLOUR".into(), "blue".into());
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    let text = fs::read_to_string(guest.sandbox.join("stdout")).expect("stdout");
    let mut entries: Vec<_> = text.split_terminator('\0').collect();
    entries.sort_unstable();
    let expected = [
        "COLOUR=blue",
        "SKEP_AGENT_ID=agent",
        "SKEP_FRAMEWORK_ID=framework",
        "SKEP_TASK_ATTEMPT=1",
        "SKEP_TASK_ID=environment",
        "SKEP_TASK_INDEX=7",
    ];
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn standard_input_is_closed_or_the_granted_file() {
    let bench = Bench::new();
    let closed = bench.guest("cat");
    assert_eq!(bench.outcome(closed.clone()).await, EXITED);
    assert!(!closed.sandbox.exists());

    let input: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let mut guest = closed;
    bench.give_input(&mut guest, &input);
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    assert!(fs::read(guest.sandbox.join("stdout")).expect("stdout") == input);
}

#[tokio::test]
async fn what_cannot_be_started_is_no_fault_of_the_guest() {
    let bench = Bench::new();
    let module = Digest::of(&guest_bytes("environment"));
    let lost = StartGuest { module, ..bench.guest("noop") };
    fs::write(bench.file(&module), "no machine code").expect("written");
    assert_eq!(bench.outcome(lost).await.name(), "failed");
    let mut guest = bench.guest("noop");
    let source = DirSource::Host("/does/not/exist".into());
    guest.grants.dirs = vec![DirGrant::read_write(source, "/data")];
    let Outcome::Failed { why } = bench.outcome(guest).await else {
        panic!("it did not fail");
    };
    assert!(why.contains(r#""/does/not/exist" granted as "/data""#), "{why}");
}

/// The first pool has a thousand slots; for the others a second one is made.
#[tokio::test]
async fn more_guests_than_the_first_pool_holds_run_at_once() {
    let bench = Bench::new();
    let guest = StartGuest { args: vec!["36000000".into()], ..bench.program("sleep") };
    let name = |number: usize| key(&format!("sleep{number}"));
    for number in 0..1_100 {
        bench.start(StartGuest { key: name(number), ..guest.clone() });
    }
    bench.wait_until_started(1_100).await;
    for number in [0, 999, 1_000, 1_099] {
        let end = bench.kill(&name(number)).await;
        assert_eq!(end.outcome, Outcome::Killed { by: KilledBy::Framework });
    }
}
