//! Purchases in the retailer's shop that a deep link led to, and what went back of them.
//!
//! The lines are the goods; the rest of the amount is shipping and tax. Commission is earned by the goods alone. What
//! goes back is bounded three times: each line by its own quantity and amount, the rest by the rest, and so the whole
//! by the whole.

use contracts::ErrorReason;
use contracts::id::{ConversionId, ConversionReversalId, DeepLinkId, ListingId, PartnerId};
use contracts::money::{Currency, MoneyError, scale};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::{Deserialize, Serialize};

use super::words::words;

/// The whole in basis points.
const WHOLE: i64 = 10_000;

/// The most reversals of one conversion.
pub const REVERSALS_MAX: i64 = 100;

words! {
    /// What is left of a conversion.
    ConversionState {
        /// All of it.
        Reported = "REPORTED",
        /// A part of it.
        PartiallyReversed = "PARTIALLY_REVERSED",
        /// Neither money nor goods.
        Reversed = "REVERSED",
    }
}

/// So many of a SKU and what was paid for them, bought or gone back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuAmount {
    /// The retailer's SKU.
    pub sku: String,
    /// How many.
    pub quantity: i64,
    /// In minor units, after discounts, without shipping and tax.
    pub amount: i64,
}

/// One line of a conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionLine {
    /// What was bought.
    pub bought: SkuAmount,
    /// How many went back.
    pub reversed_quantity: i64,
    /// How much went back.
    pub reversed_amount: i64,
}

/// A purchase that a deep link led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// The conversion.
    pub conversion_id: ConversionId,
    /// The link that led to it.
    pub deep_link_id: DeepLinkId,
    /// Who showed the link.
    pub partner_id: PartnerId,
    /// The listing of the link.
    pub listing_id: ListingId,
    /// The shop's own number.
    pub shop_order_reference: String,
    /// Legal entity that sold.
    pub legal_entity: String,
    /// The currency of every amount.
    pub currency: Currency,
    /// What was bought.
    pub lines: Vec<ConversionLine>,
    /// What was paid in all.
    pub amount: i64,
    /// What went back of it.
    pub reversed_amount: i64,
    /// What the partner earns when nothing goes back.
    pub commission: i64,
    /// What of it went back.
    pub reversed_commission: i64,
    /// How often something went back.
    pub reversals: i64,
    /// When the shopper came.
    pub click_time: Micros,
    /// When it was bought.
    pub convert_time: Micros,
    /// When it was reported.
    pub record_time: Micros,
    /// Grows with each reversal.
    pub version: i64,
}

/// What goes back, as the shop says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversalAsk {
    /// All that is left.
    Rest,
    /// These lines, and this amount in all.
    Part {
        /// What of the lines.
        lines: Vec<SkuAmount>,
        /// What in all; not below the sum of the lines.
        amount: i64,
        /// The currency that it is said in.
        currency: Currency,
    },
}

/// Something that went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The reversal.
    pub conversion_reversal_id: ConversionReversalId,
    /// Its conversion.
    pub conversion_id: ConversionId,
    /// The currency of every amount.
    pub currency: Currency,
    /// What of the lines.
    pub lines: Vec<SkuAmount>,
    /// What in all.
    pub amount: i64,
    /// The commission taken back.
    pub commission: i64,
    /// 1 for the conversion's first.
    pub number: i64,
    /// When it went back.
    pub reverse_time: Micros,
    /// When it was reported.
    pub record_time: Micros,
}

/// The commission on goods of this amount, rounded half away from zero, once for the conversion.
pub fn commission_on(goods: i64, basis_points: i64) -> Result<i64, MoneyError> {
    scale(goods, basis_points, WHOLE)
}

impl Conversion {
    /// What was paid for the goods: the amount less shipping and tax.
    pub fn goods_amount(&self) -> i64 {
        self.lines.iter().map(|line| line.bought.amount).sum()
    }

    /// What went back for goods.
    pub fn reversed_goods_amount(&self) -> i64 {
        self.lines.iter().map(|line| line.reversed_amount).sum()
    }

