//! Money, prices and the division of amounts. Whole minor units only; nothing here ever rounds twice.

mod currency;

use std::fmt;

use crate::common::v1 as pb;

pub use currency::Currency;

/// The largest quantity that a price may be for.
pub const MAX_PER_QUANTITY: i64 = 1_000_000;

/// Why an amount cannot be computed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a code of ISO 4217, or one without minor units such as `XXX`.
    #[error("must be an ISO 4217 currency code in upper case, such as `EUR`")]
    UnknownCurrency,
    /// Amounts of two currencies do not add up.
    #[error("amounts are in {left} and {right}; they must be in one currency")]
    CurrencyMismatch {
        /// Currency of the first amount.
        left: Currency,
        /// Currency of the second amount.
        right: Currency,
    },
    /// The result does not fit 64 bits.
    #[error("the amount is too large to compute with")]
    Overflow,
    /// A price below zero.
    #[error("a price must not be negative")]
    NegativePrice,
    /// A price for no quantity, or for too large a one.
    #[error("a price must be for a quantity of 1 to {MAX_PER_QUANTITY}")]
    PerQuantity,
    /// A quantity below zero.
    #[error("a quantity must not be negative")]
    NegativeQuantity,
    /// A price without an amount.
    #[error("a price must have an amount")]
    MissingAmount,
}

/// An amount in whole minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// Count of the currency's minor units.
    pub minor_units: i64,
}

impl Money {
    /// An amount.
    #[must_use]
    pub const fn new(currency: Currency, minor_units: i64) -> Self {
        Self {
            currency,
            minor_units,
        }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(currency, 0)
    }

    /// The sum; both must be in one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference; both must be in one currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// The same amount the other way.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        let minor_units = self.minor_units.checked_neg();
        Ok(Self::new(
            self.currency,
            minor_units.ok_or(MoneyError::Overflow)?,
        ))
    }

    /// The sum of any number of amounts, all in `currency`.
    pub fn sum(
        currency: Currency,
        amounts: impl IntoIterator<Item = Self>,
    ) -> Result<Self, MoneyError> {
        amounts
            .into_iter()
            .try_fold(Self::zero(currency), Self::checked_add)
    }

    /// A part of the amount in basis points (a 10,000th each), rounded half away from zero.
    pub fn basis_points(self, basis_points: i64) -> Result<Self, MoneyError> {
        let part = scale(self.minor_units, basis_points, 10_000)?;
        Ok(Self::new(self.currency, part))
    }

    /// Reads the wire form.
    pub fn from_proto(money: &pb::Money) -> Result<Self, MoneyError> {
        let currency = Currency::parse(&money.currency_code)?;
        Ok(Self::new(currency, money.minor_units))
    }

    /// The wire form.
    #[must_use]
    pub fn to_proto(self) -> pb::Money {
        pb::Money {
            currency_code: self.currency.code().to_owned(),
            minor_units: self.minor_units,
        }
    }

    fn combine(
        self,
        other: Self,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            });
        }
        let minor_units = operation(self.minor_units, other.minor_units);
        Ok(Self::new(
            self.currency,
            minor_units.ok_or(MoneyError::Overflow)?,
        ))
    }
}

/// As people write it: `19.90 EUR`, `1990 JPY`, `-0.05 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.currency.exponent());
        let digits = format!(
            "{:0>width$}",
            self.minor_units.unsigned_abs(),
            width = exponent + 1
        );
        let sign = if self.minor_units < 0 { "-" } else { "" };
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        let point = if exponent == 0 { "" } else { "." };
        f.pad(&format!("{sign}{whole}{point}{fraction} {}", self.currency))
    }
}

impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        money.to_proto()
    }
}

impl TryFrom<&pb::Money> for Money {
    type Error = MoneyError;

    fn try_from(money: &pb::Money) -> Result<Self, MoneyError> {
        Self::from_proto(money)
    }
}

/// A price for a quantity: 19.90 EUR for 500 grams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Price {
    amount: Money,
    per_quantity: i64,
}

