//! Coming to rest: with all faults ended, everything that was asked for gets done, and then nobody
//! holds or waits for anything.

use crate::{framework::Framework, schedule::Event, sim::Sim};
use skep_protocol::operator::{Ended, Request, Response, view::TaskView};
use std::time::Duration;

/// How long a sound cluster may take to get everything done, beyond what the tasks themselves take
/// one after the other: the smallest has room for no more at once.
const RECOVERY_MAX: Duration = Duration::from_secs(1_200);
/// How often it is looked at. Looking costs more than most steps.
const LOOK: Duration = Duration::from_millis(1_000);

impl Sim {
    /// Runs until everything is at rest.
    pub(crate) fn come_to_rest(&mut self) {
        let work: Duration = self.frameworks.iter().map(Framework::work_left).sum();
        let end = self.now + RECOVERY_MAX + work + self.set_back_max;
        while let Some(why) = self.unrest() {
            // Jobs may still be ordered.
            let end = end + self.work.time_in_all();
            assert!(self.now <= end, "it does not come to rest: {why}");
            self.run_for(LOOK);
            self.promises.check_views(self.now, &self.masters_view());
        }
        self.promises.check_rest();
    }

    /// What is not at rest, if anything is not.
    fn unrest(&self) -> Option<String> {
        let is_work = |event: &Event| matches!(event, Event::FrameworkSubmits { .. });
        if self.schedule.events().any(is_work) {
            return Some("tasks are to be submitted".into());
        }
        if let Some(framework) = self.frameworks.iter().find(|framework| !framework.is_quiet()) {
            return Some(format!("a framework waits: {framework:?}"));
        }
        if let Some(why) = self.work_left() {
            return Some(why);
        }
        if let Some(agent) = self.agents.iter().find(|agent| !agent.is_quiet()) {
            return Some(format!("agent {} is busy and holds {:?}", agent.id, agent.disk.keys()));
        }
        let Some(master) = &self.master.process else { return Some("the master is down".into()) };
        if !master.journal.is_settled() {
            return Some("the master writes".into());
        }
        let tasks = self.masters_view();
        (!tasks.is_empty()).then(|| format!("the master knows of tasks: {tasks:?}"))
    }

    /// What the master shows of all tasks that have not ended; nothing while it is down.
    pub(crate) fn masters_view(&self) -> Vec<TaskView> {
        let Some(master) = &self.master.process else { return Vec::new() };
        let (framework, task, ended) = (None, None, Ended::Left);
        let request = Request::Tasks { framework, task, ended };
        match master.core.view(master.clock.at(self.now), &request) {
            Some(Response::Tasks(views)) => views.tasks,
            answer => panic!("asked for its tasks the master says {answer:?}"),
        }
    }
}
