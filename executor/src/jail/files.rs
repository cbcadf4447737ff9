//! Landlock: the folders that stay open, and where the kernel knows how, no signals and abstract
//! sockets across the border.

use super::{Jail, JailError, Network, folder, step};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
    make_bitflags,
};
use skep_protocol::task::Access;
use std::{io, path::Path};

/// All that is asked of the kernel; an older one does what it can.
const ABI_KNOWN: ABI = ABI::V6;
/// Where names of hosts are looked up, for the network profile.
const RESOLVER_FILES: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
];

/// What stays open, opened already.
pub(super) struct Open {
    rules: Vec<(PathFd, BitFlags<AccessFs>)>,
    network: Network,
}

/// Opens what is to stay open.
pub(super) fn prepare(jail: &Jail) -> Result<Open, JailError> {
    let mut rules = Vec::new();
    if let Some(root) = &jail.root {
        rules.push((open(root)?, read_write()));
    }
    for (path, access) in &jail.dirs {
        let access = match access {
            Access::ReadOnly => read_only(),
            Access::ReadWrite => read_write(),
        };
        rules.push((open(path)?, access));
    }
    if jail.network == Network::Open {
        // Which of them there are is the machine's affair.
        let files = RESOLVER_FILES.iter().filter_map(|path| PathFd::new(path).ok());
        rules.extend(files.map(|file| (file, AccessFs::ReadFile.into())));
    }
    Ok(Open { rules, network: jail.network })
}

fn open(path: &Path) -> Result<PathFd, JailError> {
    PathFd::new(path).map_err(|error| folder(path)(io::Error::other(error)))
}

fn read_only() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

/// All that a guest's own folder is for: no devices, pipes or sockets, and nothing to execute.
fn read_write() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir
        | MakeSym | Refer
    })
}

/// Closes everything else to this thread and all that it starts.
pub(super) fn close(open: Open) -> Result<(), JailError> {
    let failed = || step("restricting files with Landlock");
    let status = restrict(open).map_err(io::Error::other).map_err(failed())?;
    match status {
        RulesetStatus::NotEnforced => {
            Err(failed()(io::Error::other("the kernel enforces nothing")))
        }
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn restrict(open: Open) -> Result<RulesetStatus, landlock::RulesetError> {
    let ports = match open.network {
        Network::Closed => AccessNet::BindTcp | AccessNet::ConnectTcp,
        Network::Open => AccessNet::BindTcp.into(),
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI_KNOWN))?
        .handle_access(ports)?
        .scope(Scope::from_all(ABI_KNOWN))?
        .create()?;
    for (path, access) in open.rules {
        ruleset = ruleset.add_rule(PathBeneath::new(path, access))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}
