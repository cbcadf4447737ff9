//! Resource vectors: named scalars in thousandths, added and compared exactly.
//!
//! Fixed point with three decimals, as in Mesos, so that sums do not depend on their order and
//! shares can be compared as integers. Always holds: no entry of a [`Resources`] is zero, so two
//! vectors that mean the same are equal.

use crate::bounds::RESOURCE_KINDS_MAX;
use serde::{Deserialize, Serialize, Serializer};
use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

/// CPUs; 1 is one hardware thread's time.
pub const CPUS: &str = "cpus";
/// Memory, in MiB.
pub const MEM: &str = "mem";
/// Disk, in MiB.
pub const DISK: &str = "disk";

/// A quantity of one resource, in thousandths of its unit.
///
/// Bounded by [`Amount::MAX`], so that sums over a million agents fit `u64` and products of two
/// amounts fit `u128`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount a text or a peer may state: a thousand million units.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// An amount of `units`.
    pub const fn units(units: u64) -> Self {
        Self(units * 1_000)
    }

    /// An amount of `millis` thousandths.
    pub const fn millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The amount in thousandths.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The amount in units, for showing; never for comparing.
    #[expect(clippy::cast_precision_loss, reason = "for eyes; comparisons are on the integer")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// The sum; saturates far above [`Amount::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or zero where `other` is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Amount> for f64 {
    fn from(amount: Amount) -> Self {
        amount.as_f64()
    }
}

impl TryFrom<f64> for Amount {
    type Error = ResourcesError;

    /// What JSON writes as 0.1 is 100 thousandths, and so is 0.1 with the error that computing it
    /// makes. A fourth decimal is refused, as in a text: it would be rounded, to nothing perhaps.
    fn try_from(units: f64) -> Result<Self, ResourcesError> {
        let not_an_amount = || ResourcesError::NotAnAmount { text: units.to_string() };
        if !units.is_finite() || units < 0.0 {
            return Err(not_an_amount());
        }
        let millis = units * 1_000.0;
        let error = 1e-6_f64.max(millis * 4.0 * f64::EPSILON);
        let is_rounded_off = units > 0.0 && millis < 0.5;
        if is_rounded_off || (millis - millis.round()).abs() > error {
            return Err(not_an_amount());
        }
        format!("{:.3}", units.abs()).parse()
    }
}

/// Why a text is no amount or no resource vector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// Not a decimal number with at most three decimals.
    #[error("{text:?} is no amount: write a number with at most three decimals, such as 0.5")]
    NotAnAmount {
        /// What was read.
        text: String,
    },
    /// Larger than [`Amount::MAX`].
    #[error("{text} is too much: an amount is at most 1000000000")]
    TooMuch {
        /// What was read.
        text: String,
    },
    /// Not `name:amount`.
    #[error("{text:?} is no resource: write name:amount, such as cpus:4;mem:8192")]
    NotAResource {
        /// What was read.
        text: String,
    },
    /// A name outside `a-z 0-9 _ -`.
    #[error("{name:?} is no resource name: use lower-case letters, digits, '_' and '-'")]
    BadName {
        /// What was read.
        name: String,
    },
    /// The same name twice.
    #[error("{name:?} stands twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// More kinds than [`RESOURCE_KINDS_MAX`].
    #[error("more than 32 kinds of resources")]
    TooManyKinds,
}

impl FromStr for Amount {
    type Err = ResourcesError;

    fn from_str(text: &str) -> Result<Self, ResourcesError> {
        let not_an_amount = || ResourcesError::NotAnAmount { text: text.into() };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
            return Err(not_an_amount());
        }
        let too_much = || ResourcesError::TooMuch { text: text.into() };
        let whole: u64 = whole.parse().map_err(|_| too_much())?;
        let decimals: u64 = format!("{decimals:0<3}").parse().map_err(|_| not_an_amount())?;
        let millis = whole.checked_mul(1_000).and_then(|m| m.checked_add(decimals));
        millis.map(Self).filter(|amount| *amount <= Self::MAX).ok_or_else(too_much)
    }
}

