//! An executor or a compiler that is taken over: what a guest could do that runs its own machine
//! code in it.
//!
//! This program is both sides. Started with an attempt's name it enters the jail by the same
//! function as `skep executor`, on its only thread, makes the attempt and prints the error number;
//! started without, it runs itself for each attempt and compares. It has a `main` of its own
//! because the test harness has threads, and the jail is to be entered before there are any.
//!
//! Each attempt is made as whoever runs the tests and, if that is root, as a user of the jail's own
//! too. What can succeed on any machine is also made outside of the jail, where it must succeed:
//! otherwise its failure within would prove nothing.

#![expect(unsafe_code, reason = "a hostile guest is not held to safe wrappers")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test, with its own main")]

use skep_executor::jail::{self, Jail, Network, Strictness};
use skep_protocol::task::Access;
use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, IntoRawFd as _},
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    ptr,
};
use tempfile::TempDir;

/// Whether an attempt succeeds outside of the jail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    Works,
    WorksForRoot,
    /// It depends on the machine, or fails everywhere as it is made here.
    Unsaid,
}
use Outside::{Unsaid, Works, WorksForRoot};

/// What the attacker tries, and the errors of which one must come: the first layer that stands in
/// the way says no, and that depends on who asks.
const ATTEMPTS: &[(&str, &[i32], Outside)] = &[
    ("read a file of the machine", &[libc::EACCES], Works),
    ("list the folder above", &[libc::EACCES], Works),
    ("read another framework's sandbox", &[libc::EACCES], Works),
    ("write another framework's sandbox", &[libc::EACCES], Works),
    ("link to another framework's output", &[libc::EACCES, libc::EXDEV, libc::EPERM], Works),
    ("follow a link out of the sandbox", &[libc::EACCES], Works),
    ("look at the agent", &[libc::EACCES], Works),
    ("read the key of the artifacts' seals", &[libc::EACCES], Works),
    ("read an artifact by its name", &[libc::EACCES], Works),
    ("poison an artifact", &[libc::EACCES], Works),
    ("add an artifact", &[libc::EACCES], Works),
    ("replace an artifact", &[libc::EACCES, libc::EXDEV], Works),
    ("write to the artifact of an order", &[libc::EBADF], Unsaid),
    ("open the artifact of an order to write", &[libc::EACCES], Works),
    ("break the seal of the artifact of an order", &[libc::EPERM], Works),
    ("write a folder that is granted to read", &[libc::EACCES], Works),
    ("truncate a file that is granted to read", &[libc::EACCES], Works),
    ("change the mode of a file that is granted to read", &[libc::EPERM], Works),
    ("make a pipe with a name", &[libc::EPERM], Works),
    ("make a device", &[libc::EPERM, libc::EACCES], Unsaid),
    ("open a socket of the internet", &[libc::EPERM], Works),
    ("open a socket of the machine", &[libc::EPERM], Works),
    ("open a socket of the kernel", &[libc::EPERM], Works),
    ("run a program", &[libc::EPERM], Works),
    ("fork", &[libc::EPERM], Works),
    ("clone into a namespace", &[libc::EPERM], Unsaid),
    ("clone by the newer call", &[libc::ENOSYS], Unsaid),
    ("signal the agent", &[libc::EPERM], Works),
    ("signal a thread of the agent", &[libc::EPERM], Works),
    ("have the kernel signal the agent", &[libc::EPERM], Works),
    ("trace the agent", &[libc::EPERM], Unsaid),
    ("read the agent's memory", &[libc::EPERM], Unsaid),
    ("become root", &[libc::EPERM], WorksForRoot),
    ("change a limit", &[libc::EPERM], Works),
    ("mount", &[libc::EPERM], Unsaid),
    ("submit calls by a ring", &[libc::EPERM], Unsaid),
    ("open a file by its handle", &[libc::EPERM], Unsaid),
];

