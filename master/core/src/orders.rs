//! What people order.

use crate::{
    effect::Answer, input::RequestId, master::Master, record::Record, reservations::Hand,
    tasks::Stage,
};
use skep_protocol::{
    FrameworkId, Rejection, Role, TaskId, TaskKey,
    operator::{Recorded, Request, Response, Weight},
    outcome::KilledBy,
};

impl Master {
    pub(crate) fn on_order(&mut self, request: RequestId, order: Request) {
        let done = match order {
            Request::Kill { framework, task } => self.operator_kill(framework, &task),
            Request::Recorded { framework, task } => {
                let run = self.recorded(framework, &task);
                let answer = run.map(|run| Answer::Operator(Response::Recorded(Box::new(run))));
                return self.answer(request, answer);
            }
            Request::SetRole { role, weight } => self.set_role(role, weight),
            Request::SetQuota { role, quota, manner } => self.set_quota(role, quota, manner),
            Request::Reserve { agent, role, resources, from } => {
                self.reserve(Hand::Operator, &agent, from, Some(role), &resources)
            }
            Request::Unreserve { agent, role, resources, to } => {
                self.reserve(Hand::Operator, &agent, Some(role), to, &resources)
            }
            Request::Drain { agent, grace } => self.drain(&agent, grace),
            Request::Deactivate { agent } => self.deactivate(&agent),
            Request::Activate { agent } => self.activate(&agent),
            Request::Gone { agent } => self.declare_gone(&agent),
            Request::SetMaintenance { agent, maintenance } => {
                self.set_maintenance(&agent, maintenance)
            }
            Request::CreateVolume { agent, role, name, disk } => {
                self.create_volume(Hand::Operator, &agent, role, name, disk)
            }
            Request::DestroyVolume { agent, name } => self.destroy_volume(&agent, &name, None),
            Request::Teardown { framework } => self.dismiss(&framework),
            Request::RevokeToken { id } => self.revoke_token(id),
            order => {
                let answer = self.view(self.now, &order).map(Answer::Operator);
                let what = "making a token: it needs a secret, which the master's shell makes";
                let rejection = Rejection::NotAllowed { what: what.into() };
                return self.answer(request, answer.ok_or(rejection));
            }
        };
        self.answer(request, done.map(|()| Answer::Operator(Response::Done)));
    }

    fn operator_kill(
        &mut self,
        framework: Option<FrameworkId>,
        task: &TaskId,
    ) -> Result<(), Rejection> {
        let key = self.find_task(framework, task)?;
        let live = self.tasks.get(&key).filter(|task| !task.is_condemned());
        if live.is_none_or(|task| task.stage.is_ended()) {
            return Err(Rejection::invalid("task", format!("{key} has ended already")));
        }
        self.order_end(&key, KilledBy::Operator);
        Ok(())
    }

    /// What a deterministic task was that has ended, and what came of it.
    fn recorded(
        &self,
        framework: Option<FrameworkId>,
        task: &TaskId,
    ) -> Result<Recorded, Rejection> {
        let key = match self.find_task(framework.clone(), task) {
            // A framework that is done is gone; what it ran is remembered for people.
            Err(unknown @ Rejection::UnknownTask { .. }) => {
                let is_meant = |key: &TaskKey| {
                    key.task == *task && framework.as_ref().is_none_or(|id| *id == key.framework)
                };
                let ended = self.tasks.history.iter().filter(|(key, _)| is_meant(key));
                let newest = ended.max_by_key(|(key, ended)| (ended.since, key.attempt));
                newest.map(|(key, _)| key.clone()).ok_or(unknown)?
            }
            found => found?,
        };
        let live = self.tasks.get(&key).map(|task| match &task.stage {
            Stage::Ended { outcome, usage, .. } => {
                (task.repeatable.as_deref(), Some((outcome, *usage)))
            }
            _ => (task.repeatable.as_deref(), None),
        });
        let ended = || {
            let ended = self.tasks.history.get(&key)?;
            Some((ended.repeatable.as_deref(), Some((&ended.outcome, ended.usage))))
        };
        let (spec, end) = live.or_else(ended).unwrap_or_default();
        let no = |why: &str| Rejection::invalid("task", format!("{key} {why}"));
        let spec = spec.ok_or_else(|| {
            no("was not deterministic, or the master was started anew since: run it with \
                --deterministic")
        })?;
        let (outcome, usage) = end.ok_or_else(|| no("has not ended yet"))?;
        let usage = usage.ok_or_else(|| no("never ran"))?;
        Ok(Recorded { key: key.clone(), spec: spec.clone(), outcome: outcome.clone(), usage })
    }

    /// The newest attempt of the one task that is meant, live or remembered.
    fn find_task(
        &self,
        framework: Option<FrameworkId>,
        task: &TaskId,
    ) -> Result<TaskKey, Rejection> {
        let frameworks: Vec<&FrameworkId> = match &framework {
            Some(framework) => vec![framework],
            None => self.frameworks.keys().collect(),
        };
        let attempt = |id: &&FrameworkId| self.tasks.newest(id, task).map(|(attempt, _)| attempt);
        let key = |id: &FrameworkId, attempt| {
            let (framework, task) = (id.clone(), task.clone());
            TaskKey { framework, task, attempt }
        };
        let live = frameworks.iter().filter_map(|id| Some(key(id, attempt(id)?)));
        let live: Vec<TaskKey> = live.collect();
        match live.as_slice() {
            [only] => Ok(only.clone()),
            [] => {
                let history = &self.tasks.history;
                let ended = frameworks.iter().find_map(|id| history.newest(id, task));
                let unknown = Rejection::UnknownTask { task: task.to_string() };
                ended.map(|(key, _)| key.clone()).ok_or(unknown)
            }
            [first, second, ..] => {
                let (first, second) = (&first.framework, &second.framework);
                let why =
                    format!("{first}, {second} and perhaps others have a task {task}: name one");
                Err(Rejection::invalid("framework", why))
            }
        }
    }

    fn set_role(&mut self, role: Role, weight: Weight) -> Result<(), Rejection> {
        let max = self.policy.roles_max;
        if !self.durable.weights.contains_key(&role) && self.durable.weights.len() >= max {
            return Err(Rejection::TooMany { what: "roles with a weight".into(), max: max as u64 });
        }
        self.ledger.shares.set_weight(&role, weight);
        self.persist(Record::RoleSet { role, weight });
        Ok(())
    }
}
