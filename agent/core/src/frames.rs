//! Cuts lists into messages that stay below the frame bound.
//!
//! Sizes are estimates from above, and a message is filled to half the bound: what an estimate
//! forgets has room.

use skep_protocol::{
    Outcome, StatusUpdate, TaskState,
    bounds::{FRAME_BYTES_MAX, WHY_BYTES_MAX},
    executor::StartGuest,
};

/// Ids, numbers, paths and tags of one item.
const ITEM_BYTES: usize = 1 << 10;

/// The items in their order, in as many lists as they need frames.
pub(crate) fn cut<T>(items: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut frames, mut frame, mut filled) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let size = bytes(&item);
        if filled + size > FRAME_BYTES_MAX / 2 && !frame.is_empty() {
            frames.push(std::mem::take(&mut frame));
            filled = 0;
        }
        filled += size;
        frame.push(item);
    }
    if !frame.is_empty() {
        frames.push(frame);
    }
    frames
}

pub(crate) fn update_bytes(update: &StatusUpdate) -> usize {
    let texts = match &update.state {
        TaskState::Ended(Outcome::Trapped { why, backtrace, .. }) => {
            why.len() + backtrace.iter().map(|line| line.len() + 4).sum::<usize>()
        }
        TaskState::Ended(Outcome::ModuleRejected { why } | Outcome::Failed { why }) => why.len(),
        TaskState::Ended(Outcome::Refused { .. }) => WHY_BYTES_MAX,
        _ => 0,
    };
    ITEM_BYTES + update.result.len() + texts
}

pub(crate) fn guest_bytes(guest: &StartGuest) -> usize {
    let args: usize = guest.args.iter().map(|arg| arg.len() + 4).sum();
    let env: usize = guest.grants.env.iter().map(|(k, v)| k.len() + v.len() + 8).sum();
    let paths = guest.sandbox.as_os_str().len() + guest.artifact.as_os_str().len();
    let stdin = guest.stdin.as_ref().map_or(0, |path| path.as_os_str().len());
    let dirs: usize = guest.grants.dirs.iter().map(|dir| dir.guest.len() + ITEM_BYTES).sum();
    ITEM_BYTES + args + env + paths + stdin + dirs
}
