//! The command line: what can be typed, and what it is parsed into.

mod bench;
mod files;
mod frameworks;
mod keeping;
mod masters;
mod module;
mod sandbox;
mod sharing;
mod trouble;

pub(crate) use bench::{Bench, BenchAllocator, BenchCompute, BenchCpu, BenchStart, BenchTasks};
pub(crate) use files::{Files, InputFile, OutputFile};
pub(crate) use frameworks::{
    ApplyFile, Bond, CronCommand, FetchJob, FrameworkCommand, HostArgs, HostedLogs, JobCommand,
    JobFile, JobRun, JobSubmit, LOOK_EVERY, OneFramework, OneJob, OneNamed, ServiceCommand,
    ShowHosted,
};
pub(crate) use keeping::{
    AgentArgs, AgentCommand, FixedReservation, MaintenanceArgs, OneAgent, VolumeCommand,
};
pub(crate) use masters::{Backup, EtcdAccess, Master, Migrate, Restore, Store, StorePlace};
pub(crate) use module::{Inspect, Module, Push, TryCompile};
pub(crate) use sandbox::{Executor, NamedVolume, Walls};
pub(crate) use sharing::{
    Place, QuotaCommand, Reservation, Reserve, RoleCommand, Unreserve, Wanted, Why,
};
pub(crate) use trouble::Trouble;

use crate::units::{
    Bytes, ClockArg, Env, Fuel, HostDir, IndexRange, Net, Scalars, Span, VolumeDir,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use skep_protocol::{ModuleLimits, Role, operator::PeerKind};
use std::{
    ffi::OsString,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

/// Runs WebAssembly tasks in sandboxes, on this machine or on a cluster.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a Wasm module as one task or many, and wait for them
    #[command(override_usage = "skep run [OPTIONS] MODULE [ARGS]...")]
    Run(Box<Run>),
    /// Start a cluster in this process, for trying things out
    Dev(Dev),
    /// Start a master
    Master(Master),
    /// Start an agent; list, show, drain, deactivate and give up agents
    Agent(AgentArgs),
    /// Where masters keep their records
    #[command(subcommand)]
    Store(Store),
    /// Copy all that a cluster must not lose into one file, which holds its private key
    Backup(Box<Backup>),
    /// Make a cluster of a backup, while no master runs
    Restore(Box<Restore>),
    /// Make, list and revoke join tokens
    #[command(subcommand)]
    Token(Token),
    /// List tasks
    Ps(Ps),
    /// Show what a task wrote
    Logs(Logs),
    /// End a task
    Kill(Kill),
    /// Run an ended deterministic task again, on this machine, and say whether it came out the same
    Replay(Replay),
    /// Frameworks; schedulers that the cluster hosts
    #[command(subcommand)]
    Framework(FrameworkCommand),
    /// Jobs by file: groups of tasks that need each other
    #[command(subcommand)]
    Job(JobCommand),
    /// Services: so many copies of a program, kept running
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Schedules: tasks that begin at times of day
    #[command(subcommand)]
    Cron(CronCommand),
    /// Roles and their weights
    #[command(subcommand)]
    Role(RoleCommand),
    /// Quotas: what a role is guaranteed, and the most that it may have
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Reserve resources of an agent for a role
    Reserve(Reserve),
    /// Give reserved resources back
    Unreserve(Unreserve),
    /// Volumes: folders of agents that outlive tasks
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Why a framework has no offer, or a task of it no place
    Why(Why),
    /// Modules: store, list, inspect, compile
    #[command(subcommand)]
    Module(Module),
    /// List the offers that are out: whose, to whom, for how long
    Offers(Client),
    /// Share a cluster on paper: run a scenario of agents, frameworks and roles, print the offers
    Simulate(Simulate),
    /// The cluster in a few lines: what it does, or why nothing runs
    Status(Client),
    /// What this machine offers to sandboxes, and what it lacks
    Doctor(Doctor),
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
    /// Run guests for an agent (started by agents)
    #[command(hide = true)]
    Executor(Executor),
    /// Check and compile a module (started by agents)
    #[command(hide = true)]
    Compile(Compile),
}

/// How to reach a master.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Client {
    /// Address of the master, host:port; several separated by commas
    #[arg(long, env = "SKEP_MASTER", value_name = "ADDR", value_delimiter = ',')]
    master: Vec<String>,
    /// Join token; needed once per machine and master, where no identity is kept
    #[arg(long, env = "SKEP_JOIN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) join: Option<String>,
    /// Folder of the identity to use (ca.pem, cert.pem, key.pem)
    #[arg(long, env = "SKEP_IDENTITY", value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

impl Client {
    /// The addresses that were named. An empty variable in the environment names none.
    pub(crate) fn masters(&self) -> Vec<String> {
        self.master.iter().filter(|address| !address.is_empty()).cloned().collect()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Where a core dump goes if no file is named.
pub(crate) const COREDUMP: &str = "core";

#[derive(Debug, Args)]
// What its tasks leave has the long name that the form of documents has elsewhere.
#[command(mut_arg("output", |form| form.long("format")))]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) grants: Grants,
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) walls: Walls,
    #[command(flatten)]
    pub(crate) trouble: Trouble,
    /// Role to ask for resources in
    #[arg(long, default_value_t, value_name = "ROLE")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    #[command(flatten)]
    pub(crate) bond: Bond,
    /// Keep a core dump of a task that dies of a trap or a limit, with all that its memory holds;
    /// of several tasks, each in a file of its own whose name ends with the task's number
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = COREDUMP,
    )]
    pub(crate) coredump: Option<PathBuf>,
    /// Hand the tasks to `batch` in the cluster and go: `skep job wait NAME` waits for them. One
    /// task has 256 MiB of memory then, unless --mem says otherwise
    #[arg(long, requires = "master")]
    pub(crate) detach: bool,
    /// Name of the job, for lists (the module's file name if not given)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A WebAssembly file with a WASI command, and the guest's arguments; in an array, {} in an
    /// argument stands for the task's index or line
    // One list, because all that follows the module is the guest's, options included.
    #[arg(required = true, trailing_var_arg = true, value_name = "MODULE [ARGS]")]
    words: Vec<OsString>,
}

