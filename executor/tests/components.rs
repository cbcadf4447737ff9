//! Components: they run, and end for the same reasons as modules do.
//!
//! `tests/guests/components/*.wasm` are made of the guests of the same names by the public
//! preview-1 adapter (how: `tests/guests/components/README.md`), so that the guests of `hostile.rs`
//! sin through WASI 0.2 here.

mod kit;

use kit::{Bench, EXITED, End, SOON};
use skep_protocol::{
    executor::{Report, StartGuest},
    outcome::{Outcome, TaskMessage, Trap},
    task::{Clock, DirGrant, DirSource, Random},
    time::Time,
};
use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_component_ends_well_or_with_its_code_or_its_trap() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(bench.component("noop")).await, EXITED);
    let failed = bench.outcome(bench.component("exit_code")).await;
    assert!(matches!(failed, Outcome::Exited { code } if code != 0), "{failed}");
    for (name, expected) in [
        ("trap_unreachable", Trap::Unreachable),
        ("trap_div", Trap::IntegerDivisionByZero),
        ("trap_signature", Trap::BadSignature),
        ("recurse", Trap::StackOverflow),
    ] {
        let outcome = bench.outcome(bench.component(name)).await;
        assert!(
            matches!(&outcome, Outcome::Trapped { trap, .. } if *trap == expected),
            "{name}: {outcome}"
        );
    }
}

#[tokio::test]
async fn a_component_dies_of_the_limits_of_a_module() {
    let bench = Bench::new();
    let outcome = bench.outcome(bench.component("hoard")).await;
    assert!(matches!(outcome, Outcome::OutOfMemory { limit, .. } if limit == 64 << 20));
    let mut flood = bench.component("flood_stdout");
    flood.limits.output_bytes = 100_000;
    assert_eq!(bench.outcome(flood).await, Outcome::OutputLimit { limit: 100_000 });
    for name in ["spin", "host_call_hog", "sleep_forever"] {
        let mut guest = bench.component(name);
        guest.limits.deadline = Some(SOON);
        let End { outcome, usage, .. } = bench.run(guest).await;
        assert_eq!(outcome, Outcome::DeadlinePassed { limit: SOON }, "{name}");
        assert!(usage.wall < 20 * SOON, "{name}: {:?}", usage.wall);
    }
    let mut random = bench.component("random_bytes");
    random.limits.random_bytes = Some(1_000);
    assert_eq!(bench.outcome(random).await, Outcome::RandomLimit { limit: 1_000 });
}

#[tokio::test]
async fn host_calls_of_a_component_cost_fuel_and_always_the_same() {
    let bench = Bench::new();
    for name in ["host_call_hog", "flood_stdout", "random_bytes"] {
        let mut guest = bench.component(name);
        guest.limits.fuel = Some(5_000_000);
        guest.limits.output_bytes = 1 << 30;
        let outcome = bench.outcome(guest.clone()).await;
        assert_eq!(outcome, Outcome::OutOfFuel { limit: 5_000_000 }, "{name}");
        let lines =
            |guest: &StartGuest| fs::metadata(guest.sandbox.join("stdout")).map(|m| m.len());
        let first = lines(&guest).unwrap_or(0);
        bench.run(guest.clone()).await;
        assert_eq!(lines(&guest).unwrap_or(0), first, "{name}");
    }
}

#[tokio::test]
async fn a_component_writes_where_it_may_and_as_much_as_it_may() {
    let bench = Bench::new();
    let outcome = bench.outcome(bench.component("write_file")).await;
    assert!(!outcome.is_success(), "{outcome}");
    let mut guest = bench.component("write_file");
    guest.grants.dirs = vec![DirGrant::read_write(DirSource::Sandbox, ".")];
    let End { outcome, usage, .. } = bench.run(guest.clone()).await;
    assert_eq!((outcome, usage.bytes_out), (EXITED, 7));
    assert_eq!(fs::read(guest.sandbox.join("files/out")).expect("out"), b"written");
    fs::remove_file(guest.sandbox.join("files/out")).expect("removed");

    let full = |bytes, files| Outcome::DiskLimit { bytes, files };
    guest.limits.disk_bytes = 6;
    let files = guest.limits.files;
    assert_eq!(bench.outcome(guest.clone()).await, full(6, files));
    guest.limits.files = 0;
    fs::remove_file(guest.sandbox.join("files/out")).expect("it was made, and is empty");
    assert_eq!(bench.outcome(guest).await, full(6, 0));
}

