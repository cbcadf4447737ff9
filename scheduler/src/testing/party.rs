//! Who talks to the master of a test cluster.

use crate::{Driver, Ending, Scheduler};
use skep_protocol::{
    Time,
    framework::{Call, Event, FrameworkInfo},
};

/// A framework at a test cluster: a scheduler with its driver here, or one in a guest. It does
/// nothing but when it is told, and is at rest when a method returns.
pub trait Party {
    /// A connection to the master is there.
    fn connected(&mut self, now: Time);

    /// The connection has broken.
    fn disconnected(&mut self, now: Time);

    /// The master says something.
    fn handle(&mut self, now: Time, event: Event);

    /// When it wants to be woken.
    fn deadline(&self) -> Option<Time>;

    /// That time has come.
    fn woken(&mut self, now: Time);

    /// What it has said since this was last asked, in order.
    fn take_calls(&mut self) -> Vec<Call>;

    /// Why it has stopped, if it has.
    fn ending(&self) -> Option<&Ending>;
}

/// A scheduler of this program.
#[derive(Debug)]
pub struct Native<S> {
    driver: Driver,
    /// What is tested.
    pub scheduler: S,
}

impl<S: Scheduler> Native<S> {
    /// A scheduler that has not subscribed yet. `run` tells instances of one framework apart.
    pub fn new(info: FrameworkInfo, scheduler: S, run: u64) -> Self {
        Self { driver: Driver::new(info, None).with_run(run), scheduler }
    }
}

impl<S: Scheduler> Party for Native<S> {
    fn connected(&mut self, _: Time) {
        // The test cluster knows who subscribes.
        self.driver.connected();
    }

    fn disconnected(&mut self, now: Time) {
        self.driver.disconnected(now, &mut self.scheduler);
    }

    fn handle(&mut self, now: Time, event: Event) {
        self.driver.handle(now, event, &mut self.scheduler);
    }

    fn deadline(&self) -> Option<Time> {
        self.driver.deadline()
    }

    fn woken(&mut self, now: Time) {
        self.driver.woken(now, &mut self.scheduler);
    }

    fn take_calls(&mut self) -> Vec<Call> {
        self.driver.take_calls()
    }

    fn ending(&self) -> Option<&Ending> {
        self.driver.ending()
    }
}
