//! What a framework decides, and its side of the conversation with the master, without I/O.
//!
//! A framework implements [`Scheduler`]; a [`Driver`] keeps its place in the conversation. Who
//! carries the messages is somebody else's matter: `skep-framework` outside of the sandbox,
//! `skep-guest` within it. One scheduler serves both, and a test without either: [`testing`].
//!
//! ```text
//! master -> Event -> Driver::handle -> Scheduler's callback -> orders to the Driver
//! master <- Call <- Driver::take_calls <-----------------------+
//! ```

mod blame;
mod driver;
mod needs;
mod scheduler;
pub mod testing;

pub use blame::{is_no_fault, offer_was_gone};
pub use driver::{Driver, Ending, MessageTooLong, Question};
pub use needs::Needs;
pub use scheduler::Scheduler;
pub use skep_protocol::{TaskSpec, framework::Offer};

/// The names that most schedulers need.
pub mod prelude {
    pub use crate::{
        Driver, Ending, MessageTooLong, Needs, Question, Scheduler, is_no_fault, offer_was_gone,
    };
    pub use skep_protocol::{
        Amount, Attempt, Digest, FrameworkId, OfferId, Outcome, Rejection, Resources, Role,
        StatusUpdate, TaskId, TaskSpec, TaskState, Time,
        framework::{Consent, Demand, FrameworkInfo, InverseOffer, Offer, Operation, State},
        task::Terms,
        wishes::{Constraint, Wishes},
    };

    /// A framework of this name in the role `default`, with the default failover time-out.
    pub fn framework_info(name: impl Into<String>) -> FrameworkInfo {
        FrameworkInfo { name: name.into(), ..FrameworkInfo::default() }
    }
}
