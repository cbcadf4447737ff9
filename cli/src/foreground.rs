//! A framework of a command that waits for it: it lives no longer than its command.
//!
//! However the command ends, so does the framework with all its tasks: torn down at the master when
//! the command is done or told to end, and else removed by the master, a failover time-out after it
//! has last heard of the command. That is short: [`FAILOVER_TIMEOUT`] if nobody says otherwise.

use crate::{
    failure::{Result, Sentence},
    signals::told_to_end,
    stdout,
};
use skep_framework::{Cluster, Ending, RunError, Scheduler};
use skep_protocol::{Rejection, framework::FrameworkInfo};
use std::time::Duration;

/// How long the tasks of a command live on that the master has lost: it connects again, or is gone.
/// With the silence after which a connection counts as broken it is well below two minutes.
pub(crate) const FAILOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a framework of this command until its scheduler stops it.
///
/// # Errors
/// That it was refused, or that the command is told to end: then the framework has ended, too.
pub(crate) async fn run(
    cluster: &Cluster,
    info: FrameworkInfo,
    scheduler: &mut impl Scheduler,
) -> Result {
    let mut signal = None;
    let told = async { signal = Some(told_to_end().await) };
    let ended = cluster.run_until(info, scheduler, told).await;
    see_off(ended)?;
    signal.map_or(Ok(()), |signal| Err(signal.failure()))
}

/// What the end of a framework means for its command. That no master has confirmed it is said and
/// is no failure: the framework ends by itself.
///
/// # Errors
/// That the master does not want the framework.
pub(crate) fn see_off(ended: std::result::Result<Ending, RunError>) -> Result {
    match ended {
        Ok(Ending::Done | Ending::Paused) => Ok(()),
        Ok(Ending::Refused(Rejection::UnknownFramework { framework })) => {
            let why = format!(
                "the master has removed this command's framework {framework} and killed its \
                 tasks: an operator ordered it, or the master heard nothing of this command for \
                 longer than --failover-timeout"
            );
            Err(Sentence(why).into())
        }
        Ok(Ending::Refused(rejection)) => Err(rejection.into()),
        Err(unheard @ RunError::Unheard { .. }) => {
            stdout::say(&format!("skep: {unheard}\n"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
