//! `framework.proto`: calls, events and what they hold.

use super::{
    DecodeError,
    common::{attributes, bytes, name, names, sentence, text},
    convert::{Convert, at_most, known, or_default, read, required},
    wire::framework::{self as wire, answer, call, event, operation},
};
use crate::{
    bounds::{
        HOSTNAME_BYTES_MAX, ID_BYTES_MAX, LAUNCH_TASKS_MAX, MESSAGE_BYTES_MAX, PUT_BYTES_MAX,
        QUESTION_BYTES_MAX, ROLES_MAX, STATE_ENTRIES_MAX, STATE_VALUE_BYTES_MAX, VOLUMES_MAX,
    },
    framework::{
        Answer, Call, Consent, Demand, Event, FAILOVER_TIMEOUT_DEFAULT, Filters, FrameworkInfo,
        InverseOffer, Offer, Operation, Window, is_state_key,
    },
    ids::Role,
};
use std::collections::{BTreeMap, BTreeSet};

/// Who asks: a kind and an id.
const BY_BYTES_MAX: usize = 2 * ID_BYTES_MAX;

impl Convert for Call {
    type Wire = wire::Call;

    fn to_wire(&self) -> wire::Call {
        use call::{
            Accept, Acknowledge, Decline, Enqueue, Kill, Kind, Reconcile, Revive, Subscribe,
            Suppress, Teardown,
        };
        let kind = match self {
            Self::Subscribe { framework, run, connection, info } => Kind::Subscribe(Subscribe {
                framework: framework.to_wire(),
                info: Some(info.to_wire()),
                run: *run,
                connection: *connection,
            }),
            Self::Accept { offers, operations, filters } => Kind::Accept(Accept {
                offers: offers.to_wire(),
                operations: operations.to_wire(),
                filters: Some(filters.to_wire()),
            }),
            Self::Decline { offers, filters } => Kind::Decline(Decline {
                offers: offers.to_wire(),
                filters: Some(filters.to_wire()),
            }),
            Self::Enqueue { allocation, tasks } => {
                Kind::Enqueue(Enqueue { allocation: allocation.to_wire(), tasks: tasks.to_wire() })
            }
            Self::Suppress { roles } => Kind::Suppress(Suppress { roles: roles_to_wire(roles) }),
            Self::Revive { roles } => Kind::Revive(Revive { roles: roles_to_wire(roles) }),
            Self::Kill { task } => Kind::Kill(Kill { task: task.to_wire() }),
            Self::Acknowledge { acknowledgements } => {
                Kind::Acknowledge(Acknowledge { acknowledgements: acknowledgements.to_wire() })
            }
            Self::Reconcile { tasks } => Kind::Reconcile(Reconcile { tasks: tasks.to_wire() }),
            Self::Teardown => Kind::Teardown(Teardown {}),
            Self::Demand { role, demand } => Kind::Demand(call::Demand {
                least: demand.as_ref().map(|demand| demand.least.to_wire()),
                wants: demand.as_ref().map(|demand| demand.wants.to_wire()),
                role: role.to_wire(),
                terms: demand.as_ref().and_then(|demand| demand.terms).to_wire(),
            }),
            Self::AnswerInverse { offers, consent } => Kind::AnswerInverse(call::AnswerInverse {
                offers: offers.to_wire(),
                accepted: *consent == Consent::Accepted,
            }),
            Self::Save { entries } => {
                let entry = |(key, value): (&String, &Option<Vec<u8>>)| wire::StateEntry {
                    key: key.clone(),
                    value: value.clone(),
                };
                Kind::Save(call::Save { entries: entries.iter().map(entry).collect() })
            }
            Self::Put { blob } => Kind::Put(call::Put { blob: blob.clone() }),
            Self::Message { task, attempt, bytes } => Kind::Message(call::Message {
                task: task.to_wire(),
                attempt: attempt.to_wire(),
                bytes: bytes.clone(),
            }),
            Self::Reply { question, answer } => Kind::Reply(call::Reply {
                question: *question,
                kind: Some(match answer {
                    Ok(message) => call::reply::Kind::Message(message.clone()),
                    Err(why) => call::reply::Kind::Refusal(sentence(why)),
                }),
            }),
        };
        wire::Call { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Call) -> Result<Self, DecodeError> {
        use call::Kind;
        Ok(match known(wire.kind)? {
            Kind::Subscribe(m) => Self::Subscribe {
                framework: read("subscribe.framework", m.framework)?,
                run: m.run,
                connection: m.connection,
                info: required("subscribe.info", m.info)?,
            },
            Kind::Accept(m) => Self::Accept {
                offers: read("accept.offers", m.offers)?,
                operations: read("accept.operations", m.operations)?,
                filters: or_default("accept.filters", m.filters)?,
            },
            Kind::Decline(m) => Self::Decline {
                offers: read("decline.offers", m.offers)?,
                filters: or_default("decline.filters", m.filters)?,
            },
            Kind::Enqueue(m) => {
                let tasks = at_most("enqueue.tasks", LAUNCH_TASKS_MAX, m.tasks)?;
                Self::Enqueue {
                    allocation: read("enqueue.allocation", m.allocation)?,
                    tasks: read("enqueue.tasks", tasks)?,
                }
            }
            Kind::Suppress(m) => Self::Suppress { roles: roles("suppress.roles", m.roles)? },
            Kind::Revive(m) => Self::Revive { roles: roles("revive.roles", m.roles)? },
            Kind::Kill(m) => Self::Kill { task: read("kill.task", m.task)? },
            Kind::Acknowledge(m) => Self::Acknowledge {
                acknowledgements: read("acknowledge.acknowledgements", m.acknowledgements)?,
            },
            Kind::Reconcile(m) => Self::Reconcile { tasks: read("reconcile.tasks", m.tasks)? },
            Kind::Teardown(_) => Self::Teardown,
            Kind::Demand(m) => {
                let role = read("demand.role", m.role)?;
                let is_stated = m.least.is_some() || m.wants.is_some();
                let demand = Demand {
                    least: or_default("demand.least", m.least)?,
                    wants: or_default("demand.wants", m.wants)?,
                    terms: read("demand.terms", m.terms)?,
                };
                Self::Demand { role, demand: is_stated.then_some(demand) }
            }
            Kind::AnswerInverse(m) => Self::AnswerInverse {
                offers: read("answer_inverse.offers", m.offers)?,
                consent: if m.accepted { Consent::Accepted } else { Consent::Declined },
            },
            Kind::Save(m) => Self::Save { entries: state_entries("save.entries", m.entries)? },
            Kind::Put(m) => Self::Put { blob: bytes("put.blob", PUT_BYTES_MAX, m.blob)? },
            Kind::Message(m) => Self::Message {
                task: read("message.task", m.task)?,
                attempt: read("message.attempt", m.attempt)?,
                bytes: bytes("message.bytes", MESSAGE_BYTES_MAX, m.bytes)?,
            },
            Kind::Reply(m) => Self::Reply {
                question: m.question,
                answer: match known(m.kind)? {
                    call::reply::Kind::Message(message) => {
                        Ok(bytes("reply.message", QUESTION_BYTES_MAX, message)?)
                    }
                    call::reply::Kind::Refusal(why) => Err(sentence(&why)),
                },
            },
        })
    }
}

/// The values that a call keeps, or an event tells.
fn state_entries(
    field: &str,
    wire: Vec<wire::StateEntry>,
) -> Result<BTreeMap<String, Option<Vec<u8>>>, DecodeError> {
    let mut entries = BTreeMap::new();
    for (i, entry) in at_most(field, STATE_ENTRIES_MAX, wire)?.into_iter().enumerate() {
        let place = |error: DecodeError| error.within(&format!("{field}[{i}]"));
        let wire::StateEntry { key, value } = entry;
        if !is_state_key(&key) {
            let why = "a key has 1 to 128 letters, digits, '.', '_', '-' and '/'";
            return Err(place(DecodeError::invalid(why).within("key")));
        }
        let value = value.map(|value| bytes("value", STATE_VALUE_BYTES_MAX, value)).transpose();
        entries.insert(key, value.map_err(place)?);
    }
    Ok(entries)
}

fn roles_to_wire(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(Convert::to_wire).collect()
}

fn roles(field: &str, wire: Vec<String>) -> Result<BTreeSet<Role>, DecodeError> {
    let roles: Vec<Role> = read(field, at_most(field, ROLES_MAX, wire)?)?;
    Ok(roles.into_iter().collect())
}

impl Convert for FrameworkInfo {
    type Wire = wire::FrameworkInfo;

