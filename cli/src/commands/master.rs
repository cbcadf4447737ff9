//! `skep master`.

use crate::{args, failure::Result, output, signals::stop_signal};
use skep_framework::identities;
use skep_master::{Config, Keep, Master, Policy};
use skep_transport::Address;
use std::net::SocketAddr;

pub(super) async fn master(args: args::Master) -> Result {
    let keep = Keep::Folder(args.data);
    let policy =
        Policy { region: args.region, offer_timeout: args.offer_timeout.0, ..Policy::default() };
    let config = Config { listen: args.listen, keep, policy };
    let mut master = Master::start(config).await?;
    let address = args.advertise.unwrap_or_else(|| reachable(master.address()));
    keep_operator(&master, &address)?;
    output::print(&format!(
        "master {} listens on {}",
        master.operator().cluster(),
        master.address()
    ))?;
    output::print(&format!(
        "Next:  skep token create --role agent --master {address}   (prints how an agent joins)"
    ))?;
    tokio::select! {
        ended = master.ended() => Ok(ended?),
        stopped = stop_signal() => {
            stopped?;
            master.stop().await;
            Ok(())
        }
    }
}

/// How others on the network name a listening address: one that means "all of this machine" cannot
/// be dialled, the machine's name can.
fn reachable(listening: SocketAddr) -> String {
    if listening.ip().is_unspecified() {
        let name = rustix::system::uname();
        return format!("{}:{}", name.nodename().to_string_lossy(), listening.port());
    }
    listening.to_string()
}

/// Leaves this user an operator's identity for the master, so that its commands need no token:
/// for the address that others use, and for those that work on this machine.
pub(super) fn keep_operator(master: &Master, address: &str) -> Result {
    let advertised: Address = address.parse()?;
    let port = master.address().port();
    let local = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
    for name in [advertised.to_string(), master.address().to_string()].iter().chain(&local) {
        if let Some(folder) = identities::dir_for(name) {
            master.operator().save(&folder)?;
        }
    }
    Ok(())
}
