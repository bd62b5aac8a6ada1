//! What goes back for units that were paid and will not stay with the shopper.
//!
//! The amounts of a line belong to its units together. What goes back for the first `n` of them is their
//! share, divided against the rest by largest remainder, so it grows with every unit and the last one takes
//! what is left. A refund is the difference between two such sums; so whatever the steps, the refunds of a
//! line never exceed what was paid for it, and for all of its units they are exactly that.

use contracts::money::allocate;

/// What was paid for a line, by who paid it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaidLine {
    /// Units ordered; positive.
    pub ordered: i64,
    /// What the shopper paid.
    pub shopper: i64,
    /// What the partner put in: its own discount.
    pub partner: i64,
}

/// Money that goes back, by who gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefundShares {
    /// To the shopper.
    pub shopper: i64,
    /// To the partner.
    pub partner: i64,
}

impl RefundShares {
    /// Whether nothing goes back.
    pub fn is_zero(&self) -> bool {
        *self == RefundShares::default()
    }

    /// Both together, part by part; none when it does not fit 64 bits.
    pub fn checked_add(self, other: RefundShares) -> Option<RefundShares> {
        Some(RefundShares {
            shopper: self.shopper.checked_add(other.shopper)?,
            partner: self.partner.checked_add(other.partner)?,
        })
    }
}

impl PaidLine {
    /// What goes back for `units` more when it went back for `before` units already. Units beyond what was
    /// ordered count as the last one.
    pub fn refund(&self, before: i64, units: i64) -> RefundShares {
        let after = before.saturating_add(units);
        RefundShares {
            shopper: self.up_to(self.shopper, after) - self.up_to(self.shopper, before),
            partner: self.up_to(self.partner, after) - self.up_to(self.partner, before),
        }
    }

    fn up_to(&self, amount: i64, units: i64) -> i64 {
        let units = units.clamp(0, self.ordered);
        if units == 0 {
            return 0;
        }
        allocate(amount, &[units, self.ordered - units])[0]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = PaidLine> {
        let ordered = prop_oneof![1i64..20, 1i64..1_000_000_000];
        let amount = || prop_oneof![Just(0i64), 1i64..30, 1i64..1_000_000_000_000];
        (ordered, amount(), amount()).prop_map(|(ordered, shopper, partner)| PaidLine {
            ordered,
            shopper,
            partner,
        })
    }

    proptest! {
        #[test]
        fn any_steps_to_the_end_give_back_exactly_what_was_paid(
            line in line(),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut ends: Vec<i64> =
                cuts.iter().map(|cut| cut.index(line.ordered as usize) as i64 + 1).collect();
            ends.sort_unstable();
            ends.push(line.ordered);
            let (mut before, mut back) = (0, RefundShares::default());
            for end in ends {
                let step = line.refund(before, end - before);
                prop_assert!(step.shopper >= 0 && step.partner >= 0);
                back = back.checked_add(step).expect("never above what was paid");
                prop_assert!(back.shopper <= line.shopper && back.partner <= line.partner);
                before = end;
            }
            prop_assert_eq!(back, RefundShares { shopper: line.shopper, partner: line.partner });
        }

        #[test]
        fn a_part_of_the_units_gets_its_share_to_the_nearest_unit(line in line(), part in any::<prop::sample::Index>()) {
            let units = part.index(line.ordered as usize) as i64 + 1;
            let share = line.shopper as f64 * units as f64 / line.ordered as f64;
            prop_assert!((line.refund(0, units).shopper as f64 - share).abs() <= 0.5 + share * 1e-9);
        }

        #[test]
        fn more_units_than_ordered_give_no_more(line in line(), units in 0i64..=i64::MAX) {
            let all = line.refund(0, line.ordered);
            prop_assert!(line.refund(0, units).shopper <= all.shopper);
            prop_assert!(line.refund(line.ordered, units).is_zero());
        }
    }

    #[test]
    fn the_last_unit_takes_the_rest() {
        let line = PaidLine {
            ordered: 3,
            shopper: 100,
            partner: 1,
        };
        let steps: Vec<_> = (0..3).map(|before| line.refund(before, 1)).collect();
        assert_eq!(
            steps.iter().map(|step| step.shopper).collect::<Vec<_>>(),
            [33, 34, 33]
        );
        assert_eq!(
            steps.iter().map(|step| step.partner).collect::<Vec<_>>(),
            [0, 1, 0]
        );
    }
}
