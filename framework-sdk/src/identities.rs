//! Where a person's identities live: one folder per master address, so that a second command
//! needs neither a token nor a flag.
//!
//! `$SKEP_CONFIG_DIR`, else `$XDG_CONFIG_HOME/skep`, else `$HOME/.config/skep`; below it
//! `clusters/<host_port>/` with the PEM files of [`skep_transport::Identity`].

use std::{env, path::PathBuf};

/// The folder of all that skep keeps for this user; none if no home is known.
pub fn config_dir() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SKEP_CONFIG_DIR")
        .or_else(|| Some(set("XDG_CONFIG_HOME")?.join("skep")))
        .or_else(|| Some(set("HOME")?.join(".config/skep")))
}

/// The folder of the identity for the master at `address` (`host:port`).
pub fn dir_for(address: &str) -> Option<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    let name: String = address.chars().map(plain).collect();
    Some(config_dir()?.join("clusters").join(name))
}
