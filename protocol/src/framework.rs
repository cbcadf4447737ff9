//! The conversation of a framework with the master: calls go up, events come down.
//!
//! The words are those of Mesos's scheduler API (`scheduler.proto`), except that every operation
//! of an ACCEPT is answered.
//!
//! ```text
//! Subscribe -> Subscribed -> Offers -> Accept -> Answered -> TasksAccepted -> StatusUpdates
//!                              |         (or Decline, or the offer is Rescinded)    |
//!                              +<---------------- Acknowledge <---------------------+
//! ```

use crate::{
    agent::Volume,
    bounds::ID_BYTES_MAX,
    ids::{AgentId, AllocationId, Attempt, FrameworkId, OfferId, Role, TaskId, TaskKey},
    outcome::{Progress, StatusUpdate, TaskMessage},
    rejection::Rejection,
    resources::{Amount, Resources},
    task::{TaskSpec, Terms},
    time::Time,
    wishes::Wishes,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Who a framework is and where it stands in the sharing tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkInfo {
    /// What people read in lists; need not be unique.
    pub name: String,
    /// The role it asks in.
    pub role: Role,
    /// Other roles it asks in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub more_roles: BTreeSet<Role>,
    /// What it can deal with: `revocable` resources, agents in other regions (`region_aware`),
    /// agents with a scarce kind of resource (its name, such as `gpus`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
    /// Which offers are of use to it, in those of its roles that are named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wishes: BTreeMap<Role, Wishes>,
    /// How long after its connection broke its tasks live on without it.
    pub failover_timeout: Duration,
}

impl FrameworkInfo {
    /// All roles it asks in, the first one first.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        let others = self.more_roles.iter().filter(|role| **role != self.role);
        std::iter::once(&self.role).chain(others)
    }
}

impl Default for FrameworkInfo {
    /// Nameless, in the default role alone, and missed for a week.
    fn default() -> Self {
        Self {
            name: String::new(),
            role: Role::default(),
            more_roles: BTreeSet::new(),
            capabilities: BTreeSet::new(),
            wishes: BTreeMap::new(),
            failover_timeout: FAILOVER_TIMEOUT_DEFAULT,
        }
    }
}

/// How long an unanswered framework's tasks live on if it does not say (a week, as Mesos's
/// operators advise; Mesos's own default of zero killed tasks on every hiccup).
pub const FAILOVER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What a framework asks of the master.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// First call on a connection. With an id: the same framework again, after a restart.
    Subscribe {
        /// The id that an earlier subscription was given.
        framework: Option<FrameworkId>,
        /// A random number of this process: two instances of a framework are told apart by it, and
        /// a first subscription that is repeated gets the same id. 0 if it has none.
        run: u64,
        /// Counts the connections of this run, so that a call which was late on an older one is
        /// not taken for the newest.
        connection: u64,
        /// Who it is.
        info: FrameworkInfo,
    },
    /// Uses offers, all of one agent. What the operations leave over is declined with `filters`.
    Accept {
        /// Which offers.
        offers: Vec<OfferId>,
        /// What to do with them, in order.
        operations: Vec<Operation>,
        /// How to treat what is left over.
        filters: Filters,
    },
    /// Gives offers back.
    Decline {
        /// Which offers.
        offers: Vec<OfferId>,
        /// For how long not to offer the like again.
        filters: Filters,
    },
    /// Launches more tasks into an allocation whose queue is not empty or whose tasks still run.
    Enqueue {
        /// Which allocation.
        allocation: AllocationId,
        /// The tasks; a spec that could not be read is answered with its refusal.
        tasks: Vec<LaunchTask>,
    },
    /// No offers until [`Call::Revive`].
    Suppress {
        /// In which of its roles. None: in all.
        roles: BTreeSet<Role>,
    },
    /// Offers again, and at once: clears suppression and filters.
    Revive {
        /// In which of its roles. None: in all.
        roles: BTreeSet<Role>,
    },
    /// Ends a task, in whatever attempt.
    Kill {
        /// Which task.
        task: TaskId,
    },
    /// Confirms status updates; each covers all earlier numbers of its attempt.
    Acknowledge {
        /// Which updates.
        acknowledgements: Vec<Acknowledgement>,
    },
    /// Asks for the state of these attempts, or of all tasks if none is named. One that is not
    /// known is answered as lost, unless a later attempt of its task is known.
    Reconcile {
        /// Which tasks.
        tasks: Vec<(TaskId, Attempt)>,
    },
    /// Kills all its tasks and forgets the framework; its id is never used again.
    Teardown,
    /// Says what the framework waits for. None: whatever there is.
    Demand {
        /// In which of its roles. None: in the first.
        role: Option<Role>,
        /// What it waits for.
        demand: Option<Demand>,
    },
    /// Says whether the framework will have left when an agent goes. Its tasks there end in any
    /// case.
    AnswerInverse {
        /// Which inverse offers.
        offers: Vec<OfferId>,
        /// Whether it agrees.
        consent: Consent,
    },
    /// Keeps values for the framework's next instance, which is told them when it subscribes. They
    /// are durable before any later call is dealt with: a task that is launched after this call
    /// runs only if they are kept.
    Save {
        /// By key. None: the value is forgotten.
        entries: BTreeMap<String, Option<Vec<u8>>>,
    },
    /// Answers an [`Event::Asked`].
    Reply {
        /// Which question.
        question: u64,
        /// The answer, or why there is none.
        answer: Result<Vec<u8>, String>,
    },
    /// Stores a blob, before any later call is dealt with: a task that is launched after this may
    /// name it. For what a scheduler makes itself; files are pushed.
    Put {
        /// Its bytes, at most [`PUT_BYTES_MAX`](crate::bounds::PUT_BYTES_MAX).
        blob: Vec<u8>,
    },
    /// Sends bytes to a running task: at most once, and nothing is kept. What cannot be passed on
    /// is answered by [`Event::Refused`] with [`Rejection::Undelivered`].
    Message {
        /// Which task.
        task: TaskId,
        /// To this attempt alone. None: to whichever runs.
        attempt: Option<Attempt>,
        /// At most [`MESSAGE_BYTES_MAX`](crate::bounds::MESSAGE_BYTES_MAX).
        bytes: Vec<u8>,
    },
}

