//! Taking tasks.
//!
//! A launch is idempotent by task and attempt: what is held is confirmed again, an older attempt
//! is refused, a newer one replaces the older. Every way in ends in one of three: accepted,
//! refused with a record that is kept until acknowledged, or, when there is no room for even
//! that, refused once.

use crate::{
    agent::Agent,
    record::Record,
    session::Phase,
    state::Work,
    tasks::{Compilation, Live, Stage},
    turn::Change,
};
use skep_protocol::{
    AllocationId, FrameworkId, Outcome, Rejection, Resources, Role, TaskKey, TaskSpec,
    framework::LaunchTask, outcome::KilledBy,
};
use std::time::Duration;

/// What all tasks of one launch share.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) allocation: AllocationId,
    pub(crate) framework: FrameworkId,
    pub(crate) role: Role,
    pub(crate) granted: Resources,
}

impl Agent {
    pub(crate) fn launch(&mut self, batch: &Batch, tasks: Vec<LaunchTask>) {
        for launched in tasks {
            let (task, attempt) = match &launched {
                Ok(spec) => (spec.task.clone(), spec.attempt),
                Err(refused) => (refused.task.clone(), refused.attempt),
            };
            let key = TaskKey { framework: batch.framework.clone(), task, attempt };
            if let Some(held) = self.state.task(&key) {
                if matches!(held.work, Work::Accepted(_)) {
                    self.turn.accepted.push(key.clone());
                }
                self.resend(&key);
                continue;
            }
            let launched = launched.map_err(|refused| refused.rejection);
            match launched.and_then(|spec| self.check(batch, &spec).map(|()| spec)) {
                Ok(spec) => self.accept(batch, key, spec),
                Err(rejection) => self.refuse(batch, key, rejection),
            }
        }
    }

    fn check(&self, batch: &Batch, spec: &TaskSpec) -> Result<(), Rejection> {
        if let Some(newest) = self.state.attempts(&batch.framework, &spec.task).next_back()
            && newest.attempt > spec.attempt
        {
            let (task, newest) = (spec.task.clone(), newest.attempt);
            return Err(Rejection::DuplicateTask { task, newest });
        }
        if self.phase != Phase::Serving {
            let what = "the agent is stopping; launch the task on another".into();
            return Err(Rejection::NotAllowed { what });
        }
        if self.state.tasks().len() >= self.policy.tasks_max {
            return Err(self.too_many());
        }
        if self.queues.is_recalled(batch.allocation) {
            return Err(Rejection::AllocationEnded { allocation: batch.allocation });
        }
        spec.check()?;
        self.check_features(spec)?;
        self.check_grants(&batch.framework, &batch.role, spec)
    }

    fn check_features(&self, spec: &TaskSpec) -> Result<(), Rejection> {
        for feature in spec.requires() {
            if let Some(agent) = self.state.agent()
                && !self.info.enforces.iter().any(|name| name == feature.name())
            {
                let (agent, name) = (agent.clone(), feature.name().into());
                return Err(Rejection::NotEnforced { agent, name });
            }
        }
        Ok(())
    }

    fn too_many(&self) -> Rejection {
        Rejection::TooMany { what: "tasks on this agent".into(), max: self.policy.tasks_max as u64 }
    }

    fn accept(&mut self, batch: &Batch, key: TaskKey, spec: TaskSpec) {
        self.replace_older_attempts(&key);
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.persist(Record::TaskAccepted {
            key: key.clone(),
            role: batch.role.clone(),
            allocation: batch.allocation,
            granted: batch.granted.clone(),
            arrival,
            spec: Box::new(spec),
        });
        let compilation = Compilation::Took(Duration::ZERO);
        let live = Live { arrival, stage: Stage::Queued, compilation };
        self.live.insert(key.clone(), live);
        if let Some(executor) = self.executor_of(&key) {
            self.profiles.join(executor);
        }
        self.queues.join(batch.allocation, &batch.granted, arrival, key.clone());
        self.turn.changed_queues.insert(batch.allocation);
        self.turn.accepted.push(key);
    }

    fn refuse(&mut self, batch: &Batch, key: TaskKey, rejection: Rejection) {
        let change = Change::ended(Outcome::Refused { rejection }, self.turn.now);
        if self.state.tasks().len() >= self.policy.tasks_max {
            // There is no room to keep it. If it is lost, the master learns at the next
            // registration that the agent does not hold the task.
            let mut update = self.update(&key, change);
            update.seq = 1;
            self.turn.unkept.push(update);
            return;
        }
        self.persist(Record::TaskRefused {
            key: key.clone(),
            role: batch.role.clone(),
            allocation: batch.allocation,
            granted: batch.granted.clone(),
        });
        self.report(&key, change);
    }

    fn replace_older_attempts(&mut self, key: &TaskKey) {
        let by = KilledBy::NewerAttempt(key.attempt);
        let attempts = self.state.attempts(&key.framework, &key.task);
        for older in attempts.cloned().collect::<Vec<_>>() {
            self.kill(&older, &by);
        }
    }
}
