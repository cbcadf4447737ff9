//! Files that groups pass on, by digest.

use super::*;
use crate::batch::{FileInput, FileSource};
use skep_protocol::task::{Form, Input};

/// What a task is said to have left under this name.
fn left(task: &str, guest: &str) -> Digest {
    Digest::of(format!("{task}/{guest}").as_bytes())
}

fn from(group: &str, output: &str, guest: &str) -> FileInput {
    let source = FileSource::Output { group: group.into(), output: output.into() };
    FileInput { guest: guest.into(), source }
}

fn blob(guest: &str) -> FileInput {
    let source = FileSource::Blob { digest: Digest::of(b"blob"), form: Form::Folder };
    FileInput { guest: guest.into(), source }
}

fn input(digest: Digest, guest: &str) -> Input {
    Input { digest, guest: guest.into(), form: Form::File }
}

fn making(count: u64, outputs: &[&str], inputs: &[FileInput]) -> Group {
    let outputs = outputs.iter().map(|output| (*output).to_owned()).collect();
    Group { outputs, inputs: inputs.to_vec(), ..group(count, &[]) }
}

/// One makes a file, three each another of it, one takes all of these and what nobody made.
fn graph() -> Job {
    job(
        "j",
        &[
            ("a", making(1, &["out"], &[])),
            ("b", making(3, &["b/{}.png"], &[from("a", "out", "in")])),
            ("c", making(3, &["c"], &[from("b", "b/{}.png", "own.png")])),
            ("d", making(1, &["d"], &[from("c", "c", "all/{}"), blob("conf")])),
        ],
    )
}

fn finish_all(cluster: &mut Cluster<Batch>) {
    cluster.running().iter().for_each(|task| cluster.finish(task));
}

/// The inputs of the tasks that are launched on an offer, in their order.
fn inputs(cluster: &mut Cluster<Batch>) -> Vec<Vec<Input>> {
    cluster.launched();
    cluster.offer("n1", "cpus:4;mem:256");
    let mut specs = cluster.launched();
    specs.sort_by_key(|spec| spec.task.clone());
    specs.iter().for_each(|spec| spec.check().expect("it may have them"));
    specs.into_iter().map(|spec| spec.inputs).collect()
}

#[test]
fn a_group_takes_what_another_leaves_also_after_a_restart() {
    let mut cluster = serving();
    submit(&mut cluster, graph());
    assert_eq!(inputs(&mut cluster), [vec![]]);
    finish_all(&mut cluster);
    cluster.restart(Batch::serving());
    let out = || vec![input(left("j-1.a.0", "out"), "in")];
    assert_eq!(inputs(&mut cluster), [out(), out(), out()]);
    finish_all(&mut cluster);
    let own = |place: u64| {
        let digest = left(&format!("j-1.b.{place}"), &format!("b/{place}.png"));
        vec![input(digest, "own.png")]
    };
    assert_eq!(inputs(&mut cluster), [own(0), own(1), own(2)]);
    finish_all(&mut cluster);
    let one = |place: u64| input(left(&format!("j-1.c.{place}"), "c"), &format!("all/{place}"));
    let conf = Input { form: Form::Folder, ..input(Digest::of(b"blob"), "conf") };
    assert_eq!(inputs(&mut cluster), [vec![one(0), one(1), one(2), conf]]);
    finish_all(&mut cluster);
    cluster.restart(Batch::serving());
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    let reports = order(&mut cluster, &Order::Outputs { job: "j".into() }).expect("known");
    let outputs = &reports[0].outputs;
    let free: Vec<_> = outputs.iter().filter(|output| !output.taken).collect();
    assert_eq!(outputs.len(), 8);
    assert_eq!(free.len(), 1);
    assert_eq!((free[0].group.as_str(), free[0].output.guest.as_str()), ("d", "d"));
    assert_eq!(free[0].output.digest, left("j-1.d.0", "d"));
    // The next of its name takes their place.
    submit(&mut cluster, job("j", &[("a", group(1, &[]))]));
    assert!(!cluster.state().keys().any(|key| key.starts_with("o/")));
}

/// What failed attempts of a job have left: task, attempt, name.
fn of_failures(cluster: &mut Cluster<Batch>, job: &str) -> Vec<(u64, u32, String)> {
    let reports = order(cluster, &Order::Outputs { job: job.into() }).expect("known");
    let all = reports[0].failed_outputs.iter();
    all.map(|left| (left.place, left.attempt.attempt, left.output.guest.clone())).collect()
}

