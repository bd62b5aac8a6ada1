//! How partners are let in: issuers, scopes, quotas, token keys and client certificates.

use std::collections::BTreeSet;

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::{ClientCertificateId, PartnerId, TokenKeyId};
use kit::auth::Claims;
use kit::clock::Clock;
use prost_types::FieldMask;
use testkit::{Setup, TestDb, on_both_engines};
use tonic::Code;

use crate::common::*;

fn update(partner_id: &str, change: PartnerAccess, fields: &[&str]) -> UpdatePartnerAccessRequest {
    UpdatePartnerAccessRequest {
        request_id: key(),
        access: Some(PartnerAccess {
            partner_id: partner_id.into(),
            ..change
        }),
        update_mask: Some(FieldMask {
            paths: fields.iter().map(ToString::to_string).collect(),
        }),
        etag: String::new(),
    }
}

fn named(issuer: &str) -> PartnerAccess {
    PartnerAccess {
        issuer_name: issuer.into(),
        ..PartnerAccess::default()
    }
}

fn add(partner_id: &str, kid: &str, seed: u8) -> AddTokenKeyRequest {
    AddTokenKeyRequest {
        request_id: key(),
        partner_id: partner_id.into(),
        kid: kid.into(),
        public_key_jwk: jwk(seed, kid),
        etag: String::new(),
    }
}

fn retire(token_key_id: &str, t: &TestDb, seconds: u64) -> RetireTokenKeyRequest {
    let until = t.clock.now().plus(std::time::Duration::from_secs(seconds));
    RetireTokenKeyRequest {
        request_id: key(),
        token_key_id: token_key_id.into(),
        retire_time: Some(until.to_proto()),
        etag: String::new(),
    }
}

fn revoke(token_key_id: &str) -> RevokeTokenKeyRequest {
    RevokeTokenKeyRequest {
        request_id: key(),
        token_key_id: token_key_id.into(),
        reason: "lost".into(),
        etag: String::new(),
    }
}

fn pin(partner_id: &str, fingerprint: &str, spiffe_id: &str) -> AddClientCertificateRequest {
    AddClientCertificateRequest {
        request_id: key(),
        client_certificate: Some(ClientCertificate {
            partner_id: partner_id.into(),
            sha256_fingerprint: fingerprint.into(),
            spiffe_id: spiffe_id.into(),
            ..ClientCertificate::default()
        }),
        etag: String::new(),
    }
}

fn unpin(client_certificate_id: &str) -> RevokeClientCertificateRequest {
    RevokeClientCertificateRequest {
        request_id: key(),
        client_certificate_id: client_certificate_id.into(),
        reason: "lost".into(),
        etag: String::new(),
    }
}

