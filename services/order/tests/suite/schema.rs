//! The tables.

use kit::errors::Fault;
use store::sql;
use testkit::{TestDb, on_both_engines, op};

use crate::progress::{Apply, Line, entry};
use crate::world::{World, setup};

#[test]
fn the_migrations_are_right_on_both_engines() {
    testkit::check_migrations(order::migrations());
}

on_both_engines! {
    setup: setup();

    async fn the_database_refuses_what_cannot_be(t: TestDb) {
        let world = World::start(t).await;
        world.stock(9).await;
        world.place("pending", &[(1, 1)]).await;
        let placed = world.paid("paid", &[(1, 3)]).await;
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, shipped: 1, ..Line::default() }]))).await.expect("applied");
        macro_rules! refused {
            ($text:literal) => {{
                let broken = op("break", |tx| {
                    Box::pin(async move {
                        sql!(tx, execute, $text)?;
                        Ok(())
                    })
                });
                let fault = world.t.execute(broken).await.expect_err($text);
                assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            }};
        }
        refused!("UPDATE allotment SET available = available + 1");
        refused!("UPDATE allotment SET available = -1, held = supplied - sold + 1");
        refused!("UPDATE allotment_listing SET unit_cap = 1 WHERE taken > 1");
        refused!("UPDATE orders SET hold_expire_time = placed_hold_end - 1");
        refused!("UPDATE orders SET state = 'CONFIRMED'");
        refused!("UPDATE orders SET state = 'LOST'");
        refused!("UPDATE orders SET care_blocks = 'WEATHER'");
        refused!("UPDATE order_line SET shipped = ordered + 1");
        refused!("UPDATE order_line SET delivered = shipped + 1");
        refused!("UPDATE order_line SET payable = payable + 1");
        refused!("UPDATE payment SET refunded = amount + 1");
        refused!("UPDATE payment SET partner_refunded = partner_amount + 1");
        refused!("UPDATE refund SET state = 'EXECUTED'");
        refused!("UPDATE allotment_movement SET kind = 'WITHDRAWN'");
    }
}
