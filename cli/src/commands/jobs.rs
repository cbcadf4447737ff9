//! `skep job`: jobs by file, here or by the framework `batch` in the cluster.

use super::frameworks::{host_builtin, id_of};
use crate::{
    args::{FetchJob, JobCommand, JobFile, JobRun, JobSubmit, LOOK_EVERY, OneJob},
    client::{connect, question, question_when_there},
    failure::{Result, Sentence},
    files::{Files, JOB_TO_BEGIN_WITH, JobPlan, Modules},
    foreground, local,
    output::{self, Row},
    private::on_its_cluster,
    signals::unless_told_to_end,
    stdout,
    watched::{Move, Watch, Watched},
    words,
};
use skep_framework::Cluster;
use skep_frameworks::batch::{
    Batch, FailedAttempt, FailedOutput, Job, JobOutput, Order, Report, Standing,
};
use skep_protocol::{StatusUpdate, framework::FrameworkInfo};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

/// The framework that runs jobs in the cluster.
const BATCH: &str = "batch";
/// What a job that failed exits with.
const FAILED: u8 = 1;

impl Row for Report {
    const HEADINGS: &'static [&'static str] =
        &["JOB", "STATE", "GROUP", "TASKS", "RUNNING", "DONE", "FAILED", "ATTEMPTS"];

    fn cells(&self) -> Vec<String> {
        let column = |cell: &dyn Fn(&skep_frameworks::batch::GroupReport) -> String| {
            self.groups.iter().map(cell).collect::<Vec<_>>().join("\n")
        };
        vec![
            self.job.clone(),
            self.standing.name().into(),
            column(&|group| group.group.clone()),
            column(&|group| group.count.to_string()),
            column(&|group| group.launched.to_string()),
            column(&|group| group.done.to_string()),
            column(&|group| group.failed.to_string()),
            column(&|group| group.attempts.to_string()),
        ]
    }
}

pub(super) async fn job(command: JobCommand) -> Result<ExitCode> {
    match command {
        JobCommand::Run(args) => run(args).await,
        JobCommand::Submit(args) => submit(args).await,
        JobCommand::Validate(args) => validate(&args),
        JobCommand::Plan(args) => plan(&args),
        JobCommand::Init(args) => init(&args),
        JobCommand::Wait(args) => wait(args).await,
        JobCommand::List { client, by } => {
            let cluster = connect(&client).await?;
            let reports: Vec<Report> = question(&cluster, &by.framework, &Order::List).await?;
            cluster.close().await;
            Ok(output::list(client.output, &reports).map(|()| ExitCode::SUCCESS)?)
        }
        JobCommand::Show(args) => one(args, |job| Order::Show { job }).await,
        JobCommand::Fetch(args) => fetch(args).await,
        JobCommand::Stop(args) => stop(args).await,
    }
}

/// Stops a job of the cluster. One that a command runs is a framework of its own.
async fn stop(args: OneJob) -> Result<ExitCode> {
    let (client, job) = (args.client.clone(), args.job.clone());
    let Err(failure) = one(args, |job| Order::Stop { job }).await else {
        return Ok(ExitCode::SUCCESS);
    };
    match id_of(&client, &job).await {
        Ok(framework) => {
            let why = format!(
                "no job {job} was handed to the cluster, but there is the framework {job} \
                 ({framework}): if a command runs it, end that, or have its framework removed \
                 with skep framework remove {framework}"
            );
            Err(Sentence(why).into())
        }
        Err(_) => Err(failure),
    }
}

async fn one(args: OneJob, order: impl FnOnce(String) -> Order) -> Result<ExitCode> {
    let cluster = connect(&args.client).await?;
    let reports: Vec<Report> = question(&cluster, &args.by.framework, &order(args.job)).await?;
    cluster.close().await;
    output::list(args.client.output, &reports)?;
    tell_failures(&reports);
    Ok(ExitCode::SUCCESS)
}

fn validate(args: &JobFile) -> Result<ExitCode> {
    let plan = JobPlan::read(&args.file)?;
    let tasks: u64 = plan.job.groups.values().map(|group| group.count).sum();
    let groups = plan.job.groups.len();
    let file = args.file.display();
    stdout::print(&format!("{file}: job {}, {groups} groups, {tasks} tasks", plan.job.name))?;
    Ok(ExitCode::SUCCESS)
}

