//! Why connections end: what one side says when it hangs up, and what the other learns.

use quinn::{ConnectionError, VarInt};
use std::fmt;

/// Text of a close reason, in bytes: it must fit one packet beside its headers.
const WHY_BYTES_MAX: usize = 512;

/// What a side says when it hangs up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The kind of reason, for programs.
    pub code: CloseCode,
    /// The reason in words, for people.
    pub why: String,
}

/// Kinds of reasons to hang up; the numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCode {
    /// All is said; nothing is wrong.
    Done,
    /// The process goes down; dial again later.
    ShuttingDown,
    /// The peer may not do what it wants; dialling again does not help.
    Refused,
    /// The peer sent what is no message.
    Violation,
    /// The two builds share no protocol.
    NoCommonProtocol,
    /// This master is a standby; the words are the leader's address, or nothing while there is
    /// none.
    NotLeader,
    /// A reason that a newer version has.
    Unknown,
}

impl CloseCode {
    const fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::ShuttingDown => 1,
            Self::Refused => 2,
            Self::Violation => 3,
            Self::NoCommonProtocol => 4,
            Self::NotLeader => 5,
            Self::Unknown => u32::MAX,
        }
    }

    fn from_number(number: u64) -> Self {
        [Self::Done, Self::ShuttingDown, Self::Refused, Self::Violation]
            .into_iter()
            .chain([Self::NoCommonProtocol, Self::NotLeader])
            .find(|code| u64::from(code.number()) == number)
            .unwrap_or(Self::Unknown)
    }
}

impl CloseReason {
    /// A reason; `why` is cut to what fits a packet.
    pub fn new(code: CloseCode, why: impl Into<String>) -> Self {
        let mut why = why.into();
        why.truncate(why.floor_char_boundary(WHY_BYTES_MAX));
        Self { code, why }
    }

    pub(crate) fn code(&self) -> VarInt {
        self.code.number().into()
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.why.as_str()) {
            (CloseCode::NotLeader, "") => f.write_str("this master leads no more"),
            (CloseCode::NotLeader, leader) => write!(f, "not the leader, which is at {leader}"),
            (_, why) => f.write_str(why),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// This side hung up.
    #[error("this side closed the connection")]
    ByUs,
    /// The peer hung up and said why.
    #[error("the peer closed the connection: {0}")]
    ByPeer(CloseReason),
    /// Nothing was heard for too long.
    #[error("no sign of life from the peer for {} s", crate::endpoint::IDLE_TIMEOUT.as_secs())]
    Silent,
    /// The peer answers but has forgotten the connection.
    #[error("the peer was restarted")]
    Restarted,
    /// The connection broke at the level of QUIC or TLS.
    #[error("the connection broke: {why}")]
    Broken {
        /// What QUIC or TLS says.
        why: String,
    },
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::ApplicationClosed(close) => {
                let code = CloseCode::from_number(close.error_code.into_inner());
                Self::ByPeer(CloseReason::new(code, String::from_utf8_lossy(&close.reason)))
            }
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::Reset => Self::Restarted,
            other => Self::Broken { why: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_a_newer_version_is_no_fault() {
        for code in [CloseCode::Done, CloseCode::Violation, CloseCode::NotLeader] {
            assert_eq!(CloseCode::from_number(code.number().into()), code);
        }
        assert_eq!(CloseCode::from_number(77), CloseCode::Unknown);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = CloseReason::new(CloseCode::Done, "é".repeat(600));
        assert_eq!(reason.why.len(), WHY_BYTES_MAX);
    }
}
