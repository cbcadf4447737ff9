//! What each step does to the allocator, and when it cannot be done.

use crate::{
    fields::{Fault, Reading},
    stage::Stage,
    step::{Capacity, Deed, NewFramework, UsedPart, Whose},
};
use skep_allocator::{AgentSpec, Appetite, Bundle, Freed, Interest, Origin, Use};
use skep_protocol::{
    AgentId, FrameworkId, Resources, Role,
    bounds::{REFUSE_DEFAULT, REFUSE_MAX},
};
use std::time::Duration;

/// How something is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Giving {
    /// It was used and is used no more.
    Free,
    /// It was not wanted.
    Decline,
}

impl Whose {
    const fn of<'a>(&'a self, bundle: &'a Bundle) -> Use<'a> {
        Use { framework: &self.framework, role: &self.role, agent: &self.agent, bundle }
    }
}

impl Stage {
    pub(crate) fn act(&mut self, deed: &Deed) -> Reading<()> {
        match deed {
            Deed::AddAgent { agent, capacity, used } => self.add_agent(agent, capacity, used)?,
            Deed::UpdateAgent { agent, capacity } => self.update_agent(agent, capacity)?,
            Deed::RemoveAgent(agent) => {
                self.agent(agent)?;
                self.strangers.retain(|whose, _| whose.agent != *agent);
                self.allocator.remove_agent(agent);
            }
            Deed::DeactivateAgent(agent) => {
                self.agent(agent)?;
                self.allocator.close(agent);
            }
            Deed::ActivateAgent(agent) => {
                self.agent(agent)?;
                self.allocator.open(agent);
            }
            Deed::Reserve { agent, from, to, resources } => {
                self.agent(agent)?;
                self.allocator
                    .move_reservation(agent, from.as_ref(), to.as_ref(), resources)
                    .map_err(|why| Fault::new("resources", why))?;
            }
            Deed::AddFramework(new) => self.add_framework(new)?,
            Deed::RemoveFramework(framework) => {
                self.check_framework(framework)?;
                self.frameworks.remove(framework);
                self.allocator.remove_framework(framework);
            }
            Deed::DeactivateFramework(framework) => {
                self.check_framework(framework)?;
                self.allocator.deactivate(framework);
            }
            Deed::ActivateFramework(framework) => {
                self.check_framework(framework)?;
                self.allocator.activate(framework);
            }
            Deed::SetWeight { role, weight } => self.allocator.set_weight(role, *weight),
            Deed::SetQuota { role, quota } => {
                self.allocator.set_quota(role, quota).map_err(|why| Fault::new("guarantee", why))?
            }
            Deed::Allocate { whose, resources } => self.allocate(whose, resources)?,
            Deed::Free { whose, resources } => {
                self.give_back(whose, resources.as_ref(), Giving::Free)?;
            }
            Deed::Decline { whose, resources, refuse_seconds } => {
                self.decline(whose, resources.as_ref(), *refuse_seconds)?;
            }
            Deed::Suppress { framework, roles } => {
                self.check_roles(framework, roles)?;
                self.allocator.suppress(framework, roles);
            }
            Deed::Revive { framework, roles } => {
                self.check_roles(framework, roles)?;
                self.allocator.revive(framework, roles);
            }
            Deed::SetDemand { framework, role, demand } => {
                self.check_role(framework, role)?;
                self.allocator.answer_all(framework, role);
                self.allocator.set_demand(framework, role, demand.as_ref());
            }
            Deed::Tick { .. } | Deed::Report | Deed::Why { .. } => {}
        }
        Ok(())
    }

    fn agent(&self, agent: &AgentId) -> Reading<skep_allocator::AgentReport> {
        let known = self.allocator.agent(agent);
        known.ok_or_else(|| Fault::new("agent", format!("there is no agent {agent}")))
    }

    fn check_framework(&self, framework: &FrameworkId) -> Reading<()> {
        if self.frameworks.contains_key(framework) {
            return Ok(());
        }
        Err(Fault::new("framework", format!("there is no framework {framework}")))
    }

    pub(crate) fn check_role(&self, framework: &FrameworkId, role: &Role) -> Reading<()> {
        self.check_framework(framework)?;
        if self.frameworks[framework].contains(role) {
            return Ok(());
        }
        Err(Fault::new("role", format!("framework {framework} has no role {role}")))
    }

    fn check_roles(&self, framework: &FrameworkId, roles: &[Role]) -> Reading<()> {
        self.check_framework(framework)?;
        let check = |role| self.check_role(framework, role);
        roles.iter().try_for_each(check).map_err(|fault| Fault::new("roles", fault.why))
    }

    fn add_agent(
        &mut self,
        agent: &AgentId,
        capacity: &Capacity,
        used: &[UsedPart],
    ) -> Reading<()> {
        if self.agent(agent).is_ok() {
            return Err(Fault::new("agent", format!("agent {agent} is there already")));
        }
        let bundle = capacity.bundle(&Bundle::default())?;
        self.set_agent(agent, capacity, bundle);
        for UsedPart { framework, role, resources } in used {
            let (framework, role) = (framework.clone(), role.clone());
            let whose = Whose { framework, role, agent: agent.clone() };
            let part = self.pick_free(&whose, resources).map_err(|why| Fault::new("used", why))?;
            if self.check_role(&whose.framework, &whose.role).is_ok() {
                self.allocator.occupy(whose.of(&part), Origin::Found);
            } else {
                self.allocator.pin(agent, &part);
                let known = self.strangers.entry(whose).or_default();
                *known = known.plus(&part);
            }
        }
        Ok(())
    }

    fn update_agent(&mut self, agent: &AgentId, capacity: &Capacity) -> Reading<()> {
        let before = self.agent(agent)?;
        let bundle = capacity.bundle(&before.total)?;
        self.set_agent(agent, capacity, bundle);
        Ok(())
    }

