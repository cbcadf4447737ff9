//! The session with the master: registering, beats, refusals, and the orderly stop.
//!
//! ```text
//! Disconnected -> Registering -> Registered -> Disconnected
//!                      |
//!                      +-> refused: exits if that is for good, else reconnects
//! ```
//! Being disconnected changes nothing for the tasks: they run on, and their updates are kept.

use crate::{
    agent::Agent,
    effect::{Effect, ExitReason},
    record::Record,
    state::{Task, Work},
    tasks::Stage,
};
use skep_protocol::{
    AgentId, Outcome, Rejection, Resources, TaskKey, TaskState, Time,
    agent::{HeldTask, Registration, ToMaster},
    outcome::KilledBy,
    task::Terms,
};

#[derive(Debug, PartialEq)]
pub(crate) enum Session {
    Disconnected,
    /// The registration is on its way.
    Registering,
    Registered {
        next_beat: Time,
        /// The greatest number of an order to acknowledge that came.
        acknowledged: u64,
    },
}

impl Session {
    /// An order to acknowledge was carried out.
    pub(crate) fn carried_out(&mut self, number: u64) {
        if let Self::Registered { acknowledged, .. } = self {
            *acknowledged = number.max(*acknowledged);
        }
    }
}

/// Where this run of the agent stands.
#[derive(Debug, PartialEq)]
pub(crate) enum Phase {
    /// The tasks and executors of the run before are still to be looked for.
    Recovered,
    Serving,
    /// No new tasks; exits when the last one has ended, or when the time is over.
    Stopping {
        due: Time,
    },
    Exited,
}

