//! How a long-running command is told to end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until somebody wants this process to stop.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
