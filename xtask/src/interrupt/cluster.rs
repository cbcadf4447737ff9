//! The cluster whose commands are interrupted: a master and two agents as processes, and what is
//! still to be seen of the commands.

use super::pause;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    fmt, fs,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What each agent offers: any machine has a processor, and tasks that sleep share it.
const RESOURCES: &str = "cpus:1;mem:2048";
/// How long anything of the cluster itself may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked for it.
const LOOK: Duration = Duration::from_millis(100);

/// See the module. Its processes end with it.
pub(super) struct Cluster {
    skep: PathBuf,
    folder: PathBuf,
    address: String,
    master: Mutex<Child>,
    agents: Vec<Child>,
    restarts: AtomicU64,
}

/// What is left of commands that have ended.
#[derive(Debug, Default)]
pub(super) struct Remains {
    tasks: Vec<String>,
    frameworks: Vec<String>,
    executors: Vec<String>,
    folders: Vec<String>,
}

impl Remains {
    pub(super) fn is_empty(&self) -> bool {
        let Self { tasks, frameworks, executors, folders } = self;
        [tasks, frameworks, executors, folders].iter().all(|what| what.is_empty())
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, frameworks, executors, folders } = self;
        for (what, which) in [
            ("tasks", tasks),
            ("frameworks", frameworks),
            ("executors", executors),
            ("folders", folders),
        ] {
            writeln!(f, "{} {what}: {}", which.len(), which.join(", "))?;
        }
        Ok(())
    }
}

impl Cluster {
    pub(super) fn start(skep: &Path, folder: &Path) -> Result<Self> {
        let (skep, folder) = (skep.to_owned(), folder.to_owned());
        fs::create_dir_all(folder.join("tmp"))?;
        let mut cluster = Self {
            master: Mutex::new(start_master(&skep, &folder, "127.0.0.1:0")?),
            address: String::new(),
            agents: Vec::new(),
            restarts: AtomicU64::new(0),
            skep,
            folder,
        };
        cluster.address = first_line(&mut cluster.master.lock().expect("nobody else has it"))?;
        for number in 0..2 {
            let agent = cluster.start_agent(number)?;
            cluster.agents.push(agent);
        }
        cluster.await_agents()?;
        Ok(cluster)
    }

    fn start_agent(&self, number: usize) -> Result<Child> {
        let token = self.skep(&["token", "create", "--role", "agent", "-o", "json"]).output()?;
        let token: Value = serde_json::from_slice(&token.stdout).context("there is no token")?;
        let token = token["token"].as_str().context("there is no token")?.to_owned();
        let name = format!("agent-{number}");
        let mut command = self.skep(&["agent", "--resources", RESOURCES, "--join", &token]);
        command.arg("--work").arg(self.folder.join(&name));
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let mut agent = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        first_line(&mut agent)?;
        Ok(agent)
    }

    fn await_agents(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.view(&["status"]).is_ok_and(|status| status["agents_connected"] == 2) {
                return Ok(());
            }
            pause(LOOK);
        }
        bail!("the agents are not there after {} s", PATIENCE.as_secs());
    }

    /// `skep` with these words, at this master.
    pub(super) fn skep(&self, words: &[&str]) -> Command {
        let mut command = bare(&self.skep, &self.folder);
        command.args(words).env("SKEP_MASTER", &self.address);
        command
    }

    fn view(&self, words: &[&str]) -> Result<Value> {
        let output = self.skep(words).args(["-o", "json"]).output()?;
        if !output.status.success() {
            bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The master dies without a word, and the next begins where its records end.
    pub(super) fn restart_master(&self) -> Result<()> {
        let mut master = self.master.lock().expect("no thread dies with it");
        master.kill()?;
        master.wait()?;
        *master = start_master(&self.skep, &self.folder, &self.address)?;
        first_line(&mut master)?;
        self.restarts.fetch_add(1, Ordering::Relaxed);
        println!("the master was killed and started again");
        Ok(())
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn module(&self, name: &str) -> PathBuf {
        crate::repo::root().join(format!("guests/modules/{name}.wasm"))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A job of two groups, of which the second needs the first.
    pub(super) fn job(&self, name: &str) -> Result<PathBuf> {
        let module = self.module("sleep");
        let text = format!(
            "name = \"{name}\"\n\
             [tasks.first]\nmodule = {module:?}\nargs = [\"500\"]\ncount = 20\n\
             cpus = 0.02\nmem = \"16MiB\"\n\
             [tasks.second]\nmodule = {module:?}\nargs = [\"600000\"]\ncount = 4\n\
             needs = [\"first\"]\ncpus = 0.02\nmem = \"16MiB\"\n"
        );
        let file = self.file(&format!("{name}.toml"));
        fs::write(&file, text)?;
        Ok(file)
    }

    /// What is there of commands that have all ended.
    pub(super) fn remains(&self) -> Result<Remains> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = |view: Value| view.as_array().cloned().unwrap_or_default();
        let tasks = rows(self.view(&["ps"])?);
        let frameworks = rows(self.view(&["framework", "list"])?);
        let own = frameworks.iter().filter(|view| view["name"] != "supervisor");
        let folders = fs::read_dir(self.folder.join("tmp"))?.flatten();
        Ok(Remains {
            tasks: tasks.iter().map(|task| text(&task["task"])).collect(),
            frameworks: own.map(|view| text(&view["name"])).collect(),
            executors: executors(&self.folder),
            folders: folders.map(|e| e.file_name().to_string_lossy().into_owned()).collect(),
        })
    }

    /// The cluster does its work as before.
    pub(super) fn run_to_the_end(&self) -> Result<()> {
        let module = crate::repo::root().join("examples/hello/hello.wasm");
        let output = self.skep(&["run", "--count", "20"]).arg(module).output()?;
        if !output.status.success() {
            bail!("afterwards nothing runs: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let master = self.master.get_mut().ok().into_iter();
        for process in self.agents.iter_mut().chain(master) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn bare(skep: &Path, folder: &Path) -> Command {
    let mut command = Command::new(skep);
    command
        .current_dir(folder)
        .env("TMPDIR", folder.join("tmp"))
        .env("SKEP_CONFIG_DIR", folder.join("config"))
        .env("SKEP_CACHE_DIR", folder.join("cache"))
        // What this run leaves goes soon after.
        .env("SKEP_ALONE_MAX", "20s")
        .stdin(Stdio::null());
    command
}

fn start_master(skep: &Path, folder: &Path, listen: &str) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join("master.log"))?;
    let mut command = bare(skep, folder);
    command.args(["master", "--listen", listen]).arg("--data").arg(folder.join("master"));
    Ok(command.stdout(Stdio::piped()).stderr(log).spawn()?)
}

/// The last word of the first line that a process says: the master's is its address.
fn first_line(process: &mut Child) -> Result<String> {
    let stdout = process.stdout.take().context("its output is ours")?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    reader.read_line(&mut line)?;
    // The rest is read so that the process never waits for us.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let last = line.split_whitespace().last().context("it ended before it said anything")?;
    Ok(last.to_owned())
}

/// The executors below a folder, by the kernel's word.
fn executors(folder: &Path) -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let lines = processes.flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        let is_executor = words.get(1).is_some_and(|word| word == "executor");
        let root = words.iter().find(|word| Path::new(word).starts_with(folder))?;
        is_executor.then(|| format!("{} {root}", entry.file_name().to_string_lossy()))
    });
    lines.collect()
}
