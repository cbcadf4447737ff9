//! What people are shown: read-only, and made anew for each request.
//!
//! Deliberately absent: the names of the cluster and of the build, which the shell fills in.

use crate::{
    agents::{Agent, Standing},
    frameworks::Framework,
    history::EndedTask,
    hosting::SUPERVISOR,
    master::Master,
    record::Admitted,
    tasks::{Tally, Task},
};
use skep_allocator::{Appetite, Cause, RoleReport};
use skep_protocol::{
    AgentId, FrameworkId, Outcome, Resources, Role, TaskId, TaskKey, Time, Usage,
    operator::{
        Ended, Request, Response, Weight, shown,
        view::{
            AgentView, AgentViews, FrameworkView, FrameworkViews, OfferView, OfferViews, RoleView,
            RoleViews, StatusView, TaskView, TaskViews, TokenView, TokenViews,
        },
    },
};
use std::{cmp::Reverse, collections::BTreeMap};

/// Tasks shown at once, the newest, so that they fit a frame; about 400 bytes each.
const TASKS_SHOWN_MAX: usize = 5_000;
/// Frameworks of which it is looked why they have nothing: each is compared with every agent.
const LOOKED_AT_MAX: usize = 64;

impl Master {
    /// The answer to a person who only wants to see something; none if it is an order.
    pub fn view(&self, now: Time, request: &Request) -> Option<Response> {
        Some(match request {
            Request::Tasks { framework, task, ended } => {
                Response::Tasks(self.task_views(framework.as_ref(), task.as_ref(), *ended))
            }
            Request::Agents => Response::Agents(self.agent_views()),
            Request::Frameworks => Response::Frameworks(self.framework_views()),
            Request::Roles => Response::Roles(self.role_views()),
            Request::Why { framework, needs } => self.why(now, framework, needs.as_ref()),
            Request::Offers => Response::Offers(self.offer_views(now)),
            Request::Status => Response::Status(self.status_view()),
            Request::Tokens => Response::Tokens(self.token_views(now)),
            Request::Volumes => Response::Volumes(self.volume_views()),
            // The shell has the blobs.
            Request::Modules
            | Request::Kill { .. }
            | Request::Recorded { .. }
            | Request::SetRole { .. }
            | Request::SetQuota { .. }
            | Request::Reserve { .. }
            | Request::Unreserve { .. }
            | Request::Drain { .. }
            | Request::Deactivate { .. }
            | Request::Activate { .. }
            | Request::Gone { .. }
            | Request::SetMaintenance { .. }
            | Request::CreateVolume { .. }
            | Request::DestroyVolume { .. }
            | Request::CreateToken { .. }
            | Request::Teardown { .. }
            // It is no view: the framework answers it.
            | Request::Ask { .. }
            | Request::RevokeToken { .. } => return None,
        })
    }

    fn task_views(
        &self,
        framework: Option<&FrameworkId>,
        task: Option<&TaskId>,
        ended: Ended,
    ) -> TaskViews {
        let is_meant = |key: &TaskKey| {
            framework.is_none_or(|f| *f == key.framework) && task.is_none_or(|t| *t == key.task)
        };
        let live = self.tasks.iter().filter(|(key, _)| is_meant(key));
        let live = live.filter(|(_, task)| ended == Ended::Listed || !task.stage.is_ended());
        let mut tasks: Vec<TaskView> =
            live.map(|(key, task)| self.live_task_view(&key, task)).collect();
        if ended == Ended::Listed {
            let ended = self.tasks.history.iter().filter(|(key, _)| is_meant(key));
            tasks.extend(ended.map(|(key, task)| ended_task_view(key, task)));
        }
        tasks.sort_by_cached_key(|t| {
            (Reverse(t.since_micros), t.framework.clone(), t.task.clone(), Reverse(t.attempt))
        });
        tasks.truncate(TASKS_SHOWN_MAX);
        TaskViews { tasks }
    }

    fn live_task_view(&self, key: &TaskKey, task: &Task) -> TaskView {
        let state = self.state_of(task);
        let Task { agent, role, resources, name, since, .. } = task;
        let view = task_view(key, (agent, role), resources, name, *since);
        match &task.stage {
            crate::tasks::Stage::Ended { outcome, usage, .. } => with_end(view, outcome, *usage),
            _ => TaskView { state: state.name().into(), ..view },
        }
    }

