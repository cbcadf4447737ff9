//! Asking for offers: whether, for what, and what was declined meanwhile.
//!
//! ```text
//! work comes      offers are revived, also of what was declined: it was so for other work
//! it is refused   offers are revived after a pause, or stay as they are: it is no new work
//! none is left    offers are suppressed
//! ```

use super::Driver;
use crate::{blame::offer_was_gone, needs::Needs};
use skep_protocol::{
    OfferId, Outcome, Rejection, Resources, Role, TaskState, Time,
    framework::{Call, Demand, Filters},
};
use std::{collections::BTreeSet, time::Duration};

/// How long to wait for offers when tasks were refused where they were launched, and nothing else
/// waits: lest they go round as fast as messages travel.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// What the master was told.
#[derive(Debug, Default)]
pub(super) struct Asking {
    appetite: Appetite,
    /// In the first role. None: nothing on this connection.
    said: Option<Said>,
    /// The works that waited when they were told last.
    works: BTreeSet<u64>,
    /// Something was declined since.
    has_declined: bool,
    /// The works that waited at every decline since offers were revived: what was declined is of
    /// no use to them. None: nothing was declined.
    passed_over: Option<BTreeSet<u64>>,
    /// The present callback tells of tasks that are back because they were refused.
    are_back: bool,
    /// When offers are revived for tasks that were refused.
    later: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Appetite {
    /// As after each registration.
    #[default]
    Wanting,
    Suppressed,
}

#[derive(Clone, Debug)]
struct Said {
    demand: Option<Demand>,
    /// So much of it the master waits for at least: less what was launched since.
    left: Resources,
}

impl Asking {
    /// Notes which works wait; says whether there are such among them for which nothing was
    /// declined yet.
    fn look(&mut self, works: &BTreeSet<u64>) -> bool {
        if std::mem::take(&mut self.has_declined) {
            let mut waited = works & &self.works;
            if let Some(before) = &self.passed_over {
                waited = &waited & before;
            }
            self.passed_over = Some(waited);
        }
        if let Some(passed_over) = self.passed_over.as_mut().filter(|_| self.are_back) {
            passed_over.extend(works);
        }
        self.works.clone_from(works);
        self.passed_over.as_ref().is_some_and(|passed_over| !works.is_subset(passed_over))
    }

    fn is_said(&self, needs: &Needs) -> bool {
        self.said.as_ref().is_some_and(|s| needs.are_met_by(s.demand.as_ref(), &s.left))
    }

    /// So much was launched.
    pub(super) fn use_up(&mut self, resources: &Resources) {
        if let Some(said) = &mut self.said {
            said.left.subtract(resources);
        }
    }

    /// An offer has become void, of which the master may think that it was declined.
    pub(super) const fn declined(&mut self) {
        self.has_declined = true;
    }

    /// The scheduler is about to be told of an end; afterwards of none.
    pub(super) const fn tell_of(&mut self, state: Option<&TaskState>) {
        self.are_back = match state {
            Some(TaskState::Ended(Outcome::Refused { rejection })) => {
                // That may be otherwise the next time.
                !offer_was_gone(rejection) && !matches!(rejection, Rejection::DuplicateTask { .. })
            }
            _ => false,
        };
    }

    pub(super) const fn deadline(&self) -> Option<Time> {
        self.later
    }
}

impl Driver {
    /// Says what waits for offers, after whatever happens: what of it is news to the master it is
    /// told, and nothing else.
    ///
    /// It offers no less than one of the tasks needs, and no more than all of them. Offers are
    /// asked for at once when work comes that did not wait before, also such as were declined for
    /// other work, and not any more when none waits.
    pub fn ask_for(&mut self, needs: &Needs) {
        let is_new = self.asking.look(needs.works());
        if needs.is_none() {
            return self.ask_for_offers(false);
        }
        if !self.asking.is_said(needs) {
            self.demand(None, needs.demand());
        }
        match self.asking.appetite {
            _ if is_new => self.revive(),
            Appetite::Wanting => {}
            Appetite::Suppressed => self.want_again(),
        }
    }

    /// Asks for offers after a time without, but for tasks that were refused not at once.
    fn want_again(&mut self) {
        if !self.asking.are_back && self.asking.later.is_none() {
            return self.revive();
        }
        let works = &self.asking.works;
        self.asking.passed_over.get_or_insert_with(|| works.clone());
        self.asking.later.get_or_insert(self.now + REFUSED_PAUSE);
    }

    /// Says whether offers are of use: asks for them at once when they become so, and for none when
    /// they are not any more. Said again, it changes nothing: what was declined is not offered
    /// again before its time. A scheduler that may get work while other work waits says by
    /// [`ask_for`](Self::ask_for) what waits, or [`revive`](Self::revive)s offers.
    pub fn ask_for_offers(&mut self, wants: bool) {
        match (self.asking.appetite, wants) {
            (Appetite::Suppressed, true) => self.want_again(),
            (Appetite::Wanting, false) => self.suppress(),
            (Appetite::Suppressed, false) => self.asking.later = None,
            (Appetite::Wanting, true) => {}
        }
    }

    /// Asks for no more offers until [`revive`](Self::revive).
    pub fn suppress(&mut self) {
        (self.asking.appetite, self.asking.later) = (Appetite::Suppressed, None);
        self.calls.push(Call::Suppress { roles: [].into() });
    }

    /// Asks for offers again, and at once, also for such as were declined.
    pub fn revive(&mut self) {
        let Asking { said, works, are_back, .. } = std::mem::take(&mut self.asking);
        self.asking = Asking { said, works, are_back, ..Asking::default() };
        self.calls.push(Call::Revive { roles: [].into() });
    }

    /// Says what the framework waits for in one of its roles, or in the first: it is offered no
    /// more, and nothing smaller. What is launched on offers is waited for no more. None: whatever
    /// there is. To be said again after each registration, and whenever it has changed.
    pub fn demand(&mut self, role: Option<Role>, demand: Option<Demand>) {
        if role.is_none() {
            let left = demand.as_ref().map(|demand| demand.wants.clone()).unwrap_or_default();
            self.asking.said = Some(Said { demand: demand.clone(), left });
        }
        self.calls.push(Call::Demand { role, demand });
    }

    /// Gives an offer back, and asks not to be offered the like for `refuse` (5 s if none).
    pub fn decline(&mut self, offer: OfferId, refuse: Option<Duration>) {
        if refuse != Some(Duration::ZERO) {
            self.asking.declined();
        }
        self.calls.push(Call::Decline { offers: vec![offer], filters: Filters { refuse } });
    }

    /// What is left of offers is treated like this.
    pub(super) fn leave(&mut self, filters: &Filters) {
        if filters.refuse.is_some_and(|refuse| refuse > Duration::ZERO) {
            self.asking.declined();
        }
    }

    /// The time has come to ask again for tasks that were refused.
    pub(super) fn ask_again(&mut self) {
        if self.asking.later.is_some_and(|later| later <= self.now) {
            self.revive();
        }
    }
}
