//! What of a job is launched on an offer, and in an allocation that is filled again.

use super::{
    active::{Active, Place},
    fitting::Fitting,
    job::Group,
    keeping::place_of_input,
    progress::{Progress, Run},
    rooms::Room,
};
use skep_protocol::AllocationId;
use skep_scheduler::prelude::*;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How many tasks are launched for each that fits at once: the others wait at the agent, and begin
/// without a trip to here.
const QUEUE: usize = 2;
/// How long the agent of a task may be out of reach before the task is started elsewhere, if its
/// job does not say.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What of an offer is left.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// On these terms; of one launch they are the same for all.
    held: Option<(Terms, Resources)>,
    taken: usize,
    queued: usize,
}

impl Rest {
    /// What each task of a kind is given, of what is left or after those before it. None: nothing
    /// that it could begin with.
    fn each(&mut self, fitting: &Fitting, offer: &Offer) -> Option<Resources> {
        let usable = fitting.usable(offer)?;
        let whole = fitting.fit(&usable)?;
        let (terms, left) = self.held.get_or_insert((fitting.terms(), usable));
        let (each, _) = fitting.fit(left).unwrap_or(whole);
        (*terms == fitting.terms()).then_some(each)
    }

    /// Whether another task is launched that is given so much, and of which so many go together.
    fn takes(&mut self, each: &Resources, depth: u64) -> bool {
        if self.takes_at_once(each) {
            return true;
        }
        let is_short = self.taken > 0 && ((self.taken + self.queued) as u64) < depth;
        let may_wait = is_short || self.queued < self.taken * (QUEUE - 1);
        self.queued += usize::from(may_wait);
        may_wait
    }

    /// Whether another task is launched that need not wait at the agent.
    fn takes_at_once(&mut self, each: &Resources) -> bool {
        let Some((_, left)) = self.held.as_mut().filter(|(_, left)| left.contains(each)) else {
            return false;
        };
        left.subtract(each);
        self.taken += 1;
        true
    }
}

/// How the tasks that wait are spread over the offers that came together.
#[derive(Debug)]
pub(super) struct Spread<'a> {
    offers: &'a [Offer],
    /// By job and group.
    known: BTreeMap<(u64, String), Sums>,
}

/// A group of which tasks wait.
#[derive(Debug)]
struct Sums {
    fitting: Fitting,
    /// How many tasks waited when the offers came.
    waited: u64,
    /// How many fit into all of them.
    fit: u64,
}

impl<'a> Spread<'a> {
    pub(super) const fn over(offers: &'a [Offer]) -> Self {
        Self { offers, known: BTreeMap::new() }
    }

    /// What a group's tasks need, and how many of them are for this offer. None: not one.
    fn share(&mut self, serial: u64, name: &str, group: &Group, waiting: u64) -> &Sums {
        let offers = self.offers;
        self.known.entry((serial, name.to_owned())).or_insert_with(|| {
            let fitting = Fitting::of(group);
            let fit = offers.iter().map(|offer| fitting.times(offer)).sum();
            Sums { fitting, waited: waiting, fit }
        })
    }
}

impl Sums {
    /// How many tasks are for this offer.
    fn count(&self, offer: &Offer) -> u64 {
        let all = u128::from(self.waited) * u128::from(self.fitting.times(offer));
        u64::try_from(all.div_ceil(u128::from(self.fit.max(1)))).unwrap_or(u64::MAX)
    }
}

impl Active {
    /// The tasks to launch now.
    pub(super) fn take(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        spread: &mut Spread<'_>,
        rest: &mut Rest,
    ) -> Vec<(TaskSpec, Place)> {
        let job = Arc::clone(&self.kept.job);
        let waiting = self.waiting().map(|(name, _, count)| (name.to_owned(), count));
        let mut tasks = Vec::new();
        for (name, waiting) in waiting.collect::<Vec<_>>() {
            let Some(group) = job.groups.get(&name) else { continue };
            let sums = spread.share(self.kept.serial, &name, group, waiting);
            let Some(each) = rest.each(&sums.fitting, offer) else { continue };
            let (begin, count) = (tasks.len(), sums.count(offer));
            let depth = self.groups.get(&name).map_or(0, |progress| progress.depth);
            while ((tasks.len() - begin) as u64) < count
                && let Some(index) = self.groups.get_mut(&name).and_then(Progress::next_waiting)
                && rest.takes(&each, depth)
            {
                let place = self.place(&name, index, Run::Own, Some(offer.agent.clone()));
                tasks.push((self.launch(driver, group, &place, &each), place));
            }
            self.keep_pieces(driver, &name, &tasks[begin..]);
        }
        tasks
    }