/// What an executor does all day must go on working.
const CHORES: &[&str] = &[
    "write and read its own sandbox",
    "rename in its own sandbox",
    "read a folder that is granted to read",
    "write a folder that is granted to write",
    "read the artifact of an order",
    "start a thread",
    "make code executable",
    "hold no descriptor of its parent",
    "have no capability",
];

/// What the executor's own scheduler does, where the one who starts it may raise its limits.
const CHORE_OF_THE_ABLE: &str = "have the lowest rank and the common one again";

/// The network profile: connections of the internet protocols, and nobody is let in.
const WITH_NETWORK: &[(&str, &[i32])] = &[
    ("open a socket of the internet", &[0]),
    ("open a socket of the machine", &[libc::EPERM]),
    ("open a socket of the kernel", &[libc::EPERM]),
    ("listen", &[libc::EPERM]),
    ("read another framework's sandbox", &[libc::EACCES]),
    ("run a program", &[libc::EPERM]),
];

/// The compiler's jail, which has no folder at all: what an executor may do and it may not.
const OF_THE_COMPILER: &[(&str, &[i32])] = &[
    ("write and read its own sandbox", &[libc::EACCES]),
    ("rename in its own sandbox", &[libc::EACCES]),
    ("read a folder that is granted to read", &[libc::EACCES]),
    ("write a folder that is granted to write", &[libc::EACCES]),
    ("read the artifact of an order", &[0]),
    ("start a thread", &[0]),
];

/// Where an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Jail(Network),
    Compiler,
}

