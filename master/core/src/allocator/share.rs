//! Dominant shares, compared exactly.
//!
//! A share is the fraction `part / whole / weight` of the resource of which there is the largest
//! such fraction. Two are compared by multiplying crosswise in `u128`; floats would make the
//! order depend on rounding, and two masters disagree.

use skep_protocol::{Amount, Resources, operator::Weight};
use std::cmp::Ordering;

/// Amounts are exact up to here and count as this much beyond: 18 million million units, so that
/// `part * whole * weight` stays below 2^128 (2^54 * 2^54 * 10^6 < 2^128).
const THOUSANDTHS_MAX: u64 = 1 << 54;

/// A weighted dominant share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    part: u64,
    whole: u64,
    weight: u64,
}

impl Share {
    /// The share of who holds `held` of `total`. Kinds that the cluster no longer has count
    /// nothing, as in Mesos.
    pub(crate) fn of(held: &Resources, total: &Resources, weight: Weight) -> Self {
        dominant(held, total).map_or(Self::none(weight), |(_, share)| share.weighted(weight))
    }

    const fn none(weight: Weight) -> Self {
        Self { part: 0, whole: 1, weight: weight.as_millis() }
    }

    fn unweighted(part: Amount, whole: Amount) -> Self {
        Self { part: bounded(part), whole: bounded(whole), weight: Weight::ONE.as_millis() }
    }

    const fn weighted(self, weight: Weight) -> Self {
        Self { weight: weight.as_millis(), ..self }
    }

    /// The fraction before weight, for showing; never for comparing.
    #[expect(clippy::cast_precision_loss, reason = "for eyes; comparisons are on integers")]
    pub(crate) fn as_f64(self) -> f64 {
        self.part as f64 / self.whole as f64
    }
}

/// The resource of which `held` has the largest fraction of `total`, the first by name of equals.
pub(crate) fn dominant<'a>(held: &'a Resources, total: &Resources) -> Option<(&'a str, Share)> {
    let mut largest: Option<(&str, Share)> = None;
    for (name, part) in held.iter() {
        let whole = total.amount(name);
        if whole == Amount::ZERO {
            continue;
        }
        let share = Share::unweighted(part, whole);
        if largest.is_none_or(|(_, before)| share > before) {
            largest = Some((name, share));
        }
    }
    largest
}

fn bounded(amount: Amount) -> u64 {
    amount.as_millis().min(THOUSANDTHS_MAX)
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let cross =
            |a: &Self, b: &Self| u128::from(a.part) * u128::from(b.whole) * u128::from(b.weight);
        cross(self, other).cmp(&cross(other, self))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(held: &str, total: &str, weight_millis: u64) -> Share {
        let parse = |text: &str| text.parse::<Resources>().expect("resources");
        let weight = Weight::from_millis(weight_millis).expect("a weight");
        Share::of(&parse(held), &parse(total), weight)
    }

    #[test]
    fn the_dominant_resource_decides() {
        let (held, total) = ("cpus:1;mem:4", "cpus:9;mem:18");
        assert_eq!(share(held, total, 1_000), share("mem:2", "mem:9", 1_000));
        assert!(share(held, total, 1_000) < share("cpus:3;mem:1", total, 1_000));
    }

    #[test]
    fn a_share_is_divided_by_its_weight() {
        assert_eq!(share("cpus:9", "cpus:100", 3_000), share("cpus:3", "cpus:100", 1_000));
        assert!(share("cpus:1", "cpus:100", 100) > share("cpus:9", "cpus:100", 1_000));
    }

    #[test]
    fn shares_that_floats_cannot_tell_apart_differ() {
        let total = "mem:1000000000";
        assert!(share("mem:999999999.999", total, 1) < share(total, total, 1));
        assert!(share("mem:0.001", total, 1_000_000) > share("", total, 1));
    }

    #[test]
    fn a_resource_that_is_gone_counts_nothing() {
        assert_eq!(share("gpus:1", "cpus:4", 1_000), share("", "cpus:4", 1_000));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_fractions(
            a in 0..1_u64 << 20, b in 1..1_u64 << 20, c in 0..1_u64 << 20, d in 1..1_u64 << 20,
            v in 1..1_000_000_u64, w in 1..1_000_000_u64,
        ) {
            let left = Share { part: a, whole: b, weight: v };
            let right = Share { part: c, whole: d, weight: w };
            let scaled = Share { part: a << 30, whole: b << 30, weight: v };
            prop_assert_eq!(left.cmp(&right), (a * d * w).cmp(&(c * b * v)));
            prop_assert_eq!(left, scaled);
        }

        #[test]
        fn no_amount_overflows(part: u64, whole in 1_u64.., weight in 1..=1_000_000_u64) {
            let huge = Share::unweighted(Amount::millis(part), Amount::millis(whole));
            let share = Share { weight, ..huge };
            prop_assert_eq!(share.cmp(&share), Ordering::Equal);
        }
    }
}
