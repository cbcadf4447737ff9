//! `service`: keeps copies of programs running until it is ended.

use skep_frameworks::{
    service::Services,
    skep::{ProgramError, prelude::*, run},
};

fn main() -> Result<(), ProgramError> {
    run(framework_info("service"), |_| Ok(Services::default()))
}
