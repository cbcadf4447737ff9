//! The protobuf of `proto/*.proto`, and the one place where it becomes values and back.
//!
//! Always holds: what [`Message::decode`] returns keeps the rules of its types and the bounds of
//! [`bounds`](crate::bounds); encoding a value twice gives the same bytes; no bytes make decoding
//! panic. Three answers to what is not as it should be:
//!
//! 1. A task spec that this build cannot take is the `Err` of a
//!    [`LaunchTask`](crate::framework::LaunchTask): one bad task of a thousand is refused with a
//!    reason and the others run.
//! 2. A sentence for people that is too long is cut: an update is not lost for its wording.
//! 3. Anything else is a [`DecodeError`] for the message as a whole.
//!
//! Deliberately absent: framing, which is `skep-transport`'s. The files mirror those of the types;
//! each type has both of its directions in one `impl Convert`.

mod convert;
pub(crate) mod wire;

mod common;
mod outcome;
mod rejection;
mod task;

mod agent;
mod data;
#[cfg(unix)]
mod executor;
mod framework;
mod hello;
mod operator;
mod wishes;

use bytes::Bytes;
use convert::Convert;
use prost::Message as _;

/// What can be a frame of its own.
pub trait Message: Convert<Wire: prost::Message + Default> {
    /// What errors call it.
    const NAME: &'static str;

    /// The message as protobuf.
    fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads a message that a peer sent.
    ///
    /// # Errors
    /// [`DecodeError`], which names the field. On [`DecodeError::UnknownVariant`] the peer is newer
    /// than this build: log it and go on; any other error is a violation of the protocol.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = Self::Wire::decode(bytes)
            .map_err(|source| DecodeError::NoProtobuf { message: Self::NAME, source })?;
        Self::from_wire(wire).map_err(|error| error.within(Self::NAME))
    }
}

impl Message for crate::hello::Hello {
    const NAME: &'static str = "Hello";
}
impl Message for crate::framework::Call {
    const NAME: &'static str = "Call";
}
impl Message for crate::framework::Event {
    const NAME: &'static str = "Event";
}
impl Message for crate::agent::ToMaster {
    const NAME: &'static str = "ToMaster";
}
impl Message for crate::agent::ToAgent {
    const NAME: &'static str = "ToAgent";
}
#[cfg(unix)]
impl Message for crate::executor::ToExecutor {
    const NAME: &'static str = "ToExecutor";
}
#[cfg(unix)]
impl Message for crate::executor::ToAgent {
    const NAME: &'static str = "ToAgent";
}
impl Message for crate::data::Request {
    const NAME: &'static str = "Request";
}
impl Message for crate::data::Response {
    const NAME: &'static str = "Response";
}
impl Message for crate::data::OutputPiece {
    const NAME: &'static str = "OutputPiece";
}
impl Message for crate::data::StreamHeader {
    const NAME: &'static str = "StreamHeader";
}

/// A message that came in another form than protobuf, checked as if it had come in this one.
///
/// # Errors
/// [`DecodeError`] as of [`Message::decode`].
pub(crate) fn checked<M: Message>(message: &M) -> Result<M, DecodeError> {
    M::from_wire(message.to_wire())
}

/// Why bytes are no message that this build can take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are no protobuf of that message's schema.
    #[error("{message}: it is no protobuf of this message")]
    NoProtobuf {
        /// Which message was expected.
        message: &'static str,
        /// What the protobuf decoder says.
        source: prost::DecodeError,
    },
    /// A field is missing or holds what it may not.
    #[error("{field}: {why}")]
    Invalid {
        /// Where, such as `Call.accept.offers[2]`.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that is one of several is none of those that this build knows.
    #[error("{message}: it is empty or of a kind that only newer builds know")]
    UnknownVariant {
        /// Which message, or where in it, such as `Event.status_updates.updates[0].state`.
        message: String,
    },
}

impl DecodeError {
    /// A value that may not be; who calls it names the place with [`DecodeError::within`].
    fn invalid(why: impl ToString) -> Self {
        Self::Invalid { field: String::new(), why: why.to_string() }
    }

    /// The same error, seen from the message around the field or list that it happened in.
    fn within(mut self, outer: &str) -> Self {
        if let Self::Invalid { field: place, .. } | Self::UnknownVariant { message: place } =
            &mut self
        {
            let dot = if place.is_empty() || place.starts_with('[') { "" } else { "." };
            *place = format!("{outer}{dot}{place}");
        }
        self
    }
}

#[cfg(test)]
pub(crate) mod tests;
