//! How QUIC is set up, the same for who listens and who dials. Every number has its reason here.

use crate::identity::Identity;
use quinn::{EndpointConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use std::{sync::Arc, time::Duration};

/// How often a silent connection is probed: a few of these fit into [`IDLE_TIMEOUT`], so that one
/// lost packet means nothing.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long nothing is heard before a peer counts as unreachable. Long enough for a Wi-Fi roaming
/// or an overloaded machine, short enough that work is placed elsewhere soon.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a handshake, up to and with `Hello`, may take: three round trips of a satellite link.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a side that goes down waits for its last packets to be confirmed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests that a named peer may have under way; more wait at the peer.
const REQUEST_STREAMS_MAX: u32 = 64;
/// Blobs and logs that a peer may be sending; more wait at the peer.
const BYTE_STREAMS_MAX: u32 = 32;
/// Streams of a peer without a certificate: control, for its `Hello`, and one request to join.
const STRANGER_STREAMS_MAX: u32 = 2;
/// Bytes a peer may send ahead on one stream: 80 Mbit/s at a round trip of 100 ms.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes a peer may send ahead on all streams. All stream windows and the control stream's fit,
/// so that streams which nobody reads for a while never hold up another one.
const CONNECTION_WINDOW_BYTES: u32 =
    (REQUEST_STREAMS_MAX + BYTE_STREAMS_MAX + 1) * STREAM_WINDOW_BYTES;

/// The control stream goes before requests, and those before blobs and logs.
pub(crate) const CONTROL_PRIORITY: i32 = 1;
pub(crate) const BYTES_PRIORITY: i32 = -1;

/// The transport of a side that knows its peer from the handshake on.
pub(crate) fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IDLE_TIMEOUT.try_into().expect("seconds fit");
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(REQUEST_STREAMS_MAX.into())
        .max_concurrent_uni_streams(BYTE_STREAMS_MAX.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into());
    config
}

/// The transport of a listener, which lets strangers do little until they prove a name.
pub(crate) fn wary_transport() -> TransportConfig {
    let mut config = transport();
    config
        .max_concurrent_bidi_streams(STRANGER_STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0));
    config
}

/// Lifts the limits of [`wary_transport`] once the peer has proved a name.
pub(crate) fn trust(connection: &quinn::Connection) {
    connection.set_max_concurrent_bi_streams(REQUEST_STREAMS_MAX.into());
    connection.set_max_concurrent_uni_streams(BYTE_STREAMS_MAX.into());
}

/// A listener's endpoint keeps its reset key over restarts (it derives from the private key), so
/// a new process tells peers of the old one at once that their connections are gone.
pub(crate) fn endpoint(identity: &Identity) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &identity.key.serialize_der());
    let reset_key = hmac::sign(&secret, b"skep stateless reset");
    let cid_key = hmac::sign(&secret, b"skep connection ids");
    let mut config =
        EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_key.as_ref())));
    let cid_key = cid_key.as_ref().first_chunk().expect("a SHA-256 has 32 bytes");
    let cid_key = u64::from_le_bytes(*cid_key);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));
    config
}
