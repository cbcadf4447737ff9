//! Which effects need not wait for the records before them.
//!
//! An effect waits for all of them, see [`Effect::Persist`]. Only an order to an executor waits for
//! less: for the acceptance of the tasks that it names, and for earlier orders to the same
//! executor; the acknowledgement of its reports waits for all, and other orders do not wait for
//! it. So the next task starts while the record of how the last one ended is on its way to the
//! disk; where a task has a CPU for itself, that would be the longest part of the time between two
//! tasks.
//!
//! Whoever carries out effects holds back those that may not pass, in their order, and tells here
//! what it holds and gives free.

use crate::{effect::Effect, profile::ExecutorKey, record::Record};
use skep_protocol::{TaskKey, executor::ToExecutor};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub struct Overtaking {
    /// The tasks whose acceptance is not on the disk.
    unsaved: BTreeSet<TaskKey>,
    /// How many orders are held, per executor that has any.
    orders: BTreeMap<ExecutorKey, usize>,
}

/// A task's acceptance, to be held back as an effect is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance(TaskKey);

impl Overtaking {
    /// A record is on its way to the disk. If it is the acceptance of a task, that is to be held
    /// behind it, and told by [`saved`](Self::saved) when it is free.
    pub fn persists(&mut self, record: &Record) -> Option<Acceptance> {
        let Record::TaskAccepted { key, .. } = record else { return None };
        self.unsaved.insert(key.clone());
        Some(Acceptance(key.clone()))
    }

    /// An acceptance is on the disk.
    pub fn saved(&mut self, acceptance: &Acceptance) {
        self.unsaved.remove(&acceptance.0);
    }

    /// Whether an effect may be carried out at once, if there are records before it that are not on
    /// the disk, or effects that wait for them.
    pub fn may_pass(&self, effect: &Effect) -> bool {
        let order = order(effect);
        order.is_some_and(|(executor, message)| {
            !self.orders.contains_key(executor) && self.is_saved(message)
        })
    }

    /// An effect is held back.
    pub fn holds(&mut self, effect: &Effect) {
        if let Some((executor, _)) = order(effect) {
            *self.orders.entry(executor.clone()).or_default() += 1;
        }
    }

    /// An effect that was held back is free.
    pub fn frees(&mut self, effect: &Effect) {
        if let Some((executor, _)) = order(effect)
            && let Some(held) = self.orders.get_mut(executor)
        {
            *held -= 1;
            if *held == 0 {
                self.orders.remove(executor);
            }
        }
    }

    fn is_saved(&self, order: &ToExecutor) -> bool {
        match order {
            ToExecutor::Start { guests } => {
                guests.iter().all(|guest| !self.unsaved.contains(&guest.key))
            }
            ToExecutor::Kill { .. }
            | ToExecutor::Pause { .. }
            | ToExecutor::Resume { .. }
            | ToExecutor::Tell { .. }
            | ToExecutor::HangUp { .. }
            | ToExecutor::Message(_)
            | ToExecutor::Stop => true,
            ToExecutor::Acknowledge { .. } => false,
        }
    }
}

/// The order that others to the same executor do not overtake, if the effect is one.
const fn order(effect: &Effect) -> Option<(&ExecutorKey, &ToExecutor)> {
    match effect {
        Effect::SendExecutor { message: ToExecutor::Acknowledge { .. }, .. } => None,
        Effect::SendExecutor { executor, message } => Some((executor, message)),
        _ => None,
    }
}
