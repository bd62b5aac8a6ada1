use contracts::id::{CompensationId, OrderId, RefundId};
use kit::auth::SigningKey;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::money::{ChargebackClaims, CompensationClaims, PartnerRefundClaims};
use super::payment::PaymentClaims;
use super::refund::RefundClaims;
use super::*;
use crate::model::RefundFailure;
use crate::model::refund::RefundShares;

const NOW: Micros = Micros::from_seconds(1_790_000_500);

fn partner(at: u128) -> PartnerId {
    PartnerId::from_uuid(at)
}

fn rules() -> Rules {
    Rules::new(&Config::default())
}

fn read_as<C: Claims>(claims: &Value) -> Result<C::Stated, Refusal> {
    read::<C>(claims.to_string().as_bytes(), &partner(1), &rules(), NOW)
}

fn payment() -> Value {
    json!({
        "order_id": OrderId::from_uuid(7).as_str(), "kind": "CHARGE", "minor_units": 4_990,
        "currency_code": "EUR", "payment_reference": "p-1", "paid_at": 1_790_000_000,
    })
}

fn refund() -> Value {
    json!({
        "aud": "vitrine", "kind": "REFUND_EXECUTED", "order_id": OrderId::from_uuid(7).as_str(),
        "refund_id": RefundId::from_uuid(8).as_str(), "shopper_minor_units": 1_990, "partner_minor_units": 500,
        "currency_code": "EUR", "refund_reference": "r-1", "reported_at": 1_790_000_000,
    })
}

fn partner_refund() -> Value {
    json!({
        "aud": "vitrine", "kind": "PARTNER_REFUND", "order_id": OrderId::from_uuid(7).as_str(),
        "shopper_minor_units": 500, "partner_minor_units": 0, "currency_code": "EUR", "refund_reference": "r-1",
        "reason": "GOODWILL", "cost_bearer": "PARTNER", "reported_at": 1_790_000_000,
    })
}

fn compensation() -> Value {
    json!({
        "aud": "vitrine", "kind": "COMPENSATION_EXECUTED", "order_id": OrderId::from_uuid(7).as_str(),
        "compensation_id": CompensationId::from_uuid(9).as_str(), "minor_units": 9_900, "currency_code": "EUR",
        "compensation_reference": "c-1", "reported_at": 1_790_000_000,
    })
}

fn chargeback() -> Value {
    json!({
        "aud": "vitrine", "kind": "CHARGEBACK_OPENED", "order_id": OrderId::from_uuid(7).as_str(),
        "payment_reference": "p-1", "chargeback_reference": "b-1", "minor_units": 1_990, "currency_code": "EUR",
        "reported_at": 1_790_000_000,
    })
}

fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

fn bad_as<C: Claims>(claims: &Value) -> bool {
    matches!(read_as::<C>(claims), Err(refusal) if refusal.reason == ErrorReason::BadStatement)
}

#[test]
fn a_payment_is_read_as_it_was_signed() {
    let statement = read_as::<PaymentClaims>(&payment()).expect("good claims");
    assert_eq!(statement.amount.minor_units, 4_990);
    assert_eq!(statement.pay_time, Micros::from_seconds(1_790_000_000));
    let (own, other) = (OrderId::from_uuid(7), OrderId::from_uuid(8));
    assert_eq!(statement.must_be_about(&own, "p-1"), Ok(()));
    assert!(statement.must_be_about(&other, "p-1").is_err());
    assert!(statement.must_be_about(&own, "p-2").is_err());
    assert!(read_as::<PaymentClaims>(&with(payment(), "more", "is welcome")).is_ok());
    let deposit = read_as::<PaymentClaims>(&with(payment(), "kind", "DEPOSIT")).map(|_| ());
    assert_eq!(deposit.expect_err("later").reason, ErrorReason::NotOffered);
}

#[test]
fn a_refund_is_read_as_it_was_signed() {
    let stated = read_as::<RefundClaims>(&refund()).expect("good claims");
    let amounts = RefundShares {
        shopper: 1_990,
        partner: 500,
    };
    assert_eq!((stated.amounts, stated.failure), (amounts, None));
    assert_eq!(stated.report_time, Micros::from_seconds(1_790_000_000));
    let failed = with(
        with(refund(), "kind", "REFUND_FAILED"),
        "failure",
        "DECLINED",
    );
    let stated = read_as::<RefundClaims>(&failed).expect("good claims");
    assert_eq!(stated.failure, Some(RefundFailure::Declined));
}