/// What a framework keeps at the master, by key. In all at most
/// [`STATE_BYTES_MAX`](crate::bounds::STATE_BYTES_MAX).
pub type State = BTreeMap<String, Vec<u8>>;

/// Whether a text may be the key of a value that a framework keeps.
pub fn is_state_key(key: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
    (1..=ID_BYTES_MAX).contains(&key.len()) && key.bytes().all(letter)
}

/// What a framework says to an inverse offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It will have left.
    Accepted,
    /// It would rather stay.
    Declined,
}

/// What a framework waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The smallest useful offer.
    pub least: Resources,
    /// How much in all, what it is offered at present included. Of kinds that are not in it
    /// nothing is offered; if it is empty, nothing at all.
    pub wants: Resources,
    /// On which terms it would hold it. None: on whichever its capabilities let it.
    pub terms: Option<Terms>,
}

/// A task to launch: its spec, or why the receiver could not take it from the wire.
pub type LaunchTask = Result<TaskSpec, RefusedTask>;

/// A task that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedTask {
    /// Which task.
    pub task: TaskId,
    /// Which attempt of it.
    pub attempt: Attempt,
    /// Why not.
    pub rejection: Rejection,
}

/// One thing to do with accepted offers.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Runs tasks. More tasks than fit at once are queued at the agent, bounded, and started as
    /// earlier ones end, without a trip to the master.
    Launch {
        /// The tasks, in the order to start them.
        tasks: Vec<LaunchTask>,
    },
    /// Sets offered resources aside for the offer's role or one below it.
    Reserve {
        /// For whom.
        role: Role,
        /// How much.
        resources: Resources,
        /// Out of what is reserved for this role, the offer's or one above it. None: out of what
        /// is not reserved.
        from: Option<Role>,
    },
    /// Gives back what is offered and reserved for the offer's role.
    Unreserve {
        /// For whom it was, the offer's role.
        role: Role,
        /// How much.
        resources: Resources,
        /// To the role above it that it came from. None: to everybody.
        to: Option<Role>,
    },
    /// Makes a volume out of offered disk that is reserved for the offer's role.
    CreateVolume {
        /// Whose tasks may use it, the offer's role.
        role: Role,
        /// What it is called, unique on the agent.
        name: String,
        /// How much of the disk, in MiB.
        disk: Amount,
    },
    /// Removes a volume of the offer's role with all that is in it; its disk stays reserved.
    DestroyVolume {
        /// Which.
        name: String,
    },
}

