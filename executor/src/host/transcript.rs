//! What a deterministic run saw and did, as a digest: two runs with the same one were the same run.
//!
//! Always holds: what the guest read counts as it was read, what it wrote as it was written, each
//! with the call it went through; so a changed byte of an input or an output changes the digest,
//! and the order of calls does. Deliberately absent: when anything happened.

use sha2::{Digest as _, Sha256};
use skep_protocol::{
    executor::StartGuest,
    ids::Digest,
    outcome::{Outcome, Trap},
};

/// Names this way of counting; another way must have another name.
const DOMAIN: &[u8] = b"skep run 1\0";

/// The digest of one run, under way.
#[derive(Clone, Debug)]
pub(crate) struct Transcript(Sha256);

impl Transcript {
    /// A run of this guest on an engine of that fingerprint.
    pub(crate) fn new(engine: &str, guest: &StartGuest) -> Self {
        let mut transcript = Self(Sha256::new_with_prefix(DOMAIN));
        transcript.bytes(engine.as_bytes());
        transcript.bytes(guest.module.hex().as_bytes());
        transcript.bytes(guest.name.as_bytes());
        transcript.number(guest.args.len() as u64);
        guest.args.iter().for_each(|arg| transcript.bytes(arg.as_bytes()));
        transcript.number(guest.grants.env.len() as u64);
        for (name, value) in &guest.grants.env {
            transcript.bytes(name.as_bytes());
            transcript.bytes(value.as_bytes());
        }
        if !guest.checkpoint.is_empty() {
            transcript.moved("restored", &guest.checkpoint);
        }
        transcript.number(guest.index.map_or(0, |index| index.saturating_add(1)));
        transcript
    }

    /// A call has moved these bytes, in or out.
    pub(crate) fn moved(&mut self, call: &str, bytes: &[u8]) {
        self.bytes(call.as_bytes());
        self.bytes(bytes);
    }

    /// The run is over. Gives its digest.
    pub(crate) fn end(mut self, outcome: &Outcome, fuel: u64, result: &[u8]) -> Digest {
        self.bytes(outcome.name().as_bytes());
        match outcome {
            Outcome::Exited { code } => self.number(u64::from(code.cast_unsigned())),
            Outcome::Trapped { trap, .. } => self.bytes(trap_name(*trap).as_bytes()),
            _ => {}
        }
        self.number(fuel);
        self.bytes(result);
        Digest::from_bytes(self.0.finalize().into())
    }

    /// Each part with its length, so that no two lists of parts look the same.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }
}

fn trap_name(trap: Trap) -> String {
    format!("{trap:?}")
}
