//! Exact stories of jobs.

mod files;
mod fitting;
mod own;
mod rooms;
mod stragglers;
mod waiting;

use super::{Batch, Group, Job, Order, Report, Standing};
use crate::kit;
use skep_protocol::outcome::{KilledBy, LostBy};
use skep_scheduler::{prelude::*, testing::Cluster};

fn group(count: u64, needs: &[&str]) -> Group {
    let needs = needs.iter().map(|name| (*name).to_owned()).collect();
    let template =
        TaskSpec::new(TaskId::new("any").expect("an id"), Digest::of(b""), Resources::none());
    let of = Group::of_template(template, 0, count);
    Group { work: kit::work("module"), needs, template: None, ..of }
}

fn job(name: &str, groups: &[(&str, Group)]) -> Job {
    let groups = groups.iter().map(|(name, group)| ((*name).to_owned(), group.clone()));
    Job { name: name.into(), priority: 0, groups: groups.collect() }
}

fn order(cluster: &mut Cluster<Batch>, order: &Order) -> Result<Vec<Report>, String> {
    let message = serde_json::to_vec(order).expect("an order");
    let answer = cluster.ask(&message).expect("an answer at once")?;
    Ok(serde_json::from_slice(&answer).expect("reports"))
}

fn submit(cluster: &mut Cluster<Batch>, job: Job) {
    order(cluster, &Order::Submit { job: Box::new(job) }).expect("taken");
}

fn standing(cluster: &mut Cluster<Batch>, job: &str) -> Standing {
    order(cluster, &Order::Show { job: job.into() }).expect("known")[0].standing
}

fn serving() -> Cluster<Batch> {
    Cluster::new(framework_info("batch"), Batch::serving())
}

#[test]
fn a_group_begins_when_all_that_it_needs_has_ended_well() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(2, &[])), ("b", group(1, &["a"]))]));
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(cluster.running(), ["j-1.a.0", "j-1.a.1"]);
    cluster.finish("j-1.a.0");
    let early = cluster.offer("n1", "cpus:1;mem:64");
    assert!(!cluster.unanswered().contains(&early), "what cannot be used goes back");
    assert_eq!(cluster.running(), ["j-1.a.1"]);
    cluster.finish("j-1.a.1");
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(cluster.running(), ["j-1.b.0"]);
    cluster.finish("j-1.b.0");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    let kept: Vec<&String> = cluster.state().keys().collect();
    assert_eq!(kept, ["job/j"], "of a job that is over only that is kept");
}

/// The master waits for no more than it was told, less what was launched.
#[test]
fn what_is_waited_for_is_said_again_once_as_much_was_launched() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(1, &[])), ("b", group(1, &["a"]))]));
    let (least, wants) = ("cpus:1;mem:64", "cpus:1.024;mem:65.536");
    let resources = |text: &str| text.parse().expect("resources");
    let one = Demand { least: resources(least), wants: resources(wants), terms: None };
    let one = vec![one];
    assert_eq!(cluster.demands(), one);
    cluster.offer("n1", least);
    assert_eq!(cluster.demands(), []);
    cluster.finish("j-1.a.0");
    assert_eq!(cluster.demands(), one);
    let many = Group { count: 6, ..group(6, &[]) };
    submit(&mut cluster, job("k", &[("a", many)]));
    assert_eq!(cluster.demands().len(), 1);
    cluster.offer("n1", "cpus:2;mem:128");
    assert_eq!(cluster.demands(), [], "the rest was said");
}

#[test]
fn one_that_runs_a_job_once_stops_when_that_has_ended() {
    let job = job("j", &[("a", group(1, &[]))]);
    let mut cluster = Cluster::new(framework_info("once"), Batch::once(job));
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.finish("j.0");
    assert_eq!(cluster.ending(), Some(&Ending::Done));
}

#[test]
fn failures_are_retried_as_often_as_allowed_and_mishaps_are_not_counted() {
    let mut cluster = serving();
    let retried = Group { retries: 1, ..group(1, &[]) };
    submit(&mut cluster, job("j", &[("a", retried), ("b", group(1, &["a"]))]));
    for outcome in [
        Outcome::Lost { why: LostBy::AgentLost },
        Outcome::Exited { code: 1 },
        Outcome::Lost { why: LostBy::AgentLost },
    ] {
        cluster.offer("n1", "cpus:1;mem:64");
        cluster.end("j-1.a.0", outcome);
        assert_eq!(standing(&mut cluster, "j"), Standing::Running);
    }
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.launched().last().expect("launched").attempt, Attempt(4));
    cluster.end("j-1.a.0", Outcome::Exited { code: 2 });
    let report = &order(&mut cluster, &Order::Show { job: "j".into() }).expect("known")[0];
    assert_eq!(report.standing, Standing::Failed);
    assert_eq!(report.failures, ["j-1.a.0: exited with code 2"]);
    let b = &report.groups[1];
    assert_eq!((b.attempts, b.done, b.failed), (0, 0, 0), "what needs it never began");
}

