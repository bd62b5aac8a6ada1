//! Payment statements: the partner's signed word that it was paid.
//!
//! A statement is a compact JWS under a key that the partner has registered. The header is read only to find
//! the key and to see that the signer meant a payment (`typ`); what was signed is read after the signature
//! held. Whether the order exists, and what the payment does to it, is decided elsewhere.

pub mod money;
pub mod refund;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ErrorReason;
use contracts::id::OrderId;
use contracts::money::{Currency, Money};
use kit::auth::jws::{self, PublicKey};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::Deserialize;

/// The longest statement that is looked at.
pub const STATEMENT_CHARS_MAX: usize = 8_192;

/// The `typ` header of a payment statement.
pub const STATEMENT_TYPE: &str = "vitrine-payment+jwt";

/// The latest moment a statement may name, in seconds: the end of the year 9999.
const TIME_MAX_S: i64 = 253_402_300_799;

/// What the header of a statement says; not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// The key that it says it is signed with.
    pub kid: String,
}

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

#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    order_id: String,
    kind: String,
    minor_units: i64,
    currency_code: String,
    payment_reference: String,
    paid_at: i64,
}

/// Reads the header: the form, the type and which key to look up.
pub fn unverified(token: &str, wanted_type: &str) -> Result<Unverified, Refusal> {
    let header: Header = token
        .split_once('.')
        .and_then(|(header, _)| URL_SAFE_NO_PAD.decode(header).ok())
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| {
            bad("The statement is no compact JWS; send header.payload.signature in base64url.")
        })?;
    if header.typ.as_deref() != Some(wanted_type) {
        return Err(bad(format!(
            "The statement's header must have typ \"{wanted_type}\"."
        )));
    }
    match header.kid {
        Some(kid) if (1..=64).contains(&kid.chars().count()) && !kid.contains('\0') => {
            Ok(Unverified { kid })
        }
        _ => Err(bad(
            "The statement's header must name the key it is signed with in kid, 1 to 64 characters.",
        )),
    }
}

/// Checks the signature under a key of the partner and reads what was signed.
pub fn verify(token: &str, key: &PublicKey) -> Result<Statement, Refusal> {
    let payload = jws::verify(token, key)
        .map_err(|error| bad(format!("The statement's signature does not hold: {error}.")))?;
    read(&payload)
}

fn read(payload: &[u8]) -> Result<Statement, Refusal> {
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| {
        bad(
            "The statement must be a JSON object with order_id, kind, minor_units, currency_code, \
             payment_reference and paid_at.",
        )
    })?;
    match claims.kind.as_str() {
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
    let order_id = claims
        .order_id
        .parse()
        .map_err(|_| bad("The statement's order_id is no order id."))?;
    let currency: Currency = claims
        .currency_code
        .parse()
        .map_err(|_| bad("The statement's currency_code must be an ISO 4217 code in capitals."))?;
    if claims.minor_units < 0 {
        return Err(bad("The statement's minor_units must not be negative."));
    }
    if !(0..=TIME_MAX_S).contains(&claims.paid_at) {
        return Err(bad(
            "The statement's paid_at must be in seconds since 1970 UTC.",
        ));
    }
    Ok(Statement {
        order_id,
        payment_reference: claims.payment_reference,
        amount: Money {
            currency,
            minor_units: claims.minor_units,
        },
        pay_time: Micros::from_seconds(claims.paid_at),
    })
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

/// The refusal of a statement.
pub fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorReason::BadStatement, message)
}

/// The refusal of a statement under a key that the partner does not have, or no longer.
pub fn bad_key() -> Refusal {
    bad("The statement's kid names no active key of this partner; sign with a registered key.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> serde_json::Value {
        serde_json::json!({
            "order_id": OrderId::from_uuid(7).as_str(),
            "kind": "CHARGE",
            "minor_units": 4_990,
            "currency_code": "EUR",
            "payment_reference": "p-1",
            "paid_at": 1_790_000_000,
        })
    }

    fn with(name: &str, value: serde_json::Value) -> Result<Statement, Refusal> {
        let mut claims = claims();
        claims[name] = value;
        read(claims.to_string().as_bytes())
    }

    #[test]
    fn reads_what_was_signed() {
        let statement = read(claims().to_string().as_bytes()).expect("good claims");
        assert_eq!(statement.amount.minor_units, 4_990);
        assert_eq!(statement.pay_time, Micros::from_seconds(1_790_000_000));
        assert_eq!(
            statement.must_be_about(&OrderId::from_uuid(7), "p-1"),
            Ok(())
        );
        assert!(
            statement
                .must_be_about(&OrderId::from_uuid(8), "p-1")
                .is_err()
        );
        assert!(
            statement
                .must_be_about(&OrderId::from_uuid(7), "p-2")
                .is_err()
        );
        assert!(with("more", "is welcome".into()).is_ok());
    }

    #[test]
    fn wrong_claims_are_refused() {
        for (name, value) in [
            ("order_id", "partner_1".into()),
            ("kind", "GIFT".into()),
            ("kind", serde_json::Value::Null),
            ("minor_units", (-1).into()),
            ("minor_units", 49.9.into()),
            ("minor_units", "4990".into()),
            ("currency_code", "eur".into()),
            ("paid_at", (-1).into()),
            ("paid_at", i64::MAX.into()),
            ("paid_at", "yesterday".into()),
        ] {
            let refusal = with(name, value).expect_err(name);
            assert_eq!(refusal.reason, ErrorReason::BadStatement, "{name}");
        }
        assert_eq!(
            with("kind", "DEPOSIT".into()).expect_err("later").reason,
            ErrorReason::NotOffered
        );
    }

    #[test]
    fn the_header_must_name_type_and_key() {
        let token = |header: &str| format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header));
        let good = token(r#"{"alg":"EdDSA","typ":"vitrine-payment+jwt","kid":"k1"}"#);
        assert_eq!(
            unverified(&good, STATEMENT_TYPE),
            Ok(Unverified { kid: "k1".into() })
        );
        for header in [
            r#"{"alg":"EdDSA","kid":"k1"}"#,
            r#"{"alg":"EdDSA","typ":"JWT","kid":"k1"}"#,
            r#"{"alg":"EdDSA","typ":"vitrine-payment+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"vitrine-payment+jwt","kid":""}"#,
            "[]",
        ] {
            assert!(
                unverified(&token(header), STATEMENT_TYPE).is_err(),
                "{header}"
            );
        }
        assert!(unverified("no jws", STATEMENT_TYPE).is_err());
        assert!(unverified(&good, refund::REFUND_STATEMENT_TYPE).is_err());
    }
}