    fn to_wire(&self) -> wire::FrameworkInfo {
        let Self { name, role, more_roles, capabilities, wishes, failover_timeout } = self;
        wire::FrameworkInfo {
            name: name.clone(),
            role: Some(role.to_wire()),
            failover_timeout_micros: Some(failover_timeout.to_wire()),
            more_roles: more_roles.iter().map(Convert::to_wire).collect(),
            capabilities: capabilities.iter().cloned().collect(),
            wishes: wishes.iter().map(|(role, w)| (role.to_wire(), w.to_wire())).collect(),
        }
    }

    fn from_wire(wire: wire::FrameworkInfo) -> Result<Self, DecodeError> {
        let failover_timeout = read("failover_timeout_micros", wire.failover_timeout_micros)?;
        Ok(Self {
            name: text("name", ID_BYTES_MAX, wire.name)?,
            role: or_default("role", wire.role)?,
            more_roles: roles("more_roles", wire.more_roles)?,
            capabilities: names("capabilities", wire.capabilities)?.into_iter().collect(),
            wishes: by_role("wishes", wire.wishes)?,
            failover_timeout: Option::unwrap_or(failover_timeout, FAILOVER_TIMEOUT_DEFAULT),
        })
    }
}

impl Convert for Operation {
    type Wire = wire::Operation;

