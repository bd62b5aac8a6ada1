//! People block shipping and lift their blocks.

use contracts::ErrorReason;
use fulfillment::model::{Block, FulfillmentState};
use fulfillment::ops::block::ChangeBlock;
use store::sql;
use testkit::{TestDb, on_both_engines, op};

use crate::common::*;

on_both_engines! {
    setup: setup();

    async fn a_block_stands_until_it_is_lifted(t: TestDb) {
        let fulfillment = paid(&t, 1, &[2]).await;
        let change = |block, lift| ChangeBlock {
            fulfillment_id: fulfillment.id,
            block,
            lift,
            reason: "Looks odd".into(),
        };
        let blocked = t.execute(change(Block::Fraud, false)).await.expect("blocked");
        assert_eq!((blocked.state, blocked.version), (FulfillmentState::Waiting, 2));
        let again = t.execute(change(Block::Fraud, false)).await.expect("and again");
        assert_eq!(again.version, 2, "nothing changed");
        let fault = ship(&t, &fulfillment.id, vec![]).await.expect_err("blocked");
        assert_eq!(fault.refusal().map(|refusal| refusal.metadata["blocks"].as_str()), Some("FRAUD"));
        let other = t.execute(change(Block::Inspection, true)).await.expect_err("not set");
        assert_eq!(other.refusal().map(|refusal| refusal.reason), Some(ErrorReason::WrongState));
        assert_eq!(t.execute(change(Block::Fraud, true)).await.expect("lifted").state, FulfillmentState::Ready);
        ship(&t, &fulfillment.id, vec![]).await.expect("ready");
        let late = t.execute(change(Block::Fraud, false)).await.expect_err("shipped");
        assert_eq!(late.refusal().map(|refusal| refusal.reason), Some(ErrorReason::TooLate));
        let unknown = ChangeBlock {
            fulfillment_id: contracts::id::FulfillmentId::from_uuid(5),
            ..change(Block::Fraud, false)
        };
        let unknown = t.execute(unknown).await.expect_err("unknown");
        assert_eq!(unknown.refusal().map(|refusal| refusal.reason), Some(ErrorReason::NotFound));
        let count = op("count", |tx| {
            Box::pin(async move {
                let rows = sql!(tx, all (bool, String), "SELECT lifted, reason FROM block_change ORDER BY change_time")?;
                Ok(rows.len())
            })
        });
        assert_eq!(t.read(count).await.expect("the history"), 3, "who asked why is kept");
        check_feed(&t).await;
    }
}
