//! The steps of a scenario, as they are read; whether they can be done is seen when they are.

use crate::fields::{
    Fault, Fields, Reading, agent, amounts, count, framework, list, number, quota, resources, role,
    text, weight,
};
use serde_json::Value;
use skep_allocator::{
    Attribute, Bundle, Capability, Constraint, Constraints, Demand, Pattern, Predicate, Quota,
};
use skep_protocol::{AgentId, Amount, FrameworkId, Resources, Role, operator::Weight, task::Terms};
use std::collections::{BTreeMap, BTreeSet};

/// One thing that happens, with the word for it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) word: String,
    pub(crate) deed: Deed,
}

#[derive(Debug)]
pub(crate) enum Deed {
    AddAgent { agent: AgentId, capacity: Capacity, used: Vec<UsedPart> },
    UpdateAgent { agent: AgentId, capacity: Capacity },
    RemoveAgent(AgentId),
    DeactivateAgent(AgentId),
    ActivateAgent(AgentId),
    AddFramework(Box<NewFramework>),
    RemoveFramework(FrameworkId),
    DeactivateFramework(FrameworkId),
    ActivateFramework(FrameworkId),
    SetWeight { role: Role, weight: Weight },
    SetQuota { role: Role, quota: Quota },
    Reserve { agent: AgentId, from: Option<Role>, to: Option<Role>, resources: Resources },
    Allocate { whose: Whose, resources: Resources },
    Free { whose: Whose, resources: Option<Resources> },
    Decline { whose: Whose, resources: Option<Resources>, refuse_seconds: Option<f64> },
    Suppress { framework: FrameworkId, roles: Vec<Role> },
    Revive { framework: FrameworkId, roles: Vec<Role> },
    SetDemand { framework: FrameworkId, role: Role, demand: Option<Demand> },
    Tick { count: u64 },
    Report,
    Why { framework: FrameworkId, role: Role, needs: Option<Resources> },
}

/// A framework in a role on an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whose {
    pub(crate) framework: FrameworkId,
    pub(crate) role: Role,
    pub(crate) agent: AgentId,
}

/// What an agent has; what is left out stays as it was.
#[derive(Debug)]
pub(crate) struct Capacity {
    pub(crate) total: Resources,
    pub(crate) reserved: Option<BTreeMap<Role, Resources>>,
    pub(crate) revocable: Option<Resources>,
    pub(crate) attributes: Option<BTreeMap<String, Attribute>>,
    pub(crate) region: Option<String>,
}

/// What is in use on an agent when it is added.
#[derive(Debug)]
pub(crate) struct UsedPart {
    pub(crate) framework: FrameworkId,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
}

#[derive(Debug)]
pub(crate) struct NewFramework {
    pub(crate) framework: FrameworkId,
    pub(crate) roles: Vec<Role>,
    pub(crate) capabilities: BTreeSet<Capability>,
    pub(crate) suppressed: Vec<Role>,
    pub(crate) floors: Option<Vec<Resources>>,
    pub(crate) constraints: Constraints,
}

impl Step {
    pub(crate) fn read(value: Value) -> Reading<Self> {
        let mut fields = Fields::of("do", value)?;
        let word = fields.required("do", text)?;
        let deed = match Deed::about_agents(&word, &mut fields)? {
            Some(deed) => deed,
            None => match Deed::about_frameworks(&word, &mut fields)? {
                Some(deed) => deed,
                None => Deed::other(&word, &mut fields)?,
            },
        };
        fields.end()?;
        Ok(Self { word, deed })
    }
}

impl Deed {
    fn about_agents(word: &str, fields: &mut Fields) -> Reading<Option<Self>> {
        Ok(Some(match word {
            "add_agent" => Self::AddAgent {
                agent: fields.required("agent", agent)?,
                capacity: Capacity::read(fields)?,
                used: fields.optional("used", list(UsedPart::read))?.unwrap_or_default(),
            },
            "update_agent" => Self::UpdateAgent {
                agent: fields.required("agent", agent)?,
                capacity: Capacity::read(fields)?,
            },
            "remove_agent" => Self::RemoveAgent(fields.required("agent", agent)?),
            "deactivate_agent" => Self::DeactivateAgent(fields.required("agent", agent)?),
            "activate_agent" => Self::ActivateAgent(fields.required("agent", agent)?),
            "reserve" => Self::Reserve {
                agent: fields.required("agent", agent)?,
                from: fields.optional("from", role)?,
                to: Some(fields.required("role", role)?),
                resources: fields.required("resources", resources)?,
            },
            "unreserve" => Self::Reserve {
                agent: fields.required("agent", agent)?,
                from: Some(fields.required("role", role)?),
                to: fields.optional("to", role)?,
                resources: fields.required("resources", resources)?,
            },
            _ => return Ok(None),
        }))
    }

