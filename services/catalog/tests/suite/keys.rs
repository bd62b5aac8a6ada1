//! Payment keys.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::{PartnerId, PaymentKeyId};
use kit::auth::jws::{self, PublicKey};
use kit::auth::{Claims, SigningKey};
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn add(partner_id: &str, kid: &str, jwk: &str) -> AddPaymentKeyRequest {
    AddPaymentKeyRequest {
        request_id: key(),
        partner_id: partner_id.into(),
        kid: kid.into(),
        public_key_jwk: jwk.into(),
    }
}

fn revoke(payment_key_id: &str) -> RevokePaymentKeyRequest {
    RevokePaymentKeyRequest {
        request_id: key(),
        payment_key_id: payment_key_id.into(),
        reason: "lost".into(),
    }
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_kid_names_one_key_of_a_partner_for_ever(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let request = add(&north, "k1", &jwk(1, "k1"));
        let answer = call!(ops.partners.add_payment_key(request.clone())).expect("added");
        assert_eq!(call!(ops.partners.add_payment_key(request)).expect("replayed"), answer);
        let made = answer.payment_key.expect("the key");
        assert_eq!((made.state(), made.revoke_time), (PaymentKeyState::Active, None));

        let clash = refusal(call!(ops.partners.add_payment_key(add(&north, "k1", &jwk(2, "k1")))));
        assert_eq!((clash.reason, clash.metadata["field"].as_str()), (ErrorReason::AlreadyExists, "kid"));
        s.add_key(&south, "k1", &jwk(2, "k1")).await;

        let request = revoke(&made.payment_key_id);
        let revoked = call!(ops.partners.revoke_payment_key(request.clone())).expect("revoked");
        assert_eq!(call!(ops.partners.revoke_payment_key(request)).expect("replayed"), revoked);
        let revoked = revoked.payment_key.expect("the key");
        assert_eq!((revoked.state(), revoked.revoke_time.is_some()), (PaymentKeyState::Revoked, true));
        let again = revoke(&made.payment_key_id);
        assert_eq!(reason(call!(ops.partners.revoke_payment_key(again))), ErrorReason::WrongState);
        let reused = add(&north, "k1", &jwk(3, "k1"));
        assert_eq!(reason(call!(ops.partners.add_payment_key(reused))), ErrorReason::AlreadyExists);
        let unknown = revoke(PaymentKeyId::from_uuid(1).as_str());
        assert_eq!(reason(call!(ops.partners.revoke_payment_key(unknown))), ErrorReason::NotFound);

        let own = s.partner(&north);
        let list = call!(own.partners.list_payment_keys(ListPaymentKeysRequest::default())).expect("a list");
        assert_eq!(list.payment_keys, [revoked]);
        // The order service reads them when it starts from the lists.
        let order = s.hand(Claims::service("order", None));
        let request = ListPaymentKeysRequest { partner_id: north, ..ListPaymentKeysRequest::default() };
        assert_eq!(call!(order.partners.list_payment_keys(request)).expect("a list"), list);
    }

    async fn only_keys_that_statements_can_be_checked_with_are_added(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let signer = SigningKey::from_seed(&[5; 32]);
        let made = s.add_key(&partner_id, signer.kid(), &signer.public_jwk().to_string()).await;
        let kept = PublicKey::from_jwk_json(&made.public_key_jwk).expect("the key that was sent");
        assert_eq!(jws::verify(&jws::sign_ed25519(&signer, b"paid"), &kept), Ok(b"paid".to_vec()));

        let private = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#;
        let hmac = r#"{"kty":"oct","k":"c2VjcmV0"}"#;
        let long = format!("{}{}", jwk(1, "k"), " ".repeat(4_096));
        for wrong in ["", "{}", "key", private, hmac, &jwk(1, "another"), &long] {
            let answer = call!(ops.partners.add_payment_key(add(&partner_id, "k", wrong)));
            assert_eq!(fields(answer), ["public_key_jwk"], "{wrong}");
        }
        let nameless = add("", "", &jwk(1, "k"));
        assert_eq!(
            fields(call!(ops.partners.add_payment_key(nameless))),
            ["partner_id", "kid", "public_key_jwk"]
        );
        let unknown = add(PartnerId::from_uuid(1).as_str(), "k", &jwk(1, "k"));
        assert_eq!(reason(call!(ops.partners.add_payment_key(unknown))), ErrorReason::NotFound);
    }

    async fn a_suspended_partner_may_change_its_keys_because_its_orders_go_on(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        s.suspend(&partner_id).await.expect("suspended");
        let made = s.add_key(&partner_id, "k1", &jwk(1, "k1")).await;
        call!(ops.partners.revoke_payment_key(revoke(&made.payment_key_id))).expect("revoked");
        let nobody = ListPaymentKeysRequest::default();
        assert_eq!(fields(call!(ops.partners.list_payment_keys(nobody))), ["partner_id"]);
    }
}