    fn agent_views(&self) -> AgentViews {
        let admitted = self.durable.agents.iter();
        let agents = admitted.map(|(id, admitted)| match self.agents.get(id) {
            Some(agent) => self.agent_view(id, agent),
            None => self.absent_agent_view(id, admitted),
        });
        AgentViews { agents: agents.collect() }
    }

    fn agent_view(&self, id: &AgentId, agent: &Agent) -> AgentView {
        let state = match agent.standing {
            Standing::Connected { .. } => "connected",
            Standing::Away { .. } | Standing::Unreachable { .. } => "disconnected",
            Standing::Lost => "lost",
        };
        let account = self.ledger.shares.agent(id);
        let (used, offered) =
            account.map(|a| (shown(&a.used.sum()), shown(&a.offered.sum()))).unwrap_or_default();
        AgentView {
            agent: id.to_string(),
            hostname: agent.info.hostname.clone(),
            state: state.into(),
            incarnation: agent.incarnation.0,
            architecture: agent.info.architecture.clone(),
            attributes: agent.info.attributes.clone(),
            resources: shown(&agent.info.resources),
            allocated: used,
            offered,
            tasks: agent.tally.sum() as u64,
            enforces: agent.info.enforces.clone(),
            build: agent.info.build.clone(),
            revocable: shown(&agent.info.revocable),
            region: agent.info.region.clone().unwrap_or_default(),
            zone: agent.info.zone.clone().unwrap_or_default(),
            ..self.keeping_view(id)
        }
    }

    /// One that has not registered in this run of the master.
    fn absent_agent_view(&self, id: &AgentId, admitted: &Admitted) -> AgentView {
        let is_lost = !self.expected.contains(id) && admitted.at < self.started();
        AgentView {
            agent: id.to_string(),
            hostname: admitted.name.clone(),
            state: if is_lost || self.durable.is_gone(id) { "lost" } else { "disconnected" }.into(),
            ..self.keeping_view(id)
        }
    }

    fn framework_views(&self) -> FrameworkViews {
        let known = self.durable.frameworks.iter();
        let views = known.filter_map(|(id, known)| {
            let framework = self.frameworks.get(id)?;
            let held = self.ledger.shares.held_by(id);
            let is_connected = framework.connection().is_some();
            Some(FrameworkView {
                framework: id.to_string(),
                name: known.info.name.clone(),
                role: known.info.role.to_string(),
                principal: known.principal.clone(),
                state: if is_connected { "connected" } else { "disconnected" }.into(),
                allocated: shown(&held.used),
                offered: shown(&held.offered),
                tasks: framework.tally.sum() as u64,
                suppressed: self.ledger.shares.appetite(id) == Some(Appetite::Suppressed),
                failover_timeout_seconds: known.info.failover_timeout.as_secs(),
            })
        });
        let mut frameworks: Vec<FrameworkView> = views.collect();
        // What somebody brought stands first.
        frameworks.sort_by_key(|view| view.principal == SUPERVISOR);
        FrameworkViews { frameworks }
    }

    fn role_views(&self) -> RoleViews {
        let mut roles: BTreeMap<Role, RoleView> = BTreeMap::new();
        for (role, weight) in &self.durable.weights {
            // One that was set back to one is shown too: somebody has thought about it.
            let role_view = RoleView {
                role: role.to_string(),
                weight: shown_weight(*weight),
                ..RoleView::default()
            };
            roles.insert(role.clone(), role_view);
        }
        for report in self.ledger.shares.roles() {
            roles.insert(report.role.clone(), role_view(&report));
        }
        RoleViews { roles: roles.into_values().collect() }
    }

    fn offer_views(&self, now: Time) -> OfferViews {
        let views = self.offers.iter().filter_map(|(id, offer)| {
            let info = &self.durable.frameworks.get(&offer.framework)?.info;
            Some(OfferView {
                offer: id.to_string(),
                framework: offer.framework.to_string(),
                framework_name: info.name.clone(),
                role: offer.role.to_string(),
                agent: offer.agent.to_string(),
                resources: shown(&offer.bundle.sum()),
                age_micros: now.as_micros().saturating_sub(offer.made.as_micros()),
                expires_in_micros: offer.expires.as_micros().saturating_sub(now.as_micros()),
            })
        });
        OfferViews { offers: views.collect() }
    }

