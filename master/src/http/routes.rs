//! Which request is answered how, and by whom it may be made.

use super::{
    answer::{Trouble, of},
    body::{self, Answer},
    files,
    streams::{Ends, Stream, Streams},
};
use crate::{peers::principal, reign::Reign};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
};
use skep_master_core::ConnectionId;
use skep_protocol::{
    Rejection,
    framework::Call,
    json::{self, Fault},
    operator::PeerKind,
};
use skep_transport::{PeerName, Standing};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What there is, for programs; a test holds it and the code together.
const OPENAPI: &str = include_str!("../../../docs/openapi.json");
/// The header that names a stream.
const STREAM_ID: &str = "skep-stream-id";
/// Calls that are read at a time: one of the longest takes some tens of megabytes as a tree.
const READS_MAX: usize = 4;
/// Calls from this length on are read on a thread of their own.
const LONG_BYTES: usize = 64 << 10;

/// See the module; clones are handles of the same one.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

struct Inner {
    reigns: watch::Receiver<Option<Reign>>,
    standing: Standing,
    streams: Streams,
    reads: Semaphore,
}

impl Api {
    pub(super) fn new(reigns: watch::Receiver<Option<Reign>>, standing: Standing) -> Self {
        let (streams, reads) = (Streams::default(), Semaphore::new(READS_MAX));
        Self(Arc::new(Inner { reigns, standing, streams, reads }))
    }