/// A vector of named amounts: what an agent has, an offer holds, a task needs.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>")]
pub struct Resources(Entries);

/// In the order of their names. A list, not a map: few vectors have more than three kinds, and each
/// task's is copied, added and compared all along its way.
type Entries = Vec<(Kind, Amount)>;

/// The name of a resource. The common ones need no memory of their own.
#[derive(Clone)]
enum Kind {
    Common(&'static str),
    Other(Arc<str>),
}

impl Kind {
    fn new(name: &str) -> Self {
        let common = [CPUS, MEM, DISK].into_iter().find(|common| *common == name);
        common.map_or_else(|| Self::Other(name.into()), Self::Common)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Common(name) => name,
            Self::Other(name) => name,
        }
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Resources {
    /// Nothing at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// A vector of cpus and memory, the commonest kind; `mem_mib` in MiB.
    pub fn new(cpus: Amount, mem_mib: Amount) -> Self {
        Self::none().with(CPUS, cpus).with(MEM, mem_mib)
    }

    /// The same vector with `name` set to `amount`.
    ///
    /// # Panics
    /// If `name` is no resource name; names from outside go through [`Resources::insert`].
    #[must_use]
    pub fn with(mut self, name: &str, amount: Amount) -> Self {
        assert!(is_name(name), "{name:?} is no resource name");
        self.set(name, amount);
        self
    }

    /// Adds a resource that a text or a peer named.
    ///
    /// # Errors
    /// [`ResourcesError`] for a bad or repeated name, too large an amount, or too many kinds.
    pub fn insert(&mut self, name: &str, amount: Amount) -> Result<(), ResourcesError> {
        if !is_name(name) {
            return Err(ResourcesError::BadName { name: name.chars().take(64).collect() });
        }
        if amount > Amount::MAX {
            return Err(ResourcesError::TooMuch { text: amount.to_string() });
        }
        if self.place(name).is_ok() {
            return Err(ResourcesError::Twice { name: name.into() });
        }
        if self.0.len() == RESOURCE_KINDS_MAX {
            return Err(ResourcesError::TooManyKinds);
        }
        self.set(name, amount);
        Ok(())
    }

    /// Where `name` stands, or would.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.0.iter().position(|(kind, _)| kind.as_str() >= name) {
            Some(place) if self.0[place].0.as_str() == name => Ok(place),
            Some(place) => Err(place),
            None => Err(self.0.len()),
        }
    }

    fn set(&mut self, name: &str, amount: Amount) {
        match (self.place(name), amount) {
            (Ok(place), Amount::ZERO) => drop(self.0.remove(place)),
            (Ok(place), amount) => self.0[place].1 = amount,
            (Err(_), Amount::ZERO) => {}
            (Err(place), amount) => self.0.insert(place, (Kind::new(name), amount)),
        }
    }

    /// How much of `name` there is.
    pub fn amount(&self, name: &str) -> Amount {
        self.place(name).map_or(Amount::ZERO, |place| self.0[place].1)
    }

    /// CPUs.
    pub fn cpus(&self) -> Amount {
        self.amount(CPUS)
    }

    /// Memory in MiB.
    pub fn mem(&self) -> Amount {
        self.amount(MEM)
    }

    /// Memory in bytes, rounded down.
    pub fn mem_bytes(&self) -> u64 {
        let bytes = u128::from(self.mem().as_millis()) * (1 << 20) / 1_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds and amounts, by name; none is zero.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Amount)> {
        self.0.iter().map(|(kind, amount)| (kind.as_str(), *amount))
    }

