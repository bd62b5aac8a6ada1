//! What operators see and change, on both engines, through the configuration as the program has it.

use kit::config::Env;
use store::sql;
use testkit::{Setup, TestDb, on_both_engines, op};

use super::*;
use crate::audit::{self, Asked};
use crate::config::Flags;

fn setup() -> Setup {
    Setup::new().migrations(order::migrations())
}

fn config_of(t: &TestDb) -> VitrineConfig {
    let mut config =
        VitrineConfig::load(None, &Env::empty(), &Flags::default()).expect("the defaults");
    config.database.order = t.config().clone();
    if config.database.order.url.starts_with("postgres") {
        // A test has a database of its own; services that share one have a schema each.
        config
            .database
            .order
            .schema
            .get_or_insert_with(|| "public".into());
    }
    config
}

/// A consumer that put three entries of one order aside, and one that put nothing aside.
async fn furnish(t: &TestDb) {
    let rows = op("furnish", |tx| {
        Box::pin(async move {
            for (consumer, position) in [("catalog-feed", -1_i64), ("fulfillment-feed", 9)] {
                sql!(
                    tx,
                    execute,
                    "INSERT INTO feed_cursor (consumer, cursor, position, moved_time) VALUES ($1, 'c', $2, 0)",
                    consumer,
                    position
                )?;
            }
            for (position, attempts) in [(4_i64, 3_i64), (5, 0), (7, 0)] {
                sql!(
                    tx,
                    execute,
                    "INSERT INTO feed_parked (consumer, position, aggregate_id, payload, error, attempts, first_time, \
                     next_time) VALUES ('fulfillment-feed', $1, 'order_1', $2, 'no such order', $3, 0, 9000000000000000)",
                    position,
                    vec![1_u8],
                    attempts
                )?;
            }
            tx.audit("furnish", "order_1", "done");
            Ok(())
        })
    });
    t.execute(rows).await.expect("furnished");
}

async fn verified(config: &VitrineConfig, services: &[Service]) -> anyhow::Result<Found> {
    let asked = Asked {
        services: services.to_vec(),
        ..Asked::default()
    };
    audit::verified(config, &asked).await
}

async fn asked(t: &TestDb, feed: Feed) -> anyhow::Result<Found> {
    let db = open(&config_of(t), Service::Order).await?;
    let found = followed(&db, Service::Order, &feed).await;
    db.close().await;
    found
}

fn by() -> By {
    By { by: "ana".into() }
}

fn skipping(position: i64, reason: &str) -> Feed {
    Feed::Skip {
        service: Service::Order,
        consumer: "fulfillment-feed".into(),
        position,
        reason: reason.into(),
        by: by(),
    }
}

fn list(consumer: Option<&str>) -> Feed {
    Feed::Parked {
        service: Service::Order,
        consumer: consumer.map(str::to_owned),
        limit: 2,
    }
}

on_both_engines! {
    setup: setup();

    async fn a_whole_trail_is_told_from_a_broken_one(t: TestDb) {
        furnish(&t).await;
        let found = verified(&config_of(&t), &[Service::Order]).await.expect("a verdict");
        assert!(found.well && found.text.contains("intact") && found.text.contains(" 1 "), "{}", found.text);
        t.execute(op("forge", |tx| Box::pin(async move {
            sql!(tx, execute, "UPDATE audit SET who = 'nobody'")?;
            Ok(())
        }))).await.expect("forged");
        let found = verified(&config_of(&t), &[Service::Order]).await.expect("a verdict");
        assert!(!found.well && found.text.contains("BROKEN at position 1") && found.text.contains("backup"), "{}", found.text);
    }

    async fn what_was_put_aside_is_seen_tried_again_and_given_up(t: TestDb) {
        furnish(&t).await;
        let stand = asked(&t, Feed::Consumers { service: Service::Order }).await.expect("a table").text;
        assert!(stand.contains("from lists") && stand.contains("fulfillment-feed") && stand.contains('3'), "{stand}");
        let seen = asked(&t, list(None)).await.expect("a table").text;
        for word in ["catalog-feed has put nothing aside", "no such order", "behind another", "2 of 3 are shown", "feed retry order"] {
            assert!(seen.contains(word), "{word}: {seen}");
        }
        let retry = Feed::Retry { service: Service::Order, consumer: "fulfillment-feed".into(), by: by() };
        let due = asked(&t, retry).await.expect("due").text;
        assert!(due.starts_with("3 entries are due now"), "{due}");
        assert!(asked(&t, list(Some("fulfillment-feed"))).await.expect("a table").text.contains("now"));

        let gone = asked(&t, skipping(4, "the order was a test")).await.expect("given up").text;
        assert!(gone.contains("Entry 4 is given up"), "{gone}");
        let again = asked(&t, skipping(4, "again")).await.expect_err("gone already").to_string();
        assert!(again.contains("vitrine feed parked order fulfillment-feed"), "{again}");
        assert!(asked(&t, skipping(5, " ")).await.expect_err("no reason").to_string().contains("--reason"));
        let audited = t.execute(op("read", |tx| Box::pin(async move {
            Ok(sql!(tx, all(String, String, String), "SELECT on_behalf_of, resource_id, outcome FROM audit WHERE action = 'consumer.skip' ORDER BY position")?)
        }))).await.expect("read");
        assert_eq!(audited[0], ("ana".into(), "fulfillment-feed/4".into(), "the order was a test".into()));
        assert!(verified(&config_of(&t), &[Service::Order]).await.expect("a verdict").well);
    }

    async fn a_wrong_name_is_answered_with_the_right_ones(t: TestDb) {
        let nothing = asked(&t, list(Some("feed"))).await.expect_err("none").to_string();
        assert!(nothing.contains("never ran"), "{nothing}");
        assert!(asked(&t, Feed::Consumers { service: Service::Order }).await.expect("a word").text.contains("never ran"));
        furnish(&t).await;
        let wrong = asked(&t, list(Some("feed"))).await.expect_err("none").to_string();
        assert!(wrong.contains("catalog-feed, fulfillment-feed"), "{wrong}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flags = Flags {
        data_dir: Some(folder.path().join("empty")),
        ..Flags::default()
    };
    let config = VitrineConfig::load(None, &Env::empty(), &flags).expect("the defaults");
    let error = verified(&config, &[]).await.expect_err("nothing there");
    assert!(error.to_string().contains("--data-dir"), "{error:#}");
    assert!(!folder.path().join("empty").exists());
    // Tables of another version are not touched either.
    std::fs::create_dir_all(folder.path().join("empty")).expect("a folder");
    std::fs::write(folder.path().join("empty/catalog.db"), "").expect("a file");
    let error = verified(&config, &[Service::Catalog])
        .await
        .expect_err("no tables");
    assert!(
        format!("{error:#}").contains("vitrine migrate catalog"),
        "{error:#}"
    );
}
