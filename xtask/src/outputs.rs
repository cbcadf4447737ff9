//! Runs an array of tasks that each say their index, and checks every line of it: on a private
//! cluster, and on a master with two agents as processes. Says what each process held in memory.

use crate::chaos::process::Process;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long the cluster may take to be there.
const START_MAX: Duration = Duration::from_secs(60);
/// How often what a process holds is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What to do.
#[derive(Args)]
pub(crate) struct Order {
    /// How many tasks
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// How long the first task sleeps before it says its line, in seconds
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run only here: private, or cluster
    #[arg(long)]
    only: Option<String>,
    /// The binary [default: target/release/skep, or target/debug/skep]
    #[arg(long)]
    skep: Option<PathBuf>,
}

/// Runs them, and fails if a line is missing, out of order, or the exit code is not 0.
pub(crate) fn run(order: &Order) -> Result<()> {
    let skep = crate::chaos::binary(order.skep.as_deref())?;
    let folder = std::env::temp_dir().join(format!("skep-outputs-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    println!("{} in {}", skep.display(), folder.display());
    let module = folder.join("index_line.wasm");
    let text = crate::repo::root().join("tests/guests/index_line.wat");
    fs::write(&module, wat::parse_file(text)?)?;
    let place = Place { skep, folder, module };
    if order.only.as_deref() != Some("cluster") {
        place.on_a_private_cluster(order)?;
    }
    if order.only.as_deref() != Some("private") {
        place.on_a_real_cluster(order)?;
    }
    fs::remove_dir_all(&place.folder)?;
    Ok(())
}

struct Place {
    skep: PathBuf,
    folder: PathBuf,
    module: PathBuf,
}

impl Place {
    fn skep(&self) -> Command {
        let mut command = Command::new(&self.skep);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEP_")) {
            command.env_remove(name);
        }
        command
            .current_dir(&self.folder)
            .env("SKEP_CONFIG_DIR", self.folder.join("config"))
            .env("SKEP_CACHE_DIR", self.folder.join("cache"))
            .stdin(Stdio::null());
        command
    }

    fn on_a_private_cluster(&self, order: &Order) -> Result<()> {
        println!("on a private cluster:");
        self.check(order, &[], &[])
    }

    fn on_a_real_cluster(&self, order: &Order) -> Result<()> {
        println!("on a master with two agents:");
        let mut master = Process::new(self.folder.join("master.log"));
        let mut command = self.skep();
        command.args(["master", "--listen", "127.0.0.1:0", "--data", "master"]);
        master.start(command)?;
        let address = wait("the master", || {
            let said = master.said();
            let line = said.lines().find(|line| line.contains("127.0.0.1:"))?;
            let at = line.find("127.0.0.1:")?;
            let address = line[at..].split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
            address.into_iter().next().map(str::to_owned)
        })?;
        let token = wait("a token", || {
            let words = ["token", "create", "--role", "agent", "--uses", "2", "-o", "json"];
            let said = self.skep().args(words).args(["--master", &address]).output().ok()?;
            let said: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
            said["token"].as_str().map(str::to_owned)
        })?;
        let mut agents = Vec::new();
        for name in ["agent-0", "agent-1"] {
            let mut agent = Process::new(self.folder.join(format!("{name}.log")));
            let mut command = self.skep();
            command.args(["agent", "--master", &address, "--join", &token, "--work", name]);
            command.args(["--resources", "cpus:1;mem:2048"]);
            agent.start(command)?;
            agents.push(agent);
        }
        wait("the agents", || {
            let words = ["status", "-o", "json", "--master", &address];
            let said = self.skep().args(words).output().ok()?;
            let said: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
            (said["agents_connected"] == 2).then_some(())
        })?;
        let mut watched = vec![("master".to_owned(), master.id())];
        let ids = agents.iter().enumerate().map(|(n, agent)| (format!("agent {n}"), agent.id()));
        watched.extend(ids);
        let watched: Vec<(String, u32)> =
            watched.into_iter().filter_map(|(name, id)| Some((name, id?))).collect();
        self.check(order, &["--master", &address], &watched)
    }

    /// Runs the array and looks at each of its lines.
    fn check(&self, order: &Order, more: &[&str], watched: &[(String, u32)]) -> Result<()> {
        let count = order.count.to_string();
        let millis = (order.first * 1_000).to_string();
        let errors = self.folder.join("errors");
        let mut command = self.skep();
        command.args(["run", "--count", &count, "--cpus", "0.01", "--mem", "16MiB"]).args(more);
        command.arg(&self.module).args(["{}", &millis]);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&errors)?);
        let begin = Instant::now();
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let reading = thread::spawn(move || {
            let mut next = 0_u64;
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                if line != next.to_string() {
                    bail!("after {next} lines came {line:?}");
                }
                next += 1;
            }
            Ok(next)
        });
        let (status, peak) = watch(&mut child)?;
        let lines = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        let took = begin.elapsed().as_secs_f64();
        let said = fs::read_to_string(&errors).unwrap_or_default();
        let lines = lines.with_context(|| said.clone())?;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = lines as f64 / took;
        println!("  {lines} lines in order in {took:.1} s, {rate:.0} a second, {status}");
        println!("  peak resident memory: command {peak} MiB");
        for (name, id) in watched {
            println!("  peak resident memory: {name} {} MiB", peak_mib(*id).unwrap_or_default());
        }
        if lines != order.count || !status.success() {
            bail!("{lines} of {} lines, {status}:\n{said}", order.count);
        }
        Ok(())
    }
}

/// Waits for a process's end; gives what it held at most, in MiB.
fn watch(child: &mut Child) -> Result<(std::process::ExitStatus, u64)> {
    let mut peak = 0;
    loop {
        peak = peak_mib(child.id()).unwrap_or(peak).max(peak);
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak));
        }
        crate::chaos::pause(LOOK);
    }
}

/// The most that a process has held, by the kernel's word.
fn peak_mib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1_024)
}

fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
    let begin = Instant::now();
    while begin.elapsed() < START_MAX {
        if let Some(found) = ask() {
            return Ok(found);
        }
        crate::chaos::pause(LOOK);
    }
    bail!("waited in vain for {what}")
}
