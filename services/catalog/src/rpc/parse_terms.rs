//! The terms that callers send, as the model has them.

use std::time::Duration;

use contracts::catalog::v1;
use contracts::common::v1 as common;
use contracts::id::LegalEntityId;
use contracts::money::Price;
use kit::validate::Violations;

use super::parse::territories;
use crate::model::terms::{
    BASIS_POINTS, CommissionChange, DATED_MODES_MAX, DatedMode, Exclusivity, ModeSchedule,
    PER_SHOPPER_MAX, PurchaseMode, REMORSE_MAX, SHIP_WITHIN_DEFAULT, SHIP_WITHIN_MAX, Terms,
    TermsChange,
};

const LEGAL_ENTITY_MAX: usize = 200;

/// The terms of a proposal; none when a field is wrong.
pub(super) fn terms(v: &mut Violations, terms: &v1::ListingTerms) -> Option<Terms> {
    let price = price(v, &terms.price);
    let exclusivity = match v.opt_enumeration::<v1::Exclusivity>("exclusivity", terms.exclusivity) {
        Some(v1::Exclusivity::ThisPartner) => Exclusivity::ThisPartner,
        _ => Exclusivity::None,
    };
    let remorse_period = duration(
        v,
        "remorse_period",
        terms.remorse_period.as_ref(),
        REMORSE_MAX,
    );
    let ship_within = duration(
        v,
        "ship_within",
        terms.ship_within.as_ref(),
        SHIP_WITHIN_MAX,
    );
    if ship_within.is_some_and(|time| time.is_zero()) {
        v.add(
            "ship_within",
            "must be more than nothing; leave it out for 3 days.",
        );
    }
    Some(Terms {
        retailer_discount_basis_points: basis_points(
            v,
            "retailer_discount_basis_points",
            terms.retailer_discount_basis_points,
        ),
        shipping: shipping(v, terms.shipping.as_ref(), price.as_ref()),
        tax_basis_points: basis_points(v, "tax_basis_points", terms.tax_basis_points),
        tax_included: terms.tax_included,
        sale_window: v.window("sale_window", &terms.sale_window),
        per_shopper_limit: per_shopper_limit(v, terms.per_shopper_limit),
        territories: territories(v, "territories", &terms.territories, 0),
        exclusivity,
        commission_basis_points: basis_points(
            v,
            "commission_basis_points",
            terms.commission_basis_points,
        ),
        next_commission: None,
        legal_entity: v.text("legal_entity", &terms.legal_entity, 0..=LEGAL_ENTITY_MAX),
        legal_entity_id: v.opt_id::<LegalEntityId>("legal_entity_id", &terms.legal_entity_id),
        purchase_modes: mode_schedule(v, terms.purchase_mode, &terms.dated_purchase_modes),
        remorse_period: remorse_period.unwrap_or_default(),
        ship_within: ship_within.unwrap_or(SHIP_WITHIN_DEFAULT),
        ship_not_before: v.opt_time("ship_not_before", &terms.ship_not_before),
        price: price?,
    })
}

/// Who takes the money, by date.
fn mode_schedule(v: &mut Violations, first: i32, dated: &[v1::DatedPurchaseMode]) -> ModeSchedule {
    let first = match v.opt_enumeration::<common::PurchaseMode>("purchase_mode", first) {
        Some(common::PurchaseMode::Redirect) => PurchaseMode::Redirect,
        _ => PurchaseMode::InApp,
    };
    let mut schedule = ModeSchedule::always(first);
    if !v.items("dated_purchase_modes", dated, 0..=DATED_MODES_MAX) {
        return schedule;
    }
    for (place, sent) in dated.iter().enumerate() {
        let mut inside = v.nested(format!("dated_purchase_modes[{place}]"));
        let mode = inside.enumeration::<common::PurchaseMode>("purchase_mode", sent.purchase_mode);
        let Some(start) = inside.time("start_time", &sent.start_time) else {
            continue;
        };
        if schedule
            .dated
            .last()
            .is_some_and(|last| last.start >= start)
        {
            inside.add("start_time", "must be later than the one before.");
        }
        let mode = match mode {
            common::PurchaseMode::Redirect => PurchaseMode::Redirect,
            common::PurchaseMode::InApp | common::PurchaseMode::Unspecified => PurchaseMode::InApp,
        };
        schedule.dated.push(DatedMode { start, mode });
    }
    schedule
}

/// New terms; what is absent stays. `notice` is how long a partner is told before it gets less.
pub(super) fn terms_change(
    v: &mut Violations,
    asked: &v1::ChangeListingTermsRequest,
    notice: Duration,
) -> TermsChange {
    let change = TermsChange {
        price: asked.price.as_ref().and_then(|_| price(v, &asked.price)),
        retailer_discount_basis_points: asked
            .retailer_discount_basis_points
            .map(|points| basis_points(v, "retailer_discount_basis_points", points)),
        shipping: asked
            .shipping
            .as_ref()
            .and_then(|_| v.money("shipping", &asked.shipping)),
        sale_window: asked
            .sale_window
            .as_ref()
            .map(|_| v.window("sale_window", &asked.sale_window)),
        per_shopper_limit: asked
            .per_shopper_limit
            .map(|limit| per_shopper_limit(v, limit)),
        commission: asked
            .commission_basis_points
            .map(|points| CommissionChange {
                basis_points: basis_points(v, "commission_basis_points", points),
                notice,
            }),
        purchase_modes: asked.purchase_modes.as_ref().map(|sent| {
            let mut inside = v.nested("purchase_modes");
            mode_schedule(&mut inside, sent.purchase_mode, &sent.dated_purchase_modes)
        }),
    };
    if v.is_empty() && change == TermsChange::default() {
        v.add(
            "price",
            "or another of the terms must be set; there is nothing to change.",
        );
    }
    change
}

fn price(v: &mut Violations, sent: &Option<common::Price>) -> Option<Price> {
    let price = v.price("price", sent)?;
    if price.amount().minor_units == 0 {
        v.add("price.amount.minor_units", "must be more than 0.");
    }
    Some(price)
}

fn shipping(v: &mut Violations, sent: Option<&common::Money>, price: Option<&Price>) -> i64 {
    let Some(money) = sent.and_then(|sent| v.money("shipping", &Some(sent.clone()))) else {
        return 0;
    };
    let currency = price.map(|price| price.amount().currency);
    if currency.is_some_and(|currency| currency != money.currency) {
        v.add(
            "shipping.currency_code",
            "must be the currency of the price.",
        );
    }
    money.minor_units
}

fn basis_points(v: &mut Violations, field: &str, points: i32) -> i64 {
    v.range(field, points, 0..=BASIS_POINTS)
}

fn per_shopper_limit(v: &mut Violations, limit: i64) -> i64 {
    v.range("per_shopper_limit", limit, 0..=PER_SHOPPER_MAX)
}

/// A length of time, cut to microseconds as the tables have it; none when it is absent or wrong.
fn duration(
    v: &mut Violations,
    field: &str,
    sent: Option<&prost_types::Duration>,
    max: Duration,
) -> Option<Duration> {
    let sent = sent?;
    let seconds = u64::try_from(sent.seconds).ok();
    let nanos = u32::try_from(sent.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let time = seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos - nanos % 1_000));
    match time.filter(|time| *time <= max) {
        Some(time) => Some(time),
        None => {
            let days = max.as_secs() / (24 * 60 * 60);
            v.add(field, format!("must be 0 to {days} days."));
            None
        }
    }
}
