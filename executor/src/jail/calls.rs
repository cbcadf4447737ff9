//! seccomp: the system calls that an executor makes, each with who needs it, and no other.
//!
//! Any other call fails with `EPERM`. Killing the process instead would be no stronger, since
//! nothing happens either way, and would end all guests of a framework when a newer C library
//! tries a call that it can do without. `clone3` fails with `ENOSYS`: its flags are in memory,
//! which a filter cannot read, and the C library then takes `clone`.

use super::{JailError, Network, step};
use libc::c_long;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads,
};
use std::{collections::BTreeMap, env::consts::ARCH, io, process};

/// Calls that are allowed whatever their arguments are.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Memory: the allocator, wasmtime's pool, stacks of threads and fibers, mapped artifacts.
    libc::SYS_brk,                  // the allocator
    libc::SYS_mmap,                 // all of them
    libc::SYS_munmap,               // all of them
    libc::SYS_mremap,               // the allocator, for large vectors that grow
    libc::SYS_mprotect,             // wasmtime: memories that grow, code that becomes executable
    libc::SYS_madvise,              // wasmtime: slots given back; threads: stacks given back
    libc::SYS_memfd_create,         // wasmtime: copy-on-write images of memories
    libc::SYS_membarrier,           // wasmtime: code published to all threads
    // Threads: the C library, tokio, the executor's own workers.
    libc::SYS_futex,                // locks, channels, parking
    libc::SYS_set_robust_list,      // a thread that begins
    libc::SYS_rseq,                 // a thread that begins
    libc::SYS_sigaltstack,          // a thread that begins: stack overflows; wasmtime: traps
    libc::SYS_exit,                 // a thread that ends
    libc::SYS_exit_group,           // the process that ends
    libc::SYS_gettid,               // locks that know their owner, the scheduler of guests
    libc::SYS_getpid,               // logs
    libc::SYS_sched_yield,          // spinning locks
    libc::SYS_sched_getaffinity,    // how many processors there are
    libc::SYS_restart_syscall,      // the kernel: waits that a stopped process takes up again
    // Signals: traps of guests arrive as SIGSEGV, SIGILL and SIGFPE.
    libc::SYS_rt_sigaction,         // wasmtime, the standard library
    libc::SYS_rt_sigprocmask,       // threads that begin, abort
    libc::SYS_rt_sigreturn,         // the end of every handler
    // Time and chance.
    libc::SYS_clock_gettime,        // clocks of guests, processor time of threads
    libc::SYS_clock_getres,         // clocks of guests
    libc::SYS_clock_nanosleep,      // sleeping threads
    libc::SYS_nanosleep,            // sleeping threads
    libc::SYS_gettimeofday,         // where the clock has no fast path
    libc::SYS_getrusage,            // processor time of the executor
    libc::SYS_getrandom,            // randomness of guests, hash maps
    // Waiting: tokio.
    libc::SYS_epoll_create1,        // a runtime that begins
    libc::SYS_epoll_ctl,            // sockets that come and go
    libc::SYS_epoll_pwait,          // the driver
    libc::SYS_eventfd2,             // waking the driver
    libc::SYS_ppoll,                // WASI's poll on files
    // Descriptors that are open.
    libc::SYS_read,                 // stdin of guests, wake-ups
    libc::SYS_readv,                // WASI fd_read
    libc::SYS_pread64,              // WASI fd_pread
    libc::SYS_preadv,               // WASI fd_pread
    libc::SYS_preadv2,              // WASI fd_pread
    libc::SYS_write,                // outputs of guests, logs, wake-ups
    libc::SYS_writev,               // WASI fd_write
    libc::SYS_pwrite64,             // WASI fd_pwrite
    libc::SYS_pwritev,              // WASI fd_pwrite
    libc::SYS_pwritev2,             // WASI fd_pwrite to a file open for appending
    libc::SYS_close,                // everybody
    libc::SYS_dup,                  // the standard input, which is the socket that agents dial
    libc::SYS_lseek,                // WASI fd_seek
    libc::SYS_fstat,                // WASI fd_filestat_get
    libc::SYS_ftruncate,            // WASI fd_filestat_set_size
    libc::SYS_fallocate,            // WASI fd_allocate
    libc::SYS_fadvise64,            // WASI fd_advise
    libc::SYS_fsync,                // WASI fd_sync
    libc::SYS_fdatasync,            // WASI fd_datasync
    libc::SYS_getdents64,           // WASI fd_readdir
    // Files by name: Landlock says which.
    libc::SYS_openat,               // sandboxes, granted folders
    libc::SYS_openat2,              // cap-std: names that must not lead out of a folder
    libc::SYS_newfstatat,           // WASI path_filestat_get
    libc::SYS_statx,                // WASI path_filestat_get
    libc::SYS_faccessat,            // whether a file is there
    libc::SYS_faccessat2,           // whether a file is there
    libc::SYS_readlinkat,           // WASI path_readlink; cap-std follows links by hand
    libc::SYS_mkdirat,              // WASI path_create_directory
    libc::SYS_unlinkat,             // WASI path_unlink_file, path_remove_directory
    libc::SYS_renameat,             // WASI path_rename
    libc::SYS_renameat2,            // WASI path_rename
    libc::SYS_linkat,               // WASI path_link
    libc::SYS_symlinkat,            // WASI path_symlink
    libc::SYS_utimensat,            // WASI path_filestat_set_times
    libc::SYS_getcwd,               // names in error messages
    libc::SYS_fchdir,               // granted folders that are open already
    // The conversation with the agent, over a socket that listens already.
    libc::SYS_recvfrom,             // orders
    libc::SYS_recvmsg,              // orders with open files
    libc::SYS_sendto,               // reports
    libc::SYS_sendmsg,              // reports
    libc::SYS_shutdown,             // the end
    libc::SYS_getsockopt,           // tokio: errors of a socket
    libc::SYS_getsockname,          // tokio: what kind of socket it is
    libc::SYS_accept4,              // an agent that was started anew dials again
    // It ends in a refusal (see `NOT_THERE`) and stands here so that the refusal is that one.
    libc::SYS_clone3,               // the C library's first attempt at a thread
];

