//! Amounts and prices.

use contracts::common::v1;
use contracts::money::{Currency, Money, Price};

use super::Violations;

/// The largest quantity that a price may be for.
const MAX_PER_QUANTITY: i64 = 1_000_000;

impl Violations {
    /// An amount that is not negative.
    pub fn money(&mut self, field: &str, value: &Option<v1::Money>) -> Option<Money> {
        let money = self.signed_money(field, value)?;
        if money.minor_units < 0 {
            self.add(&format!("{field}.minor_units"), "must not be negative.");
            return None;
        }
        Some(money)
    }

    /// An amount that may be negative.
    pub fn signed_money(&mut self, field: &str, value: &Option<v1::Money>) -> Option<Money> {
        let value = self.required(field, value)?;
        match value.currency_code.parse::<Currency>() {
            Ok(currency) => Some(Money {
                currency,
                minor_units: value.minor_units,
            }),
            Err(_) => {
                self.add(
                    &format!("{field}.currency_code"),
                    "must be an ISO 4217 code in capitals, such as EUR.",
                );
                None
            }
        }
    }

    /// A price for a quantity; not negative.
    pub fn price(&mut self, field: &str, value: &Option<v1::Price>) -> Option<Price> {
        let value = self.required(field, value)?;
        let mut inside = self.nested(field);
        let amount = inside.money("amount", &value.amount);
        if !(1..=MAX_PER_QUANTITY).contains(&value.per_quantity) {
            inside.range("per_quantity", value.per_quantity, 1..=MAX_PER_QUANTITY);
            return None;
        }
        Price::new(amount?, value.per_quantity)
            .map_err(|error| inside.add("per_quantity", format!("is wrong ({error}).")))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(code: &str, minor_units: i64) -> Option<v1::Money> {
        Some(v1::Money {
            currency_code: code.into(),
            minor_units,
        })
    }

    #[test]
    fn right_amounts_give_typed_ones() {
        let mut v = Violations::new();
        assert_eq!(
            v.money("amount", &money("EUR", 5))
                .map(|money| money.minor_units),
            Some(5)
        );
        assert_eq!(
            v.signed_money("change", &money("JPY", -5))
                .map(|money| money.minor_units),
            Some(-5)
        );
        let price = Some(v1::Price {
            amount: money("EUR", 1_990),
            per_quantity: 500,
        });
        assert_eq!(
            v.price("price", &price).map(|price| price.per_quantity()),
            Some(500)
        );
        assert_eq!(v.finish(), Ok(()));
    }

    #[test]
    fn wrong_amounts_are_named_by_their_part() {
        let mut v = Violations::new();
        assert!(v.money("absent", &None).is_none());
        assert!(v.money("low", &money("eur", 1)).is_none());
        assert!(v.money("negative", &money("EUR", -1)).is_none());
        let price = Some(v1::Price {
            amount: money("XXX1", 1),
            per_quantity: 0,
        });
        assert!(v.price("price", &price).is_none());
        let refusal = v.finish().expect_err("all are wrong");
        let fields: Vec<_> = refusal
            .violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "absent",
                "low.currency_code",
                "negative.minor_units",
                "price.amount.currency_code",
                "price.per_quantity",
            ]
        );
    }
}
