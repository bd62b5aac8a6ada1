//! Refund statements: the partner's signed word that it paid money back, or that it could not.
//!
//! The same keys sign them as payments, so the header's `typ` and the claim `kind` keep the two apart, and `aud`
//! keeps apart what a partner signs for others.

use contracts::id::{OrderId, RefundId};
use contracts::money::Currency;
use kit::auth::jws::{self, PublicKey};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::Deserialize;

use super::{TIME_MAX_S, bad};
use crate::model::refund::RefundShares;
use crate::model::{RefundFailure, RefundStatement};

/// The `typ` header of a refund statement.
pub const REFUND_STATEMENT_TYPE: &str = "vitrine-refund+jwt";

/// What `aud` must name.
pub const AUDIENCE: &str = "vitrine";

/// The longest reference of a refund, in characters.
pub(super) const REFERENCE_CHARS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn has(&self, wanted: &str) -> bool {
        match self {
            OneOrMany::One(one) => one == wanted,
            OneOrMany::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

#[derive(Deserialize)]
struct Claims {
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

/// Checks the signature under a key of the partner and reads what was signed of a refund.
pub fn verify(token: &str, key: &PublicKey) -> Result<RefundStatement, Refusal> {
    let payload = jws::verify(token, key)
        .map_err(|error| bad(format!("The statement's signature does not hold: {error}.")))?;
    read(&payload)
}

fn read(payload: &[u8]) -> Result<RefundStatement, Refusal> {
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| {
        bad(
            "The statement must be a JSON object with aud, kind, order_id, refund_id, shopper_minor_units, \
             partner_minor_units, currency_code, refund_reference and reported_at, and with failure if it failed.",
        )
    })?;
    if !claims.aud.has(AUDIENCE) {
        return Err(bad("The statement's aud must be or contain \"vitrine\"."));
    }
    let failure = failure(&claims)?;
    let order_id: OrderId = claims
        .order_id
        .parse()
        .map_err(|_| bad("The statement's order_id is no order id."))?;
    let refund_id: RefundId = claims
        .refund_id
        .parse()
        .map_err(|_| bad("The statement's refund_id is no refund id."))?;
    let currency: Currency = claims
        .currency_code
        .parse()
        .map_err(|_| bad("The statement's currency_code must be an ISO 4217 code in capitals."))?;
    if claims.shopper_minor_units < 0 || claims.partner_minor_units < 0 {
        return Err(bad(
            "The statement's shopper_minor_units and partner_minor_units must not be negative.",
        ));
    }
    let reference = &claims.refund_reference;
    if !(1..=REFERENCE_CHARS_MAX).contains(&reference.chars().count()) || reference.contains('\0') {
        return Err(bad(
            "The statement's refund_reference must have 1 to 128 characters.",
        ));
    }
    if !(0..=TIME_MAX_S).contains(&claims.reported_at) {
        return Err(bad(
            "The statement's reported_at must be in seconds since 1970 UTC.",
        ));
    }
    Ok(RefundStatement {
        order_id,
        refund_id,
        amounts: RefundShares {
            shopper: claims.shopper_minor_units,
            partner: claims.partner_minor_units,
        },
        currency,
        refund_reference: claims.refund_reference,
        failure,
        report_time: Micros::from_seconds(claims.reported_at),
    })
}

fn failure(claims: &Claims) -> Result<Option<RefundFailure>, Refusal> {
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

#[cfg(test)]
mod tests {
    use contracts::ErrorReason;

    use super::*;

    fn claims() -> serde_json::Value {
        serde_json::json!({
            "aud": "vitrine",
            "kind": "REFUND_EXECUTED",
            "order_id": OrderId::from_uuid(7).as_str(),
            "refund_id": RefundId::from_uuid(8).as_str(),
            "shopper_minor_units": 1_990,
            "partner_minor_units": 500,
            "currency_code": "EUR",
            "refund_reference": "r-1",
            "reported_at": 1_790_000_000,
        })
    }

    fn with(name: &str, value: serde_json::Value) -> Result<RefundStatement, Refusal> {
        let mut claims = claims();
        claims[name] = value;
        read(claims.to_string().as_bytes())
    }

    #[test]
    fn reads_what_was_signed() {
        let stated = read(claims().to_string().as_bytes()).expect("good claims");
        assert_eq!(
            stated.amounts,
            RefundShares {
                shopper: 1_990,
                partner: 500
            }
        );
        assert_eq!(stated.failure, None);
        assert_eq!(stated.report_time, Micros::from_seconds(1_790_000_000));
        assert!(with("aud", serde_json::json!(["other", "vitrine"])).is_ok());
        assert!(with("more", "is welcome".into()).is_ok());
        let mut failed = claims();
        failed["kind"] = "REFUND_FAILED".into();
        failed["failure"] = "DECLINED".into();
        let stated = read(failed.to_string().as_bytes()).expect("good claims");
        assert_eq!(stated.failure, Some(RefundFailure::Declined));
    }

    #[test]
    fn wrong_claims_are_refused() {
        for (name, value) in [
            ("aud", "other".into()),
            ("aud", serde_json::json!([])),
            ("aud", serde_json::Value::Null),
            ("kind", "CHARGE".into()),
            ("kind", "REFUND_FAILED".into()),
            ("failure", "DECLINED".into()),
            ("order_id", RefundId::from_uuid(8).as_str().into()),
            ("refund_id", "x".into()),
            ("shopper_minor_units", (-1).into()),
            ("partner_minor_units", (-1).into()),
            ("partner_minor_units", 1.5.into()),
            ("currency_code", "eur".into()),
            ("refund_reference", "".into()),
            ("refund_reference", "x".repeat(129).into()),
            ("reported_at", (-1).into()),
            ("reported_at", i64::MAX.into()),
        ] {
            let refusal = with(name, value).expect_err(name);
            assert_eq!(refusal.reason, ErrorReason::BadStatement, "{name}");
        }
    }
}
