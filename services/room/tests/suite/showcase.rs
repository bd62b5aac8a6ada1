//! A room's product list.

use contracts::ErrorReason;
use contracts::catalog::v1::{ListingState, PartnerState};
use contracts::common::v1::PurchaseMode;
use contracts::room::v1::*;
use room::Config;
use testkit::{TestDb, on_both_engines};

use crate::catalog::{Listed, listing_id};
use crate::common::{Server, brisk, call, fields, key, reason, refusal, setup, unknown_room};

fn ranks(items: &[ShowcaseItem]) -> Vec<i32> {
    items.iter().map(|item| item.rank).collect()
}

on_both_engines! {
    setup: setup();

    async fn items_are_products_that_the_rules_allow(t: TestDb) {
        let server = Server::start_with(&t, Config { items_per_room_max: 2, ..brisk() }).await;
        let ops = server.ops();
        let host = server.host(true).await;
        let draft = Room { brand_rules: vec!["Acme".into()], ..server.draft(&host, &[11]) };
        let request = CreateRoomRequest { request_id: key(), room: Some(draft) };
        let room = call!(ops.rooms.create_room(request)).expect("a room").room.expect("the room").room_id;
        server.catalog.product(5, "Other", "Globex");
        server.caught_up().await;
        let item = server.try_add(&room, 1).await.expect("an item").item.expect("the item");
        assert_eq!((item.title.as_str(), item.rank, item.pinned, item.explaining), ("Product 1", 1, false, false));
        let again = refusal(server.try_add(&room, 1).await);
        assert_eq!((again.reason, &again.metadata["showcase_item_id"]), (ErrorReason::AlreadyExists, &item.showcase_item_id));
        assert_eq!(reason(server.try_add(&room, 5).await), ErrorReason::NotAllowedHere);
        assert_eq!(reason(server.try_add(&room, 77).await), ErrorReason::NotFound);
        assert_eq!(reason(server.try_add(&unknown_room(), 1).await), ErrorReason::NotFound);
        server.add(&room, 2).await;
        assert_eq!(reason(server.try_add(&room, 3).await), ErrorReason::WrongState, "it is full");
        server.remove(&item.showcase_item_id).await.expect("taken out");
        assert_eq!(reason(server.remove(&item.showcase_item_id).await), ErrorReason::NotFound);
        server.add(&room, 3).await;
        let request = AddItemRequest { request_id: key(), room_id: room.clone(), product_id: "x".into(), rank: -1 };
        assert_eq!(fields(call!(ops.showcase.add_item(request))), ["product_id", "rank"]);
        server.end(&room).await.expect("ended");
        assert_eq!(reason(server.try_add(&room, 1).await), ErrorReason::WrongState);
        server.stop().await;
    }

    async fn pinned_items_come_first_and_pages_follow_the_order(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let room = server.room(&[11]).await;
        let mut ids = Vec::new();
        for product in [3, 1, 4, 2] {
            ids.push(server.add(&room, product).await);
        }
        assert_eq!(ranks(&server.items(&room, &ops, None).await.expect("items")), [1, 2, 3, 4]);
        assert!(server.pin(&ids[2], true).await.pinned);
        assert!(server.pin(&ids[2], true).await.pinned, "already");
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListItemsRequest { room_id: room.clone(), page_size: 3, page_token, ..Default::default() };
            let page = call!(ops.showcase.list_items(request)).expect("a page");
            seen.extend(ranks(&page.items));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [4, 1, 2, 3]);
        assert!(!server.pin(&ids[2], false).await.pinned);
        assert_eq!(ranks(&server.items(&room, &ops, None).await.expect("items")), [1, 2, 3, 4]);
        server.stop().await;
    }

    async fn each_outlet_sees_its_own_partners_offers(t: TestDb) {
        let server = Server::start(&t).await;
        let (room, ops) = (server.live_room(&[11, 12, 21]).await, server.ops());
        server.add(&room, 1).await;
        server.catalog.listing(Listed::live(101, 1, 1, 1_990));
        server.catalog.listing(Listed { state: ListingState::Paused, ..Listed::live(201, 2, 1, 2_490) });
        server.catalog.listing(Listed { state: ListingState::Approved, ..Listed::live(202, 2, 1, 1) });
        server.catalog.listing(Listed { state: ListingState::Ended, ..Listed::live(102, 1, 1, 1) });
        server.catalog.listing(Listed::live(103, 1, 2, 555));
        server.caught_up().await;
        let seen = |items: Vec<ShowcaseItem>| {
            let offers = items[0].offers.iter().map(|offer| {
                let price = offer.price.as_ref().and_then(|price| price.amount.clone()).expect("a price");
                (offer.listing_id.clone(), price.minor_units, offer.on_sale)
            });
            offers.collect::<Vec<_>>()
        };
        let first = [(listing_id(101).to_string(), 1_990, true)];
        let second = [(listing_id(201).to_string(), 2_490, false)];
        let items = server.items(&room, &ops, Some(11)).await.expect("items");
        let offer = &items[0].offers[0];
        assert_eq!((offer.variant_label.as_str(), offer.retailer_discount_basis_points), ("Large", 250));
        assert_eq!(offer.purchase_mode(), PurchaseMode::InApp);
        assert_eq!(seen(items), first);
        assert_eq!(seen(server.items(&room, &ops, Some(21)).await.expect("items")), second);
        assert_eq!(seen(server.items(&room, &ops, None).await.expect("items")), [], "the retailer looks from nowhere");
        assert_eq!(seen(server.items(&room, &server.partner(1), None).await.expect("items")), first);
        assert_eq!(seen(server.items(&room, &server.partner(2), None).await.expect("items")), second);
        let viewer = server.viewer(&room, 12, "s-1").await;
        assert_eq!(seen(server.items(&room, &viewer, None).await.expect("items")), first);
        server.catalog.partner(1, PartnerState::Suspended);
        server.caught_up().await;
        let suspended = seen(server.items(&room, &viewer, None).await.expect("items"));
        assert_eq!(suspended, [(listing_id(101).to_string(), 1_990, false)]);
        server.stop().await;
    }
}
