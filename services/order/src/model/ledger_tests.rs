use contracts::id::{ChargebackId, OrderLineId, PaymentId, RefundId};
use contracts::money::Money;
use proptest::prelude::*;

use super::*;
use crate::model::order::Order;
use crate::model::payment::Payment;
use crate::model::payment::Signed;
use crate::model::progress::tests::{line, paid_in};
use crate::model::progress::{LineProgress, StepKind};
use crate::model::refund::{Component, RefundShares};
use crate::model::refund_decided::LineDraft;
use crate::model::told::SettledLine;
use crate::model::{
    Line, LineAmount, PaymentOutcome, PaymentState, Refund, RefundReason, RefundState,
};

/// Yen have no minor unit, euros two digits of it, dinars three.
fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["JPY", "EUR", "KWD"])
        .prop_map(|code| Currency::parse(code).expect("a currency"))
}

/// A line composed as orders' lines are: quantity, price, discounts, shipping, tax and whether it is included.
fn placed() -> impl Strategy<Value = (i64, LineAmount)> {
    let share = || 0u8..=100;
    (
        1i64..9,
        0i64..200_000,
        share(),
        share(),
        0i64..3_000,
        0i64..=30,
        any::<bool>(),
    )
        .prop_map(
            |(quantity, price, retailer, partner, shipping, tax_percent, tax_included)| {
                let retailer_discount = price * i64::from(retailer) / 200;
                let partner_discount = (price - retailer_discount) * i64::from(partner) / 200;
                let taxed = price - retailer_discount - partner_discount + shipping;
                let tax = match tax_included {
                    true => taxed * tax_percent / (100 + tax_percent),
                    false => taxed * tax_percent / 100,
                };
                let amount = LineAmount {
                    price,
                    retailer_discount,
                    partner_discount,
                    shipping,
                    tax,
                    tax_included,
                    payable: taxed + if tax_included { 0 } else { tax },
                    commission: 0,
                };
                (quantity, amount)
            },
        )
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Cancel,
    Ship,
    Lose,
    Goodwill(Component),
    Whole,
    Settle,
    Execute,
    Fail,
    Withdraw,
    ChargeBack,
    Win,
    LoseChargeback,
    PayAgain,
    Compensate,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop::sample::select(vec![
        Deed::Cancel,
        Deed::Ship,
        Deed::Lose,
        Deed::Goodwill(Component::All),
        Deed::Goodwill(Component::Goods),
        Deed::Goodwill(Component::Shipping),
        Deed::Goodwill(Component::Tax),
        Deed::Whole,
        Deed::Settle,
        Deed::Execute,
        Deed::Execute,
        Deed::Fail,
        Deed::Withdraw,
        Deed::ChargeBack,
        Deed::Win,
        Deed::LoseChargeback,
        Deed::PayAgain,
        Deed::Compensate,
    ])
}

fn bearer() -> impl Strategy<Value = CostBearer> {
    prop::sample::select(CostBearer::ALL.to_vec())
}

type Act = (Deed, prop::sample::Index, prop::sample::Index, CostBearer);

/// An order with its ledger and everything that is counted beside it.
struct Books {
    order: Order,
    entries: Vec<LedgerEntry>,
    progress: Vec<LineProgress>,
    refunds: Vec<Refund>,
    /// Open chargebacks: id and amount.
    open: Vec<(String, i64)>,
    charged_back: i64,
    /// What is to go back of the payment that paid the order.
    refunded: RefundShares,
    next: u128,
}

impl Books {
    fn new(currency: Currency, amounts: &[(i64, LineAmount)]) -> Self {
        let lines: Vec<Line> = amounts
            .iter()
            .zip(1u128..)
            .map(|((quantity, amount), number)| Line {
                amount: *amount,
                ..line(number, *quantity, amount.payable, amount.partner_discount)
            })
            .collect();
        let progress = lines
            .iter()
            .map(|line| LineProgress {
                order_line_id: line.order_line_id,
                cancelled: 0,
                shipped: 0,
                delivered: 0,
                undelivered: 0,
            })
            .collect();
        let order = paid_in(currency, lines);
        let mut books = Books {
            entries: Vec::new(),
            progress,
            refunds: Vec::new(),
            open: Vec::new(),
            charged_back: 0,
            refunded: RefundShares::default(),
            next: 1,
            order,
        };
        let paid = books.payment(books.order.paid_in().shopper, None);
        books.book_payment(&paid);
        books
    }

