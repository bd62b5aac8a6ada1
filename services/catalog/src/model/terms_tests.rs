use contracts::money::Currency;
use proptest::prelude::*;

use super::*;
use crate::model::product::{Unit, UnitPolicy};

fn modes() -> impl Strategy<Value = PurchaseMode> {
    prop::sample::select(PurchaseMode::ALL)
}

fn schedules() -> impl Strategy<Value = ModeSchedule> {
    let dates = prop::collection::btree_set(-50_i64..50, 0..=DATED_MODES_MAX);
    (
        modes(),
        dates,
        prop::collection::vec(modes(), DATED_MODES_MAX),
    )
        .prop_map(|(first, dates, modes)| ModeSchedule {
            first,
            dated: dates
                .into_iter()
                .zip(modes)
                .map(|(start, mode)| DatedMode {
                    start: Micros(start),
                    mode,
                })
                .collect(),
        })
}

proptest! {
    /// Walking through time and switching at each date gives the same as looking the mode up.
    #[test]
    fn the_mode_in_force_is_that_of_the_last_date_that_has_come(schedule in schedules()) {
        let mut mode = schedule.first;
        prop_assert_eq!(schedule.at(Micros(i64::MIN)), mode);
        for time in (-60..60).map(Micros) {
            if let Some(switch) = schedule.dated.iter().find(|dated| dated.start == time) {
                mode = switch.mode;
            }
            prop_assert_eq!(schedule.at(time), mode);
        }
        prop_assert_eq!(schedule.at(Micros(i64::MAX)), mode);
    }

    /// A price per quantity of what is weighed: a line is rounded once, half away from zero, and the least that
    /// can be bought costs something.
    #[test]
    fn what_is_weighed_is_rounded_once(
        amount in 1_i64..100_000, per_quantity in 1_i64..5_000, step in 1_i64..2_000, steps in 1_i64..50,
    ) {
        let price = Price::new(Money::new(Currency::EUR, amount), per_quantity).expect("a price");
        let terms = Terms { price, ..terms() };
        let exact = |quantity: i64| i128::from(amount) * i128::from(quantity) * 2;
        let rounded = |quantity: i64| (exact(quantity) + i128::from(per_quantity)) / (2 * i128::from(per_quantity));
        let quantity = step * steps;
        let line = terms.price.line_amount(quantity).expect("in range").minor_units;
        prop_assert_eq!(i128::from(line), rounded(quantity));
        prop_assert_eq!(terms.require_fit(&grams(step), "").is_ok(), rounded(step) >= 1);
    }
}

fn grams(quantity_step: i64) -> VariantDetails {
    VariantDetails {
        sku: "TEA".into(),
        options: Vec::new(),
        unit: Unit::Gram,
        quantity_step,
        unit_policy: UnitPolicy::None,
        gtin: String::new(),
        weight_grams: 0,
    }
}

fn terms() -> Terms {
    Terms {
        price: Price::new(Money::new(Currency::EUR, 1_990), 500).expect("a price"),
        retailer_discount_basis_points: 0,
        shipping: 0,
        tax_basis_points: 0,
        tax_included: true,
        sale_window: Window::default(),
        per_shopper_limit: 0,
        territories: Vec::new(),
        exclusivity: Exclusivity::None,
        commission_basis_points: 1_000,
        next_commission: None,
        legal_entity: String::new(),
        legal_entity_id: None,
        purchase_modes: ModeSchedule::always(PurchaseMode::InApp),
        remorse_period: Duration::ZERO,
        ship_within: SHIP_WITHIN_DEFAULT,
        ship_not_before: None,
    }
}

#[test]
fn tea_by_the_gram_costs_what_the_scale_says() {
    let terms = terms();
    let cost = |quantity| {
        terms
            .price
            .line_amount(quantity)
            .map(|money| money.minor_units)
    };
    assert_eq!(
        (cost(500), cost(50), cost(250)),
        (Ok(1_990), Ok(199), Ok(995))
    );
    assert_eq!(cost(1_250), Ok(4_975));
    // 19.90 × 75 ÷ 500 is 2.985.
    assert_eq!(cost(75), Ok(299));

    let limited = Terms {
        per_shopper_limit: 49,
        ..terms.clone()
    };
    assert!(
        limited.require_fit(&grams(50), "").is_err(),
        "less than a step"
    );
    assert!(terms.require_fit(&grams(50), "").is_ok());

    let discounted = Terms {
        retailer_discount_basis_points: 1_500,
        ..terms
    };
    let effective = discounted.effective_price().expect("in range");
    // 15 % of 19.90 is 2.985, rounded to 2.99.
    assert_eq!(
        (effective.amount().minor_units, effective.per_quantity()),
        (1_691, 500)
    );
}

fn commission(basis_points: i64) -> TermsChange {
    TermsChange {
        commission: Some(CommissionChange {
            basis_points,
            notice: Duration::from_micros(30),
        }),
        ..TermsChange::default()
    }
}

#[test]
fn a_rise_of_the_commission_counts_at_once_and_a_cut_waits() {
    let agreed = terms();
    let change = |terms: &Terms, basis_points, now| {
        terms
            .changed(&commission(basis_points), true, Micros(now))
            .expect("changed")
    };
    let risen = change(&agreed, 1_200, 5);
    assert_eq!(
        (risen.commission_basis_points, risen.next_commission),
        (1_200, None)
    );

    let waiting = change(&agreed, 800, 5);
    let next = |basis_points, time| {
        Some(NextCommission {
            basis_points,
            effective_time: Micros(time),
        })
    };
    assert_eq!(
        (waiting.commission_basis_points, waiting.next_commission),
        (1_000, next(800, 35))
    );
    assert_eq!(
        change(&waiting, 800, 9),
        waiting,
        "the same cut keeps its time"
    );
    assert_eq!(change(&waiting, 700, 9).next_commission, next(700, 39));
    assert_eq!(
        change(&waiting, 1_000, 9),
        agreed,
        "as it is now: nothing waits"
    );
    assert_eq!(change(&waiting, 1_100, 9).next_commission, None);

    let mut due = waiting;
    assert!(!due.commission_due(Micros(34)));
    assert!(due.commission_due(Micros(35)));
    assert_eq!(
        (due.commission_basis_points, due.next_commission),
        (800, None)
    );
    assert!(!due.commission_due(Micros(99)), "once");

    let proposed = agreed
        .changed(&commission(800), false, Micros(5))
        .expect("changed");
    assert_eq!(
        (proposed.commission_basis_points, proposed.next_commission),
        (800, None)
    );
}
