//! Which schedulers come with skep.

use skep_frameworks::{
    batch::{Batch, Job},
    cron::Cron,
    service::Services,
};
use skep_protocol::{Time, framework::Event};
use skep_scheduler::Driver;
use skep_supervisor::Supervisor;

/// What a scheduler is for, and how each of its instances begins.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// It takes jobs.
    Batch,
    /// It runs this job and stops.
    Once(Box<Job>),
    Services,
    Cron,
    Supervisor,
}

#[derive(Debug)]
pub(crate) enum Mind {
    Batch(Box<Batch>),
    Services(Services),
    Cron(Cron),
    Supervisor(Supervisor),
}

impl Kind {
    pub(crate) fn mind(&self) -> Mind {
        match self {
            Self::Batch => Mind::Batch(Box::new(Batch::serving())),
            Self::Once(job) => Mind::Batch(Box::new(Batch::once(Job::clone(job)))),
            Self::Services => Mind::Services(Services::default()),
            Self::Cron => Mind::Cron(Cron::default()),
            Self::Supervisor => Mind::Supervisor(Supervisor::default()),
        }
    }

    /// Whether another instance goes on where one has died.
    pub(crate) const fn is_kept(&self) -> bool {
        !matches!(self, Self::Once(_))
    }
}

impl Mind {
    pub(crate) fn handle(&mut self, driver: &mut Driver, now: Time, event: Event) {
        match self {
            Self::Batch(batch) => driver.handle(now, event, &mut **batch),
            Self::Services(services) => driver.handle(now, event, services),
            Self::Cron(cron) => driver.handle(now, event, cron),
            Self::Supervisor(supervisor) => driver.handle(now, event, supervisor),
        }
    }

    pub(crate) fn woken(&mut self, driver: &mut Driver, now: Time) {
        match self {
            Self::Batch(batch) => driver.woken(now, &mut **batch),
            Self::Services(services) => driver.woken(now, services),
            Self::Cron(cron) => driver.woken(now, cron),
            Self::Supervisor(supervisor) => driver.woken(now, supervisor),
        }
    }

    pub(crate) fn disconnected(&mut self, driver: &mut Driver, now: Time) {
        match self {
            Self::Batch(batch) => driver.disconnected(now, &mut **batch),
            Self::Services(services) => driver.disconnected(now, services),
            Self::Cron(cron) => driver.disconnected(now, cron),
            Self::Supervisor(supervisor) => driver.disconnected(now, supervisor),
        }
    }
}
