//! Blobs, and what tasks wrote.

use super::{
    answer::{Trouble, json_response, of},
    body::{self, Answer, PIECE_TIMEOUT},
};
use crate::{
    hub::Hub,
    logs::{self, Log},
    requests,
};
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Body as _, Incoming},
    header::CONTENT_LENGTH,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use skep_protocol::{
    Attempt, Digest, FrameworkId, Rejection, TaskId, TaskKey,
    bounds::BLOB_BYTES_MAX,
    data::{Follow, LogStream},
    json::Fault,
};
use skep_transport::PeerName;
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_util::sync::CancellationToken;

const BYTES: &str = "application/octet-stream";

/// Stores a blob and names it.
pub(super) async fn store_blob(hub: &Hub, mut body: Incoming) -> Result<Response<Answer>, Trouble> {
    let broken = |error: std::io::Error| Trouble::broken("the blob was not stored", &error);
    if body.size_hint().lower() > BLOB_BYTES_MAX {
        return Err(Trouble::too_large(BLOB_BYTES_MAX));
    }
    let mut incoming = hub.blobs().begin_unnamed().map_err(broken)?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    loop {
        let frame = timeout(PIECE_TIMEOUT, body.frame()).await.map_err(|_| Trouble::slow())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Trouble::cut_off(&error.to_string()))?;
        let Ok(piece) = frame.into_data() else { continue };
        size += piece.len() as u64;
        if size > BLOB_BYTES_MAX {
            return Err(Trouble::too_large(BLOB_BYTES_MAX));
        }
        hasher.update(&piece);
        incoming.file().write_all(&piece).await.map_err(broken)?;
    }
    let digest = Digest::from_bytes(hasher.finalize().into());
    incoming.finish(&digest).await.map_err(broken)?;
    requests::settle(hub, digest).await.map_err(|rejection| Trouble::refused(&rejection))?;
    Ok(json_response(StatusCode::OK, &json!({ "digest": digest, "bytes": size })))
}

/// The bytes of a blob.
pub(super) async fn blob(
    hub: &Hub,
    digest: &str,
    cut: &CancellationToken,
) -> Result<Response<Answer>, Trouble> {
    let digest: Digest = parsed("digest", digest)?;
    let found = requests::find_blob(hub, digest).await;
    let found = found.map_err(|error| Trouble::broken("the blob cannot be read", &error))?;
    let (file, size) = found.ok_or_else(|| Trouble::refused(&Rejection::UnknownBlob { digest }))?;
    let mut response = of(StatusCode::OK, BYTES, body::copied(file, cut));
    response.headers_mut().insert(CONTENT_LENGTH, size.into());
    Ok(response)
}

/// What a task wrote: `rest` is `FRAMEWORK/TASK/ATTEMPT/STREAM`.
pub(super) async fn log(
    hub: &Hub,
    peer: &PeerName,
    rest: [&str; 4],
    query: &str,
    cut: &CancellationToken,
) -> Result<Response<Answer>, Trouble> {
    let [framework, task, attempt, stream] = rest;
    let key = key([framework, task, attempt])?;
    let stream = match stream {
        "stdout" => LogStream::Stdout,
        "stderr" => LogStream::Stderr,
        "core" => LogStream::Core,
        _ => return Err(invalid("stream", "there is no such one", "stdout, stderr or core")),
    };
    let (mut offset, mut follow) = (0, Follow::No);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=').unwrap_or((part, "")) {
            ("offset", number) => {
                let wrong = |_| invalid("offset", "it is no number of bytes", "such as 4096");
                offset = number.parse().map_err(wrong)?;
            }
            ("follow", "true") => follow = Follow::UntilEnded,
            ("follow", "false") => follow = Follow::No,
            (name, _) => {
                let hint = "offset=BYTES, follow=true";
                let fault = Fault::new("unknown_key", name, "no such parameter is known", hint);
                return Err(Trouble::bad(fault));
            }
        }
    }
    match logs::open_log(hub, peer, Log { key, stream, offset, follow }).await {
        Ok(Ok(log)) => Ok(of(StatusCode::OK, BYTES, body::copied(log, cut))),
        Ok(Err(rejection)) => Err(Trouble::refused(&rejection)),
        Err(error) => Err(Trouble::broken("the agent did not answer", &error)),
    }
}

/// Feeds a task with the body of a request, for as long as that lasts; `of` is
/// `FRAMEWORK/TASK/ATTEMPT`.
pub(super) async fn feed(
    hub: &Hub,
    peer: &PeerName,
    of: [&str; 3],
    body: Incoming,
) -> Result<Response<Answer>, Trouble> {
    let refused = |rejection| Trouble::refused(&rejection);
    let feeding = requests::open_feed(hub, peer, key(of)?).await.map_err(refused)?;
    requests::pour(feeding, body::reader(body)).await.map_err(refused)?;
    Ok(json_response(StatusCode::OK, &json!({})))
}

fn key([framework, task, attempt]: [&str; 3]) -> Result<TaskKey, Trouble> {
    let attempt = attempt.parse().map(Attempt);
    Ok(TaskKey {
        framework: parsed::<FrameworkId>("framework", framework)?,
        task: parsed::<TaskId>("task", task)?,
        attempt: attempt.map_err(|_| invalid("attempt", "it is no number", "such as 1"))?,
    })
}

fn parsed<T: std::str::FromStr<Err: ToString>>(field: &str, text: &str) -> Result<T, Trouble> {
    let wrong = |error: T::Err| invalid(field, &error.to_string(), "see the path's form");
    text.parse().map_err(wrong)
}

fn invalid(field: &str, why: &str, hint: &str) -> Trouble {
    Trouble::bad(Fault::new("invalid", field, why, hint))
}