#[test]
fn ends_that_are_nobodys_fault_cost_nothing_however_often_they_come() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", Group { losses: 0, ..group(1, &[]) })]));
    let refused = |rejection| Outcome::Refused { rejection };
    for outcome in [
        Outcome::Killed { by: KilledBy::AgentDrained },
        Outcome::Killed { by: KilledBy::Preemption },
        refused(Rejection::Recalled),
        refused(Rejection::TooMany { what: "tasks".into(), max: 1 }),
    ] {
        cluster.offer("n1", "cpus:1;mem:64");
        cluster.end("j-1.a.0", outcome);
        assert_eq!(standing(&mut cluster, "j"), Standing::Running);
        assert_eq!(cluster.killed(), [""; 0]);
    }
    cluster.offer("n2", "cpus:1;mem:64");
    let (task, newest) = (TaskId::new("j-1.a.0").expect("an id"), Attempt(1));
    cluster.end("j-1.a.0", refused(Rejection::DuplicateTask { task, newest }));
    assert_eq!(cluster.killed(), ["j-1.a.0"], "the attempt that lives on");
    cluster.offer("n2", "cpus:1;mem:64");
    cluster.finish("j-1.a.0");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
}

#[test]
fn a_task_is_lost_as_often_as_its_group_bears() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", Group { losses: 2, ..group(1, &[]) })]));
    for (outcome, after) in [
        (Outcome::Killed { by: KilledBy::AgentStopped }, Standing::Running),
        (Outcome::Lost { why: LostBy::ExecutorEnded }, Standing::Running),
        (Outcome::Lost { why: LostBy::AgentLost }, Standing::Failed),
    ] {
        cluster.offer("n1", "cpus:1;mem:64");
        cluster.end("j-1.a.0", outcome);
        assert_eq!(standing(&mut cluster, "j"), after);
    }
}

#[test]
fn another_instance_goes_on_in_the_middle() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(300, &[])), ("b", group(1, &["a"]))]));
    cluster.offer("n1", "cpus:150;mem:9600");
    assert_eq!(cluster.running().len(), 300, "as many again wait at the agent");
    for index in 0..290 {
        cluster.finish(&format!("j-1.a.{index}"));
    }
    cluster.restart(Batch::serving());
    let before = &order(&mut cluster, &Order::List).expect("known")[0].groups[0];
    assert_eq!((before.done, before.launched, before.attempts), (290, 10, 300));
    // One is lost while nobody listens.
    cluster.end("j-1.a.290", Outcome::Lost { why: LostBy::AgentLost });
    for index in 291..300 {
        cluster.finish(&format!("j-1.a.{index}"));
    }
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["j-1.a.290"]);
    cluster.finish("j-1.a.290");
    cluster.offer("n1", "cpus:1;mem:64");
    cluster.finish("j-1.b.0");
    assert_eq!(standing(&mut cluster, "j"), Standing::Done);
    submit(&mut cluster, job("j", &[("a", group(1, &[]))]));
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), ["j-2.a.0"], "another job of the name has other tasks");
}

#[test]
fn results_are_the_input_of_the_next_by_place_or_all_together() {
    let mut cluster = serving();
    let each = Group { input: Some("a".into()), ..group(2, &[]) };
    let all = Group { input: Some("b".into()), ..group(1, &[]) };
    submit(&mut cluster, job("j", &[("a", group(2, &[])), ("b", each), ("c", all)]));
    cluster.offer("n1", "cpus:2;mem:128");
    cluster.finish_with("j-1.a.1", b"one");
    cluster.finish_with("j-1.a.0", b"zero");
    cluster.launched();
    cluster.offer("n1", "cpus:2;mem:128");
    let inputs: Vec<Digest> =
        cluster.launched().iter().filter_map(|task| task.grants.stdin).collect();
    let texts: Vec<&[u8]> = inputs.iter().filter_map(|digest| cluster.blob(digest)).collect();
    assert_eq!(texts, [&b"zero"[..], b"one"]);
    cluster.finish_with("j-1.b.1", b"B");
    cluster.restart(Batch::serving());
    cluster.finish_with("j-1.b.0", b"A");
    cluster.launched();
    cluster.offer("n1", "cpus:2;mem:128");
    let [task] = &cluster.launched()[..] else { panic!("one task") };
    let input = task.grants.stdin.expect("an input");
    assert_eq!(cluster.blob(&input), Some(&b"AB"[..]));
}

