//! The part of `framework.proto` that says which offers are of use.

use super::{
    DecodeError,
    convert::{Convert, known, read},
    wire::framework::{self as wire, constraint, wishes},
};
use crate::{
    resources::{Amount, Resources},
    wishes::{Constraint, Predicate, Wishes},
};

impl Convert for Wishes {
    type Wire = wire::Wishes;

    fn to_wire(&self) -> wire::Wishes {
        let group = |group: &Vec<Constraint>| wishes::Group { constraints: group.to_wire() };
        wire::Wishes {
            floors: self.floors.clone().unwrap_or_default().to_wire(),
            any_offer: self.floors.as_ref().is_some_and(Vec::is_empty),
            groups: self.groups.iter().map(group).collect(),
        }
    }

    fn from_wire(wire: wire::Wishes) -> Result<Self, DecodeError> {
        let groups = wire.groups.into_iter().enumerate();
        let group = |(i, group): (usize, wishes::Group)| {
            read(&format!("groups[{i}].constraints"), group.constraints)
        };
        let floors: Vec<Resources> = read("floors", wire.floors)?;
        let wishes = Self {
            floors: Some(floors).filter(|floors| wire.any_offer || !floors.is_empty()),
            groups: groups.map(group).collect::<Result<_, _>>()?,
        };
        wishes.check().map_err(DecodeError::invalid)?;
        Ok(wishes)
    }
}

impl Convert for Constraint {
    type Wire = wire::Constraint;

    fn to_wire(&self) -> wire::Constraint {
        use constraint::{Predicate as Wire, Unit};
        let predicate = match &self.predicate {
            Predicate::Exists => Wire::Exists(Unit {}),
            Predicate::Missing => Wire::Missing(Unit {}),
            Predicate::Equals(text) => Wire::Equals(text.clone()),
            Predicate::Differs(text) => Wire::Differs(text.clone()),
            Predicate::Matches(text) => Wire::Matches(text.clone()),
            Predicate::Mismatches(text) => Wire::Mismatches(text.clone()),
            Predicate::AtLeast(number) => Wire::AtLeastMillis(number.as_millis()),
            Predicate::AtMost(number) => Wire::AtMostMillis(number.as_millis()),
            Predicate::Contains(number) => Wire::ContainsMillis(number.as_millis()),
        };
        wire::Constraint { attribute: self.attribute.clone(), predicate: Some(predicate) }
    }

    fn from_wire(wire: wire::Constraint) -> Result<Self, DecodeError> {
        use constraint::Predicate as Wire;
        let predicate = match known(wire.predicate)? {
            Wire::Exists(_) => Predicate::Exists,
            Wire::Missing(_) => Predicate::Missing,
            Wire::Equals(text) => Predicate::Equals(text),
            Wire::Differs(text) => Predicate::Differs(text),
            Wire::Matches(text) => Predicate::Matches(text),
            Wire::Mismatches(text) => Predicate::Mismatches(text),
            Wire::AtLeastMillis(millis) => Predicate::AtLeast(Amount::millis(millis)),
            Wire::AtMostMillis(millis) => Predicate::AtMost(Amount::millis(millis)),
            Wire::ContainsMillis(millis) => Predicate::Contains(Amount::millis(millis)),
        };
        Ok(Self { attribute: wire.attribute, predicate })
    }
}