    /// What is left of it.
    pub fn state(&self) -> ConversionState {
        let gone = |line: &ConversionLine| {
            line.reversed_quantity == line.bought.quantity
                && line.reversed_amount == line.bought.amount
        };
        if self.reversals == 0 {
            ConversionState::Reported
        } else if self.reversed_amount == self.amount && self.lines.iter().all(gone) {
            ConversionState::Reversed
        } else {
            ConversionState::PartiallyReversed
        }
    }

    /// The etag of its present version.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Takes something back at `reverse_time`, recorded at `now`. Nothing changes when it is refused.
    pub fn reverse(
        &mut self,
        conversion_reversal_id: ConversionReversalId,
        ask: &ReversalAsk,
        reverse_time: Micros,
        now: Micros,
    ) -> Result<Reversal, Refusal> {
        // The last one is kept for all that is left, so that nothing ever stays behind for want of a number.
        let most = match ask {
            ReversalAsk::Rest => REVERSALS_MAX,
            ReversalAsk::Part { .. } => REVERSALS_MAX - 1,
        };
        if self.reversals >= most {
            return Err(over(format!(
                "The conversion was reversed {} times already; only all that is left can still go back, at once.",
                self.reversals
            )));
        }
        let (lines, amount) = match ask {
            ReversalAsk::Rest => self.rest()?,
            ReversalAsk::Part {
                lines,
                amount,
                currency,
            } => {
                self.check_part(lines, *amount, *currency)?;
                (lines.clone(), *amount)
            }
        };
        let mut after = self.clone();
        for gone in &lines {
            let line = after
                .lines
                .iter_mut()
                .find(|line| line.bought.sku == gone.sku);
            if let Some(line) = line {
                line.reversed_quantity += gone.quantity;
                line.reversed_amount += gone.amount;
            }
        }
        after.reversed_amount += amount;
        // In proportion to what went back by now, not to this step: steps never add up to more or less than the whole.
        let goods = self.goods_amount();
        if goods > 0 {
            after.reversed_commission =
                scale(self.commission, after.reversed_goods_amount(), goods)
                    .map_err(|error| Refusal::invalid("amount", error.to_string()))?;
        }
        after.reversals += 1;
        after.version += 1;
        let reversal = Reversal {
            conversion_reversal_id,
            conversion_id: self.conversion_id,
            currency: self.currency,
            lines,
            amount,
            commission: after.reversed_commission - self.reversed_commission,
            number: after.reversals,
            reverse_time,
            record_time: now,
        };
        *self = after;
        Ok(reversal)
    }

    /// All that is left.
    fn rest(&self) -> Result<(Vec<SkuAmount>, i64), Refusal> {
        let left = |line: &ConversionLine| SkuAmount {
            sku: line.bought.sku.clone(),
            quantity: line.bought.quantity - line.reversed_quantity,
            amount: line.bought.amount - line.reversed_amount,
        };
        let lines: Vec<SkuAmount> = self
            .lines
            .iter()
            .map(left)
            .filter(|line| line.quantity > 0 || line.amount > 0)
            .collect();
        let amount = self.amount - self.reversed_amount;
        if lines.is_empty() && amount == 0 {
            return Err(over("Nothing is left of the conversion to reverse."));
        }
        Ok((lines, amount))
    }

