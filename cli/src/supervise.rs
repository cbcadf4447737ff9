//! The supervisor of hosted schedulers, beside a master of this process.

use skep_framework::{Cluster, Ending};
use skep_master::{Leads, Master};
use skep_supervisor::{Supervisor, info};
use skep_transport::{Address, Identity};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{select, task::JoinHandle, time::sleep};

/// How long to wait before the supervisor is started anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a supervisor whenever the master leads; ends with the master or when it is aborted.
pub(crate) fn start(master: &Master) -> JoinHandle<()> {
    let mut address = master.address();
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let identity = master.supervisor().clone();
    tokio::spawn(supervise(address.into(), identity, master.leads()))
}

async fn supervise(address: Address, identity: Identity, mut leads: Leads) {
    while leads.begun().await {
        select! {
            () = serve(&address, &identity) => sleep(PAUSE).await,
            // Another master leads, and its own supervisor takes over.
            () = leads.over() => {}
        }
    }
}

async fn serve(address: &Address, identity: &Identity) {
    let cluster = match Cluster::connect(vec![address.clone()], identity).await {
        Ok(cluster) => cluster,
        Err(error) => return tracing::warn!(%error, "the supervisor cannot reach its master"),
    };
    match cluster.run(info(), &mut Supervisor::default()).await {
        Ok(Ending::Refused(why)) => tracing::warn!(%why, "the supervisor was refused"),
        Ok(Ending::Done | Ending::Paused) => {}
        Err(error) => tracing::warn!(%error, "the supervisor ended"),
    }
    cluster.close().await;
}
