//! Refund statements: the partner's signed word that it paid money back, or that it could not.
//!
//! The same keys sign them as payments, so the header's `typ` and the claim `kind` keep the two apart.

use kit::clock::Micros;
use kit::errors::Refusal;
use serde::Deserialize;

use super::{Claims, OneOrMany, bad, currency, named, reference};
use crate::model::refund::RefundShares;
use crate::model::{RefundFailure, RefundStatement};

/// The `typ` header of a refund statement.
pub const REFUND_STATEMENT_TYPE: &str = "vitrine-refund+jwt";

/// A refund statement as it is signed.
#[derive(Deserialize)]
pub struct RefundClaims {
    aud: OneOrMany,
    kind: String,
    order_id: String,
    refund_id: String,
    shopper_minor_units: i64,
    partner_minor_units: i64,
    currency_code: String,
    refund_reference: String,
    reported_at: i64,
    failure: Option<String>,
}

impl Claims for RefundClaims {
    const TYPE: &'static str = REFUND_STATEMENT_TYPE;
    const MEMBERS: &'static str = "aud, kind, order_id, refund_id, shopper_minor_units, partner_minor_units, \
                                   currency_code, refund_reference and reported_at, and with failure if it failed";
    const TIME: &'static str = "reported_at";
    type Stated = RefundStatement;

    fn audience(&self) -> Option<&OneOrMany> {
        Some(&self.aud)
    }

    fn time(&self) -> i64 {
        self.reported_at
    }

    fn read(self, time: Micros) -> Result<RefundStatement, Refusal> {
        let failure = failure(&self)?;
        if self.shopper_minor_units < 0 || self.partner_minor_units < 0 {
            return Err(bad(
                "The statement's shopper_minor_units and partner_minor_units must not be negative.",
            ));
        }
        Ok(RefundStatement {
            order_id: named(&self.order_id, "order_id")?,
            refund_id: named(&self.refund_id, "refund_id")?,
            amounts: RefundShares {
                shopper: self.shopper_minor_units,
                partner: self.partner_minor_units,
            },
            currency: currency(&self.currency_code)?,
            refund_reference: reference(self.refund_reference, "refund_reference")?,
            failure,
            report_time: time,
        })
    }
}

fn failure(claims: &RefundClaims) -> Result<Option<RefundFailure>, Refusal> {
    match (claims.kind.as_str(), claims.failure.as_deref()) {
        ("REFUND_EXECUTED", None) => Ok(None),
        ("REFUND_EXECUTED", Some(_)) => Err(bad(
            "A statement of kind REFUND_EXECUTED must not have failure.",
        )),
        ("REFUND_FAILED", failure) => match failure.and_then(RefundFailure::parse) {
            Some(failure) => Ok(Some(failure)),
            None => Err(bad(
                "A statement of kind REFUND_FAILED must say why in failure: ACCOUNT_CLOSED, DECLINED, \
                 PAYMENT_TOO_OLD, INSUFFICIENT_FUNDS or OTHER.",
            )),
        },
        _ => Err(bad(
            "The statement's kind must be REFUND_EXECUTED or REFUND_FAILED.",
        )),
    }
}
