//! What was explained when and at which price; rooms without a cart; brands that are no longer allowed.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::ListingState;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};

use crate::catalog::{Listed, listing_id};
use crate::common::{Hand, Server, Watch, brisk, call, key, reason, setup, unknown_room, until};
use crate::stage::whole_minute;

async fn timeline(hand: &Hand, room: &str) -> Vec<TimelineSegment> {
    let request = GetTimelineRequest {
        room_id: room.into(),
        ..GetTimelineRequest::default()
    };
    call!(hand.rooms.get_timeline(request))
        .expect("a timeline")
        .segments
}

/// Media seconds and product of each segment, and its prices: listing, since when, then, and now.
fn in_short(segment: &TimelineSegment) -> String {
    let cents = |price: &Option<contracts::common::v1::Price>| {
        let amount = price.as_ref().and_then(|price| price.amount.as_ref());
        amount.map_or("-".to_owned(), |amount| amount.minor_units.to_string())
    };
    let prices = segment.shown_prices.iter().map(|it| {
        let number = (101..=202)
            .find(|n| it.listing_id == listing_id(*n).to_string())
            .expect("a listing");
        let (then, now) = (cents(&it.shown_price), cents(&it.current_price));
        let sale = if it.shown_on_sale { "" } else { "!" };
        format!(" {number}@{}:{then}{sale}/{now}", it.media_time_ms / 1_000)
    });
    format!(
        "{}-{}{}",
        segment.media_start_ms / 1_000,
        segment.media_end_ms / 1_000,
        prices.collect::<String>()
    )
}

