//! Cuts lists into messages that stay below the bound of a frame.
//!
//! Sizes are estimates from above, and a message is filled to half the bound: what an estimate
//! forgets has room.

use crate::{
    Outcome, StatusUpdate, TaskSpec, TaskState, agent,
    bounds::{FRAME_BYTES_MAX, ID_BYTES_MAX, ROLE_BYTES_MAX, START_FILES_MAX, WHY_BYTES_MAX},
    executor::{Shared, StartGuest, ToExecutor},
    framework::{Event, Offer},
    outcome::{Checkpoint, TaskMessage},
    task::Input,
};

/// Ids, numbers, resources and tags of one item.
const ITEM_BYTES: usize = 1 << 10;

/// A volume: its name, its role, and two numbers.
const VOLUME_BYTES: usize = ID_BYTES_MAX + ROLE_BYTES_MAX + 64;

/// A blob: its digest, its size, and tags.
const BLOB_BYTES: usize = 64;

/// The items in their order, in as many lists as they need frames.
pub fn cut<T>(items: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
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

/// The size of an update, at most.
pub fn update_bytes(update: &StatusUpdate) -> usize {
    let texts = match &update.state {
        TaskState::Ended(Outcome::Trapped { why, backtrace, .. }) => {
            why.len() + texts_bytes(backtrace.iter())
        }
        TaskState::Ended(Outcome::ModuleRejected { why } | Outcome::Failed { why }) => why.len(),
        TaskState::Ended(Outcome::Refused { .. }) => WHY_BYTES_MAX,
        _ => 0,
    };
    let outputs = update.outputs.iter().map(|output| output.guest.len() + BLOB_BYTES);
    let missing = update.missing.iter().map(|one| one.guest.len() + one.why.len() + 16);
    let files = outputs.sum::<usize>() + missing.sum::<usize>();
    ITEM_BYTES + update.result.len() + texts + files
}

/// The size of a task's description, at most.
pub fn spec_bytes(spec: &TaskSpec) -> usize {
    let env = spec.grants.env.iter().flat_map(|(name, value)| [name, value]);
    let labels = spec.labels.iter().flat_map(|(name, value)| [name, value]);
    let dirs: usize = spec.grants.dirs.iter().map(|dir| dir.guest.len() + ITEM_BYTES).sum();
    let texts = texts_bytes(spec.args.iter()) + texts_bytes(env) + texts_bytes(labels);
    let outputs = spec.outputs.iter().map(|output| output.guest.len() + 8);
    let files = inputs_bytes(&spec.inputs) + outputs.sum::<usize>();
    ITEM_BYTES + texts + dirs + files + spec.checkpoint.len()
}

/// The size of a checkpoint, at most.
pub const fn checkpoint_bytes(checkpoint: &Checkpoint) -> usize {
    ITEM_BYTES + checkpoint.bytes.len()
}

/// The size of a message between a task and its framework, at most.
pub const fn message_bytes(message: &TaskMessage) -> usize {
    ITEM_BYTES + message.bytes.len()
}

// What passes on messages may be dropped where too many wait; the size says how many that are.

impl agent::ToMaster {
    /// If it passes on messages of tasks, their size at most.
    pub fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::Sent { messages } => Some(messages.iter().map(message_bytes).sum()),
            _ => None,
        }
    }
}

impl agent::ToAgent {
    /// If it passes on a message to a task, its size at most.
    pub const fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::Message(message) => Some(message_bytes(message)),
            _ => None,
        }
    }
}

impl ToExecutor {
    /// If it passes on a message to a guest, its size at most.
    pub const fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::Message(message) => Some(message_bytes(message)),
            _ => None,
        }
    }
}

impl Event {
    /// If it passes on a message of a task, its size at most.
    pub const fn message_bytes(&self) -> Option<usize> {
        match self {
            Self::Message(message) => Some(message_bytes(message)),
            _ => None,
        }
    }
}

/// The size of an offer, at most.
pub fn offer_bytes(offer: &Offer) -> usize {
    let attributes = offer.attributes.iter().flat_map(|(name, value)| [name, value]);
    let reserved: usize = offer.reserved.keys().map(|role| role.as_str().len() + ITEM_BYTES).sum();
    let volumes: usize = offer.volumes.len() * VOLUME_BYTES;
    let texts = texts_bytes(attributes) + texts_bytes(offer.enforces.iter());
    ITEM_BYTES + texts + reserved + volumes
}

/// The size of an order to start a guest, at most.
pub fn guest_bytes(guest: &StartGuest) -> usize {
    let env = guest.grants.env.iter().flat_map(|(name, value)| [name, value]);
    let sandbox = guest.sandbox.as_os_str().len();
    let dirs: usize = guest.grants.dirs.iter().map(|dir| dir.guest.len() + ITEM_BYTES).sum();
    let texts = texts_bytes(guest.args.iter()) + texts_bytes(env);
    let files = inputs_bytes(&guest.inputs);
    ITEM_BYTES + texts + sandbox + dirs + files + guest.checkpoint.len()
}

fn inputs_bytes(inputs: &[Input]) -> usize {
    inputs.iter().map(|input| input.guest.len() + BLOB_BYTES).sum()
}

/// Guests in their order, in as many orders to start them as they need frames and files.
pub fn cut_starts(guests: Vec<StartGuest>) -> Vec<Vec<StartGuest>> {
    cut(guests, guest_bytes).into_iter().flat_map(cut_files).collect()
}

/// One guest never needs more files than may come along.
fn cut_files(guests: Vec<StartGuest>) -> Vec<Vec<StartGuest>> {
    let (mut orders, mut order, mut known, mut files) =
        (Vec::new(), Vec::new(), Shared::default(), 0);
    for guest in guests {
        let mut more = known.files_of(0, &guest).len();
        if files + more > START_FILES_MAX {
            orders.push(std::mem::take(&mut order));
            (known, files) = (Shared::default(), 0);
            more = known.files_of(0, &guest).len();
        }
        files += more;
        order.push(guest);
    }
    orders.push(order);
    orders
}

/// Each with its tag and length.
fn texts_bytes<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| text.len() + 8).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_in_order_and_nothing_is_lost() {
        let half = FRAME_BYTES_MAX / 2;
        assert_eq!(
            cut(vec![half, 1, half - 1, 2, 1], |n| *n),
            [vec![half], vec![1, half - 1], vec![2, 1]]
        );
        assert_eq!(cut(vec![FRAME_BYTES_MAX], |n| *n), [[FRAME_BYTES_MAX]]);
        assert!(cut(Vec::<usize>::new(), |n| *n).is_empty());
    }
}
