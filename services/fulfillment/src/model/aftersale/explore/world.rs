//! The world that the explorer walks.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::id::{AftersaleId, ShipmentId};
use contracts::money::Money;
use kit::clock::Micros;

use super::super::*;
use super::acts::{Act, desk, do_it, is_typed};
use super::order::{CARE, DAY, NOW, Order, PAID, Refund, UNITS, eur, limits, line_id};
use crate::model::returns::{RefundState, ReturnRefund, ReturnState};
use crate::model::{LineQuantity, Shipment};

/// What the walk may do.
#[derive(Clone, Debug)]
pub(super) struct Menu {
    orders: u128,
    matters: usize,
    asks: Vec<(AftersaleKind, AftersaleReason, Option<i64>)>,
    pub(super) offers: Vec<(AftersaleKind, Option<i64>)>,
    carriers: bool,
    attempts: i64,
    /// Only what moves on: what is refused is refused whatever other orders do.
    pub(super) short: bool,
}

impl Menu {
    pub(super) fn everything(orders: u128, matters: usize) -> Self {
        use AftersaleKind::{Exchange, RefundOnly, Replacement, ReturnAndRefund};
        use AftersaleReason::{ChangedMind, Damaged, NeverArrived};
        Menu {
            orders,
            matters,
            asks: vec![
                (RefundOnly, Damaged, None),
                (RefundOnly, NeverArrived, Some(40)),
                (ReturnAndRefund, ChangedMind, None),
                (Exchange, Damaged, None),
                (Replacement, Damaged, None),
            ],
            offers: vec![
                (RefundOnly, Some(30)),
                (ReturnAndRefund, Some(50)),
                (Replacement, None),
            ],
            carriers: true,
            attempts: 2,
            short: false,
        }
    }

    /// Two matters one after the other that share the money of one line.
    pub(super) fn twice() -> Self {
        use AftersaleKind::{RefundOnly, Replacement, ReturnAndRefund};
        use AftersaleReason::Damaged;
        Menu {
            orders: 1,
            matters: 2,
            asks: vec![
                (RefundOnly, Damaged, Some(40)),
                (ReturnAndRefund, Damaged, None),
                (Replacement, Damaged, None),
            ],
            offers: vec![(RefundOnly, Some(30))],
            carriers: false,
            attempts: 1,
            short: false,
        }
    }

