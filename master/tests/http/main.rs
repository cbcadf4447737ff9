//! The scheduler API over HTTP, against a real master and a simulated agent.

#[expect(clippy::unwrap_used, reason = "tests say what went wrong by it")]
#[path = "../../../store/tests/etcd/mod.rs"]
mod etcd;
mod kit;
mod python;
mod several;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use kit::{Agent, Cluster, Stream, Web, soon};
use serde_json::{Value, json};
use skep_protocol::{
    Digest, FrameworkId, Outcome, Source, StatusUpdate, TaskKey, TaskState, Time,
    agent::{ToAgent, ToMaster},
    data::{self, Follow, LogStream},
    framework::{Acknowledgement, LaunchTask},
    operator::PeerKind,
    outcome::Progress,
};
use skep_transport::{Authority, ClusterName, PeerName, log};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Has the agent take the next launch, and names the task.
async fn take_launch(agent: &mut Agent) -> TaskKey {
    match agent.order().await {
        ToAgent::Launch { framework, tasks, .. } => take(agent, framework, &tasks).await,
        order => panic!("no launch: {order:?}"),
    }
}

/// Has the agent take a launch, and names the task.
async fn take(agent: &mut Agent, framework: FrameworkId, tasks: &[LaunchTask]) -> TaskKey {
    let spec = tasks[0].as_ref().expect("a good spec");
    assert_eq!(spec.module, Digest::of(MODULE));
    let key = TaskKey { framework, task: spec.task.clone(), attempt: spec.attempt };
    agent.say(ToMaster::TasksAccepted { tasks: vec![key.clone()] }).await;
    key
}

/// Has the agent tell the end of a task, and what came before.
async fn finish(agent: &mut Agent, key: &TaskKey) {
    let update = |seq, state| StatusUpdate {
        key: key.clone(),
        seq,
        agent: Some(agent.id.clone()),
        state,
        source: Source::Executor,
        at: Time::from_micros(seq),
        usage: None,
        result: b"42".to_vec(),
        last_words: String::new(),
        outputs: Vec::new(),
        missing: Vec::new(),
    };
    let ended = TaskState::Ended(Outcome::Exited { code: 0 });
    let updates = vec![update(1, TaskState::Running), update(2, ended)];
    agent.say(ToMaster::StatusUpdates { updates }).await;
}

async fn push(web: &Web) -> String {
    let request = Request::put("/api/v1/blobs").body(Full::from(MODULE)).expect("a request");
    let response = web.request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer, json!({"digest": Digest::of(MODULE), "bytes": MODULE.len()}));
    answer["digest"].as_str().expect("a digest").into()
}

