//! `skep doctor`: what this machine offers to sandboxes, and what it lacks.

use crate::{
    args::Format,
    failure::Result,
    output::{self, Row},
};
use serde::Serialize;
use skep_agent::{Bound, Bounds, Place, Version};
use skep_executor::jail;
use skep_protocol::Amount;
use std::fs;

/// Mappings that a thousand guests at once take, as the executor's pool reckons.
const MAPS_ENOUGH: u64 = 20_000;
/// The limit that lets a thread of the lowest rank have the common one, nice 0, again.
const NICE_COMMON: u64 = 20;
const MIB: u64 = 1 << 20;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    found: String,
    verdict: Verdict,
    /// What it is good for, or what to do.
    note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// It works, not as well as it could.
    Lesser,
    /// `--sandbox strict` refuses this machine for it.
    Missing,
}

impl Row for Finding {
    const HEADINGS: &'static [&'static str] = &["WHAT", "FOUND", "", "NOTE"];

    fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Lesser => "less",
            Verdict::Missing => "MISSING",
        };
        vec![self.what.into(), self.found.clone(), verdict.into(), self.note.clone()]
    }
}

pub(super) fn doctor(format: Format) -> Result {
    let bounds = Bounds::here();
    let findings = [
        kernel(),
        landlock(),
        seccomp(),
        users(),
        ranks(),
        user_namespaces(),
        cgroup(),
        maps(),
        processor(),
        cpus(&bounds),
        memory(&bounds),
        strict(),
    ];
    Ok(output::list(format, &findings)?)
}

fn finding(what: &'static str, found: impl Into<String>, verdict: Verdict, note: &str) -> Finding {
    Finding { what, found: found.into(), verdict, note: note.into() }
}

fn either(good: bool, otherwise: Verdict) -> Verdict {
    if good { Verdict::Good } else { otherwise }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    read(path)?.parse().ok()
}

fn kernel() -> Finding {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy().into_owned();
    finding("kernel", release, Verdict::Good, "")
}

fn landlock() -> Finding {
    let missing = jail::missing_layers().contains(&jail::Layer::Landlock);
    let abi = jail::landlock_abi();
    let found = abi.map_or("none".into(), |abi| format!("ABI {abi}"));
    let note = match abi {
        _ if missing => "Linux 6.2 or later, with `landlock` in the boot parameter lsm=",
        Some(..6) => "files; from Linux 6.12 on also signals and abstract sockets",
        _ => "files, signals and abstract sockets",
    };
    finding("landlock", found, either(!missing, Verdict::Missing), note)
}

fn seccomp() -> Finding {
    let missing = jail::missing_layers().contains(&jail::Layer::Seccomp);
    let found = if missing { "none" } else { "filters" };
    let note = "system calls; x86_64 and aarch64";
    finding("seccomp", found, either(!missing, Verdict::Missing), note)
}

fn users() -> Finding {
    let root = rustix::process::geteuid().is_root();
    let found = if root { "root" } else { "not root" };
    let note = "an agent that is root gives each framework a user of its own (--uid-range)";
    finding("users", found, either(root, Verdict::Lesser), note)
}

/// What an executor's threads may change of themselves, once it has given up its privileges.
fn ranks() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nice).maximum;
    let raises = rustix::thread::capabilities(None)
        .is_ok_and(|held| held.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE));
    let good = raises || limit.is_none_or(|limit| limit >= NICE_COMMON);
    let found = if good { "up and down" } else { "down only" };
    let note = "shares between two executors are exact if LimitNICE of the agent is 0 or better";
    finding("thread priorities", found, either(good, Verdict::Lesser), note)
}

fn user_namespaces() -> Finding {
    let max = number("/proc/sys/user/max_user_namespaces").unwrap_or(0);
    let found = if max > 0 { format!("at most {max}") } else { "none".into() };
    finding("user namespaces", found, Verdict::Good, "not used: the jail needs none")
}

fn cgroup() -> Finding {
    let note = "not needed: limits hold without; a second wall around executors if writable";
    let Some(place) = Place::of("memory") else {
        return finding("cgroup", "none for memory", Verdict::Good, note);
    };
    let version = match place.version {
        Version::One => "v1",
        Version::Two => "v2",
    };
    let procs = place.own.join("cgroup.procs");
    let writable = rustix::fs::access(procs, rustix::fs::Access::WRITE_OK).is_ok();
    let found = format!("{version}, {}", if writable { "writable" } else { "not writable" });
    finding("cgroup", found, Verdict::Good, note)
}

fn maps() -> Finding {
    let maps = number("/proc/sys/vm/max_map_count").unwrap_or(0);
    let note =
        "some six for each guest; above ten thousand an executor needs a higher vm.max_map_count";
    finding("memory mappings", maps.to_string(), either(maps >= MAPS_ENOUGH, Verdict::Lesser), note)
}

fn processor() -> Finding {
    let wanted = features();
    let here: Vec<&str> = wanted.iter().filter(|(_, here)| *here).map(|(name, _)| *name).collect();
    let all = here.len() == wanted.len();
    let found = format!("{} {}", std::env::consts::ARCH, here.join(" "));
    finding(
        "processor",
        found,
        either(all, Verdict::Lesser),
        "vector code of guests is fastest with all",
    )
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<(&'static str, bool)> {
    vec![
        ("sse4.1", std::arch::is_x86_feature_detected!("sse4.1")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// What the tasks of an agent can have, and what bounds it.
fn cpus(bounds: &Bounds) -> Finding {
    let Bound { most, by } = &bounds.cpus;
    let whole = *most >= Amount::units(1);
    let note = format!("{by}; an agent offers them all if it is not told --resources");
    finding("cpus", most.to_string(), either(whole, Verdict::Lesser), &note)
}

fn memory(bounds: &Bounds) -> Finding {
    let Bound { most, by } = &bounds.memory_bytes;
    let mib = most / MIB;
    let offered = bounds.resources().mem();
    let note = format!(
        "{by}; an agent offers {offered} MiB if it is not told --resources, the rest is for skep \
         itself"
    );
    finding("memory", format!("{mib} MiB"), either(mib >= 1_000, Verdict::Lesser), &note)
}

fn strict() -> Finding {
    let missing = jail::missing_layers();
    let works = missing.is_empty();
    let found = if works { "works" } else { "refused" };
    let note = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    finding("--sandbox strict", found, either(works, Verdict::Missing), &note)
}
