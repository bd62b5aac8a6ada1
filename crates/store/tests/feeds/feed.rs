//! Reading a feed by cursor: pages, watching, whose view, and what is no longer kept.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::CatalogFeedEntry;
use contracts::feed::FeedMessage;
use futures::StreamExt;
use kit::caller::Caller;
use kit::clock::Clock;
use kit::errors::{Fault, Refusal};
use store::Db;
use store::feed::{
    FeedConfig, FeedPage, FeedReader, HEAD_CURSOR, NewEpoch, SweepConfig, SweepFeed, Sweeper,
};
use tokio_util::sync::CancellationToken;

use crate::support::*;
use testkit::{Engine, TestDb, on_both_engines};

type Entry = CatalogFeedEntry;

on_both_engines! {
    setup: patient();

    async fn pages_follow_each_other_to_the_end(t: TestDb) {
        publish(&t.db, None, "a", 1, 25).await;
        let mut cursor = String::new();
        let mut positions = Vec::new();
        for expected in [10, 10, 5, 0] {
            let page = list(&t.db, &system(), &cursor, 10).await.expect("a page");
            assert_eq!(page.entries.len(), expected);
            positions.extend(page.entries.iter().map(|entry| entry.meta().position));
            assert!(!page.next_cursor.is_empty());
            if let Some(last) = page.entries.last() {
                assert_eq!(last.meta().cursor, page.next_cursor);
            } else {
                assert_eq!(page.next_cursor, cursor, "the same place when there is nothing new");
            }
            cursor = page.next_cursor;
        }
        assert_eq!(positions, (1..=25).collect::<Vec<i64>>());
        assert_eq!(reader(&t.db).head_cursor(&system()).await.expect("the head"), cursor);
    }

    async fn entries_tell_where_they_come_from(t: TestDb) {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let caller = Caller { traceparent: traceparent.into(), ..system() };
        t.db.execute(&caller, Publish::of([entry(Some(1), "listing_1", 3)])).await.expect("publishing");
        let page = list(&t.db, &system(), "", 0).await.expect("a page");
        let meta = page.entries[0].meta();
        assert_eq!((meta.position, meta.partner_position), (1, 1));
        assert_eq!(meta.partner_id, partner(1).as_str());
        assert_eq!((meta.aggregate_id.as_str(), meta.etag.as_str()), ("listing_1", "3"));
        assert_eq!(meta.traceparent, traceparent);
        assert_eq!(meta.commit_time, Some(t.clock.now().to_proto()));
    }

    async fn a_partner_sees_its_own_entries_and_positions_and_nothing_else(t: TestDb) {
        for round in 0..5 {
            publish(&t.db, Some(1), "mine", round * 2 + 1, 2).await;
            publish(&t.db, None, "nobodys", round + 1, 1).await;
            publish(&t.db, Some(2), "other", round + 1, 1).await;
        }
        let page = list(&t.db, &partner_caller(1), "", 100).await.expect("a page");
        assert_eq!(page.entries.len(), 10);
        for (index, entry) in page.entries.iter().enumerate() {
            let meta = entry.meta();
            assert_eq!((meta.position, meta.partner_position), (0, index as i64 + 1));
            assert_eq!(meta.aggregate_id, "mine");
        }
        let rest = list(&t.db, &partner_caller(1), &page.entries[6].meta().cursor, 100).await.expect("a page");
        assert_eq!(rest.entries, page.entries[7..]);
        // A partner without entries has an empty feed, not an error.
        let nothing = list(&t.db, &partner_caller(3), "", 100).await.expect("a page");
        assert!(nothing.entries.is_empty());
        let again = list(&t.db, &partner_caller(3), &nothing.next_cursor, 100).await.expect("a page");
        assert!(again.entries.is_empty());
    }

    async fn a_cursor_of_another_view_is_refused(t: TestDb) {
        publish(&t.db, Some(1), "a", 1, 3).await;
        publish(&t.db, Some(2), "b", 1, 3).await;
        let mine = list(&t.db, &partner_caller(1), "", 1).await.expect("a page").next_cursor;
        let all = list(&t.db, &system(), "", 1).await.expect("a page").next_cursor;
        let elsewhere = FeedReader::new(t.db.clone(), "order", FeedConfig::default());
        let elsewhere: FeedPage<Entry> = elsewhere.serve_list(&system(), "", 1).await.expect("a page");
        for (caller, cursor) in [
            (partner_caller(2), mine.as_str()),
            (partner_caller(1), all.as_str()),
            (system(), mine.as_str()),
            (system(), elsewhere.next_cursor.as_str()),
            (system(), "nonsense"),
            (system(), "0"),
        ] {
            let refusal = refused(list(&t.db, &caller, cursor, 10).await);
            assert_eq!(refusal.reason, ErrorReason::BadCursor, "{cursor}");
            let refusal = refused(reader(&t.db).serve_watch::<Entry>(&caller, cursor, CancellationToken::new()).await);
            assert_eq!(refusal.reason, ErrorReason::BadCursor, "{cursor}");
        }
        let viewer = Caller { audience: contracts::common::v1::Audience::Viewer, ..partner_caller(1) };
        assert_eq!(refused(list(&t.db, &viewer, "", 1).await).reason, ErrorReason::PermissionDenied);
    }

    async fn pages_are_bounded_in_entries_and_bytes(t: TestDb) {
        publish(&t.db, None, "a", 1, 30).await;
        for size in [-1, 1_001, i32::MAX, i32::MIN] {
            assert_eq!(refused(list(&t.db, &system(), "", size).await).reason, ErrorReason::InvalidField);
        }
        assert_eq!(list(&t.db, &system(), "", 0).await.expect("a page").entries.len(), 30);
        let mut large = entry(None, "large", 1);
        large.payload = prost::Message::encode_to_vec(&Entry {
            content: Some(contracts::catalog::v1::catalog_feed_entry::Content::Partner(
                contracts::catalog::v1::Partner { display_name: "x".repeat(900), ..Default::default() },
            )),
            ..Entry::default()
        });
        let entries = (0..5).map(|_| large.clone());
        t.db.execute(&system(), Publish::of(entries)).await.expect("publishing");
        let config = FeedConfig { page_bytes_max: 2_000, ..FeedConfig::default() };
        let reader = FeedReader::new(t.db.clone(), "catalog", config);
        let mut cursor = String::new();
        let mut sizes = Vec::new();
        loop {
            let page: FeedPage<Entry> = reader.serve_list(&system(), &cursor, 100).await.expect("a page");
            if page.entries.is_empty() { break }
            sizes.push(page.entries.len());
            cursor = page.next_cursor;
        }
        assert_eq!(sizes, [32, 2, 1], "whole entries, at most the bytes, at least one");
        let tiny = FeedReader::new(t.db.clone(), "catalog", FeedConfig { page_bytes_max: 1, ..FeedConfig::default() });
        let page: FeedPage<Entry> = tiny.serve_list(&system(), "", 100).await.expect("a page");
        assert!(!page.entries.is_empty());
    }

    async fn a_watch_tells_what_is_there_and_what_comes(t: TestDb) {
        publish(&t.db, Some(1), "a", 1, 3).await;
        let drain = CancellationToken::new();
        let mut all = reader(&t.db).serve_watch::<Entry>(&system(), "", drain.clone()).await.expect("a watch");
        let mut own = reader(&t.db).serve_watch::<Entry>(&partner_caller(1), "", drain.clone()).await.expect("a watch");
        assert_eq!(take(&mut all, 3).await, [1, 2, 3]);
        for round in 0..10 {
            publish(&t.db, Some(1), "a", 4 + round, 1).await;
            publish(&t.db, Some(2), "b", 1 + round, 1).await;
            assert_eq!(take(&mut all, 2).await, [4 + round * 2, 5 + round * 2]);
        }
        assert_eq!(take(&mut own, 13).await, (1..=13).collect::<Vec<i64>>());
        drain.cancel();
        for watch in [&mut all, &mut own] {
            let last = within(watch.next()).await.expect("a last word");
            assert_eq!(refused(last).reason, ErrorReason::Draining);
            assert!(within(watch.next()).await.is_none());
        }
    }

    async fn a_watch_sees_commits_of_other_processes(t: TestDb) {
        // A SQLite file has one process.
        if t.engine() == Engine::Sqlite { return }
        let other = t.reopen().await;
        let mut watch = reader(&t.db).serve_watch::<Entry>(&system(), "", CancellationToken::new()).await.expect("a watch");
        publish(&other, None, "a", 1, 2).await;
        assert_eq!(take(&mut watch, 2).await, [1, 2]);
    }

    async fn a_slow_watcher_holds_nobody_up_and_still_hears_the_end(t: TestDb) {
        let drain = CancellationToken::new();
        let config = FeedConfig { watch_buffer_pages: 1, page_size_max: 2, watch_gather_ms: 0, watch_poll_ms: 5, ..FeedConfig::default() };
        let reader = FeedReader::new(t.db.clone(), "catalog", config);
        let mut slow = reader.serve_watch::<Entry>(&system(), "", drain.clone()).await.expect("a watch");
        publish(&t.db, None, "a", 1, 50).await;
        let first = take(&mut slow, 2).await;
        drain.cancel();
        let mut seen = first.len();
        let refusal = loop {
            match within(slow.next()).await.expect("a last word") {
                Ok(page) => seen += page.len(),
                Err(fault) => break refused::<()>(Err(fault)),
            }
        };
        assert_eq!(refusal.reason, ErrorReason::Draining);
        assert!(seen < 50, "it was never told everything, and does not have to be");
    }

    async fn watchers_are_bounded_and_give_their_place_back(t: TestDb) {
        let config = FeedConfig { watchers_max: 1, watch_poll_ms: 5, ..FeedConfig::default() };
        let reader = FeedReader::new(t.db.clone(), "catalog", config);
        let first = reader.serve_watch::<Entry>(&system(), "", CancellationToken::new()).await.expect("a watch");
        let second = reader.serve_watch::<Entry>(&system(), "", CancellationToken::new()).await;
        assert!(matches!(second.map(drop), Err(Fault::Busy { .. })));
        drop(first);
        until("the place is free again", || async {
            reader.serve_watch::<Entry>(&system(), "", CancellationToken::new()).await.is_ok()
        }).await;
    }

    async fn what_retention_took_away_is_noticed(t: TestDb) {
        publish(&t.db, Some(1), "a", 1, 10).await;
        let early = list(&t.db, &system(), "", 5).await.expect("a page").next_cursor;
        let own = list(&t.db, &partner_caller(1), "", 5).await.expect("a page").next_cursor;
        let middle = list(&t.db, &system(), "", 10).await.expect("a page").next_cursor;
        t.clock.advance(Duration::from_secs(3_600));
        publish(&t.db, Some(1), "a", 11, 5).await;
        let keep = Duration::from_secs(1_800);
        for expected in [4, 4, 2, 0] {
            let gone = t.db.execute(&system(), SweepFeed { keep, rows_max: 4 }).await.expect("a sweep");
            assert_eq!(gone, expected);
        }
        let head = reader(&t.db).head_cursor(&system()).await.expect("the head");
        for cursor in [early.as_str(), ""] {
            let refusal = refused(list(&t.db, &system(), cursor, 5).await);
            assert_eq!(refusal.reason, ErrorReason::CursorExpired);
            assert_eq!(refusal.metadata[HEAD_CURSOR], head);
            let refusal = refused(reader(&t.db).serve_watch::<Entry>(&system(), cursor, CancellationToken::new()).await);
            assert_eq!(refusal.reason, ErrorReason::CursorExpired);
        }
        assert_eq!(refused(list(&t.db, &partner_caller(1), &own, 5).await).reason, ErrorReason::CursorExpired);
        let rest = list(&t.db, &system(), &middle, 100).await.expect("nothing behind it is missing");
        assert_eq!(rest.entries.len(), 5);
        // With everything gone, only the very head is a place to go on from.
        t.clock.advance(Duration::from_secs(3_600));
        assert_eq!(t.db.execute(&system(), SweepFeed { keep, rows_max: 100 }).await.expect("a sweep"), 5);
        assert_eq!(refused(list(&t.db, &system(), &middle, 5).await).reason, ErrorReason::CursorExpired);
        assert!(list(&t.db, &system(), &head, 5).await.expect("a page").entries.is_empty());
        publish(&t.db, None, "a", 16, 1).await;
        let page = list(&t.db, &system(), &head, 5).await.expect("a page");
        assert_eq!(page.entries[0].meta().position, 16, "positions are never given again");
    }

    async fn a_watcher_overtaken_by_retention_is_told(t: TestDb) {
        let config = FeedConfig { watch_buffer_pages: 1, page_size_max: 2, watch_gather_ms: 0, watch_poll_ms: 5, ..FeedConfig::default() };
        let reader = FeedReader::new(t.db.clone(), "catalog", config);
        let mut slow = reader.serve_watch::<Entry>(&system(), "", CancellationToken::new()).await.expect("a watch");
        publish(&t.db, None, "a", 1, 100).await;
        t.clock.advance(Duration::from_secs(10));
        t.db.execute(&system(), SweepFeed { keep: Duration::from_secs(1), rows_max: 1_000 }).await.expect("a sweep");
        let refusal = loop {
            if let Err(fault) = within(slow.next()).await.expect("a last word") {
                break refused::<()>(Err(fault));
            }
        };
        assert_eq!(refusal.reason, ErrorReason::CursorExpired);
    }

    async fn a_new_epoch_ends_every_cursor(t: TestDb) {
        publish(&t.db, None, "a", 1, 5).await;
        let cursor = list(&t.db, &system(), "", 3).await.expect("a page").next_cursor;
        let mut watch = reader(&t.db).serve_watch::<Entry>(&system(), &cursor, CancellationToken::new()).await.expect("a watch");
        assert_eq!(take(&mut watch, 2).await, [4, 5]);
        t.db.execute(&system(), NewEpoch).await.expect("a new epoch");
        let refusal = refused(list(&t.db, &system(), &cursor, 3).await);
        assert_eq!(refusal.reason, ErrorReason::CursorExpired);
        let last = within(watch.next()).await.expect("a last word");
        assert_eq!(refused(last).reason, ErrorReason::CursorExpired);
        let head = &refusal.metadata[HEAD_CURSOR];
        assert!(list(&t.db, &system(), head, 3).await.expect("a page").entries.is_empty());
    }

    async fn the_sweeper_takes_away_in_bounded_steps_what_is_too_old(t: TestDb) {
        publish(&t.db, None, "a", 1, 25).await;
        t.clock.advance(Duration::from_secs(40 * 24 * 3_600));
        publish(&t.db, None, "a", 26, 3).await;
        let sweeper = Sweeper::new(t.db.clone(), SweepConfig { sweep_rows_max: 10, ..SweepConfig::default() });
        sweeper.sweep(&system(), &CancellationToken::new()).await.expect("a sweep");
        assert_eq!(count(&t.db, "feed").await, 3);
        let drain = CancellationToken::new();
        drain.cancel();
        within(sweeper.run(drain)).await;
    }
}

async fn list(db: &Db, caller: &Caller, cursor: &str, size: i32) -> Result<FeedPage<Entry>, Fault> {
    reader(db).serve_list(caller, cursor, size).await
}

fn refused<T>(answer: Result<T, Fault>) -> Refusal {
    match answer {
        Err(Fault::Refused(refusal)) => refusal,
        Err(other) => panic!("expected a refusal, got {other:?}"),
        Ok(_) => panic!("expected a refusal"),
    }
}

async fn within<R>(future: impl Future<Output = R>) -> R {
    tokio::time::timeout(BOUND, future).await.expect("in time")
}

/// The positions of the next entries of a watch.
async fn take<W>(watch: &mut W, count: usize) -> Vec<i64>
where
    W: futures::Stream<Item = Result<Vec<Entry>, Fault>> + Unpin,
{
    let mut positions = Vec::new();
    while positions.len() < count {
        let page = within(watch.next())
            .await
            .expect("more to come")
            .expect("a page");
        assert!(!page.is_empty());
        positions.extend(
            page.iter()
                .map(|entry| entry.meta().position.max(entry.meta().partner_position)),
        );
    }
    positions
}