    pub(super) fn short(orders: u128) -> Self {
        Menu {
            orders,
            matters: 1,
            asks: vec![(
                AftersaleKind::ReturnAndRefund,
                AftersaleReason::ChangedMind,
                Some(40),
            )],
            offers: Vec::new(),
            carriers: false,
            attempts: 1,
            short: true,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct World {
    menu: Menu,
    now: Micros,
    pool: i64,
    /// Placed and not paid yet.
    held: Vec<u128>,
    orders: BTreeMap<u128, Order>,
}

/// What came of trying everything.
#[derive(Default)]
pub(super) struct Tried {
    pub(super) worlds: Vec<World>,
    pub(super) refused: usize,
}

impl World {
    pub(super) fn new(menu: &Menu) -> Self {
        World {
            menu: menu.clone(),
            now: NOW,
            pool: UNITS,
            held: Vec::new(),
            orders: BTreeMap::new(),
        }
    }

    pub(super) fn key(&self) -> String {
        let orders = self.orders.iter().map(|(at, order)| (at, order.key()));
        format!(
            "{}{:?}{:?}",
            self.pool,
            self.held,
            orders.collect::<Vec<_>>()
        )
    }

    /// Whether no matter is open.
    pub(super) fn is_at_rest(&self) -> bool {
        let mut matters = self.orders.values().flat_map(|order| &order.matters);
        matters.all(|matter| matter.state.is_over())
    }

    /// Everything that can happen now, and how much of it is refused.
    pub(super) fn all_moves(&self) -> Tried {
        let mut tried = Tried::default();
        self.place_and_pay(&mut tried);
        for at in self.orders.keys() {
            self.carry(*at, &mut tried);
            self.ask(*at, &mut tried);
            self.pay_back(*at, &mut tried);
            for matter in 0..self.orders[at].matters.len() {
                for act in Act::all(&self.menu) {
                    self.act(*at, matter, &act, &mut tried);
                }
                self.learn(*at, matter, &mut tried);
            }
        }
        tried
    }

    fn with(&self, at: u128, change: impl FnOnce(&mut World, &mut Order)) -> World {
        let mut after = self.clone();
        let mut order = after.orders.remove(&at).expect("an order that is there");
        change(&mut after, &mut order);
        after.orders.insert(at, order);
        after
    }

    fn place_and_pay(&self, tried: &mut Tried) {
        for at in 1..=self.menu.orders {
            let known = self.orders.contains_key(&at) || self.held.contains(&at);
            if !known && self.pool > 0 {
                let mut after = self.clone();
                after.pool -= 1;
                after.held.push(at);
                after.held.sort_unstable();
                tried.worlds.push(after);
            }
        }
        for at in &self.held {
            let mut after = self.clone();
            after.held.retain(|held| held != at);
            let mut expired = after.clone();
            expired.pool += 1;
            after.orders.insert(*at, Order::new(*at));
            tried.worlds.extend([after, expired]);
        }
    }

    /// The warehouse and the carrier.
    fn carry(&self, at: u128, tried: &mut Tried) {
        let order = &self.orders[&at];
        if order.parcel.is_none() {
            tried.worlds.push(self.with(at, |world, order| {
                let lines = order
                    .goods
                    .ship(&[], "", world.now)
                    .expect("nothing blocks it");
                let id = ShipmentId::from_uuid(at);
                let by = ("manual".into(), "1".into());
                order.parcel = Some(Shipment::leave(id, &order.goods, lines, by, world.now));
            }));
            return;
        }
        if order.parcel_ended {
            return;
        }
        let units = [LineQuantity {
            order_line_id: line_id(at),
            quantity: 1,
        }];
        tried.worlds.push(self.with(at, |_, order| {
            order.goods.end(&units, true).expect("it is under way");
            order.parcel_ended = true;
        }));
        if !self.menu.carriers {
            return;
        }
        let reasons = AftersaleReason::ALL.iter().copied();
        for reason in reasons.filter(|reason| reason.is_carriers()) {
            tried.worlds.push(self.with(at, |world, order| {
                order.goods.end(&units, false).expect("it is under way");
                order.parcel_ended = true;
                order.undelivered = PAID;
                let parcel = order.parcel.clone().expect("it was shipped");
                let limits = crate::model::shipment::EventLimits {
                    shown_max: 1,
                    count_max: 1,
                    back: DAY,
                    inspection: DAY,
                };
                let id = AftersaleId::from_uuid(at * 100);
                let goods = &order.goods;
                let matter = Aftersale::of_parcel(id, goods, &parcel, reason, limits, world.now);
                order.matters.push(matter);
            }));
        }
    }

    fn ask(&self, at: u128, tried: &mut Tried) {
        let order = &self.orders[&at];
        let count = order.matters.len();
        // A second matter while the first is open must be refused for want of units.
        if count > self.menu.matters {
            return;
        }
        for (kind, reason, amount) in &self.menu.asks {
            let mut after = self.clone();
            let limits = limits();
            let mut order = after.orders.remove(&at).expect("an order that is there");
            let before = (order.goods.clone(), order.purse.clone());
            let mut desk = desk(&mut order, &limits, Party::Retailer, CARE, after.now);
            let ask = AftersaleAsk {
                kind: *kind,
                reason: *reason,
                lines: vec![AskedLine {
                    units: LineQuantity {
                        order_line_id: line_id(at),
                        quantity: 1,
                    },
                    amount: amount.map(|amount| Money::new(eur(), amount)),
                }],
                evidence: 0,
            };
            let id = AftersaleId::from_uuid(at * 100 + 1 + count as u128);
            match Aftersale::open(&mut desk, id, &ask, &[]) {
                Ok(matter) if count < self.menu.matters => {
                    order.matters.push(matter);
                    after.orders.insert(at, order);
                    tried.worlds.push(after);
                }
                Ok(_) => {}
                Err(refusal) => {
                    assert_eq!(refusal.reason, ErrorReason::OverQuantity, "{refusal:?}");
                    assert_eq!(
                        (order.goods, order.purse),
                        before,
                        "a refusal changes nothing"
                    );
                    tried.refused += 1;
                }
            }
        }
    }

    /// The order service and the partner.
    fn pay_back(&self, at: u128, tried: &mut Tried) {
        let order = &self.orders[&at];
        for entry in 0..order.settlements.len() {
            let mut taken = false;
            let after = self.with(at, |_, order| taken = order.take(entry));
            tried.worlds.extend(taken.then_some(after));
        }
        let states: &[RefundState] = if self.menu.short {
            &[RefundState::Executed]
        } else {
            &[
                RefundState::Executed,
                RefundState::Failed,
                RefundState::Authorised,
                RefundState::Withdrawn,
            ]
        };
        for refund in 0..order.refunds.len() {
            for state in states.iter().copied() {
                let mut moved = false;
                let attempts = self.menu.attempts;
                let after = self.with(at, |_, order| {
                    moved = order.move_refund(refund, state, attempts)
                });
                tried.worlds.extend(moved.then_some(after));
            }
        }
    }

    /// News of refunds: any that was ever told, again and late.
    fn learn(&self, at: u128, matter: usize, tried: &mut Tried) {
        let order = &self.orders[&at];
        let told = order
            .refunds
            .iter()
            .filter(|refund| refund.matter == matter);
        let told: Vec<ReturnRefund> = told.flat_map(|refund| refund.told.clone()).collect();
        for news in told {
            let mut moved = false;
            let after = self.with(at, |world, order| {
                let limits = limits();
                let mut m = order.matters.remove(matter);
                let mut desk = desk(order, &limits, Party::Partner, "", world.now);
                moved = m.refund_told(&mut desk, &news);
                m.news = News::default();
                order.matters.insert(matter, m);
            });
            if moved {
                tried.worlds.push(after);
            } else {
                assert_eq!(after.key(), self.key(), "old news change nothing");
            }
        }
    }

    fn act(&self, at: u128, matter: usize, act: &Act, tried: &mut Tried) {
        let mut after = self.clone();
        let mut order = after.orders.remove(&at).expect("an order that is there");
        let mut m = order.matters.remove(matter);
        let before = (order.goods.clone(), order.purse.clone(), m.clone());
        let left = order.purse[&line_id(at)].left();
        let allowed = act.allowed(&m, left);
        if matches!(act, Act::Time) {
            // However far the clock jumps.
            after.now = m.due_time.map_or(after.now, |due| due.max(after.now));
        }
        let done = do_it(&mut order, &mut m, act, after.now);
        assert_eq!(done.is_ok(), allowed, "{act:?} in {}: {done:?}", m.state);
        if let Err(refusal) = done {
            assert!(is_typed(&refusal), "{act:?}: {refusal:?}");
            assert_eq!(
                (order.goods, order.purse, m),
                before,
                "{act:?}: nothing changes"
            );
            tried.refused += 1;
            return;
        }
        let news = std::mem::take(&mut m.news);
        assert!(!news.steps.is_empty(), "{act:?} is written down");
        if let Some(settlement) = news.settlement {
            after.pool += settlement
                .restock
                .iter()
                .map(|(_, units)| units)
                .sum::<i64>();
            order.restocked += settlement
                .restock
                .iter()
                .map(|(_, units)| units)
                .sum::<i64>();
            order.settlements.push((matter, settlement));
        }
        let came = |m: &Aftersale| {
            let leg = m.leg.as_ref().filter(|leg| leg.receive_time.is_some());
            leg.map_or(0, |leg| leg.lines[0].restock())
        };
        let fresh = came(&m) - came(&before.2);
        (after.pool, order.restocked) = (after.pool + fresh, order.restocked + fresh);
        order.matters.insert(matter, m);
        after.orders.insert(at, order);
        tried.worlds.push(after);
    }

    /// The invariants, in every state.
    pub(super) fn check(&self) {
        let out: i64 = self.orders.values().map(|order| 1 - order.restocked).sum();
        let held = i64::try_from(self.held.len()).expect("a few");
        assert_eq!(
            self.pool + held + out,
            UNITS,
            "units are neither made nor lost"
        );
        for order in self.orders.values() {
            let line = &order.goods.lines[0];
            assert!(line.in_returns >= 0 && line.in_returns + line.returned <= line.delivered);
            assert!(line.delivered + line.undelivered <= line.shipped && line.shipped <= 1);
            assert!(
                order.restocked <= line.returned + line.undelivered,
                "only what came back"
            );
            let aside: i64 = order.matters.iter().map(|m| m.set_aside(&m.lines[0])).sum();
            assert_eq!(
                aside, line.in_returns,
                "what is set aside is of open matters"
            );
            let money = &order.purse[&line.order_line_id];
            let promised: i64 = order.matters.iter().map(|m| m.promised(&m.lines[0])).sum();
            assert_eq!(promised, money.promised, "what is promised is of matters");
            assert!(
                (0..=PAID).contains(&money.promised),
                "no more than was paid"
            );
            assert!(order.back() <= PAID, "no more goes back than was paid");
            for (at, matter) in order.matters.iter().enumerate() {
                check_matter(order, at, matter);
            }
        }
    }
}

fn check_matter(order: &Order, at: usize, matter: &Aftersale) {
    let settled = order.settlements.iter().filter(|(of, _)| *of == at).count();
    assert!(settled <= 1, "a matter is settled once");
    assert_eq!(
        matter.next_action().is_none(),
        matter.state.is_over(),
        "no dead end"
    );
    assert_eq!(matter.due_time.is_none(), matter.state.is_over());
    assert_eq!(matter.finish_time.is_some(), matter.state.is_over());
    let came = matter.leg.as_ref().map(|leg| leg.state);
    if matter.lines[0].found.accepted() > 0 && matter.opened_by != Party::Carrier {
        assert!(matches!(
            came,
            Some(ReturnState::Received | ReturnState::Completed)
        ));
    }
    if let Some(refund) = matter.refund.as_ref()
        && matter.state == AftersaleState::Resolved
    {
        assert_eq!(refund.state, RefundState::Executed);
        let executed = |r: &Refund| r.matter == at && r.state == RefundState::Executed;
        assert!(
            order.refunds.iter().any(executed),
            "resolved when the partner has paid back"
        );
    }
}
