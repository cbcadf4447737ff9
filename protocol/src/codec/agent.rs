//! `agent.proto`: what an agent and the master say to each other.

use super::{
    DecodeError,
    common::{attributes, name, names, text},
    convert::{Convert, at_most, known, or_default, read, required},
    framework::by_role,
    wire::agent::{self as wire, to_agent, to_master},
};
use crate::{
    agent::{AgentInfo, HeldTask, Registration, ToAgent, ToMaster, Volume},
    bounds::{DIRS_MAX, HOSTNAME_BYTES_MAX, ID_BYTES_MAX, LAUNCH_TASKS_MAX, VOLUMES_MAX},
};

impl Convert for ToMaster {
    type Wire = wire::ToMaster;

    fn to_wire(&self) -> wire::ToMaster {
        use to_master::*;
        let kind = match self {
            Self::Register(registration) => Kind::Register(registration.to_wire()),
            Self::TasksAccepted { tasks } => {
                Kind::TasksAccepted(TasksAccepted { tasks: tasks.to_wire() })
            }
            Self::StatusUpdates { updates } => {
                Kind::StatusUpdates(StatusUpdates { updates: updates.to_wire() })
            }
            Self::Progressed { reports } => {
                Kind::Progressed(Progressed { reports: reports.to_wire() })
            }
            Self::Checkpointed { checkpoints } => {
                Kind::Checkpointed(Checkpointed { checkpoints: checkpoints.to_wire() })
            }
            Self::Sent { messages } => Kind::Sent(Sent { messages: messages.to_wire() }),
            Self::Beat { inputs, unsaved_millis, acknowledged } => Kind::Beat(Beat {
                inputs: *inputs,
                unsaved_millis: *unsaved_millis,
                acknowledged: *acknowledged,
            }),
        };
        wire::ToMaster { kind: Some(kind) }
    }

    fn from_wire(wire: wire::ToMaster) -> Result<Self, DecodeError> {
        use to_master::Kind;
        Ok(match known(wire.kind)? {
            Kind::Register(m) => Self::Register(read("register", m)?),
            Kind::TasksAccepted(m) => {
                Self::TasksAccepted { tasks: read("tasks_accepted.tasks", m.tasks)? }
            }
            Kind::StatusUpdates(m) => {
                Self::StatusUpdates { updates: read("status_updates.updates", m.updates)? }
            }
            Kind::Progressed(m) => {
                Self::Progressed { reports: read("progressed.reports", m.reports)? }
            }
            Kind::Checkpointed(m) => {
                Self::Checkpointed { checkpoints: read("checkpointed.checkpoints", m.checkpoints)? }
            }
            Kind::Sent(m) => Self::Sent { messages: read("sent.messages", m.messages)? },
            Kind::Beat(m) => Self::Beat {
                inputs: m.inputs,
                unsaved_millis: m.unsaved_millis,
                acknowledged: m.acknowledged,
            },
        })
    }
}

impl Convert for Registration {
    type Wire = wire::Registration;

    fn to_wire(&self) -> wire::Registration {
        let Self { incarnation, run, connection, info, tasks, volumes } = self;
        wire::Registration {
            incarnation: incarnation.to_wire(),
            run: *run,
            connection: *connection,
            info: Some(info.to_wire()),
            tasks: tasks.to_wire(),
            volumes: volumes.clone(),
        }
    }

    fn from_wire(wire: wire::Registration) -> Result<Self, DecodeError> {
        Ok(Self {
            incarnation: read("incarnation", wire.incarnation)?,
            run: wire.run,
            connection: wire.connection,
            info: required("info", wire.info)?,
            tasks: read("tasks", wire.tasks)?,
            volumes: volume_names(VOLUMES_MAX, wire.volumes)?,
        })
    }
}

impl Convert for AgentInfo {
    type Wire = wire::AgentInfo;

    fn to_wire(&self) -> wire::AgentInfo {
        wire::AgentInfo {
            hostname: self.hostname.clone(),
            attributes: self.attributes.clone(),
            architecture: self.architecture.clone(),
            enforces: self.enforces.clone(),
            resources: Some(self.resources.to_wire()),
            build: self.build.clone(),
            revocable: (!self.revocable.is_empty()).then(|| self.revocable.to_wire()),
            region: self.region.clone(),
            zone: self.zone.clone(),
            reserved: self.reserved.iter().map(|(role, r)| (role.to_wire(), r.to_wire())).collect(),
        }
    }

    fn from_wire(wire: wire::AgentInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            hostname: text("hostname", HOSTNAME_BYTES_MAX, wire.hostname)?,
            attributes: attributes("attributes", wire.attributes)?,
            architecture: text("architecture", ID_BYTES_MAX, wire.architecture)?,
            enforces: names("enforces", wire.enforces)?,
            resources: required("resources", wire.resources)?,
            build: text("build", ID_BYTES_MAX, wire.build)?,
            revocable: or_default("revocable", wire.revocable)?,
            region: optional_text("region", wire.region)?,
            zone: optional_text("zone", wire.zone)?,
            reserved: by_role("reserved", wire.reserved)?,
        })
    }
}

fn optional_text(field: &str, wire: Option<String>) -> Result<Option<String>, DecodeError> {
    wire.map(|wire| text(field, ID_BYTES_MAX, wire)).transpose()
}

impl Convert for HeldTask {
    type Wire = wire::HeldTask;

