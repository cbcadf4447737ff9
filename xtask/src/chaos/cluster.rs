//! The processes of the cluster, the machines they are on, and how they are started.

use super::{
    count::{Sandbox, Witness, framework_id},
    disk::Disk,
    net::{Links, Net},
    notes::{Reader, What, now},
    pause,
    process::Process,
};
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

pub(super) const MASTERS: usize = 3;
pub(super) const AGENTS: usize = 4;
const ETCD: usize = 3;
const FRAMEWORKS: [(&str, &str); 2] = [("f0", "waits"), ("f1", "starts-again")];
/// Those whose disks are small, so that they can be filled.
pub(super) const SMALL_DISKS: [&str; 2] = ["master2", "agent3"];
const DISK_MEBIBYTES: u64 = 256;
/// How long the cluster may take to be there.
const START_MAX: Duration = Duration::from_secs(60);
const LEASE: &str = "5s";
const RESOURCES: &str = "cpus:1;mem:1024";

/// See the module. Dropping it ends and removes all of it but the folder.
pub(super) struct Cluster {
    skep: PathBuf,
    pub(super) folder: PathBuf,
    /// What each machine runs, by the machine's name.
    pub(super) processes: BTreeMap<String, Process>,
    readers: Vec<(String, Reader)>,
    tokens: BTreeMap<&'static str, String>,
    /// Processes that ended by themselves, each in a sentence.
    pub(super) ended: Vec<String>,
    pub(super) disks: BTreeMap<String, Disk>,
    pub(super) net: Net,
}

pub(super) fn masters() -> impl Iterator<Item = String> {
    (0..MASTERS).map(|n| format!("master{n}"))
}

pub(super) fn agents() -> impl Iterator<Item = String> {
    (0..AGENTS).map(|n| format!("agent{n}"))
}

pub(super) fn members() -> impl Iterator<Item = String> {
    (0..ETCD).map(|n| format!("etcd{n}"))
}

pub(super) fn frameworks() -> impl Iterator<Item = String> {
    FRAMEWORKS.into_iter().map(|(name, _)| name.to_owned())
}

impl Cluster {
    /// Starts all of it, and waits until tasks end.
    pub(super) fn start(skep: &Path, folder: &Path) -> Result<Self> {
        let machines: Vec<String> =
            members().chain(masters()).chain(agents()).chain(frameworks()).collect();
        let net = Net::make(&machines.iter().map(String::as_str).collect::<Vec<_>>())?;
        let place = |name: &String| {
            let log = folder.join(format!("{name}.log"));
            (name.clone(), Process::new(log))
        };
        let mut cluster = Self {
            skep: skep.to_owned(),
            folder: folder.to_owned(),
            processes: machines.iter().map(place).collect(),
            readers: frameworks().map(|name| (name, Reader::default())).collect(),
            tokens: BTreeMap::new(),
            ended: Vec::new(),
            disks: BTreeMap::new(),
            net,
        };
        for machine in SMALL_DISKS {
            if let Ok(disk) = Disk::mount(&cluster.folder.join(machine), DISK_MEBIBYTES) {
                cluster.disks.insert(machine.to_owned(), disk);
            }
        }
        members().try_for_each(|name| cluster.launch(&name))?;
        // The first makes the key that the others read.
        cluster.launch("master0")?;
        cluster.wait("the key of the store", |cluster| {
            cluster.folder.join("store.key").exists().then_some(())
        })?;
        masters().try_for_each(|name| cluster.launch(&name))?;
        for kind in ["agent", "framework"] {
            let token = cluster.wait("a token", |cluster| cluster.token(kind))?;
            cluster.tokens.insert(kind, token);
        }
        agents().try_for_each(|name| cluster.launch(&name))?;
        frameworks().try_for_each(|name| cluster.launch(&name))?;
        cluster.wait("the first ends of tasks of both frameworks", |cluster| {
            let witnesses = cluster.witnesses().ok()?;
            let ends = |witness: &Witness| {
                let is_end = |what: &What| matches!(what, What::Told(word) if word.end.is_some());
                witness.notes.iter().any(|note| is_end(&note.what))
            };
            witnesses.iter().all(ends).then_some(())
        })?;
        Ok(cluster)
    }

