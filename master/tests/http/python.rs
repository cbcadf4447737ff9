//! The Python package, against a real master.

use crate::{
    finish,
    kit::{Agent, Cluster, soon},
    take, take_launch,
};
use skep_protocol::{agent::ToAgent, data, operator::PeerKind};
use skep_transport::{Authority, ClusterName, PeerName, log};
use std::{collections::BTreeSet, path::Path, process::Stdio};
use tokio::{io::AsyncWriteExt as _, process::Command};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", root().join("python/skep/src")).env_remove("SKEP_IDENTITY");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

/// Answers every wish for what a task wrote.
fn serve_output(agent: &Agent) {
    let connection = agent.connection.clone();
    tokio::spawn(async move {
        while let Some(incoming) = connection.accept_request().await {
            let data::Request::ReadLog { stream_id, .. } = incoming.request else {
                panic!("no wish for a log");
            };
            let mut to = log::serve(&connection, incoming, stream_id).await.expect("a stream");
            to.write_all(b"Hello, world!\n").await.expect("written");
            to.finish().await.expect("finished");
        }
    });
}

#[tokio::test]
async fn the_example_in_python_runs_a_task() {
    let cluster = Cluster::start().await;
    let mut agent = cluster.agent().await;
    let folder = tempfile::tempdir().expect("a folder");
    cluster.identity(PeerKind::Framework).await.save(folder.path()).expect("saved");
    std::fs::write(folder.path().join("hello.wasm"), crate::MODULE).expect("written");
    let example = python()
        .arg(root().join("examples/python/hello.py"))
        .arg(format!("https://{}", cluster.address()))
        .env("SKEP_IDENTITY", folder.path())
        .env("HELLO_TASKS", "2")
        .current_dir(folder.path())
        .spawn()
        .expect("python3");
    serve_output(&agent);
    let mut acknowledged = BTreeSet::new();
    loop {
        match agent.order().await {
            ToAgent::Launch { framework, tasks, .. } => {
                let key = take(&mut agent, framework, &tasks).await;
                finish(&mut agent, &key).await;
            }
            ToAgent::Acknowledge { acknowledgements, .. } => {
                acknowledged.extend(acknowledgements.into_iter().map(|ack| (ack.key, ack.seq)));
            }
            // It has had enough, and acknowledges nothing any more.
            ToAgent::RemoveFramework { .. } => break,
            order => panic!("{order:?}"),
        }
    }
    assert_eq!(acknowledged.len(), 1, "{acknowledged:?}");
    let ended = soon("the end of the example", example.wait_with_output()).await.expect("its end");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{stdout}{stderr}");
    assert_eq!(stdout.matches("FINISHED").count(), 2, "{stdout}{stderr}");
    assert_eq!(stdout.matches("Hello, world!\n").count(), 2, "{stdout}{stderr}");
}

/// As it stands in the README, but for the port, and with the identity that `skep` keeps.
#[tokio::test]
async fn the_first_program_of_the_readme_launches_a_task() {
    let cluster = Cluster::start().await;
    let mut agent = cluster.agent().await;
    let folder = tempfile::tempdir().expect("a folder");
    let kept = cluster.address().to_string().replace(':', "_");
    let kept = folder.path().join("clusters").join(kept);
    cluster.identity(PeerKind::Framework).await.save(&kept).expect("saved");
    std::fs::write(folder.path().join("hello.wasm"), crate::MODULE).expect("written");
    let page = std::fs::read_to_string(root().join("README.md")).expect("the page");
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let program = program.expect("a program in Python");
    assert!(program.contains("\"https://127.0.0.1:5050\""), "{program}");
    let program = program.replace("127.0.0.1:5050", &cluster.address().to_string());
    let mut running = python()
        .args(["-c", &format!("import skep\n{program}")])
        .env("SKEP_CONFIG_DIR", folder.path())
        .current_dir(folder.path())
        .spawn()
        .expect("python3");
    let key = take_launch(&mut agent).await;
    assert!(key.task.as_str().starts_with("hello-"), "{key}");
    running.kill().await.expect("killed");
}

#[tokio::test]
async fn the_tests_of_the_package_pass() {
    let folder = root().join("python/skep");
    let tests = python()
        .args(["-m", "unittest", "discover", "--start-directory", "tests"])
        .current_dir(folder)
        .output();
    let ended = soon("the tests of the package", tests).await.expect("python3");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn python_does_not_trust_a_master_of_another_cluster() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    cluster.identity(PeerKind::Framework).await.save(folder.path()).expect("saved");
    let authority = Authority::create(&ClusterName::random());
    let name = PeerName::new(authority.cluster().clone(), PeerKind::Framework, "f").expect("ok");
    let elsewhere = folder.path().join("elsewhere");
    authority.issue_own(&name).save(&elsewhere).expect("saved");
    std::fs::copy(elsewhere.join("ca.pem"), folder.path().join("ca.pem")).expect("copied");
    let program = "import sys, skep; info = skep.FrameworkInfo(name='test'); \
                   print(skep.SchedulerDriver(skep.Scheduler(), info, sys.argv[1]).run())";
    let ran = python()
        .args(["-c", program, &cluster.address().to_string()])
        .env("SKEP_IDENTITY", folder.path())
        .output();
    let ended = soon("the end of the program", ran).await.expect("python3");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(stderr.contains("is no master of this identity's cluster"), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "Status.ABORTED\n", "{stderr}");
}