    fn check_part(
        &self,
        lines: &[SkuAmount],
        amount: i64,
        currency: Currency,
    ) -> Result<(), Refusal> {
        if currency != self.currency {
            let message = format!("must be in {}, the conversion's currency", self.currency);
            return Err(Refusal::invalid("amount.currency_code", message));
        }
        let mut goods: i64 = 0;
        for (index, gone) in lines.iter().enumerate() {
            let Some(line) = self.lines.iter().find(|line| line.bought.sku == gone.sku) else {
                return Err(Refusal::invalid(
                    format!("lines[{index}].sku"),
                    "is not in the conversion",
                ));
            };
            let quantity_left = line.bought.quantity - line.reversed_quantity;
            let amount_left = line.bought.amount - line.reversed_amount;
            if gone.quantity > quantity_left || gone.amount > amount_left {
                let message = format!(
                    "Of {} there are {quantity_left} left, worth {amount_left} minor units; reverse no more than that.",
                    gone.sku
                );
                return Err(over(message)
                    .with("sku", &gone.sku)
                    .with("quantity_left", quantity_left)
                    .with("amount_left_minor_units", amount_left));
            }
            goods += gone.amount;
        }
        let rest = amount - goods;
        if rest < 0 {
            return Err(Refusal::invalid(
                "amount",
                "must be at least the sum of the lines",
            ));
        }
        let rest_left = (self.amount - self.goods_amount())
            - (self.reversed_amount - self.reversed_goods_amount());
        if rest > rest_left {
            let message = format!(
                "Beside the lines there are {rest_left} minor units of shipping and tax left; reverse no more than that."
            );
            return Err(over(message).with("amount_left_minor_units", rest_left));
        }
        Ok(())
    }
}