    fn to_wire(&self) -> wire::HeldTask {
        wire::HeldTask {
            key: Some(self.key.to_wire()),
            role: self.role.to_wire(),
            allocation: self.allocation.to_wire(),
            granted: Some(self.granted.to_wire()),
            resources: Some(self.resources.to_wire()),
            name: self.name.clone(),
            state: Some(self.state.to_wire()),
            terms: self.terms.to_wire(),
            volumes: self.volumes.clone(),
            lost_after_micros: self.lost_after.to_wire(),
        }
    }

    fn from_wire(wire: wire::HeldTask) -> Result<Self, DecodeError> {
        Ok(Self {
            key: required("key", wire.key)?,
            role: read("role", wire.role)?,
            allocation: read("allocation", wire.allocation)?,
            granted: required("granted", wire.granted)?,
            resources: required("resources", wire.resources)?,
            name: text("name", ID_BYTES_MAX, wire.name)?,
            state: required("state", wire.state)?,
            terms: read("terms", wire.terms)?,
            volumes: volume_names(DIRS_MAX, wire.volumes)?,
            lost_after: read("lost_after_micros", wire.lost_after_micros)?,
        })
    }
}

fn volume_names(max: usize, wire: Vec<String>) -> Result<Vec<String>, DecodeError> {
    let wire = at_most("volumes", max, wire)?;
    wire.into_iter().map(|wire| name("volumes", wire)).collect()
}

impl Convert for Volume {
    type Wire = wire::Volume;

    fn to_wire(&self) -> wire::Volume {
        wire::Volume {
            name: self.name.clone(),
            role: self.role.to_wire(),
            disk_millis: self.disk.to_wire(),
            made_micros: self.made.to_wire(),
        }
    }

    fn from_wire(wire: wire::Volume) -> Result<Self, DecodeError> {
        Ok(Self {
            name: name("name", wire.name)?,
            role: read("role", wire.role)?,
            disk: read("disk_millis", wire.disk_millis)?,
            made: read("made_micros", wire.made_micros)?,
        })
    }
}

impl Convert for ToAgent {
    type Wire = wire::ToAgent;

    fn to_wire(&self) -> wire::ToAgent {
        use to_agent::*;
        let kind = match self {
            Self::Registered { agent } => Kind::Registered(Registered { agent: agent.to_wire() }),
            Self::Refused { rejection } => {
                Kind::Refused(Refused { rejection: Some(rejection.to_wire()) })
            }
            Self::Launch { allocation, framework, role, granted, tasks } => Kind::Launch(Launch {
                allocation: allocation.to_wire(),
                framework: framework.to_wire(),
                role: role.to_wire(),
                granted: Some(granted.to_wire()),
                tasks: tasks.to_wire(),
            }),
            Self::Recall { allocation } => {
                Kind::Recall(Recall { allocation: allocation.to_wire() })
            }
            Self::Kill { framework, task, attempt, by } => Kind::Kill(Kill {
                framework: framework.to_wire(),
                task: task.to_wire(),
                attempt: attempt.to_wire(),
                by: Some(by.to_wire()),
            }),
            Self::Acknowledge { number, acknowledgements } => Kind::Acknowledge(Acknowledge {
                acknowledgements: acknowledgements.to_wire(),
                number: *number,
            }),
            Self::RemoveFramework { framework } => {
                Kind::RemoveFramework(RemoveFramework { framework: framework.to_wire() })
            }
            Self::Volumes { volumes } => Kind::Volumes(Volumes { volumes: volumes.to_wire() }),
            Self::Message(message) => Kind::Message(message.to_wire()),
        };
        wire::ToAgent { kind: Some(kind) }
    }

    fn from_wire(wire: wire::ToAgent) -> Result<Self, DecodeError> {
        use to_agent::Kind;
        Ok(match known(wire.kind)? {
            Kind::Registered(m) => Self::Registered { agent: read("registered.agent", m.agent)? },
            Kind::Refused(m) => {
                Self::Refused { rejection: required("refused.rejection", m.rejection)? }
            }
            Kind::Launch(m) => {
                let tasks = at_most("launch.tasks", LAUNCH_TASKS_MAX, m.tasks)?;
                Self::Launch {
                    allocation: read("launch.allocation", m.allocation)?,
                    framework: read("launch.framework", m.framework)?,
                    role: read("launch.role", m.role)?,
                    granted: required("launch.granted", m.granted)?,
                    tasks: read("launch.tasks", tasks)?,
                }
            }
            Kind::Recall(m) => {
                Self::Recall { allocation: read("recall.allocation", m.allocation)? }
            }
            Kind::Kill(m) => Self::Kill {
                framework: read("kill.framework", m.framework)?,
                task: read("kill.task", m.task)?,
                attempt: read("kill.attempt", m.attempt)?,
                by: required("kill.by", m.by)?,
            },
            Kind::Acknowledge(m) => Self::Acknowledge {
                number: m.number,
                acknowledgements: read("acknowledge.acknowledgements", m.acknowledgements)?,
            },
            Kind::RemoveFramework(m) => Self::RemoveFramework {
                framework: read("remove_framework.framework", m.framework)?,
            },
            Kind::Volumes(m) => {
                let volumes = at_most("volumes.volumes", VOLUMES_MAX, m.volumes)?;
                Self::Volumes { volumes: read("volumes.volumes", volumes)? }
            }
            Kind::Message(m) => Self::Message(read("message", m)?),
        })
    }
}
