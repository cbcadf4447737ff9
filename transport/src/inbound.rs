//! What a peer opens towards us: request streams become [`IncomingRequest`]s, byte streams go to
//! who waits for them.
//!
//! Each stream is read by a loop of its own, so a slow one holds up nothing; their number is
//! bounded by the stream limits of QUIC. A peer that breaks the protocol loses its connection and
//! nobody else notices. A stranger, a peer without a certificate, can join and nothing else.

use crate::{
    close::{CloseCode, CloseReason},
    frame::{FrameReader, FrameWriter, STRANGER_FRAME_BYTES_MAX, StreamError},
    request::IncomingRequest,
    stream::{InStream, Waiting},
};
use quinn::{RecvStream, SendStream};
use skep_protocol::{
    Rejection,
    bounds::FRAME_BYTES_MAX,
    data::{Request, Response, StreamHeader},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::sleep};

/// How long a stranger may stay: joining takes a second, and strangers must not pile up.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(30);

/// Where the streams of one connection go.
#[derive(Clone)]
pub(crate) struct Inbound {
    pub(crate) quinn: quinn::Connection,
    pub(crate) requests: mpsc::Sender<IncomingRequest>,
    pub(crate) waiting: Arc<Waiting>,
}

/// Takes up the streams of a named peer until the connection ends.
pub(crate) async fn serve_peer(inbound: Inbound) {
    loop {
        tokio::select! {
            opened = inbound.quinn.accept_bi() => {
                let Ok((send, receive)) = opened else { return };
                tokio::spawn(inbound.clone().take_request(send, receive));
            }
            opened = inbound.quinn.accept_uni() => {
                let Ok(receive) = opened else { return };
                tokio::spawn(inbound.clone().take_bytes(receive));
            }
        }
    }
}

/// Takes up the requests of a stranger, for a short time, and hangs up if it wants control.
/// `_writer` is held because its end would tell the stranger that we have left.
pub(crate) async fn serve_stranger(
    inbound: Inbound,
    _writer: FrameWriter,
    mut control: FrameReader,
) {
    let requests = async {
        while let Ok((send, receive)) = inbound.quinn.accept_bi().await {
            tokio::spawn(inbound.clone().take_join(send, receive));
        }
    };
    let why = tokio::select! {
        () = requests => return,
        () = control.anything() => stranger_rejected().to_string(),
        () = sleep(STRANGER_TIME_MAX) => "a peer without a certificate may not stay".into(),
    };
    hang_up(&inbound.quinn, &CloseReason::new(CloseCode::Refused, why));
}

impl Inbound {
    async fn take_request(self, send: SendStream, receive: RecvStream) {
        if let Some(incoming) = self.read(send, receive, FRAME_BYTES_MAX).await {
            // It fails when nobody takes up requests any more: the stream is then cut.
            let _ = self.requests.send(incoming).await;
        }
    }

    async fn take_join(self, send: SendStream, receive: RecvStream) {
        match self.read(send, receive, STRANGER_FRAME_BYTES_MAX).await {
            Some(incoming) if matches!(incoming.request, Request::Join { .. }) => {
                let _ = self.requests.send(incoming).await;
            }
            // If it has left meanwhile, it does not need the answer.
            Some(incoming) => drop(incoming.refuse(stranger_rejected()).await),
            None => {}
        }
    }

    /// Reads a request; refuses here what only newer builds know.
    async fn read(
        &self,
        send: SendStream,
        receive: RecvStream,
        frame_bytes_max: usize,
    ) -> Option<IncomingRequest> {
        let mut writer = FrameWriter::new(send);
        let mut reader = FrameReader::new(receive, frame_bytes_max);
        match reader.expect().await {
            Ok(request) => Some(IncomingRequest::new(request, writer, reader)),
            Err(StreamError::Unknown { what }) => {
                let rejection = Rejection::Unsupported { name: what };
                // If it has left meanwhile, it does not need the answer.
                let _ = writer.send(&Response::Refused { rejection }).await;
                None
            }
            Err(error) => {
                blame(&self.quinn, &error);
                None
            }
        }
    }

    async fn take_bytes(self, receive: RecvStream) {
        let mut reader = FrameReader::new(receive, STRANGER_FRAME_BYTES_MAX);
        match reader.expect::<StreamHeader>().await {
            Ok(header) => {
                let (first, rest) = reader.into_stream();
                self.waiting.arrived(header, InStream::new(first, rest));
            }
            Err(error) => blame(&self.quinn, &error),
        }
    }
}

/// Hangs up on a peer that broke the protocol; other errors are nobody's fault.
pub(crate) fn blame(quinn: &quinn::Connection, error: &StreamError) {
    if error.is_violation() {
        let address = quinn.remote_address();
        tracing::warn!(%address, %error, "hung up on a peer that broke the protocol");
        hang_up(quinn, &CloseReason::new(CloseCode::Violation, error.to_string()));
    }
}

fn hang_up(quinn: &quinn::Connection, reason: &CloseReason) {
    quinn.close(reason.code(), reason.why.as_bytes());
}

fn stranger_rejected() -> Rejection {
    let needs = "a certificate of this cluster: join first, with a token".into();
    Rejection::WrongKind { kind: "unnamed".into(), needs }
}
