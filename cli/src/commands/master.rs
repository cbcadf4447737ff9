//! `skep master`.

use crate::{args, failure::Result, output, signals::stop_signal};
use skep_framework::identities;
use skep_master::{Config, Keep, Master, Policy};

pub(super) async fn master(args: args::Master) -> Result {
    let keep = Keep::Folder(args.data);
    let config = Config { listen: args.listen, keep, policy: Policy::default() };
    let mut master = Master::start(config).await?;
    let address = args.advertise.unwrap_or_else(|| master.address().to_string());
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

/// Leaves this user an operator's identity for the master, so that its commands need no token.
pub(super) fn keep_operator(master: &Master, address: &str) -> Result {
    let address: skep_transport::Address = address.parse()?;
    let mut names = vec![address.to_string()];
    if master.address().ip().is_unspecified() {
        names.push(format!("127.0.0.1:{}", master.address().port()));
    }
    for name in names {
        if let Some(folder) = identities::dir_for(&name) {
            master.operator().save(&folder)?;
        }
    }
    Ok(())
}
