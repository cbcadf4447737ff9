//! Jobs, drawn by chance: each task of them fits an agent when nobody else is there.

use crate::{master::module, random::Random};
use skep_frameworks::{
    Work,
    batch::{FileInput, FileSource, Group, Job, Stragglers},
    cron, service,
};
use skep_protocol::{Amount, Resources, TaskId};
use skep_supervisor::Hosted;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What tasks are given; some of it by `skep`, if nothing is said.
const SIZES: [&str; 9] = [
    "cpus:1;mem:64",
    "cpus:0.1;mem:64",
    "cpus:0.5;mem:32",
    "cpus:1;mem:256",
    "cpus:2;mem:128",
    "cpus:0.01;mem:16",
    "cpus:0.3;mem:700",
    "cpus:3;mem:512",
    "cpus:0.25;mem:1500",
];

/// Longer than any history, in milliseconds.
const FOR_EVER: u64 = 100_000_000;

/// A job of a few groups for a cluster of agents of these sizes.
pub(super) fn job(random: &mut Random, name: &str, agents: &[&str]) -> Job {
    let agents = parsed(agents);
    let count = *random.pick(&[1, 1, 2, 2, 3, 4, 6]).expect("some counts");
    let mut names: Vec<String> = Vec::new();
    let mut groups = BTreeMap::new();
    while names.len() < count {
        // What comes first by name need not come first.
        let letter = char::from(b'a' + u8::try_from(random.number(0..26)).expect("a letter"));
        let name = letter.to_string();
        if !names.contains(&name) {
            let group = group(random, &names, &groups, &agents);
            groups.insert(name.clone(), group);
            names.push(name);
        }
    }
    let priority = *random.pick(&[0, 0, 0, 1, -1]).expect("some priorities");
    Job { name: name.into(), priority, groups }
}

fn parsed(agents: &[&str]) -> Vec<Resources> {
    agents.iter().map(|agent| agent.parse().expect("resources")).collect()
}

fn group(
    random: &mut Random,
    before: &[String],
    groups: &BTreeMap<String, Group>,
    agents: &[Resources],
) -> Group {
    let count = *random.pick(&[1, 1, 2, 3, 8, 8, 20, 50]).expect("some counts");
    let resources = size(random, agents);
    let least = random.once_in(6).then(|| resources.at_most(&size(random, agents)));
    let needed = |random: &mut Random| random.pick(before).cloned();
    let mut needs = BTreeSet::new();
    for _ in 0..random.number(0..4) {
        needs.extend(needed(random));
    }
    let input = if random.once_in(5) { needed(random) } else { None };
    let outputs = if random.once_in(5) { vec!["out".to_owned()] } else { Vec::new() };
    let from = if random.once_in(3) { needed(random) } else { None };
    let from = from.filter(|from| !groups[from].outputs.is_empty());
    let inputs = from.map(|group| {
        // All of a larger group come, each under its own name.
        let is_one = groups[&group].count == 1 || groups[&group].count == count;
        let guest = if is_one { "in" } else { "in-{}" };
        let source = FileSource::Output { group, output: "out".into() };
        FileInput { guest: guest.into(), source }
    });
    let is_copied = count > 1 && random.once_in(6);
    let stragglers = is_copied.then(|| Stragglers {
        after: Amount::units(2),
        least: Duration::from_secs(1),
        done: Amount::millis(500),
    });
    let retries = u32::try_from(random.number(0..4)).expect("few");
    let work = work(random, resources, retries, is_copied);
    let inputs = inputs.into_iter().collect();
    Group { least, needs, input, inputs, outputs, retries, stragglers, ..plain(work, count) }
}

/// So many tasks of which nothing else is said.
fn plain(work: Work, count: u64) -> Group {
    Group {
        work,
        count,
        least: None,
        needs: BTreeSet::new(),
        input: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        retries: 0,
        losses: Group::default_losses(),
        stragglers: None,
        template: None,
        first: 0,
        own: Vec::new(),
    }
}

/// What fits one of the agents.
fn size(random: &mut Random, agents: &[Resources]) -> Resources {
    loop {
        let size: Resources = random.pick(&SIZES).expect("some sizes").parse().expect("resources");
        if agents.iter().any(|agent| agent.contains(&size)) {
            return size;
        }
    }
}

fn work(random: &mut Random, resources: Resources, retries: u32, is_copied: bool) -> Work {
    let longest = *random.pick(&[2, 20, 300, 300, 1_000, 5_000]).expect("some times");
    let millis = random.number(longest / 2..longest + 1);
    // As long as they may be tried again some fail; of those that are not, hardly one.
    let fails = match retries {
        0 if random.once_in(20) => 5,
        0 => 0,
        _ => *random.pick(&[0, 2, 4]).expect("some"),
    };
    let slow = if is_copied { 10 } else { 0 };
    let args = [millis, 0, 0, fails, slow].map(|number: u64| number.to_string());
    Work {
        module: module(),
        name: "work".into(),
        args: args.into(),
        env: BTreeMap::new(),
        resources,
        deadline: None,
        kill_grace: None,
        heartbeat: None,
        lost_after: None,
    }
}

/// A service whose copies run on, or die now and then.
pub(super) fn service(random: &mut Random, name: &str, agents: &[&str]) -> service::Spec {
    let agents = parsed(agents);
    let resources = size(random, &agents);
    let mut work = work(random, resources, 0, false);
    let runs_for = if random.once_in(4) { random.number(500..20_000) } else { FOR_EVER };
    work.args = [runs_for, 1, 0, 0, 0].map(|number: u64| number.to_string()).into();
    let copies = u32::try_from(random.number(1..7)).expect("few");
    let (surge, unavailable) = *random.pick(&[(1, 0), (0, 1), (2, 1)]).expect("some");
    service::Spec {
        name: name.into(),
        work,
        copies,
        spread: "hostname".into(),
        healthy_after: Duration::from_secs(1),
        surge,
        unavailable,
    }
}

/// A schedule that is due every few seconds.
pub(super) fn schedule(random: &mut Random, name: &str, agents: &[&str]) -> cron::Spec {
    let agents = parsed(agents);
    let resources = size(random, &agents);
    let every = *random.pick(&[1, 5, 20]).expect("some");
    let overlaps = [cron::Overlap::Skip, cron::Overlap::Allow, cron::Overlap::Replace];
    let misses = [cron::Missed::Last, cron::Missed::Skip, cron::Missed::All];
    cron::Spec {
        name: name.into(),
        schedule: format!("*/{every} * * * * *"),
        zone: "UTC".into(),
        overlap: *random.pick(&overlaps).expect("some"),
        missed: *random.pick(&misses).expect("some"),
        work: work(random, resources, 0, false),
    }
}

/// A scheduler to host: it runs on, or dies now and then.
pub(super) fn hosted(random: &mut Random, agents: &[&str]) -> Hosted {
    let runs_for = if random.once_in(3) { random.number(500..40_000) } else { FOR_EVER };
    let args = [runs_for, 1].map(|number: u64| number.to_string());
    Hosted {
        name: TaskId::new("h0").expect("an id"),
        module: module(),
        args: args.into(),
        env: BTreeMap::new(),
        role: None,
        resources: size(random, &parsed(agents)),
        bundle: BTreeMap::new(),
    }
}

/// Tasks of this size that do what these numbers say.
#[cfg(test)]
pub(super) fn group_of(count: u64, size: &str, args: [u64; 5]) -> Group {
    let mut random = Random::new(0);
    let mut work = work(&mut random, size.parse().expect("resources"), 0, false);
    work.args = args.map(|number| number.to_string()).into();
    plain(work, count)
}