impl Place {
    const ALL: [(Self, &str); 4] = [
        (Self::Outside, "outside"),
        (Self::Jail(Network::Closed), "in jail"),
        (Self::Jail(Network::Open), "in jail with network"),
        (Self::Compiler, "in the compiler's jail"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(place, _)| *place == self).unwrap().1
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().collect();
    if words.get(1).is_some_and(|word| word == "attempt") {
        let place = Place::ALL.iter().find(|(_, name)| *name == words[5]).unwrap().0;
        return attempt(&words[2], Path::new(&words[3]), words[4].parse().ok(), place);
    }
    // As the test harness is asked, by those who list tests.
    if words.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_root = rustix::process::geteuid().is_root();
    let held = rustix::thread::capabilities(None).unwrap().effective;
    let is_able = held.contains(rustix::thread::CapabilitySet::SYS_RESOURCE);
    let mut tally = Tally::default();
    for (name, _, outside) in ATTEMPTS {
        if *outside == Works || *outside == WorksForRoot && is_root {
            tally.check(name, None, Place::Outside, &[0]);
        }
    }
    let users = if is_root { &[None, Some(654_321)][..] } else { &[None] };
    for user in users.iter().copied() {
        let closed = Place::Jail(Network::Closed);
        ATTEMPTS.iter().for_each(|(name, errors, _)| tally.check(name, user, closed, errors));
        CHORES.iter().for_each(|name| tally.check(name, user, closed, &[0]));
        if is_able {
            tally.check(CHORE_OF_THE_ABLE, user, closed, &[0]);
        }
        let open = Place::Jail(Network::Open);
        WITH_NETWORK.iter().for_each(|(name, errors)| tally.check(name, user, open, errors));
    }
    for (name, errors, _) in ATTEMPTS {
        tally.check(name, None, Place::Compiler, errors);
    }
    OF_THE_COMPILER.iter().for_each(|(name, errors)| {
        tally.check(name, None, Place::Compiler, errors);
    });
    let Tally { passed, failed } = tally;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    fn check(&mut self, name: &str, user: Option<u32>, place: Place, expected: &[i32]) {
        let errno = run(name, user, place);
        let good = errno.as_ref().is_ok_and(|errno| expected.contains(errno));
        let who = user.map_or(String::new(), |user| format!(", as user {user}"));
        let verdict = if good { "ok" } else { "FAILED" };
        println!("test {name} ({}{who}) ... {verdict}", place.name());
        if good {
            self.passed += 1;
        } else {
            println!("  it ended with {errno:?}, expected {expected:?}");
            self.failed += 1;
        }
    }
}

/// A machine in small: sandboxes of two frameworks, an artifact and its key, granted folders.
fn machine(user: Option<u32>) -> TempDir {
    let outer = tempfile::tempdir().unwrap();
    let path = |name: &str| outer.path().join(name);
    for folder in ["tasks/mine", "tasks/other", "artifacts", "readable", "writable"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    let files =
        ["secret", "artifact.key", "tasks/other/stdout", "artifacts/a.cwasm", "readable/file"];
    for file in files {
        fs::write(path(file), file).unwrap();
    }
    if let Some(user) = user {
        // Only the jail is to stand in the way: by their owners all files are the attacker's.
        let mut all = vec![outer.path().to_owned()];
        while let Some(path) = all.pop() {
            chown(&path, Some(user), Some(user)).unwrap();
            if path.is_dir() {
                all.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
    outer
}

/// Makes one attempt in a process of its own; gives the error number that it printed.
fn run(name: &str, user: Option<u32>, place: Place) -> Result<i32, String> {
    let outer = machine(user);
    let user = user.map_or("none".into(), |user| user.to_string());
    let words = ["attempt", name, outer.path().to_str().unwrap(), &user, place.name()];
    let output = Command::new(env::current_exe().unwrap()).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().map_err(|_| format!("{output:?}"))
}

/// What the attacker starts with.
struct Loot<'a> {
    outer: &'a Path,
    /// The process that started it.
    agent: i64,
    /// A descriptor that the agent did not mean for it.
    inherited: i32,
    /// What came with an order.
    artifact: File,
}

impl Loot<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.outer.join(name)
    }
}

/// The side of the attacker.
fn attempt(name: &str, outer: &Path, user: Option<u32>, place: Place) -> ExitCode {
    // Its number is one that nothing opened later gets.
    let inherited = rustix::io::fcntl_dupfd_cloexec(File::open("/").unwrap(), 100).unwrap();
    let inherited = inherited.into_raw_fd();
    jail::close_inherited().unwrap();
    let artifact = File::open(outer.join("artifacts/a.cwasm")).unwrap();
    let agent = i64::from(rustix::process::getppid().unwrap().as_raw_nonzero().get());
    let loot = Loot { outer, agent, inherited, artifact };
    let root = loot.path("tasks/mine");
    let dirs =
        [(loot.path("readable"), Access::ReadOnly), (loot.path("writable"), Access::ReadWrite)];
    let strictness = Strictness::Strict;
    let enter = |jail: &Jail| jail::enter(jail).map_err(|error| error.to_string());
    let files = jail::Files::Own;
    let entered = match place {
        Place::Outside => env::set_current_dir(root).map_err(|error| error.to_string()),
        Place::Jail(network) => {
            let (root, dirs) = (Some(root), dirs.into());
            enter(&Jail { strictness, user, root, dirs, network, files })
        }
        Place::Compiler => {
            env::set_current_dir(root).unwrap();
            let (root, dirs, network) = (None, [].into(), Network::Closed);
            enter(&Jail { strictness, user, root, dirs, network, files })
        }
    };
    if let Err(error) = entered {
        println!("not in jail: {error}");
        return ExitCode::FAILURE;
    }
    match act(name, &loot) {
        Ok(()) => println!("0"),
        Err(error) => println!("{}", error.raw_os_error().unwrap_or(-1)),
    }
    ExitCode::SUCCESS
}

fn act(name: &str, loot: &Loot<'_>) -> io::Result<()> {
    let path = |name: &str| loot.path(name);
    match name {
        "read a file of the machine" => fs::read(path("secret")).map(drop),
        "list the folder above" => fs::read_dir("..").map(drop),
        "read another framework's sandbox" => fs::read("../other/stdout").map(drop),
        "write another framework's sandbox" => fs::write(path("tasks/other/new"), "x"),
        "link to another framework's output" => fs::hard_link("../other/stdout", "mine"),
        "follow a link out of the sandbox" => {
            symlink(path("secret"), "link")?;
            fs::read("link").map(drop)
        }
        "look at the agent" => fs::read(format!("/proc/{}/status", loot.agent)).map(drop),
        "write a folder that is granted to read" => fs::write(path("readable/new"), "x"),
        "truncate a file that is granted to read" => truncate(&path("readable/file")),
        "change the mode of a file that is granted to read" => {
            fs::set_permissions(path("readable/file"), fs::Permissions::from_mode(0o777))
        }
        _ => act_on_artifacts(name, loot),
    }
}

fn act_on_artifacts(name: &str, loot: &Loot<'_>) -> io::Result<()> {
    let path = |name: &str| loot.path(name);
    let open = |path: &Path| OpenOptions::new().write(true).open(path).map(drop);
    match name {
        "read the key of the artifacts' seals" => fs::read(path("artifact.key")).map(drop),
        "read an artifact by its name" => fs::read(path("artifacts/a.cwasm")).map(drop),
        "poison an artifact" => open(&path("artifacts/a.cwasm")),
        "add an artifact" => fs::write(path("artifacts/b.cwasm"), "x"),
        "replace an artifact" => {
            fs::write("evil", "x")?;
            fs::rename("evil", path("artifacts/a.cwasm"))
        }
        "write to the artifact of an order" => (&loot.artifact).write_all(b"x"),
        "open the artifact of an order to write" => {
            open(Path::new(&format!("/proc/self/fd/{}", loot.artifact.as_raw_fd())))
        }
        "break the seal of the artifact of an order" => {
            loot.artifact.set_permissions(fs::Permissions::from_mode(0o777))
        }
        _ => act_on_kernel(name, loot),
    }
}

fn truncate(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path).map(drop)
}

fn act_on_kernel(name: &str, loot: &Loot<'_>) -> io::Result<()> {
    let agent = loot.agent;
    let none = ptr::null::<u8>() as i64;
    let program = c"/bin/echo".as_ptr() as i64;
    // Run, it says that there was no error.
    let arguments = [c"echo".as_ptr(), c"0".as_ptr(), ptr::null()];
    let arguments = arguments.as_ptr() as i64;
    let environment = [ptr::null::<libc::c_char>()];
    let environment = environment.as_ptr() as i64;
    let limit = [0_u64; 2];
    let (here, device, pipe) = (-100, c"null".as_ptr() as i64, c"pipe".as_ptr() as i64);
    let (call, words): (libc::c_long, [i64; 5]) = match name {
        "open a socket of the internet" => (libc::SYS_socket, [2, 1, 0, 0, 0]),
        "open a socket of the machine" => (libc::SYS_socket, [1, 1, 0, 0, 0]),
        "open a socket of the kernel" => (libc::SYS_socket, [16, 3, 0, 0, 0]),
        "listen" => (libc::SYS_listen, [0, 1, 0, 0, 0]),
        "run a program" => (libc::SYS_execve, [program, arguments, environment, 0, 0]),
        "fork" => (libc::SYS_clone, [17, 0, 0, 0, 0]),
        "clone into a namespace" => (libc::SYS_clone, [0x1000_0000 | 17, 0, 0, 0, 0]),
        "clone by the newer call" => (libc::SYS_clone3, [none, 88, 0, 0, 0]),
        "signal the agent" => (libc::SYS_kill, [agent, 0, 0, 0, 0]),
        "signal a thread of the agent" => (libc::SYS_tgkill, [agent, agent, 0, 0, 0]),
        "have the kernel signal the agent" => (libc::SYS_fcntl, [0, 8, agent, 0, 0]),
        // PTRACE_SEIZE, which stops nobody should it succeed.
        "trace the agent" => (libc::SYS_ptrace, [0x4206, agent, 0, 0, 0]),
        "read the agent's memory" => (libc::SYS_process_vm_readv, [agent, none, 0, none, 0]),
        "become root" => (libc::SYS_setresuid, [0, 0, 0, 0, 0]),
        "mount" => (libc::SYS_mount, [none, none, none, 0, none]),
        "submit calls by a ring" => (libc::SYS_io_uring_setup, [1, none, 0, 0, 0]),
        "open a file by its handle" => (libc::SYS_open_by_handle_at, [here, none, 0, 0, 0]),
        // That of core dumps, down to nothing.
        "change a limit" => (libc::SYS_prlimit64, [0, 4, limit.as_ptr() as i64, none, 0]),
        "make a device" => (libc::SYS_mknodat, [here, device, 0o20_666, 259, 0]),
        "make a pipe with a name" => (libc::SYS_mknodat, [here, pipe, 0o10_666, 0, 0]),
        _ => return do_chore(name, loot),
    };
    // SAFETY: what the words point to lives until the call is over. A call that makes a second
    // process of this one, which has one thread, leaves a whole one.
    match unsafe { libc::syscall(call, words[0], words[1], words[2], words[3], words[4]) } {
        -1 => Err(io::Error::last_os_error()),
        // The fork, which has nothing to say.
        // SAFETY: ends the process at once.
        0 if call == libc::SYS_clone => unsafe { libc::_exit(0) },
        _ => Ok(()),
    }
}

fn do_chore(name: &str, loot: &Loot<'_>) -> io::Result<()> {
    let path = |name: &str| loot.path(name);
    match name {
        "write and read its own sandbox" => {
            fs::create_dir("task.1")?;
            fs::write("task.1/stdout", "x")?;
            fs::read("task.1/stdout").map(drop)
        }
        "rename in its own sandbox" => {
            fs::create_dir("a")?;
            fs::write("file", "x")?;
            fs::rename("file", "a/file")?;
            fs::remove_file("a/file")?;
            fs::remove_dir("a")
        }
        "read a folder that is granted to read" => fs::read(path("readable/file")).map(drop),
        "write a folder that is granted to write" => fs::write(path("writable/new"), "x"),
        "read the artifact of an order" => {
            let mut code = String::new();
            (&loot.artifact).read_to_string(&mut code)?;
            assert_eq!(code, "artifacts/a.cwasm");
            Ok(())
        }
        "start a thread" => {
            std::thread::Builder::new().name("t".into()).spawn(|| ())?.join().unwrap();
            Ok(())
        }
        "make code executable" => make_executable(),
        "have the lowest rank and the common one again" => {
            rank(libc::SCHED_IDLE)?;
            rank(libc::SCHED_OTHER)
        }
        "hold no descriptor of its parent" => {
            // SAFETY: asking for the flags of a descriptor changes nothing.
            match unsafe { libc::fcntl(loot.inherited, libc::F_GETFD) } {
                -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EBADF) => Ok(()),
                _ => Err(io::Error::from_raw_os_error(libc::EEXIST)),
            }
        }
        "have no capability" => no_capability(),
        _ => panic!("nobody knows how to {name}"),
    }
}

fn rank(policy: libc::c_int) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel only reads the parameter.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn make_executable() -> io::Result<()> {
    let (length, rw) = (4_096, libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping that nobody else knows of.
    let page = unsafe { libc::mmap(ptr::null_mut(), length, rw, flags, -1, 0) };
    // SAFETY: the same.
    match unsafe { libc::mprotect(page, length, libc::PROT_READ | libc::PROT_EXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Root reads a file whatever its mode is, and only by a capability.
fn no_capability() -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o000).open("closed")?;
    match File::open("closed") {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EEXIST)),
    }
}