    fn set_agent(&mut self, agent: &AgentId, of: &Capacity, capacity: Bundle) {
        let attributes = of.attributes.clone().unwrap_or_default();
        let spec = AgentSpec { capacity, attributes, region: of.region.clone() };
        self.allocator.set_agent(agent, spec);
    }

    /// Of what is free on an agent, what a client of this role would use for these.
    fn pick_free(&self, whose: &Whose, resources: &Resources) -> Result<Bundle, String> {
        let agent = self.allocator.agent(&whose.agent).ok_or("there is no such agent")?;
        let mut free = agent.free();
        free.reserved.retain(|role, _| whose.role.is_within(role));
        let picked = free.pick(resources);
        if picked.sum() == *resources {
            return Ok(picked);
        }
        Err(format!("agent {} has only {} free for role {}", whose.agent, free.sum(), whose.role))
    }

    fn add_framework(&mut self, new: &NewFramework) -> Reading<()> {
        let id = &new.framework;
        if self.frameworks.contains_key(id) {
            return Err(Fault::new("framework", format!("framework {id} is there already")));
        }
        if new.roles.is_empty() {
            return Err(Fault::new("roles", "a framework has one role at least"));
        }
        if let Some(role) = new.suppressed.iter().find(|role| !new.roles.contains(role)) {
            let why = format!("framework {id} has no role {role}");
            return Err(Fault::new("suppressed", why));
        }
        let interest = |role: &Role| Interest {
            appetite: match new.suppressed.contains(role) {
                true => Appetite::Suppressed,
                false => Appetite::Wanting,
            },
            floors: new.floors.clone(),
            constraints: new.constraints.clone(),
        };
        let roles: Vec<(Role, Interest)> =
            new.roles.iter().map(|role| (role.clone(), interest(role))).collect();
        self.frameworks.insert(id.clone(), new.roles.iter().cloned().collect());
        self.allocator.add_framework(id, new.capabilities.clone(), roles);
        let own = |whose: &Whose| whose.framework == *id && new.roles.contains(&whose.role);
        let found: Vec<(Whose, Bundle)> =
            self.strangers.extract_if(.., |whose, _| own(whose)).collect();
        for (whose, bundle) in found {
            self.allocator.unpin(&whose.agent, &bundle);
            self.allocator.occupy(whose.of(&bundle), Origin::Found);
        }
        self.allocator.activate(id);
        Ok(())
    }

    fn allocate(&mut self, whose: &Whose, resources: &Resources) -> Reading<()> {
        self.check_role(&whose.framework, &whose.role)?;
        self.agent(&whose.agent)?;
        let part = self.pick_free(whose, resources).map_err(|why| Fault::new("resources", why))?;
        self.allocator.occupy(whose.of(&part), Origin::Found);
        Ok(())
    }

    /// Gives back what was named, or all that is held there; says what it was.
    fn give_back(
        &mut self,
        whose: &Whose,
        resources: Option<&Resources>,
        giving: Giving,
    ) -> Reading<Bundle> {
        self.agent(&whose.agent)?;
        if giving == Giving::Free && self.strangers.contains_key(whose) {
            return self.free_stranger(whose, resources);
        }
        self.check_role(&whose.framework, &whose.role)?;
        let held = self.allocator.holding(&whose.framework, &whose.role, &whose.agent);
        let all = held.used.plus(&held.offered);
        let part = pick(&all, resources, whose)?;
        let offered = match giving {
            Giving::Free => part.minus(&held.used),
            Giving::Decline => part.minus(&part.minus(&held.offered)),
        };
        let used = part.minus(&offered);
        if !offered.is_empty() {
            self.allocator.take_back(whose.of(&offered));
            if giving == Giving::Free {
                self.allocator.occupy(whose.of(&offered), Origin::Offer);
                self.allocator.release(whose.of(&offered));
            }
        }
        if !used.is_empty() {
            self.allocator.release(whose.of(&used));
        }
        Ok(part)
    }

    fn free_stranger(&mut self, whose: &Whose, resources: Option<&Resources>) -> Reading<Bundle> {
        let all = self.strangers.remove(whose).unwrap_or_default();
        let part = pick(&all, resources, whose)?;
        self.allocator.unpin(&whose.agent, &part);
        let rest = all.minus(&part);
        if !rest.is_empty() {
            self.strangers.insert(whose.clone(), rest);
        }
        Ok(part)
    }

    fn decline(
        &mut self,
        whose: &Whose,
        resources: Option<&Resources>,
        refuse_seconds: Option<f64>,
    ) -> Reading<()> {
        let part = self.give_back(whose, resources, Giving::Decline)?;
        let refuse = match refuse_seconds {
            Some(seconds) if seconds >= 0.0 => {
                Duration::try_from_secs_f64(seconds).unwrap_or(REFUSE_MAX).min(REFUSE_MAX)
            }
            _ => REFUSE_DEFAULT,
        };
        if refuse.is_zero() {
            return Ok(());
        }
        // In Mesos a filter outlasts the next pass, however short it is.
        let least = if self.freed == Freed::NextPass { self.interval } else { Duration::ZERO };
        self.allocator.refuse(whose.of(&part), self.now + refuse.max(least));
        Ok(())
    }
}

fn pick(all: &Bundle, resources: Option<&Resources>, whose: &Whose) -> Reading<Bundle> {
    let Some(resources) = resources else { return Ok(all.clone()) };
    let part = all.pick(resources);
    if part.sum() == *resources {
        return Ok(part);
    }
    let Whose { framework, role, agent } = whose;
    let why = format!("{framework} holds {} of {agent} in role {role}", all.sum());
    Err(Fault::new("resources", why))
}