/// Older names of calls above, which C libraries of this architecture still use.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[c_long] = &[
    libc::SYS_open,                 // openat
    libc::SYS_stat,                 // newfstatat
    libc::SYS_lstat,                // newfstatat
    libc::SYS_access,               // faccessat
    libc::SYS_readlink,             // readlinkat
    libc::SYS_mkdir,                // mkdirat
    libc::SYS_rmdir,                // unlinkat
    libc::SYS_unlink,               // unlinkat
    libc::SYS_rename,               // renameat
    libc::SYS_link,                 // linkat
    libc::SYS_symlink,              // symlinkat
    libc::SYS_poll,                 // ppoll
    libc::SYS_epoll_wait,           // epoll_pwait
    libc::SYS_time,                 // clock_gettime
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// The network profile. No `listen`: nobody dials a guest.
#[rustfmt::skip]
const ALLOWED_WITH_NETWORK: &[c_long] = &[
    libc::SYS_connect,              // WASI sockets; the resolver
    libc::SYS_bind,                 // WASI sockets: UDP
    libc::SYS_setsockopt,           // WASI sockets, tokio
    libc::SYS_sendmmsg,             // the resolver
    libc::SYS_recvmmsg,             // the resolver
];

/// Calls that the C library can do without if they are not there.
const NOT_THERE: [c_long; 1] = [libc::SYS_clone3];

/// `_IOWR('f', 16, struct pm_scan_arg)`: which pages of a memory a guest has touched.
const PAGEMAP_SCAN: u64 = 0xc060_6610;
/// Names of anonymous mappings.
const PR_SET_VMA: u64 = 0x5356_4d41;

pub(super) fn is_known_architecture() -> bool {
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
}

/// Filters the system calls of this process from here on.
pub(super) fn filter(network: Network) -> Result<(), JailError> {
    apply(network).map_err(io::Error::other).map_err(step("filtering system calls"))
}

fn apply(network: Network) -> Result<(), seccompiler::Error> {
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let not_there = SeccompAction::Errno(libc::ENOSYS as u32);
    let hidden = NOT_THERE.iter().map(|call| (*call, Vec::new())).collect();
    // Two filters: of two answers that are not the same the stricter one counts.
    install(hidden, SeccompAction::Allow, not_there)?;
    install(allowed(network)?, refused, SeccompAction::Allow)
}

fn install(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<(), seccompiler::Error> {
    let architecture = TargetArch::try_from(ARCH)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    apply_filter_all_threads(&program)
}

fn allowed(network: Network) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::Error> {
    let always = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new()));
    let mut rules: BTreeMap<_, _> = always.collect();
    let new_namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let clone_mask = (libc::CLONE_THREAD | new_namespaces) as u64;
    let own_threads_only = (libc::CLONE_THREAD) as u64;
    let pid = u64::from(process::id());
    let mut among = |call, argument, values: &[u64]| {
        let one = |value: &u64| Ok(SeccompRule::new(vec![equal(argument, *value)?])?);
        let values = values.iter().map(one).collect::<Result<Vec<_>, seccompiler::Error>>();
        values.map(|values| drop(rules.insert(call, values)))
    };
    // abort, in whichever thread it happens, and nobody else's threads.
    among(libc::SYS_tgkill, 0, &[pid])?;
    // A thread with a working directory of its own, and no namespaces.
    among(libc::SYS_unshare, 0, &[libc::CLONE_FS as u64])?;
    // Non-blocking sockets, WASI's poll on files, wasmtime's pool.
    among(libc::SYS_ioctl, 1, &[libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, PAGEMAP_SCAN])?;
    // Names of threads and mappings.
    among(libc::SYS_prctl, 0, &[libc::PR_SET_NAME as u64, PR_SET_VMA])?;
    // Copies of descriptors, their flags, seals of wasmtime's images. Not F_SETOWN, which sends
    // signals.
    let commands = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
        libc::F_ADD_SEALS,
        libc::F_GET_SEALS,
    ];
    among(libc::SYS_fcntl, 1, &commands.map(|command| command as u64))?;
    // The scheduler of guests: the common rank and the lowest one. Its threads name each other, so
    // that the number of the thread cannot be checked; the kernel checks the user.
    let policies = [libc::SCHED_OTHER as u64, libc::SCHED_IDLE as u64];
    among(libc::SYS_sched_setscheduler, 1, &policies)?;
    if network == Network::Open {
        among(libc::SYS_socket, 0, &[libc::AF_INET as u64, libc::AF_INET6 as u64])?;
        rules.extend(ALLOWED_WITH_NETWORK.iter().map(|call| (*call, Vec::new())));
    }
    // Threads, and neither processes nor namespaces.
    let thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(clone_mask),
        own_threads_only,
    )?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![thread])?]);
    // The C library reads limits, of this process, to size stacks. Nobody sets any.
    let own = equal(0, 0)?;
    let nothing_new = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own, nothing_new])?]);
    Ok(rules)
}

/// The kernel looks at the lower half of these arguments only.
fn equal(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::Error> {
    let condition =
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    Ok(condition?)
}