/// What a decline means for offers to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// For how long not to offer this framework as much or less of that agent. None: the default,
    /// 5 s for a decline and nothing for the unused rest of an ACCEPT that launched something.
    pub refuse: Option<Duration>,
}

/// One status update that a framework has dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Which attempt of which task.
    pub key: TaskKey,
    /// Up to which number.
    pub seq: u64,
}

/// What the master tells a framework.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The answer to [`Call::Subscribe`].
    Subscribed {
        /// The framework's id, now and after every restart.
        framework: FrameworkId,
        /// What it has saved.
        state: State,
    },
    /// New offers.
    Offers {
        /// The offers.
        offers: Vec<Offer>,
    },
    /// An offer is void: do not use it.
    Rescinded {
        /// Which offer.
        offer: OfferId,
    },
    /// What became of one operation of an ACCEPT, or of an Enqueue.
    Answered {
        /// The first offer of the ACCEPT; none for an Enqueue.
        offer: Option<OfferId>,
        /// Which of its operations, from 0.
        operation: u32,
        /// What became of it.
        answer: Answer,
    },
    /// Agents have recorded these tasks: from now on they end in exactly one terminal state.
    TasksAccepted {
        /// The tasks, with the agent that has them.
        agent: AgentId,
        /// Which tasks.
        tasks: Vec<(TaskId, Attempt)>,
    },
    /// States have changed, in order.
    StatusUpdates {
        /// The changes.
        updates: Vec<StatusUpdate>,
    },
    /// Running guests have told how far they are.
    Progressed {
        /// Their reports.
        reports: Vec<Progress>,
    },
    /// The master refuses a call as a whole; after a refused Subscribe or a failover it hangs up.
    Refused {
        /// Why.
        rejection: Rejection,
    },
    /// Agents are asked back on which the framework has tasks.
    InverseOffers {
        /// Each of them.
        offers: Vec<InverseOffer>,
    },
    /// An agent is not asked back any more.
    InverseRescinded {
        /// Which inverse offer.
        offer: OfferId,
    },
    /// Somebody has a question or an order for the framework, which answers by [`Call::Reply`].
    Asked {
        /// Its number.
        question: u64,
        /// Who asks, as kind and id, by the certificate.
        by: String,
        /// What the framework and its users agree on.
        message: Vec<u8>,
    },
    /// A running task has sent this. It may be lost, and is not acknowledged.
    Message(TaskMessage),
}

/// An agent is asked back: who has tasks there should move them before the window begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Its id.
    pub id: OfferId,
    /// Which agent.
    pub agent: AgentId,
    /// The node's name.
    pub hostname: String,
    /// When it will not be there.
    pub window: Window,
}

/// A time in which an agent is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it begins.
    pub from: Time,
    /// How long it lasts. None: until further notice.
    pub lasts: Option<Duration>,
}

/// What became of one operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Tasks are on their way to the agent.
    Launched {
        /// What they may use together; more can be enqueued under it.
        allocation: AllocationId,
        /// The agent they are on their way to.
        agent: AgentId,
        /// Those of them that are not, each with its reason.
        refused: Vec<RefusedTask>,
    },
    /// Nothing of it was done.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The tasks that the operation named.
        tasks: Vec<(TaskId, Attempt)>,
    },
    /// A reservation or a volume is as it was asked for.
    Applied,
}

/// Resources of one agent, offered to one framework in one role; usable once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Whose resources.
    pub agent: AgentId,
    /// The node's name.
    pub hostname: String,
    /// In which role.
    pub role: Role,
    /// How much.
    pub resources: Resources,
    /// What the agent's operator says about it, such as `zone` = `a`.
    pub attributes: BTreeMap<String, String>,
    /// The agent's processor architecture, as Rust names it: `x86_64`, `aarch64`.
    pub architecture: String,
    /// The names of the limits and grants that the agent can enforce.
    pub enforces: Vec<String>,
    /// When it is void if not answered.
    pub expires: Time,
    /// What of the resources is reserved, by role: the offer's or one above it.
    pub reserved: BTreeMap<Role, Resources>,
    /// What of the resources is lent, and taken back without notice.
    pub revocable: Resources,
    /// When the agent will not be there, if that is known.
    pub unavailable: Option<Window>,
    /// The volumes of the agent that the offer's role may use.
    pub volumes: Vec<Volume>,
}
