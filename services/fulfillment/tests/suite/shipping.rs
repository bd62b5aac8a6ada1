//! Parcels leave.

use contracts::ErrorReason;
use fulfillment::Carriers;
use fulfillment::model::{FulfillmentState, ShipmentState};
use fulfillment::ops::ship::{ParcelDraft, Ship, ShipMany};
use kit::errors::Fault;
use testkit::{TestDb, on_both_engines};

use crate::common::*;

fn reason(fault: Fault) -> ErrorReason {
    match fault {
        Fault::Refused(refusal) => refusal.reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

on_both_engines! {
    setup: setup();

    async fn ships_in_part_then_the_rest_and_no_more(t: TestDb) {
        let fulfillment = paid(&t, 1, &[3, 2]).await;
        let first = ship(&t, &fulfillment.id, vec![units(1, 1, 2)]).await.expect("two of three");
        assert_eq!((first.state, first.version, first.carrier_code.as_str()), (ShipmentState::Shipped, 1, "manual"));
        assert!(first.tracking_number.starts_with('M'));
        assert_eq!(first.lines, [units(1, 1, 2)]);
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::InProgress);
        let over = ship(&t, &fulfillment.id, vec![units(1, 1, 2)]).await.expect_err("one is left");
        assert_eq!(reason(over), ErrorReason::OverQuantity);
        let rest = ship(&t, &fulfillment.id, vec![]).await.expect("the rest");
        assert_eq!(rest.lines, [units(1, 1, 1), units(1, 2, 2)]);
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Shipped);
        let nothing = ship(&t, &fulfillment.id, vec![]).await.expect_err("nothing left");
        assert_eq!(reason(nothing), ErrorReason::OverQuantity);
        assert_eq!(
            story(&t).await,
            ["fulfillment READY", "shipment SHIPPED", "fulfillment IN_PROGRESS", "shipment SHIPPED", "fulfillment SHIPPED"]
        );
        check_feed(&t).await;
    }

    async fn a_carrier_of_the_callers_choice_must_be_known(t: TestDb) {
        let fulfillment = paid(&t, 1, &[1]).await;
        let with = |carrier: &str, number: &str| Ship {
            draft: ParcelDraft {
                carrier_code: carrier.into(),
                tracking_number: number.into(),
                ..draft(&fulfillment.id, vec![])
            },
            carriers: Carriers::built_in(),
        };
        let fault = t.execute(with("pigeon", "P1")).await.expect_err("unknown");
        let refusal = fault.refusal().expect("a refusal").clone();
        assert_eq!((refusal.reason, refusal.violations[0].field.as_str()), (ErrorReason::InvalidField, "draft.carrier_code"));
        assert!(refusal.message.contains("manual"), "{}", refusal.message);
        let shipment = t.execute(with("manual", "MY-1")).await.expect("known");
        assert_eq!(shipment.tracking_number, "MY-1");
    }

    async fn each_parcel_of_a_wave_has_its_own_verdict(t: TestDb) {
        let mut drafts = Vec::new();
        for at in 1..=6 {
            let fulfillment = paid(&t, at, &[2]).await;
            drafts.push(draft(&fulfillment.id, vec![]));
        }
        ship(&t, &drafts[1].fulfillment_id, vec![]).await.expect("the second is gone already");
        drafts[2].lines = vec![units(3, 1, 3)];
        drafts[3].fulfillment_id = contracts::id::FulfillmentId::from_uuid(99);
        drafts[4].carrier_code = "pigeon".into();
        drafts[5].lines = vec![units(6, 1, 1)];
        let wave = ShipMany { drafts, carriers: Carriers::built_in() };
        let verdicts = t.execute(wave).await.expect("the wave is done");
        let words: Vec<Result<usize, ErrorReason>> = verdicts
            .into_iter()
            .map(|verdict| verdict.map(|shipment| shipment.lines.len()).map_err(|refusal| refusal.reason))
            .collect();
        assert_eq!(
            words,
            [
                Ok(1),
                Err(ErrorReason::OverQuantity),
                Err(ErrorReason::OverQuantity),
                Err(ErrorReason::NotFound),
                Err(ErrorReason::InvalidField),
                Ok(1),
            ]
        );
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Shipped);
        assert_eq!(of_order(&t, order_id(3)).await.state, FulfillmentState::Ready);
        assert_eq!(of_order(&t, order_id(6)).await.state, FulfillmentState::InProgress);
        check_feed(&t).await;
    }

    async fn a_wave_of_refusals_writes_nothing(t: TestDb) {
        let fulfillment = paid(&t, 1, &[1]).await;
        let drafts = vec![draft(&fulfillment.id, vec![units(1, 1, 2)])];
        let verdicts = t.execute(ShipMany { drafts, carriers: Carriers::built_in() }).await.expect("an answer");
        assert!(verdicts[0].is_err());
        assert_eq!(of_order(&t, order_id(1)).await, fulfillment);
        assert_eq!(story(&t).await, ["fulfillment READY"]);
    }
}
