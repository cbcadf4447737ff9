//! The scheduler API over HTTP: for frameworks in any language.
//!
//! ```text
//! connection --request--> routes --call--> hub (inputs, as of any connection of a framework)
//!     ^                                      |
//!     +------ lines <---- streams <---- outbox (events)
//! ```
//! Always holds: for the core a subscribed stream is a connection like any other, so that it is
//! hung up on if it is read too slowly, counts as disconnected when it breaks, and ends with the
//! reign. Whoever has no certificate of this cluster learns nothing but the form of the API.
//! How to use it is in docs/http-api.md.

mod answer;
mod body;
mod files;
mod routes;
mod streams;

use crate::reign::Reign;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use routes::Api;
use skep_transport::{Standing, TlsConnection, TlsIncoming, TlsListener};
use std::{convert::Infallible, time::Duration};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long a peer may take for the head of a request, and how long it may be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a peer without a certificate may stay: for one request that it must make at once.
const STRANGER_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of the head of a request, and of what is read ahead on a connection.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Serves peers until it is stopped.
pub(crate) async fn serve(
    listener: TlsListener,
    reigns: watch::Receiver<Option<Reign>>,
    standing: Standing,
    stop: CancellationToken,
) {
    let api = Api::new(reigns, standing);
    while let Some(incoming) = stop.run_until_cancelled(listener.accept()).await {
        tokio::spawn(greet(incoming, api.clone(), stop.clone()));
    }
}

async fn greet(incoming: TlsIncoming, api: Api, stop: CancellationToken) {
    let address = incoming.address();
    match incoming.finish().await {
        Ok(connection) => {
            // Connections of streams end with them, and those with the reign, which ends first.
            stop.run_until_cancelled(attend(connection, api)).await;
        }
        Err(error) => tracing::debug!(%address, %error, "a peer was not admitted to HTTP"),
    }
}

/// Answers what comes on one connection, until it ends or a stream on it is cut.
async fn attend(connection: TlsConnection, api: Api) {
    let TlsConnection { stream, peer, address, place } = connection;
    let cut = CancellationToken::new();
    let is_named = peer.is_some();
    let (api, peer, hang_up) = (&api, &peer, &cut);
    let service = service_fn(async |request: hyper::Request<Incoming>| {
        Ok::<_, Infallible>(api.answer(request, peer.as_ref(), hang_up).await)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(is_named)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let serving = cut.run_until_cancelled(serving);
    let served = match is_named {
        true => serving.await,
        // Strangers share the places of handshakes.
        false => timeout(STRANGER_TIME_MAX, serving).await.ok().flatten(),
    };
    if let Some(Err(error)) = served {
        tracing::debug!(%address, %error, "an HTTP connection broke");
    }
    drop(place);
}
