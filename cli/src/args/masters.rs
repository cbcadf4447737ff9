//! Words of `skep master` and `skep store`.

use crate::units::Span;
use clap::{Args, Subcommand, ValueEnum};
use skep_master::Etcd;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Master {
    /// Address to listen on: with UDP for agents and commands, with TCP for the HTTP API
    #[arg(long, env = "SKEP_LISTEN", default_value = "0.0.0.0:5050", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Address that others reach this master at, host:port [default: the listening address]
    #[arg(long, env = "SKEP_ADVERTISE", value_name = "ADDR")]
    pub(crate) advertise: Option<String>,
    /// Folder of what the master keeps: authority, records, blobs
    #[arg(long, env = "SKEP_DATA", default_value = "skep-master", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where several masters share authority and records: etcd://HOST:PORT,...; with /NAME behind
    /// it for one of several clusters
    /// [default: in the folder, for one master alone]
    #[arg(long, env = "SKEP_STORE", value_name = "ETCD")]
    pub(crate) store: Option<Etcd>,
    /// File of the key to what is sealed in etcd; the first master makes it, the others need a copy
    /// [default: store.key in the folder]
    #[arg(long, env = "SKEP_STORE_KEY", value_name = "FILE", requires = "store")]
    pub(crate) store_key: Option<PathBuf>,
    /// How long a leader that etcd hears nothing of still leads; whole seconds, 2s at least
    #[arg(long, env = "SKEP_LEASE", default_value = "10s", value_name = "TIME")]
    pub(crate) lease: Span,
    /// How long an offer waits for its answer before the next one gets it
    #[arg(long, env = "SKEP_OFFER_TIMEOUT", default_value = "30s", value_name = "TIME")]
    pub(crate) offer_timeout: Span,
    /// Region that this master is in; agents of others are offered only to frameworks that know of
    /// regions
    #[arg(long, env = "SKEP_REGION", value_name = "NAME")]
    pub(crate) region: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Move authority and records from a folder to etcd, or back, while no master runs
    Migrate(Migrate),
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Where they go; what is moved out of a folder is put aside in it
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: StorePlace,
    /// Folder of the master
    #[arg(long, env = "SKEP_DATA", default_value = "skep-master", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The etcd: etcd://HOST:PORT,...; with /NAME behind it for one of several clusters
    #[arg(long, env = "SKEP_STORE", value_name = "ETCD")]
    pub(crate) store: Etcd,
    /// File of the key to what is sealed in etcd; made if it is not there and they go to etcd
    /// [default: store.key in the folder]
    #[arg(long, env = "SKEP_STORE_KEY", value_name = "FILE")]
    pub(crate) store_key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StorePlace {
    /// To etcd: one master becomes several
    Etcd,
    /// To the folder: several become one
    Folder,
}
