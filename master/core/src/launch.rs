//! Launching: an ACCEPT turns offers into allocations with tasks, an Enqueue adds tasks to one.
//!
//! Always holds: every operation is answered, and every task that it names either is on its way,
//! was so before, or is refused with its own reason.

use crate::{
    ledger::{Batch, Place},
    master::Master,
    offers::Taken,
    tasks::{Fate, Stage, Task},
    volumes::granted,
};
use skep_allocator::Bundle;
use skep_protocol::{
    AgentId, AllocationId, Attempt, FrameworkId, OfferId, Rejection, Resources, Role, TaskId,
    TaskKey, TaskSpec, TaskState,
    agent::ToAgent,
    bounds::{LAUNCH_TASKS_MAX, REFUSE_DEFAULT},
    frames,
    framework::{Answer, Event, Filters, LaunchTask, Operation, RefusedTask},
    task::Terms,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// What becomes of the tasks of one operation.
#[derive(Debug, Default)]
struct Selection {
    taken: Vec<TaskSpec>,
    /// The same: what they need together.
    batch: Batch,
    names: BTreeMap<TaskId, Attempt>,
    /// Launched before, and recorded by these agents: their frameworks may have missed it.
    recorded: BTreeMap<AgentId, Vec<(TaskId, Attempt)>>,
    refused: Vec<RefusedTask>,
}

/// What the tasks of one operation may use together.
struct Room {
    resources: Resources,
    /// Those of the whole operation.
    terms: Terms,
}

/// What is to be done with a task that may be launched.
enum Verdict {
    New,
    /// It was launched before; it is not launched twice.
    Known,
    /// The same, and its agent has recorded it.
    Recorded(AgentId),
}

/// Whether anything of an ACCEPT was used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    None,
    Some,
}

impl Master {
    pub(crate) fn accept(
        &mut self,
        framework: &FrameworkId,
        offers: &[OfferId],
        operations: Vec<Operation>,
        filters: Filters,
    ) {
        let first = offers.first().copied();
        match self.take_offers(framework, offers) {
            Ok(taken) => self.use_offers(framework, first, taken, operations, filters),
            Err(rejection) => {
                for (number, operation) in (0..).zip(operations) {
                    let answer = reject(rejection.clone(), tasks_of(&operation));
                    self.tell_answer(framework, first, number, answer);
                }
            }
        }
    }

    fn use_offers(
        &mut self,
        framework: &FrameworkId,
        first: Option<OfferId>,
        taken: Taken,
        operations: Vec<Operation>,
        filters: Filters,
    ) {
        let Taken { agent, role, bundle: mut rest } = taken;
        let mut used = Use::None;
        for (number, operation) in (0..).zip(operations) {
            let tasks = match operation {
                Operation::Launch { tasks } => tasks,
                operation => {
                    let answer = match self.keep(&agent, (&role, &rest), operation) {
                        Ok(kept) => {
                            (used, rest) = (Use::Some, kept);
                            Answer::Applied
                        }
                        Err(rejection) => Answer::Rejected { rejection, tasks: Vec::new() },
                    };
                    self.tell_answer(framework, first, number, answer);
                    continue;
                }
            };
            if let Err(rejection) = check_count(&tasks) {
                self.tell_answer(framework, first, number, reject(rejection, &tasks));
                continue;
            }
            let terms = terms_of(&tasks);
            let usable = self.ledger.usable(&agent, &rest, terms);
            let room = Room { resources: usable.sum(), terms };
            let selection = self.select((framework, &role), &agent, &room, tasks);
            if !selection.taken.is_empty() {
                used = Use::Some;
            }
            let granted = usable.pick(&selection.batch.sum);
            rest = rest.minus(&granted);
            let ledger = &self.ledger;
            let allocation = self.mint.allocation(|id| ledger.allocation(*id).is_some());
            if !selection.taken.is_empty() {
                let batch = selection.batch.clone();
                let place = Place { framework, role: &role, agent: &agent, terms };
                self.ledger.grant(allocation, place, granted, batch, self.now);
            }
            self.launch(framework, (first, number), &agent, allocation, selection);
        }
        let default = if used == Use::Some { Duration::ZERO } else { REFUSE_DEFAULT };
        self.refuse((framework, &role), &agent, &rest, filters.refuse.unwrap_or(default));
    }

    /// Reserves and gives back, makes and removes volumes; gives what is left of the offers then.
    fn keep(
        &mut self,
        agent: &AgentId,
        offered: (&Role, &Bundle),
        operation: Operation,
    ) -> Result<Bundle, Rejection> {
        let (own, bundle) = offered;
        match operation {
            Operation::Launch { .. } => Ok(bundle.clone()),
            Operation::Reserve { role, resources, from } => {
                if !role.is_within(own) {
                    let what = format!("reserving for {role} out of an offer for {own}");
                    return Err(Rejection::NotAllowed { what });
                }
                self.reserve_offered(agent, offered, from, Some(role), &resources)
            }
            Operation::Unreserve { role, resources, to } => {
                if role != *own {
                    let what = format!("giving back what {role} has, out of an offer for {own}");
                    return Err(Rejection::NotAllowed { what });
                }
                self.reserve_offered(agent, offered, Some(role), to, &resources)
            }
            Operation::CreateVolume { role, name, disk } => {
                self.create_offered(agent, offered, role, name, disk)
            }
            Operation::DestroyVolume { name } => {
                self.destroy_volume(agent, &name, Some(own))?;
                Ok(bundle.clone())
            }
        }
    }

