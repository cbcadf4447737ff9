//! Orders and files over a real socket, sent in unkind ways.

use super::*;
use rustix::{
    io::{FdFlags, fcntl_getfd},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use skep_protocol::{
    ids::{AgentId, Attempt, Digest, FrameworkId, TaskId, TaskKey},
    outcome::KilledBy,
    resources::Amount,
    task::{Diagnostics, Grants, Limits, Policies},
};
use std::{
    io::{IoSlice, Read as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net,
    },
};

fn pair() -> (net::UnixStream, Orders) {
    let (agent, executor) = net::UnixStream::pair().expect("a pair of sockets");
    executor.set_nonblocking(true).expect("set");
    let (reader, writer) = UnixStream::from_std(executor).expect("registered").into_split();
    // Dropped, it would end the writing direction, which no test here needs.
    writer.forget();
    (agent, Orders::new(reader))
}

fn key(task: &str) -> TaskKey {
    let framework = FrameworkId::new("framework").expect("an id");
    TaskKey { framework, task: TaskId::new(task).expect("an id"), attempt: Attempt::FIRST }
}

fn guest(task: &str, module: &str, stdin: Option<&str>) -> StartGuest {
    let stdin = stdin.map(|text| Digest::of(text.as_bytes()));
    StartGuest {
        key: key(task),
        agent: AgentId::new("agent").expect("an id"),
        module: Digest::of(module.as_bytes()),
        name: "task".into(),
        args: Vec::new(),
        index: None,
        cpus: Amount::units(1),
        memory_bytes: 1 << 20,
        limits: Limits::default(),
        grants: Grants { stdin, ..Grants::default() },
        inputs: Vec::new(),
        diagnostics: Diagnostics::default(),
        policies: Policies::default(),
        checkpoint: Vec::new(),
        sandbox: "/nowhere".into(),
    }
}

fn frame(order: &ToExecutor) -> Vec<u8> {
    use tokio_util::codec::Encoder as _;
    let mut bytes = BytesMut::new();
    framing().encode(order.encode(), &mut bytes).expect("it fits a frame");
    bytes.to_vec()
}

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file.rewind().expect("rewound");
    file
}

fn send(agent: &net::UnixStream, bytes: &[u8], files: &[&File]) {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(START_FILES_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    }
    let sent = sendmsg(agent, &[IoSlice::new(bytes)], &mut control, SendFlags::empty());
    assert_eq!(sent.expect("sent"), bytes.len());
}

fn text(mut file: &File) -> String {
    let mut text = String::new();
    file.rewind().expect("rewound");
    file.read_to_string(&mut text).expect("read");
    text
}

async fn start(orders: &mut Orders) -> Vec<(StartGuest, GuestFiles)> {
    match orders.next().await.expect("an order").expect("the agent is there") {
        Order::Start(guests) => guests,
        Order::Other(order) => panic!("{order:?}"),
    }
}

async fn error(orders: &mut Orders) -> FilesError {
    match orders.next().await {
        Err(ServeError::Files(error)) => error,
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[tokio::test]
async fn a_frame_that_is_cut_anywhere_starts_its_guests_with_their_files() {
    let guests = vec![guest("a", "m", Some("in")), guest("b", "m", None), guest("c", "n", None)];
    let frame = frame(&ToExecutor::Start { guests: guests.clone() });
    let (m, stdin, n) = (file("m"), file("in"), file("n"));
    for cut in 1..frame.len() {
        let (agent, mut orders) = pair();
        send(&agent, &frame[..cut], &[&m, &stdin, &n]);
        let sender = async {
            tokio::task::yield_now().await;
            send(&agent, &frame[cut..], &[]);
        };
        let (started, ()) = tokio::join!(start(&mut orders), sender);
        let seen: Vec<_> = started
            .iter()
            .map(|(guest, files)| {
                (guest.clone(), text(&files.artifact), files.stdin.as_ref().map(text))
            })
            .collect();
        let expected = guests.iter().cloned().zip([
            ("m".to_owned(), Some("in".to_owned())),
            ("m".to_owned(), None),
            ("n".to_owned(), None),
        ]);
        assert_eq!(seen, expected.map(|(g, (a, s))| (g, a, s)).collect::<Vec<_>>());
        assert!(Arc::ptr_eq(&started[0].1.artifact, &started[1].1.artifact));
        let flags = fcntl_getfd(&started[0].1.artifact).expect("it is open");
        assert!(flags.contains(FdFlags::CLOEXEC));
    }
}

#[tokio::test]
async fn several_frames_in_one_message_take_their_files_in_turn() {
    let (agent, mut orders) = pair();
    let mut bytes = frame(&ToExecutor::Start { guests: vec![guest("a", "m", None)] });
    bytes.extend(frame(&ToExecutor::Kill { key: key("a"), by: KilledBy::Operator }));
    bytes.extend(frame(&ToExecutor::Start { guests: vec![guest("b", "n", Some("in"))] }));
    send(&agent, &bytes, &[&file("m"), &file("n"), &file("in")]);
    assert_eq!(text(&start(&mut orders).await[0].1.artifact), "m");
    let kill = orders.next().await.expect("an order");
    assert!(matches!(kill, Some(Order::Other(ToExecutor::Kill { .. }))));
    let [(_, GuestFiles { artifact, stdin: Some(stdin), .. })] = &start(&mut orders).await[..]
    else {
        panic!("not the guest");
    };
    assert_eq!((text(artifact), text(stdin)), ("n".into(), "in".into()));
    drop(agent);
    assert!(orders.next().await.expect("an orderly end").is_none());
}

#[tokio::test]
async fn guests_that_come_one_by_one_share_an_artifact_while_one_of_them_is_there() {
    let (agent, mut orders) = pair();
    let bytes = frame(&ToExecutor::Start { guests: vec![guest("a", "m", None)] });
    send(&agent, &bytes, &[&file("m")]);
    let first = start(&mut orders).await;
    send(&agent, &bytes, &[&file("m")]);
    let second = start(&mut orders).await;
    assert!(Arc::ptr_eq(&first[0].1.artifact, &second[0].1.artifact));
}

#[tokio::test]
async fn an_order_without_its_files_ends_the_conversation() {
    let (agent, mut orders) = pair();
    let bytes = frame(&ToExecutor::Start { guests: vec![guest("a", "m", Some("in"))] });
    send(&agent, &bytes, &[&file("m")]);
    assert_eq!(error(&mut orders).await, FilesError::Missing { needed: 2, came: 1 });
}

#[tokio::test]
async fn files_that_no_order_needs_end_the_conversation() {
    let (agent, mut orders) = pair();
    let bytes = frame(&ToExecutor::Start { guests: vec![guest("a", "m", None)] });
    send(&agent, &bytes, &[&file("m"), &file("more"), &file("still more")]);
    start(&mut orders).await;
    assert_eq!(error(&mut orders).await, FilesError::Unasked(2));
}
