//! Values that people type with units, each parsed once into what it means.

use crate::words::{self, NotText};
use clap::builder::{OsStringValueParser, TypedValueParser};
use skep_protocol::{
    Amount, Resources, TaskId, Time,
    task::{Access, Clock, NetGrant, NetGrantError},
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

/// Why a typed value is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UnitError(String);

fn error<T>(text: impl Into<String>) -> Result<T, UnitError> {
    Err(UnitError(text.into()))
}

/// A size, such as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(Self(size.as_u64())),
            Ok(_) => error("a size of zero leaves nothing to run in"),
            Err(_) => error(format!("{text:?} is no size: write bytes, or a unit as in 64MiB")),
        }
    }
}

impl Bytes {
    /// The size as `mem` resources: MiB in thousandths, rounded up.
    pub(crate) fn as_mem(self) -> Amount {
        let millis = (u128::from(self.0) * 1_000).div_ceil(1 << 20);
        Amount::millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// CPUs, such as `1` or `0.5`: more than none.
pub(crate) fn cpus(text: &str) -> Result<Amount, UnitError> {
    match text.parse::<Amount>() {
        Ok(Amount::ZERO) => error("a task needs a share of a processor, 0.001 at least"),
        Ok(cpus) => Ok(cpus),
        Err(why) => error(why.to_string()),
    }
}

/// Units of fuel, such as `1000` or `5G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fuel(pub(crate) u64);

impl FromStr for Fuel {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'K' | b'k') => (&text[..text.len() - 1], 1_000),
            Some(b'M') => (&text[..text.len() - 1], 1_000_000),
            Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
            Some(b'T') => (&text[..text.len() - 1], 1_000_000_000_000),
            _ => (text, 1),
        };
        match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)) {
            Some(fuel) if fuel > 0 => Ok(Self(fuel)),
            _ => error(format!("{text:?} is no amount of fuel: write 1000, 500K, 20M or 5G")),
        }
    }
}

/// A time, such as `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match humantime::parse_duration(text) {
            Ok(span) if span >= Duration::from_millis(1) => Ok(Self(span)),
            Ok(_) => error("a time below a millisecond leaves nothing to run in"),
            Err(_) => error(format!("{text:?} is no time: write a number and a unit, as in 90s")),
        }
    }
}

/// When something begins: at a moment, or a time from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    At(Time),
    In(Duration),
}

impl FromStr for Begin {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(span) = humantime::parse_duration(text) {
            return Ok(Self::In(span));
        }
        match moment(text) {
            Ok(time) => Ok(Self::At(time)),
            Err(_) => error(format!(
                "{text:?} is no time: write a moment as in 2026-01-01T00:00:00Z, or a time from \
                 now as in 2h"
            )),
        }
    }
}

/// A clock for a guest: `real`, `fixed:TIME`, `virtual` or `virtual:TIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockArg(pub(crate) Clock);

impl FromStr for ClockArg {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (kind, time) = match text.split_once(':') {
            Some((kind, time)) => (kind, Some(moment(time)?)),
            None => (text, None),
        };
        match (kind, time) {
            ("real", None) => Ok(Self(Clock::Real)),
            ("fixed", Some(at)) => Ok(Self(Clock::Fixed { at })),
            ("virtual", start) => {
                Ok(Self(Clock::Virtual { start: start.unwrap_or(Clock::VIRTUAL_START) }))
            }
            _ => error(format!(
                "{text:?} is no clock: write real, fixed:2026-01-01T00:00:00Z or virtual"
            )),
        }
    }
}

fn moment(text: &str) -> Result<Time, UnitError> {
    let moment = text.parse::<jiff::Timestamp>().ok();
    match moment.and_then(|moment| u64::try_from(moment.as_microsecond()).ok()) {
        Some(micros) => Ok(Time::from_micros(micros)),
        None => error(format!("{text:?} is no time: write it as in 2026-01-01T00:00:00Z")),
    }
}

/// A range of indices, such as `1-100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl FromStr for IndexRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            (Ok(_), Ok(_)) => error(format!("{text:?} runs backwards: write the smaller first")),
            _ => error(format!("{text:?} is no range of indices: write A-B, as in 1-100")),
        }
    }
}

/// `HOST[::GUEST][:ro]`: a directory here, what the guest calls it, and whether it may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostDir {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) access: Access,
}

impl HostDir {
    /// What reads one on the command line.
    pub(crate) fn reader() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(Self::read)
    }

    pub(crate) fn read(word: OsString) -> Result<Self, UnitError> {
        let (names, access) = match word.as_bytes().strip_suffix(READ_ONLY.as_bytes()) {
            Some(names) => (OsStr::from_bytes(names), Access::ReadOnly),
            None => (word.as_os_str(), Access::ReadWrite),
        };
        let (host, guest) = words::split_once(names, "::").unwrap_or((names, names));
        if host.is_empty() || guest.is_empty() {
            return error(format!(
                "\"{}\" is no directory: write HOST or HOST::GUEST, and :ro behind it if it is \
                 only to be read",
                words::shown(&word),
            ));
        }
        let why = "what a guest calls a directory is: say it behind ::";
        let guest = words::text(guest, why).or_else(|refused| error(refused.to_string()))?;
        Ok(Self { host: host.into(), guest, access })
    }
}

const READ_ONLY: &str = ":ro";

/// What stands before `:ro`, and what it means that it is there or is not.
pub(crate) fn with_access(text: &str) -> (&str, Access) {
    match text.strip_suffix(READ_ONLY) {
        Some(text) => (text, Access::ReadOnly),
        None => (text, Access::ReadWrite),
    }
}

