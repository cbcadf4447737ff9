//! `skep run --detach`: the job is handed to `batch` in the cluster, which goes on with it when
//! this command is gone.

use super::plan::Job;
use crate::{
    args,
    commands::jobs,
    failure::{Result, Sentence},
    stdout,
};
use skep_framework::Cluster;
use skep_protocol::Role;
use std::{path::Path, process::ExitCode};

/// Refuses what `batch` in the cluster could not do, before anything is sent.
pub(super) fn check(args: &args::Run) -> std::result::Result<(), Sentence> {
    let unless = |given: bool, why: &str| match given {
        true => Err(Sentence(format!("{why}: leave it or --detach out"))),
        false => Ok(()),
    };
    let (wanted, outputs) = (&args.wanted, &args.files.outputs);
    unless(wanted.revocable, "--revocable: batch in the cluster is not lent anything")?;
    let why = "--constraint: batch in the cluster has the tasks of all, and takes any agent";
    unless(!wanted.constraints.is_empty(), why)?;
    unless(wanted.any_region, "--any-region: batch in the cluster stays in the master's region")?;
    let why = "--role: batch in the cluster has a role of its own, for the tasks of all";
    unless(args.role != Role::default(), why)?;
    if let Some(output) = outputs.iter().find(|output| output.file.is_some()) {
        let guest = &output.guest;
        let why = format!(
            "--output {guest}::FILE: nobody is here to write FILE when the task ends; write \
             --output {guest}, and skep job fetch brings it"
        );
        return Err(Sentence(why));
    }
    if args.coredump.as_deref().is_some_and(|file| file != Path::new(args::COREDUMP)) {
        let why = "--coredump=FILE: nobody is here to write FILE when a task dies; write \
                   --coredump, and skep logs --core brings it";
        return Err(Sentence(why.into()));
    }
    Ok(())
}

/// Hands a job over.
pub(super) async fn hand_over(cluster: Cluster, args: &args::Run, job: Job) -> Result<ExitCode> {
    let named = || format!("{}-{}", job.group.work.name, job.id);
    let name = args.name.clone().unwrap_or_else(named);
    let handed = job.named(name.clone());
    handed.check().and_then(|()| handed.check_kept()).map_err(|f| Sentence(f.to_string()))?;
    jobs::hand_over(&cluster, handed).await?;
    cluster.close().await;
    stdout::print(&format!("job {name} is the cluster's now: skep job wait {name}"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn refused(option: &[&str]) -> Option<String> {
        let words = ["skep", "run", "--master", "m", "--detach"].iter().chain(option);
        let cli = args::Cli::try_parse_from(words.chain(&["m.wasm"])).expect("a command line");
        let args::Command::Run(run) = cli.command else { panic!("another command") };
        check(&run).err().map(|why| why.to_string())
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused_and_the_rest_is_taken() {
        for option in [
            &["--revocable"][..],
            &["--constraint", "zone equals z1"],
            &["--any-region"],
            &["--role", "eng"],
            &["--output", "a::b"],
            &["--coredump=b"],
        ] {
            let why = refused(option).expect("it is refused");
            assert!(why.starts_with(option[0].split('=').next().expect("a flag")), "{why}");
        }
        let lines = ["--each-line", "f", "--input", "{}.csv", "--output", "{}.png", "--coredump"];
        assert_eq!(refused(&lines), None);
    }
}
