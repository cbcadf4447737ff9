//! For code that asks a skep cluster for work, outside the sandbox.
//!
//! Implement [`Scheduler`], connect a [`Cluster`], push the module, and run:
//!
//! ```no_run
//! use skep_framework::{Cluster, Driver, Offer, Scheduler, TaskSpec, prelude::*};
//!
//! struct OneTaskPerOffer(Digest);
//!
//! impl Scheduler for OneTaskPerOffer {
//!     fn resource_offers(&mut self, driver: &mut Driver, offers: Vec<Offer>) {
//!         for offer in offers {
//!             let id = TaskId::new(format!("task-{}", offer.id)).expect("an id");
//!             let resources = Resources::new(Amount::units(1), Amount::units(64));
//!             driver.launch(&offer, [TaskSpec::new(id, self.0, resources)]);
//!         }
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::connect_from_env().await?;
//! let module = cluster.push_file("hello.wasm".as_ref()).await?;
//! cluster.run(framework_info("my-framework"), &mut OneTaskPerOffer(module)).await?;
//! # Ok(()) }
//! ```
//!
//! The mirror of this crate inside the sandbox is guest-sdk.

mod cluster;
pub mod identities;
mod program;

pub use cluster::{Cluster, ConnectError, PushError, RunError, Waker};
pub use program::{Modules, ProgramError, run};
pub use skep_scheduler::{Driver, Ending, Offer, Question, Scheduler, TaskSpec, testing};
pub use skep_transport::FeedError;

/// The names that most schedulers need.
pub mod prelude {
    pub use crate::{Cluster, Modules};
    pub use skep_scheduler::prelude::*;
}