impl Run {
    /// The module: a file, or the digest of a stored one.
    pub(crate) fn module(&self) -> &Path {
        Path::new(&self.words[0])
    }

    /// The guest's arguments.
    pub(crate) fn args(&self) -> &[OsString] {
        &self.words[1..]
    }
}

/// Limits of each task; exceeding one ends the task.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits of each task")]
pub(crate) struct Limits {
    /// CPUs set aside [default: 1, in an array 0.1]
    #[arg(long, value_name = "N", value_parser = crate::units::cpus)]
    pub(crate) cpus: Option<skep_protocol::Amount>,
    /// Memory, such as 64MiB [default: 1GiB or what the agent has, in an array 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) mem: Option<Bytes>,
    /// Fuel: deterministic units of computation, such as 5G [default: no limit]
    #[arg(long, value_name = "UNITS")]
    pub(crate) fuel: Option<Fuel>,
    /// Wall-clock time, such as 90s [default: no limit]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<Span>,
    /// Bytes of stdout and stderr together [default: 1GiB, or twice the file of --stdin if that is
    /// more; in an array 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_output: Option<Bytes>,
    /// Size of its files, beyond what was there before [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) disk: Option<Bytes>,
    /// Files, directories and links that it may make [default: 10000]
    #[arg(long, value_name = "N")]
    pub(crate) max_files: Option<u64>,
    /// Files that it may have open at once, at most 4096 [default: 256]
    #[arg(long, value_name = "N")]
    pub(crate) max_handles: Option<u32>,
    /// Random bytes that it may draw [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_random: Option<Bytes>,
    /// Host calls a second; more are delayed [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) max_host_calls: Option<u64>,
}

