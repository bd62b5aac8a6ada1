use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn eur(minor_units: i64) -> Money {
    Money::new(Currency::EUR, minor_units)
}

fn price(minor_units: i64, per_quantity: i64) -> Price {
    Price::new(eur(minor_units), per_quantity).unwrap()
}

#[rstest]
#[case("EUR", 2)]
#[case("USD", 2)]
#[case("JPY", 0)]
#[case("KRW", 0)]
#[case("KWD", 3)]
#[case("CLF", 4)]
#[case("CNY", 2)]
fn knows_currencies(#[case] code: &str, #[case] exponent: u8) {
    let currency = Currency::parse(code).unwrap();
    assert_eq!(currency.code(), code);
    assert_eq!(currency.exponent(), exponent);
    assert_eq!(code.parse(), Ok(currency));
    assert_eq!(format!("{currency} {currency:?}"), format!("{code} {code}"));
}

#[rstest]
#[case("")]
#[case("eur")]
#[case("Eur")]
#[case("EU")]
#[case("EURO")]
#[case(" EUR")]
#[case("EUR ")]
#[case("978")]
#[case("€")]
#[case("ABC")]
#[case::no_currency("XXX")]
#[case::gold("XAU")]
#[case::drawing_rights("XDR")]
fn refuses_what_is_no_currency(#[case] code: &str) {
    assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency));
}

#[rstest]
#[case(1990, "EUR", "19.90 EUR")]
#[case(5, "EUR", "0.05 EUR")]
#[case(0, "EUR", "0.00 EUR")]
#[case(-5, "EUR", "-0.05 EUR")]
#[case(-123_456, "EUR", "-1234.56 EUR")]
#[case(1990, "JPY", "1990 JPY")]
#[case(0, "JPY", "0 JPY")]
#[case(1990, "KWD", "1.990 KWD")]
#[case(i64::MIN, "EUR", "-92233720368547758.08 EUR")]
fn prints_as_people_write(#[case] minor_units: i64, #[case] code: &str, #[case] text: &str) {
    let money = Money::new(Currency::parse(code).unwrap(), minor_units);
    assert_eq!(money.to_string(), text);
}

#[test]
fn adds_and_subtracts_in_one_currency_only() {
    assert_eq!(eur(5).checked_add(eur(7)), Ok(eur(12)));
    assert_eq!(eur(5).checked_sub(eur(7)), Ok(eur(-2)));
    assert_eq!(eur(5).checked_neg(), Ok(eur(-5)));
    assert_eq!(
        Money::sum(Currency::EUR, [eur(1), eur(2), eur(3)]),
        Ok(eur(6))
    );
    assert_eq!(Money::sum(Currency::EUR, []), Ok(eur(0)));

    let mismatch = Err(MoneyError::CurrencyMismatch {
        left: Currency::EUR,
        right: Currency::JPY,
    });
    let yen = Money::new(Currency::JPY, 1);
    assert_eq!(eur(0).checked_add(yen), mismatch);
    assert_eq!(eur(0).checked_sub(yen), mismatch);
    assert_eq!(Money::sum(Currency::EUR, [yen]), mismatch);
}

#[test]
fn refuses_to_overflow() {
    let overflow = Err(MoneyError::Overflow);
    assert_eq!(eur(i64::MAX).checked_add(eur(1)), overflow);
    assert_eq!(eur(i64::MIN).checked_sub(eur(1)), overflow);
    assert_eq!(eur(i64::MIN).checked_neg(), overflow);
    assert_eq!(price(i64::MAX, 1).line_amount(2), overflow);
    assert_eq!(price(i64::MAX, 2).line_amount(2), Ok(eur(i64::MAX)));
}