    fn token_views(&self, now: Time) -> TokenViews {
        let usable = self.durable.tokens.iter().filter(|(_, token)| token.check(now).is_ok());
        let views = usable.map(|(id, token)| TokenView {
            id: id.clone(),
            kind: token.kind.name().into(),
            uses_left: token.uses_left,
            expires_micros: token.expires.as_micros(),
        });
        TokenViews { tokens: views.collect() }
    }

    fn status_view(&self) -> StatusView {
        let connected = |agent: &&Agent| agent.connection().is_some();
        let frameworks: Vec<&Framework> = self.asking().collect();
        let (reachable, unreachable) = self.tallies();
        let mut allocated = Resources::none();
        for framework in self.frameworks.keys() {
            allocated.add(&self.ledger.shares.held_by(framework).used);
        }
        StatusView {
            cluster: String::new(),
            build: String::new(),
            agents_connected: self.agents.values().filter(connected).count() as u64,
            agents_known: self.durable.agents.len() as u64,
            frameworks_connected: frameworks.iter().filter(|f| f.connection().is_some()).count()
                as u64,
            frameworks_known: frameworks.len() as u64,
            tasks_staging: reachable.waiting as u64,
            tasks_running: reachable.active as u64,
            tasks_unreachable: unreachable.sum() as u64,
            offers: self.offers.len() as u64,
            resources: shown(&self.ledger.shares.total()),
            allocated: shown(&allocated),
            summary: self.summary(reachable),
        }
    }

    /// Tasks on agents within reach, and on those out of it.
    fn tallies(&self) -> (Tally, Tally) {
        let (mut reachable, mut unreachable) = (Tally::default(), Tally::default());
        for agent in self.agents.values() {
            let tally = if agent.is_out_of_reach() { &mut unreachable } else { &mut reachable };
            tally.waiting += agent.tally.waiting;
            tally.active += agent.tally.active;
        }
        (reachable, unreachable)
    }

    /// What the cluster does, or the first reason in the way why nothing runs.
    fn summary(&self, tasks: Tally) -> String {
        if tasks.active > 0 {
            return format!(
                "{}, {} wait",
                count(tasks.active, "task runs", "tasks run"),
                tasks.waiting
            );
        }
        if tasks.waiting > 0 {
            return count(tasks.waiting, "task is on its way", "tasks are on their way");
        }
        self.no_agents().or_else(|| self.no_frameworks()).unwrap_or_else(|| self.no_launches())
    }

    fn no_agents(&self) -> Option<String> {
        let known = self.durable.agents.len();
        if self.agents.values().any(|agent| agent.connection().is_some()) {
            return None;
        }
        Some(match known {
            0 => "no agent has joined: make a token with `skep token create --role agent`, \
                  then start an agent with it"
                .into(),
            _ => format!("no agent is connected; {known} known"),
        })
    }

    fn no_frameworks(&self) -> Option<String> {
        if self.asking().any(|framework| framework.connection().is_some()) {
            return None;
        }
        Some(match self.asking().count() {
            0 => "no framework has subscribed: nobody asks for work to be done".into(),
            known => format!("no framework is connected; {known} may come back"),
        })
    }

    /// The frameworks that somebody brought: not the supervisor while it hosts nothing.
    fn asking(&self) -> impl Iterator<Item = &Framework> {
        let is_idle = |id: &FrameworkId, framework: &Framework| {
            let known = self.durable.frameworks.get(id);
            framework.tally.sum() == 0 && known.is_some_and(|k| k.principal == SUPERVISOR)
        };
        let all = self.frameworks.iter();
        all.filter(move |(id, framework)| !is_idle(id, framework)).map(|(_, framework)| framework)
    }