    pub(crate) fn enqueue(
        &mut self,
        framework: &FrameworkId,
        id: AllocationId,
        tasks: Vec<LaunchTask>,
    ) {
        let allocation = self.ledger.allocation(id).filter(|a| a.framework == *framework);
        let terms = allocation.map(|allocation| allocation.terms).unwrap_or_default();
        let place =
            allocation.map(|allocation| (allocation.agent.clone(), allocation.role.clone()));
        let checked = match place.zip(self.ledger.room(id)) {
            Some(place) => check_count(&tasks).map(|()| place),
            None => Err(Rejection::AllocationEnded { allocation: id }),
        };
        let ((agent, role), room) = match checked {
            Ok(place) => place,
            Err(rejection) => {
                return self.tell_answer(framework, None, 0, reject(rejection, &tasks));
            }
        };
        let resources = room.sum();
        let selection = self.select((framework, &role), &agent, &Room { resources, terms }, tasks);
        if !selection.taken.is_empty() {
            self.ledger.enqueue(id, room, &selection.batch);
        }
        self.launch(framework, (None, 0), &agent, id, selection);
    }

    /// Sends the selected tasks to their agent, under an allocation in which they are booked
    /// already, and answers the operation.
    fn launch(
        &mut self,
        framework: &FrameworkId,
        (offer, operation): (Option<OfferId>, u32),
        agent: &AgentId,
        allocation: AllocationId,
        selection: Selection,
    ) {
        let Selection { taken, recorded, refused, .. } = selection;
        for spec in &taken {
            self.supersede(framework, &spec.task, spec.attempt);
            self.insert_sent(framework, agent, allocation, spec);
        }
        self.send_launch(agent, allocation, taken);
        let answer = Answer::Launched { allocation, agent: agent.clone(), refused };
        self.tell_answer(framework, offer, operation, answer);
        for (agent, tasks) in recorded {
            self.tell(framework, Event::TasksAccepted { agent, tasks });
        }
        self.ask_back(agent);
    }

    fn insert_sent(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        allocation: AllocationId,
        spec: &TaskSpec,
    ) {
        let Some(known) = self.ledger.allocation(allocation) else { return };
        let task = Task {
            agent: agent.clone(),
            allocation,
            role: known.role.clone(),
            resources: spec.resources.clone(),
            volumes: granted(&spec.grants),
            name: spec.name.clone(),
            lost_after: spec.policies.lost_after,
            since: self.now,
            stage: Stage::Sent { spec: Box::new(spec.clone()) },
            fate: Fate::Wanted,
            seen: 0,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            repeatable: spec.grants.is_deterministic().then(|| Arc::new(spec.clone())),
        };
        self.insert_task(&key_of(framework, spec), task);
        self.grant_speech(framework, spec);
    }

    pub(crate) fn send_launch(
        &mut self,
        agent: &AgentId,
        allocation: AllocationId,
        specs: Vec<TaskSpec>,
    ) {
        let Some(known) = self.ledger.allocation(allocation) else { return };
        let (framework, granted) = (known.framework.clone(), known.granted.sum());
        let role = known.role.clone();
        for specs in frames::cut(specs, frames::spec_bytes) {
            let tasks = specs.into_iter().map(Ok).collect();
            let (framework, role, granted) = (framework.clone(), role.clone(), granted.clone());
            let launch = ToAgent::Launch { allocation, framework, role, granted, tasks };
            self.order_agent(agent, launch);
        }
    }

    fn tell_answer(
        &mut self,
        framework: &FrameworkId,
        offer: Option<OfferId>,
        operation: u32,
        answer: Answer,
    ) {
        self.tell(framework, Event::Answered { offer, operation, answer });
    }

    /// Looks at each task by itself: one that cannot be launched does not hold up the others.
    fn select(
        &self,
        whose: (&FrameworkId, &Role),
        agent: &AgentId,
        room: &Room,
        tasks: Vec<LaunchTask>,
    ) -> Selection {
        let mut selection = Selection::default();
        for task in tasks {
            let mut spec = match task {
                Ok(spec) => spec,
                Err(refused) => {
                    selection.refused.push(refused);
                    continue;
                }
            };
            let name = (spec.task.clone(), spec.attempt);
            match self.judge(whose, agent, room, &spec, &selection) {
                Ok(Verdict::New) => {
                    selection.names.insert(name.0, name.1);
                    selection.batch.add(&spec.resources);
                    self.restore(whose.0, agent, &mut spec);
                    selection.taken.push(spec);
                }
                Ok(Verdict::Known) => {}
                Ok(Verdict::Recorded(agent)) => {
                    selection.recorded.entry(agent).or_default().push(name);
                }
                Err(rejection) => {
                    let (task, attempt) = name;
                    selection.refused.push(RefusedTask { task, attempt, rejection });
                }
            }
        }
        selection
    }