    fn to_wire(&self) -> wire::Operation {
        let kind = match self {
            Self::Launch { tasks } => {
                operation::Kind::Launch(operation::Launch { tasks: tasks.to_wire() })
            }
            Self::Reserve { role, resources, from } => {
                operation::Kind::Reserve(operation::Reserve {
                    role: role.to_wire(),
                    resources: Some(resources.to_wire()),
                    from: from.to_wire(),
                })
            }
            Self::Unreserve { role, resources, to } => {
                operation::Kind::Unreserve(operation::Unreserve {
                    role: role.to_wire(),
                    resources: Some(resources.to_wire()),
                    to: to.to_wire(),
                })
            }
            Self::CreateVolume { role, name, disk } => {
                operation::Kind::CreateVolume(operation::CreateVolume {
                    role: role.to_wire(),
                    name: name.clone(),
                    disk_millis: disk.to_wire(),
                })
            }
            Self::DestroyVolume { name } => {
                operation::Kind::DestroyVolume(operation::DestroyVolume { name: name.clone() })
            }
        };
        wire::Operation { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Operation) -> Result<Self, DecodeError> {
        Ok(match known(wire.kind)? {
            operation::Kind::Launch(m) => {
                let tasks = at_most("launch.tasks", LAUNCH_TASKS_MAX, m.tasks)?;
                Self::Launch { tasks: read("launch.tasks", tasks)? }
            }
            operation::Kind::Reserve(m) => Self::Reserve {
                role: read("reserve.role", m.role)?,
                resources: required("reserve.resources", m.resources)?,
                from: read("reserve.from", m.from)?,
            },
            operation::Kind::Unreserve(m) => Self::Unreserve {
                role: read("unreserve.role", m.role)?,
                resources: required("unreserve.resources", m.resources)?,
                to: read("unreserve.to", m.to)?,
            },
            operation::Kind::CreateVolume(m) => Self::CreateVolume {
                role: read("create_volume.role", m.role)?,
                name: name("create_volume.name", m.name)?,
                disk: read("create_volume.disk_millis", m.disk_millis)?,
            },
            operation::Kind::DestroyVolume(m) => {
                Self::DestroyVolume { name: name("destroy_volume.name", m.name)? }
            }
        })
    }
}

impl Convert for Filters {
    type Wire = wire::Filters;

    fn to_wire(&self) -> wire::Filters {
        wire::Filters { refuse_micros: self.refuse.to_wire() }
    }

    fn from_wire(wire: wire::Filters) -> Result<Self, DecodeError> {
        Ok(Self { refuse: read("refuse_micros", wire.refuse_micros)? })
    }
}

impl Convert for Event {
    type Wire = wire::Event;

