//! Sums of what was sold, by day, currency and collector, and what they are worth in another currency.
//!
//! A row is worth `amount × rate`, an exact fraction of a minor unit. Each amount of the total is the exact sum of its
//! rows' worth, rounded once, half away from zero; the rows' amounts are shared out of it by largest remainder, so that
//! they sum to it and none is off its exact worth by a whole minor unit.

use contracts::money::Currency;

use super::listing::CollectedBy;
use super::rate::{Day, Decimal};

/// Declares the members of a row in the order of its array.
macro_rules! figures {
    ($(#[$meta:meta])* $name:ident, $count:ident: $($(#[$doc:meta])* $figure:ident,)+) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $figure,)+
        }

        /// How many there are.
        pub const $count: usize = [$($name::$figure),+].len();
    };
}

figures! {
    /// How many.
    Count, COUNTS:
    /// Orders placed.
    OrdersPlaced,
    /// Orders paid.
    OrdersPaid,
    /// Pieces in them.
    PiecesPaid,
    /// Grams in them.
    GramsPaid,
    /// Refunds authorised.
    RefundsAuthorised,
    /// Refunds executed.
    RefundsExecuted,
    /// Conversions.
    Conversions,
    /// Reversals of conversions.
    Reversals,
}

figures! {
    /// How much.
    Amount, AMOUNTS:
    /// Payable of orders placed.
    PlacedPayable,
    /// Price × quantity of orders paid.
    Gross,
    /// What the retailer took off.
    RetailerDiscount,
    /// What the partner took off.
    PartnerDiscount,
    /// Shipping.
    Shipping,
    /// Tax.
    Tax,
    /// The part of it that was added.
    TaxAdded,
    /// What shoppers paid.
    Payable,
    /// Commission.
    Commission,
    /// Refunds authorised, to shoppers.
    DueShopper,
    /// Refunds authorised, to partners.
    DuePartner,
    /// Refunds executed, to shoppers.
    ExecutedShopper,
    /// Refunds executed, to partners.
    ExecutedPartner,
    /// Paid in the retailer's shop.
    Converted,
    /// Commission on it.
    ConvertedCommission,
    /// What of it went back.
    Reversed,
    /// Commission that went back.
    ReversedCommission,
}

/// Amounts in minor units of one currency, by [`Amount`].
pub type Amounts = [i64; AMOUNTS];
/// Counts, by [`Count`].
pub type Counts = [i64; COUNTS];

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowKey {
    /// The day.
    pub day: Day,
    /// The currency.
    pub currency: Currency,
    /// Who took the money.
    pub collected_by: CollectedBy,
}

/// What happened on one day in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is of.
    pub key: RowKey,
    /// How many.
    pub counts: Counts,
    /// How much.
    pub amounts: Amounts,
}

/// A sum does not fit what amounts are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sums are too large to compute with")]
pub struct TooLarge;

/// Rows under way, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// The row of a key.
    pub fn row(&mut self, key: RowKey) -> &mut Row {
        let order = |key: &RowKey| (key.day, key.currency.code(), key.collected_by);
        let place = self
            .0
            .binary_search_by(|row| order(&row.key).cmp(&order(&key)));
        let at = place.unwrap_or_else(|at| {
            self.0.insert(
                at,
                Row {
                    key,
                    counts: [0; COUNTS],
                    amounts: [0; AMOUNTS],
                },
            );
            at
        });
        &mut self.0[at]
    }

    /// All of them.
    pub fn finish(self) -> Vec<Row> {
        self.0
    }
}

/// The sum of amounts.
pub fn add(sum: &mut Amounts, amounts: &Amounts) -> Result<(), TooLarge> {
    for (sum, amount) in sum.iter_mut().zip(amounts) {
        *sum = sum.checked_add(*amount).ok_or(TooLarge)?;
    }
    Ok(())
}

/// Amounts in the reporting currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worth {
    /// Of each row.
    pub rows: Vec<Amounts>,
    /// Of all rows together.
    pub total: Amounts,
}

/// How one minor unit converts: `units × 10^exponent` minor units of the other currency.
#[derive(Clone, Copy, Debug)]
struct Factor {
    units: i64,
    exponent: i32,
}

