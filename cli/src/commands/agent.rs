//! `skep agent`: joins once, then serves.

use crate::{
    args,
    failure::{Result, Sentence},
    signals::told_to_end,
    stdout,
};
use skep_agent::{Config, HostDirs};
use skep_protocol::{Resources, Role};
use skep_transport::{Address, Identity, join};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

pub(super) async fn agent(args: args::AgentStart) -> Result {
    let addresses: Vec<Address> = args
        .master
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse())
        .collect::<std::result::Result<_, _>>()?;
    let identity = identity(&args, &addresses).await?;
    stdout::announce(&format!("agent {} of {}", identity.name().id(), identity.cluster()))?;
    let config = Config {
        cache_dir: args.work.join("cache"),
        records: skep_agent::Records::File(args.work.join("agent.redb")),
        work_dir: args.work,
        program: std::env::current_exe()?,
        resources: args.resources.map(|scalars| scalars.0),
        revocable: args.place.revocable.map(|scalars| scalars.0).unwrap_or_default(),
        region: args.place.region,
        zone: args.place.zone,
        reserved: reserved(args.reserved),
        attributes: args.attributes.0,
        cache_bytes_max: args.cache_size.0,
        module_limits: args.module_limits,
        host_dirs: HostDirs::Refused,
        volumes: args.volumes.into_iter().map(|named| (named.name, named.volume)).collect(),
        network: args.network,
        sandbox: args.walls.mode(),
        group: args.cgroup.into(),
        at_stop: args.at_stop.into(),
        alone_max: args.alone_max.0,
        // Who is not root cannot become another.
        users: args.uid_range.0.filter(|_| rustix::process::geteuid().is_root()),
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(skep_agent::run(config, addresses, identity, stop.clone()));
    tokio::spawn(async move {
        told_to_end().await;
        stop.cancel();
    });
    Ok(running.await??)
}

/// What is reserved for each role, all that was said of it together.
fn reserved(all: Vec<args::FixedReservation>) -> BTreeMap<Role, Resources> {
    let mut reserved: BTreeMap<Role, Resources> = BTreeMap::new();
    for args::FixedReservation { role, resources } in all {
        reserved.entry(role).or_default().add(&resources);
    }
    reserved
}

/// The identity in the work folder, or a new one by the join token.
async fn identity(args: &args::AgentStart, addresses: &[Address]) -> Result<Identity> {
    let folder = args.work.join("identity");
    if Identity::is_saved(&folder) {
        return Ok(Identity::load(&folder)?);
    }
    let Some(token) = &args.join else {
        let why = format!(
            "{} holds no identity yet: start the agent once with --join TOKEN, \
             from `skep token create --role agent` at the master",
            folder.display()
        );
        return Err(Sentence(why).into());
    };
    let identity = join(addresses, &token.parse()?, "agent").await?;
    identity.save(&folder)?;
    Ok(identity)
}
