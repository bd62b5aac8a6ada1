//! What time does to returns, and what a restart or a lost feed does not.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::{OrderChange, RefundState};
use fulfillment::Config;
use fulfillment::ops::returns::ForgetNotes;
use kit::clock::Clock;
use kit::wire::Wire;
use store::feed::NewEpoch;
use testkit::house::refusal;
use testkit::{TestDb, eventually_async, on_both_engines};

use crate::common::*;
use crate::orders::Orders;
use crate::returns::*;
use crate::server::{Server, house};

const BOUND: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

async fn state(server: &Server, id: &str) -> pb::ReturnState {
    let return_id = id.to_owned();
    let mut partner = server.returns_of(1);
    let answer = partner
        .get_return(pb::GetReturnRequest { return_id })
        .await
        .expect("its own");
    answer.into_inner().goods_return.expect("a return").state()
}

async fn becomes(server: &Server, id: &str, wanted: pb::ReturnState) -> bool {
    eventually_async(BOUND, || async { state(server, id).await == wanted }).await
}

/// With its timers, and an order service that never answers.
async fn with_timers(t: &TestDb) -> Server {
    let (_never_tied, order) = Wire::late();
    let config = Config {
        lift_interval_ms: 5,
        ..Config::default()
    };
    Server::start_with(t, house(t), order, config, true).await
}

