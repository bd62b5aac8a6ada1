//! The tables.

use kit::errors::Fault;
use store::{StoreError, sql};
use testkit::{TestDb, on_both_engines, op};

use crate::common::{delivered, paid, setup};
use crate::returns::approved;
use crate::server::Server;

#[test]
fn the_migrations_are_right_on_both_engines() {
    testkit::check_migrations(fulfillment::migrations());
}

/// A statement that the database refuses by a check.
macro_rules! refused {
    ($t:ident, $text:literal) => {{
        let broken = op("break", |tx| {
            Box::pin(async move {
                sql!(tx, execute, $text)?;
                Ok(())
            })
        });
        let fault = $t.execute(broken).await.expect_err($text);
        let Fault::Internal(error) = fault else {
            panic!("{fault:?}")
        };
        let error = error
            .downcast::<StoreError>()
            .expect("the database says no");
        assert!(error.is_check(), "{error}");
    }};
}

on_both_engines! {
    setup: setup();

    async fn the_database_refuses_counters_that_cannot_be(t: TestDb) {
        paid(&t, 1, &[3]).await;
        refused!(t, "UPDATE fulfillment_line SET cancelled = 2, shipped = 2");
        refused!(t, "UPDATE fulfillment_line SET shipped = 1, delivered = 1, undelivered = 1");
        refused!(t, "UPDATE fulfillment_line SET shipped = 1, delivered = 2, undelivered = -1");
        refused!(t, "UPDATE fulfillment_line SET ordered = 0");
        refused!(t, "UPDATE fulfillment SET state = 'WAITING'");
        refused!(t, "UPDATE fulfillment SET fraud = (1 = 1)");
        refused!(t, "UPDATE fulfillment SET state = 'LOST'");
        refused!(t, "UPDATE fulfillment SET work_time = NULL");
        refused!(t, "UPDATE fulfillment SET work_time = 1");
        refused!(t, "INSERT INTO shipment (shipment_id, fulfillment_id, order_id, partner_id, state, carrier_code, \
                  tracking_number, event_count, ship_time, finish_time, version) \
                  SELECT 'x', fulfillment_id, order_id, partner_id, 'DELIVERED', 'manual', 'x', 0, 0, NULL, 1 \
                  FROM fulfillment");
    }

    async fn the_database_refuses_returns_that_cannot_be(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[3]).await;
        approved(&server, "k", 1, &[(1, 2)]).await;
        refused!(t, "UPDATE fulfillment_line SET in_returns = 4");
        refused!(t, "UPDATE fulfillment_line SET returned = 2");
        refused!(t, "UPDATE fulfillment_line SET in_returns = -1");
        refused!(t, "UPDATE goods_return_line SET approved = 3");
        refused!(t, "UPDATE goods_return_line SET received = 3");
        refused!(t, "UPDATE goods_return_line SET requested = 1");
        refused!(t, "UPDATE goods_return SET state = 'REQUESTED'");
        refused!(t, "UPDATE goods_return SET state = 'RECEIVED'");
        refused!(t, "UPDATE goods_return SET state = 'EXPIRED'");
        refused!(t, "UPDATE goods_return SET state = 'LOST'");
        refused!(t, "UPDATE goods_return SET return_by_time = NULL");
        refused!(t, "UPDATE goods_return SET receive_time = 1");
        refused!(t, "UPDATE goods_return SET finish_time = 1");
        refused!(t, "UPDATE goods_return SET state = 'RECEIVED', receive_time = 1, refund_id = 'x'");
        refused!(t, "UPDATE goods_return SET refund_id = 'x', refund_state = 'AUTHORISED', refund_currency = 'EUR'");
        refused!(t, "UPDATE goods_return SET state = 'COMPLETED', receive_time = 1, finish_time = 1, refund_id = 'x', \
                  refund_state = 'FAILED', refund_currency = 'EUR'");
        refused!(t, "UPDATE goods_return SET state = 'RECEIVED', receive_time = 1, refund_id = 'x', \
                  refund_state = 'EXECUTED', refund_currency = 'EUR'");
        refused!(t, "INSERT INTO goods_return_condition (return_id, order_line_id, goods_condition, quantity, restock) \
                  SELECT return_id, order_line_id, 'DAMAGED', 1, 1 FROM goods_return_line");
        refused!(t, "INSERT INTO goods_return_condition (return_id, order_line_id, goods_condition, quantity, restock) \
                  SELECT return_id, order_line_id, 'AS_NEW', 1, 2 FROM goods_return_line");
    }
}
