//! Changes of the catalogue on the screens where they belong.

use std::time::Duration;

use contracts::catalog::v1::{ListingState, PartnerState};
use contracts::room::v1::room_event::Content;
use contracts::room::v1::*;
use kit::clock::Clock;
use testkit::{TestDb, on_both_engines};

use crate::catalog::{FakeCatalog, Listed};
use crate::common::{Server, Watch, brisk, setup, until};

/// What STATE said last of the item of this rank: price and whether it can be bought, per offer.
fn offers(watch: &Watch, rank: i32) -> Option<Vec<(i64, bool)>> {
    let mut of_rank =
        watch
            .of(DeliveryClass::State)
            .into_iter()
            .filter_map(|content| match content {
                Content::ItemOffers(item) if item.rank == rank => Some(item),
                _ => None,
            });
    let offer = |offer: &ShowcaseOffer| {
        let amount = offer
            .price
            .as_ref()
            .and_then(|price| price.amount.clone())
            .expect("a price");
        (amount.minor_units, offer.on_sale)
    };
    of_rank
        .next_back()
        .map(|item| item.offers.iter().map(offer).collect())
}

on_both_engines! {
    setup: setup();

    async fn a_price_reaches_its_own_partners_outlets_only(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 12, 21]).await;
        for product in [1, 2] {
            server.add(&room, product).await;
        }
        server.catalog.listing(Listed::live(101, 1, 1, 1_000));
        server.catalog.listing(Listed::live(201, 2, 1, 2_000));
        server.caught_up().await;
        let mut watches = Vec::new();
        for outlet in [11, 12, 21] {
            let viewer = server.viewer(&room, outlet, "s-1").await;
            watches.push(Watch::begin(&viewer, &room, None, "").await.expect("a watch"));
        }
        let mut retailer = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        let [one, two, other] = &mut watches[..] else { panic!("three watches") };
        server.catalog.listing(Listed::live(101, 1, 1, 900));
        for watch in [&mut *one, &mut *two] {
            watch.until("the price", |watch| offers(watch, 1) == Some(vec![(900, true)])).await;
        }
        server.catalog.listing(Listed { state: ListingState::Paused, ..Listed::live(201, 2, 1, 2_000) });
        other.until("the pause", |watch| offers(watch, 1) == Some(vec![(2_000, false)])).await;
        server.catalog.partner(1, PartnerState::Suspended);
        one.until("the suspension", |watch| offers(watch, 1) == Some(vec![(900, false)])).await;
        server.catalog.product(2, "Renamed", "Acme");
        for watch in [&mut *one, &mut *two, &mut *other, &mut retailer] {
            watch.until("the title", |watch| {
                watch.of(DeliveryClass::State).iter().any(|content| matches!(content, Content::ItemOffers(item) if item.title == "Renamed"))
            }).await;
        }
        let prices = |watch: &Watch| {
            let items = watch.of(DeliveryClass::State).into_iter().flat_map(|content| match content {
                Content::ItemOffers(item) => item.offers,
                _ => Vec::new(),
            });
            items.map(|offer| offer.price.and_then(|price| price.amount).expect("a price").minor_units).collect::<Vec<_>>()
        };
        assert!(prices(one).iter().all(|price| *price == 900), "{:?}", prices(one));
        assert_eq!(prices(other), [2_000], "and nothing of the others");
        assert_eq!(prices(&retailer), [0_i64; 0]);
        assert_eq!(one.dropped.get(&DeliveryClass::Ledger), None);
        server.stop().await;
    }

    async fn sale_windows_open_and_close_by_themselves(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        server.add(&room, 1).await;
        let now = t.clock.now();
        let (from, until) = (now.plus(Duration::from_secs(60)), now.plus(Duration::from_secs(120)));
        server.catalog.listing(Listed { from: Some(from), until: Some(until), ..Listed::live(101, 1, 1, 500) });
        server.caught_up().await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        assert!(!watch.snapshot().items[0].offers[0].on_sale);
        t.clock.advance(Duration::from_secs(60));
        watch.until("the opening", |watch| offers(watch, 1) == Some(vec![(500, true)])).await;
        t.clock.advance(Duration::from_secs(60));
        watch.until("the end", |watch| offers(watch, 1) == Some(vec![(500, false)])).await;
        assert_eq!(watch.of(DeliveryClass::State).len(), 2);
        server.stop().await;
    }

    async fn a_cursor_of_another_hub_is_told_every_offer_again(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        server.add(&room, 1).await;
        server.catalog.listing(Listed::live(101, 1, 1, 500));
        server.caught_up().await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let cursor = Watch::begin(&viewer, &room, None, "").await.expect("a watch").cursor;
        until("nobody watches", || async { server.counters(&room).await.viewers == 0 }).await;
        server.catalog.listing(Listed::live(101, 1, 1, 400));
        server.caught_up().await;
        let mut watch = Watch::begin(&viewer, &room, None, &cursor).await.expect("a watch");
        assert_eq!(watch.outcome(), ResumeOutcome::Resumed);
        watch.until("the price", |watch| offers(watch, 1) == Some(vec![(400, true)])).await;
        server.stop().await;
    }

    async fn a_feed_that_has_forgotten_is_made_up_for_by_the_lists(t: TestDb) {
        let catalog = FakeCatalog::new();
        catalog.partner(1, PartnerState::Suspended);
        catalog.outlet(11, 1);
        catalog.product(1, "Product 1", "Acme");
        catalog.listing(Listed::live(101, 1, 1, 700));
        catalog.forget();
        let server = Server::start_on(&t, t.db.clone(), brisk(), catalog).await;
        server.caught_up().await;
        let room = server.live_room(&[11]).await;
        server.add(&room, 1).await;
        let items = server.items(&room, &server.ops(), Some(11)).await.expect("items");
        assert_eq!((items[0].offers.len(), items[0].offers[0].on_sale), (1, false), "the partner is suspended");
        server.stop().await;
    }
}
