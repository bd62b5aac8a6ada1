//! Carriers report.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::ShipmentId;
use fulfillment::model::shipment::EventLimits;
use fulfillment::model::{FulfillmentState, ShipmentState, TrackingStatus};
use fulfillment::ops::read::GetShipment;
use fulfillment::ops::track::{Report, Track, TrackMany};
use kit::clock::{Clock, Micros};
use testkit::{TestDb, on_both_engines};

use crate::common::*;
use TrackingStatus::*;

on_both_engines! {
    setup: setup();

    async fn late_and_repeated_events_never_move_what_has_ended(t: TestDb) {
        let fulfillment = paid(&t, 1, &[2]).await;
        let shipment = ship(&t, &fulfillment.id, vec![]).await.expect("ships").id;
        let now = t.clock.now();
        let later = |seconds| now.plus(Duration::from_secs(seconds));
        track(&t, &shipment, event("e3", OutForDelivery, later(30))).await.expect("noted");
        track(&t, &shipment, event("e1", InTransit, later(10))).await.expect("noted, though late");
        t.clock.advance(Duration::from_secs(60));
        let delivered = track(&t, &shipment, event("e4", Delivered, later(40))).await.expect("delivered");
        assert_eq!((delivered.state, delivered.finish_time), (ShipmentState::Delivered, Some(t.clock.now())));
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Finished);
        let told = feed(&t).await.len();
        let again = track(&t, &shipment, event("e4", Delivered, later(40))).await.expect("known");
        assert_eq!(again, delivered);
        assert_eq!(feed(&t).await.len(), told, "what is known is not told again");
        let other = track(&t, &shipment, event("e4", Lost, later(40))).await.expect_err("says something else");
        assert_eq!(other.refusal().map(|refusal| refusal.reason), Some(ErrorReason::KeyReused));
        for (id, status, at) in [("e2", Lost, 20), ("e9", ReturnedToSender, 90)] {
            let after = track(&t, &shipment, event(id, status, later(at))).await.expect("noted");
            assert_eq!((after.state, after.finish_time), (delivered.state, delivered.finish_time));
        }
        let read = t.read(GetShipment { id: shipment, partner: None, events_max: 3 }).await.expect("there");
        let ids: Vec<&str> = read.events.iter().map(|event| event.carrier_event_id.as_str()).collect();
        assert_eq!((ids, read.event_count), (vec!["e3", "e4", "e9"], 5));
        let line = &of_order(&t, order_id(1)).await.lines[0];
        assert_eq!((line.delivered, line.undelivered), (2, 0));
        check_feed(&t).await;
    }

    async fn what_is_lost_or_comes_back_counts_as_undelivered(t: TestDb) {
        let fulfillment = paid(&t, 1, &[3]).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(ship(&t, &fulfillment.id, vec![units(1, 1, 1)]).await.expect("ships").id);
        }
        let now = t.clock.now();
        for (id, status) in ids.iter().zip([Lost, ReturnedToSender, Delivered]) {
            assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Shipped);
            track(&t, id, event("end", status, now)).await.expect("ends");
        }
        let finished = of_order(&t, order_id(1)).await;
        assert_eq!(finished.state, FulfillmentState::Finished);
        assert_eq!((finished.lines[0].delivered, finished.lines[0].undelivered), (1, 2));
        check_feed(&t).await;
    }

    async fn each_report_of_a_batch_has_its_own_verdict(t: TestDb) {
        let now = t.clock.now();
        let one = paid(&t, 1, &[1]).await;
        let two = paid(&t, 2, &[2]).await;
        let a = ship(&t, &one.id, vec![]).await.expect("ships").id;
        let b = ship(&t, &two.id, vec![units(2, 1, 1)]).await.expect("ships").id;
        let c = ship(&t, &two.id, vec![units(2, 1, 1)]).await.expect("ships").id;
        track(&t, &a, event("known", InTransit, now)).await.expect("noted");
        let report = |id: &ShipmentId, event| Report { shipment_id: *id, event };
        let reports = vec![
            report(&a, event("known", InTransit, now)),
            report(&a, event("known", OutForDelivery, now)),
            report(&b, event("x", InTransit, now)),
            report(&b, event("x", InTransit, now)),
            report(&ShipmentId::from_uuid(77), event("x", Delivered, now)),
            report(&b, event("y", Delivered, now)),
            report(&c, event("x", Lost, now)),
            report(&b, event("z", Lost, now)),
        ];
        let verdicts = t.execute(TrackMany { reports, limits: LIMITS }).await.expect("the batch is done");
        let words: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map_err(|refusal| refusal.reason)).collect();
        assert_eq!(
            words,
            [
                Ok(a),
                Err(ErrorReason::KeyReused),
                Ok(b),
                Ok(b),
                Err(ErrorReason::NotFound),
                Ok(b),
                Ok(c),
                Ok(b),
            ]
        );
        let ended = t.read(GetShipment { id: b, partner: None, events_max: 50 }).await.expect("there");
        assert_eq!((ended.state, ended.event_count), (ShipmentState::Delivered, 3));
        let two = of_order(&t, order_id(2)).await;
        assert_eq!((two.state, two.lines[0].delivered, two.lines[0].undelivered), (FulfillmentState::Finished, 1, 1));
        check_feed(&t).await;
    }

    async fn a_shipment_takes_no_flood_of_events(t: TestDb) {
        let fulfillment = paid(&t, 1, &[1]).await;
        let id = ship(&t, &fulfillment.id, vec![]).await.expect("ships").id;
        let report = |at: i64, status| Track {
            report: Report { shipment_id: id, event: event(&format!("e{at}"), status, Micros(at)) },
            limits: EventLimits { shown_max: 2, count_max: 3, ..LIMITS },
        };
        for at in 0..3 {
            t.execute(report(at, InTransit)).await.expect("there is room");
        }
        let fault = t.execute(report(3, InTransit)).await.expect_err("full");
        assert_eq!(fault.refusal().map(|refusal| refusal.reason), Some(ErrorReason::WrongState));
        let end = t.execute(report(4, Delivered)).await.expect("the end is always taken");
        assert_eq!((end.state, end.events.len()), (ShipmentState::Delivered, 2));
    }
}
