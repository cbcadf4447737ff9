//! Dominant shares, compared exactly.
//!
//! A share is the fraction `part / whole / weight` of the resource of which there is the largest
//! such fraction. Two are compared by multiplying crosswise in `u128`; floats would make the
//! order depend on rounding, and two masters disagree.

use crate::amounts::Amounts;
use skep_protocol::operator::Weight;
use std::cmp::Ordering;

/// Amounts are exact up to here and count as this much beyond: 18 million million units, so that
/// `part * whole * weight` stays below 2^128 (2^54 * 2^54 * 10^6 < 2^128).
const THOUSANDTHS_MAX: u64 = 1 << 54;

/// A weighted dominant share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    part: u64,
    whole: u64,
    weight: u32,
}

impl Share {
    /// The share of who holds `held` of `total`. Kinds that the cluster no longer has count
    /// nothing, as in Mesos; neither do those that are `excluded`.
    pub(crate) fn of(held: &Amounts, total: &Amounts, weight: Weight, excluded: &[bool]) -> Self {
        dominant(held, total, excluded)
            .map_or(Self::none(weight), |(_, share)| Self { weight: millis(weight), ..share })
    }

    fn none(weight: Weight) -> Self {
        Self { part: 0, whole: 1, weight: millis(weight) }
    }

    fn unweighted(part: u64, whole: u64) -> Self {
        let weight = millis(Weight::ONE);
        Self { part: part.min(THOUSANDTHS_MAX), whole: whole.min(THOUSANDTHS_MAX), weight }
    }

    /// The fraction, for showing; never for comparing.
    #[expect(clippy::cast_precision_loss, reason = "for eyes; comparisons are on integers")]
    pub(crate) fn as_f64(self) -> f64 {
        self.part as f64 * 1_000.0 / (self.whole as f64 * f64::from(self.weight))
    }
}

/// A weight is at most a million thousandths.
fn millis(weight: Weight) -> u32 {
    u32::try_from(weight.as_millis()).unwrap_or(u32::MAX)
}

/// The kind of which `held` has the largest fraction of `total`, the first of equals.
pub(crate) fn dominant(
    held: &Amounts,
    total: &Amounts,
    excluded: &[bool],
) -> Option<(usize, Share)> {
    let mut largest: Option<(usize, Share)> = None;
    for (kind, part) in held.iter() {
        let whole = total.get(kind);
        if part == 0 || whole == 0 || excluded.get(kind).copied().unwrap_or(false) {
            continue;
        }
        let share = Share::unweighted(part, whole);
        if largest.is_none_or(|(_, before)| share > before) {
            largest = Some((kind, share));
        }
    }
    largest
}

/// Whether all shares of one total stand to each other as they do of the other.
pub(crate) fn are_proportional(one: &Amounts, other: &Amounts) -> bool {
    let kinds = one.iter().count().max(other.iter().count());
    let of = |amounts: &Amounts, kind| amounts.get(kind).min(THOUSANDTHS_MAX);
    let Some(first) = (0..kinds).find(|kind| one.get(*kind) > 0) else { return kinds == 0 };
    let (a, b) = (u128::from(of(one, first)), u128::from(of(other, first)));
    b > 0 && (0..kinds).all(|kind| u128::from(of(one, kind)) * b == u128::from(of(other, kind)) * a)
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        if (self.whole, self.weight) == (other.whole, other.weight) {
            return self.part.cmp(&other.part);
        }
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
    use crate::amounts::Kinds;
    use proptest::prelude::*;

    fn share(held: &str, total: &str, weight_millis: u64) -> Share {
        let mut kinds = Kinds::default();
        let mut parse = |text: &str| kinds.amounts(&text.parse().expect("resources"));
        let weight = Weight::from_millis(weight_millis).expect("a weight");
        Share::of(&parse(held), &parse(total), weight, &[])
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

    #[test]
    fn totals_that_grow_alike_keep_every_order() {
        let mut kinds = Kinds::default();
        let mut of = |text: &str| kinds.amounts(&text.parse().expect("resources"));
        assert!(are_proportional(&of("cpus:4;mem:6"), &of("cpus:6;mem:9")));
        assert!(!are_proportional(&of("cpus:4;mem:6"), &of("cpus:6;mem:10")));
        assert!(!are_proportional(&of("cpus:4"), &of("cpus:4;mem:1")));
        assert!(!are_proportional(&of("mem:1"), &of("")));
        assert!(are_proportional(&of(""), &of("")));
    }

    proptest! {
        #![proptest_config(skep_properties::cases(256))]

        #[test]
        fn the_order_is_that_of_the_fractions(
            a in 0..1_u64 << 20, b in 1..1_u64 << 20, c in 0..1_u64 << 20, d in 1..1_u64 << 20,
            v in 1..1_000_000_u32, w in 1..1_000_000_u32,
        ) {
            let left = Share { part: a, whole: b, weight: v };
            let right = Share { part: c, whole: d, weight: w };
            let scaled = Share { part: a << 30, whole: b << 30, weight: v };
            prop_assert_eq!(left.cmp(&right), (a * d * u64::from(w)).cmp(&(c * b * u64::from(v))));
            prop_assert_eq!(left, scaled);
        }

        #[test]
        fn no_amount_overflows(part: u64, whole in 1_u64.., weight in 1..=1_000_000_u32) {
            let huge = Share::unweighted(part, whole);
            let share = Share { weight, ..huge };
            prop_assert_eq!(share.cmp(&share), Ordering::Equal);
        }
    }
}
