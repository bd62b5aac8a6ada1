//! After placement: payments, extensions, cancellations, movements.

use super::*;

#[test]
fn money_that_does_not_pay_goes_back() {
    let mut book = book(5, |_| {});
    for order in 1..=3 {
        assert!(ask(&mut book, place(order, &[(1, 1)])).is_ok());
    }
    assert_eq!(
        pay(&mut book, 1, "less", PRICE - 1),
        Some(RefundReason::AmountMismatch)
    );
    assert_eq!(pay(&mut book, 1, "right", PRICE), None);
    assert_eq!(
        pay(&mut book, 1, "twice", PRICE),
        Some(RefundReason::DuplicatePayment)
    );
    let order = &book.orders[&OrderId::from_uuid(1)].order;
    assert_eq!(
        (order.balance.refund_due, order.payment_state),
        (2 * PRICE - 1, PaymentState::RefundDue)
    );
    assert_eq!(order.state, OrderState::Confirmed);

    assert!(one(&mut book, cancel(2, Vec::new())).is_ok());
    assert_eq!(
        pay(&mut book, 2, "a", PRICE),
        Some(RefundReason::OrderCancelled)
    );

    book.stop_targets
        .insert(StopTarget::Product(ProductId::from_uuid(1)));
    assert!(one(&mut book, stop()).is_ok());
    assert_eq!(
        reason(ask(&mut book, place(4, &[(1, 1)]))),
        ErrorReason::SaleStopped
    );
    assert_eq!(
        pay(&mut book, 3, "a", PRICE),
        Some(RefundReason::SaleStopped)
    );
    let resume = Resume {
        key: key("resume"),
        stop_id: StopId::from_uuid(1),
        actor: "ops".into(),
    };
    assert_eq!(one(&mut book, Command::Resume(resume)), Ok(Answer::Resumed));
    assert_eq!(
        pay(&mut book, 3, "b", PRICE),
        None,
        "what was held can be paid once the stop is over"
    );
    assert_eq!(units(&book), (3, 0, 2));
}

#[test]
fn a_late_payment_gets_units_if_there_are_any() {
    let mut book = book(2, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 2)])).is_ok());
    assert_eq!(one(&mut book, expire(1)), Ok(Answer::NotExpired));
    book.now = NOW.plus(Duration::from_secs(600));
    assert_eq!(one(&mut book, expire(1)), Ok(Answer::Expired));
    assert_eq!(units(&book), (2, 0, 0));
    assert!(ask(&mut book, place(2, &[(1, 1)])).is_ok());
    assert_eq!(
        pay(&mut book, 1, "a", 2 * PRICE),
        Some(RefundReason::HoldExpired)
    );
    assert_eq!(units(&book), (1, 1, 0));
    assert!(one(&mut book, cancel(2, Vec::new())).is_ok());
    assert_eq!(pay(&mut book, 1, "b", 2 * PRICE), None);
    assert_eq!(units(&book), (0, 0, 2));

    // Overdue but not yet ended: the units are still there.
    let mut book = self::book(1, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 1)])).is_ok());
    book.now = NOW.plus(Duration::from_secs(9_999));
    assert_eq!(pay(&mut book, 1, "a", PRICE), None);
}

#[test]
fn a_hold_is_extended_up_to_its_cap() {
    let mut book = book(1, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 1)])).is_ok());
    let end = NOW.plus(Duration::from_secs(900));
    assert_eq!(
        one(&mut book, extend(1, 300)),
        Ok(Answer::Extended {
            hold_expire_time: end
        })
    );
    assert_eq!(
        one(&mut book, extend(1, 300)),
        Ok(Answer::Replayed(vec![1]))
    );
    assert_eq!(
        reason(one(&mut book, extend(1, 301))),
        ErrorReason::InvalidField
    );
    let refusal = one(&mut book, extend(1, 101)).expect_err("over the cap");
    assert_eq!(
        (refusal.reason, refusal.metadata["remaining_s"].as_str()),
        (ErrorReason::HoldCap, "100")
    );
    book.now = end;
    assert_eq!(
        reason(one(&mut book, extend(1, 100))),
        ErrorReason::HoldExpired
    );
    assert_eq!(pay(&mut book, 1, "a", PRICE), None);
    assert_eq!(
        reason(one(&mut book, extend(1, 99))),
        ErrorReason::WrongState
    );
}

#[test]
fn before_payment_only_all_can_be_cancelled() {
    let mut book = book(9, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 2), (2, 1)])).is_ok());
    let line = |at: u128| OrderLineId::from_uuid(100 + at);
    for lines in [vec![(line(0), 2)], vec![(line(0), 1), (line(1), 1)]] {
        assert_eq!(
            reason(one(&mut book, cancel(1, lines))),
            ErrorReason::InvalidField
        );
    }
    assert_eq!(
        reason(one(&mut book, cancel(1, vec![(line(7), 1)]))),
        ErrorReason::NotFound
    );
    assert_eq!(
        one(&mut book, cancel(1, vec![(line(0), 2), (line(1), 1)])),
        Ok(Answer::Cancelled)
    );
    assert!(
        book.orders[&OrderId::from_uuid(1)]
            .order
            .quantities
            .iter()
            .all(|line| line.cancelled == line.ordered)
    );
    assert_eq!(
        reason(one(&mut book, cancel(1, Vec::new()))),
        ErrorReason::WrongState
    );

    assert!(ask(&mut book, place(2, &[(1, 1)])).is_ok());
    assert_eq!(pay(&mut book, 2, "a", PRICE), None);
    let keys = book.new_keys.len();
    assert_eq!(
        one(&mut book, cancel(2, Vec::new())),
        Ok(Answer::CancelAfterPayment)
    );
    assert_eq!(
        book.new_keys.len(),
        keys,
        "the key stays free for whoever decides"
    );
}

#[test]
fn foreign_and_unknown_orders_look_the_same() {
    let mut book = book(9, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 1)])).is_ok());
    let Command::Extend(mut foreign) = extend(1, 10) else {
        unreachable!()
    };
    foreign.partner_id = PartnerId::from_uuid(2);
    let foreign = one(&mut book, Command::Extend(foreign)).expect_err("another's");
    let unknown = one(&mut book, extend(7, 10)).expect_err("unknown");
    assert_eq!(foreign, unknown);
}

#[test]
fn units_in_use_are_not_taken_out() {
    let mut book = book(5, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 3)])).is_ok());
    let wanted = |number: u128, quantity: i64, kind| {
        Command::Move(Move {
            key: key(&format!("move-{number}")),
            movement_id: MovementId::from_uuid(number),
            allotment_id: AllotmentId::from_uuid(1),
            kind,
            quantity,
            reason: "counted".into(),
            actor: "ops".into(),
        })
    };
    assert_eq!(
        reason(one(&mut book, wanted(1, -3, MovementKind::Shrinkage))),
        ErrorReason::StockInUse
    );
    assert_eq!(
        reason(one(&mut book, wanted(2, 3, MovementKind::Shrinkage))),
        ErrorReason::InvalidField
    );
    assert_eq!(
        reason(one(&mut book, wanted(3, i64::MAX, MovementKind::TopUp))),
        ErrorReason::InvalidField
    );
    assert!(one(&mut book, wanted(4, -2, MovementKind::Withdrawn)).is_ok());
    assert_eq!(units(&book), (0, 3, 0));
}
