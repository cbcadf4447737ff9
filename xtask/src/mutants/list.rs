//! The faults that are made: what is right, and what is put in its place.

/// One fault.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// Stands in the file once.
    pub(crate) right: &'static str,
    pub(crate) wrong: &'static str,
}

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "an update is sent before it is recorded",
        file: "agent/core/src/turn.rs",
        right: "            self.persist(Record::Updated(update.clone()));\n",
        wrong: "            self.send_updates(vec![update.clone()]);\n            \
                self.persist(Record::Updated(update.clone()));\n",
    },
    Mutation {
        name: "an accepted task is not recorded",
        file: "agent/core/src/launch.rs",
        right: "        self.persist(Record::TaskAccepted {",
        wrong: "        self.state.apply(&Record::TaskAccepted {",
    },
    Mutation {
        name: "an acknowledgement is not recorded",
        file: "agent/core/src/updates.rs",
        right: "        self.persist(Record::Acknowledged { key: key.clone(), seq,",
        wrong: "        self.state.apply(&Record::Acknowledged { key: key.clone(), seq,",
    },
    Mutation {
        name: "updates are not sent again after a reconnect",
        file: "agent/core/src/session.rs",
        right: "        self.resend_all();\n",
        wrong: "",
    },
    Mutation {
        name: "updates are not sent again in time",
        file: "agent/core/src/updates.rs",
        right: "            updates.extend(self.unacknowledged(&key));\n            \
                self.schedule(key, wait);",
        wrong: "            self.schedule(key, wait);",
    },
    Mutation {
        name: "a stale attempt is accepted",
        file: "agent/core/src/launch.rs",
        right: "            && newest.attempt > spec.attempt",
        wrong: "            && newest.attempt.0 > spec.attempt.0 + 1_000",
    },
    Mutation {
        name: "the tasks of a dead executor are forgotten",
        file: "agent/core/src/executors.rs",
        right: "        ended.guests.iter().for_each(|key| self.lose_guest(key));\n",
        wrong: "",
    },
    Mutation {
        name: "a queue starts tasks without room",
        file: "agent/core/src/queue.rs",
        right: "        if queue.granted.contains(&sum) {",
        wrong: "        if queue.granted.contains(needed) {",
    },
    Mutation {
        name: "a recovered task is said to start",
        file: "agent/core/src/session.rs",
        right: "task.told().cloned().unwrap_or(TaskState::Starting)",
        wrong: "TaskState::Starting",
    },
    Mutation {
        name: "an incarnation is used twice",
        file: "agent/core/src/agent.rs",
        right: "        agent.persist(Record::Incarnation(incarnation));\n",
        wrong: "",
    },
    Mutation {
        name: "the master acknowledges before the framework has",
        file: "master/core/src/updates.rs",
        right: "                Heard::Forward(update) => forwarded.push(update),",
        wrong: "                Heard::Forward(update) => {\n                    \
                let (key, seq) = (update.key.clone(), update.seq);\n                    \
                acknowledgements.push(Acknowledgement { key, seq });\n                    \
                forwarded.push(update);\n                }",
    },
    Mutation {
        name: "resources are freed twice",
        file: "master/core/src/tasks.rs",
        right: "        if phase != Phase::Over {\n            \
                self.ledger.finish(task.allocation, &task.resources, task.begun());",
        wrong: "        if phase != Phase::Waiting {\n            \
                self.ledger.finish(task.allocation, &task.resources, task.begun());",
    },
    Mutation {
        name: "a launch that was lost is not made again",
        file: "master/core/src/homecoming.rs",
        right: "                home.launches.entry(task.allocation).or_default()\
                .push(key.clone());\n",
        wrong: "",
    },
    Mutation {
        name: "a task that was told lost may go on",
        file: "master/core/src/homecoming.rs",
        right: "            _ if is_told => Fate::Condemned(superseded_by(key.attempt.next())),\n",
        wrong: "            _ if is_told => Fate::Wanted,\n",
    },
    Mutation {
        name: "a kill is forgotten when its agent was away",
        file: "master/core/src/homecoming.rs",
        right: "                return;\n            }\n            \
                Fate::ToEnd(by) => home.kills.push((key.clone(), by.clone())),\n",
        wrong: "                return;\n            }\n            Fate::ToEnd(_) => {}\n",
    },
    Mutation {
        name: "the fence of incarnations is lost",
        file: "master/core/src/agents.rs",
        right: "        if incarnation < known.incarnation {",
        wrong: "        if incarnation.0 + 1_000 < known.incarnation.0 {",
    },
    Mutation {
        name: "a late registration is heard",
        file: "master/core/src/agents.rs",
        right: "(incarnation, run) && number < known.connection",
        wrong: "(incarnation, run) && number + 1_000 < known.connection",
    },
    Mutation {
        name: "a late subscription takes over",
        file: "master/core/src/frameworks.rs",
        right: "known.voice.is_same_run(voice) && voice.connection < known.voice.connection",
        wrong: "known.voice.is_same_run(voice) && known.voice.connection > 1_000",
    },
    Mutation {
        name: "a removed framework stays on the disk",
        file: "master/core/src/removal.rs",
        right: "        self.persist(Record::FrameworkRemoved { framework: framework.clone() });",
        wrong: "        \
                self.durable.apply(&Record::FrameworkRemoved { framework: framework.clone() });",
    },
    Mutation {
        name: "a token is used and not recorded",
        file: "master/core/src/tokens.rs",
        right: "        self.persist(Record::TokenUsed { id, token });",
        wrong: "        self.durable.apply(&Record::TokenUsed { id, token });",
    },
    Mutation {
        name: "a returned framework is not told what it missed",
        file: "master/core/src/frameworks.rs",
        right: "            updates.extend(task.unacknowledged.iter().cloned());\n",
        wrong: "",
    },
    Mutation {
        name: "a task starts before its acceptance is recorded",
        file: "agent/core/src/overtaking.rs",
        right: "        self.unsaved.insert(key.clone());\n",
        wrong: "",
    },
    Mutation {
        name: "a guest's checkpoint is not recorded",
        file: "agent/core/src/updates.rs",
        right: "        self.persist(Record::Checkpointed(checkpoint.clone()));",
        wrong: "        self.state.apply(&Record::Checkpointed(checkpoint.clone()));",
    },
    Mutation {
        name: "the master keeps a checkpoint and does not record it",
        file: "master/core/src/checkpoints.rs",
        right: "            self.persist(Record::Checkpointed { checkpoint, at: self.now });",
        wrong: "            \
                self.durable.apply(&Record::Checkpointed { checkpoint, at: self.now });",
    },
    Mutation {
        name: "what was told lost is news when its agent is back",
        file: "master/core/src/homecoming.rs",
        right: "            known.over.add(key.clone());\n",
        wrong: "            let _ = &mut known.over;\n",
    },
    Mutation {
        name: "a filled queue uses up what is waited for",
        file: "master/core/src/ledger/books.rs",
        right: "        self.reshape(id, Origin::Enqueued, |allocation| {\n            \
                allocation.granted = room;\n",
        wrong: "        self.reshape(id, Origin::Offer, |allocation| {\n            \
                allocation.granted = room;\n",
    },
    Mutation {
        name: "a scheduler that has suppressed asks for nothing more",
        file: "scheduler/src/driver/asking.rs",
        right: "            return self.revive();\n",
        wrong: "            return;\n",
    },
    Mutation {
        name: "what failed waits for ever",
        file: "frameworks/src/batch/progress.rs",
        right: "            self.first_waiting = self.first_waiting.min(index);\n",
        wrong: "            self.first_waiting = self.first_waiting.max(index + 1);\n",
    },
    Mutation {
        name: "what is put into a queue is not said",
        file: "frameworks/src/batch/scheduler.rs",
        right: "        driver.enqueue(allocation, tasks);\n",
        wrong: "        drop(tasks);\n",
    },
    Mutation {
        name: "a job is called done before it is",
        file: "frameworks/src/batch/progress.rs",
        right: "        self.done == self.count()\n",
        wrong: "        self.done + 1 >= self.count()\n",
    },
    Mutation {
        name: "the copies of a removed service run on",
        file: "frameworks/src/service/scheduler.rs",
        right: "                        driver.kill(task);\n",
        wrong: "                        drop(task);\n",
    },
    Mutation {
        name: "a schedule forgets which slots it has begun",
        file: "frameworks/src/cron/scheduler.rs",
        right: "            keep(driver, &self.all[&name].kept);\n",
        wrong: "            let _ = (&driver, &name);\n",
    },
    Mutation {
        name: "a hosted scheduler that died is not started again",
        file: "supervisor/src/supervisor.rs",
        right: "            driver.wake_at(time);\n",
        wrong: "            let _ = time;\n",
    },
    Mutation {
        name: "a reason that is not so",
        file: "master/allocator/src/judge.rs",
        right: "            return Err(self.shortfall(kind));\n",
        wrong: "            return Err(Cause::BelowFloor);\n",
    },
];
