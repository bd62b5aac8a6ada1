//! The feed: who sees what of it.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::*;
use contracts::common::v1::RetailerRole;
use kit::auth::Claims;
use kit::lifecycle::ShutdownCause;
use testkit::{Setup, TestDb, on_both_engines};
use tokio::time::timeout;

use crate::common::*;

const BOUND: Duration = Duration::from_secs(60);

/// The kind of an entry, the partner it belongs to, its aggregate and etag.
fn gist(entry: &CatalogFeedEntry) -> (&'static str, String, String, String) {
    let meta = entry.meta.clone().expect("meta");
    let (kind, owner, id, etag) = match entry.content.as_ref().expect("content") {
        Content::Partner(it) => ("partner", &it.partner_id, &it.partner_id, &it.etag),
        Content::PaymentKey(it) => (
            "payment_key",
            &it.partner_id,
            &it.payment_key_id,
            &meta.etag,
        ),
        Content::Outlet(it) => ("outlet", &it.partner_id, &it.outlet_id, &meta.etag),
        Content::Product(it) => ("product", &String::new(), &it.product_id, &it.etag),
        Content::Listing(it) => ("listing", &it.partner_id, &it.listing_id, &it.etag),
        Content::PartnerAccess(it) => ("partner_access", &it.partner_id, &it.partner_id, &it.etag),
    };
    assert_eq!(
        (&meta.partner_id, &meta.aggregate_id, &meta.etag),
        (owner, id, etag)
    );
    (kind, owner.clone(), id.clone(), etag.clone())
}

/// Some of everything, for two partners.
async fn fill(s: &Server) -> (String, String) {
    let (north, south) = (
        s.register_partner("north").await,
        s.register_partner("south").await,
    );
    let product = s.create_product("TEA", 1).await;
    let ops = s.ops();
    for partner in [&north, &south] {
        let made = s.add_key(partner, "k", &jwk(1, "k")).await;
        s.live(partner, &product.variants[0].variant_id).await;
        let revoke = RevokePaymentKeyRequest {
            request_id: key(),
            payment_key_id: made.payment_key_id,
            reason: "lost".into(),
        };
        call!(ops.partners.revoke_payment_key(revoke)).expect("revoked");
        let outlet = Outlet {
            partner_id: partner.clone(),
            surface: Surface::App.into(),
            display_name: "App".into(),
            ..Outlet::default()
        };
        let outlet = RegisterOutletRequest {
            request_id: key(),
            outlet: Some(outlet),
        };
        call!(ops.partners.register_outlet(outlet)).expect("registered");
    }
    s.suspend(&south).await.expect("suspended");
    (north, south)
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn the_retailer_and_services_see_everything_in_order(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = fill(&s).await;
        let all = s.feed_of(&s.ops()).await;
        let own = ["payment_key", "listing", "listing", "listing", "payment_key", "outlet"];
        let kinds: Vec<_> = all.iter().map(gist).map(|(kind, owner, ..)| (kind, owner)).collect();
        let mut expected = vec![("partner", north.clone()), ("partner", south.clone()), ("product", String::new())];
        for partner in [north, south.clone()] {
            expected.extend(own.map(|kind| (kind, partner.clone())));
        }
        expected.push(("partner", south));
        assert_eq!(kinds, expected);
        let positions = all.iter().map(|entry| entry.meta.as_ref().expect("meta").position);
        assert!(positions.eq(1..=all.len() as i64));
        assert_eq!(s.feed_of(&s.hand(Claims::service("order", None))).await, all);
    }

    async fn a_partner_sees_its_own_and_no_product(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = fill(&s).await;
        s.resume_partner(&south).await;
        let all = s.feed_of(&s.ops()).await;
        for partner in [north, south] {
            let own = s.feed_of(&s.partner(&partner)).await;
            let gists: Vec<_> = own.iter().map(gist).collect();
            let expected: Vec<_> = all.iter().map(gist).filter(|(_, owner, ..)| *owner == partner).collect();
            assert_eq!(gists, expected);
            assert!(gists.iter().all(|(kind, ..)| *kind != "product"));
            let metas: Vec<_> = own.iter().map(|entry| entry.meta.as_ref().expect("meta")).collect();
            assert!(metas.iter().map(|meta| meta.partner_position).eq(1..=own.len() as i64));
            assert!(metas.iter().all(|meta| meta.position == 0), "the service's positions tell of others");
        }
        let ops = s.ops();
        let cursor = call!(ops.feed.list_catalog_feed(ListCatalogFeedRequest::default())).expect("a page").next_cursor;
        let foreign = s.partner(&s.register_partner("west").await);
        let foreign = call!(foreign.feed.list_catalog_feed(ListCatalogFeedRequest { cursor, page_size: 1 }));
        assert_eq!(reason(foreign), ErrorReason::BadCursor);
        let large = call!(ops.feed.list_catalog_feed(ListCatalogFeedRequest { cursor: String::new(), page_size: 1_001 }));
        assert_eq!(fields(large), ["page_size"]);
    }

    async fn a_watcher_gets_what_was_and_what_comes_until_the_drain(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, _) = fill(&s).await;
        let own = s.partner(&north);
        let known = s.feed_of(&own).await;
        let mut stream = call!(own.feed.watch_catalog_feed(WatchCatalogFeedRequest::default())).expect("a stream");
        let mut seen = Vec::new();
        let mut asked = false;
        while seen.len() < known.len() + 1 {
            let page = timeout(BOUND, stream.message()).await.expect("in time").expect("a page").expect("not over");
            seen.extend(page.entries);
            if seen.len() >= known.len() && !asked {
                asked = true;
                s.add_key(&north, "watched", &jwk(9, "watched")).await;
            }
        }
        assert_eq!(seen[..known.len()], known[..]);
        assert_eq!(gist(&seen[known.len()]).0, "payment_key");

        s.life.request_shutdown(ShutdownCause::Requested);
        let life = s.life.clone();
        let drained = kit::spawn("test.drain", async move {
            life.drain(&kit::lifecycle::DrainConfig::quick()).await
        });
        let end = timeout(BOUND, stream.message()).await.expect("in time").expect_err("the end");
        assert!(is_draining(&end), "{end:?}");
        drained.await.expect("the drain ends");
    }

    async fn a_host_reads_no_feed(t: TestDb) {
        let s = Server::start(&t).await;
        let host = s.hand(Claims::retailer("host", &[RetailerRole::Host]));
        let denied = call!(host.feed.list_catalog_feed(ListCatalogFeedRequest::default())).expect_err("denied");
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);
    }
}

/// Whether a stream ended because the server goes away.
fn is_draining(status: &tonic::Status) -> bool {
    let details = String::from_utf8_lossy(status.details());
    status.code() == tonic::Code::Unavailable && details.contains("DRAINING")
}
