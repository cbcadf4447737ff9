//! Standard input that is streamed: guests that wait for it, that do not want it, and one that is
//! cut off. The test has the end that an agent writes.

use crate::kit::{Bench, EXITED, End};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, write},
    pipe::{PipeFlags, pipe_with},
};
use skep_executor::GuestFiles;
use skep_protocol::{
    bounds::FEED_FRAME_BYTES_MAX,
    executor::{Report, StartGuest},
    feed::{END, head},
    outcome::Outcome,
};
use std::{fs::File, os::fd::OwnedFd, sync::Arc, thread};

/// What a guest may leave unread before whoever writes has to wait: what a pipe of the kernel's
/// holds, and what was read and not asked for.
const HELD_BYTES_MAX: usize = (64 << 10) + FEED_FRAME_BYTES_MAX + 64;

/// The end to write of a guest's standard input.
struct Writer(OwnedFd);

impl Writer {
    /// Starts a guest whose standard input is a stream.
    fn of(bench: &Bench, mut guest: StartGuest) -> Self {
        guest.grants.stdin_stream = true;
        let (read, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
        let artifact = File::open(bench.file(&guest.module)).expect("opened");
        let stdin = Some(File::from(read));
        let files = GuestFiles { artifact: Arc::new(artifact), stdin, inputs: Vec::new() };
        bench.runner.start(guest, files);
        Self(writer)
    }

    /// Writes as much as is taken now.
    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        write(&self.0, bytes)
    }

    /// Writes all, however long it takes. An error: nobody reads any more.
    fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn frame(&self, bytes: &[u8]) -> Result<(), Errno> {
        self.write(&[&head(bytes.len())[..], bytes].concat())
    }
}

/// Bytes that are easy to tell apart.
fn counted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place % 251) as u8).collect()
}

#[tokio::test]
async fn a_stream_reaches_a_guest_as_it_is_whether_it_waits_or_reads() {
    let bench = Bench::new();
    let text = counted(3_000_000);
    let guests = [bench.guest("cat"), bench.guest("poll_stdin"), bench.component("cat")];
    for (number, mut guest) in guests.into_iter().enumerate() {
        guest.sandbox = bench.path(&format!("sandbox-{number}"));
        let (key, stdout) = (guest.key.clone(), guest.sandbox.join("stdout"));
        let writer = Writer::of(&bench, guest);
        let sent = text.clone();
        let writing = thread::spawn(move || {
            // Frames of many sizes, the largest and the smallest among them.
            let mut rest = &sent[..];
            for size in (1..).map(|n| [FEED_FRAME_BYTES_MAX, 1, 4_099][n % 3]) {
                let (frame, behind) = rest.split_at(size.min(rest.len()));
                if frame.is_empty() {
                    break;
                }
                writer.frame(frame).expect("it is read");
                rest = behind;
            }
            writer.write(&END).expect("it is read");
        });
        assert_eq!(bench.end_of(&key).await.outcome, EXITED, "guest {number}");
        writing.join().expect("no panic");
        assert!(std::fs::read(stdout).expect("a file") == text, "guest {number}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_an_error_and_one_that_ends_is_an_end() {
    let bench = Bench::new();
    let errno_io = 29;
    let guest = || bench.guest("read_all");
    let key = guest().key;
    for (bytes, code) in [
        (END.to_vec(), 0),
        ([&head(2)[..], b"ab", &END[..]].concat(), 0),
        (Vec::new(), errno_io),
        ([&head(2)[..], b"ab"].concat(), errno_io),
        ([&head(3)[..], b"ab"].concat(), errno_io),
        (head(3)[..2].to_vec(), errno_io),
        (vec![0xff; 4], errno_io),
    ] {
        let writer = Writer::of(&bench, guest());
        writer.write(&bytes).expect("there is room");
        drop(writer);
        let End { outcome, .. } = bench.end_of(&key).await;
        assert_eq!(outcome, Outcome::Exited { code }, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_holds_up_who_writes_and_ends_it() {
    let bench = Bench::new();
    for name in ["sleep_forever", "read_one", "close_stdin"] {
        let guest = bench.guest(name);
        let key = guest.key.clone();
        let writer = Writer::of(&bench, guest);
        let frame = [&head(FEED_FRAME_BYTES_MAX)[..], &counted(FEED_FRAME_BYTES_MAX)].concat();
        let mut held = 0;
        let why = loop {
            match writer.try_write(&frame) {
                Ok(written) => held += written,
                Err(why) => break why,
            }
        };
        assert!(matches!(why, Errno::AGAIN | Errno::PIPE), "{name}: {why}");
        assert!(held <= HELD_BYTES_MAX, "{name} holds {held} bytes");
        if name == "sleep_forever" {
            bench.kill(&key).await;
        } else {
            assert_eq!(bench.end_of(&key).await.outcome, EXITED, "{name}");
        }
        poll(&mut [PollFd::new(&writer.0, PollFlags::empty())], None).expect("it is told");
        assert_eq!(writer.try_write(b"more"), Err(Errno::PIPE), "{name}");
    }
}

#[tokio::test]
async fn guests_that_wait_for_a_stream_hold_up_nobody() {
    let bench = Bench::with_workers(1);
    let waiting = |number: usize| {
        let name = ["cat", "poll_stdin", "read_one"][number % 3];
        let mut guest = bench.guest(name);
        guest.key = crate::kit::key(&format!("waiting-{number}"));
        guest.sandbox = bench.path(&format!("waiting-{number}"));
        (guest.key.clone(), Writer::of(&bench, guest))
    };
    // More than the threads that a runtime would block.
    let waiting: Vec<_> = (0..600).map(waiting).collect();
    bench.wait_until_started(waiting.len()).await;
    assert_eq!(bench.outcome(bench.guest("noop")).await, EXITED);
    for (key, writer) in waiting {
        writer.write(&[&head(1)[..], b"a", &END[..]].concat()).expect("there is room");
        let ended = |report: &Report| matches!(report, Report::Ended { key: of, .. } if *of == key);
        let Report::Ended { outcome, .. } = bench.wait_for(ended).await else { unreachable!() };
        assert_eq!(outcome, EXITED, "{key}");
    }
}