on_both_engines! {
    setup: setup();

    async fn units_can_be_sent_back_until_their_window_ends(t: TestDb) {
        let server = Server::start(&t).await;
        let made = paid(&t, 1, &[5, 1]).await;
        let check = || {
            let mut partner = server.returns_of(1);
            async move {
                let request = pb::CheckReturnEligibilityRequest { order_id: order_id(1).into() };
                partner.check_return_eligibility(request).await.expect("a look").into_inner().lines
            }
        };
        let why = |line: &pb::LineEligibility| line.ineligible_reason();
        assert_eq!(why(&check().await[0]), pb::IneligibleReason::NotDelivered);
        deliver(&t, &made.id, vec![units(1, 1, 2)]).await;
        t.clock.advance(DAY);
        deliver(&t, &made.id, vec![units(1, 1, 1)]).await;
        deliver(&t, &made.id, vec![units(1, 1, 2)]).await;
        let lines = check().await;
        let windows: Vec<_> = lines[0].windows.iter().map(|window| (window.quantity, window.end_time)).collect();
        let ends = [13, 14].map(|days| Some(t.clock.now().plus(DAY * days).to_proto()));
        assert_eq!(windows, [(2, ends[0]), (3, ends[1])], "parcels of one moment stand together");
        assert_eq!((lines[0].delivered_quantity, lines[0].returnable_quantity), (5, 5));
        assert_eq!(why(&lines[1]), pb::IneligibleReason::NotDelivered);
        requested(&server, "k1", 1, &[(1, 1)]).await;
        let lines = check().await;
        assert_eq!((lines[0].open_quantity, lines[0].returnable_quantity), (1, 4));
        let refused = server.returns_of(1).request_return(ask("k2", 1, &[(1, 5)])).await.expect_err("four are left");
        let refused = refusal(&refused);
        assert_eq!((refused.reason, refused.metadata["returnable_quantity"].as_str()), (ErrorReason::OverQuantity, "4"));
        // The last moment of the first window, and the first moment after it.
        t.clock.advance(DAY * 13 - Duration::from_micros(1));
        assert_eq!(check().await[0].returnable_quantity, 4);
        t.clock.advance(Duration::from_micros(1));
        assert_eq!(check().await[0].returnable_quantity, 3);
        let refused = refusal(&server.returns_of(1).request_return(ask("k2", 1, &[(1, 4)])).await.expect_err("one is late"));
        assert_eq!((refused.reason, refused.metadata["returnable_quantity"].as_str()), (ErrorReason::OutsideWindow, "3"));
        requested(&server, "k2", 1, &[(1, 3)]).await;
        t.clock.advance(DAY);
        assert_eq!(why(&check().await[0]), pb::IneligibleReason::WindowOver);
        check_feed(&t).await;
    }

    async fn what_does_not_come_in_time_expires_across_a_restart(t: TestDb) {
        let server = with_timers(&t).await;
        delivered(&t, 1, &[2]).await;
        let made = approved(&server, "k1", 1, &[(1, 1)]).await;
        let waiting = requested(&server, "k2", 1, &[(1, 1)]).await.return_id;
        server.stop().await;
        // The time is over while nobody is there.
        t.clock.advance(DAY * 14);
        let server = with_timers(&t).await;
        assert!(becomes(&server, &made.return_id, pb::ReturnState::Expired).await);
        assert_eq!(state(&server, &waiting).await, pb::ReturnState::Requested, "nobody has decided yet");
        let goods = of_order(&t, order_id(1)).await;
        assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (1, 0));
        // The parcel was only late; nobody else has its unit.
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        let unit = vec![came(1, 1, 1, pb::GoodsCondition::AsNew, true)];
        warehouse.record_return_received(receive("k3", &made.return_id, unit)).await.expect("late, but there");
        assert_eq!(state(&server, &made.return_id).await, pb::ReturnState::Received);
        assert_eq!(story(&t).await.iter().filter(|told| *told == "return EXPIRED").count(), 1);
        check_feed(&t).await;
        server.stop().await;
    }

    async fn an_order_has_so_many_returns_and_no_more(t: TestDb) {
        let (_never_tied, order) = Wire::late();
        let config = Config { returns_per_order_max: 2, ..Config::default() };
        let server = Server::start_with(&t, house(&t), order, config, false).await;
        delivered(&t, 1, &[3]).await;
        let mut partner = server.returns_of(1);
        for key in ["k1", "k2"] {
            let id = requested(&server, key, 1, &[(1, 1)]).await.return_id;
            partner.cancel_return(cancel(&format!("{key}-no"), &id)).await.expect("taken back");
        }
        let refused = refusal(&partner.request_return(ask("k3", 1, &[(1, 1)])).await.expect_err("enough"));
        assert_eq!(refused.reason, ErrorReason::WrongState);
        assert_eq!(refused.preconditions[0].description, "MOST_RETURNS");
    }

    async fn what_shoppers_wrote_is_forgotten_after_the_end(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2]).await;
        let open = requested(&server, "k1", 1, &[(1, 1)]).await;
        let ended = requested(&server, "k2", 1, &[(1, 1)]).await;
        let mut partner = server.returns_of(1);
        let ended = partner.cancel_return(cancel("k3", &ended.return_id)).await.expect("taken back").into_inner();
        let ended = ended.goods_return.expect("a return");
        let forget = || ForgetNotes { keep: DAY, rows_max: 10 };
        let note = |id: &str| {
            let (mut partner, return_id) = (server.returns_of(1), id.to_owned());
            async move { partner.get_return(pb::GetReturnRequest { return_id }).await.expect("its own").into_inner() }
        };
        t.clock.advance(DAY);
        assert_eq!(t.execute(forget()).await.expect("a look"), 0);
        t.clock.advance(Duration::from_micros(1));
        assert_eq!(t.execute(forget()).await.expect("forgotten"), 1);
        assert_eq!(t.execute(forget()).await.expect("a look"), 0);
        let seen = note(&ended.return_id).await;
        assert_eq!((seen.shopper_note.as_str(), seen.goods_return), ("", Some(ended)));
        assert_eq!(note(&open.return_id).await.shopper_note, NOTE);
    }

    async fn refunds_are_read_from_the_list_when_the_feed_was_lost(t: TestDb) {
        let theirs = TestDb::open(t.db.engine(), testkit::Setup::new()).await.expect("the engine was there a moment ago");
        let orders = Orders::new(&theirs);
        let house = house(&t);
        let wire = orders.wire(&house);
        let server = Server::start_with(&t, house, wire, Config::default(), true).await;
        let mut received = Vec::new();
        for at in 1..=2 {
            delivered(&t, at, &[1]).await;
            let made = approved(&server, &format!("k{at}"), at, &[(1, 1)]).await;
            let units = vec![came(at, 1, 1, pb::GoodsCondition::AsNew, true)];
            let mut warehouse = server.returns_as(RetailerRole::Warehouse);
            warehouse.record_return_received(receive(&format!("in{at}"), &made.return_id, units)).await.expect("there");
            received.push(made);
        }
        orders.tell_refund(refund(&received[0], 1, RefundState::Authorised, 1)).await;
        let told = || async {
            let return_id = received[0].return_id.clone();
            let answer = server.returns_of(1).get_return(pb::GetReturnRequest { return_id }).await;
            answer.expect("its own").into_inner().goods_return.is_some_and(|found| found.refund.is_some())
        };
        assert!(eventually_async(BOUND, told).await);
        theirs.execute(NewEpoch).await.expect("a new life of the feed");
        orders.list_refund(refund(&received[0], 1, RefundState::Executed, 1));
        orders.list_refund(refund(&received[1], 2, RefundState::Executed, 1));
        orders.tell(OrderChange::Placed, order(9, &[1], t.clock.now())).await;
        for made in &received {
            assert!(becomes(&server, &made.return_id, pb::ReturnState::Completed).await);
        }
        check_feed(&t).await;
        orders.end();
        server.stop().await;
    }
}