    /// Answers one request; `cut` hangs up on the connection it came by.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Option<&PeerName>,
        cut: &CancellationToken,
    ) -> Response<Answer> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answered = self.route(request, peer, cut).await;
        let response = answered.unwrap_or_else(Trouble::into_response);
        tracing::debug!(%method, path, status = %response.status(), "answered over HTTP");
        response
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        peer: Option<&PeerName>,
        cut: &CancellationToken,
    ) -> Result<Response<Answer>, Trouble> {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        let &["api", "v1", ref parts @ ..] = parts.as_slice() else {
            return Err(Trouble::no_such_path(uri.path()));
        };
        if parts == ["openapi.json"] {
            only(&method, &[Method::GET, Method::HEAD])?;
            return Ok(of(StatusCode::OK, "application/json", body::whole(OPENAPI)));
        }
        let peer = allowed(peer)?;
        let Some(reign) = self.0.reigns.borrow().clone() else {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            return Err(match self.0.standing.other_leader() {
                Some(leader) => Trouble::elsewhere(&leader, path),
                None => Trouble::no_leader(),
            });
        };
        match *parts {
            ["scheduler"] => {
                only(&method, &[Method::POST])?;
                self.scheduler(request, peer, reign, cut).await
            }
            ["blobs"] => {
                only(&method, &[Method::PUT])?;
                let Reign { hub, over } = reign;
                let stored = files::store_blob(&hub, request.into_body());
                over.run_until_cancelled(stored).await.ok_or_else(Trouble::no_leader)?
            }
            ["blobs", digest] => {
                only(&method, &[Method::GET, Method::HEAD])?;
                files::blob(&reign.hub, digest, cut).await
            }
            ["tasks", framework, task, attempt, "stdin"] => {
                only(&method, &[Method::PUT])?;
                let Reign { hub, over } = reign;
                let fed = files::feed(&hub, peer, [framework, task, attempt], request.into_body());
                over.run_until_cancelled(fed).await.ok_or_else(Trouble::no_leader)?
            }
            ["tasks", framework, task, attempt, stream] => {
                only(&method, &[Method::GET])?;
                let rest = [framework, task, attempt, stream];
                files::log(&reign.hub, peer, rest, uri.query().unwrap_or(""), cut).await
            }
            _ => Err(Trouble::no_such_path(uri.path())),
        }
    }

    async fn scheduler(
        &self,
        request: Request<Incoming>,
        peer: &PeerName,
        reign: Reign,
        cut: &CancellationToken,
    ) -> Result<Response<Answer>, Trouble> {
        let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content = content.and_then(|content| content.split(';').next()).map(str::trim);
        // Others are what a web page may send in its reader's name.
        if !content.is_some_and(|content| content.eq_ignore_ascii_case("application/json")) {
            return Err(Trouble::no_json());
        }
        let id = request.headers().get(STREAM_ID).map(|id| id.to_str().unwrap_or("").to_owned());
        let call = self.read(body::collect(request.into_body()).await?).await?;
        match (call, id) {
            (call @ Call::Subscribe { .. }, None) => {
                Ok(self.subscribe(call, principal(peer), reign, cut).await)
            }
            (Call::Subscribe { .. }, Some(_)) => {
                let why = "a subscription names no stream: it begins one";
                let hint = "leave the header out";
                Err(Trouble::bad(Fault::new("invalid", "Skep-Stream-Id", why, hint)))
            }
            (_, None) => {
                let why = "the call does not say to which stream it belongs";
                let hint = "send the header of the answer to SUBSCRIBE";
                Err(Trouble::bad(Fault::new("invalid", "Skep-Stream-Id", why, hint)))
            }
            (call, Some(id)) => {
                self.0.streams.find(&id, &principal(peer))?.say(call).await;
                let mut response = Response::new(body::whole(""));
                *response.status_mut() = StatusCode::ACCEPTED;
                Ok(response)
            }
        }
    }

    async fn read(&self, bytes: bytes::Bytes) -> Result<Call, Trouble> {
        if bytes.len() < LONG_BYTES {
            return json::read_call(&bytes).map_err(Trouble::bad);
        }
        let _place = self.0.reads.acquire().await.expect("this semaphore is never closed");
        let read = tokio::task::spawn_blocking(move || json::read_call(&bytes)).await;
        let read = read.map_err(|error| Trouble::broken("the call was not read", &error))?;
        read.map_err(Trouble::bad)
    }

    async fn subscribe(
        &self,
        subscribe: Call,
        principal: String,
        Reign { hub, over }: Reign,
        cut: &CancellationToken,
    ) -> Response<Answer> {
        let id = uuid::Uuid::new_v4().to_string();
        let connection = ConnectionId(hub.number());
        let stream = Stream { hub, connection, principal };
        self.0.streams.open(&id, stream.clone());
        let (pieces, answer) = body::streamed();
        let mut response = of(StatusCode::OK, "application/jsonl", answer);
        let value = HeaderValue::from_str(&id).expect("hex digits and dashes");
        response.headers_mut().insert(STREAM_ID, value);
        let (api, ends) = (self.clone(), Ends { over, cut: cut.clone() });
        let (begun, beginning) = oneshot::channel();
        // A loop of its own: that the peer leaves now must not keep the core from hearing of it.
        tokio::spawn(async move {
            let events = stream.begin(subscribe, ends.cut.clone()).await;
            let _ = begun.send(());
            stream.run(id, &api.0.streams, events, pieces, ends).await;
        });
        // Calls that name the stream come after its subscription.
        let _ = beginning.await;
        response
    }
}

/// Frameworks and operators may use the API; agents and masters have their own ways.
fn allowed(peer: Option<&PeerName>) -> Result<&PeerName, Trouble> {
    let peer = peer.ok_or_else(Trouble::no_certificate)?;
    match peer.kind() {
        PeerKind::Framework | PeerKind::Operator => Ok(peer),
        kind @ (PeerKind::Agent | PeerKind::Master) => {
            let needs = "the certificate of a framework or operator".into();
            Err(Trouble::refused(&Rejection::WrongKind { kind: kind.to_string(), needs }))
        }
    }
}

fn only(method: &Method, allowed: &[Method]) -> Result<(), Trouble> {
    if allowed.contains(method) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    Err(Trouble::other_method(&names.join(", ")))
}
