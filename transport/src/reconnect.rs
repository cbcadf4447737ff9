//! Dialling until it works.

use crate::{address::Address, connection::Connection, dial_error::DialError, dialer::Dialer};
use backon::{ExponentialBuilder, Retryable};
use std::{ops::ControlFlow, time::Duration};

/// The wait after a first failure, about.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait, less its random part, which is at most as long again: 10 s in all. The random
/// part keeps a thousand agents from dialling a restarted master in the same moment.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest wait while masters elect.
const ELECTION_WAIT_MAX: Duration = Duration::from_millis(500);

/// Dials with growing pauses until a master answers. Cancelled by being dropped.
///
/// Each failure goes to `failed`, which may give up: a person at a terminal should not wait where
/// [`DialError::is_lasting`], while an agent goes on, since clocks and masters get mended.
///
/// # Errors
/// The last failure, if `failed` gave up.
pub async fn reconnect(
    dialer: &Dialer,
    addresses: &[Address],
    mut failed: impl FnMut(&DialError) -> ControlFlow<()>,
) -> Result<Connection, DialError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(WAIT_MIN)
        .with_max_delay(WAIT_MAX)
        .with_jitter()
        .without_max_times();
    (|| dialer.dial(addresses))
        .retry(pauses)
        .when(|error| {
            tracing::debug!(%error, "a dial failed");
            failed(error).is_continue()
        })
        // A standby answered, so a leader is about to be: waiting longer each time would miss it.
        .adjust(|error, pause| {
            pause.map(|pause| if error.is_standby() { pause.min(ELECTION_WAIT_MAX) } else { pause })
        })
        .await
}
