//! Privileges: what a process can do because of who it is.

use super::{JailError, step};
use rustix::{
    process::{
        DumpableBehavior, Gid, Resource, Rlimit, Uid, getrlimit, set_dumpable_behavior, setrlimit,
    },
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

/// Open descriptors: files of guests, each of which has its own, lower limit.
const DESCRIPTORS_MAX: u64 = 65_536;
/// Threads of a user that is nobody but executors of one framework: some forty in each.
const THREADS_MAX: u64 = 1_024;
/// The limit that lets a thread have the common priority (nice 0) again once it has had the
/// lowest, and no higher one: the executor's own scheduler moves threads between the two.
const NICE: u64 = 20;

/// Gives up all privileges, and becomes `user` if there is one.
pub(super) fn drop_all(user: Option<u32>) -> Result<(), JailError> {
    limit(user)?;
    set_no_new_privs(true).map_err(step("setting no-new-privileges"))?;
    drop_bounds()?;
    if let Some(id) = user {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[]).map_err(step("leaving all groups"))?;
        set_thread_res_gid(gid, gid, gid).map_err(step("changing the group"))?;
        set_thread_res_uid(uid, uid, uid).map_err(step("changing the user"))?;
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(step("dropping capabilities"))?;
    // A process of the same user is to look into this one neither by ptrace nor by /proc.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(step("becoming unreadable for others"))
}

/// What nothing that is ever run from here can have again. Root alone may do without.
fn drop_bounds() -> Result<(), JailError> {
    let held = capabilities(None).map_err(step("reading capabilities"))?;
    clear_ambient_capability_set().map_err(step("dropping ambient capabilities"))?;
    if !held.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(step("bounding capabilities")(error)),
        }
    }
    Ok(())
}

/// Not limited are the address space, of which the pool reserves tebibytes, and the length of
/// files, which is counted for each task.
fn limit(user: Option<u32>) -> Result<(), JailError> {
    let both = |max| Rlimit { current: Some(max), maximum: Some(max) };
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(DESCRIPTORS_MAX);
    let mut limits =
        vec![(Resource::Core, 0), (Resource::Nofile, descriptors.min(DESCRIPTORS_MAX))];
    if user.is_some() {
        limits.push((Resource::Nproc, THREADS_MAX));
    }
    for (resource, max) in limits {
        setrlimit(resource, both(max)).map_err(step("limiting resources"))?;
    }
    // Only root may raise it. Without it shares hold within an executor, but not between two.
    let _ = setrlimit(Resource::Nice, both(NICE));
    Ok(())
}