#[test]
fn a_group_of_a_template_has_its_grants_and_its_places_in_the_arguments() {
    let mut cluster = serving();
    let id = TaskId::new("template").expect("an id");
    let mut template = TaskSpec::new(id, Digest::of(b"module"), kit::work("module").resources);
    template.args = vec!["page-{}.svg".into()];
    template.limits.fuel = Some(7);
    let groups = [("run", Group::of_template(template, 5, 2))];
    submit(&mut cluster, job("j", &groups));
    cluster.offer("n1", "cpus:2;mem:128");
    let launched = cluster.launched();
    let shown: Vec<_> = launched.iter().map(|task| (task.index, task.args[0].as_str())).collect();
    assert_eq!(shown, [(Some(5), "page-5.svg"), (Some(6), "page-6.svg")]);
    assert_eq!(launched[0].limits.fuel, Some(7));
}

#[test]
fn the_tasks_of_an_array_have_their_places_in_the_arguments_and_a_single_one_what_was_written() {
    let mut cluster = serving();
    let group = |count, needs| {
        let mut group = group(count, needs);
        group.work.args = vec!["<{}>".into()];
        group
    };
    submit(&mut cluster, job("j", &[("many", group(2, &[])), ("one", group(1, &[]))]));
    cluster.offer("n1", "cpus:3;mem:192");
    let launched = cluster.launched();
    let args: Vec<_> = launched.iter().map(|task| task.args[0].as_str()).collect();
    assert_eq!(args, ["<0>", "<1>", "<{}>"]);
}

#[test]
fn of_two_jobs_the_one_of_higher_priority_goes_first() {
    let mut cluster = serving();
    submit(&mut cluster, job("first", &[("a", group(2, &[]))]));
    let urgent = Job { priority: 1, ..job("urgent", &[("a", group(1, &[]))]) };
    submit(&mut cluster, urgent);
    cluster.offer("n1", "cpus:1;mem:64");
    let launched = cluster.launched();
    let order: Vec<&str> = launched.iter().map(|task| task.task.as_str()).collect();
    assert_eq!(order, ["urgent-2.a.0", "first-1.a.0"], "the other waits at the agent");
}

#[test]
fn a_job_that_is_stopped_ends_its_tasks_and_begins_no_more() {
    let mut cluster = serving();
    submit(&mut cluster, job("j", &[("a", group(3, &[]))]));
    cluster.offer("n1", "cpus:1;mem:64");
    let stopped = order(&mut cluster, &Order::Stop { job: "j".into() }).expect("stopped");
    assert_eq!(stopped[0].standing, Standing::Stopped);
    assert_eq!(cluster.killed(), ["j-1.a.0", "j-1.a.1"]);
    cluster.offer("n1", "cpus:1;mem:64");
    assert_eq!(cluster.running(), [""; 0]);
    order(&mut cluster, &Order::Stop { job: "j".into() }).expect_err("it is over");
    order(&mut cluster, &Order::Show { job: "other".into() }).expect_err("there is none");
}

#[test]
fn a_job_that_cannot_run_is_refused_with_the_place() {
    let fault = |job: Job| job.check().expect_err("a fault").to_string();
    assert!(fault(job("j", &[])).starts_with("groups: a job has at least one"));
    assert!(fault(job("a b", &[("a", group(1, &[]))])).starts_with("name: "));
    assert!(fault(job("j", &[("a", group(0, &[]))])).starts_with("a.count: "));
    let unknown = fault(job("j", &[("a", group(1, &["x"]))]));
    assert_eq!(unknown, "a.needs: there is no group \"x\": there are a");
    let circle =
        job("j", &[("a", group(1, &["c"])), ("b", group(1, &["a"])), ("c", group(1, &["b"]))]);
    assert!(fault(circle).contains("a needs c needs b needs a"));
    let layers =
        job("j", &[("a", group(1, &[])), ("b", group(1, &["a"])), ("c", group(1, &["a"]))]);
    assert_eq!(layers.layers().expect("no circle"), [vec!["a"], vec!["b", "c"]]);
}