    fn id(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    fn payment(&mut self, amount: i64, refund: Option<(RefundId, RefundReason)>) -> Payment {
        let currency = self.order.placement.amount.currency;
        Payment {
            payment_id: PaymentId::from_uuid(self.id()),
            order_id: *self.order.order_id(),
            partner_id: self.order.placement.partner_id,
            payment_reference: "p".into(),
            amount: Money::new(currency, amount),
            partner_amount: 0,
            refunded: 0,
            partner_refunded: 0,
            outcome: match refund {
                None => PaymentOutcome::Paid,
                Some(_) => PaymentOutcome::RefundDue,
            },
            refund,
            kid: "k".into(),
            statement: Signed::default(),
            pay_time: Micros(1),
            record_time: Micros(1),
        }
    }

    fn book_payment(&mut self, payment: &Payment) {
        let mut next = self.next;
        let made = of_payment(payment, &self.order, &mut || {
            next += 1;
            next
        });
        self.next = next;
        self.entries.extend(made);
    }

    fn book(
        &mut self,
        step: LedgerStep,
        bearer: CostBearer,
        source: &str,
        parts: Vec<(Option<usize>, Parts)>,
    ) {
        let mut next = self.next;
        let booking = Booking {
            order_id: *self.order.order_id(),
            partner_id: self.order.placement.partner_id,
            step,
            cost_bearer: bearer,
            source_id: source,
            currency: self.order.placement.amount.currency,
            time: Micros(2),
        };
        let made = booking.entries(parts, &mut || {
            next += 1;
            next
        });
        self.next = next;
        self.entries.extend(made);
    }

    /// Files a refund of the order's lines.
    fn file(&mut self, bearer: CostBearer, taken: &[(usize, Parts)], quantities: &[i64]) {
        let sum = taken
            .iter()
            .fold(RefundShares::default(), |sum, (_, parts)| {
                sum.checked_add(parts.shares()).expect("it fits")
            });
        let (refund_id, money) = (RefundId::from_uuid(self.id()), self.order.placement.amount);
        let mut lines = self.order.refund_lines(taken);
        for (line, quantity) in lines.iter_mut().zip(quantities) {
            line.quantity = *quantity;
        }
        let payment = self.payment(0, Some((refund_id, RefundReason::Goodwill)));
        let refund = Refund {
            lines,
            cost_bearer: bearer,
            shopper_amount: money.money(sum.shopper),
            partner_amount: money.money(sum.partner),
            ..payment.first_refund().expect("one")
        };
        let parts = taken
            .iter()
            .map(|(at, parts)| (Some(*at), *parts))
            .collect();
        self.book(
            LedgerStep::RefundAuthorised,
            bearer,
            refund_id.as_str(),
            parts,
        );
        self.refunded = self.refunded.checked_add(sum).expect("it fits");
        self.refunds.push(refund);
    }

    fn advance(&mut self) {
        for step in self.order.advance(&self.progress).expect("it can be") {
            if step.refund.is_zero() {
                continue;
            }
            assert!(matches!(
                step.kind,
                StepKind::LinesCancelled | StepKind::Undelivered
            ));
            let quantities: Vec<i64> = step.units.iter().map(|(_, units)| *units).collect();
            let places = step.units.iter().map(|(at, _)| *at);
            let taken: Vec<(usize, Parts)> = places.zip(step.parts).collect();
            self.file(CostBearer::Retailer, &taken, &quantities);
        }
    }

    fn pick(&self, which: prop::sample::Index, states: &[RefundState]) -> Option<usize> {
        let found: Vec<usize> = (0..self.refunds.len())
            .filter(|at| states.contains(&self.refunds[*at].state))
            .collect();
        (!found.is_empty()).then(|| found[which.index(found.len())])
    }

    fn entries_of(&self, step: LedgerStep, source: &str) -> Vec<LedgerEntry> {
        let own = |entry: &&LedgerEntry| entry.step == step && entry.source_id == source;
        self.entries.iter().filter(own).cloned().collect()
    }

    fn follow(&mut self, from: LedgerStep, to: LedgerStep, source: &str, undo: bool) {
        let before = self.entries_of(from, source);
        let before: Vec<&LedgerEntry> = before.iter().collect();
        let mut next = self.next;
        let mut made = reversed(&before, to, Micros(3), &mut || {
            next += 1;
            next
        });
        self.next = next;
        if !undo {
            made.iter_mut().for_each(|entry| entry.reverses = None);
        }
        self.entries.extend(made);
    }

    fn act(&mut self, (deed, which, how_much, bearer): Act) {
        let at = which.index(self.progress.len());
        let ordered = self.order.quantities[at].ordered;
        let come = self.progress[at];
        match deed {
            Deed::Cancel if come.cancelled + come.shipped < ordered => {
                self.progress[at].cancelled += 1;
                self.advance();
            }
            Deed::Ship if come.cancelled + come.shipped < ordered => {
                self.progress[at].shipped += 1;
                self.advance();
            }
            Deed::Lose if come.undelivered < come.shipped => {
                self.progress[at].undelivered += 1;
                self.advance();
            }
            Deed::Goodwill(component) => {
                let whole = Parts::of(&self.order.placement.lines[at].amount);
                let wanted = how_much.index(whole.shopper() as usize + 2) as i64;
                let partner = how_much.index(whole.partner as usize + 2) as i64;
                let draft = LineDraft {
                    order_line_id: self.order.placement.lines[at].order_line_id,
                    shopper: wanted,
                    partner,
                    component,
                };
                let before = self.order.clone();
                let left = before.left()[at];
                match self.order.compose(&[draft]) {
                    Ok(taken) => self.granted(bearer, &taken),
                    Err(refusal) => {
                        assert_eq!(refusal.reason, contracts::ErrorReason::OverQuantity);
                        assert!(
                            component != Component::All
                                || wanted > left.shopper()
                                || partner > left.partner
                        );
                        assert_eq!(self.order, before);
                    }
                }
            }
            Deed::Whole => {
                let left: i64 = self.order.left().iter().map(Parts::shopper).sum();
                let wanted = how_much.index(left as usize + 2) as i64;
                match self.order.compose_whole(wanted, 0) {
                    Ok(taken) => self.granted(bearer, &taken),
                    Err(_) => assert!(wanted > left),
                }
            }
            Deed::Settle => {
                let whole = Parts::of(&self.order.placement.lines[at].amount);
                let currency = self.order.placement.amount.currency;
                let settled = SettledLine {
                    order_line_id: OrderLineId::from_uuid(at as u128 + 1),
                    quantity: 1,
                    amount: Money::new(
                        currency,
                        how_much.index(whole.shopper() as usize + 2) as i64,
                    ),
                };
                let lines = self.order.settle(&[settled], false).expect("it is capped");
                let taken: Vec<(usize, Parts)> = lines
                    .iter()
                    .map(|line| (at, line.parts.expect("composed")))
                    .collect();
                if taken.iter().any(|(_, parts)| !parts.shares().is_zero()) {
                    self.file(bearer, &taken, &[]);
                }
            }
            Deed::Execute => self.execute(which),
            Deed::Fail => {
                if let Some(at) = self.pick(which, &[RefundState::Authorised]) {
                    self.refunds[at].state = RefundState::Failed;
                }
            }
            Deed::Withdraw => self.withdraw(which),
            Deed::ChargeBack => {
                let left: i64 = self.order.left().iter().map(Parts::shopper).sum();
                let wanted = how_much.index(left as usize + 1) as i64;
                if wanted > 0 {
                    let id = ChargebackId::from_uuid(self.id());
                    let taken = self
                        .order
                        .compose_whole(wanted, 0)
                        .expect("so much is left");
                    let parts = taken
                        .iter()
                        .map(|(at, parts)| (Some(*at), *parts))
                        .collect();
                    taken
                        .iter()
                        .for_each(|(at, parts)| self.order.give(*at, *parts));
                    self.book(
                        LedgerStep::ChargebackOpened,
                        CostBearer::Retailer,
                        id.as_str(),
                        parts,
                    );
                    self.open.push((id.to_string(), wanted));
                    self.charged_back += wanted;
                }
            }
            Deed::Win | Deed::LoseChargeback if !self.open.is_empty() => {
                let (id, amount) = self.open.swap_remove(which.index(self.open.len()));
                if matches!(deed, Deed::Win) {
                    self.follow(
                        LedgerStep::ChargebackOpened,
                        LedgerStep::ChargebackWon,
                        &id,
                        true,
                    );
                    self.charged_back -= amount;
                } else {
                    self.follow(
                        LedgerStep::ChargebackOpened,
                        LedgerStep::ChargebackLost,
                        &id,
                        false,
                    );
                }
                self.order.balance.given = given(&self.entries, self.order.placement.lines.len());
            }
            Deed::PayAgain => {
                let amount = how_much.index(5_000) as i64;
                let refund_id = RefundId::from_uuid(self.id());
                let payment =
                    self.payment(amount, Some((refund_id, RefundReason::DuplicatePayment)));
                assert!(self.order.owe(amount));
                self.book_payment(&payment);
                self.refunds
                    .push(payment.first_refund().expect("it goes back"));
            }
            Deed::Compensate => {
                let goods = how_much.index(500_000) as i64 + 1;
                let parts = Parts {
                    goods,
                    ..Parts::default()
                };
                let source = format!("c-{}", self.id());
                self.book(
                    LedgerStep::CompensationAuthorised,
                    bearer,
                    &source,
                    vec![(Some(at), parts)],
                );
                let paid = match which.index(2) {
                    0 => LedgerStep::CompensationPartnerPaid,
                    _ => LedgerStep::CompensationRetailerPaid,
                };
                self.book(paid, bearer, &source, vec![(Some(at), parts)]);
            }
            _ => {}
        }
    }

    fn granted(&mut self, bearer: CostBearer, taken: &[(usize, Parts)]) {
        if taken.iter().all(|(_, parts)| parts.shares().is_zero()) {
            return;
        }
        self.order.grant(taken).expect("it fits");
        self.file(bearer, taken, &[]);
    }

    fn execute(&mut self, which: prop::sample::Index) {
        let Some(at) = self.pick(which, &[RefundState::Authorised]) else {
            return;
        };
        self.refunds[at].state = RefundState::Executed;
        let refund = self.refunds[at].clone();
        assert!(self.order.pay_back(&refund));
        let id = refund.refund_id.to_string();
        self.follow(
            LedgerStep::RefundAuthorised,
            LedgerStep::RefundExecuted,
            &id,
            false,
        );
    }

    fn withdraw(&mut self, which: prop::sample::Index) {
        let Some(at) = self.pick(which, &[RefundState::Failed]) else {
            return;
        };
        self.refunds[at].failure = Some(crate::model::RefundFailure::Other);
        self.refunds[at].withdraw(Micros(4)).expect("it failed");
        let refund = self.refunds[at].clone();
        assert!(self.order.forgo(&refund));
        let id = refund.refund_id.to_string();
        self.follow(
            LedgerStep::RefundAuthorised,
            LedgerStep::RefundWithdrawn,
            &id,
            true,
        );
        if refund.reason.is_of_lines() {
            self.refunded.shopper -= refund.shopper_amount.minor_units;
            self.refunded.partner -= refund.partner_amount.minor_units;
        }
        self.order.balance.given = given(&self.entries, self.order.placement.lines.len());
    }

    /// Everything that has to hold after every step.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut accounts = BTreeMap::new();
        for entry in &self.entries {
            let lines = entry.lines();
            prop_assert!(
                lines
                    .iter()
                    .all(|line| line.amount > 0 && line.credit != line.debit)
            );
            let mut own = BTreeMap::new();
            post(&mut own, &lines).expect("it fits");
            prop_assert_eq!(own.values().map(Moved::balance).sum::<i64>(), 0);
            post(&mut accounts, &lines).expect("it fits");
            // What partners see balances by itself as well.
            let mut seen = BTreeMap::new();
            post(&mut seen, &for_partner(lines)).expect("it fits");
            prop_assert_eq!(seen.values().map(Moved::balance).sum::<i64>(), 0);
        }
        let of = |account: Account| {
            accounts
                .get(&account)
                .copied()
                .unwrap_or_default()
                .balance()
        };
        prop_assert_eq!(accounts.values().map(Moved::balance).sum::<i64>(), 0);

        let (order, paid) = (&self.order, self.order.paid_in());
        // What is due and what went back, as the order counts it.
        prop_assert_eq!(-of(Account::RefundsDue), order.balance.refund_due);
        let executed = self
            .entries
            .iter()
            .filter(|entry| entry.step == LedgerStep::RefundExecuted);
        let executed: i64 = executed.map(|entry| entry.amounts.parts.shopper()).sum();
        prop_assert_eq!(executed, order.balance.refunded);
        // Never more than was paid, per source, refunds and chargebacks together.
        prop_assert!(self.refunded.shopper + self.charged_back <= paid.shopper);
        prop_assert!(self.refunded.partner <= paid.partner);
        let given = given(&self.entries, order.placement.lines.len());
        for (line, given) in order.placement.lines.iter().zip(&given) {
            let left = Parts::of(&line.amount).minus(*given);
            prop_assert!(
                left.goods >= 0 && left.shipping >= 0 && left.tax >= 0 && left.partner >= 0
            );
        }
        let sum = given
            .iter()
            .fold(RefundShares::default(), |sum, given| RefundShares {
                shopper: sum.shopper + given.shopper(),
                partner: sum.partner + given.partner,
            });
        prop_assert_eq!(sum.shopper, self.refunded.shopper + self.charged_back);
        prop_assert_eq!(sum.partner, self.refunded.partner);
        // What the order knows is what the ledger says.
        let known: Vec<Parts> = order.left();
        let left: Vec<Parts> = order
            .placement
            .lines
            .iter()
            .zip(&given)
            .map(|(line, given)| Parts::of(&line.amount).minus(*given))
            .collect();
        prop_assert_eq!(known, left);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_ledger_conserves_money_to_the_minor_unit(
        currency in currency(),
        lines in proptest::collection::vec(placed(), 1..4),
        acts in proptest::collection::vec(
            (deed(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), bearer()), 0..50),
    ) {
        let mut books = Books::new(currency, &lines);
        books.check()?;
        for act in acts {
            books.act(act);
            books.check()?;
        }
        // In the end every unit goes back: what is left of the lines goes with it, and nothing of what is gone.
        books.progress.iter_mut().zip(&books.order.quantities).for_each(|(line, counted)| {
            line.undelivered = line.shipped;
            line.cancelled = counted.ordered - line.shipped;
        });
        books.advance();
        books.check()?;
        let lost = |refund: &Refund| refund.state == RefundState::Withdrawn && refund.reason.is_of_lines();
        let left = |part: fn(&Parts) -> i64| books.order.left().iter().map(part).sum::<i64>();
        if !books.refunds.iter().any(lost) && !books.entries.iter().any(|entry| entry.step == LedgerStep::ChargebackWon) {
            prop_assert_eq!((left(Parts::shopper), left(|left| left.partner)), (0, 0));
        }
        prop_assert!(books.order.payment_state != PaymentState::Unpaid);
    }

    #[test]
    fn what_is_taken_is_composed_of_what_is_left(
        (_, amount) in placed(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let whole = Parts::of(&amount);
        prop_assert_eq!((whole.shopper(), whole.partner), (amount.payable, amount.partner_discount));
        let mut left = whole;
        for cut in cuts {
            let wanted = cut.index(left.shopper() as usize + 1) as i64;
            let taken = left.take(wanted, 0, Component::All).expect("so much is left");
            prop_assert_eq!(taken.shopper(), wanted);
            left = left.minus(taken);
            prop_assert!(left.goods >= 0 && left.shipping >= 0 && left.tax >= 0);
        }
        let rest = left.take(left.shopper(), left.partner, Component::All).expect("the rest");
        let after = left.minus(rest);
        prop_assert_eq!((after.goods, after.shipping, after.tax_added(), after.partner), (0, 0, 0, 0));
        prop_assert!(left.take(left.shopper() + 1, 0, Component::All).is_none());
        prop_assert!(left.take(0, left.partner + 1, Component::All).is_none());
    }
}

#[test]
fn a_sale_is_composed_as_the_contract_says() {
    let amount = LineAmount {
        price: 5_970,
        retailer_discount: 597,
        partner_discount: 100,
        shipping: 490,
        tax: 961,
        tax_included: true,
        payable: 5_763,
        commission: 0,
    };
    let books = Books::new(Currency::EUR, &[(3, amount)]);
    let mut accounts = BTreeMap::new();
    for entry in &books.entries {
        post(&mut accounts, &entry.lines()).expect("it fits");
    }
    let of = |account: Account| accounts[&account].balance();
    assert_eq!(of(Account::PartnerHeld), 5_763);
    assert_eq!(of(Account::PartnerSubsidy), 100);
    assert_eq!(of(Account::Sales), -(5_970 - 961));
    assert_eq!(of(Account::Discounts), 597);
    assert_eq!(of(Account::Shipping), -490);
    assert_eq!(of(Account::Tax), -961);
}
