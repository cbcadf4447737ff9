//! A master in this process, an agent that does what a test says, and a client that speaks HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use skep_master::{Config, Keep, Master, Policy};
use skep_protocol::{
    AgentId, Amount, Incarnation, Resources,
    agent::{AgentInfo, Registration, ToAgent, ToMaster},
    data,
    operator::{self, PeerKind},
};
use skep_transport::{
    Address, Connection, ControlReceiver, ControlSender, Dialer, Identity, JoinToken, join,
};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long anything may take that is waited for: long, because it only passes when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// A cluster of a master alone.
pub(crate) struct Cluster {
    pub(crate) master: Master,
    operator: Connection,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (keep, policy) = (Keep::Nothing, Policy::default());
        let master = Master::start(Config { listen, advertise: None, keep, policy }).await;
        let master = master.expect("a master");
        let dialer = Dialer::new(master.operator()).expect("a dialer");
        let operator = dialer.dial(&[master.address().into()]).await.expect("a connection");
        Self { master, operator }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.master.address()
    }

    /// A new identity of this cluster.
    pub(crate) async fn identity(&self, kind: PeerKind) -> Identity {
        let ttl = Duration::from_secs(60);
        let order = operator::Request::CreateToken { kind, uses: 1, ttl };
        let answer = self.operator.request(&data::Request::Operator(order)).await;
        let Ok(data::Response::Operator(operator::Response::CreatedToken { token, .. })) = answer
        else {
            panic!("no token: {answer:?}");
        };
        let token: JoinToken = token.parse().expect("a token");
        let addresses = [Address::from(self.address())];
        join(&addresses, &token, "test").await.expect("an identity")
    }

    /// A client with a new identity of a framework.
    pub(crate) async fn framework(&self) -> Web {
        Web::new(self.address(), &self.identity(PeerKind::Framework).await)
    }

    /// An agent of four cpus that is registered.
    pub(crate) async fn agent(&self) -> Agent {
        let identity = self.identity(PeerKind::Agent).await;
        let dialer = Dialer::new(&identity).expect("a dialer");
        let connection = dialer.dial(&[self.address().into()]).await.expect("a connection");
        let (mut sender, mut receiver) =
            connection.control::<ToMaster, ToAgent>().expect("its control stream");
        let info = AgentInfo {
            hostname: "node-7".into(),
            attributes: BTreeMap::new(),
            architecture: "x86_64".into(),
            enforces: ["limit.cpus", "limit.memory", "limit.output", "limit.stack"]
                .into_iter()
                .chain(["limit.disk", "limit.handles"])
                .map(Into::into)
                .collect(),
            resources: Resources::new(Amount::units(4), Amount::units(4_096)),
            revocable: Resources::none(),
            region: None,
            zone: None,
            build: "test".into(),
            reserved: BTreeMap::new(),
        };
        let registration = Registration {
            incarnation: Incarnation(1),
            run: 1,
            connection: 1,
            info,
            tasks: Vec::new(),
            volumes: Vec::new(),
        };
        sender.send(&ToMaster::Register(registration)).await.expect("sent");
        let id = AgentId::new(identity.name().id()).expect("an id");
        let registered = soon("the registration", receiver.recv()).await;
        assert_eq!(registered.expect("an answer"), Some(ToAgent::Registered { agent: id.clone() }));
        Agent { id, connection, sender, receiver }
    }
}

/// An agent that runs nothing.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) connection: Connection,
    sender: ControlSender<ToMaster>,
    receiver: ControlReceiver<ToAgent>,
}

impl Agent {
    pub(crate) async fn say(&mut self, message: ToMaster) {
        self.sender.send(&message).await.expect("sent");
    }

    /// The next order, but for the volumes that there are to be.
    pub(crate) async fn order(&mut self) -> ToAgent {
        loop {
            let order = soon("an order", self.receiver.recv()).await.expect("an order");
            match order.expect("the master is there") {
                ToAgent::Volumes { .. } => {}
                order => return order,
            }
        }
    }
}

