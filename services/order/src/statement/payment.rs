//! Payment statements: the partner's signed word that it was paid.

use contracts::ErrorReason;
use contracts::id::OrderId;
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::Deserialize;

use super::{Claims, OneOrMany, bad, currency, named};

/// The `typ` header of a payment statement.
pub const STATEMENT_TYPE: &str = "vitrine-payment+jwt";

/// What a partner stated and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The order that was paid.
    pub order_id: OrderId,
    /// The partner's reference of the payment.
    pub payment_reference: String,
    /// What was paid; not negative.
    pub amount: Money,
    /// When, by the partner's clock.
    pub pay_time: Micros,
}

/// A payment statement as it is signed.
#[derive(Deserialize)]
pub struct PaymentClaims {
    #[serde(default, deserialize_with = "super::stated")]
    aud: Option<OneOrMany>,
    order_id: String,
    kind: String,
    minor_units: i64,
    currency_code: String,
    payment_reference: String,
    paid_at: i64,
}

impl Claims for PaymentClaims {
    const TYPE: &'static str = STATEMENT_TYPE;
    const MEMBERS: &'static str =
        "aud, order_id, kind, minor_units, currency_code, payment_reference and paid_at";
    const TIME: &'static str = "paid_at";
    const AUDIENCE_OPTIONAL: bool = true;
    type Stated = Statement;

    fn audience(&self) -> Option<&OneOrMany> {
        self.aud.as_ref()
    }

    fn time(&self) -> i64 {
        self.paid_at
    }

    fn read(self, time: Micros) -> Result<Statement, Refusal> {
        match self.kind.as_str() {
            "CHARGE" => {}
            "DEPOSIT" | "BALANCE" => {
                return Err(Refusal::new(
                    ErrorReason::NotOffered,
                    "Statements of kind DEPOSIT and BALANCE are not offered yet; charge the whole amount.",
                )
                .with("field", "statement.kind"));
            }
            _ => return Err(bad("The statement's kind must be CHARGE.")),
        }
        if self.minor_units < 0 {
            return Err(bad("The statement's minor_units must not be negative."));
        }
        Ok(Statement {
            order_id: named(&self.order_id, "order_id")?,
            payment_reference: self.payment_reference,
            amount: Money {
                currency: currency(&self.currency_code)?,
                minor_units: self.minor_units,
            },
            pay_time: time,
        })
    }
}

impl Statement {
    /// Refuses a statement that is not about what the call names.
    pub fn must_be_about(
        &self,
        order_id: &OrderId,
        payment_reference: &str,
    ) -> Result<(), Refusal> {
        if self.order_id != *order_id {
            return Err(bad("The statement is about another order than order_id."));
        }
        if self.payment_reference != payment_reference {
            return Err(bad(
                "The statement is about another payment than payment_reference.",
            ));
        }
        Ok(())
    }
}
