//! What two parties agree on.

use std::time::Duration;

use contracts::money::{Money, Price};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};
use kit::validate::Window;

use super::product::VariantDetails;
use super::words::words;

/// All of something, in basis points.
pub const BASIS_POINTS: i64 = 10_000;

/// The largest limit per shopper.
pub const PER_SHOPPER_MAX: i64 = 1_000_000_000;

/// The longest time in which shoppers may change their mind.
pub const REMORSE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest time after payment by which something is to be shipped.
pub const SHIP_WITHIN_MAX: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// The time after payment by which it is to be shipped when the terms do not say.
pub const SHIP_WITHIN_DEFAULT: Duration = Duration::from_secs(3 * 24 * 60 * 60);

words! {
    /// Who takes the shopper's money.
    PurchaseMode {
        /// The partner, in its own app.
        InApp = "IN_APP",
        /// The retailer, in its own shop.
        Redirect = "REDIRECT",
    }
}

/// The terms of a listing. Every amount is in the currency of the price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What it costs; positive.
    pub price: Price,
    /// The retailer's own discount, of the price.
    pub retailer_discount_basis_points: i64,
    /// Charged once per line, in minor units; not negative.
    pub shipping: i64,
    /// Of price less discounts plus shipping.
    pub tax_basis_points: i64,
    /// Whether price and shipping include the tax.
    pub tax_included: bool,
    /// When it may be sold.
    pub sale_window: Window,
    /// Units one shopper may hold and have bought; 0 for no limit.
    pub per_shopper_limit: i64,
    /// Where it may be sent to; empty for anywhere.
    pub territories: Vec<String>,
    /// What the partner gets, of what was paid less shipping and tax.
    pub commission_basis_points: i64,
    /// Who sells; may be empty.
    pub legal_entity: String,
    /// Who takes the money.
    pub purchase_mode: PurchaseMode,
    /// Time after payment in which nothing ships.
    pub remorse_period: Duration,
    /// Time after payment by which it is to be shipped.
    pub ship_within: Duration,
    /// Nothing ships before this time.
    pub ship_not_before: Option<Micros>,
}

/// New terms; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermsChange {
    /// What it costs.
    pub price: Option<Price>,
    /// The retailer's own discount.
    pub retailer_discount_basis_points: Option<i64>,
    /// Charged once per line.
    pub shipping: Option<Money>,
    /// When it may be sold.
    pub sale_window: Option<Window>,
    /// Units one shopper may hold and have bought.
    pub per_shopper_limit: Option<i64>,
}

impl Terms {
    /// Refuses terms on which nobody could ever buy the variant. `prefix` goes before the fields' names.
    pub fn require_fit(&self, variant: &VariantDetails, prefix: &str) -> Result<(), Refusal> {
        let step = variant.quantity_step;
        if (1..step).contains(&self.per_shopper_limit) {
            return Err(Refusal::invalid(
                format!("{prefix}per_shopper_limit"),
                format!(
                    "must be 0 for no limit, or at least {step}, the quantity step of the variant."
                ),
            ));
        }
        Ok(())
    }

    /// Refuses to put on sale what cannot be sold any more.
    pub fn require_not_over(&self, now: Micros) -> Result<(), Refusal> {
        match self.sale_window.end {
            Some(end) if end <= now => Err(Refusal::new(
                ErrorReason::OutsideWindow,
                "The sale window is over; set a window that ends in the future.",
            )
            .because("WINDOW", "terms.sale_window", "OVER")),
            _ => Ok(()),
        }
    }

    /// The terms after a change. The currency stays, because orders, limits and agreements count in it.
    pub fn changed(&self, change: &TermsChange) -> Result<Terms, Refusal> {
        let currency = self.price.amount().currency;
        let same = |field: &str, money: Money| {
            if money.currency == currency {
                return Ok(());
            }
            Err(Refusal::invalid(
                format!("{field}.currency_code"),
                format!(
                    "must stay {currency}; for another currency end this listing and propose another."
                ),
            ))
        };
        let mut terms = self.clone();
        if let Some(price) = change.price {
            same("price.amount", price.amount())?;
            terms.price = price;
        }
        if let Some(shipping) = change.shipping {
            same("shipping", shipping)?;
            terms.shipping = shipping.minor_units;
        }
        if let Some(discount) = change.retailer_discount_basis_points {
            terms.retailer_discount_basis_points = discount;
        }
        if let Some(window) = change.sale_window {
            terms.sale_window = window;
        }
        if let Some(limit) = change.per_shopper_limit {
            terms.per_shopper_limit = limit;
        }
        Ok(terms)
    }
}