/// A client that speaks HTTP, as whoever it is.
pub(crate) struct Web {
    address: SocketAddr,
    tls: TlsConnector,
    pub(crate) folder: TempDir,
}

impl Web {
    /// A client as this identity, at the master of its cluster.
    pub(crate) fn new(address: SocketAddr, identity: &Identity) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3");
        identity.save(folder.path()).expect("saved");
        let config = builder
            .with_root_certificates(roots(folder.path()))
            .with_client_auth_cert(
                vec![certificate(&folder.path().join("cert.pem"))],
                PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).expect("a key"),
            )
            .expect("a certificate and its key");
        Self { address, tls: TlsConnector::from(Arc::new(config)), folder }
    }

    /// The same client without its certificate.
    pub(crate) fn without_certificate(&self) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots(self.folder.path()))
            .with_no_client_auth();
        let folder = tempfile::tempdir().expect("a folder");
        Self { address: self.address, tls: TlsConnector::from(Arc::new(config)), folder }
    }

    async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("master.skep").expect("a name");
        self.tls.connect(name, TcpStream::connect(self.address).await?).await
    }

    async fn connection(&self) -> SendRequest<Full<Bytes>> {
        let stream = self.dial().await.expect("a connection");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        sender
    }

    /// Makes a request on a connection of its own.
    ///
    /// # Errors
    /// What TLS or HTTP says if it came to no answer.
    pub(crate) async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let stream = self.dial().await.map_err(|error| error.to_string())?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| error.to_string())
    }

    /// The status and the JSON of an answer; null if there is none.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::from(body.to_owned())).expect("a request");
        answer_of(self.request(request).await.expect("an answer")).await
    }

    /// Makes a call on a stream.
    pub(crate) async fn call(&self, stream: &str, call: Value) -> (StatusCode, Value) {
        let request = post().header("skep-stream-id", stream);
        let request = request.body(Full::from(call.to_string())).expect("a request");
        answer_of(self.request(request).await.expect("an answer")).await
    }

    /// Subscribes.
    pub(crate) async fn subscribe(&self, subscribe: Value) -> Stream {
        self.try_subscribe(subscribe).await.expect("a stream")
    }

    /// Subscribes, or says what the master answered instead.
    pub(crate) async fn try_subscribe(&self, subscribe: Value) -> Result<Stream, StatusCode> {
        let call = serde_json::json!({"type": "SUBSCRIBE", "subscribe": subscribe});
        let mut sender = self.connection().await;
        let request = post().body(Full::from(call.to_string())).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        let id = response.headers()["skep-stream-id"].to_str().expect("a name").into();
        Ok(Stream { id, body: response.into_body(), read: Vec::new(), _sender: sender })
    }
}

fn post() -> hyper::http::request::Builder {
    let request = Request::builder().method("POST").uri("/api/v1/scheduler");
    request.header("content-type", "application/json")
}

async fn answer_of(response: Response<Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

fn roots(folder: &Path) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&folder.join("ca.pem"))).expect("an authority");
    roots
}

/// A stream of events; to drop it is to hang up.
pub(crate) struct Stream {
    pub(crate) id: String,
    body: Incoming,
    read: Vec<u8>,
    _sender: SendRequest<Full<Bytes>>,
}

impl Stream {
    /// The next event: its type, and what it holds. None at the end, however it comes.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line).expect("JSON");
                let kind = event["type"].as_str().expect("a type").to_owned();
                if kind == "HEARTBEAT" {
                    continue;
                }
                return Some((kind.clone(), event[kind.to_ascii_lowercase()].take()));
            }
            let frame = soon("an event", self.body.frame()).await?.ok()?;
            self.read.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }

    /// What the next event holds, which is of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let (found, event) = self.next().await.expect("an event");
        assert_eq!(found, kind, "{event}");
        event
    }
}