#[rstest]
#[case::pieces(1990, 1, 3, 5970)]
#[case::grams(1990, 500, 250, 995)]
#[case::half_goes_up(1, 2, 1, 1)]
#[case::below_half_goes_down(1, 3, 1, 0)]
#[case::above_half_goes_up(2, 3, 1, 1)]
#[case::one_and_a_half(3, 2, 1, 2)]
#[case::two_and_a_half_is_no_bankers_rounding(5, 2, 1, 3)]
#[case::nothing_bought(1990, 1, 0, 0)]
#[case::free(0, 500, 123, 0)]
#[case::largest_per_quantity(1, 1_000_000, 499_999, 0)]
#[case::largest_per_quantity_half(1, 1_000_000, 500_000, 1)]
fn rounds_a_line_once(
    #[case] minor_units: i64,
    #[case] per_quantity: i64,
    #[case] quantity: i64,
    #[case] line: i64,
) {
    let price = price(minor_units, per_quantity);
    assert_eq!(price.line_amount(quantity), Ok(eur(line)));
}

#[rstest]
#[case::half_away_from_zero(-5, 1, 2, -3)]
#[case::below_half(-4, 1, 3, -1)]
#[case::two_negatives(-5, -1, 2, 3)]
fn rounds_negative_amounts_like_positive_ones(
    #[case] amount: i64,
    #[case] factor: i64,
    #[case] divisor: i64,
    #[case] scaled: i64,
) {
    assert_eq!(scale(amount, factor, divisor), Ok(scaled));
}

#[test]
fn takes_basis_points() {
    assert_eq!(eur(1990).basis_points(1_000), Ok(eur(199)));
    assert_eq!(eur(1995).basis_points(1_000), Ok(eur(200)));
    assert_eq!(eur(-1995).basis_points(1_000), Ok(eur(-200)));
    assert_eq!(eur(i64::MAX).basis_points(10_000), Ok(eur(i64::MAX)));
    assert_eq!(
        eur(i64::MAX).basis_points(10_001),
        Err(MoneyError::Overflow)
    );
}

#[test]
fn refuses_prices_that_make_no_sense() {
    assert_eq!(Price::new(eur(-1), 1), Err(MoneyError::NegativePrice));
    for per_quantity in [0, -1, MAX_PER_QUANTITY + 1] {
        assert_eq!(
            Price::new(eur(1), per_quantity),
            Err(MoneyError::PerQuantity)
        );
    }
    assert_eq!(
        price(1, 1).line_amount(-1),
        Err(MoneyError::NegativeQuantity)
    );
}

#[test]
fn reads_and_writes_the_wire_form() {
    let wire = pb::Price {
        amount: Some(pb::Money {
            currency_code: "EUR".into(),
            minor_units: 1990,
        }),
        per_quantity: 500,
    };
    let read = Price::from_proto(&wire).unwrap();
    assert_eq!(read, price(1990, 500));
    assert_eq!(read.to_proto(), wire);

    let without_amount = pb::Price {
        amount: None,
        ..wire.clone()
    };
    assert_eq!(
        Price::try_from(&without_amount),
        Err(MoneyError::MissingAmount)
    );
    let unknown = pb::Money {
        currency_code: "eur".into(),
        minor_units: 1,
    };
    assert_eq!(Money::try_from(&unknown), Err(MoneyError::UnknownCurrency));
}

#[rstest]
#[case::thirds(100, &[1, 1, 1], &[34, 33, 33])]
#[case::two_units_left(200, &[1, 1, 1], &[67, 67, 66])]
#[case::largest_remainder_wins(10, &[6, 3, 1], &[6, 3, 1])]
#[case::not_the_first_but_the_largest_remainder(10, &[33, 33, 34], &[3, 3, 4])]
#[case::a_zero_weight_gets_nothing(5, &[0, 1, 0, 1], &[0, 3, 0, 2])]
#[case::a_negative_weight_counts_as_zero(5, &[-7, 1], &[0, 5])]
#[case::all_zero_is_equal(5, &[0, 0], &[3, 2])]
#[case::negative_total(-100, &[1, 1, 1], &[-34, -33, -33])]
#[case::fewer_units_than_weights(2, &[1, 1, 1, 1], &[1, 1, 0, 0])]
#[case::nothing(0, &[1, 2, 3], &[0, 0, 0])]
#[case::no_weights(7, &[], &[])]
#[case::extremes(i64::MAX, &[i64::MAX, i64::MAX], &[4_611_686_018_427_387_904, 4_611_686_018_427_387_903])]
#[case::smallest_total(i64::MIN, &[1], &[i64::MIN])]
fn allocates_by_largest_remainder(
    #[case] total: i64,
    #[case] weights: &[i64],
    #[case] parts: &[i64],
) {
    assert_eq!(allocate(total, weights), parts);
}