/// How a partner is let in, as it reads it itself; checks that the feed's last word is the same.
async fn access(s: &Server, partner_id: &str) -> PartnerAccess {
    let own = s.partner(partner_id);
    let request = GetPartnerAccessRequest {
        partner_id: partner_id.into(),
    };
    let answer = call!(own.partners.get_partner_access(request)).expect("its own");
    let access = answer.access.expect("it");
    let told = s.feed_of(&own).await.into_iter().rev();
    let last = told.filter_map(|entry| match entry.content {
        Some(catalog_feed_entry::Content::PartnerAccess(access)) => Some(access),
        _ => None,
    });
    if access.revision > 0 {
        assert_eq!(
            last.take(1).collect::<Vec<_>>(),
            std::slice::from_ref(&access)
        );
    }
    access
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn issuer_scopes_and_quotas_change_by_the_mask(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let before = access(&s, &north).await;
        assert_eq!((before.revision, before.etag.as_str(), before.issuer_name.as_str()), (0, "v0", ""));

        let wanted = PartnerAccess {
            issuer_name: "https://north.example".into(),
            allowed_scopes: vec!["order.write".into(), "order.read".into(), "order.read".into()],
            quotas: Some(PartnerQuotas { calls_per_second: 50, concurrent_calls: 8, placements_per_second: 5 }),
            ..PartnerAccess::default()
        };
        let request = UpdatePartnerAccessRequest {
            etag: before.etag.clone(),
            ..update(&north, wanted.clone(), &["issuer_name", "allowed_scopes", "quotas"])
        };
        let answer = call!(ops.partners.update_partner_access(request.clone())).expect("changed");
        assert_eq!(call!(ops.partners.update_partner_access(request.clone())).expect("replayed"), answer);
        let made = answer.access.expect("it");
        assert_eq!((made.revision, &made.issuer_name, made.quotas), (1, &wanted.issuer_name, wanted.quotas));
        assert_eq!(made.allowed_scopes, ["order.read", "order.write"]);
        assert_eq!(access(&s, &north).await, made);
        let reused = UpdatePartnerAccessRequest { access: Some(PartnerAccess { partner_id: north.clone(), ..named("x") }), ..request.clone() };
        assert_eq!(reason(call!(ops.partners.update_partner_access(reused))), ErrorReason::KeyReused);
        let stale = UpdatePartnerAccessRequest { request_id: key(), ..request };
        assert_eq!(reason(call!(ops.partners.update_partner_access(stale))), ErrorReason::EtagMismatch);

        // What the mask does not name stays; a name is one partner's for good.
        let cleared = update(&north, PartnerAccess::default(), &["allowed_scopes"]);
        let cleared = call!(ops.partners.update_partner_access(cleared)).expect("changed").access.expect("it");
        assert!(cleared.allowed_scopes.is_empty() && cleared.quotas == wanted.quotas);
        let given_up = update(&north, named("https://other.example"), &["issuer_name"]);
        call!(ops.partners.update_partner_access(given_up)).expect("changed");
        let taken = update(&south, named("https://north.example"), &["issuer_name"]);
        let taken = refusal(call!(ops.partners.update_partner_access(taken)));
        assert_eq!((taken.reason, taken.metadata["field"].as_str()), (ErrorReason::AlreadyExists, "access.issuer_name"));
        let back = update(&north, named("https://north.example"), &["issuer_name"]);
        call!(ops.partners.update_partner_access(back)).expect("its own name");

        let service = s.hand(Claims::service("order", None));
        let first = ListPartnerAccessRequest { page_size: 1, ..Default::default() };
        let list = call!(service.partners.list_partner_access(first)).expect("a page");
        assert_eq!(list.access.len(), 1);
        let rest = ListPartnerAccessRequest { page_size: 1, page_token: list.next_page_token.clone() };
        let rest = call!(service.partners.list_partner_access(rest)).expect("the rest");
        assert_eq!((rest.access.len(), rest.next_page_token.as_str()), (1, ""));
        let listed = BTreeSet::from([&list.access[0].partner_id, &rest.access[0].partner_id]);
        assert_eq!(listed, BTreeSet::from([&north, &south]));
    }

    async fn wrong_fields_of_an_access_are_named(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let north = s.register_partner("north").await;
        let nothing = UpdatePartnerAccessRequest::default();
        let wrong = fields(call!(ops.partners.update_partner_access(nothing)));
        assert_eq!(wrong, ["request_id", "access", "access.partner_id", "update_mask"]);
        let bad = PartnerAccess {
            issuer_name: "with space".into(),
            allowed_scopes: vec!["order.read".into(), "room.write".into()],
            quotas: Some(PartnerQuotas { calls_per_second: -1, concurrent_calls: 100_001, placements_per_second: 0 }),
            ..PartnerAccess::default()
        };
        let request = update(&north, bad, &["issuer_name", "allowed_scopes", "quotas", "token_keys"]);
        let mut wrong = fields(call!(ops.partners.update_partner_access(request)));
        wrong.sort();
        assert_eq!(wrong, [
            "access.allowed_scopes[1]", "access.issuer_name", "access.quotas.calls_per_second",
            "access.quotas.concurrent_calls", "update_mask",
        ]);
        let unknown = update(PartnerId::from_uuid(1).as_str(), named("x"), &["issuer_name"]);
        assert_eq!(reason(call!(ops.partners.update_partner_access(unknown))), ErrorReason::NotFound);
    }

    async fn token_keys_are_rotated_with_an_overlap(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let request = add(&north, "k1", 1);
        let answer = call!(ops.partners.add_token_key(request.clone())).expect("added");
        assert_eq!(call!(ops.partners.add_token_key(request)).expect("replayed"), answer);
        let first = answer.token_key.expect("it");
        assert_eq!((first.state(), first.retire_time, first.etag.as_str()), (TokenKeyState::Active, None, "v1"));
        let clash = refusal(call!(ops.partners.add_token_key(add(&north, "k1", 2))));
        assert_eq!((clash.reason, clash.metadata["field"].as_str()), (ErrorReason::AlreadyExists, "kid"));
        call!(ops.partners.add_token_key(add(&south, "k1", 2))).expect("another's kid");

        // The last one does not go before its successor is there.
        assert_eq!(reason(call!(ops.partners.retire_token_key(retire(&first.token_key_id, &t, 60)))), ErrorReason::WrongState);
        let stale = AddTokenKeyRequest { etag: "v0".into(), ..add(&north, "k2", 2) };
        assert_eq!(reason(call!(ops.partners.add_token_key(stale))), ErrorReason::EtagMismatch);
        let second = AddTokenKeyRequest { etag: access(&s, &north).await.etag, ..add(&north, "k2", 2) };
        call!(ops.partners.add_token_key(second)).expect("added");
        for seconds in [0, 91 * 24 * 60 * 60] {
            let wrong = retire(&first.token_key_id, &t, seconds);
            assert_eq!(reason(call!(ops.partners.retire_token_key(wrong))), ErrorReason::InvalidField);
        }
        let request = RetireTokenKeyRequest { etag: first.etag.clone(), ..retire(&first.token_key_id, &t, 60) };
        let retiring = call!(ops.partners.retire_token_key(request.clone())).expect("retiring");
        assert_eq!(call!(ops.partners.retire_token_key(request.clone())).expect("replayed"), retiring);
        assert_eq!(retiring.token_key.expect("it").state(), TokenKeyState::Retiring);
        let stale = RetireTokenKeyRequest { request_id: key(), ..request };
        assert_eq!(reason(call!(ops.partners.retire_token_key(stale))), ErrorReason::EtagMismatch);
        let both: Vec<_> = access(&s, &north).await.token_keys.iter().map(|key| key.state()).collect();
        assert_eq!(both, [TokenKeyState::Retiring, TokenKeyState::Active]);

        let request = revoke(&first.token_key_id);
        let revoked = call!(ops.partners.revoke_token_key(request.clone())).expect("revoked");
        assert_eq!(call!(ops.partners.revoke_token_key(request)).expect("replayed"), revoked);
        assert_eq!(reason(call!(ops.partners.revoke_token_key(revoke(&first.token_key_id)))), ErrorReason::WrongState);
        assert_eq!(reason(call!(ops.partners.retire_token_key(retire(&first.token_key_id, &t, 60)))), ErrorReason::WrongState);
        let left = access(&s, &north).await;
        assert_eq!(left.token_keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["k2"]);
        // The name is used up; the list tells of all.
        assert_eq!(reason(call!(ops.partners.add_token_key(add(&north, "k1", 3)))), ErrorReason::AlreadyExists);
        let own = s.partner(&north);
        let all = call!(own.partners.list_token_keys(ListTokenKeysRequest::default())).expect("its own");
        assert_eq!(all.token_keys.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(Some(&all.token_keys[0]), revoked.token_key.as_ref());
        assert_eq!(fields(call!(ops.partners.list_token_keys(ListTokenKeysRequest::default()))), ["partner_id"]);
    }

    async fn only_keys_that_tokens_can_be_checked_with_are_added_and_not_too_many(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let north = s.register_partner("north").await;
        let private = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#;
        for wrong in ["", "{}", private, &jwk(1, "another")] {
            let request = AddTokenKeyRequest { public_key_jwk: wrong.into(), ..add(&north, "k", 1) };
            assert_eq!(fields(call!(ops.partners.add_token_key(request))), ["public_key_jwk"], "{wrong}");
        }
        let odd = AddTokenKeyRequest { kid: "../k".into(), public_key_jwk: jwk(1, "../k"), ..add(&north, "k", 1) };
        assert_eq!(fields(call!(ops.partners.add_token_key(odd))), ["kid"]);
        for n in 0..16 {
            call!(ops.partners.add_token_key(add(&north, &format!("k{n}"), n))).expect("there is room");
        }
        let over = refusal(call!(ops.partners.add_token_key(add(&north, "over", 17))));
        assert_eq!((over.reason, over.preconditions.len()), (ErrorReason::WrongState, 1));
    }

    async fn certificates_are_pinned_to_one_partner_and_revoked_for_good(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let printed = format!("{}AB", "AB:".repeat(31));
        let request = pin(&north, &printed, "spiffe://north.example/shop");
        let answer = call!(ops.partners.add_client_certificate(request.clone())).expect("added");
        assert_eq!(call!(ops.partners.add_client_certificate(request)).expect("replayed"), answer);
        let made = answer.client_certificate.expect("it");
        assert_eq!((made.sha256_fingerprint.as_str(), made.state()), ("ab".repeat(32).as_str(), ClientCertificateState::Active));
        assert_eq!(access(&s, &north).await.client_certificates, std::slice::from_ref(&made));

        let other = "cd".repeat(32);
        for (taken, field) in [
            (pin(&south, &printed, ""), "client_certificate.sha256_fingerprint"),
            (pin(&south, &other, "spiffe://north.example/shop"), "client_certificate.spiffe_id"),
        ] {
            let taken = refusal(call!(ops.partners.add_client_certificate(taken)));
            assert_eq!((taken.reason, taken.metadata["field"].as_str()), (ErrorReason::AlreadyExists, field));
        }
        call!(ops.partners.add_client_certificate(pin(&north, &other, "spiffe://north.example/shop"))).expect("the next one of the same name");

        let request = unpin(&made.client_certificate_id);
        let stale = RevokeClientCertificateRequest { etag: "v7".into(), ..request.clone() };
        assert_eq!(reason(call!(ops.partners.revoke_client_certificate(stale))), ErrorReason::EtagMismatch);
        let revoked = call!(ops.partners.revoke_client_certificate(request.clone())).expect("revoked");
        assert_eq!(call!(ops.partners.revoke_client_certificate(request)).expect("replayed"), revoked);
        assert_eq!(reason(call!(ops.partners.revoke_client_certificate(unpin(&made.client_certificate_id)))), ErrorReason::WrongState);
        let again = pin(&north, &printed, "");
        assert_eq!(reason(call!(ops.partners.add_client_certificate(again))), ErrorReason::AlreadyExists);
        assert_eq!(access(&s, &north).await.client_certificates.len(), 1);
        let own = s.partner(&north);
        let all = call!(own.partners.list_client_certificates(ListClientCertificatesRequest::default())).expect("its own");
        assert_eq!(all.client_certificates.len(), 2);

        let mut wrong = pin(&north, "xyz", "http://a");
        wrong.client_certificate.as_mut().expect("it").start_time = Some(t.clock.now().to_proto());
        wrong.client_certificate.as_mut().expect("it").expire_time = Some(t.clock.now().to_proto());
        let wrong = fields(call!(ops.partners.add_client_certificate(wrong)));
        assert_eq!(wrong, ["client_certificate.sha256_fingerprint", "client_certificate.spiffe_id", "client_certificate.expire_time"]);
        assert_eq!(fields(call!(ops.partners.add_client_certificate(pin(&north, "", "")))), ["client_certificate.sha256_fingerprint"]);
        let mut late = pin(&north, &"ef".repeat(32), "");
        late.client_certificate.as_mut().expect("it").expire_time = Some(t.clock.now().to_proto());
        assert_eq!(reason(call!(ops.partners.add_client_certificate(late))), ErrorReason::InvalidField);
    }
}

mod security {
    use super::*;

    /// The same call for what is another's and for what nobody has.
    macro_rules! same {
        ($hand:ident.$method:ident, $foreign:expr, $unknown:expr) => {{
            let foreign = bytes_of(call!($hand.partners.$method($foreign)));
            assert_eq!(
                foreign,
                bytes_of(call!($hand.partners.$method($unknown))),
                stringify!($method)
            );
            assert_eq!(foreign.0, Code::NotFound, stringify!($method));
        }};
    }

    on_both_engines! {
        setup: Setup::new().migrations(catalog::migrations());

        async fn a_partner_reads_how_it_is_let_in_and_nothing_of_others(t: TestDb) {
            let s = Server::start(&t).await;
            let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
            let ops = s.ops();
            let key_of_south = call!(ops.partners.add_token_key(add(&south, "k", 1))).expect("added").token_key.expect("it");
            let own = s.partner(&north);
            let nobody = PartnerId::from_uuid(1).to_string();
            let get = |id: &str| GetPartnerAccessRequest { partner_id: id.into() };
            same!(own.get_partner_access, get(&south), get(&nobody));
            let keys = |id: &str| ListTokenKeysRequest { partner_id: id.into(), ..Default::default() };
            same!(own.list_token_keys, keys(&south), keys(&nobody));
            let pins = |id: &str| ListClientCertificatesRequest { partner_id: id.into(), ..Default::default() };
            same!(own.list_client_certificates, pins(&south), pins(&nobody));
            assert!(s.feed_of(&own).await.iter().all(|entry| !format!("{entry:?}").contains(&key_of_south.token_key_id)));

            // Nobody lets itself in, and only operations lets others in.
            let care = s.hand(Claims::retailer("care", &[contracts::common::v1::RetailerRole::Care]));
            for hand in [&own, &care] {
                let denied = [
                    call!(hand.partners.add_token_key(add(&north, "k", 2))).map(drop),
                    call!(hand.partners.retire_token_key(retire(&key_of_south.token_key_id, &t, 60))).map(drop),
                    call!(hand.partners.revoke_token_key(revoke(&key_of_south.token_key_id))).map(drop),
                    call!(hand.partners.update_partner_access(update(&north, named("x"), &["issuer_name"]))).map(drop),
                    call!(hand.partners.add_client_certificate(pin(&north, &"ab".repeat(32), ""))).map(drop),
                    call!(hand.partners.revoke_client_certificate(unpin(ClientCertificateId::from_uuid(1).as_str()))).map(drop),
                    call!(hand.partners.list_partner_access(ListPartnerAccessRequest::default())).map(drop),
                ];
                for answer in denied {
                    assert_eq!(answer.expect_err("denied").code(), Code::PermissionDenied);
                }
            }
            let unknown = revoke(TokenKeyId::from_uuid(1).as_str());
            assert_eq!(reason(call!(ops.partners.revoke_token_key(unknown))), ErrorReason::NotFound);
            let unknown = unpin(ClientCertificateId::from_uuid(1).as_str());
            assert_eq!(reason(call!(ops.partners.revoke_client_certificate(unknown))), ErrorReason::NotFound);
        }

        async fn a_suspension_counts_from_its_commit_on(t: TestDb) {
            let s = Server::start(&t).await;
            let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
            let own = s.partner(&north);
            let list = ListListingsRequest::default();
            call!(own.listings.list_listings(list.clone())).expect("it reads");
            let mut stream = call!(own.feed.watch_catalog_feed(WatchCatalogFeedRequest::default())).expect("a stream");
            s.suspend(&north).await.expect("suspended");
            assert_eq!(reason(call!(own.listings.list_listings(list.clone()))), ErrorReason::PartnerSuspended);
            let end = loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it ends with a reason"),
                    Err(status) => break status,
                }
            };
            assert_eq!(reason::<()>(Err(end)), ErrorReason::PartnerSuspended);
            let other = s.partner(&south);
            call!(other.listings.list_listings(list.clone())).expect("others are not concerned");
            s.resume_partner(&north).await;
            call!(own.listings.list_listings(list)).expect("it reads again");
        }

        /// Of the catalogue's pairs: who proposes a listing never approves it. Tokens are told apart by issuer and
        /// subject; one person with accounts at two issuers is two persons here.
        async fn who_proposes_a_listing_does_not_approve_it(t: TestDb) {
            let s = Server::start(&t).await;
            let north = s.register_partner("north").await;
            let product = s.create_product("TEA", 1).await;
            let variant_id = &product.variants[0].variant_id;
            let partner_id: PartnerId = north.parse().expect("an id");
            let ana = s.hand(Claims::retailer("ana", &[contracts::common::v1::RetailerRole::Ops]));
            let made = call!(ana.listings.propose_listing(proposal(&north, variant_id))).expect("proposed");
            let listing_id = made.listing.expect("it").listing_id;
            let another_token = s.hand(Claims::retailer("ana", &kit::caller::ROLES));
            let other_hat = s.hand(Claims::partner("ana", &partner_id));
            for hand in [&ana, &another_token, &other_hat] {
                let approve = decision(&listing_id, Decision::Approve);
                assert_eq!(reason(call!(hand.listings.decide_listing(approve))), ErrorReason::SelfApproval);
                let batch = BatchDecideListingsRequest {
                    request_id: key(),
                    decisions: vec![ListingDecision {
                        listing_id: listing_id.clone(),
                        decision: Decision::Approve.into(),
                        ..Default::default()
                    }],
                };
                let verdicts = call!(hand.listings.batch_decide_listings(batch)).expect("verdicts");
                assert_eq!(verdicts.accepted_count, 0);
            }
            let partner = s.partner(&north);
            call!(partner.listings.decide_listing(decision(&listing_id, Decision::Approve))).expect("somebody else");
        }
    }
}
