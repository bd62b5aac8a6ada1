//! What goes back for units that were paid and will not stay with the shopper.
//!
//! The amounts of a line belong to its units together. What goes back for the first `n` of them is their
//! share, divided against the rest by largest remainder, so it grows with every unit and the last one takes
//! what is left. A refund is the difference between two such sums; so whatever the steps, the refunds of a
//! line never exceed what was paid for it, and for all of its units they are exactly that.
//!
//! Money goes back for other reasons too (goodwill, an aftersale's settlement), and a bank may take it back
//! (chargebacks). All of it is counted per line and part ([`Parts`]: goods, shipping, tax, the partner's own discount),
//! and nothing of a line goes back that went back before: units get their share, but at most what is left. So:
//!
//! 1. Of each line and each part, what was given or charged back never exceeds what was paid.
//! 2. So of the payment that paid the order, `refunded + charged_back <= amount` and
//!    `partner_refunded <= partner_amount`, which the table checks where it is written.
//! 3. What is taken of a line is composed of what is left of its parts, by largest remainder: the parts sum exactly.

use contracts::money::allocate;

use super::amount::LineAmount;

/// Money of one line by what it was paid for: all of it, what went back of it, or what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parts {
    /// The goods: price less discounts.
    pub goods: i64,
    /// Shipping.
    pub shipping: i64,
    /// Tax: added to the two, or contained in them.
    pub tax: i64,
    /// Whether the tax is contained in the goods and the shipping.
    pub tax_included: bool,
    /// What the partner put in: its own discount.
    pub partner: i64,
}

/// Which part of a line an amount is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Component {
    /// All of them, in proportion to what is left.
    All,
    /// The goods.
    Goods,
    /// Shipping.
    Shipping,
    /// Tax that was added.
    Tax,
}

impl Parts {
    /// What was paid for a line.
    pub fn of(amount: &LineAmount) -> Parts {
        Parts {
            goods: amount.payable - amount.shipping - amount.tax_added(),
            shipping: amount.shipping,
            tax: amount.tax,
            tax_included: amount.tax_included,
            partner: amount.partner_discount,
        }
    }

    /// Tax that was added.
    pub fn tax_added(&self) -> i64 {
        if self.tax_included { 0 } else { self.tax }
    }

    /// The shopper's money.
    pub fn shopper(&self) -> i64 {
        self.goods + self.shipping + self.tax_added()
    }

    /// By who gets it.
    pub fn shares(&self) -> RefundShares {
        RefundShares {
            shopper: self.shopper(),
            partner: self.partner,
        }
    }

    /// Whether nothing is moved by it.
    pub fn is_zero(&self) -> bool {
        self.shares().is_zero() && self.tax == 0
    }

    /// Part by part more. Both are of one line, so the sum fits as well as what was paid.
    #[must_use]
    pub fn plus(self, other: Parts) -> Parts {
        Parts {
            goods: self.goods + other.goods,
            shipping: self.shipping + other.shipping,
            tax: self.tax + other.tax,
            tax_included: other.tax_included,
            partner: self.partner + other.partner,
        }
    }

    /// Part by part less.
    #[must_use]
    pub fn minus(self, other: Parts) -> Parts {
        Parts {
            goods: self.goods - other.goods,
            shipping: self.shipping - other.shipping,
            tax: self.tax - other.tax,
            tax_included: self.tax_included,
            partner: self.partner - other.partner,
        }
    }

    /// Takes these amounts of what is left (this), composed as `component` says; none when there is not so much.
    pub fn take(&self, shopper: i64, partner: i64, component: Component) -> Option<Parts> {
        if shopper < 0 || partner < 0 || partner > self.partner || shopper > self.shopper() {
            return None;
        }
        let mut taken = Parts {
            tax_included: self.tax_included,
            partner,
            ..Parts::default()
        };
        match component {
            Component::Goods if shopper <= self.goods => taken.goods = shopper,
            Component::Shipping if shopper <= self.shipping => taken.shipping = shopper,
            Component::Tax if shopper <= self.tax_added() => taken.tax = shopper,
            Component::All if shopper == 0 => {}
            Component::All => {
                let weights = [self.goods, self.shipping, self.tax_added()];
                let parts = allocate(shopper, &weights);
                (taken.goods, taken.shipping) = (parts[0], parts[1]);
                if !self.tax_included {
                    taken.tax = parts[2];
                }
            }
            Component::Goods | Component::Shipping | Component::Tax => return None,
        }
        if self.tax_included && shopper > 0 {
            taken.tax = allocate(self.tax, &[shopper, self.shopper() - shopper])[0];
        }
        Some(taken)
    }

    /// The same, but at most what is left.
    pub fn take_up_to(&self, shopper: i64, partner: i64) -> Parts {
        let (shopper, partner) = (shopper.min(self.shopper()), partner.min(self.partner));
        self.take(shopper.max(0), partner.max(0), Component::All)
            .unwrap_or_default()
    }
}

/// Spreads an amount over lines by what is left of them: the shopper's money, and the partner's apart. None when less
/// is left than that.
pub fn spread(left: &[Parts], shopper: i64, partner: i64) -> Option<Vec<Parts>> {
    let by = |weight: fn(&Parts) -> i64, amount: i64| {
        let weights: Vec<i64> = left.iter().map(weight).collect();
        if amount == 0 {
            vec![0; left.len()]
        } else {
            allocate(amount, &weights)
        }
    };
    let (shopper, partner) = (
        by(Parts::shopper, shopper),
        by(|left| left.partner, partner),
    );
    left.iter()
        .zip(shopper.into_iter().zip(partner))
        .map(|(left, (shopper, partner))| left.take(shopper, partner, Component::All))
        .collect()
}

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