    fn no_launches(&self) -> String {
        let holders = self.frameworks.values().filter(|f| !f.offers.is_empty()).count();
        if holders > 0 {
            let one = "framework holds offers that it has not answered";
            return count(holders, one, "frameworks hold offers that they have not answered");
        }
        let mut appetites = self.frameworks.keys().map(|id| self.ledger.shares.appetite(id));
        if !appetites.any(|appetite| appetite == Some(Appetite::Wanting)) {
            return "every connected framework has suppressed its offers: it has nothing to run"
                .into();
        }
        if self.connected().all(|id| !self.is_offered(id)) {
            return "every connected agent is deactivated, drained or in maintenance: `skep agent \
                    list` shows which"
                .into();
        }
        if !self.ledger.shares.has_spare() {
            return "no agent has anything left that is worth an offer".into();
        }
        if self.ledger.is_dirty() {
            return "offers are about to be made".into();
        }
        self.no_offers()
    }

    /// Why what is free is offered to nobody: what stands in the way of most agents.
    fn no_offers(&self) -> String {
        let is_wanting =
            |id: &FrameworkId| self.ledger.shares.appetite(id) == Some(Appetite::Wanting);
        let wanting = self.durable.frameworks.iter().filter(|(id, _)| is_wanting(id));
        let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
        let mut waiting = 0;
        for (framework, known) in wanting.take(LOOKED_AT_MAX) {
            for role in known.info.roles() {
                let why = self.ledger.shares.explain(framework, role, None, self.now);
                if why.silence.is_some() {
                    continue;
                }
                if why.possible > 0 {
                    return "offers are about to be made".into();
                }
                waiting += 1;
                for (cause, count) in why.causes {
                    *causes.entry(cause).or_default() += count;
                }
            }
        }
        if waiting == 0 {
            return "no connected framework waits for more than it has: it has to say what else \
                    it waits for; `skep why` says more"
                .into();
        }
        // Agents that are full or take no part are not what is free.
        causes.retain(|cause, _| !matches!(cause, Cause::Closed | Cause::Full));
        if causes.keys().eq([&Cause::Filter]) {
            return "every framework has declined what is free".into();
        }
        match causes.iter().max_by_key(|(cause, agents)| (**agents, Reverse(*cause))) {
            Some((cause, _)) => format!(
                "{} and cannot be offered what is free: {cause}; `skep why` says more",
                count(waiting, "framework waits", "frameworks wait")
            ),
            None => "no agent has anything left that is worth an offer".into(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a weight is at most a million")]
fn shown_weight(weight: Weight) -> f64 {
    weight.as_millis() as f64 / 1_000.0
}

fn role_view(report: &RoleReport) -> RoleView {
    let limit = report.quota.limit.iter();
    RoleView {
        role: report.role.to_string(),
        weight: shown_weight(report.weight),
        share: report.share,
        weighted_share: report.weighted_share,
        dominant: report.dominant.clone().unwrap_or_default(),
        allocated: shown(&report.held.minus(&report.offered)),
        offered: shown(&report.offered),
        consumed: shown(&report.consumed),
        guarantee: shown(&report.quota.guarantee),
        limit: limit.map(|(kind, limit)| (kind.clone(), limit.as_f64())).collect(),
        frameworks: report.frameworks as u64,
    }
}

fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn task_view(
    key: &TaskKey,
    (agent, role): (&AgentId, &Role),
    resources: &Resources,
    name: &str,
    since: Time,
) -> TaskView {
    TaskView {
        task: key.task.to_string(),
        attempt: key.attempt.0,
        framework: key.framework.to_string(),
        role: role.to_string(),
        name: name.into(),
        agent: agent.to_string(),
        resources: shown(resources),
        since_micros: since.as_micros(),
        ..TaskView::default()
    }
}

fn ended_task_view(key: &TaskKey, task: &EndedTask) -> TaskView {
    let EndedTask { agent, role, resources, name, since, outcome, usage, .. } = task;
    with_end(task_view(key, (agent, role), resources, name, *since), outcome, *usage)
}

fn with_end(view: TaskView, outcome: &Outcome, usage: Option<Usage>) -> TaskView {
    let exit_code = match outcome {
        Outcome::Exited { code } => Some(*code),
        _ => None,
    };
    let micros = |usage: Usage| u64::try_from(usage.wall.as_micros());
    TaskView {
        state: outcome.state_name().into(),
        reason: outcome.to_string(),
        exit_code,
        fuel: usage.map(|usage| usage.fuel),
        memory_bytes_peak: usage.map(|usage| usage.memory_bytes_peak),
        wall_micros: usage.and_then(|usage| micros(usage).ok()),
        ..view
    }
}
