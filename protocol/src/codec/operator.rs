//! `operator.proto`: orders of people. Views are messages already and pass as they are.

use super::{
    DecodeError,
    common::{bytes, name, text},
    convert::{Convert, known, or_default, read, required},
    wire::operator::{self as wire, request, response},
};
use crate::{
    bounds::{ID_BYTES_MAX, QUESTION_BYTES_MAX},
    ids::Role,
    operator::{Ended, Leftover, Maintenance, Manner, PeerKind, Quota, Request, Response, Weight},
    resources::{Amount, Resources},
};
use std::collections::BTreeMap;

impl Convert for Request {
    type Wire = wire::Request;

    fn to_wire(&self) -> wire::Request {
        use request::*;
        let kind = match self {
            Self::Tasks { framework, task, ended } => Kind::Tasks(Tasks {
                framework: framework.to_wire(),
                task: task.to_wire(),
                with_ended: *ended == Ended::Listed,
            }),
            Self::Kill { framework, task } => {
                Kind::Kill(Kill { framework: framework.to_wire(), task: task.to_wire() })
            }
            Self::Recorded { framework, task } => {
                Kind::Recorded(Recorded { framework: framework.to_wire(), task: task.to_wire() })
            }
            Self::Agents => Kind::Agents(Agents {}),
            Self::Frameworks => Kind::Frameworks(Frameworks {}),
            Self::Roles => Kind::Roles(Roles {}),
            Self::SetRole { role, weight } => {
                Kind::SetRole(SetRole { role: role.to_wire(), weight_millis: weight.to_wire() })
            }
            Self::SetQuota { role, quota, manner } => {
                Kind::SetQuota(set_quota_to_wire(role, quota, *manner))
            }
            Self::Reserve { .. } | Self::Unreserve { .. } => return reserving_to_wire(self),
            Self::Drain { agent, grace } => {
                Kind::Drain(Drain { agent: agent.to_wire(), grace_micros: grace.to_wire() })
            }
            Self::Deactivate { agent } => Kind::Deactivate(Deactivate { agent: agent.to_wire() }),
            Self::Activate { agent } => Kind::Activate(Activate { agent: agent.to_wire() }),
            Self::Gone { agent } => Kind::Gone(Gone { agent: agent.to_wire() }),
            Self::SetMaintenance { agent, maintenance } => Kind::SetMaintenance(SetMaintenance {
                agent: agent.to_wire(),
                maintenance: maintenance.to_wire(),
            }),
            Self::CreateVolume { agent, role, name, disk } => Kind::CreateVolume(CreateVolume {
                agent: agent.to_wire(),
                role: role.to_wire(),
                name: name.clone(),
                disk_millis: disk.to_wire(),
            }),
            Self::DestroyVolume { agent, name } => {
                Kind::DestroyVolume(DestroyVolume { agent: agent.to_wire(), name: name.clone() })
            }
            Self::Volumes => Kind::Volumes(Volumes {}),
            Self::Why { framework, needs } => {
                Kind::Why(Why { framework: framework.to_wire(), needs: needs.to_wire() })
            }
            Self::Offers => Kind::Offers(Offers {}),
            Self::Status => Kind::Status(Status {}),
            Self::CreateToken { kind, uses, ttl } => {
                let (kind, ttl_micros) = (kind.to_wire(), ttl.to_wire());
                Kind::CreateToken(CreateToken { kind, uses: *uses, ttl_micros })
            }
            Self::Tokens => Kind::Tokens(Tokens {}),
            Self::Modules => Kind::Modules(Modules {}),
            Self::Ask { framework, message } => {
                Kind::Ask(Ask { framework: framework.clone(), message: message.clone() })
            }
            Self::Teardown { framework } => {
                Kind::Teardown(Teardown { framework: framework.clone() })
            }
            Self::RevokeToken { id } => Kind::RevokeToken(RevokeToken { id: id.clone() }),
        };
        wire::Request { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Request) -> Result<Self, DecodeError> {
        use request::Kind;
        Ok(match known(wire.kind)? {
            Kind::Tasks(m) => Self::Tasks {
                framework: read("tasks.framework", m.framework)?,
                task: read("tasks.task", m.task)?,
                ended: if m.with_ended { Ended::Listed } else { Ended::Left },
            },
            Kind::Kill(m) => Self::Kill {
                framework: read("kill.framework", m.framework)?,
                task: read("kill.task", m.task)?,
            },
            Kind::Recorded(m) => Self::Recorded {
                framework: read("recorded.framework", m.framework)?,
                task: read("recorded.task", m.task)?,
            },
            Kind::Agents(_) => Self::Agents,
            Kind::Frameworks(_) => Self::Frameworks,
            Kind::Roles(_) => Self::Roles,
            Kind::SetRole(m) => Self::SetRole {
                role: read("set_role.role", m.role)?,
                weight: read("set_role.weight_millis", m.weight_millis)?,
            },
            Kind::SetQuota(m) => set_quota(m)?,
            Kind::Reserve(m) => reserve(m)?,
            Kind::Unreserve(m) => unreserve(m)?,
            Kind::Drain(m) => Self::Drain {
                agent: read("drain.agent", m.agent)?,
                grace: read("drain.grace_micros", m.grace_micros)?,
            },
            Kind::Deactivate(m) => Self::Deactivate { agent: read("deactivate.agent", m.agent)? },
            Kind::Activate(m) => Self::Activate { agent: read("activate.agent", m.agent)? },
            Kind::Gone(m) => Self::Gone { agent: read("gone.agent", m.agent)? },
            Kind::SetMaintenance(m) => Self::SetMaintenance {
                agent: read("set_maintenance.agent", m.agent)?,
                maintenance: read("set_maintenance.maintenance", m.maintenance)?,
            },
            Kind::CreateVolume(m) => create_volume(m)?,
            Kind::DestroyVolume(m) => Self::DestroyVolume {
                agent: read("destroy_volume.agent", m.agent)?,
                name: name("destroy_volume.name", m.name)?,
            },
            Kind::Volumes(_) => Self::Volumes,
            Kind::Why(m) => Self::Why {
                framework: read("why.framework", m.framework)?,
                needs: read("why.needs", m.needs)?,
            },
            Kind::Offers(_) => Self::Offers,
            Kind::Status(_) => Self::Status,
            Kind::CreateToken(m) => Self::CreateToken {
                kind: read("create_token.kind", m.kind)?,
                uses: m.uses,
                ttl: read("create_token.ttl_micros", m.ttl_micros)?,
            },
            Kind::Tokens(_) => Self::Tokens,
            Kind::Modules(_) => Self::Modules,
            Kind::Ask(m) => Self::Ask {
                framework: text("ask.framework", ID_BYTES_MAX, m.framework)?,
                message: bytes("ask.message", QUESTION_BYTES_MAX, m.message)?,
            },
            Kind::Teardown(m) => {
                Self::Teardown { framework: text("teardown.framework", ID_BYTES_MAX, m.framework)? }
            }
            Kind::RevokeToken(m) => Self::RevokeToken { id: token_id(m.id)? },
        })
    }
}

fn reserving_to_wire(order: &Request) -> wire::Request {
    use request::{Kind, Reserve, Unreserve};
    let kind = match order {
        Request::Reserve { agent, role, resources, from } => Some(Kind::Reserve(Reserve {
            agent: agent.to_wire(),
            role: role.to_wire(),
            resources: Some(resources.to_wire()),
            from: from.to_wire(),
        })),
        Request::Unreserve { agent, role, resources, to } => Some(Kind::Unreserve(Unreserve {
            agent: agent.to_wire(),
            role: role.to_wire(),
            resources: Some(resources.to_wire()),
            to: to.to_wire(),
        })),
        _ => None,
    };
    wire::Request { kind }
}

fn reserve(m: request::Reserve) -> Result<Request, DecodeError> {
    Ok(Request::Reserve {
        agent: read("reserve.agent", m.agent)?,
        role: read("reserve.role", m.role)?,
        resources: required("reserve.resources", m.resources)?,
        from: read("reserve.from", m.from)?,
    })
}

fn unreserve(m: request::Unreserve) -> Result<Request, DecodeError> {
    Ok(Request::Unreserve {
        agent: read("unreserve.agent", m.agent)?,
        role: read("unreserve.role", m.role)?,
        resources: required("unreserve.resources", m.resources)?,
        to: read("unreserve.to", m.to)?,
    })
}

fn token_id(id: String) -> Result<String, DecodeError> {
    text("revoke_token.id", ID_BYTES_MAX, id)
}

impl Convert for Maintenance {
    type Wire = request::Maintenance;

