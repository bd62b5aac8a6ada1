//! Who comes at the same moment with the same units.

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use fulfillment::ops::returns::{AnyOverdue, ExpireReturns};
use futures::future::join_all;
use kit::errors::Fault;
use testkit::{TestDb, on_both_engines};
use tonic::{Response, Status};

use crate::common::*;
use crate::returns::*;
use crate::server::Server;

/// Everybody who did not win was refused; nothing else went wrong.
fn won<T>(answers: &[Result<Response<T>, Status>]) -> usize {
    for answer in answers {
        if let Err(status) = answer {
            assert!(
                matches!(Fault::from_status(status), Fault::Refused(_)),
                "{status:?}"
            );
        }
    }
    answers.iter().filter(|answer| answer.is_ok()).count()
}

on_both_engines! {
    setup: setup().config(|config| config.max_connections = 16);

    async fn the_last_unit_comes_back_once_however_many_ask(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[5]).await;
        let asks = (0..12).map(|at| {
            let mut partner = server.returns_of(1);
            async move { partner.request_return(ask(&format!("k{at}"), 1, &[(1, 1)])).await }
        });
        assert_eq!(won(&join_all(asks).await), 5);
        let goods = of_order(&t, order_id(1)).await;
        assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (5, 0));
        check_feed(&t).await;
    }

    async fn twins_at_the_same_moment_have_one_effect(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[5]).await;
        let asks = (0..8).map(|_| {
            let mut partner = server.returns_of(1);
            async move { partner.request_return(ask("k", 1, &[(1, 1)])).await }
        });
        let mut ids: Vec<_> = join_all(asks)
            .await
            .into_iter()
            .map(|answer| answer.expect("the same").into_inner().goods_return.expect("a return").return_id)
            .collect();
        ids.dedup();
        assert_eq!((ids.len(), of_order(&t, order_id(1)).await.lines[0].in_returns), (1, 1));
    }

    async fn of_those_that_end_a_return_one_wins(t: TestDb) {
        const ROUNDS: u128 = 12;
        let server = Server::start(&t).await;
        for at in 1..=ROUNDS {
            delivered(&t, at, &[2]).await;
            let made = approved(&server, &format!("k{at}"), at, &[(1, 2)]).await;
            let id = made.return_id;
            let (mut partner, mut care) = (server.returns_of(1), server.returns_as(RetailerRole::Care));
            let mut warehouses = [0, 1].map(|_| server.returns_as(RetailerRole::Warehouse));
            let receipts = warehouses.iter_mut().zip(["in1", "in2"]).map(|(warehouse, key)| {
                let units = vec![came(at, 1, 2, pb::GoodsCondition::AsNew, true)];
                let request = receive(&format!("{key}-{at}"), &id, units);
                async move { warehouse.record_return_received(request).await }
            });
            let taken_back = [
                partner.cancel_return(cancel(&format!("p{at}"), &id)),
                care.cancel_return(cancel(&format!("c{at}"), &id)),
            ];
            let (received, taken_back) = tokio::join!(join_all(receipts), join_all(taken_back));
            assert_eq!(won(&received) + won(&taken_back), 1, "one end");
            let goods = of_order(&t, order_id(at)).await;
            let returned = i64::try_from(won(&received)).expect("small") * 2;
            assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (0, returned));
        }
        check_feed(&t).await;
    }

    async fn time_and_a_late_parcel_meet_on_one_row(t: TestDb) {
        const ORDERS: u128 = 12;
        let server = Server::start(&t).await;
        let mut ids = Vec::new();
        for at in 1..=ORDERS {
            delivered(&t, at, &[1]).await;
            ids.push(approved(&server, &format!("k{at}"), at, &[(1, 1)]).await.return_id);
        }
        t.clock.advance(std::time::Duration::from_secs(14 * 86_400));
        assert!(t.read(AnyOverdue).await.expect("a look"));
        let receipts = (1..).zip(&ids).map(|(at, id)| {
            let mut warehouse = server.returns_as(RetailerRole::Warehouse);
            let units = vec![came(at, 1, 1, pb::GoodsCondition::AsNew, true)];
            let request = receive(&format!("in{at}"), id, units);
            async move { warehouse.record_return_received(request).await }
        });
        let sweeps = (0..4).map(|_| t.execute(ExpireReturns { rows_max: 5 }));
        let (received, swept) = tokio::join!(join_all(receipts), join_all(sweeps));
        for sweep in swept {
            sweep.expect("swept");
        }
        // Late or not, what is there is received: each order's one unit came back.
        assert_eq!(won(&received), ids.len());
        for at in 1..=ORDERS {
            let goods = of_order(&t, order_id(at)).await;
            assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (0, 1));
        }
        assert!(!t.read(AnyOverdue).await.expect("a look"));
        check_feed(&t).await;
    }
}
