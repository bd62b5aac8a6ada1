//! What two parties agree on.

use std::time::Duration;

use contracts::id::LegalEntityId;
use contracts::money::{Money, MoneyError, Price};
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

words! {
    /// Who else may sell the variant.
    Exclusivity {
        /// Anybody with a listing.
        None = "NONE",
        /// This partner only, in the territories and the window of the listing.
        ThisPartner = "THIS_PARTNER",
    }
}

/// The most switches of the purchase mode.
pub const DATED_MODES_MAX: usize = 20;

/// A purchase mode from a date on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatedMode {
    /// Its first moment.
    pub start: Micros,
    /// The mode.
    pub mode: PurchaseMode,
}

/// Who takes the shopper's money, by date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeSchedule {
    /// Until the first switch.
    pub first: PurchaseMode,
    /// Switches, their dates strictly increasing.
    pub dated: Vec<DatedMode>,
}

impl ModeSchedule {
    /// One mode for ever.
    pub fn always(mode: PurchaseMode) -> Self {
        ModeSchedule {
            first: mode,
            dated: Vec::new(),
        }
    }

    /// The mode in force at a time.
    pub fn at(&self, time: Micros) -> PurchaseMode {
        let switched = self.dated.iter().rev().find(|dated| dated.start <= time);
        switched.map_or(self.first, |dated| dated.mode)
    }
}

/// A commission that waits for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextCommission {
    /// Lower than the one in force.
    pub basis_points: i64,
    /// When it takes its place.
    pub effective_time: Micros,
}

/// A commission that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommissionChange {
    /// What the partner is to get.
    pub basis_points: i64,
    /// How long a partner is told before it gets less.
    pub notice: Duration,
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
    /// Who else may sell the variant.
    pub exclusivity: Exclusivity,
    /// What the partner gets, of what was paid less shipping and tax.
    pub commission_basis_points: i64,
    /// What the partner will get.
    pub next_commission: Option<NextCommission>,
    /// The name of who sells; may be empty.
    pub legal_entity: String,
    /// Who sells, when it is registered.
    pub legal_entity_id: Option<LegalEntityId>,
    /// Who takes the money, by date.
    pub purchase_modes: ModeSchedule,
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
    /// What the partner gets.
    pub commission: Option<CommissionChange>,
    /// Who takes the money, by date.
    pub purchase_modes: Option<ModeSchedule>,
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
        // The least that can be bought has to cost something; the amount fits, because a step and a price do.
        let least = self.price.line_amount(step);
        if least.is_ok_and(|least| least.minor_units < 1) {
            return Err(Refusal::invalid(
                format!("{prefix}price"),
                format!(
                    "must make {step}, the quantity step of the variant, cost at least 1 minor unit."
                ),
            ));
        }
        Ok(())
    }

    /// The price per its quantity less the retailer's discount.
    pub fn effective_price(&self) -> Result<Price, MoneyError> {
        let amount = self.price.amount();
        let discount = amount.basis_points(self.retailer_discount_basis_points)?;
        Price::new(amount.checked_sub(discount)?, self.price.per_quantity())
    }

    /// The terms when a commission is wanted; `is_agreed` tells whether the partner counts on them already.
    fn with_commission(&mut self, change: CommissionChange, is_agreed: bool, now: Micros) {
        let basis_points = change.basis_points;
        // One whose time has come is in force, whether or not a look has said so; it is not to be put off.
        if is_agreed {
            self.commission_due(now);
        }
        if is_agreed && basis_points < self.commission_basis_points {
            let waits = self.next_commission.map(|next| next.basis_points);
            if waits != Some(basis_points) {
                let notice = i64::try_from(change.notice.as_micros()).unwrap_or(i64::MAX);
                self.next_commission = Some(NextCommission {
                    basis_points,
                    effective_time: Micros(now.0.saturating_add(notice)),
                });
            }
        } else {
            self.commission_basis_points = basis_points;
            self.next_commission = None;
        }
    }

    /// Puts a commission in force whose time has come; answers whether there was one.
    pub fn commission_due(&mut self, now: Micros) -> bool {
        match self.next_commission {
            Some(next) if next.effective_time <= now => {
                self.commission_basis_points = next.basis_points;
                self.next_commission = None;
                true
            }
            _ => false,
        }
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
    /// `is_agreed` tells whether the partner counts on the terms already.
    pub fn changed(
        &self,
        change: &TermsChange,
        is_agreed: bool,
        now: Micros,
    ) -> Result<Terms, Refusal> {
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
        if let Some(commission) = change.commission {
            terms.with_commission(commission, is_agreed, now);
        }
        if let Some(modes) = &change.purchase_modes {
            terms.purchase_modes.clone_from(modes);
        }
        Ok(terms)
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
