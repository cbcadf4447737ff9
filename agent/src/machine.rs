//! What this machine is and has.

use crate::bounds::{Bounds, By};
use rustix::system::uname;
use skep_protocol::{Amount, Resources};

/// Why an agent cannot offer what its operator wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cpus:{offered} is more than there are: tasks would not get the share of a processor that they \
     are promised; offer cpus:{cpus} or less, {by}"
)]
pub struct OfferError {
    /// What was to be offered.
    pub offered: Amount,
    /// What there is.
    pub cpus: Amount,
    /// What says so.
    pub by: By,
}

/// What this machine, or the control groups around this process, can give to tasks.
pub fn machine_resources() -> Resources {
    Bounds::here().resources()
}

/// Refuses to promise more processors than there are. Memory is the operator's own risk: a machine
/// may have swap, and tasks seldom use what they ask for.
pub(crate) fn check(bounds: &Bounds, offered: Option<&Resources>) -> Result<(), OfferError> {
    let Some(offered) = offered else { return Ok(()) };
    let Bounds { cpus, memory_bytes } = bounds;
    if offered.cpus() > cpus.most {
        let by = cpus.by.clone();
        return Err(OfferError { offered: offered.cpus(), cpus: cpus.most, by });
    }
    if offered.mem_bytes() > memory_bytes.most {
        tracing::warn!(
            offered = offered.mem_bytes(),
            most = memory_bytes.most,
            by = %memory_bytes.by,
            "more memory is offered than there is: the kernel may end tasks that use it"
        );
    }
    Ok(())
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
        let bounds = Bounds::here();
        let there = bounds.cpus.clone();
        assert_eq!(check(&bounds, None), Ok(()));
        assert_eq!(check(&bounds, Some(&offer(there.most))), Ok(()));
        let offered = there.most.plus(Amount::millis(1));
        let refused = Err(OfferError { offered, cpus: there.most, by: there.by });
        assert_eq!(check(&bounds, Some(&offer(offered))), refused);
    }

    #[test]
    fn a_machine_has_cpus_and_memory_to_give() {
        let resources = machine_resources();
        assert!(resources.cpus() > Amount::ZERO);
        assert!(resources.mem() > Amount::ZERO);
        assert!(resources.mem_bytes() < Bounds::here().memory_bytes.most);
    }
}
