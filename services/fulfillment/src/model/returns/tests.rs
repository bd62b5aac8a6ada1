use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{
    FulfillmentId, OrderId, OrderLineId, PartnerId, RefundId, ReturnId, VariantId,
};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::super::{Blocks, Fulfillment, LineQuantity, PaidLine, PaidOrder, Unit};
use super::*;

mod random;

const NOW: Micros = Micros(1_767_225_600_000_000);
const WINDOW: Duration = Duration::from_secs(100);

fn line(at: u128) -> OrderLineId {
    OrderLineId::from_uuid(at)
}

fn units(at: u128, quantity: i64) -> LineQuantity {
    LineQuantity {
        order_line_id: line(at),
        quantity,
    }
}

fn came(at: u128, quantity: i64, condition: GoodsCondition, restock: bool) -> Received {
    Received {
        order_line_id: line(at),
        quantity,
        condition,
        restock,
    }
}

fn ask(lines: &[(u128, i64)]) -> ReturnAsk {
    let lines = lines
        .iter()
        .map(|(at, quantity)| (units(*at, *quantity), ReturnReason::ChangedMind));
    ReturnAsk {
        kind: ReturnKind::ReturnAndRefund,
        initiator: ReturnInitiator::Partner,
        lines: lines.collect(),
    }
}

fn approval(lines: &[(u128, i64)], by: Micros) -> Approval {
    Approval {
        lines: lines.iter().map(|(at, n)| units(*at, *n)).collect(),
        instructions: Instructions {
            return_site_reference: "Lyon".into(),
            return_by_time: by,
            ..Instructions::default()
        },
        message: String::new(),
    }
}

fn refund(at: u128, state: RefundState, attempt: i64) -> ReturnRefund {
    ReturnRefund {
        refund_id: RefundId::from_uuid(at),
        state,
        attempt,
        shopper_amount: Money::new("EUR".parse().expect("a currency"), 100),
    }
}

/// An order of lines 1, 2, .. and what became of it.
struct World {
    now: Micros,
    goods: Fulfillment,
    deliveries: Vec<Delivery>,
    returns: Vec<GoodsReturn>,
}

impl World {
    fn new(quantities: &[i64]) -> World {
        let lines = (1..).zip(quantities).map(|(at, ordered)| PaidLine {
            payable: None,
            order_line_id: line(at),
            variant_id: VariantId::from_uuid(at),
            sku: format!("SKU-{at}"),
            title: "A thing".into(),
            unit: Unit::Each,
            ordered: *ordered,
            cancelled: 0,
        });
        let order = PaidOrder {
            order_id: OrderId::from_uuid(1),
            partner_id: PartnerId::from_uuid(1),
            lines: lines.collect(),
            ship_not_before: NOW,
            ship_by: NOW,
            blocks: Blocks::NONE,
            region_code: "FR".into(),
            subdivision_code: String::new(),
        };
        World {
            now: NOW,
            goods: Fulfillment::arrive(FulfillmentId::from_uuid(1), order, NOW),
            deliveries: Vec::new(),
            returns: Vec::new(),
        }
    }

    fn deliver(&mut self, at: u128, quantity: i64) -> Result<(), Refusal> {
        let parcel = self.goods.ship(&[units(at, quantity)], "draft", self.now)?;
        self.goods.end(&parcel, true).expect("it is under way");
        self.deliveries.push(Delivery {
            order_line_id: line(at),
            time: self.now,
            quantity,
        });
        Ok(())
    }

    fn request(&mut self, lines: &[(u128, i64)]) -> Result<usize, Refusal> {
        let id = ReturnId::from_uuid(self.returns.len() as u128 + 1);
        let made =
            self.goods
                .request_return(id, &ask(lines), &self.deliveries, WINDOW, self.now)?;
        self.returns.push(made);
        Ok(self.returns.len() - 1)
    }

