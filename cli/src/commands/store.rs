//! `skep store`.

use crate::{
    args::{Migrate, StorePlace},
    failure::Result,
    output,
};
use skep_master::{Way, migrate};

pub(super) fn move_store(args: Migrate) -> Result {
    let key = args.store_key.unwrap_or_else(|| args.data.join("store.key"));
    let (way, next) = match args.to {
        StorePlace::Etcd => {
            (Way::ToEtcd, format!("with --store, and with copies of {}", key.display()))
        }
        StorePlace::Folder => (Way::ToFolder, "without --store; etcd keeps what it has".into()),
    };
    let count = migrate(&args.data, &args.store, &key, way)?;
    output::print(&format!("{count} records and the authority are moved: start masters {next}"))?;
    Ok(())
}
