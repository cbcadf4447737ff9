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
