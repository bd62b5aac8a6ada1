use std::sync::Arc;
use std::time::Duration;

use contracts::id::{AllotmentId, ListingId, OrderId, PartnerId, ProductId, VariantId};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use proptest::prelude::*;

use super::*;
use crate::model::{
    CollectedBy, Destination, Line, LineAmount, OrderAmount, PaymentState, Placement, ShipTerms,
    Unit,
};

pub fn line(number: u128, quantity: i64, payable: i64, partner_discount: i64) -> Line {
    Line {
        order_line_id: OrderLineId::from_uuid(number),
        listing_id: ListingId::from_uuid(number),
        allotment_id: AllotmentId::from_uuid(1),
        variant_id: VariantId::from_uuid(number),
        product_id: ProductId::from_uuid(number),
        sku: "SKU".into(),
        title: "Teapot".into(),
        unit: Unit::Each,
        terms_version: 1,
        unit_price: Price::new(Money::new(Currency::EUR, payable), 1).expect("a price"),
        amount: LineAmount {
            price: payable + partner_discount,
            partner_discount,
            payable,
            ..LineAmount::default()
        },
        quantity,
        touchpoints: Vec::new(),
        drop_id: None,
        drop_person_limited: false,
        price_source: crate::model::PriceSource::Listing,
        draws: crate::model::Draws::default(),
        collected_by: CollectedBy::Partner,
        legal_entity: String::new(),
    }
}

fn paid(lines: Vec<Line>) -> Order {
    paid_in(Currency::EUR, lines)
}

pub fn paid_in(currency: Currency, lines: Vec<Line>) -> Order {
    let amount = OrderAmount::sum(currency, lines.iter().map(|line| &line.amount)).expect("small");
    let mut order = Order::placed(Arc::new(Placement {
        order_id: OrderId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
        partner_order_id: "p".into(),
        partner_checkout_id: String::new(),
        shopper_ref: "ann".into(),
        fingerprint: [0; 32],
        destination: Destination::default(),
        lines,
        amount,
        ship_terms: ShipTerms {
            remorse: Duration::ZERO,
            ship_within: Duration::ZERO,
            presale_time: None,
        },
        hold_expire_time: Micros(60),
        place_time: Micros(0),
    }));
    order.pay(Micros(1));
    order
}

pub fn told(
    number: u128,
    cancelled: i64,
    shipped: i64,
    delivered: i64,
    undelivered: i64,
) -> LineProgress {
    LineProgress {
        order_line_id: OrderLineId::from_uuid(number),
        cancelled,
        shipped,
        delivered,
        undelivered,
    }
}

fn kinds(steps: &[Step]) -> Vec<StepKind> {
    steps.iter().map(|step| step.kind).collect()
}

#[test]
fn an_order_goes_its_way_step_by_step() {
    let mut order = paid(vec![line(1, 2, 1_000, 0), line(2, 1, 500, 0)]);
    let version = order.version;
    let steps = order.advance(&[told(1, 0, 1, 0, 0)]).expect("ships");
    assert_eq!(
        (kinds(&steps), order.fulfillment_state),
        (vec![StepKind::Shipped], FulfillmentState::PartiallyShipped)
    );
    assert_eq!(order.version, version + 1);
    assert!(
        order
            .advance(&[told(1, 0, 1, 0, 0)])
            .expect("nothing new")
            .is_empty()
    );
    order
        .advance(&[told(1, 0, 2, 0, 0), told(2, 0, 1, 0, 0)])
        .expect("ships the rest");
    assert_eq!(order.fulfillment_state, FulfillmentState::Shipped);
    assert_eq!(order.arrival(), None);
    order
        .advance(&[told(1, 0, 2, 2, 0), told(2, 0, 1, 1, 0)])
        .expect("arrives");
    assert_eq!(
        (order.fulfillment_state, order.arrival()),
        (FulfillmentState::Delivered, Some(Arrival::Delivered))
    );
    assert_eq!(
        (order.payment_state, order.balance.refund_due),
        (PaymentState::Paid, 0)
    );
    order.complete();
    assert_eq!(
        (order.state, order.arrival()),
        (OrderState::Completed, None)
    );
}