    fn judge(
        &self,
        (framework, role): (&FrameworkId, &Role),
        agent: &AgentId,
        room: &Room,
        spec: &TaskSpec,
        selection: &Selection,
    ) -> Result<Verdict, Rejection> {
        spec.check()?;
        let task = &spec.task;
        if let Some(known) = self.tasks.get(&key_of(framework, spec))
            && !known.is_condemned()
        {
            let is_recorded = !matches!(known.stage, Stage::Sent { .. });
            let recorded = is_recorded.then(|| Verdict::Recorded(known.agent.clone()));
            return Ok(recorded.unwrap_or(Verdict::Known));
        }
        match selection.names.get(task) {
            // Also if it is the same attempt: which of the two is meant nobody knows.
            Some(newest) => {
                return Err(Rejection::DuplicateTask { task: task.clone(), newest: *newest });
            }
            None => self.check_attempts(framework, spec)?,
        }
        self.check_place(agent, spec)?;
        self.check_volumes(agent, role, &spec.grants)?;
        if spec.terms != room.terms {
            let why =
                "of the tasks of one launch, and of one allocation, all or none are revocable";
            return Err(Rejection::invalid("terms", why));
        }
        if !room.resources.contains(&spec.resources) {
            let (asked, offered) = (spec.resources.clone(), room.resources.clone());
            return Err(Rejection::DoesNotFit { task: task.clone(), asked, offered });
        }
        let max = self.policy.agent_tasks_max;
        let tasks = self.agents.get(agent).map_or(0, |known| known.tasks.len());
        if tasks + selection.taken.len() >= max {
            let what = format!("tasks on agent {agent}");
            return Err(Rejection::TooMany { what, max: max as u64 });
        }
        Ok(Verdict::New)
    }

    /// A later attempt may replace one that is out of reach, and nothing else that is live.
    fn check_attempts(&self, framework: &FrameworkId, spec: &TaskSpec) -> Result<(), Rejection> {
        for (attempt, known) in self.tasks.attempts(framework, &spec.task) {
            let is_over = known.stage.is_ended() || known.is_condemned();
            let is_replaceable = is_over || self.state_of(known) == TaskState::Unreachable;
            if attempt >= spec.attempt || !is_replaceable {
                let task = spec.task.clone();
                return Err(Rejection::DuplicateTask { task, newest: attempt });
            }
        }
        Ok(())
    }

    fn check_place(&self, agent: &AgentId, spec: &TaskSpec) -> Result<(), Rejection> {
        let mut digests = [Some(spec.module), spec.grants.stdin].into_iter().flatten();
        if let Some(digest) = digests.find(|digest| !self.blobs.contains(digest)) {
            return Err(Rejection::UnknownBlob { digest });
        }
        let enforces = self.agents.get(agent).map_or(&[][..], |known| &known.info.enforces);
        let is_missing = |name: &&str| enforces.iter().all(|known| known != name);
        match spec.requires().into_iter().map(|feature| feature.name()).find(is_missing) {
            Some(name) => {
                let (agent, name) = (agent.clone(), name.into());
                Err(Rejection::NotEnforced { agent, name })
            }
            None => Ok(()),
        }
    }
}

/// On which terms tasks are launched together: on those of the first.
fn terms_of(tasks: &[LaunchTask]) -> Terms {
    tasks.iter().flatten().next().map(|spec| spec.terms).unwrap_or_default()
}

fn check_count(tasks: &[LaunchTask]) -> Result<(), Rejection> {
    if tasks.is_empty() {
        return Err(Rejection::invalid("tasks", "a launch names at least one task"));
    }
    if tasks.len() > LAUNCH_TASKS_MAX {
        let what = "tasks in one launch".into();
        return Err(Rejection::TooMany { what, max: LAUNCH_TASKS_MAX as u64 });
    }
    Ok(())
}

fn tasks_of(operation: &Operation) -> &[LaunchTask] {
    match operation {
        Operation::Launch { tasks } => tasks,
        _ => &[],
    }
}

fn reject(rejection: Rejection, tasks: &[LaunchTask]) -> Answer {
    let name = |task: &LaunchTask| match task {
        Ok(spec) => (spec.task.clone(), spec.attempt),
        Err(refused) => (refused.task.clone(), refused.attempt),
    };
    Answer::Rejected { rejection, tasks: tasks.iter().map(name).collect() }
}

fn key_of(framework: &FrameworkId, spec: &TaskSpec) -> TaskKey {
    TaskKey { framework: framework.clone(), task: spec.task.clone(), attempt: spec.attempt }
}