impl Factor {
    fn new(from: Currency, to: Currency, rate: Option<Decimal>) -> Self {
        let rate = rate.unwrap_or(Decimal { units: 1, scale: 0 });
        let digits = |currency: Currency| i32::from(currency.exponent());
        let scale = i32::try_from(rate.scale).unwrap_or(i32::MAX);
        Factor {
            units: rate.units,
            exponent: digits(to) - digits(from) - scale,
        }
    }
}

/// Converts rows to `to`, each at its own rate; none for a row that is in this currency already.
pub fn convert(rows: &[(Row, Option<Decimal>)], to: Currency) -> Result<Worth, TooLarge> {
    let factors: Vec<Factor> = rows
        .iter()
        .map(|(row, rate)| Factor::new(row.key.currency, to, *rate))
        .collect();
    // One denominator for all, a power of ten, so that sums are exact.
    let digits = factors
        .iter()
        .map(|factor| factor.exponent.min(0).unsigned_abs())
        .max()
        .unwrap_or(0);
    let denominator = power_of_ten(digits)?;
    let mut worth = Worth {
        rows: vec![[0; AMOUNTS]; rows.len()],
        total: [0; AMOUNTS],
    };
    for at in 0..AMOUNTS {
        let exact = rows
            .iter()
            .zip(&factors)
            .map(|((row, _), factor)| numerator(row.amounts[at], *factor, digits))
            .collect::<Result<Vec<i128>, TooLarge>>()?;
        let (total, parts) = share(&exact, denominator)?;
        worth.total[at] = total;
        for (row, part) in worth.rows.iter_mut().zip(parts) {
            row[at] = part;
        }
    }
    Ok(worth)
}

/// `amount × factor × 10^digits`, a whole number.
fn numerator(amount: i64, factor: Factor, digits: u32) -> Result<i128, TooLarge> {
    let raised = i64::from(factor.exponent) + i64::from(digits);
    let power = power_of_ten(u32::try_from(raised).map_err(|_| TooLarge)?)?;
    i128::from(amount)
        .checked_mul(i128::from(factor.units))
        .and_then(|product| product.checked_mul(power))
        .ok_or(TooLarge)
}

fn power_of_ten(digits: u32) -> Result<i128, TooLarge> {
    10_i128.checked_pow(digits).ok_or(TooLarge)
}

