//! One test for two: `batch` as a scheduler of this program, and as the guest that the cluster
//! hosts. And what becomes of guests that are none.

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use skep_frameworks::batch::Batch;
use skep_guest_testing::{Guest, Program};
use skep_scheduler::{
    prelude::*,
    testing::{Cluster, ClusterOf, Party},
};
use std::{io::Read as _, path::Path, time::Duration};

/// Two tasks whose results are the input of a third, of which the first fails once.
fn job() -> Value {
    let group = |count: u32| {
        json!({
            "work": {"module": Digest::of(b"module"), "name": "work", "resources":
                {"cpus": 1, "mem": 64}},
            "count": count, "retries": 1,
        })
    };
    let (a, mut b) = (group(2), group(1));
    b["needs"] = json!(["a"]);
    b["input"] = json!("a");
    json!({"submit": {"job": {"name": "j", "groups": {"a": a, "b": b}}}})
}

fn order<P: Party>(cluster: &mut ClusterOf<P>, order: &Value) -> Value {
    let answer = cluster.ask(order.to_string().as_bytes()).expect("an answer at once");
    serde_json::from_slice(&answer.expect("it is taken")).expect("reports")
}

fn a_job_outlives_its_scheduler<P: Party>(
    mut cluster: ClusterOf<P>,
    another: impl FnOnce(&mut ClusterOf<P>),
) {
    order(&mut cluster, &job());
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(cluster.running(), ["j-1.a.0", "j-1.a.1"]);
    cluster.end("j-1.a.0", Outcome::Exited { code: 1 });
    cluster.finish_with("j-1.a.1", b"one");
    cluster.disconnect();
    another(&mut cluster);
    cluster.offer("n2", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["j-1.a.0"]);
    let tries: Vec<u32> = cluster.launched().iter().map(|spec| spec.attempt.0).collect();
    assert_eq!(tries, [1, 1, 2]);
    cluster.finish_with("j-1.a.0", b"zero ");
    cluster.advance(Duration::from_secs(300));
    cluster.offer("n2", "cpus:1;mem:64");
    let joined = &cluster.launched()[0];
    assert_eq!(joined.task.as_str(), "j-1.b.0");
    let input = joined.grants.stdin.and_then(|digest| cluster.blob(&digest));
    assert_eq!(input, Some(&b"zero one"[..]));
    cluster.finish("j-1.b.0");
    assert_eq!(order(&mut cluster, &json!({"show": {"job": "j"}}))[0]["standing"], "done");
    assert_eq!(cluster.ending(), None);
}

#[test]
fn a_job_outlives_its_scheduler_natively() {
    let cluster = Cluster::new(framework_info("batch"), Batch::serving());
    a_job_outlives_its_scheduler(cluster, |cluster| cluster.restart(Batch::serving()));
}

#[test]
fn a_job_outlives_its_scheduler_as_a_guest() {
    let program = batch();
    let cluster = ClusterOf::with(framework_info("batch"), program.start());
    a_job_outlives_its_scheduler(cluster, |cluster| cluster.replace(program.start()));
}

/// `batch` as it lies in the repository.
fn batch() -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frameworks/batch.wasm.gz");
    let file = std::fs::File::open(path).expect("it is committed");
    let mut module = Vec::new();
    GzDecoder::new(file).read_to_end(&mut module).expect("it is whole");
    Program::new(&module).expect("a module")
}

#[test]
fn a_guest_comes_back_after_the_connection_broke() {
    let mut cluster = ClusterOf::with(framework_info("batch"), batch().start());
    order(&mut cluster, &job());
    cluster.disconnect();
    cluster.reconnect();
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["j-1.a.0", "j-1.a.1"]);
}

fn wat(text: &str) -> Program {
    Program::new(&wat::parse_str(text).expect("a text of WebAssembly")).expect("a module")
}

#[test]
fn a_guest_that_ends_by_itself_is_done() {
    let guest = wat("(module (memory (export \"memory\") 1) (func (export \"_start\")))").start();
    let cluster = ClusterOf::<Guest>::with(framework_info("short"), guest);
    assert_eq!(cluster.ending(), Some(&Ending::Done));
}

#[test]
#[should_panic(expected = "the guest has died")]
fn a_guest_that_traps_fails_its_test() {
    let guest = wat("(module (func (export \"_start\") unreachable))").start();
    drop(ClusterOf::<Guest>::with(framework_info("trap"), guest));
}

#[test]
fn what_is_no_module_is_refused() {
    Program::new(b"no module").expect_err("it is none");
}