#[test]
fn wrong_claims_of_payments_are_refused() {
    for (name, value) in [
        ("order_id", json!("partner_1")),
        ("kind", json!("GIFT")),
        ("kind", Value::Null),
        ("minor_units", json!(-1)),
        ("minor_units", json!(49.9)),
        ("minor_units", json!(4990.0)),
        ("minor_units", json!("4990")),
        ("minor_units", json!(u64::MAX)),
        ("currency_code", json!("eur")),
        ("paid_at", json!(-1)),
        ("paid_at", json!(i64::MAX)),
        ("paid_at", json!("yesterday")),
        ("aud", json!("other")),
        ("aud", json!(["other"])),
        ("aud", json!([])),
        ("aud", json!({"vitrine": 1})),
        ("aud", Value::Null),
    ] {
        assert!(
            bad_as::<PaymentClaims>(&with(payment(), name, value)),
            "{name}"
        );
    }
}

#[test]
fn wrong_claims_of_refunds_are_refused() {
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("kind", json!("CHARGE")),
        ("kind", json!("REFUND_FAILED")),
        ("failure", json!("DECLINED")),
        ("order_id", json!(RefundId::from_uuid(8).as_str())),
        ("refund_id", json!("x")),
        ("shopper_minor_units", json!(-1)),
        ("partner_minor_units", json!(-1)),
        ("partner_minor_units", json!(1.5)),
        ("currency_code", json!("eur")),
        ("refund_reference", json!("")),
        ("refund_reference", json!("x".repeat(129))),
        ("reported_at", json!(-1)),
        ("reported_at", json!(i64::MAX)),
    ] {
        assert!(
            bad_as::<RefundClaims>(&with(refund(), name, value)),
            "{name}"
        );
    }
}

#[test]
fn a_payment_names_its_audience_where_that_is_asked_for() {
    let strict = Rules::new(&Config {
        statement_audience_required: true,
        ..Config::default()
    });
    let strict_for_one = Rules::new(&Config {
        statement_audience_required_of: vec![partner(1)],
        ..Config::default()
    });
    let named = with(payment(), "aud", json!(["vitrine", "ledger"]));
    let read = |claims: &Value, of: u128, rules: &Rules| {
        read::<PaymentClaims>(claims.to_string().as_bytes(), &partner(of), rules, NOW).is_ok()
    };
    for (rules, of, accepted) in [
        (&rules(), 1, true),
        (&strict, 1, false),
        (&strict, 2, false),
        (&strict_for_one, 1, false),
        (&strict_for_one, 2, true),
    ] {
        assert_eq!(read(&payment(), of, rules), accepted);
        assert!(read(&named, of, rules));
    }
}

/// What the README shows is what it says.
#[test]
fn the_example_verifies() {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme
        .split_once("## Payment statements")
        .expect("it is there");
    let token: String = section
        .split("```")
        .nth(1)
        .expect("an example")
        .split_whitespace()
        .collect();
    let jwk = section
        .split('`')
        .find(|text| text.contains("OKP"))
        .expect("its key");
    let key = PublicKey::from_jwk_json(jwk).expect("a key");
    let (jws, kid) = unverified::<PaymentClaims>(&token).expect("a statement");
    let stated = verify::<PaymentClaims>(&jws, &key, &partner(1), &rules(), NOW).expect("genuine");
    assert_eq!(
        (stated.amount.minor_units, stated.payment_reference.as_str()),
        (34_500, "charge-1")
    );
    assert!(section.contains(stated.order_id.as_str()) && section.contains(&kid));
    let payload = jws.verify(&key).expect("genuine");
    assert!(section.contains(std::str::from_utf8(&payload).expect("JSON")));
}

mod security {
    use super::*;

    /// Every kind of statement under every reader, type and all: each is read as what it is alone.
    #[test]
    fn no_kind_of_statement_passes_for_another() {
        let key = SigningKey::from_seed(&[3; 32]);
        let all = [
            payment(),
            refund(),
            partner_refund(),
            compensation(),
            chargeback(),
        ];
        let types = [
            PaymentClaims::TYPE,
            RefundClaims::TYPE,
            PartnerRefundClaims::TYPE,
            CompensationClaims::TYPE,
            ChargebackClaims::TYPE,
        ];
        fn good<C: Claims>(token: &str, key: &SigningKey) -> bool {
            unverified::<C>(token).is_ok_and(|(jws, _)| {
                verify::<C>(&jws, &key.public_key(), &partner(1), &rules(), NOW).is_ok()
            })
        }
        for (at, claims) in all.iter().enumerate() {
            for (of, typ) in types.iter().enumerate() {
                // Even a statement that has the members of all of them: `kind` says which it is.
                let mut fat = claims.clone();
                for other in &all {
                    for (name, value) in other.as_object().expect("an object") {
                        fat.as_object_mut()
                            .expect("an object")
                            .entry(name)
                            .or_insert(value.clone());
                    }
                }
                for claims in [claims, &fat] {
                    let token = jws::sign(&key, typ, claims.to_string().as_bytes());
                    let accepted = [
                        good::<PaymentClaims>(&token, &key),
                        good::<RefundClaims>(&token, &key),
                        good::<PartnerRefundClaims>(&token, &key),
                        good::<CompensationClaims>(&token, &key),
                        good::<ChargebackClaims>(&token, &key),
                    ];
                    let meant = types[at] == *typ;
                    let wanted: Vec<bool> = (0..5).map(|reader| meant && reader == at).collect();
                    assert_eq!(accepted[..], wanted[..], "{at} as {of}: {claims}");
                }
            }
        }
    }

