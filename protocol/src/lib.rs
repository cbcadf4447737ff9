//! The words two skep processes must agree on: ids, resources, tasks, states, messages, codec.
//!
//! Pure: no socket, clock, randomness or runtime. The types here are what the cores think in;
//! [`codec`] turns them into the protobuf of `proto/*.proto` and back, and is the one place where
//! bytes from outside become values, but for [`json`], which lets what comes over HTTP through the
//! same checks. The four conversations:
//!
//! | module | who with whom | stream |
//! |---|---|---|
//! | [`framework`] | framework and master | control |
//! | [`agent`] | agent and master | control |
//! | [`executor`] | agent and executor | Unix socket |
//! | [`operator`], [`data`] | client and master; blobs, logs, joining | a stream per request |

pub mod bounds;
pub mod escape;
pub mod time;

pub mod ids;
pub mod resources;

pub mod outcome;
pub mod pattern;
pub mod rejection;
pub mod task;

pub mod agent;
pub mod artifact;
pub mod data;
pub mod executor;
pub mod feed;
pub mod framework;
pub mod hello;
pub mod module_limits;
pub mod operator;
pub mod wishes;

pub mod codec;
pub mod frames;
pub mod json;

pub use artifact::{Artifact, Nans};
pub use ids::{
    AgentId, AllocationId, Attempt, Digest, FrameworkId, Incarnation, OfferId, Role, TaskId,
    TaskKey,
};
pub use module_limits::{ModuleLimits, ModuleLimitsError};
pub use outcome::{Outcome, Source, StatusUpdate, TaskState, Usage};
pub use rejection::Rejection;
pub use resources::{Amount, Resources};
pub use task::TaskSpec;
pub use time::Time;
