//! What this machine is and has.

use rustix::system::{sysinfo, uname};
use skep_protocol::{Amount, Resources};
use std::{fs, num::NonZeroUsize, thread::available_parallelism};

const MIB: u64 = 1 << 20;
/// Memory that is left to the system and to skep itself, in MiB; on a small machine, half of all.
const SPARED_MIB: u64 = 1 << 10;
/// Where a container is told how much memory it may use.
const CONTAINER_LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Why an agent cannot offer what its operator wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cpus:{offered} is more than this machine has: tasks would not get the share of a processor \
     that they are promised; offer cpus:{cpus} or less"
)]
pub struct OfferError {
    /// What was to be offered.
    pub offered: Amount,
    /// What there is.
    pub cpus: Amount,
}

/// What this machine can give to tasks: its cpus, and its memory but for what the system needs.
pub fn machine_resources() -> Resources {
    let memory_mib = memory_bytes() / MIB;
    let spared_mib = SPARED_MIB.min(memory_mib / 2);
    Resources::new(cpus(), Amount::units(memory_mib - spared_mib))
}

/// Refuses to promise more processors than there are. Memory is the operator's own risk: a machine
/// may have swap, and tasks seldom use what they ask for.
pub(crate) fn check(offered: Option<&Resources>) -> Result<(), OfferError> {
    match (offered.map_or(Amount::ZERO, Resources::cpus), cpus()) {
        (offered, cpus) if offered > cpus => Err(OfferError { offered, cpus }),
        _ => Ok(()),
    }
}

/// The bytes of memory that tasks may have together: what is offered, and what is lent besides.
pub(crate) fn tasks_bytes(offered: Option<&Resources>, lent: &Resources) -> u64 {
    let offered = offered.map_or_else(|| machine_resources().mem_bytes(), Resources::mem_bytes);
    offered.saturating_add(lent.mem_bytes())
}

fn cpus() -> Amount {
    Amount::units(available_parallelism().unwrap_or(NonZeroUsize::MIN).get() as u64)
}

/// The machine's memory, or that of the container around us if it is less.
fn memory_bytes() -> u64 {
    let info = sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let limit = fs::read_to_string(CONTAINER_LIMIT).ok();
    // Without a limit the file says `max`, which is no number.
    let limit = limit.and_then(|text| text.trim().parse().ok());
    limit.map_or(machine, |limit| machine.min(limit))
}

pub(crate) fn hostname() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_processors_than_there_are_cannot_be_offered() {
        let offer = |cpus: Amount| Resources::new(cpus, Amount::units(1));
        assert_eq!(check(None), Ok(()));
        assert_eq!(check(Some(&offer(cpus()))), Ok(()));
        let offered = cpus().plus(Amount::millis(1));
        let refused = Err(OfferError { offered, cpus: cpus() });
        assert_eq!(check(Some(&offer(offered))), refused);
    }

    #[test]
    fn a_machine_has_cpus_and_memory_to_give() {
        let resources = machine_resources();
        assert!(resources.cpus() >= Amount::units(1));
        assert!(resources.mem() > Amount::ZERO);
        assert!(resources.mem() < Amount::units(memory_bytes() / MIB));
    }
}