    fn about_frameworks(word: &str, fields: &mut Fields) -> Reading<Option<Self>> {
        let named = |fields: &mut Fields| fields.required("framework", framework);
        let roles = |fields: &mut Fields| {
            Ok::<_, Fault>(fields.optional("roles", list(role))?.unwrap_or_default())
        };
        Ok(Some(match word {
            "add_framework" => Self::AddFramework(Box::new(NewFramework::read(fields)?)),
            "remove_framework" => Self::RemoveFramework(named(fields)?),
            "deactivate_framework" => Self::DeactivateFramework(named(fields)?),
            "activate_framework" => Self::ActivateFramework(named(fields)?),
            "allocate" => Self::Allocate {
                whose: Whose::read(fields)?,
                resources: fields.required("resources", resources)?,
            },
            "free" => Self::Free {
                whose: Whose::read(fields)?,
                resources: fields.optional("resources", resources)?,
            },
            "decline" => Self::Decline {
                whose: Whose::read(fields)?,
                resources: fields.optional("resources", resources)?,
                refuse_seconds: fields.optional("refuse_seconds", number)?,
            },
            "suppress" => Self::Suppress { framework: named(fields)?, roles: roles(fields)? },
            "revive" => Self::Revive { framework: named(fields)?, roles: roles(fields)? },
            "demand" => Self::SetDemand {
                framework: named(fields)?,
                role: fields.required("role", role)?,
                demand: read_demand(fields)?,
            },
            "why" => Self::Why {
                framework: named(fields)?,
                role: fields.required("role", role)?,
                needs: fields.optional("needs", resources)?,
            },
            _ => return Ok(None),
        }))
    }

    fn other(word: &str, fields: &mut Fields) -> Reading<Self> {
        Ok(match word {
            "set_weight" => Self::SetWeight {
                role: fields.required("role", role)?,
                weight: fields.required("weight", weight)?,
            },
            "set_quota" => {
                Self::SetQuota { role: fields.required("role", role)?, quota: quota(fields)? }
            }
            "tick" => Self::Tick { count: fields.optional("count", count)?.unwrap_or(1) },
            "report" => Self::Report,
            _ => return Err(Fault::new("do", format!("there is no step {word:?}"))),
        })
    }
}

/// Without both there is no demand: the framework takes whatever there is. Without `wants` it
/// waits without end.
fn read_demand(fields: &mut Fields) -> Reading<Option<Demand>> {
    let least = fields.optional("min", amounts)?;
    let wants = fields.optional("wants", resources)?;
    let terms = fields.optional("terms", terms)?;
    let positive = |least: BTreeMap<String, Amount>| {
        let known = least.into_iter();
        known.fold(Resources::none(), |sum, (name, amount)| sum.with(&name, amount))
    };
    Ok(match (least, wants) {
        (None, None) => None,
        (least, Some(wants)) => {
            Some(Demand { least: least.map(positive).unwrap_or_default(), wants, terms })
        }
        (Some(least), None) => {
            let endless =
                least.keys().fold(Resources::none(), |sum, name| sum.with(name, Amount::MAX));
            Some(Demand { least: positive(least), wants: endless, terms })
        }
    })
}

impl Whose {
    fn read(fields: &mut Fields) -> Reading<Self> {
        Ok(Self {
            framework: fields.required("framework", framework)?,
            role: fields.required("role", role)?,
            agent: fields.required("agent", agent)?,
        })
    }
}

impl UsedPart {
    fn read(field: &str, value: Value) -> Reading<Self> {
        let mut fields = Fields::of(field, value)?;
        let part = Self {
            framework: fields.required("framework", framework)?,
            role: fields.required("role", role)?,
            resources: fields.required("resources", resources)?,
        };
        fields.end()?;
        Ok(part)
    }
}

impl Capacity {
    fn read(fields: &mut Fields) -> Reading<Self> {
        let total = fields.required("total", resources)?;
        let reserved = fields.optional("reserved", list(reservation))?;
        let reserved = reserved.map(|parts| {
            let mut sums: BTreeMap<Role, Resources> = BTreeMap::new();
            for (role, part) in parts {
                sums.entry(role).or_default().add(&part);
            }
            sums
        });
        Ok(Self {
            total,
            reserved,
            revocable: fields.optional("revocable", resources)?,
            attributes: fields.optional("attributes", attributes)?,
            region: fields.optional("region", text)?,
        })
    }

