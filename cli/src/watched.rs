//! A [`Batch`] of this command, and somebody who sees how far it is.

use skep_framework::{Driver, Offer, Question, Scheduler};
use skep_frameworks::batch::{Batch, Hold};
use skep_protocol::{
    FrameworkId, OfferId, StatusUpdate, TaskState,
    framework::{Answer, State},
};

/// Whoever watches.
pub(crate) trait Watch {
    /// The master cannot be reached, or can again.
    fn linked(&mut self, batch: &Batch, link: Link) {
        let _ = (batch, link);
    }

    /// A task that was launched is somewhere else now; `place` is its own in its group.
    fn moved(&mut self, batch: &Batch, place: usize, to: Move, update: &StatusUpdate);

    /// Somebody woke the driver, or a time has come.
    fn woken(&mut self, driver: &mut Driver) {
        let _ = driver;
    }

    /// Whether the last end of a task is kept until what it left is collected.
    fn collects(&self) -> bool {
        false
    }
}

/// Whether the master can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    Down,
}

/// Where a task has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// It runs.
    Started,
    /// The attempt came to nothing; the task is started again.
    Again,
    /// It is done, for good.
    Ended,
}

/// Ends that are not collected, from which on no task is launched that never was: far fewer than
/// one agent may have.
const KEPT_ENDS_MAX: usize = 8_192;

/// See the module.
pub(crate) struct Watched<W> {
    pub(crate) batch: Batch,
    pub(crate) watch: W,
    hold: Hold,
}

impl<W: Watch> Watched<W> {
    pub(crate) const fn new(batch: Batch, watch: W) -> Self {
        Self { batch, watch, hold: Hold::Off }
    }

    /// Launches no more than is collected.
    fn regulate(&mut self, driver: &mut Driver) {
        let max = match self.hold {
            Hold::Off => KEPT_ENDS_MAX,
            Hold::On => KEPT_ENDS_MAX / 2,
        };
        let hold = if driver.kept_ends() >= max { Hold::On } else { Hold::Off };
        if hold != self.hold {
            self.hold = hold;
            self.batch.hold(driver, hold);
        }
    }
}

impl<W: Watch> Scheduler for Watched<W> {
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        self.batch.restored(driver, state);
    }

    fn registered(&mut self, driver: &mut Driver, framework: &FrameworkId) {
        self.batch.registered(driver, framework);
        self.watch.linked(&self.batch, Link::Up);
    }

    fn disconnected(&mut self, driver: &mut Driver) {
        self.batch.disconnected(driver);
        self.watch.linked(&self.batch, Link::Down);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        self.batch.resource_offers(driver, offers);
    }

    fn launch_answered(&mut self, driver: &mut Driver, offer: Option<OfferId>, answer: &Answer) {
        self.batch.launch_answered(driver, offer, answer);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let place = self.batch.place_of(&update.key.task).cloned();
        let was_over = place.as_ref().is_some_and(|place| self.batch.is_over(place));
        self.batch.status_update(driver, update);
        let Some(place) = place.filter(|_| !was_over) else { return };
        let to = match &update.state {
            TaskState::Running => Move::Started,
            TaskState::Ended(_) if self.batch.is_over(&place) => Move::Ended,
            TaskState::Ended(_) => Move::Again,
            _ => return,
        };
        self.watch.moved(&self.batch, place.index(), to, update);
        if to == Move::Ended && self.watch.collects() {
            driver.keep_end(update);
            self.regulate(driver);
        }
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.batch.woken(driver);
        self.watch.woken(driver);
        self.regulate(driver);
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        self.batch.asked(driver, question);
    }
}
