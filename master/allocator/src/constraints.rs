//! Offer constraints: which agents a framework would have nothing to do with, by their attributes.
//!
//! As in Mesos: groups of constraints, one of which must hold as a whole; a comparison with text
//! holds of every attribute that is not text. Beyond it: comparisons with numbers, which hold of no
//! attribute that is not one. A text that reads as a number (`7.5`) or as ranges
//! (`[8000-8100, 9000-9000]`) is one for them, and stays text for the others.

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
    /// It is a number, or ranges, and some of it is this or more.
    AtLeast(Amount),
    /// It is a number, or ranges, and some of it is this or less.
    AtMost(Amount),
    /// It is this number, or ranges that have it.
    Contains(Amount),
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

impl Attribute {
    /// The numbers that it is, from and up to; none for a text that does not read as any.
    fn ranges(&self) -> Vec<(Amount, Amount)> {
        let range = |(from, to): &(u64, u64)| (Amount::units(*from), Amount::units(*to));
        match self {
            Self::Scalar(number) => vec![(*number, *number)],
            Self::Ranges(ranges) => ranges.iter().map(range).collect(),
            Self::Text(text) => text.parse().map_or_else(
                |_| written_ranges(text).unwrap_or_default(),
                |number| vec![(number, number)],
            ),
        }
    }
}

/// `[8000-8100, 9000-9000]`, as Mesos writes them.
fn written_ranges(text: &str) -> Option<Vec<(Amount, Amount)>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let range = |range: &str| {
        let (from, to) = range.split_once('-')?;
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    };
    inside.split(',').map(range).collect()
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
            Wish::AtLeast(number) => Predicate::AtLeast(*number),
            Wish::AtMost(number) => Predicate::AtMost(*number),
            Wish::Contains(number) => Predicate::Contains(*number),
        };
        Ok(Self { attribute: wish.attribute.clone(), predicate })
    }
}

impl Predicate {
    fn holds(&self, attribute: Option<&Attribute>) -> bool {
        let some = |is: &dyn Fn(Amount, Amount) -> bool| {
            let ranges = attribute.map(Attribute::ranges).unwrap_or_default();
            ranges.into_iter().any(|(from, to)| is(from, to))
        };
        let text = match (self, attribute) {
            (Self::Exists, attribute) => return attribute.is_some(),
            (Self::Missing, attribute) => return attribute.is_none(),
            (Self::AtLeast(least), _) => return some(&|_, to| to >= *least),
            (Self::AtMost(most), _) => return some(&|from, _| from <= *most),
            (Self::Contains(n), _) => return some(&|from, to| (from..=to).contains(n)),
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
            _ => true,
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
    fn numbers_are_compared_with_what_reads_as_numbers() {
        let text = |text: &str| Some(Attribute::Text(text.into()));
        let [least, most, is] = [Predicate::AtLeast, Predicate::AtMost, Predicate::Contains];
        for (predicate, written, expected) in [
            (least(Amount::units(8)), "8", true),
            (least(Amount::units(8)), "7.999", false),
            (most(Amount::units(8)), "8.001", false),
            (is(Amount::units(8080)), "[80-81, 8000-8100]", true),
            (is(Amount::units(8080)), "[80-81, 9000-9100]", false),
            (least(Amount::units(9050)), "[80-81, 9000-9100]", true),
            (most(Amount::units(79)), "[80-81, 9000-9100]", false),
            (least(Amount::units(0)), "much", false),
            (least(Amount::units(0)), "[80-81, much]", false),
        ] {
            assert_eq!(
                holds(predicate.clone(), text(written)),
                expected,
                "{predicate:?} {written}"
            );
        }
        assert!(!holds(least(Amount::units(0)), None), "what is missing is no number");
        assert!(holds(least(Amount::units(3)), Some(Attribute::Scalar(Amount::units(3)))));
        assert!(holds(Predicate::Equals("8".into()), text("8")), "it is text for the others");
    }

    #[test]
    fn a_pattern_that_would_take_too_much_is_refused() {
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err());
    }
}