impl Agent {
    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self.session, Session::Registered { .. })
    }

    pub(crate) fn connected(&mut self) {
        self.leave_session();
        self.session = Session::Registering;
        self.connections += 1;
        let registration = Registration {
            incarnation: self.state.incarnation(),
            run: self.run,
            connection: self.connections,
            info: self.info.clone(),
            tasks: self.held_tasks(),
            volumes: self.state.volumes().keys().cloned().collect(),
        };
        self.effect(Effect::SendMaster(ToMaster::Register(registration)));
    }

    pub(crate) fn disconnected(&mut self) {
        self.leave_session();
    }

    fn leave_session(&mut self) {
        self.session = Session::Disconnected;
        // What was sent on the old connection may be lost: registering sends all of it again.
        self.retries.clear();
    }

    pub(crate) fn registered(&mut self, agent: AgentId) {
        if self.session != Session::Registering {
            return;
        }
        let next_beat = self.turn.now + self.policy.beat_interval;
        self.session = Session::Registered { next_beat, acknowledged: 0 };
        if self.state.agent() != Some(&agent) {
            self.persist(Record::AgentNamed { agent });
        }
        self.resend_all();
    }

    pub(crate) fn refused(&mut self, rejection: Rejection) {
        self.leave_session();
        if is_final(&rejection) {
            self.exit(ExitReason::Refused { rejection });
        } else {
            self.effect(Effect::Reconnect);
        }
    }

    pub(crate) fn session_due(&self) -> Option<Time> {
        let stop = self.stop_due();
        let beat = match self.session {
            Session::Registered { next_beat, .. } => Some(next_beat),
            _ => None,
        };
        stop.into_iter().chain(beat).min()
    }

    pub(crate) fn session_tick(&mut self) {
        let now = self.turn.now;
        if let Session::Registered { next_beat, acknowledged } = &mut self.session
            && *next_beat <= now
        {
            *next_beat = now + self.policy.beat_interval;
            let (inputs, acknowledged) = (self.inputs, *acknowledged);
            let beat = ToMaster::Beat { inputs, unsaved_millis: 0, acknowledged };
            self.effect(Effect::SendMaster(beat));
        }
    }

    pub(crate) fn stop(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Stopping { due: self.turn.now + self.policy.stop_max };
        let live: Vec<TaskKey> = self.live.keys().cloned().collect();
        live.iter().for_each(|key| self.kill(key, &KilledBy::AgentStopped));
    }

    /// When an orderly stop is over at the latest, if the agent stops.
    pub(crate) const fn stop_due(&self) -> Option<Time> {
        match self.phase {
            Phase::Stopping { due } => Some(due),
            _ => None,
        }
    }

    /// The last word of a turn: exits once an orderly stop is through.
    ///
    /// It does not wait for acknowledgements: the updates are on the disk, and the next run sends
    /// them again.
    pub(crate) fn finish_stop(&mut self) {
        if let Phase::Stopping { due } = self.phase
            && (self.live.is_empty() || due <= self.turn.now)
        {
            self.exit(ExitReason::Stopped);
        }
    }

    fn exit(&mut self, why: ExitReason) {
        if self.phase != Phase::Exited {
            self.phase = Phase::Exited;
            self.effect(Effect::Exit { why });
        }
    }

    fn held_tasks(&self) -> Vec<HeldTask> {
        self.state.tasks().iter().map(|(key, task)| self.held_task(key, task)).collect()
    }

    fn held_task(&self, key: &TaskKey, task: &Task) -> HeldTask {
        let (resources, name, terms, lost_after) = match &task.work {
            Work::Accepted(spec) => {
                let lost_after = spec.policies.lost_after;
                (spec.resources.clone(), spec.name.clone(), spec.terms, lost_after)
            }
            Work::Refused => (Resources::none(), key.task.to_string(), Terms::Regular, None),
        };
        HeldTask {
            key: key.clone(),
            role: task.role.clone(),
            allocation: task.allocation,
            granted: self.queues.granted(task.allocation).unwrap_or(&task.granted).clone(),
            resources,
            terms,
            name,
            state: self.task_state(key, task),
            volumes: self.volumes_of(&task.work),
            lost_after,
        }
    }

    fn task_state(&self, key: &TaskKey, task: &Task) -> TaskState {
        match self.live.get(key).map(|live| (&live.stage, live.arrival)) {
            Some((Stage::Queued, _)) => TaskState::Staging,
            Some((Stage::Delivering, _)) => TaskState::Running,
            Some((Stage::Running, arrival)) => self.stand_of(arrival),
            // Not known yet: what it was when it was last told, for it is not told again.
            Some((Stage::Recovered(_), _)) => task.told().cloned().unwrap_or(TaskState::Starting),
            Some((Stage::Placed | Stage::Preparing(_) | Stage::Sent, _)) => TaskState::Starting,
            // What is not live has ended, and its last update says how.
            None => task.updates().back().map_or(TaskState::Staging, |last| brief(&last.state)),
        }
    }
}

/// The state without its sentences: thousands of ended tasks are to fit into one registration, and
/// the update with all of it follows at once.
fn brief(state: &TaskState) -> TaskState {
    let why = String::new();
    TaskState::Ended(match state {
        TaskState::Ended(Outcome::Trapped { trap, .. }) => {
            Outcome::Trapped { trap: *trap, why, backtrace: Vec::new() }
        }
        TaskState::Ended(Outcome::ModuleRejected { .. }) => Outcome::ModuleRejected { why },
        TaskState::Ended(Outcome::Failed { .. }) => Outcome::Failed { why },
        TaskState::Ended(Outcome::Refused { rejection: Rejection::Invalid { field, .. } }) => {
            let rejection = Rejection::Invalid { field: field.clone(), why };
            Outcome::Refused { rejection }
        }
        other => return other.clone(),
    })
}

/// Whether trying again cannot help until somebody has changed something.
const fn is_final(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::StaleIncarnation { .. }
            | Rejection::DuplicateAgent { .. }
            | Rejection::WrongKind { .. }
            | Rejection::NotAllowed { .. }
            | Rejection::UnknownToken
            | Rejection::TokenUsedUp
            | Rejection::TokenExpired
            | Rejection::AgentGone { .. }
    )
}
