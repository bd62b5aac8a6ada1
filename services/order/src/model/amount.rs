//! What a line costs and how the amount is composed.
//!
//! The price is rounded once per line; discounts, tax and commission are each rounded once from amounts
//! that are whole already, so the parts always add up to what is payable, and lines to the order.

use contracts::money::{Currency, Money, MoneyError, Price, scale};
use kit::errors::Refusal;

/// How one line's amount is composed, in minor units of the order's currency:
/// `payable = price − retailer_discount − partner_discount + shipping + tax_added`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineAmount {
    /// Price × quantity, rounded once.
    pub price: i64,
    /// What the retailer takes off.
    pub retailer_discount: i64,
    /// What the partner takes off at its own cost.
    pub partner_discount: i64,
    /// Shipping.
    pub shipping: i64,
    /// Tax, included in the above or added to it.
    pub tax: i64,
    /// Whether the tax is included in price and shipping.
    pub tax_included: bool,
    /// What the shopper pays.
    pub payable: i64,
    /// The partner's commission.
    pub commission: i64,
}

/// The amounts of all lines together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderAmount {
    /// The currency of every amount of the order.
    pub currency: Currency,
    /// Sum of the lines' prices.
    pub price: i64,
    /// Sum of the retailer's discounts.
    pub retailer_discount: i64,
    /// Sum of the partner's discounts.
    pub partner_discount: i64,
    /// Sum of shipping.
    pub shipping: i64,
    /// Sum of tax, included or added.
    pub tax: i64,
    /// What the shopper pays the partner.
    pub payable: i64,
    /// Sum of commissions.
    pub commission: i64,
}

/// The terms that decide what a line costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// The price, with the currency of everything else.
    pub price: Price,
    /// The retailer's own discount in basis points of the price.
    pub retailer_discount_basis_points: i64,
    /// Shipping, once per line.
    pub shipping: i64,
    /// Tax in basis points of price less discounts plus shipping.
    pub tax_basis_points: i64,
    /// Whether price and shipping include the tax.
    pub tax_included: bool,
    /// The partner's commission in basis points of what was paid less shipping and tax.
    pub commission_basis_points: i64,
}

const WHOLE: i64 = 10_000;

/// Why a line's amount cannot be composed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// An amount does not fit 64 bits.
    #[error("makes an amount too large to compute with; order less")]
    TooLarge,
    /// The partner takes off more than there is.
    #[error("must not be above the price less the retailer's discount, which is {most}")]
    DiscountTooHigh {
        /// The most that can be taken off.
        most: i64,
    },
}

impl From<MoneyError> for AmountError {
    fn from(_: MoneyError) -> Self {
        // Quantities and prices were checked before; what is left is the size.
        AmountError::TooLarge
    }
}

impl AmountError {
    /// The refusal, naming the field of line `index`.
    pub fn refusal(self, index: usize) -> Refusal {
        let field = match self {
            AmountError::TooLarge => format!("lines[{index}].quantity"),
            AmountError::DiscountTooHigh { .. } => format!("lines[{index}].partner_discount"),
        };
        Refusal::invalid(field, self.to_string())
    }
}

impl LineAmount {
    /// What `quantity` costs on these terms, with `partner_discount` taken off by the partner.
    pub fn compose(
        terms: &Pricing,
        quantity: i64,
        partner_discount: i64,
    ) -> Result<Self, AmountError> {
        let price = terms.price.line_amount(quantity)?.minor_units;
        let retailer_discount = scale(price, terms.retailer_discount_basis_points, WHOLE)?;
        let discounted = price - retailer_discount;
        if partner_discount > discounted {
            return Err(AmountError::DiscountTooHigh { most: discounted });
        }
        let goods = discounted - partner_discount;
        let taxed = goods
            .checked_add(terms.shipping)
            .ok_or(AmountError::TooLarge)?;
        let tax = tax_of(taxed, terms.tax_basis_points, terms.tax_included)?;
        let added = if terms.tax_included { 0 } else { tax };
        let payable = taxed.checked_add(added).ok_or(AmountError::TooLarge)?;
        // "What was paid less shipping and tax": when the tax is included, the goods' own share of it.
        let base = if terms.tax_included {
            goods - tax_of(goods, terms.tax_basis_points, true)?
        } else {
            goods
        };
        Ok(LineAmount {
            price,
            retailer_discount,
            partner_discount,
            shipping: terms.shipping,
            tax,
            tax_included: terms.tax_included,
            payable,
            commission: scale(base, terms.commission_basis_points, WHOLE)?,
        })
    }

    /// Tax that comes on top.
    pub fn tax_added(&self) -> i64 {
        if self.tax_included { 0 } else { self.tax }
    }
}

/// Tax of an amount: on top of it, or the share of it that is tax.
fn tax_of(amount: i64, basis_points: i64, included: bool) -> Result<i64, AmountError> {
    let of = if included {
        WHOLE + basis_points
    } else {
        WHOLE
    };
    Ok(scale(amount, basis_points, of)?)
}

