//! A framework and its task talk, over the whole way: framework, master, agent, executor, guest.

use crate::kit::Cluster;
use skep_framework::{
    Cluster as Master,
    prelude::{
        Attempt, Digest, Driver, Offer, Outcome, Rejection, Resources, Scheduler, StatusUpdate,
        TaskId, TaskSpec, TaskState, framework_info,
    },
};
use std::{path::Path, time::Duration};

/// How many messages go there and back.
const ROUNDS: u8 = 20;

/// Sends a task a number, and when it comes back the next one; in the end it kills the task, and
/// sends one more.
struct Talker {
    module: Digest,
    heard: Vec<Vec<u8>>,
    ended: Option<Outcome>,
    refused: Option<Rejection>,
}

fn echo() -> TaskId {
    TaskId::new("echo").unwrap()
}

impl Scheduler for Talker {
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            let resources: Resources = "cpus:1;mem:64".parse().unwrap();
            let mut spec = TaskSpec::new(echo(), self.module, resources);
            spec.policies.kill_grace = Some(Duration::from_secs(60));
            driver.launch(&offer, [spec]);
        }
        driver.suppress();
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        match &update.state {
            TaskState::Running => driver.send_message(&echo(), [0]).unwrap(),
            TaskState::Ended(outcome) => {
                self.ended = Some(outcome.clone());
                driver.send_message(&echo(), *b"too late").unwrap();
            }
            _ => {}
        }
    }

    fn message(&mut self, driver: &mut Driver, task: &TaskId, attempt: Attempt, message: &[u8]) {
        assert_eq!((task, attempt), (&echo(), Attempt::FIRST));
        self.heard.push(message.into());
        match message[0] + 1 {
            ROUNDS => driver.kill(echo()),
            // The longest that a message may be, too.
            next => driver.send_message(&echo(), vec![next; usize::from(next) * 3_449]).unwrap(),
        }
    }

    fn error(&mut self, driver: &mut Driver, rejection: &Rejection) {
        self.refused = Some(rejection.clone());
        driver.stop();
    }
}

#[test]
fn a_framework_and_its_task_send_each_other_messages() {
    let cluster = Cluster::start(&["cpus:1;mem:512"]);
    let folder = cluster.home.path("config/clusters").join(cluster.address.replace(':', "_"));
    let masters = vec![cluster.address.clone()];
    // Any command makes the identity.
    cluster.view("status");
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/echo_messages.wat");
    let guest = wat::parse_file(guest).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let talked = runtime.block_on(async {
        let master = Master::connect_with(&masters, Some(&folder), None).await.unwrap();
        let module = master.push(&guest).await.unwrap();
        let mut talker = Talker { module, heard: Vec::new(), ended: None, refused: None };
        master.run(framework_info("talker"), &mut talker).await.unwrap();
        talker
    });
    let first: Vec<u8> = talked.heard.iter().map(|message| message[0]).collect();
    assert_eq!(first, (0..ROUNDS).collect::<Vec<_>>(), "each comes back once, in order");
    assert_eq!(talked.heard[19].len(), 19 * 3_449);
    let killed = talked.ended.expect("it was told to end, while it waited for a message");
    assert_eq!(killed.to_string(), "killed by its framework");
    let refused = talked.refused.expect("who has ended gets no messages");
    let Rejection::Undelivered { task, .. } = refused else { panic!("{refused}") };
    assert_eq!(task, echo());
}
