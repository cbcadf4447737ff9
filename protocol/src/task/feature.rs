//! The names of all that a spec may use, by which older peers refuse what they cannot enforce.

use super::{
    Access, Clock, Diagnostics, DirSource, Grants, Input, Limits, Output, Policies, Random,
};
use std::collections::BTreeSet;

/// A limit, grant or policy that a spec uses and an agent must be able to enforce.
///
/// Their names travel with every spec (`requires`) and every agent (`enforces`), because an older
/// peer silently drops protobuf fields it does not know: it does know that it misses a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the name of the field that needs it")]
pub enum Feature {
    Cpus,
    Memory,
    Output,
    Stack,
    Disk,
    Handles,
    Fuel,
    Deadline,
    RandomBytes,
    HostCallRate,
    Env,
    Stdin,
    SandboxDir,
    HostDir,
    VolumeDir,
    ReadOnlyDir,
    FixedClock,
    VirtualClock,
    SeededRandom,
    Network,
    Coredump,
    Revocable,
    Retry,
    KillGrace,
    Heartbeat,
    LostAfter,
    Checkpoint,
    Framework,
    NetworkDenied,
    Inputs,
    Outputs,
    StdinStream,
}

impl Feature {
    /// All features of this build, in the order of the enum.
    pub const ALL: [Self; 32] = [
        Self::Cpus,
        Self::Memory,
        Self::Output,
        Self::Stack,
        Self::Disk,
        Self::Handles,
        Self::Fuel,
        Self::Deadline,
        Self::RandomBytes,
        Self::HostCallRate,
        Self::Env,
        Self::Stdin,
        Self::SandboxDir,
        Self::HostDir,
        Self::VolumeDir,
        Self::ReadOnlyDir,
        Self::FixedClock,
        Self::VirtualClock,
        Self::SeededRandom,
        Self::Network,
        Self::Coredump,
        Self::Revocable,
        Self::Retry,
        Self::KillGrace,
        Self::Heartbeat,
        Self::LostAfter,
        Self::Checkpoint,
        Self::Framework,
        Self::NetworkDenied,
        Self::Inputs,
        Self::Outputs,
        Self::StdinStream,
    ];

    /// What every task uses, whatever its spec says.
    pub const ALWAYS: [Self; 6] =
        [Self::Cpus, Self::Memory, Self::Output, Self::Stack, Self::Disk, Self::Handles];

    /// The name on the wire; never changed, never used for anything else.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpus => "limit.cpus",
            Self::Memory => "limit.memory",
            Self::Output => "limit.output",
            Self::Stack => "limit.stack",
            Self::Disk => "limit.disk",
            Self::Handles => "limit.handles",
            Self::Fuel => "limit.fuel",
            Self::Deadline => "limit.deadline",
            Self::RandomBytes => "limit.random",
            Self::HostCallRate => "limit.host_calls",
            Self::Env => "grant.env",
            Self::Stdin => "grant.stdin",
            Self::SandboxDir => "grant.dir.sandbox",
            Self::HostDir => "grant.dir.host",
            Self::VolumeDir => "grant.dir.volume",
            Self::ReadOnlyDir => "grant.dir.read_only",
            Self::FixedClock => "grant.clock.fixed",
            Self::VirtualClock => "grant.clock.virtual",
            Self::SeededRandom => "grant.random.seeded",
            Self::Network => "grant.network",
            Self::Coredump => "policy.coredump",
            Self::Revocable => "policy.revocable",
            Self::Retry => "policy.retry",
            Self::KillGrace => "policy.kill_grace",
            Self::Heartbeat => "policy.heartbeat",
            Self::LostAfter => "policy.lost_after",
            Self::Checkpoint => "policy.checkpoint",
            Self::Framework => "grant.framework",
            Self::NetworkDenied => "grant.network.denied",
            Self::Inputs => "files.inputs",
            Self::Outputs => "files.outputs",
            Self::StdinStream => "grant.stdin.stream",
        }
    }

    /// The feature of that name, if this build knows it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// The features that a guest with these limits and grants needs.
    pub fn used_by(limits: &Limits, grants: &Grants, diagnostics: Diagnostics) -> BTreeSet<Self> {
        let Limits { fuel, deadline, random_bytes, host_calls_per_second, .. } = limits;
        let Grants { env, stdin, dirs, clock, random, network, .. } = grants;
        let Grants { framework, network_denied, stdin_stream, .. } = grants;
        let from = |is_it: fn(&DirSource) -> bool| dirs.iter().any(|dir| is_it(&dir.source));
        let sometimes = [
            (Self::Fuel, fuel.is_some()),
            (Self::Deadline, deadline.is_some()),
            (Self::RandomBytes, random_bytes.is_some()),
            (Self::HostCallRate, host_calls_per_second.is_some()),
            (Self::Env, !env.is_empty()),
            (Self::Stdin, stdin.is_some()),
            (Self::SandboxDir, from(|source| *source == DirSource::Sandbox)),
            (Self::HostDir, from(|source| matches!(source, DirSource::Host(_)))),
            (Self::VolumeDir, from(|source| matches!(source, DirSource::Volume(_)))),
            (Self::ReadOnlyDir, dirs.iter().any(|dir| dir.access == Access::ReadOnly)),
            (Self::FixedClock, matches!(clock, Clock::Fixed { .. })),
            (Self::VirtualClock, matches!(clock, Clock::Virtual { .. })),
            (Self::SeededRandom, matches!(random, Random::Seeded { .. })),
            (Self::Network, !network.is_empty()),
            (Self::Framework, *framework),
            (Self::NetworkDenied, *network_denied),
            (Self::StdinStream, *stdin_stream),
            (Self::Coredump, diagnostics == Diagnostics::Coredump),
        ];
        let used = sometimes.into_iter().filter_map(|(feature, used)| used.then_some(feature));
        Self::ALWAYS.into_iter().chain(used).collect()
    }

    /// The features that these files need.
    pub fn of_files(inputs: &[Input], outputs: &[Output]) -> BTreeSet<Self> {
        let sometimes = [(Self::Inputs, !inputs.is_empty()), (Self::Outputs, !outputs.is_empty())];
        sometimes.into_iter().filter_map(|(feature, used)| used.then_some(feature)).collect()
    }

    /// The features that these policies need, and going on from a checkpoint that is not empty.
    pub fn of_policies(policies: &Policies, checkpoint: &[u8]) -> BTreeSet<Self> {
        let sometimes = [
            (Self::Retry, policies.retry.is_some()),
            (Self::KillGrace, policies.kill_grace.is_some()),
            (Self::Heartbeat, policies.heartbeat.is_some()),
            (Self::LostAfter, policies.lost_after.is_some()),
            (Self::Checkpoint, !checkpoint.is_empty()),
        ];
        sometimes.into_iter().filter_map(|(feature, used)| used.then_some(feature)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_names_lead_back_to_the_feature() {
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
        }
    }
}
