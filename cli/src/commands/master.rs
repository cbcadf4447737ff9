//! `skep master`.

use super::store;
use crate::{
    args,
    failure::{Result, Sentence},
    signals::told_to_end,
    stdout, supervise,
};
use skep_framework::identities;
use skep_master::{Config, Keep, Master, Policy, Shared};
use skep_transport::Address;

pub(super) async fn master(args: args::Master) -> Result {
    let policy =
        Policy { region: args.region, offer_timeout: args.offer_timeout.0, ..Policy::default() };
    let key = args.store_key.unwrap_or_else(|| args.data.join("store.key"));
    let keep = match args.store {
        None => Keep::Folder(args.data),
        Some(etcd) => {
            let etcd = store::with_access(etcd, args.access)?;
            let (folder, lease) = (args.data, args.lease.0);
            Keep::Shared(Shared { folder, etcd, key: key.clone(), lease })
        }
    };
    let shared = matches!(keep, Keep::Shared(_));
    let config = Config { listen: args.listen, advertise: args.advertise, keep, policy };
    let mut master = Master::start(config).await?;
    let supervisor = supervise::start(&master);
    let address = master.advertised().to_owned();
    keep_operator(&master, &address)?;
    stdout::announce(&format!(
        "master {} listens on {}",
        master.operator().cluster(),
        master.address()
    ))?;
    if shared {
        stdout::announce(&format!(
            "It leads or stands by, as etcd decides. Other masters need a copy of {} (--store-key)",
            key.display()
        ))?;
    }
    stdout::announce(&format!(
        "Next:  skep token create --role agent --master {address}   (prints how an agent joins)"
    ))?;
    tokio::select! {
        ended = master.ended() => Ok(ended?),
        _ = told_to_end() => {
            supervisor.abort();
            master.stop().await;
            Ok(())
        }
    }
}

/// Leaves this user an operator's identity for the master, so that its commands need no token:
/// for the address that others use, and for those that work on this machine.
pub(super) fn keep_operator(master: &Master, address: &str) -> Result {
    let advertised: Address = address.parse()?;
    let port = master.address().port();
    let local = ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}"));
    for name in [advertised.to_string(), master.address().to_string()].iter().chain(&local) {
        if let Some(folder) = identities::dir_for(name) {
            master.operator().save(&folder).map_err(|error| {
                Sentence(format!("{error}; set SKEP_CONFIG_DIR to a folder that you may write"))
            })?;
        }
    }
    Ok(())
}
