//! The framework behind `skep run`: a `batch` of one job, whose tasks' ways are told to those who
//! show and collect.

use crate::watched::{Link, Move, Watch, Watched};
use skep_framework::Driver;
use skep_frameworks::batch::{self, Batch};
use skep_protocol::{StatusUpdate, TaskKey};
use tokio::sync::mpsc;

/// What the scheduler tells those who show and collect.
#[derive(Debug)]
pub(crate) enum Told {
    /// A task runs.
    Started { update: StatusUpdate },
    /// A task is done, for good.
    Ended { place: usize, update: StatusUpdate },
    /// An attempt came to nothing; the task is started again.
    Again { update: StatusUpdate },
    /// The master cannot be reached, or can again.
    Connection(Link),
    /// All tasks are done.
    AllDone,
}

/// What the scheduler is ordered to do from outside; it looks when it is woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// What these tasks left is collected, or never will be.
    Collected(Vec<TaskKey>),
    /// All outputs are collected, or nobody waits for them: end the framework.
    Stop,
}

/// Who tells, and takes orders.
#[derive(Debug)]
pub(crate) struct Teller {
    told: mpsc::UnboundedSender<Told>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Who feeds the attempts that run.
    running: mpsc::UnboundedSender<TaskKey>,
}

/// A scheduler that runs a job, and stays when it is done until it is ordered to stop.
pub(crate) fn scheduler(
    job: batch::Job,
    told: mpsc::UnboundedSender<Told>,
    orders: mpsc::UnboundedReceiver<Order>,
    running: mpsc::UnboundedSender<TaskKey>,
) -> Watched<Teller> {
    Watched::new(Batch::held(job), Teller { told, orders, running })
}

impl Watch for Teller {
    fn linked(&mut self, _: &Batch, link: Link) {
        let _ = self.told.send(Told::Connection(link));
    }

    fn moved(&mut self, batch: &Batch, place: usize, to: Move, update: &StatusUpdate) {
        if to == Move::Started {
            // Nobody hears it where there is nothing to feed them with.
            let _ = self.running.send(update.key.clone());
        }
        // Results may be large, many may wait to be told, and nobody there wants them.
        let update = StatusUpdate { result: Vec::new(), ..update.clone() };
        let _ = self.told.send(match to {
            Move::Started => Told::Started { update },
            Move::Again => Told::Again { update },
            Move::Ended => Told::Ended { place, update },
        });
        if to == Move::Ended && batch.are_all_over() {
            let _ = self.told.send(Told::AllDone);
        }
    }

    fn woken(&mut self, driver: &mut Driver) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Collected(keys) => driver.acknowledge(&keys),
                Order::Stop => driver.stop(),
            }
        }
    }

    fn collects(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
