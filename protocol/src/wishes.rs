//! Which offers are of use to a framework: how large they must be, and of which agents.
//!
//! As in Mesos: groups of constraints, one of which must hold as a whole. Whether a pattern is one
//! is for the master to say, which compiles it.

use crate::{
    bounds::{CONSTRAINT_GROUPS_MAX, CONSTRAINTS_MAX, FLOORS_MAX, ID_BYTES_MAX},
    rejection::Rejection,
    resources::{Amount, Resources},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// Which offers are of use to a framework in a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// An offer must hold one of these; if there are none in it, anything. None: what the master
    /// thinks the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floors: Option<Vec<Resources>>,
    /// One of these groups must hold of the agent, which is: all that is in it. None: every agent
    /// will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<Constraint>>,
}

/// One thing that must hold of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The attribute's name; `hostname`, `region` and `zone` are what they say.
    pub attribute: String,
    /// What must hold of it.
    pub predicate: Predicate,
}

/// What must hold of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicate {
    /// The agent has it.
    Exists,
    /// The agent does not have it.
    Missing,
    /// Its text is this.
    Equals(String),
    /// Its text is another, or it is missing.
    Differs(String),
    /// The whole text matches this regular expression.
    Matches(String),
    /// It does not, or the attribute is missing.
    Mismatches(String),
    /// It is a number, or ranges, and some of it is this or more.
    AtLeast(Amount),
    /// It is a number, or ranges, and some of it is this or less.
    AtMost(Amount),
    /// It is this number, or ranges that have it.
    Contains(Amount),
}

impl Wishes {
    /// Checks what can be checked without compiling a pattern.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] naming the field and what to do.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.floors.as_ref().is_some_and(|floors| floors.len() > FLOORS_MAX) {
            let why = format!("at most {FLOORS_MAX} are allowed");
            return Err(Rejection::invalid("wishes.floors", why));
        }
        let is_long = self.groups.iter().any(|group| group.len() > CONSTRAINTS_MAX);
        if self.groups.len() > CONSTRAINT_GROUPS_MAX || is_long {
            let why =
                format!("at most {CONSTRAINT_GROUPS_MAX} groups of {CONSTRAINTS_MAX} constraints");
            return Err(Rejection::invalid("wishes.groups", why));
        }
        let is_wide = |c: &Constraint| c.attribute.len().max(c.predicate.text().len());
        if self.groups.iter().flatten().map(is_wide).any(|bytes| bytes > ID_BYTES_MAX) {
            let why = format!("names and texts have {ID_BYTES_MAX} bytes at most");
            return Err(Rejection::invalid("wishes.groups", why));
        }
        Ok(())
    }
}

impl Predicate {
    /// What the attribute is compared with; nothing if it is not.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Exists | Self::Missing => Cow::Borrowed(""),
            Self::Equals(text)
            | Self::Differs(text)
            | Self::Matches(text)
            | Self::Mismatches(text) => Cow::Borrowed(text),
            Self::AtLeast(number) | Self::AtMost(number) | Self::Contains(number) => {
                Cow::Owned(number.to_string())
            }
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Missing => "missing",
            Self::Equals(_) => "equals",
            Self::Differs(_) => "differs",
            Self::Matches(_) => "matches",
            Self::Mismatches(_) => "mismatches",
            Self::AtLeast(_) => "at-least",
            Self::AtMost(_) => "at-most",
            Self::Contains(_) => "contains",
        }
    }
}

/// A text that is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no constraint: write `zone exists`, `zone missing`, `zone equals z1`, \
     `zone differs z1`, `rack matches r[0-9]+`, `rack mismatches r[0-9]+`, `ram_gb at-least 8`, \
     `level at-most 2` or `ports contains 8080`"
)]
pub struct NoConstraint {
    text: String,
}

impl FromStr for Constraint {
    type Err = NoConstraint;

    fn from_str(text: &str) -> Result<Self, NoConstraint> {
        let wrong = || NoConstraint { text: text.into() };
        let (attribute, rest) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let (word, value) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
        let value = value.trim().to_owned();
        let number = || value.parse::<Amount>().map_err(|_| wrong());
        let predicate = match (word, value.is_empty()) {
            ("exists", true) => Predicate::Exists,
            ("missing", true) => Predicate::Missing,
            ("equals", false) => Predicate::Equals(value),
            ("differs", false) => Predicate::Differs(value),
            ("matches", false) => Predicate::Matches(value),
            ("mismatches", false) => Predicate::Mismatches(value),
            ("at-least", false) => Predicate::AtLeast(number()?),
            ("at-most", false) => Predicate::AtMost(number()?),
            ("contains", false) => Predicate::Contains(number()?),
            _ => return Err(wrong()),
        };
        Ok(Self { attribute: attribute.into(), predicate })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.attribute, self.predicate.word())?;
        match &*self.predicate.text() {
            "" => Ok(()),
            text => write!(f, " {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_reads_as_it_is_written() {
        for text in [
            "zone exists",
            "zone missing",
            "zone equals z1",
            "zone differs z1",
            "rack matches r[0-9]+ or so",
            "rack mismatches r[0-9]+",
            "ram_gb at-least 7.5",
            "level at-most 2",
            "ports contains 8080",
        ] {
            assert_eq!(text.parse::<Constraint>().expect(text).to_string(), text);
        }
        for text in
            ["", "zone", "zone is z1", "zone equals", "zone exists z1", "ram_gb at-least much"]
        {
            assert!(text.parse::<Constraint>().is_err(), "{text}");
        }
    }
}