    fn wait<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let begin = Instant::now();
        while begin.elapsed() < START_MAX {
            if let Some(found) = ask(self) {
                return Ok(found);
            }
            pause(Duration::from_millis(100));
        }
        bail!("waited in vain for {what}: see {}", self.folder.display())
    }

    pub(super) fn process(&mut self, machine: &str) -> Result<&mut Process> {
        self.processes.get_mut(machine).with_context(|| format!("no machine {machine}"))
    }

    /// Starts what belongs on a machine, unless it runs.
    pub(super) fn launch(&mut self, machine: &str) -> Result<()> {
        let command = match machine.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "etcd" => self.etcd(machine),
            "master" => self.master(machine),
            "agent" => self.agent(machine),
            _ => self.framework(machine)?,
        };
        self.process(machine)?.start(command)
    }

    /// Starts again what has ended by itself, as a machine's own supervisor would.
    pub(super) fn mend(&mut self) -> Result<()> {
        let names: Vec<String> = self.processes.keys().cloned().collect();
        for name in names {
            let Some(status) = self.process(&name)?.ended()? else { continue };
            if frameworks().any(|framework| framework == name) && status.success() {
                continue;
            }
            self.ended.push(format!("{} {name} ended by itself: {status}", now()));
            self.launch(&name)?;
        }
        Ok(())
    }

    fn etcd(&self, machine: &str) -> Command {
        let url = |name: &str, port: u16| format!("http://{}:{port}", self.net.address(name));
        let all: Vec<_> = members().map(|name| format!("{name}={}", url(&name, 2380))).collect();
        let mut command = self.net.command(machine, "etcd");
        command
            .args(["--name", machine, "--data-dir"])
            .arg(self.folder.join(machine))
            .args(["--listen-client-urls", &url(machine, 2379)])
            .args(["--advertise-client-urls", &url(machine, 2379)])
            .args(["--listen-peer-urls", &url(machine, 2380)])
            .args(["--initial-advertise-peer-urls", &url(machine, 2380)])
            .args(["--initial-cluster", &all.join(","), "--logger", "zap"]);
        command
    }

    fn master(&self, machine: &str) -> Command {
        let members: Vec<_> =
            members().map(|name| format!("{}:2379", self.net.address(&name))).collect();
        let store = format!("etcd://{}", members.join(","));
        let listen = format!("{}:5050", self.net.address(machine));
        let mut command = self.skep(machine, "master");
        command
            .args(["--listen", &listen, "--store", &store, "--lease", LEASE, "--store-key"])
            .arg(self.folder.join("store.key"))
            .arg("--data")
            .arg(self.folder.join(machine));
        command
    }

    fn agent(&self, machine: &str) -> Command {
        let mut command = self.skep(machine, "agent");
        command.args(["--master", &self.masters(), "--resources", RESOURCES, "--work"]);
        command.arg(self.folder.join(machine));
        if let Some(token) = self.tokens.get("agent") {
            command.args(["--join", token]);
        }
        command
    }

    fn framework(&self, machine: &str) -> Result<Command> {
        let patience = FRAMEWORKS.iter().find(|(name, _)| *name == machine).map(|(_, how)| *how);
        let myself = std::env::current_exe()?;
        let folder = self.folder.join(machine);
        fs::create_dir_all(&folder)?;
        let mut command = self.net.command(machine, &myself.to_string_lossy());
        command
            .args(["chaos-framework", "--name", machine, "--masters", &self.masters()])
            .args(["--patience", patience.unwrap_or("waits"), "--folder"])
            .arg(folder)
            .arg("--end")
            .arg(self.end());
        if let Some(token) = self.tokens.get("framework") {
            command.args(["--join", token]);
        }
        Ok(command)
    }

    /// The binary on a machine, with an environment of its own.
    fn skep(&self, machine: &str, subcommand: &str) -> Command {
        let mut command = self.net.command(machine, &self.skep.to_string_lossy());
        command
            .arg(subcommand)
            .env("SKEP_LOG", "info")
            .env("SKEP_CONFIG_DIR", self.home(machine).join("config"))
            .env("SKEP_CACHE_DIR", self.home(machine).join("cache"))
            .env("SKEP_ALONE_MAX", "60s")
            .env("SKEP_SANDBOX", "best-effort");
        command
    }

    fn home(&self, machine: &str) -> PathBuf {
        self.folder.join("homes").join(machine)
    }

    /// The addresses of all masters.
    fn masters(&self) -> String {
        let addresses = masters().map(|name| format!("{}:5050", self.net.address(&name)));
        addresses.collect::<Vec<_>>().join(",")
    }

    fn token(&self, kind: &str) -> Option<String> {
        // Who starts a master is its operator.
        let mut command = self.skep("master0", "token");
        let words = ["create", "--role", kind, "--uses", "100", "-o", "json", "--master"];
        let output = command.args(words).arg(self.masters()).output().ok()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        said["token"].as_str().map(String::from)
    }

    fn end(&self) -> PathBuf {
        self.folder.join("end")
    }

    /// No more new tasks.
    pub(super) fn end_load(&self) -> Result<()> {
        Ok(fs::write(self.end(), "")?)
    }

    /// Whether both frameworks have seen all their tasks end.
    pub(super) fn is_load_done(&mut self) -> Result<bool> {
        let witnesses = self.witnesses()?;
        let is_done =
            |witness: &Witness| witness.notes.last().is_some_and(|note| note.what == What::Done);
        Ok(witnesses.iter().all(is_done))
    }

    /// What the frameworks have written down so far.
    pub(super) fn witnesses(&mut self) -> Result<Vec<Witness>> {
        let mut all = Vec::new();
        for (name, reader) in &mut self.readers {
            reader.follow(&self.folder.join(&*name).join("notes"))?;
            all.push(Witness { name: name.clone(), notes: reader.notes.clone() });
        }
        Ok(all)
    }

    /// The machine of the master that said last that it leads.
    pub(super) fn leader(&self) -> Result<String> {
        let reigns = masters().filter_map(|name| {
            let said = self.processes.get(&name)?.said();
            let leads = said.lines().filter(|line| line.contains("this master leads"));
            leads.filter_map(epoch).max().map(|epoch| (epoch, name))
        });
        reigns.max().map(|(_, name)| name).context("no master has ever led")
    }

    /// The id of the agent on a machine, which it says when it is admitted.
    pub(super) fn agent_id(&self, machine: &str) -> Result<String> {
        let said = self.processes.get(machine).map(Process::said).unwrap_or_default();
        let id = said.lines().find_map(|line| {
            let words = line.strip_prefix("agent ")?;
            words.split([' ', ',', ':']).next().map(String::from)
        });
        id.with_context(|| format!("{machine} has not said its id"))
    }

    /// The name of the framework that a master knows by this id.
    pub(super) fn framework_of(&mut self, id: &str) -> Result<Option<String>> {
        let witnesses = self.witnesses()?;
        let is_it = |witness: &&Witness| {
            witness.notes.iter().filter_map(framework_id).any(|known| known == id)
        };
        Ok(witnesses.iter().find(is_it).map(|witness| witness.name.clone()))
    }

    /// The sandboxes that lie at agents: what ran there wrote something.
    pub(super) fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        let mut found = Vec::new();
        for machine in agents() {
            let agent = self.agent_id(&machine)?;
            let Ok(frameworks) = fs::read_dir(self.folder.join(&machine).join("tasks")) else {
                continue;
            };
            for framework in frameworks.flatten() {
                let Ok(tasks) = fs::read_dir(framework.path()) else { continue };
                for task in tasks.flatten() {
                    let name = task.file_name().to_string_lossy().into_owned();
                    let Some((task, attempt)) = name.rsplit_once('.') else { continue };
                    let Ok(attempt) = attempt.parse() else { continue };
                    let framework = framework.file_name().to_string_lossy().into_owned();
                    let (agent, task) = (agent.clone(), task.to_owned());
                    found.push(Sandbox { agent, framework, task, attempt });
                }
            }
        }
        Ok(found)
    }

    pub(super) fn has_links(&self) -> bool {
        self.net.links() == Links::Own
    }

    pub(super) fn has_disks(&self) -> bool {
        self.disks.len() == SMALL_DISKS.len()
    }
}

fn epoch(line: &str) -> Option<u64> {
    let digits = line.split("epoch=").nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