fn plan(args: &JobFile) -> Result<ExitCode> {
    let JobPlan { job, .. } = JobPlan::read(&args.file)?;
    let layers = job.layers().map_err(|fault| Sentence(fault.to_string()))?;
    for (number, layer) in (1..).zip(layers) {
        stdout::print(&format!("step {number}"))?;
        for name in layer {
            let Some(group) = job.groups.get(name) else { continue };
            let needs: Vec<&str> = group.needs.iter().map(String::as_str).collect();
            let after = if needs.is_empty() {
                String::new()
            } else {
                format!("  after {}", needs.join(", "))
            };
            let input = group.input.iter().map(|from| format!("  input from {from}"));
            let input: String = input.collect();
            let (count, resources) = (group.count, &group.work.resources);
            stdout::print(&format!("  {name}  {count} x {resources}{after}{input}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn init(args: &JobFile) -> Result<ExitCode> {
    let cannot = |error| Sentence(format!("{}: {error}", args.file.display()));
    let mut file = File::create_new(&args.file).map_err(cannot)?;
    file.write_all(JOB_TO_BEGIN_WITH.as_bytes()).map_err(cannot)?;
    stdout::print(&format!("{} is written", args.file.display()))?;
    Ok(ExitCode::SUCCESS)
}

async fn submit(args: JobSubmit) -> Result<ExitCode> {
    let JobPlan { job, modules, files } = JobPlan::read(&args.file)?;
    let cluster = connect(&args.client).await?;
    push(&cluster, modules, files).await?;
    let framework = &args.by.framework;
    if framework == BATCH {
        host_builtin(&cluster, BATCH).await?;
    }
    let name = job.name.clone();
    let submit = Order::Submit { job: Box::new(job) };
    let _: Vec<Report> = question_when_there(&cluster, framework, &submit).await?;
    cluster.close().await;
    stdout::print(&format!("job {name} is the cluster's now: skep job wait {name}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Hands a job to `batch`, which is started if it is not there.
pub(crate) async fn hand_over(cluster: &Cluster, job: Job) -> Result {
    host_builtin(cluster, BATCH).await?;
    let submit = Order::Submit { job: Box::new(job) };
    question_when_there::<Vec<Report>>(cluster, BATCH, &submit).await.map(drop)
}

async fn wait(args: OneJob) -> Result<ExitCode> {
    let cluster = connect(&args.client).await?;
    let show = Order::Show { job: args.job };
    loop {
        let reports: Vec<Report> = question_when_there(&cluster, &args.by.framework, &show).await?;
        if let Some(report) = reports.iter().find(|report| report.standing.is_over()) {
            cluster.close().await;
            let standing = report.standing;
            output::list(args.client.output, &reports)?;
            tell_failures(&reports);
            return Ok(code(standing));
        }
        tokio::time::sleep(LOOK_EVERY.0).await;
    }
}

async fn run(args: JobRun) -> Result<ExitCode> {
    let plan = JobPlan::read(&args.file)?;
    let work = async |cluster| run_on(cluster, plan, &args).await;
    on_its_cluster(&args.client, &args.walls, work).await
}

async fn run_on(cluster: Cluster, plan: JobPlan, args: &JobRun) -> Result<ExitCode> {
    let JobPlan { job, modules, files } = plan;
    unless_told_to_end(push(&cluster, modules, files)).await??;
    let mut scheduler = Watched::new(Batch::once(job.clone()), Shown::default());
    let info = FrameworkInfo {
        name: job.name,
        role: args.role.clone(),
        failover_timeout: args.bond.failover_timeout.0,
        ..FrameworkInfo::default()
    };
    if let Err(failure) = foreground::run(&cluster, info, &mut scheduler).await {
        cluster.close().await;
        // How far it came is worth knowing, and whose fault it was that it came no further.
        output::list(args.client.output, &scheduler.batch.reports())?;
        return Err(failure);
    }
    let outputs = scheduler.batch.outputs().into_iter().filter(|output| !output.taken);
    let counts = counts(&scheduler.batch.reports());
    let left = Left { outputs: outputs.collect(), failed: scheduler.batch.failed_outputs() };
    let fetched = match left.is_empty() {
        true => Ok(Vec::new()),
        false => unless_told_to_end(bring_again(&cluster, left, &counts)).await?,
    };
    cluster.close().await;
    let reports = scheduler.batch.reports();
    output::list(args.client.output, &reports)?;
    tell_failures(&reports);
    fetched?;
    Ok(reports.first().map_or(ExitCode::FAILURE, |report| code(report.standing)))
}

async fn push(cluster: &Cluster, modules: Modules, files: Files) -> Result {
    for bytes in modules.values() {
        cluster.push(bytes).await?;
    }
    for (digest, file) in files {
        if local::push(cluster, &file, "file").await?.digest != digest {
            let file = words::shown(&file);
            return Err(Sentence(format!("{file} was changed meanwhile: try again")).into());
        }
    }
    Ok(())
}

async fn fetch(args: FetchJob) -> Result<ExitCode> {
    let FetchJob { one: OneJob { client, by, job }, to, all } = args;
    let cluster = connect(&client).await?;
    let order = Order::Outputs { job: job.clone() };
    let reports: Vec<Report> = question(&cluster, &by.framework, &order).await?;
    let counts = counts(&reports);
    let mut left = Left::default();
    for report in reports {
        left.outputs.extend(report.outputs.into_iter().filter(|output| all || !output.taken));
        left.failed.extend(report.failed_outputs);
    }
    if left.is_empty() {
        let why = format!("job {job} has left nothing, or it is too long ago: see skep job show");
        return Err(Sentence(why).into());
    }
    let files = bring(&cluster, left, &counts, &to).await?;
    cluster.close().await;
    files.iter().try_for_each(|file| stdout::print(&words::shown(file)))?;
    Ok(ExitCode::SUCCESS)
}

/// What the tasks of a job have left: those that did well, and attempts that failed.
#[derive(Default)]
struct Left {
    outputs: Vec<JobOutput>,
    failed: Vec<FailedOutput>,
}

impl Left {
    const fn is_empty(&self) -> bool {
        self.outputs.is_empty() && self.failed.is_empty()
    }
}

/// How many tasks there are in each group.
fn counts(reports: &[Report]) -> BTreeMap<String, u64> {
    let groups = reports.iter().flat_map(|report| &report.groups);
    groups.map(|group| (group.group.clone(), group.count)).collect()
}

/// The same into the folder that is here, for a framework that has ended.
async fn bring_again(
    cluster: &Cluster,
    left: Left,
    counts: &BTreeMap<String, u64>,
) -> Result<Vec<PathBuf>> {
    cluster.dial_again().await?;
    bring(cluster, left, counts, Path::new(".")).await
}

/// Fetches outputs into folders of their groups, and of their places if a group has several; those
/// of a failed attempt into a folder of that attempt in there. One that cannot be brought keeps no
/// other from being so.
async fn bring(
    cluster: &Cluster,
    left: Left,
    counts: &BTreeMap<String, u64>,
    to: &Path,
) -> Result<Vec<PathBuf>> {
    let folder_of = |group: &str, place: u64| match counts.get(group) {
        Some(count) if *count > 1 => to.join(group).join(place.to_string()),
        _ => to.join(group),
    };
    let done = left.outputs.into_iter();
    let done =
        done.map(|JobOutput { group, place, output, .. }| (folder_of(&group, place), output));
    let failed = left.failed.into_iter().map(|FailedOutput { group, place, attempt, output }| {
        (folder_of(&group, place).join(failed_folder(attempt)), output)
    });
    let (mut files, mut missed) = (Vec::new(), None);
    for (folder, output) in done.chain(failed) {
        let file = folder.join(local::file_of(&output.guest));
        // A framework said so, and which one may be chosen.
        let fetched = match below(to, &file) {
            true => local::fetch(cluster, &output, &file).await,
            false => {
                let file = words::shown(&file);
                Err(Sentence(format!("{file} is outside of the folder: it is not written")).into())
            }
        };
        match fetched {
            Ok(()) => files.push(file),
            Err(failure) => {
                if let Some(before) = missed.replace(failure) {
                    before.tell();
                }
            }
        }
    }
    missed.map_or(Ok(files), Err)
}

/// Whether a path that begins with a folder stays in it.
fn below(folder: &Path, file: &Path) -> bool {
    let rest = file.strip_prefix(folder).unwrap_or(Path::new(".."));
    rest.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The folder of what a failed attempt has left.
fn failed_folder(FailedAttempt { attempt, copy }: FailedAttempt) -> String {
    let copy = if copy { "-copy" } else { "" };
    format!("failed{copy}-{attempt}")
}

fn code(standing: Standing) -> ExitCode {
    match standing {
        Standing::Done => ExitCode::SUCCESS,
        Standing::Running | Standing::Failed | Standing::Stopped => ExitCode::from(FAILED),
    }
}

/// Failures of tasks are told beside the table.
fn tell_failures(reports: &[Report]) {
    for failure in reports.iter().flat_map(|report| &report.failures) {
        stdout::say(&format!("skep: {failure}\n"));
    }
}

/// Says on stderr how far it is.
#[derive(Default)]
struct Shown {
    last: Vec<Report>,
}

impl Shown {
    fn show(&mut self, batch: &Batch) {
        let now = batch.reports();
        let done = |reports: &[Report]| -> u64 {
            reports.iter().flat_map(|report| &report.groups).map(|group| group.done).sum()
        };
        let total = |reports: &[Report]| -> u64 {
            reports.iter().flat_map(|report| &report.groups).map(|group| group.count).sum()
        };
        let (before, count, all) = (done(&self.last), done(&now), total(&now));
        // A line for each tenth of the way.
        if all > 0 && before * 10 / all != count * 10 / all {
            stdout::say(&format!("{count} of {all} tasks done\n"));
        }
        self.last = now;
    }
}

impl Watch for Shown {
    fn moved(&mut self, batch: &Batch, _: usize, to: Move, _: &StatusUpdate) {
        if to == Move::Ended {
            self.show(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_that_a_framework_says_leads_out_of_the_folder() {
        for (folder, file, expected) in [
            (".", "./a/b", true),
            ("to", "to/a", true),
            ("../to", "../to/a/./b", true),
            ("to", "to/../a", false),
            ("to", "/etc/passwd", false),
            ("to", "a", false),
        ] {
            assert_eq!(below(Path::new(folder), Path::new(file)), expected, "{folder} {file}");
        }
    }
}
