//! [`Services`]: takes offers for copies that are missing.

use super::{
    copies::{Service, Step},
    orders::{Order, Report, Spec},
};
use crate::program;
use skep_protocol::framework::State;
use skep_scheduler::{Question, Scheduler, prelude::*};
use std::{collections::BTreeMap, time::Duration};

/// Services that one instance keeps.
const SERVICES_MAX: usize = 500;
/// How long the agent of a copy may be out of reach before another copy is started elsewhere.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// See the module above.
#[derive(Debug, Default)]
pub struct Services {
    all: BTreeMap<String, Service>,
}

impl Scheduler for Services {
    fn restored(&mut self, driver: &mut Driver, state: &State) {
        for (key, value) in state {
            if key.starts_with("service/")
                && let Ok(service) = serde_json::from_slice::<Service>(value)
            {
                for number in service.copies.keys() {
                    driver.adopt(service.task(*number), Attempt::FIRST);
                }
                self.all.insert(service.spec.name.clone(), service);
            }
        }
    }

    fn registered(&mut self, driver: &mut Driver, _: &FrameworkId) {
        // Orders to end may have been lost.
        self.all.values().flat_map(Service::ending).for_each(|task| driver.kill(task));
        self.settle(driver);
    }

    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let mut rooms: Vec<Room> = offers.into_iter().map(Room::new).collect();
        let now = driver.now();
        for service in self.all.values_mut() {
            let before = service.copies.len();
            while matches!(service.step(now), Step::Start(_)) {
                let needs = service.spec.work.resources.clone();
                let fits = rooms.iter_mut().filter(|room| room.left.contains(&needs));
                let best = fits.min_by_key(|room| {
                    (service.at(&room.place(&service.spec.spread)), room.tasks.len())
                });
                let Some(room) = best else { break };
                room.left.subtract(&needs);
                let (task, attempt) = service.add(room.place(&service.spec.spread));
                let mut task = service.spec.work.task(task, attempt);
                task.policies.lost_after.get_or_insert(LOST_AFTER);
                room.tasks.push(task);
            }
            if service.copies.len() > before {
                keep(driver, service);
            }
        }
        for Room { offer, tasks, .. } in rooms {
            driver.launch_or_decline(&offer, tasks);
        }
        self.settle(driver);
    }

    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let (now, task) = (driver.now(), &update.key.task);
        let mut known = self.all.values_mut();
        let Some((number, service)) = known.find_map(|s| Some((s.number(task)?, s))) else {
            return driver.end_unknown(update);
        };
        match &update.state {
            TaskState::Running => {
                service.runs(number, update.agent.as_ref().map(ToString::to_string), now);
            }
            TaskState::Unreachable => service.is_unreachable(number),
            TaskState::Ended(outcome) => {
                // What is not the copy's fault is no reason to wait.
                service.ended(number, now, !is_no_fault(outcome));
                keep(driver, service);
            }
            TaskState::Staging | TaskState::Starting | TaskState::Paused => {}
        }
        self.settle(driver);
    }

    fn woken(&mut self, driver: &mut Driver) {
        self.settle(driver);
    }

    fn asked(&mut self, driver: &mut Driver, question: Question) {
        program::answer(driver, &question, |driver, order| self.obey(driver, order));
        self.settle(driver);
    }
}

impl Services {
    fn obey(&mut self, driver: &mut Driver, order: Order) -> Result<Vec<Report>, String> {
        let now = driver.now();
        let name = match order {
            Order::List => return Ok(self.all.values().map(|s| s.report(now)).collect()),
            Order::Apply { spec } => {
                let name = spec.name.clone();
                self.apply(*spec)?;
                name
            }
            Order::Scale { name, copies } => {
                let spec = Spec { copies, ..self.find(&name)?.spec.clone() };
                self.apply(spec)?;
                name
            }
            Order::Remove { name } => {
                self.find(&name)?.removed = true;
                name
            }
        };
        let service = self.find(&name)?;
        keep(driver, service);
        Ok(vec![service.report(now)])
    }

    fn find(&mut self, name: &str) -> Result<&mut Service, String> {
        let known = self.all.get_mut(name);
        known.ok_or_else(|| format!("there is no service {name}: see skep service list"))
    }

    fn apply(&mut self, spec: Spec) -> Result<(), String> {
        spec.check()?;
        let count = self.all.len();
        match self.all.get_mut(&spec.name) {
            Some(service) if service.removed => {
                Err(format!("service {} is being removed: wait until it is gone", spec.name))
            }
            Some(service) => {
                service.apply(spec);
                Ok(())
            }
            None if count >= SERVICES_MAX => Err(format!("there are {SERVICES_MAX} already")),
            None => {
                self.all.insert(spec.name.clone(), Service::new(spec));
                Ok(())
            }
        }
    }

    /// Ends what is to end, and asks for offers for copies that are missing.
    fn settle(&mut self, driver: &mut Driver) {
        let now = driver.now();
        let mut needs = Needs::none();
        for service in self.all.values_mut() {
            loop {
                match service.step(now) {
                    Step::End(number) => {
                        let task = service.end(number);
                        keep(driver, service);
                        driver.kill(task);
                    }
                    Step::Start(missing) => {
                        let Spec { name, work, .. } = &service.spec;
                        needs.add((name, service.version), &work.resources, missing);
                        break;
                    }
                    Step::Look(time) => {
                        driver.wake_at(time);
                        break;
                    }
                    Step::Nothing => break,
                }
            }
            // While one waits for room, another that is healthy then may let an old one end.
            service.next_healthy(now).into_iter().for_each(|time| driver.wake_at(time));
        }
        self.all.retain(|name, service| {
            let is_gone = service.removed && service.copies.is_empty();
            if is_gone {
                driver.forget(format!("service/{name}"));
            }
            !is_gone
        });
        // They are spread.
        driver.ask_for(&needs.with_choice());
    }
}

/// An offer, and what of it is used.
struct Room {
    left: Resources,
    tasks: Vec<TaskSpec>,
    offer: Offer,
}

impl Room {
    fn new(offer: Offer) -> Self {
        Self { left: offer.resources.clone(), tasks: Vec::new(), offer }
    }

    /// The value of the attribute that copies are spread by.
    fn place(&self, attribute: &str) -> String {
        match attribute {
            "hostname" => self.offer.hostname.clone(),
            _ => self.offer.attributes.get(attribute).cloned().unwrap_or_default(),
        }
    }
}

fn keep(driver: &mut Driver, service: &Service) {
    let value = serde_json::to_vec(service).unwrap_or_default();
    driver.save(format!("service/{}", service.spec.name), value);
}
