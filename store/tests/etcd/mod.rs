//! A real etcd for one test: a process of its own, on free ports, in a temporary folder.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long it may take to start: long, because it only passes when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// Where it says how it is, always without certificates.
    metrics: u16,
    _folder: TempDir,
}

/// The files of an etcd that speaks TLS and asks its clients for certificates.
#[allow(dead_code, reason = "not every test file calls it")]
#[derive(Clone, Copy)]
pub(crate) struct Tls<'a> {
    pub(crate) ca: &'a Path,
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

impl Server {
    /// Starts an etcd and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// The same, with TLS and certificates of clients.
    #[allow(dead_code, reason = "not every test file calls it")]
    pub(crate) fn start_tls(tls: Tls<'_>) -> Self {
        Self::start_with(Some(tls))
    }

    fn start_with(tls: Option<Tls<'_>>) -> Self {
        // Taken and given back: somebody else may get one of them, so it is tried again.
        for _ in 0..5 {
            let mut server = Self::spawn(tempfile::tempdir().unwrap(), free_ports(), tls);
            if server.answers() {
                return server;
            }
        }
        panic!("etcd does not start");
    }

    /// What `skep master --store` is told.
    pub(crate) fn address(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port)
    }

    /// The same of one that speaks TLS.
    #[allow(dead_code, reason = "not every test file calls it")]
    pub(crate) fn tls_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn spawn(folder: TempDir, ports: [u16; 3], tls: Option<Tls<'_>>) -> Self {
        let [port, peers, metrics] = ports;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{peers}");
        let mut command = Command::new("etcd");
        if let Some(Tls { ca, certificate, key }) = tls {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
            command.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
        }
        let child = command
            .args(["--name", "test", "--data-dir"])
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("test={peer}"), "--logger", "zap"])
            .args(["--listen-metrics-urls", &format!("http://127.0.0.1:{metrics}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("these tests need a real etcd: apt-get install etcd-server ({error})")
            });
        Self { child, port, metrics, _folder: folder }
    }

    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.health().is_some_and(|health| health.contains("\"true\"")) {
                return true;
            }
            #[expect(clippy::disallowed_methods, reason = "a pause between two looks")]
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn health(&self) -> Option<String> {
        let port = self.metrics;
        self.say(port, "GET /health HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    /// Calls it past the code under test, and gives all that it answers.
    #[allow(dead_code, reason = "not every test file calls it")]
    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let head = format!("POST /v3/{path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        self.say(self.port, &(head + body)).unwrap()
    }

    /// The same, with a token.
    #[allow(dead_code, reason = "not every test file calls it")]
    pub(crate) fn post_as(&self, token: &str, path: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST /v3/{path} HTTP/1.0\r\nAuthorization: {token}\r\n");
        self.say(self.port, &format!("{head}Content-Length: {length}\r\n\r\n{body}")).unwrap()
    }

    fn say(&self, port: u16, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
