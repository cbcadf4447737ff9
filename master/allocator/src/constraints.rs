//! Offer constraints: which agents a framework would have nothing to do with, by their attributes.
//!
//! As in Mesos: groups of constraints, one of which must hold as a whole; a comparison with text
//! holds of every attribute that is not text.

use regex::{Regex, RegexBuilder};
use skep_protocol::{Amount, wishes};
use std::{collections::BTreeMap, fmt};

/// The memory that one compiled pattern may take, in bytes; ordinary ones take a tenth.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// What an agent's operator says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A word, such as a rack's name.
    Text(String),
    /// A number.
    Scalar(Amount),
    /// Numbers from and up to, inclusive.
    Ranges(Vec<(u64, u64)>),
}

/// One thing that must hold of an attribute.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// The attribute's name; `hostname`, `region` and `zone` are what they say.
    pub attribute: String,
    /// What must hold.
    pub predicate: Predicate,
}

/// What must hold of an attribute.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// The agent has it.
    Exists,
    /// It has not.
    Missing,
    /// Its text is this.
    Equals(String),
    /// Its text is another, or it is missing.
    Differs(String),
    /// Its whole text matches.
    Matches(Pattern),
    /// Its text does not match, or it is missing.
    Mismatches(Pattern),
}

/// A regular expression that must match a whole text.
#[derive(Clone)]
pub struct Pattern(Regex);

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no pattern: {why}")]
pub struct NoPattern {
    text: String,
    why: String,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`NoPattern`] if it is no regular expression or too large a one.
    pub fn new(text: &str) -> Result<Self, NoPattern> {
        let whole = format!("^(?:{text})$");
        let built = RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build();
        built.map(Self).map_err(|why| NoPattern { text: text.into(), why: why.to_string() })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

/// Groups of constraints. None at all: every agent will do.
#[derive(Clone, Debug, Default)]
pub struct Constraints {
    /// One of the groups must hold, which is: all that is in it.
    pub groups: Vec<Vec<Constraint>>,
}

impl Constraints {
    /// What a framework wishes, with its patterns compiled.
    ///
    /// # Errors
    /// [`NoPattern`] for the first that is none.
    pub fn compile(groups: &[Vec<wishes::Constraint>]) -> Result<Self, NoPattern> {
        let group =
            |group: &Vec<wishes::Constraint>| group.iter().map(Constraint::compile).collect();
        Ok(Self { groups: groups.iter().map(group).collect::<Result<_, _>>()? })
    }

    pub(crate) fn hold(&self, attributes: &BTreeMap<String, Attribute>) -> bool {
        let holds = |c: &Constraint| c.predicate.holds(attributes.get(&c.attribute));
        self.groups.is_empty() || self.groups.iter().any(|group| group.iter().all(holds))
    }
}

impl Constraint {
    fn compile(wish: &wishes::Constraint) -> Result<Self, NoPattern> {
        use wishes::Predicate as Wish;
        let predicate = match &wish.predicate {
            Wish::Exists => Predicate::Exists,
            Wish::Missing => Predicate::Missing,
            Wish::Equals(text) => Predicate::Equals(text.clone()),
            Wish::Differs(text) => Predicate::Differs(text.clone()),
            Wish::Matches(text) => Predicate::Matches(Pattern::new(text)?),
            Wish::Mismatches(text) => Predicate::Mismatches(Pattern::new(text)?),
        };
        Ok(Self { attribute: wish.attribute.clone(), predicate })
    }
}

impl Predicate {
    fn holds(&self, attribute: Option<&Attribute>) -> bool {
        let text = match (self, attribute) {
            (Self::Exists, attribute) => return attribute.is_some(),
            (Self::Missing, attribute) => return attribute.is_none(),
            (Self::Equals(_) | Self::Matches(_), None) => return false,
            (Self::Differs(_) | Self::Mismatches(_), None) => return true,
            (_, Some(Attribute::Scalar(_) | Attribute::Ranges(_))) => return true,
            (_, Some(Attribute::Text(text))) => text,
        };
        match self {
            Self::Equals(wanted) => text == wanted,
            Self::Differs(unwanted) => text != unwanted,
            Self::Matches(pattern) => pattern.0.is_match(text),
            Self::Mismatches(pattern) => !pattern.0.is_match(text),
            Self::Exists | Self::Missing => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(predicate: Predicate, value: Option<Attribute>) -> bool {
        let attributes = value.map(|value| ("rack".to_owned(), value)).into_iter().collect();
        let constraint = Constraint { attribute: "rack".into(), predicate };
        Constraints { groups: vec![vec![constraint]] }.hold(&attributes)
    }

    #[test]
    fn each_predicate_holds_where_its_opposite_does_not() {
        let text = || Some(Attribute::Text("r12".into()));
        let pattern = |text: &str| Pattern::new(text).expect("a pattern");
        for (holding, opposite) in [
            (Predicate::Exists, Predicate::Missing),
            (Predicate::Equals("r12".into()), Predicate::Differs("r12".into())),
            (Predicate::Matches(pattern("r[0-9]+")), Predicate::Mismatches(pattern("r[0-9]+"))),
        ] {
            assert!(holds(holding.clone(), text()) && !holds(opposite.clone(), text()));
            assert!(!holds(holding, None) && holds(opposite, None));
        }
        assert!(!holds(Predicate::Matches(pattern("r1")), text()), "a part of the text matched");
    }

    #[test]
    fn what_is_no_text_passes_every_comparison() {
        for value in [Attribute::Scalar(Amount::units(3)), Attribute::Ranges(vec![(1, 9)])] {
            assert!(holds(Predicate::Equals("x".into()), Some(value.clone())));
            assert!(holds(Predicate::Differs("x".into()), Some(value)));
        }
    }

    #[test]
    fn a_pattern_that_would_take_too_much_is_refused() {
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err());
    }
}
