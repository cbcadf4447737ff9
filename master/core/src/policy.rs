//! What the master's operator decides, and the bounds of the core.

use skep_protocol::{Amount, bounds::AGENT_TASKS_MAX};
use std::time::Duration;

/// The core's settings; never changed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an offer waits for its answer before it is rescinded.
    pub offer_timeout: Duration,
    /// How long after its connection broke an agent's tasks count as unreachable.
    pub unreachable_after: Duration,
    /// How long after its connection broke an agent's tasks count as lost.
    pub lost_after: Duration,
    /// How long a connected agent may go without a sound beat before the master hangs up.
    pub beat_silence_max: Duration,
    /// A beat that tells of a record unsaved for longer than this is no sound one.
    pub unsaved_max: Duration,
    /// How long frameworks have to come back after the master itself was away.
    pub return_grace: Duration,
    /// How long an allocation keeps its queue before it can be recalled for another role.
    pub recall_hold: Duration,
    /// How long freed resources are gathered before they are offered, if the master is busy.
    pub coalesce: Duration,
    /// The least that is worth an offer: this much cpus, or [`Policy::mem_min`].
    pub cpus_min: Amount,
    /// The least memory, in MiB, that is worth an offer without cpus.
    pub mem_min: Amount,
    /// The region of the master: agents elsewhere are offered to frameworks that know of regions.
    pub region: Option<String>,
    /// Tasks on one agent, ended ones included until their end is acknowledged.
    pub agent_tasks_max: usize,
    /// Ended tasks that are remembered, of all frameworks together.
    pub ended_tasks_max: usize,
    /// Checkpoints that are kept of one framework's tasks.
    pub checkpoints_max: usize,
    /// Offers out to one framework.
    pub offers_out_max: usize,
    /// Agents ever admitted.
    pub agents_max: usize,
    /// Frameworks known at a time.
    pub frameworks_max: usize,
    /// Roles with a weight of their own.
    pub roles_max: usize,
    /// Join tokens, used up and expired ones included until room is needed.
    pub tokens_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Far above any scheduler's thinking time, and what a hung one can withhold at most.
            offer_timeout: Duration::from_secs(30),
            // A restarted agent or a changed network is back by then.
            unreachable_after: Duration::from_secs(5),
            // As Mesos's agent_reregister_timeout: a rebooted machine is back by then.
            lost_after: Duration::from_secs(600),
            // Agents beat every second; a machine that swaps may miss a few.
            beat_silence_max: Duration::from_secs(15),
            unsaved_max: Duration::from_secs(10),
            // Twice the longest pause between a peer's attempts to connect.
            return_grace: Duration::from_secs(10),
            // Short against an offer's time-out, long against a short task.
            recall_hold: Duration::from_secs(1),
            // Nobody notices it; a busy master makes one allocation of some thousand events.
            coalesce: Duration::from_millis(2),
            // Both as in Mesos.
            cpus_min: Amount::millis(10),
            mem_min: Amount::units(32),
            region: None,
            agent_tasks_max: AGENT_TASKS_MAX,
            // About 500 bytes each.
            ended_tasks_max: 10_000,
            // Up to 64 KiB each, in the store and in memory.
            checkpoints_max: 1_000,
            // One framework alone may still be offered a large cluster.
            offers_out_max: 10_000,
            // Each costs a record; what QUIC sessions one process can hold.
            agents_max: 50_000,
            // Each costs a record and a look in every allocation.
            frameworks_max: 10_000,
            roles_max: 10_000,
            tokens_max: 1_000,
        }
    }
}