/// What each task may see of the world; nothing if not granted.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Grants")]
pub(crate) struct Grants {
    /// Let the guest read and write a directory, or only read it (private cluster only)
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", value_parser = HostDir::reader())]
    pub(crate) dirs: Vec<HostDir>,
    /// Let the guest read and write, or only read, a folder that agents' operators named; /NAME if
    /// it is not said what the guest calls it
    #[arg(long = "volume", value_name = "NAME[::GUEST][:ro]")]
    pub(crate) volumes: Vec<VolumeDir>,
    /// Give the guest an empty folder of its own as its working directory
    #[arg(long)]
    pub(crate) scratch: bool,
    /// Let the guest, a component, connect to a peer: a name or an address, and a port; `none`: it
    /// may import what opens the network, and is denied it
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) net: Vec<Net>,
    /// Set a variable, or pass one on from here
    #[arg(long, value_name = "K[=V]")]
    pub(crate) env: Vec<Env>,
    /// Standard input: a file, or - for that of this command. One task reads it as it comes, of
    /// any size; many tasks, or one that may run again, are given a copy each
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// Its clock: real, fixed:TIME (it stands still) or virtual (its own work and waits move it; a
    /// time to start from may follow, as in virtual:2026-01-01T00:00:00Z)
    #[arg(long, value_name = "CLOCK")]
    pub(crate) clock: Option<ClockArg>,
    /// Seed of its random numbers [default: the machine's own numbers]
    #[arg(long, value_name = "N")]
    pub(crate) random_seed: Option<u64>,
    /// The same module, arguments and inputs give the same output, fuel and exit on every machine:
    /// a virtual clock and seeded random numbers
    #[arg(
        long,
        value_name = "SEED",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        conflicts_with_all = ["clock", "random_seed"],
    )]
    pub(crate) deterministic: Option<u64>,
}

impl Grants {
    /// What is granted of the network, and nothing else.
    pub(crate) fn network(&self) -> skep_protocol::task::Grants {
        let peer = |net: &Net| match net {
            Net::Peer(peer) => Some(peer.clone()),
            Net::None => None,
        };
        skep_protocol::task::Grants {
            network: self.net.iter().filter_map(peer).collect(),
            network_denied: self.net.contains(&Net::None),
            ..skep_protocol::task::Grants::default()
        }
    }
}