fn over(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorReason::OverQuantity, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bought(sku: usize, quantity: i64, amount: i64) -> ConversionLine {
        ConversionLine {
            bought: SkuAmount {
                sku: format!("SKU-{sku}"),
                quantity,
                amount,
            },
            reversed_quantity: 0,
            reversed_amount: 0,
        }
    }

    fn conversion(lines: &[(i64, i64)], rest: i64, basis_points: i64) -> Conversion {
        let lines: Vec<ConversionLine> = lines
            .iter()
            .enumerate()
            .map(|(sku, (quantity, amount))| bought(sku, *quantity, *amount))
            .collect();
        let goods: i64 = lines.iter().map(|line| line.bought.amount).sum();
        Conversion {
            conversion_id: ConversionId::from_uuid(1),
            deep_link_id: DeepLinkId::from_uuid(2),
            partner_id: PartnerId::from_uuid(3),
            listing_id: ListingId::from_uuid(4),
            shop_order_reference: "shop-1".into(),
            legal_entity: "Maison SA".into(),
            currency: Currency::EUR,
            lines,
            amount: goods + rest,
            reversed_amount: 0,
            commission: commission_on(goods, basis_points).expect("small"),
            reversed_commission: 0,
            reversals: 0,
            click_time: Micros(1),
            convert_time: Micros(2),
            record_time: Micros(3),
            version: 1,
        }
    }

    fn part(lines: &[(usize, i64, i64)], rest: i64) -> ReversalAsk {
        let lines: Vec<SkuAmount> = lines
            .iter()
            .map(|(sku, quantity, amount)| SkuAmount {
                sku: format!("SKU-{sku}"),
                quantity: *quantity,
                amount: *amount,
            })
            .collect();
        ReversalAsk::Part {
            amount: lines.iter().map(|line| line.amount).sum::<i64>() + rest,
            lines,
            currency: Currency::EUR,
        }
    }

    fn reverse(conversion: &mut Conversion, ask: &ReversalAsk) -> Result<Reversal, Refusal> {
        let id = ConversionReversalId::from_uuid(9);
        conversion.reverse(id, ask, Micros(4), Micros(5))
    }

    #[test]
    fn a_whole_reversal_takes_what_is_left_and_another_is_refused() {
        let mut sold = conversion(&[(3, 1_000), (1, 0)], 490, 1_000);
        assert_eq!(
            (sold.commission, sold.state()),
            (100, ConversionState::Reported)
        );
        let first = reverse(&mut sold, &part(&[(0, 1, 333)], 90)).expect("a part");
        assert_eq!((first.amount, first.commission), (423, 33));
        assert_eq!(sold.state(), ConversionState::PartiallyReversed);
        let last = reverse(&mut sold, &ReversalAsk::Rest).expect("the rest");
        assert_eq!((last.amount, last.commission, last.number), (1_067, 67, 2));
        assert_eq!(
            last.lines
                .iter()
                .map(|line| (line.quantity, line.amount))
                .collect::<Vec<_>>(),
            [(2, 667), (1, 0)]
        );
        assert_eq!((sold.state(), sold.version), (ConversionState::Reversed, 3));
        let refused = reverse(&mut sold, &ReversalAsk::Rest).expect_err("nothing is left");
        assert_eq!(refused.reason, ErrorReason::OverQuantity);
    }

    #[test]
    fn what_is_not_there_cannot_go_back() {
        let whole = conversion(&[(2, 500)], 50, 500);
        let refused = |ask: &ReversalAsk| {
            let mut sold = whole.clone();
            let refusal = reverse(&mut sold, ask).expect_err("too much");
            assert_eq!(sold, whole, "a refusal changes nothing");
            refusal.reason
        };
        assert_eq!(refused(&part(&[(0, 3, 0)], 0)), ErrorReason::OverQuantity);
        assert_eq!(refused(&part(&[(0, 1, 501)], 0)), ErrorReason::OverQuantity);
        assert_eq!(refused(&part(&[], 51)), ErrorReason::OverQuantity);
        assert_eq!(refused(&part(&[(7, 1, 1)], 0)), ErrorReason::InvalidField);
        let other = ReversalAsk::Part {
            lines: Vec::new(),
            amount: 1,
            currency: Currency::parse("USD").expect("a currency"),
        };
        assert_eq!(refused(&other), ErrorReason::InvalidField);
    }

    #[test]
    fn the_number_of_reversals_is_bounded() {
        let mut sold = conversion(&[(1, 1_000)], 0, 0);
        for _ in 1..REVERSALS_MAX {
            reverse(&mut sold, &part(&[(0, 0, 1)], 0)).expect("a cent less");
        }
        let refused = reverse(&mut sold, &part(&[(0, 0, 1)], 0)).expect_err("too often");
        assert_eq!(refused.reason, ErrorReason::OverQuantity);
        let last = reverse(&mut sold, &ReversalAsk::Rest).expect("the rest, always");
        assert_eq!((last.number, sold.reversed_amount), (REVERSALS_MAX, 1_000));
    }

    proptest! {
        /// Whatever is asked for in whatever order: nothing goes back that was not there, what is refused changes
        /// nothing, the steps add up to the counters, and when all goods went back so did all of the commission.
        #[test]
        fn never_more_goes_back_than_was_there(
            lines in prop::collection::vec((1..5i64, 0..50_000i64), 1..4),
            rest in 0..5_000i64,
            basis_points in 0..=10_000i64,
            asks in prop::collection::vec((0..5usize, 0..4i64, 0..30_000i64, 0..2_000i64, prop::bool::weighted(0.1)), 0..24),
        ) {
            let mut sold = conversion(&lines, rest, basis_points);
            let (mut amount, mut commission) = (0, 0);
            for (sku, quantity, money, other, all) in asks {
                let before = sold.clone();
                let ask = if all { ReversalAsk::Rest } else { part(&[(sku, quantity, money)], other) };
                match reverse(&mut sold, &ask) {
                    Ok(reversal) => {
                        prop_assert!(reversal.amount >= 0 && reversal.commission >= 0);
                        amount += reversal.amount;
                        commission += reversal.commission;
                    }
                    Err(_) => prop_assert_eq!(&sold, &before),
                }
                prop_assert!(sold.reversed_amount <= sold.amount);
                prop_assert!(sold.reversed_commission <= sold.commission);
                prop_assert!(sold.reversed_goods_amount() <= sold.goods_amount());
                prop_assert!(sold.reversed_amount - sold.reversed_goods_amount() <= rest);
                for line in &sold.lines {
                    prop_assert!(line.reversed_quantity <= line.bought.quantity);
                    prop_assert!(line.reversed_amount <= line.bought.amount);
                }
            }
            prop_assert_eq!((sold.reversed_amount, sold.reversed_commission), (amount, commission));
            if sold.reversed_goods_amount() == sold.goods_amount() && sold.goods_amount() > 0 {
                prop_assert_eq!(sold.reversed_commission, sold.commission);
            }
        }
    }
}
