//! Starting `skep`, asking it, and clearing up after it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take that is waited for: long, because it only passes when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is asked for.
const PAUSE: Duration = Duration::from_millis(20);

/// A module of the examples or tests.
pub(crate) fn module(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match name {
        "hello" => root.join("examples/hello/hello.wasm"),
        "counter" => root.join("examples/counter/counter.wasm"),
        "network" => root.join("tests/guests/components/network.wasm"),
        _ => root.join(format!("guests/modules/{name}.wasm")),
    }
}

/// A user's home on one machine: where identities and compiled modules are kept.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `skep` with these words, its environment this home alone.
    pub(crate) fn skep<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Command {
        // What runs the tests may ignore SIGHUP, as nohup does, and what it starts would too.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_skep")]);
        command.args(words).current_dir(self.0.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEP_")) {
            command.env_remove(name);
        }
        command
            // All walls, or the test fails: a machine of a CI has them.
            .env("SKEP_SANDBOX", "strict")
            // A test leaves its agents without a word, and their executors go soon after.
            .env("SKEP_ALONE_MAX", "20s")
            .env("SKEP_CONFIG_DIR", self.path("config"))
            .env("SKEP_CACHE_DIR", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `skep` to its end.
    pub(crate) fn output<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ended {
        self.skep(words).output().unwrap().into()
    }

    /// Runs a module with options before it and arguments after it.
    pub(crate) fn run(&self, options: &[&str], name: &str, args: &[&str]) -> Ended {
        let module = module(name);
        let words = [&["run"], options, &[module.to_str().unwrap()], args].concat();
        self.output(words)
    }
}

/// What a process came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Asserts the exit code, and shows what was said if it is another.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Asserts that stderr holds each of these.
    #[track_caller]
    pub(crate) fn expect_words(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "stderr lacks {word:?}: {self:#?}");
        }
        self
    }

    /// The JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A process in the background; it is killed when this is dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    first_line: String,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it and waits for its first line on stdout.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let log = said.clone();
        thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = stderr.read(&mut piece) {
                log.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first_line = String::new();
        stdout.read_line(&mut first_line).unwrap();
        // The rest is read so that the process never waits for us.
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let process = Self { name: name.into(), child, first_line, said };
        assert!(!process.first_line.is_empty(), "{name} said nothing: {}", process.said());
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn first_line(&self) -> &str {
        &self.first_line
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Ends it without giving it a chance to say so.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end.
    pub(crate) fn terminate(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Waits for its end and gives its code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The code it ended with, if it has ended.
    pub(crate) fn code_now(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap()?.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, self.said());
        }
    }
}

/// A master and its agents, each a process, and the home of their operator.
pub(crate) struct Cluster {
    pub(crate) home: Home,
    pub(crate) address: String,
    pub(crate) agents: Vec<Process>,
    pub(crate) master: Process,
}

impl Cluster {
    /// Starts a master and one agent for each resource list.
    pub(crate) fn start(agents: &[&str]) -> Self {
        Self::start_with(agents, &[])
    }

    /// The same, of a master that is told more.
    pub(crate) fn start_with(agents: &[&str], more: &[&str]) -> Self {
        let home = Home::new();
        let words = ["master", "--listen", "127.0.0.1:0", "--data", "master"];
        let words = [&words[..], more].concat();
        let master = Process::start("master", &mut home.skep(words));
        let address = master.first_line.trim().rsplit(' ').next().unwrap().to_owned();
        let mut cluster = Self { home, address, agents: Vec::new(), master };
        for resources in agents {
            cluster.start_agent(resources);
        }
        cluster.await_agents(agents.len() as u64);
        cluster
    }

    /// `skep` with these words, of which two name the command, at this master.
    pub(crate) fn skep(&self, words: &[&str]) -> Ended {
        let (command, rest) = words.split_at(2);
        self.home.output([command, &["--master", &self.address], rest].concat())
    }

    /// A fresh join token.
    pub(crate) fn token(&self, kind: &str) -> String {
        let words = ["token", "create", "--role", kind, "--master", &self.address, "-o", "json"];
        self.home.output(words).expect_code(0).json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn start_agent(&mut self, resources: &str) {
        self.start_agent_with(resources, &[]);
    }

    /// Starts an agent that is told more.
    pub(crate) fn start_agent_with(&mut self, resources: &str, more: &[&str]) {
        let number = self.agents.len();
        let (token, work) = (self.token("agent"), format!("agent-{number}"));
        let words = ["agent", "--join", &token, "--master", &self.address, "--work", &work];
        let words = [&words[..], &["--resources", resources], more].concat();
        let process = Process::start(&work, &mut self.home.skep(words));
        self.agents.push(process);
    }

    /// Waits until so many agents are connected.
    pub(crate) fn await_agents(&self, count: u64) {
        until("the agents connect", || {
            (self.view("status")["agents_connected"] == count).then_some(())
        });
    }

    /// `skep VIEW -o json` against this cluster.
    pub(crate) fn view(&self, view: &str) -> Value {
        let words = view.split(' ').chain(["--master", &self.address, "-o", "json"]);
        self.home.output(words).expect_code(0).json()
    }

    /// `skep run --master` in this cluster, in the background; the module's name is the last word.
    pub(crate) fn run(&self, options: &[&str], name: &str, args: &[&str]) -> Command {
        let module = module(name);
        let master = ["run", "--master", &self.address];
        let words = [&master[..], options, &[module.to_str().unwrap()], args].concat();
        let mut command = self.home.skep(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Asks until there is an answer, and fails when it takes too long.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: it did not happen within {PATIENCE:?}");
        #[expect(clippy::disallowed_methods, reason = "a pause between two looks, not a guess")]
        thread::sleep(PAUSE);
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The processes that a process has started, by the kernel's word.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}
