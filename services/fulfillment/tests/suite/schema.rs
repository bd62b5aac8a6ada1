//! The tables.

use kit::errors::Fault;
use store::{StoreError, sql};
use testkit::{TestDb, on_both_engines, op};

use crate::common::{paid, setup};

#[test]
fn the_migrations_are_right_on_both_engines() {
    testkit::check_migrations(fulfillment::migrations());
}

on_both_engines! {
    setup: setup();

    async fn the_database_refuses_counters_that_cannot_be(t: TestDb) {
        paid(&t, 1, &[3]).await;
        macro_rules! refused {
            ($text:literal) => {{
                let broken = op("break", |tx| {
                    Box::pin(async move {
                        sql!(tx, execute, $text)?;
                        Ok(())
                    })
                });
                let fault = t.execute(broken).await.expect_err($text);
                let Fault::Internal(error) = fault else { panic!("{fault:?}") };
                let error = error.downcast::<StoreError>().expect("the database says no");
                assert!(error.is_check(), "{error}");
            }};
        }
        refused!("UPDATE fulfillment_line SET cancelled = 2, shipped = 2");
        refused!("UPDATE fulfillment_line SET shipped = 1, delivered = 1, undelivered = 1");
        refused!("UPDATE fulfillment_line SET shipped = 1, delivered = 2, undelivered = -1");
        refused!("UPDATE fulfillment_line SET ordered = 0");
        refused!("UPDATE fulfillment SET state = 'WAITING'");
        refused!("UPDATE fulfillment SET fraud = (1 = 1)");
        refused!("UPDATE fulfillment SET state = 'LOST'");
        refused!("UPDATE fulfillment SET work_time = NULL");
        refused!("UPDATE fulfillment SET work_time = 1");
        refused!("INSERT INTO shipment (shipment_id, fulfillment_id, order_id, partner_id, state, carrier_code, \
                  tracking_number, event_count, ship_time, finish_time, version) \
                  SELECT 'x', fulfillment_id, order_id, partner_id, 'DELIVERED', 'manual', 'x', 0, 0, NULL, 1 \
                  FROM fulfillment");
    }
}
