//! Revocable tasks: how those that hold what the agent lends make room for regular ones.
//!
//! The agent lends more than the machine has, on the bet that regular tasks leave some of it. As
//! long as they do not, revocable tasks stand back, those that came last first:
//!
//! ```text
//! Waiting -> Going <-> Paused      for want of cpus: it keeps its memory, and goes on later
//!               \         |
//!                +--------+-> Ending      for want of what a pause does not give back: killed
//! ```
//! Those that have started come before those that wait to start: a start never pauses anybody.
//! Regular tasks wait for nobody. They count from when they are given room, so that they find it
//! free when their module is there. Always holds: each revocable task with room in its allocation
//! does what [`judge`] says of all of them together.

use crate::{agent::Agent, effect::Effect, tasks::Stage, turn::Change, waits::Need};
use skep_protocol::{
    Resources, Source, TaskKey, TaskState, Time, executor::ToExecutor, outcome::KilledBy,
    resources::CPUS, task::Terms,
};
use std::collections::BTreeMap;

/// Updates that a task may have unacknowledged before its pauses are told no more: its framework
/// is not there, and need not read one by one what it missed. It is told the last one later.
const PAUSES_UNACKNOWLEDGED_MAX: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Preemption {
    /// The revocable tasks that have room in their allocation, by arrival.
    tasks: BTreeMap<u64, Revocable>,
    /// What tasks need has changed since they were judged.
    is_unsettled: bool,
}

#[derive(Debug)]
pub(crate) struct Revocable {
    pub(crate) key: TaskKey,
    pub(crate) needs: Resources,
    pub(crate) gait: Gait,
    /// What its executor said last.
    stand: Stand,
    /// What its framework was told last; none: it has acknowledged that, and an earlier run knew.
    told: Option<Stand>,
}

/// What a revocable task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gait {
    /// It has not started and does not, for want of room.
    Waiting,
    /// It runs, or starts as soon as it has all that it misses.
    Going,
    /// It has started, and does not run.
    Paused,
    /// It was told to end.
    Ending,
}

/// Whether a guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Running,
    Paused,
}

/// How far a task has come, as far as it matters to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Unstarted,
    Started,
    Ending,
}

/// What each revocable task is to do, told in the order in which they came: the oldest that fit in
/// what regular tasks leave go on, and nobody passes one who waits for cpus.
pub(crate) fn judge(
    total: &Resources,
    regular: &Resources,
    tasks: &[(&Resources, Progress)],
) -> Vec<Gait> {
    let mut gaits: Vec<Gait> = tasks.iter().map(|(_, progress)| progress.at_most()).collect();
    let mut kept = lasting(regular);
    for (task, gait) in tasks.iter().zip(&gaits) {
        if *gait == Gait::Going {
            kept.add(&lasting(task.0));
        }
    }
    for (task, gait) in tasks.iter().zip(&mut gaits).rev() {
        if *gait == Gait::Going && !total.contains(&kept) {
            *gait = Gait::Ending;
            kept.subtract(&lasting(task.0));
        }
    }
    let mut cpus = regular.cpus();
    let mut is_short = false;
    for (task, gait) in tasks.iter().zip(&mut gaits).filter(|(_, gait)| **gait == Gait::Going) {
        is_short |= cpus.plus(task.0.cpus()) > total.cpus();
        if is_short {
            *gait = Gait::Paused;
        } else {
            cpus = cpus.plus(task.0.cpus());
        }
    }
    for (task, gait) in tasks.iter().zip(&mut gaits).filter(|(_, gait)| **gait == Gait::Waiting) {
        let with_it = kept.plus(&lasting(task.0));
        is_short |= cpus.plus(task.0.cpus()) > total.cpus() || !total.contains(&with_it);
        if is_short {
            break;
        }
        *gait = Gait::Going;
        cpus = cpus.plus(task.0.cpus());
        kept = with_it;
    }
    gaits
}

/// What a task keeps while it is paused: all but its cpus.
fn lasting(resources: &Resources) -> Resources {
    let cpus = Resources::none().with(CPUS, resources.cpus());
    resources.minus(&cpus)
}

impl Progress {
    /// What a task does if there is enough of everything for those that have started, and no more.
    const fn at_most(self) -> Gait {
        match self {
            Self::Unstarted => Gait::Waiting,
            Self::Started => Gait::Going,
            Self::Ending => Gait::Ending,
        }
    }
}

impl Preemption {
    pub(crate) const fn tasks(&self) -> &BTreeMap<u64, Revocable> {
        &self.tasks
    }

    /// The task of this arrival, if it is one of them.
    pub(crate) fn gait(&self, arrival: u64) -> Option<Gait> {
        self.tasks.get(&arrival).map(|task| task.gait)
    }

