//! Everything that can happen to the returns of an order, in any order: no unit comes back twice.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Deliver(u128, i64),
    Request(Vec<(u128, i64)>),
    Approve(usize, Vec<(u128, i64)>, u64),
    Reject(usize),
    Cancel(usize),
    Receive(usize, Vec<(u128, i64, GoodsCondition, bool)>),
    Expire(usize),
    Refund(usize, u128, RefundState, i64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let lines = |from: usize| {
        proptest::collection::btree_map(1u128..4, 1i64..4, from..3)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
    };
    let which = || 0usize..4;
    let condition = || proptest::sample::select(GoodsCondition::ALL);
    let units = proptest::collection::vec((1u128..4, 1i64..3, condition(), any::<bool>()), 1..4);
    let refund = proptest::sample::select(RefundState::ALL);
    prop_oneof![
        4 => (1u128..3, 1i64..4).prop_map(|(at, n)| Step::Deliver(at, n)),
        5 => lines(1).prop_map(Step::Request),
        4 => (which(), lines(0), 1u64..60).prop_map(|(at, lines, by)| Step::Approve(at, lines, by)),
        1 => which().prop_map(Step::Reject),
        2 => which().prop_map(Step::Cancel),
        4 => (which(), units).prop_map(|(at, units)| Step::Receive(at, units)),
        2 => which().prop_map(Step::Expire),
        3 => (which(), 1u128..3, refund, 1i64..3).prop_map(|(at, id, state, n)| Step::Refund(at, id, state, n)),
        2 => (1u64..80).prop_map(Step::Wait),
    ]
}

impl World {
    /// Takes a step; says whether it was refused.
    fn take(&mut self, step: Step) -> bool {
        let now = self.now;
        let at = match &step {
            Step::Approve(at, ..) | Step::Receive(at, _) | Step::Refund(at, ..) => *at,
            Step::Reject(at) | Step::Cancel(at) | Step::Expire(at) => *at,
            Step::Deliver(..) | Step::Request(_) | Step::Wait(_) => 0,
        };
        let is_there = at < self.returns.len();
        match step {
            Step::Deliver(line, n) => self.deliver(line, n).is_err(),
            Step::Request(lines) => self.request(&lines).is_err(),
            Step::Wait(seconds) => {
                self.wait(seconds);
                false
            }
            _ if !is_there => false,
            Step::Approve(_, lines, seconds) => {
                let by = now.plus(Duration::from_secs(seconds));
                self.with(at, |r, goods| r.approve(goods, approval(&lines, by), now))
                    .is_err()
            }
            Step::Reject(_) => self
                .with(at, |r, goods| r.reject(goods, "No".into(), now))
                .is_err(),
            Step::Cancel(_) => self.with(at, |r, goods| r.cancel(goods, now)).is_err(),
            Step::Receive(_, units) => {
                let units: Vec<Received> = units
                    .into_iter()
                    .map(|(at, n, how, restock)| came(at, n, how, restock))
                    .collect();
                self.with(at, |r, goods| r.receive(goods, &units, now))
                    .is_err()
            }
            Step::Expire(_) => self.with(at, |r, goods| r.expire(goods, now)).is_err(),
            Step::Refund(_, id, state, attempt) => self.returns[at]
                .refund_told(refund(id, state, attempt), now)
                .is_err(),
        }
    }

    /// The counters are what the returns add up to, and never more than was delivered.
    fn check(&self) {
        for (index, own) in self.goods.lines.iter().enumerate() {
            let (mut open, mut back) = (0, 0);
            for r in &self.returns {
                for part in r
                    .lines
                    .iter()
                    .filter(|part| part.order_line_id == own.order_line_id)
                {
                    assert!(part.received() <= part.approved && part.approved <= part.requested);
                    assert!(part.restock() <= part.received());
                    open += match r.state {
                        ReturnState::Requested => part.requested,
                        ReturnState::Approved => part.approved,
                        _ => 0,
                    };
                    back += part.received();
                }
            }
            assert_eq!((own.in_returns, own.returned), (open, back));
            assert!(open + back <= own.delivered);
            let eligible = self.eligible(index);
            let in_window: i64 = self
                .deliveries
                .iter()
                .filter(|d| d.order_line_id == own.order_line_id && self.now < d.time.plus(WINDOW))
                .map(|d| d.quantity)
                .sum();
            assert_eq!(eligible.returnable(), in_window.min(own.free_to_return()));
            assert_eq!(eligible.ineligible().is_none(), eligible.returnable() > 0);
        }
        for r in &self.returns {
            let is_back = matches!(r.state, ReturnState::Received | ReturnState::Completed);
            assert_eq!(r.receive_time.is_some(), is_back);
            assert_eq!(r.lines.iter().any(|line| line.received() > 0), is_back);
            assert!(r.refund.is_none() || is_back);
        }
    }
}

/// Where a return may go from a state.
fn may_follow(before: ReturnState, after: ReturnState) -> bool {
    use ReturnState::*;
    before == after
        || match before {
            Requested => matches!(after, Approved | Rejected | Cancelled),
            Approved => matches!(after, Received | Cancelled | Expired),
            Expired => after == Received,
            Received => after == Completed,
            Rejected | Cancelled | Completed => false,
        }
}

proptest! {
    #[test]
    fn whatever_is_asked_in_whatever_order_no_unit_comes_back_twice(
        quantities in proptest::collection::vec(1i64..6, 1..4),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(&quantities);
        for step in steps {
            let (goods, returns) = (world.goods.clone(), world.returns.clone());
            if world.take(step) {
                prop_assert_eq!(&world.goods, &goods, "a refusal has no effect");
                prop_assert_eq!(&world.returns, &returns, "a refusal has no effect");
            }
            for (before, after) in returns.iter().zip(&world.returns) {
                prop_assert!(may_follow(before.state, after.state), "{} to {}", before.state, after.state);
            }
            for (before, after) in goods.lines.iter().zip(&world.goods.lines) {
                prop_assert!(before.returned <= after.returned);
            }
            world.check();
        }
    }
}
