//! The classic first framework: launches a one-cpu task on every offer it gets, five in all if it
//! is not told otherwise.
//!
//! The same source is a program of its own (`cargo run -p hello-framework`) and, compiled to
//! wasm32-wasip1, a guest that the cluster hosts (`skep framework run`).

#[cfg(not(target_family = "wasm"))]
use skep_framework as skep;
#[cfg(target_family = "wasm")]
use skep_guest::framework as skep;

use skep::{ProgramError, prelude::*, run};

struct HelloScheduler {
    module: Digest,
    tasks: u32,
    launched: u32,
    ended: u32,
}

impl Scheduler for HelloScheduler {
    fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
        let one_cpu = Resources::new(Amount::units(1), Amount::units(64));
        for offer in offers {
            if self.launched == self.tasks || !offer.resources.contains(&one_cpu) {
                driver.decline(offer.id, None);
                continue;
            }
            self.launched += 1;
            let id = TaskId::new(format!("hello-{}", self.launched)).expect("a plain name");
            driver.launch(&offer, [TaskSpec::new(id, self.module, one_cpu.clone())]);
        }
    }

    #[expect(clippy::print_stdout, reason = "saying hello is what this program is for")]
    fn status_update(&mut self, driver: &mut Driver, update: &StatusUpdate) {
        let agent = update.agent.as_ref().map_or("no agent", |agent| agent.as_str());
        println!("{} on {agent}: {}", update.key.task, update.state.name());
        if update.state.is_terminal() {
            self.ended += 1;
        }
        if self.ended == self.tasks {
            driver.stop();
        }
    }
}

fn main() -> Result<(), ProgramError> {
    let mut args = std::env::args().skip(1);
    let file = args.next().unwrap_or_else(|| "examples/hello/hello.wasm".into());
    let tasks = args.next().and_then(|tasks| tasks.parse().ok()).unwrap_or(5);
    run(framework_info("hello"), |modules| {
        Ok(HelloScheduler { module: modules.find(&file)?, tasks, launched: 0, ended: 0 })
    })
}