    fn to_wire(&self) -> request::Maintenance {
        request::Maintenance {
            from_micros: self.from.to_wire(),
            for_micros: self.lasts.to_wire(),
            keeps_tasks: self.tasks == Leftover::Kept,
        }
    }

    fn from_wire(wire: request::Maintenance) -> Result<Self, DecodeError> {
        Ok(Self {
            from: read("from_micros", wire.from_micros)?,
            lasts: read("for_micros", wire.for_micros)?,
            tasks: if wire.keeps_tasks { Leftover::Kept } else { Leftover::Ended },
        })
    }
}

fn set_quota_to_wire(role: &Role, quota: &Quota, manner: Manner) -> request::SetQuota {
    let limits = quota.limit.iter();
    request::SetQuota {
        role: role.to_wire(),
        guarantee: Some(quota.guarantee.to_wire()),
        limit_millis: limits.map(|(kind, limit)| (kind.clone(), limit.as_millis())).collect(),
        force: manner == Manner::Forced,
    }
}

fn set_quota(m: request::SetQuota) -> Result<Request, DecodeError> {
    let guarantee = or_default("set_quota.guarantee", m.guarantee)?;
    let limit = limits("set_quota.limit_millis", &m.limit_millis)?;
    Ok(Request::SetQuota {
        role: read("set_quota.role", m.role)?,
        quota: Quota { guarantee, limit },
        manner: if m.force { Manner::Forced } else { Manner::Gentle },
    })
}

fn create_volume(m: request::CreateVolume) -> Result<Request, DecodeError> {
    Ok(Request::CreateVolume {
        agent: read("create_volume.agent", m.agent)?,
        role: read("create_volume.role", m.role)?,
        name: name("create_volume.name", m.name)?,
        disk: read("create_volume.disk_millis", m.disk_millis)?,
    })
}

/// Limits are resources of which there may be zero.
fn limits(
    field: &str,
    wire: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, Amount>, DecodeError> {
    let mut names = Resources::none();
    let mut limits = BTreeMap::new();
    for (kind, millis) in wire {
        let amount = Amount::millis(*millis);
        // A kind that may have nothing is still a kind, with a name to be checked and counted.
        let counted = amount.max(Amount::millis(1));
        names.insert(kind, counted).map_err(|e| DecodeError::invalid(e).within(field))?;
        limits.insert(kind.clone(), amount);
    }
    Ok(limits)
}

impl Convert for Weight {
    type Wire = u64;

    fn to_wire(&self) -> u64 {
        self.as_millis()
    }

    fn from_wire(wire: u64) -> Result<Self, DecodeError> {
        Self::from_millis(wire).map_err(DecodeError::invalid)
    }
}

impl Convert for PeerKind {
    type Wire = String;

    fn to_wire(&self) -> String {
        self.name().into()
    }

    fn from_wire(wire: String) -> Result<Self, DecodeError> {
        wire.parse().map_err(DecodeError::invalid)
    }
}

impl Convert for Response {
    type Wire = wire::Response;

    fn to_wire(&self) -> wire::Response {
        use response::Kind;
        let kind = match self {
            Self::Tasks(views) => Kind::Tasks(views.clone()),
            Self::Recorded(run) => Kind::Recorded(run.to_wire()),
            Self::Done => Kind::Done(wire::Done {}),
            Self::Agents(views) => Kind::Agents(views.clone()),
            Self::Frameworks(views) => Kind::Frameworks(views.clone()),
            Self::Roles(views) => Kind::Roles(views.clone()),
            Self::Why(view) => Kind::Why(view.clone()),
            Self::Offers(views) => Kind::Offers(views.clone()),
            Self::Status(view) => Kind::Status(view.clone()),
            Self::CreatedToken { token, id } => {
                Kind::CreatedToken(wire::CreatedToken { token: token.clone(), id: id.clone() })
            }
            Self::Tokens(views) => Kind::Tokens(views.clone()),
            Self::Modules(views) => Kind::Modules(views.clone()),
            Self::Volumes(views) => Kind::Volumes(views.clone()),
            Self::Told { message } => Kind::Told(wire::Told { message: message.clone() }),
        };
        wire::Response { kind: Some(kind) }
    }

    fn from_wire(wire: wire::Response) -> Result<Self, DecodeError> {
        use response::Kind;
        Ok(match known(wire.kind)? {
            Kind::Tasks(views) => Self::Tasks(views),
            Kind::Recorded(run) => Self::Recorded(Box::new(read("recorded", run)?)),
            Kind::Done(_) => Self::Done,
            Kind::Agents(views) => Self::Agents(views),
            Kind::Frameworks(views) => Self::Frameworks(views),
            Kind::Roles(views) => Self::Roles(views),
            Kind::Why(view) => Self::Why(view),
            Kind::Offers(views) => Self::Offers(views),
            Kind::Status(view) => Self::Status(view),
            Kind::CreatedToken(m) => Self::CreatedToken { token: m.token, id: m.id },
            Kind::Tokens(views) => Self::Tokens(views),
            Kind::Modules(views) => Self::Modules(views),
            Kind::Volumes(views) => Self::Volumes(views),
            Kind::Told(m) => Self::Told { message: bytes("told", QUESTION_BYTES_MAX, m.message)? },
        })
    }
}
