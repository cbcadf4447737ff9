//! The store against a real connection, with a peer that may lie.

use super::*;
use crate::config::Sandbox;
use skep_protocol::{Digest, ModuleLimits, Nans, Rejection, operator::PeerKind};
use skep_transport::{Authority, ClusterName, Dialer, Listener, PeerName};
use tempfile::TempDir;

/// A store, and the other end of its connection.
struct Bench {
    modules: Modules,
    events: mpsc::Receiver<Event>,
    master: Connection,
    _link: watch::Sender<Option<Connection>>,
    _listener: Listener,
    _dialer: Dialer,
    _outer: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let authority = Authority::create(&ClusterName::random());
        let identity = |kind| {
            let name = PeerName::new(authority.cluster().clone(), kind, "x").expect("a name");
            authority.issue_own(&name)
        };
        let any = "127.0.0.1:0".parse().expect("an address");
        let mut listener = Listener::bind(any, &identity(PeerKind::Master)).expect("a free port");
        let address = listener.local_addr().expect("an address").into();
        let dialer = Dialer::new(&identity(PeerKind::Agent)).expect("a socket");
        let addresses = [address];
        let (dialled, accepted) = tokio::join!(dialer.dial(&addresses), listener.accept());
        let (link, connection) = watch::channel(Some(dialled.expect("a connection")));

        let outer = tempfile::tempdir().expect("a folder");
        let folders = Folders::open(outer.path(), outer.path(), "f00").expect("folders");
        let (inbox, events) = mpsc::channel(8);
        let folders = Arc::new(folders);
        let artifacts = Arc::new(Artifacts::new(folders.clone()).expect("a key"));
        let compiler = Compiler {
            program: "/bin/false".into(),
            limits: ModuleLimits::default(),
            sandbox: Sandbox::Strict,
        };
        let modules = Modules::new(folders, artifacts, compiler, connection, inbox);
        let master = accepted.expect("a connection");
        let (_link, _listener, _dialer, _outer) = (link, listener, dialer, outer);
        Self { modules, events, master, _link, _listener, _dialer, _outer }
    }

    async fn input(&mut self) -> Input {
        input(&mut self.events).await
    }

    /// Has a blob fetched, and answers with these bytes.
    async fn fetch(&mut self, digest: Digest, bytes: &[u8]) -> Input {
        self.modules.fetch(digest);
        let incoming = self.master.accept_request().await.expect("a request");
        let served = blob::serve_fetch(&self.master, incoming, digest, bytes.len() as u64, bytes);
        tokio::join!(served, input(&mut self.events)).1
    }

    fn files(&self) -> Vec<String> {
        names(&self.modules.folders.blobs).expect("listed")
    }
}

/// The one file that was found.
fn kept(found: &[Input]) -> CacheFile {
    match found {
        [Input::Kept { file, .. }] => *file,
        _ => panic!("{found:?}"),
    }
}

/// The next input. What is ready was said to be kept before.
async fn input(events: &mut mpsc::Receiver<Event>) -> Input {
    let mut kept = None;
    loop {
        let Some(Event::Input(input)) = events.recv().await else { panic!("no input came") };
        let ready = match &input {
            Input::Kept { file, .. } => {
                kept = Some(*file);
                continue;
            }
            Input::BlobReady { digest } => Some(CacheFile::Blob(*digest)),
            Input::Compiled { artifact } => Some(CacheFile::Artifact(*artifact)),
            _ => None,
        };
        assert_eq!(kept, ready);
        return input;
    }
}

fn native(module: Digest) -> Artifact {
    Artifact { module, nans: Nans::Native }
}

#[tokio::test]
async fn a_blob_that_came_whole_is_kept_under_its_digest() {
    let mut bench = Bench::new().await;
    let digest = Digest::of(b"module");
    assert_eq!(bench.fetch(digest, b"module").await, Input::BlobReady { digest });
    assert_eq!(bench.files(), [digest.hex()]);
    let kept = Input::Kept { file: CacheFile::Blob(digest), bytes: 6 };
    let found = found(&bench.modules.folders).expect("listed");
    assert_eq!(found, [Input::BlobReady { digest }, kept]);

    // Nobody answers this time: it is there.
    bench.modules.fetch(digest);
    assert_eq!(bench.input().await, Input::BlobReady { digest });
}

#[tokio::test]
async fn a_blob_with_other_bytes_than_its_digest_says_is_not_kept() {
    let mut bench = Bench::new().await;
    let digest = Digest::of(b"module");
    let input = bench.fetch(digest, b"poison").await;
    let Input::BlobFailed { why: FetchFailure::Failed { .. }, .. } = input else {
        panic!("{input:?}");
    };
    assert_eq!(bench.files(), [""; 0]);
}

#[tokio::test]
async fn a_refusal_of_the_master_is_passed_on() {
    let mut bench = Bench::new().await;
    let digest = Digest::of(b"module");
    bench.modules.fetch(digest);
    let incoming = bench.master.accept_request().await.expect("a request");
    let rejection = Rejection::UnknownBlob { digest };
    incoming.refuse(rejection.clone()).await.expect("the agent listens");
    let why = FetchFailure::Refused { rejection };
    assert_eq!(bench.input().await, Input::BlobFailed { digest, why });
}

#[tokio::test]
async fn a_compiler_that_makes_nothing_is_no_fault_of_the_module() {
    let mut bench = Bench::new().await;
    let module = Digest::of(b"module");
    bench.fetch(module, b"module").await;
    bench.modules.compile(native(module));
    let why = CompileFailure::Failed { why: "the compiler ended with exit status: 1".into() };
    assert_eq!(bench.input().await, Input::CompileFailed { artifact: native(module), why });
}

#[tokio::test]
async fn an_artifact_that_is_there_is_not_made_again() {
    let mut bench = Bench::new().await;
    let module = Digest::of(b"module");
    let (name, path) = bench.modules.artifacts.draft();
    std::fs::write(path, "machine code").expect("written");
    bench.modules.artifacts.seal(&name, &native(module)).expect("sealed");
    bench.modules.compile(native(module));
    assert_eq!(bench.input().await, Input::Compiled { artifact: native(module) });
    // That it is ready is told when it is needed; when the agent starts, only that it lies there.
    let found = found(&bench.modules.folders).expect("listed");
    assert_eq!(kept(&found), CacheFile::Artifact(native(module)));
}

#[tokio::test]
async fn an_artifact_that_nobody_sealed_is_removed_and_made_anew() {
    let mut bench = Bench::new().await;
    let module = Digest::of(b"module");
    bench.fetch(module, b"module").await;
    let artifact = bench.modules.folders.layout.artifact(&native(module));
    std::fs::write(&artifact, "machine code of somebody else, and no seal of ours")
        .expect("written");
    bench.modules.compile(native(module));
    // The compiler was asked, and it makes nothing here.
    let why = CompileFailure::Failed { why: "the compiler ended with exit status: 1".into() };
    assert_eq!(bench.input().await, Input::CompileFailed { artifact: native(module), why });
    assert!(!artifact.exists());
}