/// The sum of fractions that are not negative, rounded once, and its parts by largest remainder.
fn share(numerators: &[i128], denominator: i128) -> Result<(i64, Vec<i64>), TooLarge> {
    let mut sum: i128 = 0;
    let (mut parts, mut remainders) = (Vec::with_capacity(numerators.len()), Vec::new());
    let mut shared: i128 = 0;
    for (at, numerator) in numerators.iter().enumerate() {
        sum = sum.checked_add(*numerator).ok_or(TooLarge)?;
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        shared += whole;
        parts.push(i64::try_from(whole).map_err(|_| TooLarge)?);
        if rest > 0 {
            remainders.push((rest, at));
        }
    }
    let rest = sum % denominator;
    let up = i128::from(rest >= denominator - rest);
    let total = i64::try_from(sum / denominator + up).map_err(|_| TooLarge)?;
    // The remainders are each less than one, so there are at least as many as units are left.
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let left = usize::try_from(i128::from(total) - shared).map_err(|_| TooLarge)?;
    for (_, at) in remainders.into_iter().take(left) {
        parts[at] += 1;
    }
    Ok((total, parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).expect("a currency")
    }

    fn row(code: &str, gross: i64) -> Row {
        let mut amounts = [0; AMOUNTS];
        amounts[Amount::Gross as usize] = gross;
        Row {
            key: RowKey {
                day: Day(1),
                currency: currency(code),
                collected_by: CollectedBy::Partner,
            },
            counts: [0; COUNTS],
            amounts,
        }
    }

    fn decimal(units: i64, scale: u32) -> Option<Decimal> {
        Some(Decimal { units, scale })
    }

    fn gross(worth: &Worth) -> (i64, Vec<i64>) {
        let at = Amount::Gross as usize;
        (
            worth.total[at],
            worth.rows.iter().map(|row| row[at]).collect(),
        )
    }

    #[test]
    fn minor_units_of_each_currency_are_what_they_are() {
        // 1,000 yen at 0.0061 is 6.10 euros; 1.500 Kuwaiti dinars at 3.02 are 4.53; 2.05 euros stay what they are.
        let rows = [
            (row("JPY", 1_000), decimal(61, 4)),
            (row("KWD", 1_500), decimal(302, 2)),
            (row("EUR", 205), None),
        ];
        let worth = convert(&rows, Currency::EUR).expect("small");
        assert_eq!(gross(&worth), (1_268, vec![610, 453, 205]));
        // And the other way: 100.01 euros at 163.335 are 16,335.13… yen.
        let worth = convert(
            &[(row("EUR", 10_001), decimal(163_335, 3))],
            currency("JPY"),
        )
        .expect("small");
        assert_eq!(gross(&worth), (16_335, vec![16_335]));
    }

    #[test]
    fn the_sum_is_rounded_once_and_the_parts_make_it() {
        // Three times 0.5 cents: rounded one by one they would be 3, together they are 1.5, so 2.
        let rows = [
            (row("USD", 1), decimal(5, 1)),
            (row("USD", 1), decimal(5, 1)),
            (row("USD", 1), decimal(5, 1)),
        ];
        let worth = convert(&rows, Currency::EUR).expect("small");
        assert_eq!(gross(&worth), (2, vec![1, 1, 0]));
    }

    #[test]
    fn nothing_is_worth_nothing() {
        assert_eq!(
            convert(&[], Currency::EUR).expect("empty").total,
            [0; AMOUNTS]
        );
    }

    #[test]
    fn what_is_too_large_is_said() {
        let rows = [
            (row("USD", i64::MAX), decimal(1_000_000_000_000, 0)),
            (row("USD", 1), decimal(1, 12)),
        ];
        assert_eq!(convert(&rows, Currency::EUR), Err(TooLarge));
        let mut sum = [i64::MAX; AMOUNTS];
        assert_eq!(add(&mut sum, &[1; AMOUNTS]), Err(TooLarge));
    }

    #[test]
    fn rows_are_in_the_order_of_their_keys() {
        let mut rows = Rows::default();
        let key = |day, code, collected_by| RowKey {
            day: Day(day),
            currency: currency(code),
            collected_by,
        };
        for key in [
            key(2, "EUR", CollectedBy::Partner),
            key(1, "USD", CollectedBy::Retailer),
            key(1, "USD", CollectedBy::Partner),
            key(1, "EUR", CollectedBy::Partner),
            key(1, "USD", CollectedBy::Partner),
        ] {
            rows.row(key).counts[0] += 1;
        }
        let told: Vec<(i64, &str, i64)> = rows
            .finish()
            .iter()
            .map(|row| (row.key.day.0, row.key.currency.code(), row.counts[0]))
            .collect();
        assert_eq!(
            told,
            [(1, "EUR", 1), (1, "USD", 2), (1, "USD", 1), (2, "EUR", 1)]
        );
    }

    proptest! {
        /// The parts sum to the total, the total is the exact sum rounded once, no part is a whole unit off.
        #[test]
        fn parts_and_total_agree(
            said in prop::collection::vec((0..1_000_000_000i64, 1..100_000i64, 0..8u32, 0..4usize), 0..40),
            to in 0..4usize,
        ) {
            const CODES: [&str; 4] = ["EUR", "JPY", "KWD", "USD"];
            let rows: Vec<(Row, Option<Decimal>)> = said.iter()
                .map(|(amount, units, scale, code)| (row(CODES[*code], *amount), decimal(*units, *scale)))
                .collect();
            let to = currency(CODES[to]);
            let (total, parts) = gross(&convert(&rows, to).expect("within bounds"));
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            // The same sum over one large denominator, worked out apart.
            let denominator = 10_i128.pow(12);
            let exact = |(row, rate): &(Row, Option<Decimal>)| {
                let rate = rate.expect("each has one");
                let raised = 12 + i32::from(to.exponent()) - i32::from(row.key.currency.exponent()) - rate.scale as i32;
                i128::from(row.amounts[Amount::Gross as usize]) * i128::from(rate.units) * 10_i128.pow(raised as u32)
            };
            let sum: i128 = rows.iter().map(exact).sum();
            prop_assert_eq!(i128::from(total), (sum + denominator / 2) / denominator);
            for (row, part) in rows.iter().zip(&parts) {
                prop_assert!((exact(row) - i128::from(*part) * denominator).abs() < denominator);
            }
        }
    }
}
