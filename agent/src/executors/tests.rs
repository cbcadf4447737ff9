//! Processes that are no executors: their end is told all the same. Real ones are in the tests of
//! the cluster.

use super::*;
use crate::{config::Sandbox, folders::Folders};
use skep_agent_core::Profile;
use skep_protocol::{FrameworkId, Incarnation};
use std::sync::Mutex;
use tempfile::TempDir;

/// Starts `program` as an executor and waits for how it ended.
async fn end_of(program: &str) -> (String, TempDir) {
    let outer = tempfile::tempdir().expect("a folder");
    let folders = Folders::open(outer.path(), outer.path(), "f00").expect("folders");
    let folders = Arc::new(folders);
    let artifacts = Arc::new(Artifacts::new(folders.clone()).expect("a key"));
    let (inbox, mut events) = mpsc::channel(8);
    let launcher = Launcher {
        program: program.into(),
        sandbox: Sandbox::BestEffort,
        users: None,
        folders,
        group: None,
        alone_max: Duration::from_secs(60),
        choosing: Mutex::default(),
    };
    let mut executors =
        Executors::new(launcher, artifacts, Feeds::default(), &[], inbox).expect("a folder");
    let framework = FrameworkId::new("f1").expect("an id");
    let key = ExecutorKey { framework, profile: Profile::default() };
    executors.start(key.clone(), ExecutorRun { incarnation: Incarnation(1), count: 1 });
    match events.recv().await {
        Some(Event::Input(Input::ExecutorEnded { executor, why })) => {
            assert_eq!(executor, key);
            (why, outer)
        }
        _ => panic!("the first input is not the end"),
    }
}

#[tokio::test]
async fn an_executor_that_cannot_be_started_has_ended() {
    let (why, _) = end_of("/nonexistent/skep").await;
    assert!(why.contains("No such file"), "{why}");
}

#[tokio::test]
async fn a_process_that_ends_at_once_is_told_by_its_status() {
    assert_eq!(end_of("/bin/false").await.0, "exit status: 1");
}

#[tokio::test]
async fn what_an_executor_complains_about_is_kept_in_its_log() {
    // It knows none of the options of an executor.
    let (why, outer) = end_of("/bin/cat").await;
    assert_eq!(why, "exit status: 1");
    let log = std::fs::read_to_string(outer.path().join("executors/f1.log")).expect("a log");
    assert!(log.contains("--root"), "{log}");
}