/// Subscribes and launches one task on the first offer.
async fn launch(web: &Web, agent: &mut Agent) -> (Stream, TaskKey) {
    let module = push(web).await;
    let mut stream = web.subscribe(json!({"info": {"name": "test"}})).await;
    stream.expect("SUBSCRIBED").await;
    let offers = stream.expect("OFFERS").await;
    let offer = &offers["offers"][0]["id"];
    let launch = json!({"tasks": [{"task": "t", "module": module}]});
    let accept = json!({"offers": [offer], "operations": [{"type": "LAUNCH", "launch": launch}]});
    let (status, _) = web.call(&stream.id, json!({"type": "ACCEPT", "accept": accept})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let answered = stream.expect("ANSWERED").await;
    assert_eq!(answered["offer"], *offer);
    assert_eq!(answered["answer"]["type"], "LAUNCHED");
    assert_eq!(answered["answer"]["launched"]["refused"], json!([]));
    let key = take_launch(agent).await;
    // What is left of the agent is offered again meanwhile.
    let mut kinds = [stream.next().await, stream.next().await].map(|event| event.map(|e| e.0));
    kinds.sort();
    assert_eq!(kinds, ["OFFERS", "TASKS_ACCEPTED"].map(|kind| Some(kind.to_owned())));
    (stream, key)
}

#[tokio::test]
async fn a_task_lives_from_its_offer_to_its_acknowledgement() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let mut agent = cluster.agent().await;
    let (mut stream, key) = launch(&web, &mut agent).await;

    finish(&mut agent, &key).await;
    let mut updates = Vec::new();
    while updates.len() < 2 {
        if let (kind, Value::Object(event)) = stream.next().await.expect("an event")
            && kind == "STATUS_UPDATES"
        {
            updates.extend(event["updates"].as_array().expect("updates").clone());
        }
    }
    let states: Vec<_> = updates.iter().map(|update| &update["state"]).collect();
    assert_eq!(states, ["RUNNING", "FINISHED"]);
    assert_eq!(updates[1]["result"], hex::encode("42"));
    assert_eq!(updates[1]["outcome"]["message"], "exited with code 0");

    let acknowledgements = json!([{"key": updates[1]["key"], "seq": updates[1]["seq"]}]);
    let call = json!({"type": "ACKNOWLEDGE",
        "acknowledge": {"acknowledgements": acknowledgements}});
    assert_eq!(web.call(&stream.id, call).await.0, StatusCode::ACCEPTED);
    let acknowledgements = vec![Acknowledgement { key, seq: 2 }];
    assert_eq!(agent.order().await, ToAgent::Acknowledge { number: 1, acknowledgements });

    let call = json!({"type": "TEARDOWN"});
    assert_eq!(web.call(&stream.id, call.clone()).await.0, StatusCode::ACCEPTED);
    while stream.next().await.is_some() {}
    let (status, answer) = web.call(&stream.id, call).await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::CONFLICT, &json!("ended_stream")));
    cluster.master.stop().await;
}

#[tokio::test]
async fn a_blob_comes_back_as_it_was_put() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let path = format!("/api/v1/blobs/{}", push(&web).await);
    let get = |method: &str| Request::builder().method(method).uri(&path).body(Full::default());
    let response = web.request(get("GET").expect("a request")).await.expect("an answer");
    assert_eq!(response.headers()["content-length"], MODULE.len().to_string().as_str());
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(bytes, MODULE);
    let response = web.request(get("HEAD").expect("a request")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let path = format!("/api/v1/blobs/{}", Digest::of(b"another"));
    let (status, answer) = web.ask("GET", &path, "").await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::NOT_FOUND, &json!("unknown_blob")));
}

