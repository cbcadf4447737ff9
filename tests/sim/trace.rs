//! What has happened: counted always; in words, with a digest of all of it, if it is asked for.

use skep_protocol::Time;
use std::{
    collections::VecDeque,
    fmt::{Debug, Display},
};

/// Lines that a failure shows, if it is not asked for more.
pub(crate) const LINES: usize = 30;

#[derive(Debug)]
pub(crate) struct Trace {
    detail: Detail,
    /// FNV-1a over all lines.
    digest: u64,
    steps: u64,
    last: VecDeque<String>,
}

/// How much of it is put into words: that costs more than all the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Counted,
    /// The last so many lines are kept.
    Told(usize),
}

impl Trace {
    pub(crate) const fn new(detail: Detail) -> Self {
        Self { detail, digest: 0xcbf2_9ce4_8422_2325, steps: 0, last: VecDeque::new() }
    }

    pub(crate) fn is_told(&self) -> bool {
        self.detail != Detail::Counted
    }

    /// Somebody was given an input and did this.
    pub(crate) fn turn(
        &mut self,
        now: Time,
        who: &impl Display,
        input: &impl Debug,
        effects: &impl Debug,
    ) {
        self.note(|| format!("{now} {who}: {input:?} -> {effects:?}"));
    }

    /// Something happened that is no input.
    pub(crate) fn fact(&mut self, now: Time, fact: &str) {
        self.note(|| format!("{now} {fact}"));
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        self.steps += 1;
        let Detail::Told(lines_max) = self.detail else { return };
        let line = line();
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if is_dull(&line) {
            return;
        }
        self.last.push_back(line);
        while self.last.len() > lines_max {
            self.last.pop_front();
        }
    }

    #[cfg(test)]
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

/// Whether a line is one of those that fill every second and tell nothing.
fn is_dull(line: &str) -> bool {
    line.contains("Beat {") || line.ends_with("Idle -> []") || line.ends_with("Tick -> []")
}
