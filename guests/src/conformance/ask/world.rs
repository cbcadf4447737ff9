//! What is neither file nor name: arguments, environment, clocks, random numbers, waiting.

use super::{Behaviour, STDERR, STDIN, STDOUT, open_new, p1::*, refused};

/// A wait that a test can afford.
const SHORT: u64 = 10_000_000;
/// A wait that must never be waited for.
const LONG: u64 = 3_600_000_000_000;

pub(crate) const BEHAVIOURS: &[Behaviour] = &[
    ("arguments and environment are told", told),
    ("clocks go forward", clocks),
    ("a large buffer is filled with random bytes", random_bytes),
    ("yielding is allowed, signals are not", yielding),
    ("a wait ends at its time", waiting),
    ("a wait for a time that has passed ends at once", passed),
    ("the earliest of several waits ends them", earliest),
    ("standard output can be written at once", output_ready),
    ("standard input that has ended can be read at once", input_ready),
    ("a file is always ready", file_ready),
    ("a wait for nothing is refused", nothing),
    ("a wait for what is not open says so", not_open),
];

fn told(_: Fd) {
    let arguments = arguments().expect("told");
    assert_eq!(arguments.len(), 2);
    assert_eq!(arguments[1], "arguments and environment are told");
    assert_eq!(arguments, std::env::args().collect::<Vec<_>>());
    let environment = environment().expect("told");
    assert_eq!(environment.len(), std::env::vars().count());
    assert!(environment.iter().all(|pair| pair.contains('=')));
}

fn clocks(_: Fd) {
    let real = time(CLOCKID_REALTIME).expect("known");
    assert!(real > 1_500_000_000_000_000_000, "{real} is long ago");
    let mut last = time(CLOCKID_MONOTONIC).expect("known");
    for _ in 0..1_000 {
        let now = time(CLOCKID_MONOTONIC).expect("known");
        assert!(now >= last, "{now} comes after {last}");
        last = now;
    }
    for clock in [CLOCKID_REALTIME, CLOCKID_MONOTONIC] {
        let step = resolution(clock).expect("known");
        assert!((1..=1_000_000_000).contains(&step), "{step}");
    }
    for clock in [CLOCKID_PROCESS_CPUTIME_ID, CLOCKID_THREAD_CPUTIME_ID] {
        if let Err(reason) = time(clock) {
            assert!([ERRNO_BADF, ERRNO_INVAL, ERRNO_NOTSUP].contains(&reason), "{reason:?}");
        }
    }
}

fn random_bytes(_: Fd) {
    let mut bytes = vec![0_u8; 200_000];
    random(&mut bytes).expect("filled");
    for part in bytes.chunks(50_000) {
        assert!(part.iter().any(|byte| *byte != part[0]), "each part is filled");
    }
    let mut again = vec![0_u8; 200_000];
    random(&mut again).expect("filled");
    assert!(bytes != again);
    random(&mut []).expect("nothing is easily filled");
}

fn yielding(_: Fd) {
    for _ in 0..100 {
        yield_now().expect("allowed");
    }
    refused(raise(), &[ERRNO_NOTSUP, ERRNO_NOSYS]);
}

fn waiting(_: Fd) {
    for clock in [CLOCKID_MONOTONIC, CLOCKID_REALTIME] {
        let before = time(clock).expect("known");
        let events = poll(&[until(7, clock, SHORT, 0)]).expect("waited");
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].userdata, events[0].error), (7, ERRNO_SUCCESS));
        assert_eq!(events[0].type_, EVENTTYPE_CLOCK);
        assert!(time(clock).expect("known") >= before + SHORT * 9 / 10);
    }
    let end = time(CLOCKID_MONOTONIC).expect("known") + SHORT;
    let absolute = SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    poll(&[until(7, CLOCKID_MONOTONIC, end, absolute)]).expect("waited");
    assert!(time(CLOCKID_MONOTONIC).expect("known") >= end - SHORT / 10);
}

fn passed(_: Fd) {
    let absolute = SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    for clock in [CLOCKID_MONOTONIC, CLOCKID_REALTIME] {
        let waits = [until(1, clock, 1, absolute), until(2, clock, LONG, 0)];
        let events = poll(&waits).expect("not waited for");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].userdata, 1);
        assert_eq!(poll(&[until(3, clock, 0, 0)]).expect("nor this").len(), 1);
    }
}

fn earliest(_: Fd) {
    let clock = CLOCKID_MONOTONIC;
    let waits = [until(1, clock, LONG, 0), until(2, clock, SHORT, 0), until(3, clock, LONG, 0)];
    let events = poll(&waits).expect("waited");
    let ended: Vec<_> = events.iter().map(|event| event.userdata).collect();
    assert_eq!(ended, [2]);
}

fn output_ready(_: Fd) {
    let waits = [writable(1, STDOUT), writable(2, STDERR), until(3, CLOCKID_MONOTONIC, LONG, 0)];
    let events = poll(&waits).expect("not waited");
    assert!(!events.is_empty());
    for event in events {
        assert!(event.userdata == 1 || event.userdata == 2);
        assert_eq!((event.type_, event.error), (EVENTTYPE_FD_WRITE, ERRNO_SUCCESS));
    }
}

fn input_ready(_: Fd) {
    let waits = [readable(1, STDIN), until(2, CLOCKID_MONOTONIC, LONG, 0)];
    let events = poll(&waits).expect("not waited");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].userdata, events[0].type_), (1, EVENTTYPE_FD_READ));
    assert_eq!(read(STDIN, &mut [0; 16]), Ok(0));
}

fn file_ready(dir: Fd) {
    let file = open_new(dir, "file");
    assert_eq!(write(file, b"abc"), Ok(3));
    assert_eq!(seek(file, 1, WHENCE_SET), Ok(1));
    let waits = [readable(1, file), writable(2, file), until(3, CLOCKID_MONOTONIC, LONG, 0)];
    let events = poll(&waits).expect("not waited");
    // A host may tell of one and leave the other to the next call.
    assert!(!events.is_empty());
    for event in events {
        let expected = if event.userdata == 1 { EVENTTYPE_FD_READ } else { EVENTTYPE_FD_WRITE };
        assert_eq!((event.type_, event.error), (expected, ERRNO_SUCCESS));
        assert_ne!(event.userdata, 3);
    }
}

fn nothing(_: Fd) {
    refused(poll(&[]).map(drop), &[ERRNO_INVAL]);
}

fn not_open(_: Fd) {
    match poll(&[readable(1, 1_000)]) {
        Ok(events) => assert_eq!(events[0].error, ERRNO_BADF),
        Err(reason) => assert_eq!(reason, ERRNO_BADF),
    }
    match poll(&[writable(1, 1_000)]) {
        Ok(events) => assert_eq!(events[0].error, ERRNO_BADF),
        Err(reason) => assert_eq!(reason, ERRNO_BADF),
    }
}