    /// The tasks to put into a room, as many as these at most.
    pub(super) fn refill(
        &mut self,
        driver: &mut Driver,
        room: &Room,
        allocation: AllocationId,
        count: u64,
    ) -> Vec<(TaskSpec, Place)> {
        let job = Arc::clone(&self.kept.job);
        let name = room.group.as_str();
        let Some(group) = job.groups.get(name) else { return Vec::new() };
        let mut tasks = Vec::new();
        while (tasks.len() as u64) < count
            && let Some(index) = self.groups.get_mut(name).and_then(Progress::next_waiting)
        {
            let place = self.place(name, index, Run::Own, Some(room.agent.clone()));
            let place = Place { room: Some(allocation), ..place };
            tasks.push((self.launch(driver, group, &place, &room.each), place));
        }
        self.keep_pieces(driver, name, &tasks);
        tasks
    }

    /// The copies to launch now: of stragglers that run elsewhere.
    pub(super) fn take_copies(
        &mut self,
        driver: &mut Driver,
        offer: &Offer,
        rest: &mut Rest,
        launched: &BTreeMap<TaskId, Place>,
    ) -> Vec<(TaskSpec, Place)> {
        let job = Arc::clone(&self.kept.job);
        let stragglers = self.stragglers(driver.now()).into_iter();
        let due = stragglers.filter(|(.., look)| !look.due.is_empty());
        let due: Vec<_> = due.map(|(name, _, look)| (name.to_owned(), look.due)).collect();
        let mut tasks = Vec::new();
        for (name, due) in due {
            let Some(group) = job.groups.get(&name) else { continue };
            let Some(each) = rest.each(&Fitting::of(group), offer) else { continue };
            let begin = tasks.len();
            for index in due {
                let own = launched.get(&self.id(&name, index, Run::Own));
                let agent = own.and_then(|own| own.agent.as_ref());
                let is_elsewhere = agent.is_some_and(|agent| *agent != offer.agent);
                if is_elsewhere && rest.takes_at_once(&each) {
                    let place = self.place(&name, index, Run::Copy, Some(offer.agent.clone()));
                    tasks.push((self.launch(driver, group, &place, &each), place));
                }
            }
            self.keep_pieces(driver, &name, &tasks[begin..]);
        }
        tasks
    }

    /// What is launched as the next attempt of a run. From now on it counts as launched.
    fn launch(
        &mut self,
        driver: &mut Driver,
        group: &Group,
        place: &Place,
        each: &Resources,
    ) -> TaskSpec {
        let Place { group: name, index, run, .. } = place;
        let before = self.task(name, *index).copied().unwrap_or_default();
        let launched = before.launch(*run);
        if let Some(progress) = self.groups.get_mut(name) {
            progress.set(*index, launched);
        }
        let inputs = self.outputs.inputs(&self.kept.job, group, *index);
        let id = self.id(name, *index, *run);
        let mut task = group.task(id, launched.attempt(*run), *index, inputs);
        task.resources.clone_from(each);
        task.policies.lost_after.get_or_insert(LOST_AFTER);
        if let Some(input) = self.input(driver, group, *index) {
            task.grants.stdin = Some(input);
        }
        task
    }

    /// The standard input of a task.
    fn input(&mut self, driver: &mut Driver, group: &Group, index: usize) -> Option<Digest> {
        let from = group.input.as_ref()?;
        if let Some(own) = place_of_input(&self.kept.job, group, from, index) {
            return self.groups.get(from)?.get(own)?.result;
        }
        if let Some(digest) = self.inputs.get(from) {
            return Some(*digest);
        }
        let parts = self.results.get(from)?;
        let all: Vec<u8> = parts.values().flatten().copied().collect();
        let digest = driver.put(all);
        self.inputs.insert(from.clone(), digest);
        Some(digest)
    }
}
