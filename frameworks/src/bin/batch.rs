//! `batch`: takes jobs as orders and runs them until it is ended.

use skep_frameworks::{
    batch::Batch,
    skep::{ProgramError, prelude::*, run},
};

fn main() -> Result<(), ProgramError> {
    run(framework_info("batch"), |_| Ok(Batch::serving()))
}
