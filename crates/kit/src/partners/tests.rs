use std::time::Duration;

use contracts::catalog::v1 as pb;
use futures::FutureExt;

use super::*;
use crate::auth::SigningKey;

fn partner(number: u128) -> PartnerId {
    PartnerId::from_uuid(number)
}

fn state(number: u128, revision: i64, state: pb::PartnerState) -> News {
    let message = pb::Partner {
        partner_id: partner(number).to_string(),
        state: state.into(),
        revision,
        ..Default::default()
    };
    News::of_partner(&message).expect("news")
}

fn key(seed: u8) -> pb::TokenKey {
    let public = SigningKey::from_seed(&[seed; 32]);
    pb::TokenKey {
        kid: public.kid().to_owned(),
        public_key_jwk: public.public_jwk().to_string(),
        state: pb::TokenKeyState::Active.into(),
        ..Default::default()
    }
}

fn access(number: u128, revision: i64, issuer_name: &str) -> pb::PartnerAccess {
    pb::PartnerAccess {
        partner_id: partner(number).to_string(),
        issuer_name: issuer_name.into(),
        token_keys: vec![key(1)],
        revision,
        ..Default::default()
    }
}

fn news(access: &pb::PartnerAccess) -> News {
    News::of_access(access).expect("news")
}

#[test]
fn the_later_word_counts_in_whatever_order_words_come() {
    use pb::PartnerState::{Active, Suspended};
    let directory = PartnerDirectory::new();
    directory.learn([state(1, 3, Suspended), state(1, 2, Active)]);
    assert!(directory.is_suspended(&partner(1)) && !directory.is_suspended(&partner(2)));
    directory.learn([state(1, 4, Active), state(1, 3, Suspended)]);
    assert!(!directory.is_suspended(&partner(1)));

    // As it was said before there were revisions.
    let old = pb::Partner {
        partner_id: partner(3).to_string(),
        state: Suspended.into(),
        etag: "v2".into(),
        ..Default::default()
    };
    directory.learn(News::of_partner(&old));
    assert!(directory.is_suspended(&partner(3)));

    let mut second = access(1, 2, "b");
    second.allowed_scopes = vec!["order.read".into()];
    directory.learn([news(&second), news(&access(1, 1, "a"))]);
    let known = directory.of(&partner(1)).expect("known");
    assert_eq!(
        (known.access.issuer_name.as_str(), known.access.revision),
        ("b", 2)
    );
    assert!(known.access.allows("order.read") && !known.access.allows("order.write"));
    assert_eq!(directory.len(), 2);
}

#[test]
fn a_name_leads_to_the_partner_that_has_it_now() {
    let directory = PartnerDirectory::new();
    directory.learn([news(&access(1, 1, "a")), news(&access(2, 1, "b"))]);
    assert!(directory.issuer("a").is_some() && directory.issuer("").is_none());
    // One gives it up, the other takes it, heard of in the wrong order.
    directory.learn([news(&access(2, 2, "a")), news(&access(1, 2, ""))]);
    assert!(directory.issuer("a").is_some() && directory.issuer("b").is_none());
    directory.learn([news(&access(2, 3, ""))]);
    assert!(directory.issuer("a").is_none());
}

#[test]
fn keys_that_cannot_be_used_let_nobody_in() {
    let mut bad = access(1, 1, "a");
    bad.token_keys[0].public_key_jwk = "{}".into();
    bad.token_keys.push(key(2));
    bad.token_keys[1].state = pb::TokenKeyState::Revoked.into();
    let News::Access(_, access) = news(&bad) else {
        panic!("an access");
    };
    assert!(access.keys.is_empty());
}

#[test]
fn a_pin_fits_one_certificate_in_its_time() {
    let by_both = pb::ClientCertificate {
        sha256_fingerprint: "07".repeat(32),
        spiffe_id: "spiffe://p/a".into(),
        start_time: Some(Micros(1_000_000).to_proto()),
        expire_time: Some(Micros(3_000_000).to_proto()),
        state: pb::ClientCertificateState::Active.into(),
        ..Default::default()
    };
    let by_name = pb::ClientCertificate {
        spiffe_id: "spiffe://p/b".into(),
        state: pb::ClientCertificateState::Active.into(),
        ..Default::default()
    };
    let directory = PartnerDirectory::new();
    let at = |sha256: u8, uris: &[&str], now: i64| {
        directory.certificate(&partner(1), &[sha256; 32], uris, Micros(now))
    };
    assert_eq!(at(7, &[], 2_000_000), Pinned::Nothing);
    directory.learn([news(&pb::PartnerAccess {
        client_certificates: vec![by_both, by_name],
        ..access(1, 1, "")
    })]);
    assert_eq!(at(7, &["spiffe://p/a"], 2_000_000), Pinned::Yes);
    assert_eq!(at(9, &["spiffe://p/b"], 9_000_000), Pinned::Yes);
    for (sha256, uri, now) in [
        (8, "spiffe://p/a", 2_000_000),
        (7, "spiffe://p/c", 2_000_000),
        (7, "spiffe://p/a", 999_999),
        (7, "spiffe://p/a", 3_000_000),
    ] {
        assert_eq!(at(sha256, &[uri], now), Pinned::No, "{uri} {now}");
    }
    assert_eq!(at(7, &[], 2_000_000), Pinned::No);
}

#[tokio::test]
async fn whoever_waits_for_a_suspension_hears_of_it() {
    let directory = PartnerDirectory::to_be_loaded();
    assert!(!directory.is_loaded());
    directory.loaded();
    let mut waiting = Box::pin(directory.suspension(partner(1)));
    assert!((&mut waiting).now_or_never().is_none());
    directory.learn([state(2, 1, pb::PartnerState::Suspended)]);
    assert!((&mut waiting).now_or_never().is_none());
    directory.learn([state(1, 1, pb::PartnerState::Suspended)]);
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it hears");
    directory
        .suspension(partner(1))
        .now_or_never()
        .expect("at once");
}
