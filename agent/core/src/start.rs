//! Starting tasks: from the head of a queue, past what is missing, to the executor.

use crate::{
    agent::Agent,
    profile::ExecutorKey,
    queue::Next,
    state::Work,
    tasks::{Compilation, Stage},
    turn::Change,
    waits::Need,
};
use skep_protocol::{
    AllocationId, Digest, Outcome, Rejection, Resources, TaskKey, TaskState,
    executor::StartGuest,
    task::{DirSource, Grants},
};
use std::mem::replace;

impl Agent {
    /// Gives room to the tasks at the head of a queue, as far as it goes.
    pub(crate) fn start_queued(&mut self, allocation: AllocationId) {
        if self.executors.is_expecting() {
            return;
        }
        loop {
            let none = Resources::none();
            let resources = |key: &TaskKey| match self.state.task(key).map(|task| &task.work) {
                Some(Work::Accepted(spec)) => &spec.resources,
                _ => &none,
            };
            match self.queues.next(allocation, resources) {
                Next::Wait => return,
                Next::Place(key) => {
                    if let Some(live) = self.live.get_mut(&key) {
                        live.stage = Stage::Placed;
                    }
                    self.count_in(&key);
                    self.prepare(&key);
                }
                Next::TooLarge(key) => {
                    let Some(task) = self.state.task(&key) else { return };
                    let rejection = Rejection::DoesNotFit {
                        task: key.task.clone(),
                        asked: resources(&key).clone(),
                        offered: task.granted.clone(),
                    };
                    self.end_here(&key, Outcome::Refused { rejection });
                }
            }
        }
    }

    /// Brings a task that has room as far as it can go: to its executor, or to what it waits for.
    ///
    /// All that it misses is asked for at once, so that fetching, compiling and the start of the
    /// executor overlap; it waits for one after the other.
    pub(crate) fn prepare(&mut self, key: &TaskKey) {
        let (Some(spec), Some(executor)) = (self.spec(key), self.executor_of(key)) else { return };
        let artifact = spec.artifact();
        let inputs = spec.inputs.iter().map(|input| input.digest);
        let blobs: Vec<Digest> = spec.grants.stdin.into_iter().chain(inputs).collect();
        let artifact = match self.need_artifact(artifact) {
            Ok(need) => need,
            Err(outcome) => return self.end_here(key, outcome),
        };
        self.time_compilation(key, artifact.as_ref());
        let blobs: Vec<Need> = blobs.into_iter().filter_map(|blob| self.need_blob(blob)).collect();
        let others = [self.need_executor(&executor), self.need_departure(), self.need_room(key)];
        let needs = artifact.into_iter().chain(blobs).chain(others.into_iter().flatten());
        let first = needs.into_iter().next();
        match first {
            Some(need) => self.wait_for(key, need),
            None => self.send_start(key, executor),
        }
    }

    /// The clock of a task's compilation runs while the artifact is what it waits for.
    fn time_compilation(&mut self, key: &TaskKey, need: Option<&Need>) {
        let Some(live) = self.live.get_mut(key) else { return };
        let now = self.turn.now;
        live.compilation = match (live.compilation, need) {
            (Compilation::Took(_), Some(Need::Artifact(_))) => Compilation::Since(now),
            (Compilation::Since(_), Some(Need::Artifact(_))) => return,
            (Compilation::Since(since), _) => Compilation::Took(now.since(since)),
            (took, _) => took,
        };
    }

    fn wait_for(&mut self, key: &TaskKey, need: Need) {
        let Some(live) = self.live.get_mut(key) else { return };
        let before = replace(&mut live.stage, Stage::Preparing(need.clone()));
        let arrival = live.arrival;
        if let Stage::Preparing(before) = before {
            self.waits.leave(&before, arrival);
        } else if self.state.task(key).is_some_and(|task| task.numbered() == 0) {
            self.report(key, Change::ours(TaskState::Starting, self.turn.now));
        }
        self.waits.join(need, arrival, key.clone());
    }

    /// What they waited for is there.
    pub(crate) fn wake(&mut self, need: &Need) {
        for key in self.waits.all(need) {
            self.prepare(&key);
        }
    }

    /// What they waited for will not come.
    pub(crate) fn give_up(&mut self, need: &Need, outcome: &Outcome) {
        for key in self.waits.all(need) {
            self.end_here(&key, outcome.clone());
        }
    }

    fn send_start(&mut self, key: &TaskKey, executor: ExecutorKey) {
        let Some(guest) = self.guest(key) else { return };
        let Some(live) = self.live.get_mut(key) else { return };
        if let Stage::Preparing(before) = &live.stage {
            self.waits.leave(before, live.arrival);
        }
        live.stage = Stage::Sent;
        self.executors.guest_joins(&executor, key);
        self.turn.starts.entry(executor).or_default().push(guest);
    }

    /// The grants with the path of each volume in place of its name, which only this agent knows.
    fn resolved(&self, grants: &Grants) -> Grants {
        let mut grants = grants.clone();
        for dir in &mut grants.dirs {
            if let DirSource::Volume(name) = &dir.source
                && let Some(place) = self.place(name)
            {
                dir.source = DirSource::Host(place.path.to_string_lossy().into_owned());
            }
        }
        grants
    }

    fn guest(&self, key: &TaskKey) -> Option<StartGuest> {
        let (spec, layout) = (self.spec(key)?, &self.policy.layout);
        Some(StartGuest {
            key: key.clone(),
            agent: self.state.agent()?.clone(),
            module: spec.module,
            name: spec.name.clone(),
            args: spec.args.clone(),
            index: spec.index,
            cpus: spec.resources.cpus(),
            memory_bytes: spec.resources.mem_bytes(),
            limits: spec.limits.clone(),
            grants: self.resolved(&spec.grants),
            inputs: spec.inputs.clone(),
            diagnostics: spec.diagnostics,
            policies: spec.policies.clone(),
            checkpoint: spec.checkpoint.clone(),
            sandbox: layout.sandbox(key),
        })
    }
}
