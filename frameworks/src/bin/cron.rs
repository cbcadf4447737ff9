//! `cron`: begins tasks at times of day until it is ended.

use skep_frameworks::{
    cron::Cron,
    skep::{ProgramError, prelude::*, run},
};

fn main() -> Result<(), ProgramError> {
    run(framework_info("cron"), |_| Ok(Cron::default()))
}