/// Many tasks of one module.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Many tasks")]
#[group(multiple = false)]
pub(crate) struct Many {
    /// Run N tasks, with indices from 0
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroUsize>,
    /// Run a task for each index from A to B
    #[arg(long, value_name = "A-B")]
    pub(crate) array: Option<IndexRange>,
    /// Run a task for each line of a file
    #[arg(long, value_name = "FILE")]
    pub(crate) each_line: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Number of agents; they share this machine's resources
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) agents: NonZeroUsize,
    /// Address to listen on [default: 127.0.0.1:5050, for a command any free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// Run this command with SKEP_MASTER and SKEP_IDENTITY set, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AgentStart {
    /// Address of the master, host:port; several separated by commas
    #[arg(long, env = "SKEP_MASTER", value_name = "ADDR", value_delimiter = ',', required = true)]
    pub(crate) master: Vec<String>,
    /// Join token; needed at the first start
    #[arg(long, env = "SKEP_JOIN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) join: Option<String>,
    /// Work folder: identity, records, sandboxes
    #[arg(long, env = "SKEP_WORK", default_value = "skep-agent", value_name = "DIR")]
    pub(crate) work: PathBuf,
    /// What modules, their machine code and inputs may take on the disk; beyond it those used
    /// longest ago go
    #[arg(long, env = "SKEP_CACHE_SIZE", default_value = "8GiB", value_name = "SIZE")]
    pub(crate) cache_size: Bytes,
    /// What modules may be like and what compiling them may take, where it is not the default, such
    /// as "functions=500000,compile-seconds=60" (a wrong name lists them all)
    #[arg(long, env = "SKEP_MODULE_LIMITS", value_name = "LIST", default_value = "")]
    pub(crate) module_limits: ModuleLimits,
    /// What to offer, such as "cpus:4;mem:8192" (mem and disk in MiB) [default: what this machine
    /// has and the control groups around the agent allow, without what skep needs itself]
    #[arg(long, env = "SKEP_RESOURCES", value_name = "LIST")]
    pub(crate) resources: Option<Scalars>,
    /// Reserve a part of it for a role and those below it, such as eng=cpus:1,mem:256
    #[arg(long = "reserve", value_name = "ROLE=LIST")]
    pub(crate) reserved: Vec<FixedReservation>,
    /// What to say about this node, such as "zone:a;ram_gb:7.5;ports:[8000-8100]"
    #[arg(long, env = "SKEP_ATTRIBUTES", value_name = "LIST", default_value = "")]
    pub(crate) attributes: crate::units::Attributes,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Let tasks be granted a folder of this machine under a name; :ro so that none writes it
    #[arg(long = "volume", value_name = "NAME=PATH[:ro]")]
    pub(crate) volumes: Vec<NamedVolume>,
    /// Let tasks be granted connections to these peers: host:port, host:* or *
    #[arg(long = "allow-net", env = "SKEP_ALLOW_NET", value_name = "PEER", value_delimiter = ',')]
    pub(crate) network: Vec<skep_agent::NetRule>,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// Whether executors are put into a control group that limits their memory once more
    #[arg(long, env = "SKEP_CGROUP", value_enum, default_value_t, value_name = "MODE")]
    pub(crate) cgroup: sandbox::Cgroup,
    /// What becomes of its tasks when the agent is told to stop: they end, or they run on and the
    /// next agent in this work folder takes them up
    #[arg(long, env = "SKEP_AT_STOP", value_enum, default_value_t, value_name = "WHAT")]
    pub(crate) at_stop: sandbox::AtStop,
    /// How long tasks run on without their agent, should it end in another way
    #[arg(long, env = "SKEP_ALONE_MAX", default_value = "15m", value_name = "TIME")]
    pub(crate) alone_max: Span,
    /// Users that executors become if the agent is root, one for each framework, or none; agents
    /// of one machine need ranges of their own
    #[arg(
        long,
        env = "SKEP_UID_RANGE",
        default_value = "600000-665535",
        value_name = "FIRST-LAST"
    )]
    pub(crate) uid_range: sandbox::Users,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a join token and print the command that uses it
    Create {
        #[command(flatten)]
        client: Client,
        /// What it admits: agent, framework or operator
        #[arg(long, value_name = "KIND")]
        role: PeerKind,
        /// How often it can be used
        #[arg(long, default_value = "1", value_name = "N")]
        uses: u32,
        /// For how long it is valid
        #[arg(long, default_value = "1h", value_name = "TIME")]
        ttl: Span,
    },
    /// List tokens that can still be used
    #[command(visible_alias = "ls")]
    List(Client),
    /// Make a token unusable
    Revoke {
        #[command(flatten)]
        client: Client,
        /// Its id, as `skep token list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Also list tasks that have ended
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Go on until the task ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Its core dump instead, if it was to leave one (`skep run --coredump`)
    #[arg(long)]
    pub(crate) core: bool,
    /// The task, as `skep ps` shows it
    pub(crate) task: skep_protocol::TaskId,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Whose task, where several frameworks have one of that name
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) framework: Option<String>,
    /// The task, as `skep ps` shows it
    pub(crate) task: skep_protocol::TaskId,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) client: Client,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// Whose task, where several frameworks had one of that name
    #[arg(long, value_name = "ID")]
    pub(crate) framework: Option<skep_protocol::FrameworkId>,
    /// What to read here in place of a volume that the task read; only read it is in any case
    #[arg(long = "volume", value_name = "NAME=PATH")]
    pub(crate) volumes: Vec<NamedVolume>,
    /// The task, as `skep ps --all` shows it
    pub(crate) task: skep_protocol::TaskId,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario, JSON or TOML
    pub(crate) file: PathBuf,
    /// Also draw each role's share over the steps
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// Print what this build's executor is and can enforce
    #[arg(long, conflicts_with_all = ["module", "artifact"])]
    pub(crate) describe: bool,
    /// Make its NaNs the same on every processor
    #[arg(long)]
    pub(crate) deterministic: bool,
    #[command(flatten)]
    pub(crate) walls: Walls,
    /// What modules may be like and may take, where it is not the default
    #[arg(long, value_name = "LIST", default_value = "")]
    pub(crate) module_limits: ModuleLimits,
    /// The module
    #[arg(required_unless_present = "describe")]
    pub(crate) module: Option<PathBuf>,
    /// Where the compiled module goes
    #[arg(required_unless_present = "describe")]
    pub(crate) artifact: Option<PathBuf>,
}
