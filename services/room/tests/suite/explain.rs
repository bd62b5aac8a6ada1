//! At most one item of a room is being explained.

use contracts::ErrorReason;
use kit::errors::Fault;
use store::{Operation, Tx, sql};
use testkit::{TestDb, on_both_engines};

use crate::common::{Server, Watch, reason, setup};
use contracts::room::v1::room_event::Content;

/// Goes round everything and writes to the table.
struct Explained {
    item_id: String,
}

impl Operation for Explained {
    type Output = bool;

    fn name(&self) -> &'static str {
        "test.explain"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let place = tx.savepoint().await?;
        let done = sql!(
            tx,
            execute,
            "UPDATE showcase_item SET explaining = $2 WHERE showcase_item_id = $1",
            &self.item_id,
            true
        );
        match done {
            Ok(_) => tx.release(place).await?,
            Err(ref error) if error.is_unique() => tx.rollback_to(place).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(done.is_ok())
    }
}

on_both_engines! {
    setup: setup();

    async fn explaining_moves_from_item_to_item(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11]).await;
        let (one, two) = (server.add(&room, 1).await, server.add(&room, 2).await);
        assert_eq!(reason(server.explain(&one).await), ErrorReason::WrongState, "not on air");
        server.schedule(&room).await.expect("scheduled");
        server.go_live(&room).await.expect("live");
        let mut watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        let item = server.explain(&one).await.expect("explained").item.expect("the item");
        assert!(item.explaining);
        server.explain(&one).await.expect("still");
        server.explain(&two).await.expect("explained");
        server.stop_explaining(&one).await.expect("it ended already");
        server.stop_explaining(&two).await.expect("ended");
        server.explain(&two).await.expect("explained");
        server.pause(&room).await.expect("paused");
        assert_eq!(reason(server.explain(&one).await), ErrorReason::WrongState, "a break");
        server.end(&room).await.expect("ended");
        watch.read_to_end().await;
        assert_eq!(watch.story(), ["1 explained", "1", "2 explained", "2", "2 explained", "PAUSED", "2", "ENDED"]);
        server.stop_explaining(&two).await.expect("nothing is explained in a room that is over");
        server.stop().await;
    }

    async fn however_many_want_it_at_once(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let mut watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        let mut items = Vec::new();
        for product in 1..=4 {
            items.push(server.add(&room, product).await);
        }
        let wishes = (0..40).map(|n| server.explain(&items[n % 4]));
        let answers = futures::future::join_all(wishes).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let shown = server.items(&room, &server.ops(), None).await.expect("items");
        assert_eq!(shown.iter().filter(|item| item.explaining).count(), 1);
        let idle = shown.iter().find(|item| !item.explaining).expect("three of them");
        let by_force = t.execute(Explained { item_id: idle.showcase_item_id.clone() }).await.expect("an answer");
        assert!(!by_force, "the table holds at most one");
        server.end(&room).await.expect("ended");
        watch.read_to_end().await;
        let mut explained = None;
        for event in watch.ledger() {
            let Content::ItemChanged(item) = event else { continue };
            if item.explaining {
                assert_eq!(explained.replace(item.showcase_item_id), None, "one ends before the next begins");
            } else if explained.as_ref() == Some(&item.showcase_item_id) {
                explained = None;
            }
        }
        assert_eq!(explained, None);
        server.stop().await;
    }
}
