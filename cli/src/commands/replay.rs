//! `skep replay`: a deterministic task that has ended, run again on this machine and compared.
//!
//! The task's spec comes from the master that knew it, module and standard input from its blobs;
//! the second run goes through a private cluster as any task of this machine does.

use crate::{
    args::{self, NamedVolume},
    client::connect,
    failure::{Result, Sentence},
    foreground, output,
    private::Private,
    signals::{told_to_end, unless_told_to_end},
    stdout,
};
use serde::Serialize;
use skep_agent::Volume;
use skep_framework::{Cluster, Driver, Offer, Scheduler};
use skep_protocol::{
    Attempt, Digest, Outcome, StatusUpdate, TaskSpec, TaskState, Usage,
    framework::FrameworkInfo,
    operator::{Recorded, Request, Response},
    task::{Access, DirSource},
};
use std::{collections::BTreeMap, process::ExitCode};

/// The second run came out otherwise.
const DIFFERENT: u8 = 1;

/// What came of both runs.
#[derive(Debug, Serialize)]
struct Comparison {
    task: String,
    same: bool,
    /// What differs, in words; empty if nothing does.
    differences: Vec<String>,
    first: Run,
    second: Run,
}

#[derive(Debug, Serialize)]
struct Run {
    outcome: String,
    fuel: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    digest: Option<Digest>,
}

