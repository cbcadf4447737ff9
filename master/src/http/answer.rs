//! What a request is answered with, if it is not what was asked for.

use super::body::{self, Answer};
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use serde_json::{Value, json};
use skep_protocol::{Rejection, json::Fault};

/// A status other than success, with the error of its body.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    fault: Box<Fault>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Trouble {
    fn new(status: StatusCode, fault: Fault) -> Self {
        Self { status, fault: fault.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.header = HeaderValue::from_str(value).ok().map(|value| (name, value));
        self
    }

    pub(super) fn bad(fault: Fault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, fault)
    }

    /// What a refusal is over HTTP.
    pub(super) fn refused(rejection: &Rejection) -> Self {
        let status = match rejection {
            Rejection::WrongKind { .. } | Rejection::NotYours { .. } => StatusCode::FORBIDDEN,
            Rejection::UnknownTask { .. } | Rejection::UnknownBlob { .. } => StatusCode::NOT_FOUND,
            Rejection::OutputGone { .. } => StatusCode::GONE,
            Rejection::NotAllowed { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, Fault::refused(rejection))
    }

    pub(super) fn no_certificate() -> Self {
        let hint = "show the certificate of an identity: curl --cert cert.pem --key key.pem; \
                    `skep token create --role framework` makes a token to get one with";
        let fault = Fault::new("no_certificate", "", "the peer showed no certificate", hint);
        Self::new(StatusCode::UNAUTHORIZED, fault)
    }

    pub(super) fn elsewhere(leader: &str, path: &str) -> Self {
        let why = format!("this master stands by, {leader} leads");
        let fault = Fault::new("not_leader", "", why, "go where Location says");
        let location = format!("https://{leader}{path}");
        Self::new(StatusCode::TEMPORARY_REDIRECT, fault).with(LOCATION, &location)
    }

    pub(super) fn no_leader() -> Self {
        let why = "this master stands by, and does not know who leads";
        let fault = Fault::new("no_leader", "", why, "try again in a second, or another master");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, fault).with(RETRY_AFTER, "1")
    }

    pub(super) fn no_such_path(path: &str) -> Self {
        let hint = "GET /api/v1/openapi.json lists what there is";
        let path = path.chars().take(256).collect::<String>();
        let fault = Fault::new("no_such_path", "", format!("there is nothing at {path}"), hint);
        Self::new(StatusCode::NOT_FOUND, fault)
    }

    pub(super) fn other_method(allowed: &str) -> Self {
        let why = format!("only {allowed} is for this path");
        let fault = Fault::new("other_method", "", why, "see GET /api/v1/openapi.json");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, fault).with(ALLOW, allowed)
    }

    pub(super) fn no_json() -> Self {
        let why = "a call is JSON, and says so";
        let fault = Fault::new("no_json", "", why, "send Content-Type: application/json");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, fault)
    }

    pub(super) fn too_large(max: u64) -> Self {
        let why = format!("the body has more than {max} bytes");
        let fault = Fault::new("too_large", "", why, "send less at once, in several requests");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, fault)
    }

    pub(super) fn slow() -> Self {
        let why = "the body did not arrive in time";
        let fault = Fault::new("slow", "", why, "send it in one go");
        Self::new(StatusCode::REQUEST_TIMEOUT, fault)
    }

    pub(super) fn cut_off(why: &str) -> Self {
        Self::bad(Fault::new("cut_off", "", why, "send the whole body"))
    }

    pub(super) fn no_stream(id: &str) -> Self {
        let why = format!("no stream of the name {:?} is known here", id.get(..64).unwrap_or(id));
        let fault = Fault::new("no_stream", "Skep-Stream-Id", why, "subscribe first");
        Self::new(StatusCode::NOT_FOUND, fault)
    }

    pub(super) fn ended_stream() -> Self {
        let why = "the stream has ended";
        let hint = "subscribe again with the framework's id; calls name offers that are void now";
        let fault = Fault::new("ended_stream", "Skep-Stream-Id", why, hint);
        Self::new(StatusCode::CONFLICT, fault)
    }

    pub(super) fn foreign_stream() -> Self {
        let why = "the stream was subscribed with another certificate";
        let fault = Fault::new("foreign_stream", "Skep-Stream-Id", why, "subscribe yourself");
        Self::new(StatusCode::FORBIDDEN, fault)
    }

    pub(super) fn broken(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%error, what, "a request over HTTP failed");
        let fault = Fault::new("broken", "", format!("{what}: {error}"), "try again");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, fault)
    }

    pub(super) fn into_response(self) -> Response<Answer> {
        let mut response = json_response(self.status, &json!({ "error": *self.fault }));
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response<Answer> {
    let mut text = value.to_string();
    text.push('\n');
    of(status, "application/json", body::whole(text))
}

/// An answer of this type.
pub(super) fn of(status: StatusCode, content: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content));
    response
}