/// `NAME[::GUEST][:ro]`: a volume of the agent, what the guest calls it, and whether it may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeDir {
    pub(crate) name: String,
    pub(crate) guest: String,
    pub(crate) access: Access,
}

impl FromStr for VolumeDir {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (names, access) = with_access(text);
        let (name, guest) = match names.split_once("::") {
            Some((name, guest)) => (name, guest.to_owned()),
            None => (names, format!("/{names}")),
        };
        if !is_volume_name(name) || guest.is_empty() {
            return error(format!(
                "{text:?} is no volume: write NAME or NAME::GUEST, and :ro behind it if it is only \
                 to be read"
            ));
        }
        Ok(Self { name: name.into(), guest, access })
    }
}

/// Volumes are named as tasks are.
pub(crate) fn is_volume_name(name: &str) -> bool {
    TaskId::new(name).is_ok()
}

/// A peer that a guest may connect to, or `none`: whatever it imports, it may connect to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    None,
    Peer(NetGrant),
}

impl FromStr for Net {
    type Err = NetGrantError;

    fn from_str(text: &str) -> Result<Self, NetGrantError> {
        match text {
            "none" => Ok(Self::None),
            peer => peer.parse().map(Self::Peer),
        }
    }
}

/// `K=V`, or `K` for the value it has here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Env {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// A variable that is to be passed on cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("the environment has no {0} to pass on: write --env {0}=VALUE")]
    Missing(String),
    #[error("the variable {0}, which --env {0} passes on: {1}")]
    NotText(String, NotText),
}

impl Env {
    /// Its value, which may be the one that it has `here`.
    pub(crate) fn value(
        &self,
        here: impl Fn(&str) -> Option<OsString>,
    ) -> Result<String, EnvError> {
        if let Some(value) = &self.value {
            return Ok(value.clone());
        }
        let name = || self.name.clone();
        let value = here(&self.name).ok_or_else(|| EnvError::Missing(name()))?;
        words::text(&value, words::TOLD).map_err(|why| EnvError::NotText(name(), why))
    }
}

impl FromStr for Env {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return error(format!("{text:?} sets no variable: write K=V, or K to pass it on"));
        }
        Ok(Self { name: name.into(), value })
    }
}

/// A resource list, as `skep_protocol::Resources` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalars(pub(crate) Resources);

impl FromStr for Scalars {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.parse::<Resources>() {
            Ok(resources) if resources.is_empty() => error("an agent with nothing to offer"),
            Ok(resources) => Ok(Self(resources)),
            Err(why) => error(why.to_string()),
        }
    }
}

/// `name:value` pairs, separated by `;`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) BTreeMap<String, String>);

impl FromStr for Attributes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut attributes = BTreeMap::new();
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once(':') else {
                return error(format!("{pair:?} is no attribute: write name:value, as in zone:a"));
            };
            if attributes.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
                return error(format!("the attribute {name:?} stands twice"));
            }
        }
        Ok(Self(attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_mem_without_loss_of_a_byte() {
        assert_eq!("1MiB".parse(), Ok(Bytes(1 << 20)));
        assert_eq!(Bytes(1 << 20).as_mem(), Amount::units(1));
        assert_eq!(Bytes(1).as_mem(), Amount::millis(1));
        assert!("0".parse::<Bytes>().is_err());
        assert!("much".parse::<Bytes>().is_err());
    }

    #[test]
    fn no_cpus_or_less_than_a_thousandth_are_refused() {
        assert_eq!(cpus("0.001"), Ok(Amount::millis(1)));
        for bad in ["0", "0.000", "0.0004", "-1", "one"] {
            assert!(cpus(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn fuel_takes_decimal_suffixes() {
        assert_eq!("1000".parse(), Ok(Fuel(1_000)));
        assert_eq!("5G".parse(), Ok(Fuel(5_000_000_000)));
        for bad in ["", "0", "G", "-1", "1.5M", "99999999999999999999"] {
            assert!(bad.parse::<Fuel>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn ranges_directories_and_variables_say_what_they_want() {
        assert_eq!("3-5".parse(), Ok(IndexRange { first: 3, last: 5 }));
        assert_eq!("7".parse(), Ok(IndexRange { first: 7, last: 7 }));
        assert!("5-3".parse::<IndexRange>().is_err());
        let dir = |access| HostDir { host: "in".into(), guest: "/data".into(), access };
        let read = |word: &[u8]| HostDir::read(OsStr::from_bytes(word).to_owned());
        assert_eq!(read(b"in::/data"), Ok(dir(Access::ReadWrite)));
        assert_eq!(read(b"in::/data:ro"), Ok(dir(Access::ReadOnly)));
        read(b"::x").expect_err("it has no host");
        let foreign = read(b"caf\xe9::d").expect("a directory");
        assert_eq!((foreign.host.as_os_str().len(), foreign.guest.as_str()), (4, "d"));
        let refused = read(b"caf\xe9").expect_err("the guest's name is no text").to_string();
        assert!(refused.starts_with("\"caf\\xE9\" is not UTF-8"), "{refused}");
        let volume =
            |guest: &str, access| VolumeDir { name: "in".into(), guest: guest.into(), access };
        assert_eq!("in".parse(), Ok(volume("/in", Access::ReadWrite)));
        assert_eq!("in::d:ro".parse(), Ok(volume("d", Access::ReadOnly)));
        for bad in ["", ":ro", "::d", "in::", "a/b"] {
            assert!(bad.parse::<VolumeDir>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("A=b=c".parse(), Ok(Env { name: "A".into(), value: Some("b=c".into()) }));
        assert_eq!("A".parse(), Ok(Env { name: "A".into(), value: None }));
        assert!("=x".parse::<Env>().is_err());
    }
}
