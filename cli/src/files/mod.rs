//! Files in which people say what is to run: jobs, services, schedules. What is wrong with one is
//! told with its line, before anything starts.

mod fault;
mod job;
mod kept;
mod task;

pub(crate) use job::{JOB_TO_BEGIN_WITH, JobPlan};
pub(crate) use kept::{schedule, service};
pub(crate) use task::{Files, Modules};

#[cfg(test)]
mod tests;