    fn to_wire(&self) -> wire::Event {
        use event::*;
        let kind = match self {
            Self::Subscribed { framework, state } => {
                let entry = |(key, value): (&String, &Vec<u8>)| wire::StateEntry {
                    key: key.clone(),
                    value: Some(value.clone()),
                };
                let state = state.iter().map(entry).collect();
                Kind::Subscribed(Subscribed { framework: framework.to_wire(), state })
            }
            Self::Offers { offers } => Kind::Offers(Offers { offers: offers.to_wire() }),
            Self::Rescinded { offer } => Kind::Rescinded(Rescinded { offer: offer.to_wire() }),
            Self::Answered { offer, operation, answer } => Kind::Answered(Answered {
                offer: offer.to_wire(),
                operation: *operation,
                answer: Some(answer.to_wire()),
            }),
            Self::TasksAccepted { agent, tasks } => Kind::TasksAccepted(TasksAccepted {
                agent: agent.to_wire(),
                tasks: tasks.to_wire(),
            }),
            Self::StatusUpdates { updates } => {
                Kind::StatusUpdates(StatusUpdates { updates: updates.to_wire() })
            }
            Self::Progressed { reports } => {
                Kind::Progressed(Progressed { reports: reports.to_wire() })
            }
            Self::Refused { rejection } => {
                Kind::Refused(Refused { rejection: Some(rejection.to_wire()) })
            }
            Self::InverseOffers { offers } => {
                Kind::InverseOffers(InverseOffers { offers: offers.to_wire() })
            }
            Self::InverseRescinded { offer } => {
                Kind::InverseRescinded(InverseRescinded { offer: offer.to_wire() })
            }
            Self::Asked { question, by, message } => {
                Kind::Asked(Asked { question: *question, by: by.clone(), message: message.clone() })
            }
            Self::Message(message) => Kind::Message(message.to_wire()),
        };
        wire::Event { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Event) -> Result<Self, DecodeError> {
        use event::Kind;
        Ok(match known(wire.kind)? {
            Kind::Subscribed(m) => {
                let state = state_entries("subscribed.state", m.state)?.into_iter();
                Self::Subscribed {
                    framework: read("subscribed.framework", m.framework)?,
                    state: state.filter_map(|(key, value)| Some((key, value?))).collect(),
                }
            }
            Kind::Offers(m) => Self::Offers { offers: read("offers.offers", m.offers)? },
            Kind::Rescinded(m) => Self::Rescinded { offer: read("rescinded.offer", m.offer)? },
            Kind::Answered(m) => Self::Answered {
                offer: read("answered.offer", m.offer)?,
                operation: m.operation,
                answer: required("answered.answer", m.answer)?,
            },
            Kind::TasksAccepted(m) => Self::TasksAccepted {
                agent: read("tasks_accepted.agent", m.agent)?,
                tasks: read("tasks_accepted.tasks", m.tasks)?,
            },
            Kind::StatusUpdates(m) => {
                Self::StatusUpdates { updates: read("status_updates.updates", m.updates)? }
            }
            Kind::Progressed(m) => {
                Self::Progressed { reports: read("progressed.reports", m.reports)? }
            }
            Kind::Refused(m) => {
                Self::Refused { rejection: required("refused.rejection", m.rejection)? }
            }
            Kind::InverseOffers(m) => {
                Self::InverseOffers { offers: read("inverse_offers.offers", m.offers)? }
            }
            Kind::InverseRescinded(m) => {
                Self::InverseRescinded { offer: read("inverse_rescinded.offer", m.offer)? }
            }
            Kind::Message(m) => Self::Message(read("message", m)?),
            Kind::Asked(m) => Self::Asked {
                question: m.question,
                by: text("asked.by", BY_BYTES_MAX, m.by)?,
                message: bytes("asked.message", QUESTION_BYTES_MAX, m.message)?,
            },
        })
    }
}

impl Convert for Window {
    type Wire = wire::Window;

    fn to_wire(&self) -> wire::Window {
        wire::Window { from_micros: self.from.to_wire(), for_micros: self.lasts.to_wire() }
    }