pub(super) async fn replay(args: args::Replay) -> Result<ExitCode> {
    let (first, blobs) = unless_told_to_end(recorded(&args)).await??;
    let volumes = volumes(&args.volumes, &first.spec)?;
    let listen = "127.0.0.1:0".parse()?;
    let private = Private::with_volumes(1, listen, args.walls.mode(), volumes);
    let private = unless_told_to_end(private).await??;
    let second = tokio::select! {
        second = run_again(&private, &first.spec, &blobs) => second,
        failure = private.failed() => Err(failure),
        signal = told_to_end() => Err(signal.failure()),
    };
    private.stop().await;
    let comparison = compare(&first, &second?);
    match args.client.output {
        args::Format::Json => output::json(&comparison)?,
        args::Format::Table => stdout::print(&comparison.words())?,
    }
    Ok(if comparison.same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// The first run, and the blobs that it needed.
async fn recorded(args: &args::Replay) -> Result<(Box<Recorded>, Vec<Vec<u8>>)> {
    let cluster = connect(&args.client).await?;
    let request = Request::Recorded { framework: args.framework.clone(), task: args.task.clone() };
    let Response::Recorded(first) = cluster.ask(request).await? else {
        return Err(Sentence("the master answered something else: is it older?".into()).into());
    };
    let blobs = fetch(&cluster, &first.spec).await?;
    cluster.close().await;
    Ok((first, blobs))
}

/// The volumes of the second run: all that the task was granted, and nobody writes them.
fn volumes(named: &[NamedVolume], spec: &TaskSpec) -> Result<BTreeMap<String, Volume>> {
    let read_only = |named: &NamedVolume| {
        let volume = Volume { access: Access::ReadOnly, ..named.volume.clone() };
        (named.name.clone(), volume)
    };
    let volumes: BTreeMap<_, _> = named.iter().map(read_only).collect();
    let granted = spec.grants.dirs.iter().filter_map(|dir| match &dir.source {
        DirSource::Volume(name) => Some(name),
        _ => None,
    });
    for name in granted {
        if !volumes.contains_key(name) {
            let why = format!(
                "it read the volume {name:?}, which its agent had: say with --volume {name}=PATH \
                 where there is a copy of it here"
            );
            return Err(Sentence(why).into());
        }
    }
    Ok(volumes)
}

/// The blobs that a task needs.
async fn fetch(cluster: &Cluster, spec: &TaskSpec) -> Result<Vec<Vec<u8>>> {
    let mut blobs = Vec::new();
    let inputs = spec.inputs.iter().map(|input| input.digest);
    let digests = inputs.chain(spec.grants.stdin).chain([spec.module]);
    for digest in digests {
        blobs.push(cluster.fetch(digest).await?);
    }
    Ok(blobs)
}

async fn run_again(
    private: &Private,
    spec: &TaskSpec,
    blobs: &[Vec<u8>],
) -> Result<(Outcome, Usage)> {
    let cluster = private.connect().await?;
    for blob in blobs {
        cluster.push(blob).await?;
    }
    let spec = TaskSpec { attempt: Attempt::FIRST, ..spec.clone() };
    let mut again = Again { spec, end: None };
    let info = FrameworkInfo {
        name: "replay".into(),
        role: skep_protocol::Role::default(),
        failover_timeout: foreground::FAILOVER_TIMEOUT,
        ..FrameworkInfo::default()
    };
    foreground::run(&cluster, info, &mut again).await?;
    let cut_off = || Sentence("the second run was cut off".into());
    let (outcome, usage) = again.end.ok_or_else(cut_off)?;
    let usage = usage.ok_or_else(|| Sentence(format!("the second run was {outcome}")))?;
    Ok((outcome, usage))
}

/// Launches one task, once.
struct Again {
    spec: TaskSpec,
    end: Option<(Outcome, Option<Usage>)>,
}

impl Scheduler for Again {
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        for offer in offers {
            // The memory limit is part of the run; the share of a processor is not.
            let cpus = self.spec.resources.cpus().min(offer.resources.cpus());
            // What an earlier version recorded may have had none.
            let cpus = cpus.max(skep_protocol::Amount::millis(1));
            let resources = self.spec.resources.clone().with(skep_protocol::resources::CPUS, cpus);
            driver.launch(&offer, [TaskSpec { resources, ..self.spec.clone() }]);
        }
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        if let TaskState::Ended(outcome) = &update.state {
            self.end = Some((outcome.clone(), update.usage));
            driver.stop();
        }
    }
}

fn compare(first: &Recorded, second: &(Outcome, Usage)) -> Comparison {
    let run = |outcome: &Outcome, usage: &Usage| Run {
        outcome: outcome.to_string(),
        fuel: usage.fuel,
        stdout_bytes: usage.stdout_bytes,
        stderr_bytes: usage.stderr_bytes,
        digest: usage.run_digest,
    };
    let (first, second, task) =
        (run(&first.outcome, &first.usage), run(&second.0, &second.1), first.key.to_string());
    let mut differences = Vec::new();
    let mut differ = |what: &str, first: &dyn ToString, second: &dyn ToString| {
        let (first, second) = (first.to_string(), second.to_string());
        if first != second {
            differences.push(format!("{what}: {first}, then {second}"));
        }
    };
    differ("end", &first.outcome, &second.outcome);
    differ("fuel", &first.fuel, &second.fuel);
    differ("bytes of stdout", &first.stdout_bytes, &second.stdout_bytes);
    differ("bytes of stderr", &first.stderr_bytes, &second.stderr_bytes);
    let same = first.digest.is_some() && first.digest == second.digest;
    if !same && differences.is_empty() {
        differences.push("what it read or wrote: an input, or the engine, is another one".into());
    }
    Comparison { task, same, differences, first, second }
}

impl Comparison {
    fn words(&self) -> String {
        if self.same {
            let digest = self.first.digest.map_or_else(String::new, |digest| digest.to_string());
            return format!(
                "{}: the same run, {} units of fuel, {digest}",
                self.task, self.first.fuel
            );
        }
        format!("{}: another run\n  {}", self.task, self.differences.join("\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::{FrameworkId, Resources, TaskId, TaskKey};

    fn compared(digest: &[u8], fuel: u64) -> Comparison {
        let task = TaskId::new("t").expect("an id");
        let framework = FrameworkId::new("f").expect("an id");
        let spec = TaskSpec::new(task.clone(), Digest::of(b"module"), Resources::none());
        let key = TaskKey { framework, task, attempt: Attempt::FIRST };
        let outcome = Outcome::Exited { code: 0 };
        let usage = Usage { fuel: 7, run_digest: Some(Digest::of(b"run")), ..Usage::default() };
        let first = Recorded { key, spec, outcome: outcome.clone(), usage };
        compare(&first, &(outcome, Usage { fuel, run_digest: Some(Digest::of(digest)), ..usage }))
    }

    #[test]
    fn runs_are_the_same_if_their_digests_are() {
        assert!(compared(b"run", 7).same);
        let other_fuel = compared(b"another", 8);
        assert!(!other_fuel.same);
        assert_eq!(other_fuel.differences, ["fuel: 7, then 8"]);
        let other_input = compared(b"another", 7);
        assert!(other_input.differences[0].starts_with("what it read or wrote"));
    }
}