/// The exact share as a fraction `total × weight / sum`, compared without rounding.
fn within_one_unit(total: i64, weights: &[i64], parts: &[i64]) -> bool {
    let sum: i128 = weights.iter().map(|&w| i128::from(w)).sum();
    weights.iter().zip(parts).all(|(&weight, &part)| {
        let difference = i128::from(part) * sum - i128::from(total) * i128::from(weight);
        difference.abs() < sum
    })
}

proptest! {
    #[test]
    fn parts_sum_to_the_total(total: i64, weights in prop::collection::vec(any::<i64>(), 1..40)) {
        let parts = allocate(total, &weights);
        prop_assert_eq!(parts.len(), weights.len());
        prop_assert_eq!(parts.iter().map(|&part| i128::from(part)).sum::<i128>(), i128::from(total));
    }

    #[test]
    fn parts_are_the_exact_share_rounded_down_or_up(
        total in -1_000_000_000_000i64..1_000_000_000_000,
        weights in prop::collection::vec(0i64..1_000_000_000, 1..40),
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        prop_assert!(within_one_unit(total, &weights, &allocate(total, &weights)));
    }

    #[test]
    fn a_larger_weight_never_gets_less(
        total in 0i64..1_000_000,
        weights in prop::collection::vec(0i64..1_000, 1..20),
    ) {
        let parts = allocate(total, &weights);
        for (a, &weight) in weights.iter().enumerate() {
            for (b, &other) in weights.iter().enumerate() {
                prop_assert!(weight <= other || parts[a] >= parts[b]);
            }
        }
    }

    #[test]
    fn a_zero_weight_gets_nothing_beside_others(
        total: i64,
        weights in prop::collection::vec(0i64..5, 1..20),
    ) {
        prop_assume!(weights.iter().any(|&weight| weight > 0));
        for (weight, part) in weights.iter().zip(allocate(total, &weights)) {
            prop_assert!(*weight > 0 || part == 0);
        }
    }

    #[test]
    fn a_line_is_the_nearest_amount(
        minor_units in 0i64..=1_000_000_000,
        per_quantity in 1i64..=MAX_PER_QUANTITY,
        quantity in 0i64..=1_000_000_000,
    ) {
        let line = price(minor_units, per_quantity).line_amount(quantity).unwrap().minor_units;
        let exact = i128::from(minor_units) * i128::from(quantity);
        let distance = i128::from(line) * i128::from(per_quantity) - exact;
        // At most half a minor unit away, and when it is exactly half, above.
        prop_assert!(distance.abs() * 2 <= i128::from(per_quantity));
        prop_assert!(distance.abs() * 2 != i128::from(per_quantity) || distance > 0);
    }

    #[test]
    fn more_never_costs_less(
        minor_units in 0i64..=1_000_000,
        per_quantity in 1i64..=MAX_PER_QUANTITY,
        quantity in 0i64..=1_000_000,
    ) {
        let price = price(minor_units, per_quantity);
        let line = price.line_amount(quantity).unwrap().minor_units;
        prop_assert!(price.line_amount(quantity + 1).unwrap().minor_units >= line);
    }

    #[test]
    fn a_sum_is_exact_or_refused(a: i64, b: i64) {
        match eur(a).checked_add(eur(b)) {
            Ok(sum) => {
                prop_assert_eq!(i128::from(sum.minor_units), i128::from(a) + i128::from(b));
                prop_assert_eq!(sum.checked_sub(eur(b)), Ok(eur(a)));
            }
            Err(error) => {
                prop_assert_eq!(error, MoneyError::Overflow);
                prop_assert!(a.checked_add(b).is_none());
            }
        }
    }

    #[test]
    fn the_wire_form_round_trips(minor_units: i64) {
        let money = Money::new(Currency::USD, minor_units);
        prop_assert_eq!(Money::from_proto(&money.to_proto()), Ok(money));
    }
}