#[tokio::test]
async fn who_has_no_certificate_of_the_cluster_or_the_wrong_one_gets_nowhere() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let path = "/api/v1/scheduler";
    let (status, answer) = web.without_certificate().ask("POST", path, "{}").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    let agent = cluster.identity(PeerKind::Agent).await;
    let (status, answer) = Web::new(cluster.address(), &agent).ask("POST", path, "{}").await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::FORBIDDEN, &json!("wrong_kind")));

    // Of a cluster with another authority, but told to trust this one.
    let elsewhere = Authority::create(&ClusterName::random());
    let name = PeerName::new(elsewhere.cluster().clone(), PeerKind::Framework, "f").expect("ok");
    let foreign = tempfile::tempdir().expect("a folder");
    elsewhere.issue_own(&name).save(foreign.path()).expect("saved");
    let ours = web.folder.path().join("ca.pem");
    std::fs::copy(ours, foreign.path().join("ca.pem")).expect("copied");
    let foreign = skep_transport::Identity::load(foreign.path()).expect("an identity");
    let request = Request::get("/api/v1/openapi.json").body(Full::default()).expect("a request");
    let refused = Web::new(cluster.address(), &foreign).request(request).await;
    refused.expect_err("a certificate of another cluster was taken");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let path = "/api/v1/scheduler";
    let subscribe = r#"{"type": "SUBSCRIBE", "subscribe": {"info": {"nmae": "x"}}}"#;
    let decline = r#"{"type": "DECLINE", "decline": {"offers": []}}"#;
    let long = " ".repeat(100_000);
    let cases = [
        ("POST", path, "{", 400, "no_json"),
        ("POST", path, long.as_str(), 400, "no_json"),
        ("POST", path, subscribe, 400, "unknown_key"),
        ("POST", path, decline, 400, "invalid"),
        ("GET", path, "", 405, "other_method"),
        ("GET", "/api/v2/scheduler", "", 404, "no_such_path"),
        ("GET", "/api/v1/blobs/sha256:1", "", 400, "invalid"),
        ("GET", "/api/v1/tasks/f/t/1/stdout", "", 404, "unknown_task"),
        ("GET", "/api/v1/tasks/f/t/1/input", "", 400, "invalid"),
        ("GET", "/api/v1/tasks/f/t/1/stdin", "", 405, "other_method"),
        ("PUT", "/api/v1/tasks/f/t/1/stdin", "text", 404, "unknown_task"),
        ("GET", "/api/v1/tasks/f/t/1/stdout?from=3", "", 400, "unknown_key"),
    ];
    for (method, path, body, status, kind) in cases {
        let (found, answer) = web.ask(method, path, body).await;
        assert_eq!((found.as_u16(), &answer["error"]["kind"]), (status, &json!(kind)), "{answer}");
        assert_ne!(answer["error"]["why"], "", "{answer}");
    }
    let (status, answer) = web.call("nowhere", json!({"type": "REVIVE"})).await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::NOT_FOUND, &json!("no_stream")));
    let long = " ".repeat(skep_protocol::bounds::FRAME_BYTES_MAX + 1);
    assert_eq!(web.ask("POST", path, &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Request::post(path).body(Full::from("{}")).expect("a request");
    let response = web.request(request).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_second_subscription_under_an_id_takes_over() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let mut old = web.subscribe(json!({"info": {"name": "test"}})).await;
    let id = old.expect("SUBSCRIBED").await["framework"].clone();

    let stranger = cluster.framework().await;
    let (status, _) = stranger.call(&old.id, json!({"type": "TEARDOWN"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let mut foreign = stranger.subscribe(json!({"framework": id, "info": {}})).await;
    assert_eq!(foreign.expect("REFUSED").await["rejection"]["kind"], "not_yours");
    assert_eq!(foreign.next().await, None);

    let mut new = web.subscribe(json!({"framework": id, "info": {"name": "test"}})).await;
    assert_eq!(new.expect("SUBSCRIBED").await["framework"], id);
    assert_eq!(old.expect("REFUSED").await["rejection"]["kind"], "failed_over");
    assert_eq!(old.next().await, None);
    let (status, _) = web.call(&old.id, json!({"type": "REVIVE"})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, _) = web.call(&new.id, json!({"type": "REVIVE"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_a_broken_stream_was_offered_goes_to_others() {
    let cluster = Cluster::start().await;
    let _agent = cluster.agent().await;
    let web = cluster.framework().await;
    let mut first = web.subscribe(json!({"info": {"name": "first"}})).await;
    first.expect("SUBSCRIBED").await;
    first.expect("OFFERS").await;
    let mut second = web.subscribe(json!({"info": {"name": "second"}})).await;
    second.expect("SUBSCRIBED").await;
    drop(first);
    second.expect("OFFERS").await;
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_hung_up_on() {
    let cluster = Cluster::start().await;
    let mut agent = cluster.agent().await;
    let web = cluster.framework().await;
    let (mut slow, key) = launch(&web, &mut agent).await;
    // The rest of the agent is the slow one's, as long as it counts as connected.
    let other = cluster.framework().await;
    let mut second = other.subscribe(json!({"info": {"name": "second"}})).await;
    second.expect("SUBSCRIBED").await;
    let report =
        |message: &str| Progress { key: key.clone(), done: 1, total: 2, message: message.into() };
    let long = "x".repeat(256);
    let flooding = async {
        // First what fills the system's buffers, then many small ones.
        for reports in std::iter::repeat_n(200, 400).chain(std::iter::repeat(1)) {
            let reports = vec![report(&long); reports];
            agent.say(ToMaster::Progressed { reports }).await;
        }
    };
    tokio::select! {
        () = flooding => unreachable!("it goes on"),
        _ = second.expect("OFFERS") => {}
    }
    let mut heard = 0;
    while slow.next().await.is_some() {
        heard += 1;
    }
    assert!(heard > 0, "nothing of what was sent before came");
}

#[tokio::test]
async fn who_says_nothing_holds_up_nobody_and_is_hung_up_on() {
    let cluster = Cluster::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(cluster.address()).await.expect("a connection"));
    }
    let web = cluster.framework().await;
    web.subscribe(json!({"info": {"name": "test"}})).await.expect("SUBSCRIBED").await;
    for mut silent in silent {
        let mut nothing = Vec::new();
        // Hung up on in one way or another.
        let _ = soon("the end", silent.read_to_end(&mut nothing)).await;
        assert!(nothing.is_empty(), "{nothing:?}");
    }
}

#[tokio::test]
async fn the_output_of_a_task_is_passed_on() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let mut agent = cluster.agent().await;
    let (_stream, key) = launch(&web, &mut agent).await;
    let connection = agent.connection.clone();
    let serving = tokio::spawn(async move {
        let incoming = connection.accept_request().await.expect("a request");
        let data::Request::ReadLog { stream, offset, follow, stream_id, .. } =
            incoming.request.clone()
        else {
            panic!("no wish for a log");
        };
        assert_eq!((stream, offset, follow), (LogStream::Stderr, 3, Follow::UntilEnded));
        let mut to = log::serve(&connection, incoming, stream_id).await.expect("a stream");
        to.write_all(b"lo, world").await.expect("written");
        to.finish().await.expect("finished");
    });
    let path = format!("/api/v1/tasks/{}/t/1/stderr?offset=3&follow=true", key.framework);
    let request = Request::get(&path).body(Full::default()).expect("a request");
    let response = soon("the log", web.request(request)).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(bytes, b"lo, world".as_slice());
    serving.await.expect("served");
    let (status, answer) = cluster.framework().await.ask("GET", &path, "").await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::FORBIDDEN, &json!("not_yours")));
}

#[tokio::test]
async fn a_task_is_fed_by_its_framework_with_the_body_of_a_request() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let mut agent = cluster.agent().await;
    let (_stream, key) = launch(&web, &mut agent).await;
    let connection = agent.connection.clone();
    let taking = tokio::spawn(async move {
        let incoming = connection.accept_request().await.expect("a request");
        assert!(matches!(incoming.request, data::Request::Feed { .. }));
        let (mut bytes, feeder) = incoming.take_bytes().await.expect("it is sent");
        let mut text = String::new();
        bytes.read_to_string(&mut text).await.expect("all of it");
        feeder.fed().await.expect("it is heard");
        text
    });
    let path = format!("/api/v1/tasks/{}/t/1/stdin", key.framework);
    let (status, answer) = cluster.framework().await.ask("PUT", &path, "theirs").await;
    assert_eq!((status, &answer["error"]["kind"]), (StatusCode::FORBIDDEN, &json!("not_yours")));
    let fed = soon("the answer", web.ask("PUT", &path, "some input")).await;
    assert_eq!(fed, (StatusCode::OK, json!({})));
    assert_eq!(taking.await.expect("no panic"), "some input");
}

#[tokio::test]
async fn the_schema_has_every_path_and_method() {
    let cluster = Cluster::start().await;
    let web = cluster.framework().await;
    let (status, schema) = web.without_certificate().ask("GET", "/api/v1/openapi.json", "").await;
    assert_eq!(status, StatusCode::OK);
    let paths = schema["paths"].as_object().expect("paths");
    assert_eq!(paths.len(), 6);
    for (path, methods) in paths {
        let path = path.replace("{attempt}", "1").replace("{stream}", "stdout");
        let path = path.replace(['{', '}'], "");
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"] {
            let (status, answer) = web.ask(method, &path, "").await;
            let is_there = status != StatusCode::METHOD_NOT_ALLOWED;
            let is_shown = methods.get(method.to_ascii_lowercase()).is_some();
            assert_eq!(is_there, is_shown, "{method} {path}");
            assert_ne!(answer["error"]["kind"], "no_such_path", "{path}");
        }
    }
}