#[test]
fn what_failed_attempts_leave_is_kept_as_such_and_given_to_no_task() {
    let mut cluster = serving();
    let a = Group { retries: 1, ..making(2, &["{}.log", "core"], &[]) };
    let b = making(2, &[], &[from("a", "{}.log", "in")]);
    submit(&mut cluster, job("j", &[("a", a), ("b", b)]));
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.end_leaving("j-1.a.0", Outcome::Exited { code: 3 }, &["0.log"]);
    cluster.end_leaving("j-1.a.1", Outcome::OutOfFuel { limit: 5 }, &[]);
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.end_leaving("j-1.a.1", Outcome::OutOfFuel { limit: 5 }, &["1.log", "core"]);
    let left = [(0, 1, "0.log"), (1, 2, "1.log"), (1, 2, "core")];
    let left = left.map(|(place, attempt, guest)| (place, attempt, guest.to_owned()));
    assert_eq!(of_failures(&mut cluster, "j"), left);
    cluster.restart(Batch::serving());
    assert_eq!(of_failures(&mut cluster, "j"), left);
    cluster.finish("j-1.a.0");
    let report = &order(&mut cluster, &Order::Outputs { job: "j".into() }).expect("known")[0];
    assert_eq!(report.standing, Standing::Failed);
    assert_eq!(report.failures, ["j-1.a.1: out of fuel: it used up its 5 units"]);
    let done: Vec<_> = report.outputs.iter().map(|left| left.output.digest).collect();
    assert_eq!(done, [left_of("0.log"), left_of("core")]);
    assert_eq!(of_failures(&mut cluster, "j"), left, "the job is over");
    submit(&mut cluster, job("j", &[("a", group(1, &[]))]));
    assert!(!cluster.state().keys().any(|key| key.starts_with("f/")));
}

fn left_of(guest: &str) -> Digest {
    left("j-1.a.0", guest)
}

#[test]
fn an_output_that_a_task_lacks_is_named_with_its_failure() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", making(1, &["out", "log"], &[]))]));
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.end_leaving("j-1.a.0", Outcome::Exited { code: 3 }, &["log"]);
    let report = &order(&mut cluster, &Order::Show { job: "j".into() }).expect("known")[0];
    let why = "j-1.a.0: exited with code 3; its output \"out\" is not there";
    assert_eq!(report.failures, [why]);
    assert_eq!(of_failures(&mut cluster, "j"), [(0, 1, "log".to_owned())]);
}

#[test]
fn of_failed_attempts_the_last_two_hundred_outputs_are_kept() {
    let mut cluster = serving();
    let a = Group { retries: 300, ..making(1, &["out"], &[]) };
    submit(&mut cluster, job("j", &[("a", a)]));
    for _ in 0..250 {
        cluster.offer("n1", "cpus:1;mem:64");
        cluster.end_leaving("j-1.a.0", Outcome::Exited { code: 1 }, &["out"]);
    }
    let kept: Vec<u32> = of_failures(&mut cluster, "j").into_iter().map(|left| left.1).collect();
    assert_eq!(kept, (51..=250).collect::<Vec<_>>());
    assert_eq!(cluster.state().keys().filter(|key| key.starts_with("f/")).count(), 200);
}

#[test]
fn files_that_cannot_come_are_refused() {
    let refused = |groups: &[(&str, Group)]| {
        let job = job("j", groups);
        let fault = job.check().and_then(|()| job.check_kept()).expect_err("a fault");
        (fault.field, fault.why)
    };
    let a = || ("a", making(2, &["out"], &[]));
    let with = |inputs: &[FileInput]| ("b", making(3, &[], inputs));
    let (field, why) = refused(&[a(), with(&[from("x", "out", "in")])]);
    assert_eq!((field, why.as_str()), ("inputs", "there is no group \"x\": there are a, b"));
    let (_, why) = refused(&[a(), with(&[from("a", "oat", "in")])]);
    assert_eq!(why, "the group a has no output \"oat\": it has out");
    let (_, why) = refused(&[a(), with(&[from("a", "out", "in")])]);
    assert!(why.contains("put {} there"), "{why}");
    job("j", &[a(), with(&[from("a", "out", "in/{}")])]).check().expect("each has its name");
    let (_, why) = refused(&[a(), with(&[blob("../x")])]);
    assert!(why.contains("no path below"), "{why}");
    let (field, why) = refused(&[("a", making(1_001, &["out"], &[]))]);
    assert_eq!(field, "outputs");
    assert!(why.contains("at most 1000"), "{why}");
    let circle = ("b", making(2, &["b"], &[from("c", "c", "in")]));
    let (field, why) = refused(&[circle, ("c", making(2, &["c"], &[from("b", "b", "in")]))]);
    assert_eq!(field, "needs");
    assert!(why.contains("b needs c needs b"), "{why}");
}
