//! Blobs and logs: whole, checked, and in nobody's way.

mod common;

use common::{Cluster, soon};
use skep_protocol::{
    Digest, Rejection, TaskKey,
    agent::{ToAgent, ToMaster},
    bounds::BLOB_BYTES_MAX,
    data::{Follow, LogStream, Request, Response, StreamHeader},
    ids::{Attempt, FrameworkId, TaskId},
};
use skep_transport::{Connection, RequestError, blob, blob::BlobError, log};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

const SIZE: usize = 20 << 20;

/// Bytes that do not repeat with any power of two.
fn content() -> Vec<u8> {
    (0..SIZE).map(|n| (n % 251) as u8).collect()
}

/// Takes one `PutBlob` as a master does; returns what came.
async fn take_put(peer: &Connection) -> Result<Vec<u8>, BlobError> {
    let mut incoming = peer.accept_request().await.expect("a request");
    let Request::PutBlob { digest, size } = incoming.request else {
        panic!("unexpected: {:?}", incoming.request);
    };
    let mut taken = Vec::new();
    match blob::take_put(peer, &mut incoming, digest, size, &mut taken).await {
        Ok(()) => incoming.respond(&Response::Stored).await.expect("answered"),
        Err(error) => {
            let rejection = Rejection::invalid("blob", error.to_string());
            // A peer that found the fault itself has left already.
            let _ = incoming.refuse(rejection).await;
            return Err(error);
        }
    }
    Ok(taken)
}

#[tokio::test]
async fn a_blob_of_twenty_mebibytes_arrives_whole_both_ways() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let content = content();
    let digest = Digest::of(&content);

    let put = blob::put(&agent, digest, SIZE as u64, content.as_slice());
    let (put, taken) = soon(async { tokio::join!(put, take_put(&master)) }).await;
    put.expect("stored");
    let taken = taken.expect("taken");
    assert!(taken == content, "the bytes differ");

    let serve = async {
        let incoming = master.accept_request().await.expect("a request");
        assert_eq!(incoming.request, Request::FetchBlob { digest });
        blob::serve_fetch(&master, incoming, digest, SIZE as u64, taken.as_slice()).await
    };
    let mut fetched = Vec::new();
    let fetch = blob::fetch(&agent, digest, &mut fetched);
    let (fetch, serve) = soon(async { tokio::join!(fetch, serve) }).await;
    fetch.expect("fetched");
    serve.expect("served");
    assert!(fetched == content, "the bytes differ");
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_again() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let digest = Digest::of(b"module");
    let put = blob::put(&agent, digest, 6, broken_source());
    let answer = async {
        let incoming = master.accept_request().await.expect("a request");
        incoming.respond(&Response::Stored).await.expect("answered");
    };
    soon(async { tokio::join!(put, answer) }).await.0.expect("stored");
}

/// A source whose reading ends at once, for blobs that must not be read.
fn broken_source() -> impl tokio::io::AsyncRead + Unpin {
    let (ours, theirs) = tokio::io::duplex(1);
    drop(theirs);
    ours
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_refused_on_both_sides() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let (claimed, real) = (Digest::of(b"good"), Digest::of(b"evil"));
    let put = blob::put(&agent, claimed, 4, b"evil".as_slice());
    let (put, taken) = soon(async { tokio::join!(put, take_put(&master)) }).await;
    assert!(matches!(taken, Err(BlobError::WrongDigest { digest, found })
        if (digest, found) == (claimed, real)));
    let Err(BlobError::Request(RequestError::Refused(Rejection::Invalid { why, .. }))) = put else {
        panic!("it was not refused: {put:?}");
    };
    assert!(why.contains(&real.to_string()), "{why}");
}

#[tokio::test]
async fn a_source_that_is_shorter_or_longer_than_said_is_cut() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    for said in [5, 7] {
        let put = blob::put(&agent, Digest::of(b"module"), said, b"module".as_slice());
        let (put, taken) = soon(async { tokio::join!(put, take_put(&master)) }).await;
        assert!(taken.is_err(), "{said} bytes were taken");
        assert!(put.is_err(), "{said} bytes were stored");
    }
}

#[tokio::test]
async fn a_blob_that_is_larger_than_any_may_be_is_refused_before_it_is_sent() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let source = broken_source();
    let put = blob::put(&agent, Digest::of(b""), BLOB_BYTES_MAX + 1, source);
    let (put, taken) = soon(async { tokio::join!(put, take_put(&master)) }).await;
    assert!(matches!(taken, Err(BlobError::TooLarge { .. })));
    assert!(matches!(put, Err(BlobError::Request(RequestError::Refused(_)))), "{put:?}");
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_a_refusal() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let digest = Digest::of(b"lost");
    let mut nothing = Vec::new();
    let fetch = blob::fetch(&agent, digest, &mut nothing);
    let answer = async {
        let incoming = master.accept_request().await.expect("a request");
        incoming.refuse(Rejection::UnknownBlob { digest }).await.expect("refused");
    };
    let (fetched, ()) = soon(async { tokio::join!(fetch, answer) }).await;
    let refusal = RequestError::Refused(Rejection::UnknownBlob { digest });
    assert!(matches!(fetched, Err(BlobError::Request(error)) if error == refusal));
}