    fn eligible(&self, at: usize) -> Eligibility {
        Eligibility::of(&self.goods.lines[at], &self.deliveries, WINDOW, self.now)
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn with<T>(
        &mut self,
        at: usize,
        step: impl FnOnce(&mut GoodsReturn, &mut Fulfillment) -> T,
    ) -> T {
        step(&mut self.returns[at], &mut self.goods)
    }
}

#[test]
fn a_return_goes_from_wish_to_refund() {
    let mut world = World::new(&[3, 2]);
    world.deliver(1, 3).expect("delivered");
    world.deliver(2, 2).expect("delivered");
    let at = world.request(&[(1, 3), (2, 1)]).expect("in the window");
    assert_eq!(world.goods.lines[0].in_returns, 3);
    let now = world.now;
    let by = now.plus(Duration::from_secs(10));
    world
        .with(at, |r, goods| {
            r.approve(goods, approval(&[(1, 2)], by), now)
        })
        .expect("approved in part");
    assert_eq!(
        (
            world.goods.lines[0].in_returns,
            world.goods.lines[1].in_returns
        ),
        (2, 0)
    );
    let units = [
        came(1, 1, GoodsCondition::Opened, true),
        came(1, 1, GoodsCondition::Damaged, false),
    ];
    world
        .with(at, |r, goods| r.receive(goods, &units, now))
        .expect("received");
    let done = &world.returns[at];
    assert_eq!((done.lines[0].received(), done.lines[0].restock()), (2, 1));
    assert_eq!(
        (done.state, done.finish_time),
        (ReturnState::Received, None)
    );
    assert_eq!(
        (
            world.goods.lines[0].in_returns,
            world.goods.lines[0].returned
        ),
        (0, 2)
    );
    let told = |world: &mut World, refund| world.returns[at].refund_told(refund, now);
    assert_eq!(
        told(&mut world, refund(1, RefundState::Authorised, 1)),
        Ok(true)
    );
    assert_eq!(
        told(&mut world, refund(1, RefundState::Authorised, 1)),
        Ok(false),
        "told again"
    );
    assert_eq!(
        told(&mut world, refund(1, RefundState::Failed, 1)),
        Ok(true)
    );
    assert_eq!(world.returns[at].state, ReturnState::Received);
    assert_eq!(
        told(&mut world, refund(1, RefundState::Authorised, 2)),
        Ok(true),
        "issued again"
    );
    assert_eq!(
        told(&mut world, refund(1, RefundState::Failed, 1)),
        Ok(false),
        "old news"
    );
    assert_eq!(
        told(&mut world, refund(1, RefundState::Executed, 2)),
        Ok(true)
    );
    let done = &world.returns[at];
    assert_eq!(
        (done.state, done.finish_time),
        (ReturnState::Completed, Some(now))
    );
    assert_eq!(
        told(&mut world, refund(1, RefundState::Failed, 3)),
        Ok(false),
        "an end is an end"
    );
}

#[test]
fn the_window_is_that_of_each_delivery_and_returns_take_the_oldest_units() {
    let mut world = World::new(&[6]);
    assert_eq!(
        world.eligible(0).ineligible(),
        Some(Ineligible::NotDelivered)
    );
    world.deliver(1, 2).expect("delivered");
    world.wait(60);
    world.deliver(1, 3).expect("delivered");
    let until = |world: &World| -> Vec<(i64, i64)> {
        let seconds = |units: &Returnable| (units.until.0 - NOW.0) / 1_000_000;
        let windows = world.eligible(0).windows;
        windows
            .iter()
            .map(|units| (units.quantity, seconds(units)))
            .collect()
    };
    assert_eq!(until(&world), [(2, 100), (3, 160)]);
    world.request(&[(1, 3)]).expect("in the window");
    assert_eq!(until(&world), [(2, 160)]);
    world.wait(40);
    // The first two are out of their window; they are the ones in the return.
    assert_eq!(until(&world), [(2, 160)]);
    let refused = world.request(&[(1, 3)]).expect_err("two are left");
    assert_eq!(refused.reason, ErrorReason::OverQuantity);
    assert_eq!(refused.metadata["returnable_quantity"], "2");
    // When that return is taken back, they are late.
    let now = world.now;
    world
        .with(0, |r, goods| r.cancel(goods, now))
        .expect("taken back");
    let refused = world.request(&[(1, 4)]).expect_err("two are late");
    assert_eq!(
        (
            refused.reason,
            refused.metadata["returnable_quantity"].as_str()
        ),
        (ErrorReason::OutsideWindow, "3")
    );
    world.request(&[(1, 3)]).expect("these are not");
    world.wait(60);
    assert_eq!(world.eligible(0).ineligible(), Some(Ineligible::WindowOver));
    let mut all = World::new(&[1]);
    all.deliver(1, 1).expect("delivered");
    all.request(&[(1, 1)]).expect("in the window");
    assert_eq!(all.eligible(0).ineligible(), Some(Ineligible::AllInReturns));
}

#[test]
fn what_comes_late_is_taken_while_its_units_are_in_no_other_return() {
    let late = |again: bool| {
        let mut world = World::new(&[2]);
        world.deliver(1, 2).expect("delivered");
        world.request(&[(1, 2)]).expect("in the window");
        let now = world.now;
        let by = now.plus(Duration::from_secs(10));
        world
            .with(0, |r, goods| r.approve(goods, approval(&[], by), now))
            .expect("approved");
        assert_eq!(world.with(0, |r, goods| r.expire(goods, now)), Ok(false));
        assert_eq!(world.with(0, |r, goods| r.expire(goods, by)), Ok(true));
        assert_eq!(world.goods.lines[0].in_returns, 0);
        if again {
            world.request(&[(1, 1)]).expect("free again");
        }
        let units = [came(1, 2, GoodsCondition::AsNew, true)];
        let result = world.with(0, |r, goods| r.receive(goods, &units, by));
        (result, world)
    };
    let (result, world) = late(false);
    result.expect("late, but there");
    assert_eq!(
        (world.returns[0].state, world.returns[0].finish_time),
        (ReturnState::Received, None)
    );
    let (result, world) = late(true);
    let refused = result.expect_err("one is in another return");
    assert_eq!(
        (refused.reason, refused.metadata["most"].as_str()),
        (ErrorReason::OverQuantity, "1")
    );
    assert_eq!(world.goods.lines[0].returned, 0);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut world = World::new(&[2]);
    world.deliver(1, 2).expect("delivered");
    let field = |refusal: Refusal| {
        refusal
            .violations
            .first()
            .map(|v| v.field.clone())
            .unwrap_or_default()
    };
    assert_eq!(
        field(world.request(&[(1, 1), (9, 1)]).expect_err("no such line")),
        "lines[1].order_line_id"
    );
    world.request(&[(1, 2)]).expect("in the window");
    let now = world.now;
    let by = now.plus(Duration::from_secs(1));
    let approve = |lines: &[(u128, i64)]| approval(lines, by);
    let refused = world.with(0, |r, goods| r.approve(goods, approve(&[(2, 1)]), now));
    assert_eq!(
        field(refused.expect_err("no such line")),
        "approve.lines[0].order_line_id"
    );
    let refused = world.with(0, |r, goods| r.approve(goods, approve(&[(1, 3)]), now));
    assert_eq!(
        refused.expect_err("more than asked").reason,
        ErrorReason::OverQuantity
    );
    let receive = |world: &mut World, units: &[Received]| {
        world
            .with(0, |r, goods| r.receive(goods, units, now))
            .expect_err("refused")
    };
    let one = came(1, 1, GoodsCondition::AsNew, false);
    assert_eq!(
        receive(&mut world, &[one]).reason,
        ErrorReason::WrongState,
        "not approved yet"
    );
    world
        .with(0, |r, goods| r.approve(goods, approve(&[]), now))
        .expect("approved");
    let again = world.with(0, |r, goods| r.reject(goods, "No".into(), now));
    assert_eq!(again.expect_err("decided").reason, ErrorReason::WrongState);
    let wrong = came(1, 1, GoodsCondition::Damaged, true);
    assert_eq!(
        field(receive(&mut world, &[one, wrong])),
        "units[1].restock"
    );
    let other = Received {
        order_line_id: line(2),
        ..one
    };
    assert_eq!(
        field(receive(&mut world, &[other])),
        "units[0].order_line_id"
    );
    let many = [came(1, 2, GoodsCondition::AsNew, true), one];
    assert_eq!(receive(&mut world, &many).reason, ErrorReason::OverQuantity);
    assert_eq!(world.goods.lines[0].in_returns, 2, "nothing was done");
    let stale = world.returns[0]
        .require_etag(Some("v7"))
        .expect_err("another version");
    assert_eq!(stale.reason, ErrorReason::EtagMismatch);
}