    /// What it comes to, after what there was before.
    pub(crate) fn bundle(&self, before: &Bundle) -> Reading<Bundle> {
        let reserved = self.reserved.clone().unwrap_or_else(|| before.reserved.clone());
        let mut sum = Resources::none();
        reserved.values().for_each(|part| sum.add(part));
        if !self.total.contains(&sum) {
            let why = format!("{sum} are reserved, of {} in all", self.total);
            return Err(Fault::new("reserved", why));
        }
        let revocable = self.revocable.clone().unwrap_or_else(|| before.revocable.clone());
        Ok(Bundle { unreserved: self.total.minus(&sum), reserved, revocable })
    }
}

fn reservation(field: &str, value: Value) -> Reading<(Role, Resources)> {
    let mut fields = Fields::of(field, value)?;
    let part = (fields.required("role", role)?, fields.required("resources", resources)?);
    fields.end()?;
    Ok(part)
}

fn attributes(field: &str, value: Value) -> Reading<BTreeMap<String, Attribute>> {
    let Value::Object(object) = value else {
        return Err(Fault::new(field, format!("{value} is no object")));
    };
    object.into_iter().map(|(name, value)| Ok((name, attribute(field, value)?))).collect()
}

fn attribute(field: &str, value: Value) -> Reading<Attribute> {
    Ok(match value {
        Value::String(text) => Attribute::Text(text),
        Value::Number(_) => Attribute::Scalar(amount(field, value)?),
        other => {
            let range = |field: &str, value: Value| match list(count)(field, value)?[..] {
                [from, to] => Ok((from, to)),
                _ => Err(Fault::new(field, "a range is [from, to]")),
            };
            Attribute::Ranges(list(range)(field, other)?)
        }
    })
}

fn amount(field: &str, value: Value) -> Reading<Amount> {
    let one = [("n".to_owned(), value)].into_iter().collect();
    let amounts = amounts(field, Value::Object(one))?;
    Ok(amounts.values().next().copied().unwrap_or_default())
}

impl NewFramework {
    fn read(fields: &mut Fields) -> Reading<Self> {
        let capabilities = fields.optional("capabilities", list(text))?.unwrap_or_default();
        Ok(Self {
            framework: fields.required("framework", framework)?,
            roles: fields.required("roles", list(role))?,
            capabilities: capabilities.into_iter().map(capability).collect(),
            suppressed: fields.optional("suppressed", list(role))?.unwrap_or_default(),
            floors: fields.optional("min_allocatable", list(resources))?,
            constraints: Constraints {
                groups: fields.optional("constraints", list(group))?.unwrap_or_default(),
            },
        })
    }
}

fn capability(name: String) -> Capability {
    match name.as_str() {
        "revocable" => Capability::Revocable,
        "region_aware" => Capability::RegionAware,
        _ => Capability::Scarce(name),
    }
}

fn terms(field: &str, value: Value) -> Reading<Terms> {
    match text(field, value)?.as_str() {
        "regular" => Ok(Terms::Regular),
        "revocable" => Ok(Terms::Revocable),
        _ => Err(Fault::new(field, "terms are regular or revocable")),
    }
}

fn group(field: &str, value: Value) -> Reading<Vec<Constraint>> {
    list(constraint)(field, value)
}

/// `{"attribute": "zone", "equals": "z1"}`, and so on.
fn constraint(field: &str, value: Value) -> Reading<Constraint> {
    let mut fields = Fields::of(field, value)?;
    let attribute = fields.required("attribute", text)?;
    let pattern = |field: &str, value: Value| {
        Pattern::new(&text(field, value)?).map_err(|why| Fault::new(field, why))
    };
    let exists = |field: &str, value: Value| crate::fields::truth(field, value);
    let mut predicates = Vec::new();
    predicates.extend(fields.optional("exists", exists)?.map(|exists| match exists {
        true => Predicate::Exists,
        false => Predicate::Missing,
    }));
    predicates.extend(fields.optional("equals", text)?.map(Predicate::Equals));
    predicates.extend(fields.optional("differs", text)?.map(Predicate::Differs));
    predicates.extend(fields.optional("matches", pattern)?.map(Predicate::Matches));
    predicates.extend(fields.optional("mismatches", pattern)?.map(Predicate::Mismatches));
    predicates.extend(fields.optional("at_least", amount)?.map(Predicate::AtLeast));
    predicates.extend(fields.optional("at_most", amount)?.map(Predicate::AtMost));
    predicates.extend(fields.optional("contains", amount)?.map(Predicate::Contains));
    fields.end()?;
    match predicates.len() {
        1 => Ok(Constraint { attribute, predicate: predicates.remove(0) }),
        _ => Err(Fault::new(
            field,
            "a constraint has exactly one of exists, equals, differs, matches, mismatches, \
             at_least, at_most and contains",
        )),
    }
}