    /// What tasks need has changed.
    pub(crate) fn unsettle(&mut self) {
        self.is_unsettled = !self.tasks.is_empty();
    }

    /// A task has ended.
    pub(crate) fn leave(&mut self, arrival: u64) {
        self.tasks.remove(&arrival);
        self.unsettle();
    }

    pub(crate) const fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }
}

impl Agent {
    /// A task was given room in its allocation.
    pub(crate) fn count_in(&mut self, key: &TaskKey) {
        let (Some(spec), Some(live)) = (self.spec(key), self.live.get(key)) else { return };
        if spec.terms == Terms::Revocable {
            let (needs, arrival) = (spec.resources.clone(), live.arrival);
            let (stand, told) = (Stand::Running, Some(Stand::Running));
            let task = Revocable { key: key.clone(), needs, gait: Gait::Waiting, stand, told };
            self.preemption.tasks.insert(arrival, task);
        }
        self.preemption.unsettle();
    }

    /// A guest of an earlier run was found where it is, paused or not.
    pub(crate) fn count_back(&mut self, key: &TaskKey, is_paused: bool) {
        self.count_in(key);
        let Some(arrival) = self.live.get(key).map(|live| live.arrival) else { return };
        let last = self.state.task(key).and_then(|held| held.updates().back());
        let told = last.map(|update| Stand::of(&update.state));
        match self.preemption.tasks.get_mut(&arrival) {
            Some(task) => {
                task.gait = if is_paused { Gait::Paused } else { Gait::Going };
                task.stand = if is_paused { Stand::Paused } else { Stand::Running };
                task.told = told;
            }
            // Nothing that this agent would have paused.
            None if is_paused => self.turn_guest(key.clone(), Gait::Going),
            None => {}
        }
    }

    /// What a task must wait for that the machine has no room for at present.
    pub(crate) fn need_room(&self, key: &TaskKey) -> Option<Need> {
        let arrival = self.live.get(key)?.arrival;
        (self.preemption.gait(arrival)? == Gait::Waiting).then_some(Need::Room)
    }

