//! Words of `skep master`, `skep store`, `skep backup` and `skep restore`.

use super::Client;
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
    /// Where several masters share authority and records: etcd://HOST:PORT,... or, with TLS,
    /// https://HOST:PORT,...; with /NAME behind it for one of several clusters
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
    #[command(flatten)]
    pub(crate) access: EtcdAccess,
}

/// The way into etcd. The password comes by the environment alone: command lines are seen by all.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Etcd")]
pub(crate) struct EtcdAccess {
    /// Authorities that etcd's certificates are by, in a PEM file; for https://
    #[arg(long, env = "SKEP_ETCD_CA", value_name = "FILE")]
    pub(crate) etcd_ca: Option<PathBuf>,
    /// Our certificate for etcd, in a PEM file
    #[arg(long, env = "SKEP_ETCD_CERT", value_name = "FILE", requires = "etcd_key")]
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Its private key, in a PEM file
    #[arg(long, env = "SKEP_ETCD_KEY", value_name = "FILE", requires = "etcd_cert")]
    pub(crate) etcd_key: Option<PathBuf>,
    /// User of etcd; its password is read from the variable SKEP_ETCD_PASSWORD
    #[arg(long, env = "SKEP_ETCD_USER", value_name = "NAME")]
    pub(crate) etcd_user: Option<String>,
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
    /// The etcd: etcd://HOST:PORT,... or https://HOST:PORT,...; with /NAME behind it for one of
    /// several clusters
    #[arg(long, env = "SKEP_STORE", value_name = "ETCD")]
    pub(crate) store: Etcd,
    /// File of the key to what is sealed in etcd; made if it is not there and they go to etcd
    /// [default: store.key in the folder]
    #[arg(long, env = "SKEP_STORE_KEY", value_name = "FILE")]
    pub(crate) store_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: EtcdAccess,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StorePlace {
    /// To etcd: one master becomes several
    Etcd,
    /// To the folder: several become one
    Folder,
}

/// Where to back up from: a master that runs, or the folder of one that does not.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// File to make; it holds the private key of the cluster's authority, so that whoever can read
    /// it owns the cluster: only you can (mode 0600), and it is to be kept like a password
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// With the blobs: modules and inputs that were stored
    #[arg(long)]
    pub(crate) blobs: bool,
    #[command(flatten)]
    pub(crate) client: Client,
    /// Folder of a master that is stopped, to back up from it and not from a running one
    #[arg(long, alias = "data-dir", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The etcd that stopped masters share: etcd://HOST:PORT,... or https://HOST:PORT,...
    #[arg(long, value_name = "ETCD", requires = "data")]
    pub(crate) store: Option<Etcd>,
    /// File of the key to what is sealed in etcd [default: store.key in the folder]
    #[arg(long, value_name = "FILE", requires = "store")]
    pub(crate) store_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: EtcdAccess,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What `skep backup` made
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Folder of the master, which is made if it is not there; blobs go there in any case
    #[arg(
        long,
        alias = "data-dir",
        env = "SKEP_DATA",
        default_value = "skep-master",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
    /// Where several masters are to share authority and records: etcd://HOST:PORT,... or
    /// https://HOST:PORT,...; with /NAME behind it for one of several clusters
    /// [default: in the folder, for one master alone]
    #[arg(long, env = "SKEP_STORE", value_name = "ETCD")]
    pub(crate) store: Option<Etcd>,
    /// File of the key to what is sealed in etcd; made if it is not there
    /// [default: store.key in the folder]
    #[arg(long, env = "SKEP_STORE_KEY", value_name = "FILE", requires = "store")]
    pub(crate) store_key: Option<PathBuf>,
    /// Replace the cluster that is there already: all its records and its authority
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) access: EtcdAccess,
}