    /// Whether `other` fits into this, kind by kind.
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, amount)| self.amount(name) >= amount)
    }

    /// Adds `other` to this.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let sum = self.amount(name).plus(amount);
            self.set(name, sum);
        }
    }

    /// Takes `other` off; a kind of which there is less becomes zero.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let rest = self.amount(name).minus(amount);
            self.set(name, rest);
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }

    /// What is left of this without `other`, nowhere below zero.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// This, but of no kind more than `cap` has.
    #[must_use]
    pub fn at_most(&self, cap: &Self) -> Self {
        let smaller = |(kind, amount): &(Kind, Amount)| {
            let least = (*amount).min(cap.amount(kind.as_str()));
            (least > Amount::ZERO).then(|| (kind.clone(), least))
        };
        Self(self.0.iter().filter_map(smaller).collect())
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

impl fmt::Display for Resources {
    /// As the command line takes it: `cpus:4;mem:8192`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (i, (name, amount)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { ";" };
            write!(f, "{separator}{name}:{amount}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl FromStr for Resources {
    type Err = ResourcesError;

    fn from_str(text: &str) -> Result<Self, ResourcesError> {
        let mut resources = Self::none();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, amount) = part
                .split_once(':')
                .ok_or_else(|| ResourcesError::NotAResource { text: part.into() })?;
            resources.insert(name.trim(), amount.trim().parse()?)?;
        }
        Ok(resources)
    }
}

impl Serialize for Resources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl TryFrom<BTreeMap<String, f64>> for Resources {
    type Error = ResourcesError;

    fn try_from(map: BTreeMap<String, f64>) -> Result<Self, ResourcesError> {
        let mut resources = Self::none();
        for (name, units) in map {
            resources.insert(&name, units.try_into()?)?;
        }
        Ok(resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Resources {
        text.parse().expect("a resource vector")
    }

    #[test]
    fn amounts_are_exact_to_three_decimals() {
        assert_eq!("0.1".parse(), Ok(Amount::millis(100)));
        assert_eq!("2".parse(), Ok(Amount::units(2)));
        assert_eq!(Amount::millis(1_050).to_string(), "1.05");
        for bad in ["", ".", "1.", ".5", "-1", "1.2345", "1e3", "x"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?} was taken");
        }
        assert!(matches!("1000000001".parse::<Amount>(), Err(ResourcesError::TooMuch { .. })));
    }

    #[test]
    fn a_number_is_read_as_a_text_is_but_for_the_error_of_its_computation() {
        for (units, millis) in [(0.1, 100), (0.1 + 0.2, 300), (1e9, 1_000_000_000_000), (0.0, 0)] {
            assert_eq!(Amount::try_from(units), Ok(Amount::millis(millis)), "{units}");
        }
        for bad in [0.0004, 0.0009, 1.0001, -0.001, f64::NAN, f64::INFINITY, 1e-300] {
            let refused = Amount::try_from(bad);
            assert!(matches!(refused, Err(ResourcesError::NotAnAmount { .. })), "{bad}");
        }
        assert!(matches!(Amount::try_from(2e9), Err(ResourcesError::TooMuch { .. })));
    }

    #[test]
    fn a_vector_is_read_as_the_command_line_writes_it() {
        let four = parse("cpus:4; mem:8192;gpus:1");
        assert_eq!(four.to_string(), "cpus:4;gpus:1;mem:8192");
        assert_eq!(parse(&four.to_string()), four);
        assert!("cpus=4".parse::<Resources>().is_err());
        assert!("cpus:4;cpus:1".parse::<Resources>().is_err());
        assert!("CPU:4".parse::<Resources>().is_err());
    }

    #[test]
    fn what_is_zero_is_absent_so_equal_meaning_is_equal() {
        assert_eq!(parse("cpus:1").minus(&parse("cpus:1;mem:5")), Resources::none());
        assert_eq!(parse("cpus:0"), Resources::none());
        assert_eq!(parse("cpus:3;mem:1").at_most(&parse("cpus:2;disk:9")), parse("cpus:2"));
    }

    #[test]
    fn containing_is_kind_by_kind() {
        assert!(parse("cpus:2;mem:10").contains(&parse("cpus:2")));
        assert!(!parse("cpus:2;mem:10").contains(&parse("cpus:1;mem:11")));
        assert!(!parse("cpus:2").contains(&parse("gpus:0.001")));
    }
}