on_both_engines! {
    setup: setup();

    async fn the_timeline_tells_prices_as_they_were_shown_and_now(t: TestDb) {
        let server = Server::start(&t).await;
        server.catalog.listing(Listed::live(101, 1, 1, 1_000));
        server.catalog.listing(Listed::live(201, 2, 1, 2_000));
        server.catalog.listing(Listed::live(102, 1, 2, 3_000));
        server.caught_up().await;
        let room = server.live_room(&[11, 21]).await;
        let (bag, shoe) = (server.add(&room, 1).await, server.add(&room, 2).await);
        let pass = |seconds: u64| t.clock.advance(Duration::from_secs(seconds));
        pass(10);
        server.explain(&bag).await.expect("explained");
        pass(5);
        server.catalog.listing(Listed::live(101, 1, 1, 900));
        server.caught_up().await;
        // What nobody sees is no new price.
        server.catalog.listing(Listed::live(101, 1, 1, 900));
        server.catalog.listing(Listed::live(102, 1, 2, 2_900));
        server.caught_up().await;
        pass(5);
        server.explain(&shoe).await.expect("explained");
        pass(5);
        server.stop_explaining(&shoe).await.expect("stopped");
        server.explain(&bag).await.expect("again");
        pass(1);
        server.catalog.listing(Listed { state: ListingState::Ended, ..Listed::live(201, 2, 1, 2_000) });
        server.caught_up().await;
        pass(4);
        server.end(&room).await.expect("over");
        server.catalog.listing(Listed::live(101, 1, 1, 850));
        server.caught_up().await;
        let told: Vec<String> = timeline(&server.ops(), &room).await.iter().map(in_short).collect();
        assert_eq!(told, [
            "10-20 101@10:1000/850 201@10:2000/- 101@15:900/850",
            "20-25 102@20:2900/2900",
            "25-30 101@25:900/850 201@25:2000/- 201@26:2000!/-",
        ]);
        let one: Vec<String> = timeline(&server.partner(1), &room).await.iter().map(in_short).collect();
        assert_eq!(one, ["10-20 101@10:1000/850 101@15:900/850", "20-25 102@20:2900/2900", "25-30 101@25:900/850"]);
        let two: Vec<String> = timeline(&server.partner(2), &room).await.iter().map(in_short).collect();
        assert_eq!(two, ["10-20 201@10:2000/-", "20-25", "25-30 201@25:2000/- 201@26:2000!/-"]);
        let elsewhere = server.live_room(&[21]).await;
        let partner = server.partner(1);
        for id in [elsewhere, unknown_room()] {
            let request = GetTimelineRequest { room_id: id, ..Default::default() };
            assert_eq!(reason(call!(partner.rooms.get_timeline(request))), ErrorReason::NotFound);
        }
        let (mut token, mut pages) = (String::new(), 0);
        loop {
            let request = GetTimelineRequest { room_id: room.clone(), page_size: 2, page_token: token };
            let page = call!(partner.rooms.get_timeline(request)).expect("a page");
            (token, pages) = (page.next_page_token, pages + page.segments.len());
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, 3);
        server.stop().await;
    }

    async fn without_a_cart_products_are_shown_and_nothing_is_offered(t: TestDb) {
        let server = Server::start(&t).await;
        server.catalog.listing(Listed::live(101, 1, 1, 1_000));
        server.caught_up().await;
        let ops = server.ops();
        for session in [SessionType::Course, SessionType::Tutorial, SessionType::Original] {
            let host = server.host(true).await;
            let draft = Room { session_type: session.into(), ..server.draft(&host, &[11]) };
            let request = CreateRoomRequest { request_id: key(), room: Some(draft) };
            let made = call!(ops.rooms.create_room(request)).expect("a room").room.expect("it");
            assert_eq!(made.session_type(), session);
            let room = made.room_id;
            server.schedule(&room).await.expect("planned");
            server.go_live(&room).await.expect("on air");
            let item = server.add(&room, 1).await;
            let viewer = server.viewer(&room, 11, "s").await;
            let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
            server.explain(&item).await.expect("explained");
            server.end(&room).await.expect("over");
            watch.read_to_end().await;
            let items = server.items(&room, &server.partner(1), Some(11)).await.expect("items");
            assert_eq!((items.len(), items[0].offers.len()), (1, 0));
            assert!(watch.snapshot().items.iter().all(|item| item.offers.is_empty()));
            for event in &watch.events {
                if let Some(room_event::Content::ItemChanged(item) | room_event::Content::ItemOffers(item)) = &event.content {
                    assert!(item.offers.is_empty(), "{item:?}");
                }
            }
            let told = timeline(&server.partner(1), &room).await;
            assert_eq!((told.len(), told[0].shown_prices.len()), (1, 0));
        }
        server.stop().await;
    }

    async fn a_brands_slot_shows_that_brand_only_whatever_changes(t: TestDb) {
        let server = Server::start(&t).await;
        server.catalog.product(5, "Bag", "Maison");
        server.catalog.product(6, "Hat", "Maison");
        server.caught_up().await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let slot = ProgrammeSlot { brand_rules: vec!["Maison".into()], ..server.slot_draft(&channel, &host, now, 10, 60) };
        let slot = server.plan(slot).await.expect("a slot");
        let room = server.programme(&server.ops(), &channel, now, 0, 100).await[0].room_id.clone();
        assert_eq!(reason(server.try_add(&room, 1).await), ErrorReason::NotAllowedHere);
        for product in [5, 6] {
            server.add(&room, product).await;
        }
        let there = || async { server.items(&room, &server.ops(), None).await.expect("items").iter().map(|item| item.rank).collect::<Vec<_>>() };
        assert_eq!(there().await, [5, 6]);
        // Rules change: the slot's, and with it the room's.
        let both = vec!["Maison".to_owned(), "Acme".to_owned()];
        let slot = server.update_slot(ProgrammeSlot { brand_rules: both, ..slot }, &["brand_rules"]).await.expect("wider");
        server.add(&room, 1).await;
        let slot = server.update_slot(ProgrammeSlot { brand_rules: vec!["Maison".into()], ..slot }, &["brand_rules"]).await.expect("as before");
        assert_eq!(there().await, [5, 6], "what the rules forbid now is taken out");
        // A product changes its brand while it is explained on air.
        server.hand_over(&channel).await.expect("on air");
        let items = server.items(&room, &server.ops(), None).await.expect("items");
        server.explain(&items[0].showcase_item_id).await.expect("explained");
        let viewer = server.viewer(&room, 11, "s").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        server.catalog.product(5, "Bag", "Acme");
        watch.until("it is taken out", |watch| watch.story() == ["removed"]).await;
        until("it is gone", || async { there().await == [6] }).await;
        let told = timeline(&server.ops(), &room).await;
        assert!(told[0].end_time.is_some(), "its explaining ended");
        // What is on air is not changed by its slot any more.
        server.update_slot(ProgrammeSlot { brand_rules: vec!["Acme".into()], ..slot }, &["brand_rules"]).await.expect("for others");
        assert_eq!(there().await, [6]);
        server.stop().await;
    }

    async fn a_page_of_a_timeline_ends_where_it_has_enough_prices(t: TestDb) {
        let config = room::Config { timeline_prices_max: 2, ..brisk() };
        let server = Server::start_with(&t, config).await;
        server.catalog.listing(Listed::live(101, 1, 1, 1_000));
        server.catalog.listing(Listed::live(201, 2, 1, 2_000));
        server.caught_up().await;
        let room = server.live_room(&[11, 21]).await;
        let item = server.add(&room, 1).await;
        for _ in 0..3 {
            server.explain(&item).await.expect("explained");
            t.clock.advance(Duration::from_secs(1));
            server.stop_explaining(&item).await.expect("stopped");
        }
        let (ops, mut token, mut pages) = (server.ops(), String::new(), Vec::new());
        loop {
            let request = GetTimelineRequest { room_id: room.clone(), page_token: token, ..Default::default() };
            let page = call!(ops.rooms.get_timeline(request)).expect("a page");
            pages.push(page.segments.iter().map(|segment| segment.shown_prices.len()).collect::<Vec<_>>());
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(pages, [[2], [2], [2]], "whole segments, none left out");
        server.stop().await;
    }
}
