//! What a task may see of the world. The default grants nothing but a clock and random numbers.

use crate::{
    bounds::{DIRS_MAX, HOSTNAME_BYTES_MAX, ID_BYTES_MAX, NETWORK_MAX},
    ids::Digest,
    rejection::Rejection,
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// What a task may see of the world. The default grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// The environment, besides the `SKEP_*` names that every task gets.
    pub env: BTreeMap<String, String>,
    /// Standard input: a blob that the master holds. None: closed.
    pub stdin: Option<Digest>,
    /// Directories.
    pub dirs: Vec<DirGrant>,
    /// Which clock it reads.
    pub clock: Clock,
    /// Which random numbers it draws.
    pub random: Random,
    /// The peers that it may connect to; components only.
    pub network: BTreeSet<NetGrant>,
    /// Whether it may speak as a framework: subscribe, take offers, launch tasks.
    #[serde(skip_serializing_if = "is_false")]
    pub framework: bool,
    /// Whether it may import what opens the network though it is granted no peer: interpreters do,
    /// whatever they run. Each call is denied.
    #[serde(skip_serializing_if = "is_false")]
    pub network_denied: bool,
    /// Standard input is a stream, which the framework feeds while the task runs: it is there once
    /// and kept nowhere. Not together with `stdin`.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_stream: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Grants {
    /// Whether a run depends on nothing but module, arguments and inputs: the same ones give the
    /// same output, fuel and exit on every machine.
    pub fn is_deterministic(&self) -> bool {
        matches!(self.clock, Clock::Virtual { .. })
            && matches!(self.random, Random::Seeded { .. })
            && self.network.is_empty()
            && !self.framework
    }
}

/// A clock that a guest reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The machine's.
    #[default]
    Real,
    /// One that stands still; waits take their real time.
    Fixed {
        /// What it shows.
        at: Time,
    },
    /// One that the guest's own work moves: by a nanosecond for each unit of fuel, and by each
    /// wait for as long as was asked for. Nobody waits in earnest.
    Virtual {
        /// What it shows at the guest's first instruction.
        start: Time,
    },
}

impl Clock {
    /// Where a virtual clock starts that is not told otherwise: 2000-01-01, by which every
    /// program's idea of a plausible date is met.
    pub const VIRTUAL_START: Time = Time::from_micros(946_684_800_000_000);
}

/// Where a guest's random numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Random {
    /// The operating system.
    #[default]
    Real,
    /// A generator with this seed (ChaCha12): the same numbers every time. No secrets!
    Seeded {
        /// The seed.
        seed: u64,
    },
}

/// One directory that a task may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirGrant {
    /// Which directory of the node.
    pub source: DirSource,
    /// What the guest calls it, such as `/data` or `.`.
    pub guest: String,
    /// What it may do there.
    #[serde(default)]
    pub access: Access,
}

impl DirGrant {
    /// A directory to read and write.
    pub fn read_write(source: DirSource, guest: impl Into<String>) -> Self {
        Self { source, guest: guest.into(), access: Access::ReadWrite }
    }
}

/// A directory of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirSource {
    /// The task's own empty folder, gone with its sandbox.
    Sandbox,
    /// A folder of the machine, by absolute path. Only an agent whose operator is the user (a
    /// private cluster) allows it.
    Host(String),
    /// A folder that the agent's operator named.
    Volume(String),
}

/// What a task may do with a directory.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read what is there.
    ReadOnly,
    /// Read, write, create and remove.
    #[default]
    ReadWrite,
}

/// A peer that a task may connect to: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetGrant {
    /// A DNS name, or an IP address without brackets.
    pub host: String,
    /// A TCP or UDP port, not 0.
    pub port: u16,
}

/// A text is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no peer: write host:port, such as example.org:443 or [::1]:80")]
pub struct NetGrantError {
    text: String,
}

impl FromStr for NetGrant {
    type Err = NetGrantError;

    fn from_str(text: &str) -> Result<Self, NetGrantError> {
        let error = || NetGrantError { text: text.chars().take(ID_BYTES_MAX).collect() };
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let grant = Self {
            host: inner.unwrap_or(host).to_ascii_lowercase(),
            port: port.parse().map_err(|_| error())?,
        };
        grant.check().map(|()| grant).ok_or_else(error)
    }
}

impl NetGrant {
    fn check(&self) -> Option<()> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        let fits = (1..=HOSTNAME_BYTES_MAX).contains(&self.host.len());
        (self.port != 0 && fits && self.host.bytes().all(letter)).then_some(())
    }
}

impl fmt::Display for NetGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl From<NetGrant> for String {
    fn from(grant: NetGrant) -> Self {
        grant.to_string()
    }
}

impl TryFrom<String> for NetGrant {
    type Error = NetGrantError;

    fn try_from(text: String) -> Result<Self, NetGrantError> {
        text.parse()
    }
}

