//! Watchers who do not keep up.

use std::time::Duration;

use contracts::room::v1::room_event::Content;
use contracts::room::v1::*;
use room::Config;
use testkit::{TestDb, on_both_engines};

use crate::catalog::Listed;
use crate::common::{Server, Watch, Went, ask, brisk, setup};
use crate::watch::draining;

/// The last price of the only item that was shown as STATE.
fn price(watch: &Watch) -> Option<i64> {
    let last = watch.of(DeliveryClass::State).pop()?;
    let Content::ItemOffers(item) = last else {
        panic!("offers")
    };
    Some(
        item.offers
            .first()?
            .price
            .as_ref()?
            .amount
            .as_ref()?
            .minor_units,
    )
}

on_both_engines! {
    setup: setup();

    async fn are_sent_the_last_value_and_told_what_was_left_out(t: TestDb) {
        let config = Config { chat_window: 4, ephemeral_window: 2, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        server.add(&room, 1).await;
        let mut slow = Watch::begin(&server.partner(1), &room, Some(11), "").await.expect("a watch");
        let mut fast = Watch::begin(&server.partner(1), &room, Some(11), "").await.expect("a watch");
        for cents in 1..=20 {
            server.catalog.listing(Listed::live(101, 1, 1, cents));
            fast.until("the price", |watch| price(watch) == Some(cents)).await;
        }
        for n in 0..10 {
            let viewer = server.viewer(&room, 11, &format!("s-{n}")).await;
            ask(&viewer, &format!("{n}?")).await.expect("asked");
            fast.until("the question", |watch| watch.talk().len() == n + 1).await;
        }
        slow.until("the last question", |watch| watch.talk().last().is_some_and(|last| last == "? 9?")).await;
        assert_eq!((price(&slow), slow.of(DeliveryClass::State).len()), (Some(20), 1), "only the last one");
        assert_eq!(slow.talk(), ["? 6?", "? 7?", "? 8?", "? 9?"], "in order");
        assert_eq!(slow.dropped.get(&DeliveryClass::State), Some(&19));
        assert_eq!(slow.dropped.get(&DeliveryClass::Chat), Some(&6));
        assert_eq!(slow.dropped.get(&DeliveryClass::Ledger), None);
        server.stop().await;
    }

    async fn are_cut_off_and_lose_nothing_that_counts(t: TestDb) {
        let config = Config { ledger_window: 4, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let item = server.add(&room, 1).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut slow = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        let mut fast = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        server.pin(&item, true).await;
        fast.until("the pin", |watch| watch.ledger().len() == 1).await;
        slow.until("the pin", |watch| watch.ledger().len() == 1).await;
        let mut pinned = true;
        for turn in 0..10 {
            pinned = !pinned;
            server.pin(&item, pinned).await;
            server.catalog.listing(Listed::live(101, 1, 1, turn + 1));
            fast.until("both", |watch| watch.ledger().len() == turn as usize + 2 && price(watch) == Some(turn + 1)).await;
        }
        let Went::Broke(status) = slow.read_to_end().await else { panic!("cut off") };
        assert_eq!(draining(&status).as_deref(), Some(slow.cursor.as_str()));
        let mut again = Watch::begin(&viewer, &room, None, &slow.cursor).await.expect("a watch");
        assert_eq!(again.outcome(), ResumeOutcome::Resumed);
        again.until("what was missed", |watch| watch.ledger().len() == 10 && price(watch) == Some(10)).await;
        let whole: Vec<String> = slow.story().into_iter().chain(again.story()).collect();
        assert_eq!(whole, fast.story(), "nothing of the LEDGER is lost or told twice");
        server.stop().await;
    }

    async fn who_does_not_read_at_all_is_cut_off_in_time(t: TestDb) {
        let config = Config { slow_reader_cut_ms: 10_000, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let item = server.add(&room, 1).await;
        let (one, two) = (server.viewer(&room, 11, "s-1").await, server.viewer(&room, 11, "s-2").await);
        let mut deaf = Watch::begin(&one, &room, None, "").await.expect("a watch");
        let mut fast = Watch::begin(&two, &room, None, "").await.expect("a watch");
        fast.until("both", |watch| watch.totals().viewers == 2).await;
        server.pin(&item, true).await;
        fast.until("the pin", |watch| watch.ledger().len() == 1).await;
        // It is noticed that something waits for it, and after that the time passes.
        let mut cut = false;
        for _ in 0..1_000 {
            t.clock.advance(Duration::from_secs(6));
            server.pin(&item, fast.ledger().len().is_multiple_of(2)).await;
            let seen = fast.events.len();
            fast.until("more", |watch| watch.events.len() > seen).await;
            if fast.totals().viewers == 1 {
                cut = true;
                break;
            }
        }
        assert!(cut, "it no longer counts as watching");
        let Went::Broke(status) = deaf.read_to_end().await else { panic!("cut off") };
        assert_eq!(draining(&status).as_deref(), Some(deaf.cursor.as_str()));
        server.stop().await;
    }

    async fn above_a_rate_questions_are_sampled_but_never_ones_own(t: TestDb) {
        let config = Config { chat_rate_max_per_s: 3, open_questions_per_viewer_max: 100, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let (asker, other) = (server.viewer(&room, 11, "asker").await, server.viewer(&room, 11, "other").await);
        let mut own = Watch::begin(&asker, &room, None, "").await.expect("a watch");
        let mut others = Watch::begin(&other, &room, None, "").await.expect("a watch");
        let mut last = String::new();
        // The clock stands still: all of it is asked in one second.
        for n in 0..20 {
            last = ask(&asker, &format!("{n}?")).await.expect("asked").question_id;
        }
        server.answer(&last, "Yes.").await.expect("answered");
        let all: Vec<String> = (0..20).map(|n| format!("? {n}?")).chain(["! Yes.".to_owned()]).collect();
        own.until("all of its own", |watch| watch.talk().len() == 21).await;
        assert_eq!(own.talk(), all);
        others.until("the answer", |watch| watch.talk().last().is_some_and(|last| last == "! Yes.")).await;
        assert_eq!(others.talk(), ["? 0?", "? 1?", "? 2?", "! Yes."], "an answer is for everybody");
        assert_eq!(others.dropped.get(&DeliveryClass::Chat), Some(&17));
        assert_eq!(own.dropped.get(&DeliveryClass::Chat), None);
        server.stop().await;
    }

    async fn ones_own_questions_wait_though_the_window_is_full(t: TestDb) {
        let config = Config { chat_window: 2, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let asker = server.viewer(&room, 11, "asker").await;
        let mut fast = Watch::begin(&server.partner(1), &room, Some(11), "").await.expect("a watch");
        let mut slow = Watch::begin(&asker, &room, None, "").await.expect("a watch");
        ask(&asker, "Mine?").await.expect("asked");
        for n in 0..6 {
            let viewer = server.viewer(&room, 11, &format!("s-{n}")).await;
            ask(&viewer, &format!("{n}?")).await.expect("asked");
            fast.until("the question", |watch| watch.talk().len() == n + 2).await;
        }
        slow.until("the last", |watch| watch.talk().last().is_some_and(|last| last == "? 5?")).await;
        assert_eq!(slow.talk(), ["? Mine?", "? 4?", "? 5?"]);
        assert_eq!(slow.dropped.get(&DeliveryClass::Chat), Some(&4));
        server.stop().await;
    }
}