#[test]
fn cancelled_units_are_paid_back_to_who_paid_for_them() {
    let mut order = paid(vec![line(1, 3, 1_000, 100), line(2, 1, 500, 0)]);
    let steps = order.advance(&[told(1, 1, 0, 0, 0)]).expect("cancelled");
    assert_eq!(
        steps[0].refund,
        RefundShares {
            shopper: 333,
            partner: 33
        }
    );
    assert_eq!(steps[0].refund_lines()[0].quantity, 1);
    assert_eq!(
        (order.payment_state, order.state),
        (PaymentState::RefundDue, OrderState::Confirmed)
    );
    order
        .advance(&[told(1, 3, 0, 0, 0), told(2, 1, 0, 0, 0)])
        .expect("the rest, too");
    assert_eq!(
        (order.balance.refund_due, order.state),
        (1_500, OrderState::Cancelled)
    );
    assert_eq!(order.fulfillment_state, FulfillmentState::Unfulfilled);
}

#[test]
fn a_lost_parcel_is_paid_back_and_ends_the_order() {
    let mut order = paid(vec![line(1, 2, 1_000, 0)]);
    let steps = order.advance(&[told(1, 0, 2, 0, 2)]).expect("lost");
    assert_eq!(kinds(&steps), [StepKind::Shipped, StepKind::Undelivered]);
    assert_eq!(
        (order.balance.refund_due, order.fulfillment_state),
        (1_000, FulfillmentState::Undelivered)
    );
    assert_eq!(order.arrival(), Some(Arrival::NothingArrived));
    assert_eq!(order.state, OrderState::Confirmed);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let order = paid(vec![line(1, 2, 1_000, 0)]);
    for wrong in [
        told(1, 1, 2, 0, 0),
        told(1, 0, 1, 2, 0),
        told(1, 0, 3, 0, 0),
        told(1, i64::MAX, 1, 0, 0),
        told(9, 1, 0, 0, 0),
    ] {
        let mut changed = order.clone();
        assert!(
            changed.advance(&[told(1, 1, 0, 0, 0), wrong]).is_err(),
            "{wrong:?}"
        );
        assert_eq!(changed, order);
    }
    let mut unpaid = Order::placed(order.placement.clone());
    assert!(unpaid.advance(&[told(1, 0, 1, 0, 0)]).is_err());
    assert!(
        unpaid
            .advance(&[told(1, 0, 0, 0, 0)])
            .expect("nothing happened")
            .is_empty()
    );
}

#[test]
fn a_free_order_owes_nothing() {
    let mut order = paid(vec![line(1, 1, 0, 0)]);
    let steps = order.advance(&[told(1, 1, 0, 0, 0)]).expect("cancelled");
    assert!(steps[0].refund.is_zero());
    assert_eq!(order.payment_state, PaymentState::Paid);
}

/// Lines and, for each, how its units end, one by one: true means cancelled, false lost; and in which order.
#[allow(
    clippy::type_complexity,
    reason = "plain numbers, named in the comment"
)]
fn ends() -> impl Strategy<Value = (Vec<(i64, i64, i64)>, Vec<(prop::sample::Index, bool)>)> {
    let lines = proptest::collection::vec((1i64..6, 0i64..100_000, 0i64..1_000), 1..4);
    (
        lines,
        proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
    )
}

proptest! {
    #[test]
    fn refunds_never_exceed_what_was_paid_and_end_at_exactly_that((lines, ends) in ends()) {
        let lines: Vec<Line> = lines
            .iter()
            .zip(1u128..)
            .map(|(&(quantity, payable, partner), number)| line(number, quantity, payable, partner))
            .collect();
        let mut order = paid(lines.clone());
        let mut progress: Vec<LineProgress> = (1..=lines.len() as u128).map(|number| told(number, 0, 0, 0, 0)).collect();
        let (paid_shopper, paid_partner) = (order.placement.amount.payable, order.placement.amount.partner_discount);
        let mut back = RefundShares::default();
        // What the dice left over is cancelled at the end.
        let rest = (0..lines.len()).flat_map(|index| std::iter::repeat_n((index, true), 5));
        let ends = ends.iter().map(|(index, cancelled)| (index.index(lines.len()), *cancelled)).chain(rest);
        for (index, cancelled) in ends {
            let line = &mut progress[index];
            if line.cancelled + line.undelivered == lines[index].quantity {
                continue;
            }
            if cancelled {
                line.cancelled += 1;
            } else {
                line.shipped += 1;
                line.undelivered += 1;
            }
            for step in order.advance(&progress).expect("it can be") {
                prop_assert!(step.refund.shopper >= 0 && step.refund.partner >= 0);
                back = back.checked_add(step.refund).expect("small");
                prop_assert!(back.shopper <= paid_shopper && back.partner <= paid_partner);
                prop_assert_eq!(step.order.balance.refund_due, back.shopper);
            }
        }
        prop_assert_eq!(back, RefundShares { shopper: paid_shopper, partner: paid_partner });
    }
}
