//! The thread that starts executors.
//!
//! An executor asks the kernel to be killed when its parent ends, and the kernel means the thread
//! that started it. The runtime's threads come and go; this one lives as long as the agent.

use std::{io, sync::mpsc, thread};
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

/// See the module. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub(crate) struct Spawner(mpsc::Sender<Order>);

struct Order {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Spawner {
    /// Starts the thread. To be called within a tokio runtime, which then waits for the children.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<Order>();
        let runtime = Handle::current();
        thread::Builder::new().name("spawner".into()).spawn(move || {
            let _guard = runtime.enter();
            for Order { mut command, reply } in orders {
                // Who no longer waits drops the child, which ends it.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self(sender))
    }

    pub(crate) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.0.send(Order { command, reply }).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