    fn from_wire(wire: wire::Window) -> Result<Self, DecodeError> {
        Ok(Self {
            from: read("from_micros", wire.from_micros)?,
            lasts: read("for_micros", wire.for_micros)?,
        })
    }
}

impl Convert for InverseOffer {
    type Wire = wire::InverseOffer;

    fn to_wire(&self) -> wire::InverseOffer {
        wire::InverseOffer {
            id: self.id.to_wire(),
            agent: self.agent.to_wire(),
            hostname: self.hostname.clone(),
            window: Some(self.window.to_wire()),
        }
    }

    fn from_wire(wire: wire::InverseOffer) -> Result<Self, DecodeError> {
        Ok(Self {
            id: read("id", wire.id)?,
            agent: read("agent", wire.agent)?,
            hostname: text("hostname", HOSTNAME_BYTES_MAX, wire.hostname)?,
            window: required("window", wire.window)?,
        })
    }
}

impl Convert for Answer {
    type Wire = wire::Answer;

    fn to_wire(&self) -> wire::Answer {
        use answer::{Applied, Kind, Launched, Rejected};
        let kind = match self {
            Self::Launched { allocation, agent, refused } => Kind::Launched(Launched {
                allocation: allocation.to_wire(),
                agent: agent.to_wire(),
                refused: refused.to_wire(),
            }),
            Self::Rejected { rejection, tasks } => Kind::Rejected(Rejected {
                rejection: Some(rejection.to_wire()),
                tasks: tasks.to_wire(),
            }),
            Self::Applied => Kind::Applied(Applied {}),
        };
        wire::Answer { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Answer) -> Result<Self, DecodeError> {
        use answer::Kind;
        Ok(match known(wire.kind)? {
            Kind::Launched(m) => Self::Launched {
                allocation: read("launched.allocation", m.allocation)?,
                agent: read("launched.agent", m.agent)?,
                refused: read("launched.refused", m.refused)?,
            },
            Kind::Rejected(m) => Self::Rejected {
                rejection: required("rejected.rejection", m.rejection)?,
                tasks: read("rejected.tasks", m.tasks)?,
            },
            Kind::Applied(_) => Self::Applied,
        })
    }
}

pub(super) fn by_role<T: Convert>(
    field: &str,
    wire: BTreeMap<String, T::Wire>,
) -> Result<BTreeMap<Role, T>, DecodeError> {
    if wire.len() > ROLES_MAX {
        return Err(DecodeError::invalid("too many roles").within(field));
    }
    let part = |(role, part)| Ok((read(field, role)?, read(field, part)?));
    wire.into_iter().map(part).collect()
}

impl Convert for Offer {
    type Wire = wire::Offer;

    fn to_wire(&self) -> wire::Offer {
        wire::Offer {
            id: self.id.to_wire(),
            agent: self.agent.to_wire(),
            hostname: self.hostname.clone(),
            role: self.role.to_wire(),
            resources: Some(self.resources.to_wire()),
            attributes: self.attributes.clone(),
            architecture: self.architecture.clone(),
            enforces: self.enforces.clone(),
            expires_micros: self.expires.to_wire(),
            reserved: self.reserved.iter().map(|(role, r)| (role.to_wire(), r.to_wire())).collect(),
            revocable: (!self.revocable.is_empty()).then(|| self.revocable.to_wire()),
            unavailable: self.unavailable.to_wire(),
            volumes: self.volumes.to_wire(),
        }
    }

    fn from_wire(wire: wire::Offer) -> Result<Self, DecodeError> {
        Ok(Self {
            id: read("id", wire.id)?,
            agent: read("agent", wire.agent)?,
            hostname: text("hostname", HOSTNAME_BYTES_MAX, wire.hostname)?,
            role: read("role", wire.role)?,
            resources: required("resources", wire.resources)?,
            attributes: attributes("attributes", wire.attributes)?,
            architecture: text("architecture", ID_BYTES_MAX, wire.architecture)?,
            enforces: names("enforces", wire.enforces)?,
            expires: read("expires_micros", wire.expires_micros)?,
            reserved: by_role("reserved", wire.reserved)?,
            revocable: or_default("revocable", wire.revocable)?,
            unavailable: read("unavailable", wire.unavailable)?,
            volumes: read("volumes", at_most("volumes", VOLUMES_MAX, wire.volumes)?)?,
        })
    }
}