    #[test]
    fn a_statement_is_late_for_ever_and_never_early() {
        let leeway = Config::default().statement_leeway_s as i64;
        let now = NOW.seconds();
        fn is_good<C: Claims>(claims: Value, time: i64) -> bool {
            read_as::<C>(&with(claims, C::TIME, time)).is_ok()
        }
        for (time, good) in [
            (0, true),
            (now - 90 * 24 * 3_600, true),
            (now, true),
            (now + leeway, true),
            (now + leeway + 1, false),
            (now + 365 * 24 * 3_600, false),
        ] {
            assert_eq!(is_good::<PaymentClaims>(payment(), time), good, "{time}");
            assert_eq!(is_good::<RefundClaims>(refund(), time), good, "{time}");
            assert_eq!(
                is_good::<PartnerRefundClaims>(partner_refund(), time),
                good,
                "{time}"
            );
            assert_eq!(
                is_good::<CompensationClaims>(compensation(), time),
                good,
                "{time}"
            );
            assert_eq!(
                is_good::<ChargebackClaims>(chargeback(), time),
                good,
                "{time}"
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let good = payment().to_string();
        let bytes = |text: &str| read::<PaymentClaims>(text.as_bytes(), &partner(1), &rules(), NOW);
        assert!(bytes(&good).is_ok());
        for bad in [
            good.replacen('{', "{\"minor_units\":1,", 1),
            good.replacen('{', "{\"\\u006binor_units\":1,\"minor\\u005funits\":1,", 1),
            good.replacen('{', "{\"x\":{\"a\":1,\"a\":2},", 1),
            format!("{good}{good}"),
            format!("[{good}]"),
            format!("\u{feff}{good}"),
            json!([
                "vitrine",
                OrderId::from_uuid(7).as_str(),
                "CHARGE",
                4_990,
                "EUR",
                "p-1",
                1_790_000_000
            ])
            .to_string(),
        ] {
            assert!(bytes(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_header_names_type_and_key() {
        let token = |header: Value| {
            use base64::Engine;
            let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
            format!("{part}.e30.c2ln")
        };
        let good = token(json!({"alg": "EdDSA", "typ": "vitrine-payment+jwt", "kid": "k1"}));
        let (_, kid) = unverified::<PaymentClaims>(&good).expect("a statement");
        assert_eq!(kid, "k1");
        assert!(unverified::<RefundClaims>(&good).is_err());
        for header in [
            json!({"alg": "EdDSA", "kid": "k1"}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": "k1"}),
            json!({"alg": "EdDSA", "typ": "application/vitrine-payment+jwt", "kid": "k1"}),
            json!({"alg": "EdDSA", "typ": "vitrine-payment+jwt"}),
            json!({"alg": "EdDSA", "typ": "vitrine-payment+jwt", "kid": ""}),
            json!({"alg": "EdDSA", "typ": "vitrine-payment+jwt", "kid": "k\0"}),
            json!({"alg": "EdDSA", "typ": "vitrine-payment+jwt", "kid": "k".repeat(65)}),
            json!({"alg": "none", "typ": "vitrine-payment+jwt", "kid": "k1"}),
            json!({"alg": "HS256", "typ": "vitrine-payment+jwt", "kid": "k1"}),
            json!([]),
        ] {
            assert!(
                unverified::<PaymentClaims>(&token(header.clone())).is_err(),
                "{header}"
            );
        }
        assert!(unverified::<PaymentClaims>("no jws").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unverified::<PaymentClaims>(&text).is_err());
            prop_assert!(read::<PaymentClaims>(&bytes, &partner(1), &rules(), NOW).is_err());
            prop_assert!(read::<RefundClaims>(&bytes, &partner(1), &rules(), NOW).is_err());
        }
    }
}