    /// Pauses, resumes, starts and kills revocable tasks, as regular ones leave them room.
    pub(crate) fn settle_revocable(&mut self) {
        self.preemption.is_unsettled = false;
        let gaits = self.judge_revocable();
        let arrivals: Vec<u64> = self.preemption.tasks.keys().copied().collect();
        for (arrival, gait) in arrivals.into_iter().zip(gaits) {
            let Some(task) = self.preemption.tasks.get_mut(&arrival) else { continue };
            let (before, key) = (std::mem::replace(&mut task.gait, gait), task.key.clone());
            match (before, gait) {
                (Gait::Waiting, Gait::Going) => self.prepare(&key),
                (Gait::Going, Gait::Paused) => self.turn_guest(key, Gait::Paused),
                (Gait::Paused, Gait::Going) => self.turn_guest(key, Gait::Going),
                (Gait::Going | Gait::Paused, Gait::Ending) => {
                    self.kill(&key, &KilledBy::Preemption);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn judge_revocable(&self) -> Vec<Gait> {
        let mut regular = Resources::none();
        self.queues.iter().for_each(|(_, queue)| regular.add(queue.used()));
        let idle = self.delivering_revocable().filter_map(|key| self.spec(key));
        idle.for_each(|spec| regular.subtract(&spec.resources));
        let tasks = self.preemption.tasks.values();
        tasks.clone().for_each(|task| regular.subtract(&task.needs));
        let tasks: Vec<_> = tasks.map(|task| (&task.needs, self.progress(task))).collect();
        judge(&self.info.resources, &regular, &tasks)
    }

    fn progress(&self, task: &Revocable) -> Progress {
        let stage = self.live.get(&task.key).map(|live| &live.stage);
        match (task.gait, stage) {
            (Gait::Ending, _) => Progress::Ending,
            (_, Some(Stage::Sent | Stage::Running)) => Progress::Started,
            _ => Progress::Unstarted,
        }
    }

    fn turn_guest(&mut self, key: TaskKey, gait: Gait) {
        let Some(executor) = self.executor_of(&key) else { return };
        let message = match gait {
            Gait::Paused => ToExecutor::Pause { key },
            _ => ToExecutor::Resume { key },
        };
        self.effect(Effect::SendExecutor { executor, message });
    }

    /// An executor has paused a guest or let it go on.
    pub(crate) fn turned(&mut self, key: &TaskKey, is: TaskState, at: Time) {
        let Some(arrival) = self.live.get(key).map(|live| live.arrival) else { return };
        let Some(task) = self.preemption.tasks.get_mut(&arrival) else { return };
        task.stand = Stand::of(&is);
        self.tell_stand(arrival, at, Source::Executor);
    }

    /// Its framework has acknowledged something: perhaps it is there again to hear the rest.
    pub(crate) fn tell_stand_again(&mut self, key: &TaskKey) {
        let arrival = self.live.get(key).map(|live| live.arrival);
        let owes =
            |arrival: &u64| self.preemption.tasks.get(arrival).is_some_and(|t| t.told.is_some());
        if let Some(arrival) = arrival.filter(owes) {
            self.tell_stand(arrival, self.turn.now, Source::Agent);
        }
    }

    fn tell_stand(&mut self, arrival: u64, at: Time, source: Source) {
        let Some(task) = self.preemption.tasks.get_mut(&arrival) else { return };
        let open = self.state.task(&task.key).map_or(0, |held| held.updates().len());
        if task.told == Some(task.stand) || open >= PAUSES_UNACKNOWLEDGED_MAX {
            return;
        }
        task.told = Some(task.stand);
        let (key, state) = (task.key.clone(), task.stand.state());
        self.report(&key, Change { source, ..Change::ours(state, at) });
    }

    /// Where a guest that has started stands.
    pub(crate) fn stand_of(&self, arrival: u64) -> TaskState {
        let task = self.preemption.tasks.get(&arrival);
        task.map_or(TaskState::Running, |task| task.stand.state())
    }
}

impl Stand {
    fn of(state: &TaskState) -> Self {
        if *state == TaskState::Paused { Self::Paused } else { Self::Running }
    }

    const fn state(self) -> TaskState {
        match self {
            Self::Running => TaskState::Running,
            Self::Paused => TaskState::Paused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_protocol::Amount;

    const WAITING: (u64, u64, Progress) = (1, 10, Progress::Unstarted);
    const STARTED: (u64, u64, Progress) = (1, 10, Progress::Started);

    fn amounts(cpus: u64, mem: u64) -> Resources {
        Resources::new(Amount::units(cpus), Amount::units(mem))
    }

    /// Of a machine with 4 cpus and 100 MiB.
    fn judged(regular: (u64, u64), tasks: &[(u64, u64, Progress)]) -> Vec<Gait> {
        let needs: Vec<_> =
            tasks.iter().map(|(cpus, mem, at)| (amounts(*cpus, *mem), *at)).collect();
        let tasks: Vec<_> = needs.iter().map(|(needs, at)| (needs, *at)).collect();
        judge(&amounts(4, 100), &amounts(regular.0, regular.1), &tasks)
    }

    #[test]
    fn all_go_while_there_is_room_and_the_newest_stop_first() {
        use Gait::{Going, Paused};
        assert_eq!(judged((1, 10), &[STARTED; 3]), [Going, Going, Going]);
        assert_eq!(judged((2, 10), &[STARTED; 3]), [Going, Going, Paused]);
        assert_eq!(judged((4, 10), &[STARTED; 3]), [Paused, Paused, Paused]);
    }

    #[test]
    fn nobody_passes_an_older_one_that_is_too_large() {
        use Gait::{Going, Paused};
        let large = (3, 10, Progress::Started);
        assert_eq!(judged((2, 10), &[STARTED, large, STARTED]), [Going, Paused, Paused]);
    }

    #[test]
    fn who_has_started_goes_before_an_older_one_that_has_not() {
        use Gait::{Going, Waiting};
        assert_eq!(judged((3, 10), &[WAITING, STARTED]), [Waiting, Going]);
        assert_eq!(judged((2, 10), &[WAITING, STARTED, WAITING]), [Going, Going, Waiting]);
    }

    #[test]
    fn nobody_starts_while_somebody_is_paused() {
        use Gait::{Paused, Waiting};
        let (large, small) = ((2, 10, Progress::Started), (0, 10, Progress::Unstarted));
        assert_eq!(judged((3, 10), &[large, small]), [Paused, Waiting]);
    }

    #[test]
    fn a_pause_gives_back_no_memory_so_the_newest_are_killed_for_it() {
        use Gait::{Ending, Going, Waiting};
        let tasks = [(1, 30, Progress::Started), (1, 30, Progress::Started)];
        assert_eq!(judged((1, 40), &tasks), [Going, Going]);
        assert_eq!(judged((1, 41), &tasks), [Going, Ending]);
        assert_eq!(judged((1, 71), &tasks), [Ending, Ending]);
        let tasks = [(1, 30, Progress::Started), (1, 60, Progress::Unstarted)];
        assert_eq!(judged((1, 41), &tasks), [Going, Waiting]);
    }

    #[test]
    fn what_a_dying_task_holds_is_as_good_as_free() {
        use Gait::{Ending, Going};
        let dying = (1, 30, Progress::Ending);
        assert_eq!(judged((1, 41), &[(1, 30, Progress::Started), dying]), [Going, Ending]);
    }
}