#[tokio::test]
async fn the_environment_and_input_of_a_component_are_what_is_granted() {
    let bench = Bench::new();
    let mut guest = bench.component("environment");
    guest.grants.env.insert("COLOUR".into(), "blue".into());
    assert_eq!(bench.outcome(guest.clone()).await, EXITED);
    let text = fs::read_to_string(guest.sandbox.join("stdout")).expect("stdout");
    assert!(text.contains("COLOUR=blue\0") && text.contains("SKEP_TASK_ID=environment\0"));

    let input = vec![7; 100_000];
    let mut guest = bench.component("cat");
    bench.give_input(&mut guest, &input);
    let End { outcome, usage, .. } = bench.run(guest.clone()).await;
    assert_eq!((outcome, usage.bytes_in, usage.bytes_out), (EXITED, 100_000, 100_000));
    assert!(fs::read(guest.sandbox.join("stdout")).expect("stdout") == input);
}

#[tokio::test]
async fn a_component_and_its_framework_send_each_other_messages() {
    let bench = Bench::new();
    let guest = bench.guest("echo_component");
    bench.start(guest.clone());
    bench.wait_until_started(1).await;
    let message = TaskMessage { key: guest.key.clone(), bytes: b"there and back".to_vec() };
    bench.runner.send_message(message.clone());
    let sent = bench.wait_for(|report| matches!(report, Report::Sent(_))).await;
    assert_eq!(sent, Report::Sent(message));
    let mut guest = StartGuest { key: kit::key("virtual"), ..guest };
    guest.grants.clock = Clock::Virtual { start: Time::ZERO };
    assert_eq!(bench.outcome(guest).await, Outcome::Exited { code: 1 });
}

#[tokio::test]
async fn under_a_virtual_clock_a_component_does_not_wait() {
    let bench = Bench::new();
    let mut guest = bench.component("sleep_once");
    guest.grants.clock = Clock::Virtual { start: Clock::VIRTUAL_START };
    guest.grants.random = Random::Seeded { seed: 1 };
    let since = Instant::now();
    let End { outcome, usage, .. } = bench.run(guest.clone()).await;
    assert_eq!(outcome, EXITED);
    assert!(since.elapsed() < Duration::from_secs(600));
    let again = bench.run(guest).await.usage;
    assert_eq!((usage.fuel, usage.run_digest), (again.fuel, again.run_digest));
    assert!(usage.run_digest.is_some());
}

/// What `network.wat` adds to the error codes of `wasi:sockets`, of which 1 is "access denied".
const DENIED: Outcome = Outcome::Exited { code: 10 + 1 };

fn network(bench: &Bench, what: &str, peer: &str) -> StartGuest {
    let mut guest = bench.component("network");
    guest.args = vec![what.into()];
    guest.grants.network.insert(peer.parse().expect("a peer"));
    guest
}

#[tokio::test]
async fn a_component_connects_to_a_granted_peer_and_to_no_other() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let connect = format!("c{port}");
    for peer in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let End { outcome, usage, .. } = bench.run(network(&bench, &connect, &peer)).await;
        assert_eq!((outcome, usage.bytes_out), (EXITED, 5), "{peer}");
        let mut told = String::new();
        let (mut connection, _) = listener.accept().expect("it connected");
        connection.read_to_string(&mut told).expect("it wrote");
        assert_eq!(told, "hello");
    }
    let other = if port == 1 { 2 } else { 1 };
    for peer in [format!("127.0.0.1:{other}"), format!("127.0.0.2:{port}")] {
        assert_eq!(bench.outcome(network(&bench, &connect, &peer)).await, DENIED, "{peer}");
    }
    listener.set_nonblocking(true).expect("set");
    listener.accept().expect_err("nobody else connected");
}

#[tokio::test]
async fn a_component_binds_nothing_and_looks_up_granted_names_only() {
    let bench = Bench::new();
    assert_eq!(bench.outcome(network(&bench, "b", "127.0.0.1:1")).await, DENIED);
    assert_eq!(bench.outcome(network(&bench, "lexample.org", "localhost:1")).await, DENIED);
    assert_eq!(bench.outcome(network(&bench, "llocalhost", "localhost:1")).await, EXITED);
}

#[tokio::test]
async fn a_component_that_opens_sockets_is_rejected_without_a_grant() {
    let bench = Bench::new();
    let Outcome::ModuleRejected { why } = bench.outcome(bench.component("network")).await else {
        panic!("it ran");
    };
    assert!(why.contains("create-tcp-socket of wasi:sockets/tcp-create-socket"), "{why}");
    assert!(why.contains("--net HOST:PORT"), "{why}");
}