#[tokio::test]
async fn a_blob_that_nobody_reads_does_not_delay_control_messages() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let content = content();
    let digest = Digest::of(&content);
    let mut expected = agent.expect_blob(digest);
    // The agent takes the stream and does not read it: its window fills, and stays full.
    let stuck = blob::send(&master, digest, SIZE as u64, content.as_slice());
    tokio::pin!(stuck);
    let control = async {
        let (_, stream) = expected.arrived().await.expect("a stream");
        let (mut says, _keep) = master.control::<ToAgent, ToMaster>().expect("control");
        let (answers, mut hears) = agent.control::<ToMaster, ToAgent>().expect("control");
        let recall = ToAgent::Recall { allocation: skep_protocol::AllocationId(1) };
        for _ in 0..100 {
            says.send(&recall).await.expect("sent");
            assert_eq!(hears.recv().await, Ok(Some(recall.clone())));
        }
        answers.finish().await.expect("finished");
        stream
    };
    let mut stream = soon(async {
        tokio::select! {
            sent = &mut stuck => panic!("the blob was not stuck: {sent:?}"),
            stream = control => stream,
        }
    })
    .await;
    let mut received = Vec::new();
    let receive = blob::receive(&mut stream, digest, SIZE as u64, &mut received);
    let (sent, received) = soon(async { tokio::join!(stuck, receive) }).await;
    sent.expect("sent");
    received.expect("received");
}

fn key() -> TaskKey {
    let framework = FrameworkId::new("f").expect("an id");
    TaskKey { framework, task: TaskId::new("t").expect("an id"), attempt: Attempt::FIRST }
}

#[tokio::test]
async fn two_logs_at_once_are_not_mixed_up_and_a_cut_one_is_not_taken_for_whole() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let (seen, both_seen) = oneshot::channel();
    let ask = |stream| log::read(&agent, key(), stream, 0, Follow::UntilEnded);
    let serve = async {
        let mut cut = None;
        for _ in 0..2 {
            let incoming = master.accept_request().await.expect("a request");
            let Request::ReadLog { stream, stream_id, .. } = incoming.request else {
                panic!("unexpected: {:?}", incoming.request);
            };
            let mut out = log::serve(&master, incoming, stream_id).await.expect("a stream");
            out.write_all(format!("{stream:?}").as_bytes()).await.expect("written");
            match stream {
                LogStream::Stdout => out.finish().await.expect("all arrived"),
                LogStream::Stderr | LogStream::Core => cut = Some(out),
            }
        }
        both_seen.await.expect("the reader is there");
        drop(cut);
    };
    let read = async {
        let (stdout, stderr) = tokio::join!(ask(LogStream::Stdout), ask(LogStream::Stderr));
        let (mut stdout, mut stderr) = (stdout.expect("a log"), stderr.expect("a log"));
        let mut text = String::new();
        stdout.read_to_string(&mut text).await.expect("whole");
        assert_eq!(text, "Stdout");
        let mut bytes = [0; 6];
        stderr.read_exact(&mut bytes).await.expect("the first bytes");
        assert_eq!(&bytes, b"Stderr");
        seen.send(()).expect("the writer is there");
        let cut = stderr.read_to_string(&mut text).await;
        assert_eq!(cut.expect_err("cut").kind(), std::io::ErrorKind::ConnectionReset);
    };
    soon(async { tokio::join!(serve, read) }).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_before_its_first_byte_does_not_leave_its_asker_waiting() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let serve = async {
        let incoming = master.accept_request().await.expect("a request");
        let digest = Digest::of(b"module");
        blob::serve_fetch(&master, incoming, digest, 6, broken_source()).await
    };
    let mut nothing = Vec::new();
    let fetch = blob::fetch(&agent, Digest::of(b"module"), &mut nothing);
    let (served, fetched) = soon(async { tokio::join!(serve, fetch) }).await;
    assert!(matches!(served, Err(BlobError::WrongSize { size: 6, found: 0, .. })), "{served:?}");
    assert!(fetched.is_err());
}

#[tokio::test]
async fn who_leaves_a_log_stops_it_and_nothing_else() {
    let mut cluster = Cluster::start();
    let (agent, master) = soon(cluster.connect("a1")).await;
    let serve = async {
        let incoming = master.accept_request().await.expect("a request");
        let Request::ReadLog { stream_id, .. } = incoming.request else {
            panic!("unexpected: {:?}", incoming.request);
        };
        let mut out = log::serve(&master, incoming, stream_id).await.expect("a stream");
        while out.write_all(b"and on and on\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let log = log::read(&agent, key(), LogStream::Stdout, 0, Follow::UntilEnded).await;
        let mut line = [0; 14];
        log.expect("a log").read_exact(&mut line).await.expect("a line");
    };
    soon(async { tokio::join!(serve, read) }).await;

    // A stream that nobody has asked for is stopped too, and the connection goes on.
    let header = StreamHeader::Log { stream_id: 77 };
    let mut unwanted = soon(agent.open_bytes(&header)).await.expect("a stream");
    let stopped = soon(async {
        loop {
            if let Err(error) = unwanted.write_all(b"x").await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(stopped.kind(), std::io::ErrorKind::ConnectionReset);
    let put = blob::put(&agent, Digest::of(b"still there"), 11, b"still there".as_slice());
    let (put, _) = soon(async { tokio::join!(put, take_put(&master)) }).await;
    put.expect("stored");
}