impl Grants {
    pub(super) fn check(&self) -> Result<(), Rejection> {
        self.check_env()?;
        if self.dirs.len() > DIRS_MAX {
            return Err(Rejection::invalid("grants.dirs", "at most 32 directories"));
        }
        let mut guests = BTreeSet::new();
        for dir in &self.dirs {
            if !guests.insert(&dir.guest) {
                let why = format!("the guest path {:?} is granted twice", dir.guest);
                return Err(Rejection::invalid("grants.dirs", why));
            }
            dir.check().map_err(|why| Rejection::invalid("grants.dirs", why))?;
        }
        if self.network.len() > NETWORK_MAX {
            return Err(Rejection::invalid("grants.network", "at most 64 peers"));
        }
        if let Some(peer) = self.network.iter().find(|peer| peer.check().is_none()) {
            let why = format!("{peer} is no peer: a name or address, and a port that is not 0");
            return Err(Rejection::invalid("grants.network", why));
        }
        self.check_stdin()?;
        self.check_determinism()
    }

    /// A stream is there once: what may need it again must be given a blob.
    fn check_stdin(&self) -> Result<(), Rejection> {
        let why = match (self.stdin_stream, self.stdin, self.is_deterministic()) {
            (true, Some(_), _) => "standard input is a blob or a stream, not both",
            (true, None, true) => "a deterministic task can be run again: give it a blob",
            _ => return Ok(()),
        };
        Err(Rejection::invalid("grants.stdin_stream", why))
    }

    fn check_env(&self) -> Result<(), Rejection> {
        let texts = self.env.iter().flat_map(|(k, v)| [k.as_str(), v.as_str()]);
        super::check_list("grants.env", texts)?;
        if let Some(name) = self.env.keys().find(|k| k.is_empty() || k.contains('=')) {
            return Err(Rejection::invalid("grants.env", format!("{name:?} is no variable name")));
        }
        if let Some(name) = self.env.keys().find(|k| k.starts_with("SKEP_")) {
            let why =
                format!("{name} is skep's own: names that begin with SKEP_ are set by the agent");
            return Err(Rejection::invalid("grants.env", why));
        }
        Ok(())
    }

    /// A virtual clock makes a promise that writing where others read and write would break.
    fn check_determinism(&self) -> Result<(), Rejection> {
        let shared =
            |dir: &&DirGrant| dir.source != DirSource::Sandbox && dir.access == Access::ReadWrite;
        match self.dirs.iter().find(shared) {
            Some(dir) if self.is_deterministic() => {
                let why = format!(
                    "{:?} is to be written by a deterministic task: grant it read-only, or the \
                     task's own folder",
                    dir.guest
                );
                Err(Rejection::invalid("grants.dirs", why))
            }
            _ => Ok(()),
        }
    }
}

impl DirGrant {
    fn check(&self) -> Result<(), String> {
        if self.guest.is_empty() || self.guest.contains('\0') {
            return Err("a guest path is empty or has a NUL".into());
        }
        match &self.source {
            DirSource::Host(path) if !path.starts_with('/') => {
                Err(format!("the host path {path:?} is not absolute"))
            }
            DirSource::Host(path) if path.contains('\0') => {
                Err(format!("the host path {path:?} has a NUL"))
            }
            DirSource::Volume(name) if crate::ids::TaskId::new(name).is_err() => Err(format!(
                "{name:?} is no volume's name: letters, digits, '.', '_' and '-', 128 at most"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_peer_is_a_host_and_a_port() {
        let read = |text: &str| text.parse::<NetGrant>().map(|peer| (peer.host, peer.port));
        assert_eq!(read("Example.org:443"), Ok(("example.org".into(), 443)));
        assert_eq!(read("[::1]:80"), Ok(("::1".into(), 80)));
        for wrong in ["", "host", ":80", "host:0", "host:70000", "a b:80", "host/path:80"] {
            read(wrong).expect_err(wrong);
        }
        assert_eq!("[::1]:80".parse::<NetGrant>().expect("a peer").to_string(), "[::1]:80");
    }

    #[test]
    fn a_run_is_deterministic_if_nothing_of_the_world_gets_in() {
        let clock = Clock::Virtual { start: Clock::VIRTUAL_START };
        let mut grants = Grants { clock, random: Random::Seeded { seed: 1 }, ..Grants::default() };
        assert!(grants.is_deterministic());
        assert_eq!(grants.check(), Ok(()));
        grants.dirs.push(DirGrant::read_write(DirSource::Volume("v".into()), "/v"));
        grants.check().expect_err("others write there");
        grants.dirs[0].access = Access::ReadOnly;
        assert_eq!(grants.check(), Ok(()));
        grants.network.insert("example.org:443".parse().expect("a peer"));
        assert!(!grants.is_deterministic());
    }

    /// So that tests of time agree with the constant: the first of January 2000, in seconds.
    #[test]
    fn a_virtual_clock_starts_with_the_year_2000() {
        let since = Clock::VIRTUAL_START.since(Time::ZERO);
        assert_eq!(since, Duration::from_secs(946_684_800));
    }
}
