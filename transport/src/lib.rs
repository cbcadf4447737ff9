//! How skep processes reach each other: QUIC, identity, framing.
//!
//! A master makes an [`Authority`] and listens. A newcomer with a [`JoinToken`] joins and gets an
//! [`Identity`]; from then on it dials with mutual TLS, and both sides know each other's
//! [`PeerName`]. On a [`Connection`] there is one control stream, a stream per request, and a
//! stream per blob or log, so that none of them waits for another. Programs that speak HTTP dial a
//! [`TlsListener`] with the same identities.
//!
//! Always: both ends verified by rustls, `Hello` before anything else, every frame and queue
//! bounded. A peer that breaks the rules loses its connection and nobody else notices. Absent:
//! what messages mean, who may do what (but that a peer without a name can only join), storage.

mod authority;
mod files;
mod identity;
mod name;
mod token;

mod crypto;
mod endpoint;

mod address;
mod dial_error;
mod dialer;
mod join;
mod listener;
mod reconnect;
mod tls;

mod close;
mod connection;
mod frame;
mod hello;
mod inbound;
mod request;
mod stream;

pub mod blob;
pub mod feed;
pub mod log;
pub mod outputs;

pub use address::{Address, AddressError, MASTER_PORT};
pub use authority::{Authority, AuthorityError, CERTIFICATE_LIFETIME, IssueError};
pub use close::{CloseCode, CloseReason, Closed};
pub use connection::{Connection, ControlError, ControlReceiver, ControlSender};
pub use crypto::SetupError;
pub use dial_error::{DialError, DialFailure, DialWhy};
pub use dialer::Dialer;
pub use endpoint::{CLOSE_TIMEOUT, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, KEEP_ALIVE};
pub use feed::{FeedError, Feeder};
pub use files::FileError;
pub use frame::StreamError;
pub use identity::Identity;
pub use join::{JoinError, join};
pub use listener::{Listener, Standing};
pub use name::{ClusterName, NameError, PeerName};
pub use reconnect::reconnect;
pub use request::{Answers, IncomingRequest, RequestError};
pub use stream::{ExpectedStream, InStream, OutStream};
pub use tls::{TlsConnection, TlsError, TlsIncoming, TlsListener};
pub use token::{JoinToken, TokenError};
