//! Why a dial failed, in words that say what to do about it.

use crate::{
    address::Address,
    close::{CloseCode, CloseReason, Closed},
    endpoint::HANDSHAKE_TIMEOUT,
    frame::StreamError,
    name::{ClusterName, NameError},
};
use quinn::{ConnectionError, TransportErrorCode};
use rustls::AlertDescription as Alert;
use skep_protocol::hello::NoCommonProtocol;
use std::fmt;

/// Where the trust in a master comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// From the authority of our identity, of this cluster.
    Identity(ClusterName),
    /// From the authority that a join token pins.
    Token,
}

impl Trust {
    /// What it means that another authority vouches for the master.
    fn broken(&self) -> DialWhy {
        match self {
            Self::Identity(ours) => DialWhy::OtherCluster { ours: ours.clone() },
            Self::Token => DialWhy::OtherAuthority,
        }
    }
}

/// Why no master could be reached: what happened at each address, in the order tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialError {
    /// One for each address; none if there was no address.
    pub failures: Vec<DialFailure>,
}

impl std::error::Error for DialError {}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.failures.split_first() else {
            return f.write_str("there is no address of a master to dial: give one");
        };
        write!(f, "cannot reach a master: {first}")?;
        others.iter().try_for_each(|failure| write!(f, "; {failure}"))
    }
}

impl DialError {
    /// Whether a standby answered, so that a leader is to be expected soon.
    pub fn is_standby(&self) -> bool {
        self.failures.iter().any(|failure| matches!(failure.why, DialWhy::NotLeader { .. }))
    }

    /// Whether every address answered in a way that dialling again will not change.
    pub fn is_lasting(&self) -> bool {
        !self.failures.is_empty() && self.failures.iter().all(|failure| failure.why.is_lasting())
    }
}

/// What happened at one address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {why}")]
pub struct DialFailure {
    /// The address.
    pub address: Address,
    /// What happened.
    pub why: DialWhy,
}

/// What can happen at an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialWhy {
    /// The host's name has no address.
    #[error("the name cannot be resolved: {why}")]
    Unresolved {
        /// What the system said.
        why: String,
    },
    /// Nobody answered.
    #[error(
        "no answer in {} s: does the master run, and is UDP port {port} open?",
        HANDSHAKE_TIMEOUT.as_secs()
    )]
    NoAnswer {
        /// The port, which a firewall may close.
        port: u16,
    },
    /// The master's certificate was written by another authority than the identity's.
    #[error("this master is of another cluster than {ours}: get a token of its cluster, and join")]
    OtherCluster {
        /// The cluster of the identity.
        ours: ClusterName,
    },
    /// The master's certificate was written by another authority than the token pins.
    #[error("this master is of another cluster than the join token: get a token of its cluster")]
    OtherAuthority,
    /// The master's certificate is not valid at this time.
    #[error("the master's certificate has expired or is not valid yet: are both clocks right?")]
    MasterExpired,
    /// Our certificate is not valid at this time.
    #[error("our certificate has expired or is not valid yet: check the clock, or join again")]
    Expired,
    /// The master does not accept our certificate.
    #[error("the master refuses our certificate: it is of another cluster; join with a token")]
    CertificateRefused,
    /// Who answers is of this cluster but no master.
    #[error("who answers there is no master")]
    NoMaster,
    /// Who answers does not speak skep's protocol.
    #[error("who answers there does not speak skep's protocol: is the address right?")]
    OtherService,
    /// The master takes no more connections now.
    #[error("the master takes no more connections at the moment")]
    Busy,
    /// The two builds are too far apart.
    #[error(transparent)]
    NoCommonProtocol(#[from] NoCommonProtocol),
    /// This master is a standby.
    #[error("it is a standby, {}", in_words(leader.as_ref()))]
    NotLeader {
        /// Where the leader is; none while there is none.
        leader: Option<Address>,
    },
    /// The master hung up.
    #[error("the master hung up: {reason}")]
    HungUp {
        /// Why.
        reason: CloseReason,
    },
    /// The master's name is none.
    #[error("the master's certificate: {0}")]
    Name(#[from] NameError),
    /// The greeting failed.
    #[error("the greeting failed: {0}")]
    Greeting(#[from] StreamError),
    /// Something else broke.
    #[error("{why}")]
    Broken {
        /// What QUIC or TLS says.
        why: String,
    },
}

impl DialWhy {
    /// What the end of a connection means to a dialler.
    pub(crate) fn of(error: ConnectionError, trust: &Trust, port: u16) -> Self {
        match &error {
            ConnectionError::TimedOut => Self::NoAnswer { port },
            ConnectionError::VersionMismatch => Self::OtherService,
            // We did not like the master's certificate.
            ConnectionError::TransportError(local) => match alert(local.code) {
                Some(Alert::DecryptError | Alert::UnknownCA) => trust.broken(),
                Some(Alert::CertificateExpired) => Self::MasterExpired,
                _ => Self::Broken { why: error.to_string() },
            },
            // The master did not like ours, or us.
            ConnectionError::ConnectionClosed(remote) => match alert(remote.error_code) {
                Some(Alert::DecryptError | Alert::UnknownCA) => Self::CertificateRefused,
                Some(Alert::CertificateExpired) => Self::Expired,
                Some(Alert::NoApplicationProtocol) => Self::OtherService,
                _ if remote.error_code == TransportErrorCode::CONNECTION_REFUSED => Self::Busy,
                _ => Self::Broken { why: error.to_string() },
            },
            _ => match Closed::from(error) {
                Closed::ByPeer(reason) if reason.code == CloseCode::NotLeader => {
                    Self::NotLeader { leader: reason.why.parse().ok() }
                }
                Closed::ByPeer(reason) => Self::HungUp { reason },
                closed => Self::Broken { why: closed.to_string() },
            },
        }
    }

    fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::OtherCluster { .. }
                | Self::OtherAuthority
                | Self::CertificateRefused
                | Self::NoMaster
                | Self::OtherService
                | Self::NoCommonProtocol(_)
        )
    }
}

fn in_words(leader: Option<&Address>) -> String {
    let unknown = || "and there is no leader at the moment: try again".into();
    leader.map_or_else(unknown, |leader| format!("and the leader is at {leader}"))
}

/// The TLS alert in an error code of QUIC: they are numbered from 0x100 (RFC 9001, 4.8).
fn alert(code: TransportErrorCode) -> Option<Alert> {
    let number = u64::from(code).checked_sub(0x100)?;
    u8::try_from(number).ok().map(Alert::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quinn::ConnectionClose;

    fn closed_with(error_code: TransportErrorCode) -> DialWhy {
        let close = ConnectionClose { error_code, frame_type: None, reason: Bytes::new() };
        DialWhy::of(ConnectionError::ConnectionClosed(close), &Trust::Token, 5050)
    }

    #[test]
    fn what_a_master_objects_to_is_told_apart() {
        let tls = |alert: Alert| closed_with(TransportErrorCode::crypto(alert.into()));
        assert_eq!(tls(Alert::DecryptError), DialWhy::CertificateRefused);
        assert_eq!(tls(Alert::CertificateExpired), DialWhy::Expired);
        assert_eq!(tls(Alert::NoApplicationProtocol), DialWhy::OtherService);
        assert_eq!(closed_with(TransportErrorCode::CONNECTION_REFUSED), DialWhy::Busy);
        let broken = closed_with(TransportErrorCode::INTERNAL_ERROR);
        assert!(matches!(broken, DialWhy::Broken { .. }), "{broken}");
    }
}
