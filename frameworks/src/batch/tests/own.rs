//! What single tasks of a group have for themselves.

use super::*;
use crate::batch::Own;
use skep_protocol::task::{Form, Input};

fn own(text: &str) -> Own {
    let guest = format!("in/{text}");
    let input = Input { digest: Digest::of(text.as_bytes()), guest, form: Form::File };
    Own { text: Some(text.into()), inputs: vec![input] }
}

fn group_of(texts: &[&str]) -> Group {
    let mut group = group(texts.len() as u64, &[]);
    group.work.args = vec!["<{}>".into()];
    group.outputs = vec!["out/{}".into()];
    Group { own: texts.iter().map(|text| own(text)).collect(), ..group }
}

fn job_of(texts: &[&str]) -> Job {
    job("j", &[("a", group_of(texts))])
}

#[test]
fn texts_and_files_reach_the_tasks_that_they_are_for() {
    let mut cluster = serving();
    submit(&mut cluster, job_of(&["one", "b c"]));
    cluster.restart(Batch::serving());
    cluster.offer("n1", "cpus:2;mem:128");
    let launched = cluster.launched();
    let seen = launched.iter().map(|task| {
        let (input, output) = (&task.inputs[0], &task.outputs[0]);
        (task.args[0].as_str(), input.guest.as_str(), output.guest.as_str(), task.index)
    });
    let seen: Vec<_> = seen.collect();
    assert_eq!(
        seen,
        [("<one>", "in/one", "out/one", Some(0)), ("<b c>", "in/b c", "out/b c", Some(1))]
    );
    cluster.finish("j-1.a.0");
    cluster.finish("j-1.a.1");
    let reports = order(&mut cluster, &Order::Outputs { job: "j".into() }).expect("known");
    let left: Vec<&str> = reports[0].outputs.iter().map(|o| o.output.guest.as_str()).collect();
    assert_eq!(left, ["out/one", "out/b c"]);
    let kept = String::from_utf8(cluster.state()["job/j"].clone()).expect("a text");
    assert!(kept.contains("b c") && !kept.contains("in/"), "names of outputs alone: {kept}");
}

#[test]
fn what_is_kept_of_it_is_bounded_for_all_jobs_together() {
    let long = "x".repeat(1_000);
    let texts = |count| vec![long.as_str(); count];
    let mut cluster = serving();
    let refused = |cluster: &mut Cluster<Batch>, name: &str, count| {
        let job = Job { name: name.into(), ..job_of(&texts(count)) };
        order(cluster, &Order::Submit { job: Box::new(job) }).err()
    };
    assert!(refused(&mut cluster, "j", 100).expect("too long").contains("131072 bytes"));
    assert_eq!(refused(&mut cluster, "j", 40), None);
    assert!(refused(&mut cluster, "k", 40).expect("too long").contains("for all jobs"));
    order(&mut cluster, &Order::Stop { job: "j".into() }).expect("stopped");
    assert_eq!(refused(&mut cluster, "k", 40), None);
    job_of(&texts(100)).check().expect("one that keeps nothing has no such bound");
}

#[test]
fn each_has_its_own_or_none_has_any() {
    let mut job = job_of(&["a", "b"]);
    job.groups.values_mut().for_each(|group| group.count = 3);
    assert_eq!(job.check().expect_err("a fault").field, "count");
    let absolute = job_of(&["a", "/../b"]);
    assert_eq!(absolute.check().map_err(|fault| fault.field), Err("inputs"));
}

#[test]
fn a_single_task_of_a_template_has_no_place_and_no_braces_to_fill() {
    let mut template = TaskSpec::new(
        TaskId::new("any").expect("an id"),
        Digest::of(b""),
        group(1, &[]).work.resources,
    );
    template.args = vec!["{}".into()];
    let mut group = Group::of_template(template, 0, 1);
    group.outputs = vec!["{}".into()];
    let mut cluster = Cluster::new(framework_info("once"), Batch::held(job("j", &[("a", group)])));
    cluster.offer("n1", "cpus:1;mem:64");
    let [task] = &cluster.launched()[..] else { panic!("one task") };
    assert_eq!((task.task.as_str(), task.index), ("j.0", None));
    assert_eq!((task.args[0].as_str(), task.outputs[0].guest.as_str()), ("{}", "{}"));
    cluster.finish("j.0");
    assert_eq!(cluster.ending(), None, "whoever holds it stops it");
    assert!(cluster.state().is_empty(), "nothing is kept");
}