impl OrderAmount {
    /// The sum of the lines; none when it does not fit 64 bits.
    pub fn sum<'a>(
        currency: Currency,
        lines: impl IntoIterator<Item = &'a LineAmount>,
    ) -> Option<Self> {
        let mut total = OrderAmount {
            currency,
            price: 0,
            retailer_discount: 0,
            partner_discount: 0,
            shipping: 0,
            tax: 0,
            payable: 0,
            commission: 0,
        };
        for line in lines {
            total.price = total.price.checked_add(line.price)?;
            total.retailer_discount = total
                .retailer_discount
                .checked_add(line.retailer_discount)?;
            total.partner_discount = total.partner_discount.checked_add(line.partner_discount)?;
            total.shipping = total.shipping.checked_add(line.shipping)?;
            total.tax = total.tax.checked_add(line.tax)?;
            total.payable = total.payable.checked_add(line.payable)?;
            total.commission = total.commission.checked_add(line.commission)?;
        }
        // What the partner owes is shown too, so it has to fit as well.
        total.payable.checked_add(total.partner_discount)?;
        Some(total)
    }

    /// What the partner owes the retailer.
    pub fn partner_owes(&self) -> i64 {
        self.payable + self.partner_discount - self.commission
    }

    /// Minor units as money of the order's currency.
    pub fn money(&self, minor_units: i64) -> Money {
        Money::new(self.currency, minor_units)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(price: i64, per_quantity: i64) -> Pricing {
        Pricing {
            price: Price::new(Money::new(Currency::EUR, price), per_quantity).expect("a price"),
            retailer_discount_basis_points: 1_000,
            shipping: 490,
            tax_basis_points: 2_000,
            tax_included: true,
            commission_basis_points: 500,
        }
    }

    #[test]
    fn composes_as_the_contract_says() {
        let included = LineAmount::compose(&terms(1_990, 1), 3, 100).expect("a small amount");
        assert_eq!(
            included,
            LineAmount {
                price: 5_970,
                retailer_discount: 597,
                partner_discount: 100,
                shipping: 490,
                // (5 273 + 490) × 20 ÷ 120
                tax: 961,
                tax_included: true,
                payable: 5_763,
                // 5 % of 5 273 less its tax of 879
                commission: 220,
            }
        );
        let added = Pricing {
            tax_included: false,
            ..terms(1_990, 1)
        };
        let added = LineAmount::compose(&added, 3, 100).expect("a small amount");
        assert_eq!(
            (added.tax, added.payable, added.commission),
            (1_153, 6_916, 264)
        );
    }

    #[test]
    fn the_price_is_rounded_once_per_line() {
        // 19.90 per 500 g: 125 g are 4.975, so 4.98; not 125 times a rounded price.
        let line = LineAmount::compose(&terms(1_990, 500), 125, 0).expect("a small amount");
        assert_eq!(line.price, 498);
    }

    #[test]
    fn a_partner_takes_off_no_more_than_there_is() {
        let most = 1_990 - 199;
        assert!(LineAmount::compose(&terms(1_990, 1), 1, most).is_ok());
        let error = LineAmount::compose(&terms(1_990, 1), 1, most + 1).expect_err("too much");
        assert_eq!(error, AmountError::DiscountTooHigh { most });
        assert_eq!(
            error.refusal(2).violations[0].field,
            "lines[2].partner_discount"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_field() {
        let error = LineAmount::compose(&terms(i64::MAX, 1), 2, 0).expect_err("too large");
        assert_eq!(error.refusal(0).violations[0].field, "lines[0].quantity");
        let line = LineAmount {
            payable: i64::MAX,
            ..LineAmount::default()
        };
        assert_eq!(OrderAmount::sum(Currency::EUR, [&line, &line]), None);
    }

    proptest! {
        #[test]
        fn parts_add_up(
            price in 0i64..10_000_000, per in 1i64..1_000, quantity in 1i64..100_000,
            discount in 0i64..=10_000, tax in 0i64..=10_000, included: bool, commission in 0i64..=10_000,
            shipping in 0i64..10_000, partner in 0i64..1_000,
        ) {
            let terms = Pricing {
                price: Price::new(Money::new(Currency::EUR, price), per).expect("a price"),
                retailer_discount_basis_points: discount,
                shipping,
                tax_basis_points: tax,
                tax_included: included,
                commission_basis_points: commission,
            };
            let Ok(line) = LineAmount::compose(&terms, quantity, partner) else { return Ok(()) };
            prop_assert_eq!(
                line.payable,
                line.price - line.retailer_discount - line.partner_discount + line.shipping + line.tax_added()
            );
            for part in [line.price, line.retailer_discount, line.shipping, line.tax, line.payable, line.commission] {
                prop_assert!(part >= 0);
            }
            prop_assert!(line.commission <= line.price - line.retailer_discount - line.partner_discount);
            let total = OrderAmount::sum(Currency::EUR, [&line, &line, &line]).expect("small");
            prop_assert_eq!(total.payable, 3 * line.payable);
            prop_assert_eq!(total.partner_owes(), 3 * (line.payable + line.partner_discount - line.commission));
        }
    }
}
