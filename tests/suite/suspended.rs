//! How partners are let in and kept out, by four servers that meet over sockets: what is said to the catalogue counts
//! everywhere, at once or as soon as its feed is read.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_service_client::CatalogFeedServiceClient;
use contracts::fulfillment::v1 as fulfillment;
use contracts::id::PartnerId;
use contracts::order::v1 as order;
use contracts::order::v1::order_feed_service_client::OrderFeedServiceClient;
use contracts::room::v1 as room;
use kit::auth::{AuthConfig, Claims, SigningKey, TokenSigner};
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use prost::Message;
use std::sync::Arc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::raw;
use crate::shop::{Shop, ask};
use crate::topology::Running;

/// Far longer than the feed takes; a bound, not a wait.
const BOUND: Duration = Duration::from_secs(20);

const SUSPENDED: &str = "PARTNER_SUSPENDED";

struct House {
    running: Running,
    shop: Shop,
    catalog: Channel,
    room: Channel,
    fulfillment: Channel,
    partner_id: String,
}

fn reason<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => String::new(),
        Err(status) => status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default(),
    }
}

fn bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("plain ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

async fn house() -> House {
    let running = Running::four(|_| store::DbConfig::default()).await;
    let shop = Shop::open(&running, 100).await;
    shop.until_on_sale().await;
    let catalog = raw::connect(&running.addresses.catalog).await;
    let request = catalog::ListPartnersRequest::default();
    let path = "/vitrine.catalog.v1.PartnerService/ListPartners";
    let partners: catalog::ListPartnersResponse = ask(&catalog, &shop.ops, path, &request)
        .await
        .expect("partners");
    House {
        room: raw::connect(&running.addresses.room).await,
        fulfillment: raw::connect(&running.addresses.fulfillment).await,
        partner_id: partners.partners[0].partner_id.clone(),
        running,
        shop,
        catalog,
    }
}

impl House {
    /// Somebody of operations says something to the catalogue.
    async fn say<Q: Message, A: Message + Default>(&self, method: &str, request: Q) -> A {
        let path = format!("/vitrine.catalog.v1.PartnerService/{method}");
        let answer = ask(&self.catalog, &self.shop.ops, &path, &request).await;
        answer.unwrap_or_else(|status| panic!("{method}: {status}"))
    }

    async fn suspend(&self, key: &str) {
        let request = catalog::SuspendPartnerRequest {
            request_id: key.into(),
            partner_id: self.partner_id.clone(),
            reason: "late payments".into(),
            ..Default::default()
        };
        let _: catalog::SuspendPartnerResponse = self.say("SuspendPartner", request).await;
    }

    async fn resume(&self, key: &str) {
        let request = catalog::ResumePartnerRequest {
            request_id: key.into(),
            partner_id: self.partner_id.clone(),
            ..Default::default()
        };
        let _: catalog::ResumePartnerResponse = self.say("ResumePartner", request).await;
    }

    async fn catalog_says(&self, token: &str) -> String {
        let path = "/vitrine.catalog.v1.ListingService/ListListings";
        let request = catalog::ListListingsRequest::default();
        reason(ask::<_, catalog::ListListingsResponse>(&self.catalog, token, path, &request).await)
    }

    /// What each of the other services says to a partner's token.
    async fn others_say(&self, token: &str) -> [String; 3] {
        let path = "/vitrine.order.v1.OrderService/ListOrders";
        let request = order::ListOrdersRequest::default();
        let orders = ask::<_, order::ListOrdersResponse>(&self.shop.order, token, path, &request);
        let path = "/vitrine.room.v1.RoomService/ListRooms";
        let request = room::ListRoomsRequest::default();
        let rooms = ask::<_, room::ListRoomsResponse>(&self.room, token, path, &request);
        let path = "/vitrine.fulfillment.v1.FulfillmentService/ListFulfillments";
        let request = fulfillment::ListFulfillmentsRequest::default();
        let work = ask::<_, fulfillment::ListFulfillmentsResponse>(
            &self.fulfillment,
            token,
            path,
            &request,
        );
        [
            reason(orders.await),
            reason(rooms.await),
            reason(work.await),
        ]
    }

    async fn until_all_say(&self, token: &str, word: &str) {
        let said = testkit::eventually_async(BOUND, || async {
            self.others_say(token).await.iter().all(|said| said == word)
        })
        .await;
        assert!(
            said,
            "not {word:?} everywhere: {:?}",
            self.others_say(token).await
        );
        assert_eq!(self.catalog_says(token).await, word);
    }

    async fn end_of_feeds(&self) -> Vec<tokio::task::JoinHandle<String>> {
        let mut orders = OrderFeedServiceClient::new(self.shop.order.clone());
        let request = bearer(&self.shop.partner, order::WatchOrderFeedRequest::default());
        let mut orders = orders
            .watch_order_feed(request)
            .await
            .expect("it watches")
            .into_inner();
        let mut catalog = CatalogFeedServiceClient::new(self.catalog.clone());
        let request = bearer(
            &self.shop.partner,
            catalog::WatchCatalogFeedRequest::default(),
        );
        let mut listings = catalog
            .watch_catalog_feed(request)
            .await
            .expect("it watches")
            .into_inner();
        vec![
            kit::spawn("test.watch", async move {
                loop {
                    match orders.message().await {
                        Ok(Some(_)) => {}
                        other => return reason(other),
                    }
                }
            }),
            kit::spawn("test.watch", async move {
                loop {
                    match listings.message().await {
                        Ok(Some(_)) => {}
                        other => return reason(other),
                    }
                }
            }),
        ]
    }
}

mod security {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_suspended_partner_is_refused_everywhere_and_its_money_is_not_lost() {
        let h = house().await;
        let token = h.shop.partner.clone();
        let placed = h.shop.place("before").await.expect("placed");
        let ends = h.end_of_feeds().await;
        h.until_all_say(&token, "").await;

        h.suspend("s-1").await;
        // The catalogue has no second to lose, nor its own feed to read.
        assert_eq!(h.catalog_says(&token).await, SUSPENDED);
        h.until_all_say(&token, SUSPENDED).await;
        for end in ends {
            let end = tokio::time::timeout(BOUND, end).await.expect("streams end");
            assert_eq!(end.expect("no panic"), SUSPENDED);
        }
        assert_eq!(reason(h.shop.place("after").await), SUSPENDED);
        // The shopper had paid: it is recorded, now as ever.
        let paid = h
            .shop
            .pay(&placed.order_id, "pay-1")
            .await
            .expect("recorded");
        assert_ne!(paid.outcome(), order::PaymentOutcome::Unspecified);
        let again = h
            .shop
            .pay(&placed.order_id, "pay-1")
            .await
            .expect("the same");
        assert_eq!(again.outcome(), paid.outcome());

        h.resume("r-1").await;
        h.until_all_say(&token, "").await;
        h.shop.until_on_sale().await;
        let kept = h.shop.order(&placed.order_id).await.expect("its order");
        assert_eq!(kept.order_id, placed.order_id);
        h.running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_scopes_and_quotas_of_a_partner_count_at_every_server() {
        const NAME: &str = "https://app.example";
        let h = house().await;
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        let partner_id: PartnerId = h.partner_id.parse().expect("an id");
        let scopes = [
            "catalog.read",
            "order.read",
            "order.write",
            "room.read",
            "fulfillment.read",
        ];
        let signed = |key: &SigningKey| {
            let config = AuthConfig::default();
            let signer =
                TokenSigner::new(key.clone(), &config, clock.clone(), ids.clone()).named(NAME);
            let claims = Claims::partner("gateway", &partner_id).scopes(scopes);
            signer.mint(claims, Duration::from_secs(3_600))
        };
        let keys = [SigningKey::generate(), SigningKey::generate()];
        let tokens = keys.each_ref().map(signed);
        let add = |n: usize| catalog::AddTokenKeyRequest {
            request_id: format!("k-{n}"),
            partner_id: h.partner_id.clone(),
            kid: keys[n].kid().into(),
            public_key_jwk: keys[n].public_jwk().to_string(),
            ..Default::default()
        };
        let update = |key: &str, change: catalog::PartnerAccess, field: &str| {
            catalog::UpdatePartnerAccessRequest {
                request_id: key.into(),
                access: Some(catalog::PartnerAccess {
                    partner_id: h.partner_id.clone(),
                    ..change
                }),
                update_mask: Some(prost_types::FieldMask {
                    paths: vec![field.into()],
                }),
                ..Default::default()
            }
        };
        let named = catalog::PartnerAccess {
            issuer_name: NAME.into(),
            ..Default::default()
        };
        let _: catalog::UpdatePartnerAccessResponse = h
            .say("UpdatePartnerAccess", update("u-1", named, "issuer_name"))
            .await;
        assert_eq!(h.catalog_says(&tokens[0]).await, "UNAUTHENTICATED");

        // One key, both, and then the new one alone.
        let first: catalog::AddTokenKeyResponse = h.say("AddTokenKey", add(0)).await;
        let first = first.token_key.expect("a key").token_key_id;
        until_accepted(&h, &tokens[0]).await;
        let _: catalog::AddTokenKeyResponse = h.say("AddTokenKey", add(1)).await;
        until_accepted(&h, &tokens[1]).await;
        let retire = catalog::RetireTokenKeyRequest {
            request_id: "t-1".into(),
            token_key_id: first.clone(),
            retire_time: Some(clock.now().plus(Duration::from_secs(3_600)).to_proto()),
            ..Default::default()
        };
        let _: catalog::RetireTokenKeyResponse = h.say("RetireTokenKey", retire).await;
        h.until_all_say(&tokens[0], "").await;
        let revoke = catalog::RevokeTokenKeyRequest {
            request_id: "v-1".into(),
            token_key_id: first,
            reason: "lost".into(),
            ..Default::default()
        };
        let _: catalog::RevokeTokenKeyResponse = h.say("RevokeTokenKey", revoke).await;
        let refused = testkit::eventually_async(BOUND, || async {
            let said = h.others_say(&tokens[0]).await;
            said.iter().all(|said| said == "UNAUTHENTICATED")
                && h.catalog_says(&tokens[0]).await == "UNAUTHENTICATED"
        })
        .await;
        assert!(refused, "a revoked key is still accepted");
        h.until_all_say(&tokens[1], "").await;

        let quotas = catalog::PartnerQuotas {
            placements_per_second: 1,
            ..Default::default()
        };
        let change = catalog::PartnerAccess {
            quotas: Some(quotas),
            ..Default::default()
        };
        let _: catalog::UpdatePartnerAccessResponse = h
            .say("UpdatePartnerAccess", update("u-2", change, "quotas"))
            .await;
        let limited = testkit::eventually_async(BOUND, || async {
            reason(h.shop.place("fast").await) == "RATE_LIMITED"
        })
        .await;
        assert!(limited, "the quota is not applied");

        let change = catalog::PartnerAccess {
            allowed_scopes: vec!["catalog.read".into()],
            ..Default::default()
        };
        let _: catalog::UpdatePartnerAccessResponse = h
            .say(
                "UpdatePartnerAccess",
                update("u-3", change, "allowed_scopes"),
            )
            .await;
        let held = testkit::eventually_async(BOUND, || async {
            let said = h.others_say(&tokens[1]).await;
            said.iter().all(|said| said == "PERMISSION_DENIED")
        })
        .await;
        assert!(held, "{:?}", h.others_say(&tokens[1]).await);
        assert_eq!(h.catalog_says(&tokens[1]).await, "");
        h.running.stop().await;
    }

    async fn until_accepted(h: &House, token: &str) {
        let accepted = testkit::eventually_async(BOUND, || async {
            h.catalog_says(token).await.is_empty()
                && h.others_say(token).await.iter().all(String::is_empty)
        })
        .await;
        assert!(accepted, "a token of a new key is refused");
    }
}