impl Price {
    /// A price: not negative, for a quantity of 1 to [`MAX_PER_QUANTITY`].
    pub fn new(amount: Money, per_quantity: i64) -> Result<Self, MoneyError> {
        if amount.minor_units < 0 {
            return Err(MoneyError::NegativePrice);
        }
        if !(1..=MAX_PER_QUANTITY).contains(&per_quantity) {
            return Err(MoneyError::PerQuantity);
        }
        Ok(Self {
            amount,
            per_quantity,
        })
    }

    /// The amount for `per_quantity`.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// The quantity that the amount is for.
    #[must_use]
    pub const fn per_quantity(&self) -> i64 {
        self.per_quantity
    }

    /// What a line of `quantity` costs: `amount × quantity ÷ per_quantity`, rounded half away from zero.
    /// This is the one rounding of a line.
    pub fn line_amount(&self, quantity: i64) -> Result<Money, MoneyError> {
        if quantity < 0 {
            return Err(MoneyError::NegativeQuantity);
        }
        let minor_units = scale(self.amount.minor_units, quantity, self.per_quantity)?;
        Ok(Money::new(self.amount.currency, minor_units))
    }

    /// Reads the wire form.
    pub fn from_proto(price: &pb::Price) -> Result<Self, MoneyError> {
        let amount = price.amount.as_ref().ok_or(MoneyError::MissingAmount)?;
        Self::new(Money::from_proto(amount)?, price.per_quantity)
    }

    /// The wire form.
    #[must_use]
    pub fn to_proto(self) -> pb::Price {
        pb::Price {
            amount: Some(self.amount.to_proto()),
            per_quantity: self.per_quantity,
        }
    }
}

impl From<Price> for pb::Price {
    fn from(price: Price) -> Self {
        price.to_proto()
    }
}

impl TryFrom<&pb::Price> for Price {
    type Error = MoneyError;

    fn try_from(price: &pb::Price) -> Result<Self, MoneyError> {
        Self::from_proto(price)
    }
}

/// `amount × factor ÷ divisor`, rounded half away from zero; `divisor` is positive.
pub fn scale(amount: i64, factor: i64, divisor: i64) -> Result<i64, MoneyError> {
    debug_assert!(divisor > 0, "only positive divisors are ever passed");
    let product = i128::from(amount) * i128::from(factor);
    let divisor = i128::from(divisor);
    let (quotient, remainder) = (product / divisor, product % divisor);
    let rounded = if remainder.abs() * 2 >= divisor {
        quotient + product.signum()
    } else {
        quotient
    };
    i64::try_from(rounded).map_err(|_| MoneyError::Overflow)
}

/// Divides `total` in proportion to `weights`, by largest remainder: the parts sum to `total` exactly,
/// each is its exact share rounded down or up, and of equal remainders the earlier weight gets the unit.
///
/// Weights below zero count as zero. When all are zero, they count as equal. A negative total is divided as
/// the positive one would be. Without weights there are no parts.
#[must_use]
pub fn allocate(total: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights
        .iter()
        .map(|&weight| i128::from(weight.max(0)))
        .sum();
    let (equal, sum) = match sum {
        0 => (true, weights.len() as i128),
        sum => (false, sum),
    };
    let magnitude = i128::from(total).abs();

    let mut left = magnitude;
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, &weight) in weights.iter().enumerate() {
        let weight = if equal { 1 } else { i128::from(weight.max(0)) };
        let product = magnitude * weight;
        parts.push(product / sum);
        remainders.push((product % sum, index));
        left -= product / sum;
    }

    // Fewer units are left than there are remainders above zero, so no zero weight ever gets one.
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for &(_, index) in remainders
        .iter()
        .take(usize::try_from(left).expect("fewer units are left than parts"))
    {
        parts[index] += 1;
    }

    let sign = i128::from(total.signum());
    parts
        .into_iter()
        .map(|part| i64::try_from(part * sign).expect("a part is never beyond the total"))
        .collect()
}

#[cfg(test)]
mod tests;
