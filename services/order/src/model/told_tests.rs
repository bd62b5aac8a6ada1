use contracts::id::{OrderLineId, PartnerId, PaymentId, VariantId};
use contracts::money::Currency;
use kit::clock::Micros;
use proptest::prelude::*;

use super::*;
use crate::model::progress::tests::{line, paid_in, told};
use crate::model::returns::ReturnedLine;
use crate::model::{
    AftersaleState, HoldRules, Line, PaymentState, RefundFailure, RefundState, RefundStatement,
};

/// Units of the allotment before anything is sold.
const SUPPLIED: i64 = 1_000;

/// What may happen to an order after it was paid.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Cancel,
    Ship,
    Deliver,
    Lose,
    AskReturn,
    EndReturn,
    ReceiveReturn,
    PayAgain {
        own_currency: bool,
    },
    Execute,
    Fail,
    Reissue,
    /// The latest news comes once more.
    TellAgain,
}

/// A deed, what it is done to, and a number for how much.
type Act = (Deed, prop::sample::Index, prop::sample::Index);

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Cancel),
        4 => Just(Deed::Ship),
        4 => Just(Deed::Deliver),
        1 => Just(Deed::Lose),
        3 => Just(Deed::AskReturn),
        1 => Just(Deed::EndReturn),
        3 => Just(Deed::ReceiveReturn),
        1 => any::<bool>().prop_map(|own_currency| Deed::PayAgain { own_currency }),
        4 => Just(Deed::Execute),
        2 => Just(Deed::Fail),
        2 => Just(Deed::Reissue),
        1 => Just(Deed::TellAgain),
    ]
}

/// Yen have no minor unit, euros two digits of it, dinars three.
fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["JPY", "EUR", "KWD"])
        .prop_map(|code| Currency::parse(code).expect("a currency"))
}

/// An order on its way, with everything that is written beside it.
struct Life {
    tale: Tale,
    order_id: OrderId,
    progress: Vec<LineProgress>,
    /// Returns under way, and the units they are about.
    open: Vec<(ReturnId, usize, i64)>,
    /// Units in returns that are under way or came back, by line.
    in_returns: Vec<i64>,
    refunds: Vec<Refund>,
    next: u128,
    last: Option<News>,
    restocked: i64,
}

use crate::model::Refund;

impl Life {
    fn new(currency: Currency, lines: &[(i64, i64, i64)]) -> Self {
        let lines: Vec<Line> = lines
            .iter()
            .zip(1u128..)
            .map(|(&(quantity, payable, partner), number)| line(number, quantity, payable, partner))
            .collect();
        let sold: i64 = lines.iter().map(|line| line.quantity).sum();
        let allotment_id = lines[0].allotment_id;
        let (count, order) = (lines.len(), paid_in(currency, lines));
        let book = Book::new(Micros(10), HoldRules::default());
        let mut tale = Tale::new(book, Duration::from_secs(60), "test");
        let stock = Stock {
            allotment_id,
            variant_id: VariantId::from_uuid(1),
            display_name: String::new(),
            supplied: SUPPLIED,
            available: SUPPLIED - sold,
            held: 0,
            sold,
            per_person_limit: 0,
            version: 1,
            create_time: Micros(0),
        };
        tale.book.stocks.insert(allotment_id, Tracked::new(stock));
        let order_id = *order.order_id();
        tale.orders.insert(order_id, Tracked::new(order));
        Life {
            tale,
            order_id,
            progress: (1..=count as u128)
                .map(|number| told(number, 0, 0, 0, 0))
                .collect(),
            open: Vec::new(),
            in_returns: vec![0; count],
            refunds: Vec::new(),
            next: 100,
            last: None,
            restocked: 0,
        }
    }

    fn order(&self) -> &Order {
        &self.tale.orders[&self.order_id].now
    }

    fn order_mut(&mut self) -> &mut Order {
        &mut self.tale.orders.get_mut(&self.order_id).expect("it").now
    }

    fn id(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    /// Tells the news, and files the refunds that came of it.
    fn tell(&mut self, news: News) {
        let mut next = self.next;
        let mut ids = || {
            next += 1;
            next
        };
        self.tale.tell(0, &news, &mut ids).expect("it can be");
        self.next = next;
        self.last = Some(news);
        for new in std::mem::take(&mut self.tale.new_refunds) {
            let nothing = new.is_nothing();
            let amounts = (new.reason, new.shopper_amount, new.partner_amount);
            let mut made = refund(
                new.refund_id,
                self.order_id,
                amounts,
                new.lines,
                new.return_id,
            );
            if nothing {
                made.state = RefundState::Executed;
            }
            self.refunds.push(made);
        }
    }

    fn progress(&mut self) {
        let news = News::Progress {
            order_id: self.order_id,
            lines: self.progress.clone(),
            blocks: CareBlocks::default(),
            version: 1,
        };
        self.tell(news);
    }

    fn tell_return(&mut self, return_id: ReturnId, stage: ReturnStage, lines: Vec<ReturnedLine>) {
        let order_id = self.order_id;
        self.tell(News::Return(ReturnNews {
            return_id,
            order_id,
            stage,
            lines,
            settled_apart: false,
        }));
    }

    /// Between one unit and all of those that a deed can be done to; none when there are none.
    fn some(left: i64, how_many: prop::sample::Index) -> Option<i64> {
        (left > 0).then(|| how_many.index(usize::try_from(left).expect("few")) as i64 + 1)
    }

    fn act(&mut self, (deed, which, how_many): Act) {
        let at = which.index(self.progress.len());
        let line = self.progress[at];
        let ordered = self.order().quantities[at].ordered;
        let on_the_way = line.shipped - line.delivered - line.undelivered;
        let returnable = line.delivered - self.in_returns[at];
        match deed {
            Deed::Cancel | Deed::Ship => {
                let Some(units) = Self::some(ordered - line.cancelled - line.shipped, how_many)
                else {
                    return;
                };
                match deed {
                    Deed::Cancel => self.progress[at].cancelled += units,
                    _ => self.progress[at].shipped += units,
                }
                self.progress();
            }
            Deed::Deliver | Deed::Lose => {
                let Some(units) = Self::some(on_the_way, how_many) else {
                    return;
                };
                match deed {
                    Deed::Deliver => self.progress[at].delivered += units,
                    _ => self.progress[at].undelivered += units,
                }
                self.progress();
            }
            Deed::AskReturn => {
                let Some(units) = Self::some(returnable, how_many) else {
                    return;
                };
                self.in_returns[at] += units;
                let return_id = ReturnId::from_uuid(self.id());
                self.open.push((return_id, at, units));
                self.tell_return(return_id, ReturnStage::Open, Vec::new());
            }
            Deed::EndReturn | Deed::ReceiveReturn => {
                if self.open.is_empty() {
                    return;
                }
                let (return_id, at, units) = self.open.swap_remove(which.index(self.open.len()));
                let stage = match deed {
                    Deed::EndReturn => ReturnStage::Ended,
                    _ => ReturnStage::Received,
                };
                let received = match stage {
                    ReturnStage::Received => how_many.index(units as usize + 1) as i64,
                    _ => 0,
                };
                self.in_returns[at] -= units - received;
                let restock = received / 2;
                self.restocked += restock;
                let order_line_id = OrderLineId::from_uuid(at as u128 + 1);
                self.tell_return(
                    return_id,
                    stage,
                    vec![ReturnedLine {
                        order_line_id,
                        received,
                        restock,
                    }],
                );
            }
            Deed::PayAgain { own_currency } => {
                self.pay_again(own_currency, how_many.index(5_000) as i64)
            }
            Deed::Execute => self.report(which, None),
            Deed::Fail => self.report(which, Some(RefundFailure::Declined)),
            Deed::Reissue => {
                let failed = self.refunds_in(RefundState::Failed);
                if !failed.is_empty() {
                    self.refunds[failed[which.index(failed.len())]]
                        .reissue()
                        .expect("it failed");
                }
            }
            Deed::TellAgain => {
                if let Some(news) = self.last.clone() {
                    let (before, events) = (self.order().clone(), self.tale.events.len());
                    self.tell(news);
                    assert_eq!((self.order(), self.tale.events.len()), (&before, events));
                }
            }
        }
    }

    /// A second payment comes, and goes back as a whole.
    fn pay_again(&mut self, own_currency: bool, amount: i64) {
        let own = self.order().placement.amount.currency;
        let currency = if own_currency {
            own
        } else {
            Currency::parse("CHF").expect("a currency")
        };
        assert!(self.order_mut().owe(if own_currency { amount } else { 0 }));
        let (refund_id, order_id) = (RefundId::from_uuid(self.id()), self.order_id);
        let amounts = (
            RefundReason::DuplicatePayment,
            Money::new(currency, amount),
            Money::new(currency, 0),
        );
        self.refunds
            .push(refund(refund_id, order_id, amounts, Vec::new(), None));
    }

    fn refunds_in(&self, state: RefundState) -> Vec<usize> {
        let places = 0..self.refunds.len();
        places
            .filter(|at| self.refunds[*at].state == state)
            .collect()
    }

    fn report(&mut self, which: prop::sample::Index, failure: Option<RefundFailure>) {
        if self.refunds.is_empty() {
            return;
        }
        let at = which.index(self.refunds.len());
        let reference = format!("r-{}", self.id());
        let stated = RefundStatement {
            order_id: self.order_id,
            refund_id: self.refunds[at].refund_id,
            amounts: self.refunds[at].amounts(),
            currency: self.refunds[at].shopper_amount.currency,
            refund_reference: reference,
            failure,
            report_time: Micros(5),
        };
        assert!(stated.is_about(&self.refunds[at]));
        let before = self.refunds[at].clone();
        match (before.state, self.refunds[at].report(&stated, Micros(6))) {
            (RefundState::Authorised, Ok(())) if failure.is_none() => {
                let refund = self.refunds[at].clone();
                assert!(self.order_mut().pay_back(&refund));
            }
            (RefundState::Authorised, Ok(())) => {}
            // Executed is final, and what failed has to be issued again.
            (RefundState::Executed | RefundState::Failed | RefundState::Withdrawn, Err(_)) => {
                assert_eq!(self.refunds[at], before)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Everything that has to hold after every step, computed anew from the refunds.
    fn check(&self) -> Result<(), TestCaseError> {
        let (order, balance) = (self.order(), self.order().balance.clone());
        let sum = |of: &dyn Fn(&Refund) -> bool| {
            let found = self.refunds.iter().filter(|refund| of(refund));
            found.fold(RefundShares::default(), |sum, refund| {
                sum.checked_add(refund.amounts()).expect("small")
            })
        };
        let own =
            |refund: &Refund| refund.shopper_amount.currency == order.placement.amount.currency;
        let done = |refund: &Refund| refund.state == RefundState::Executed;
        let paid = order.paid_in();

        let authorised = sum(&|refund| refund.reason.is_of_lines());
        prop_assert!(authorised.shopper <= paid.shopper && authorised.partner <= paid.partner);
        prop_assert_eq!(
            self.tale
                .owed
                .get(&self.order_id)
                .copied()
                .unwrap_or_default(),
            authorised
        );
        prop_assert_eq!(
            balance.refund_due,
            sum(&|refund| own(refund) && !done(refund)).shopper
        );
        prop_assert_eq!(
            balance.refunded,
            sum(&|refund| own(refund) && done(refund)).shopper
        );
        prop_assert_eq!(
            balance.paid_back,
            sum(&|refund| refund.reason.is_of_lines() && done(refund))
        );
        let open = self.refunds.iter().filter(|refund| !done(refund)).count();
        prop_assert_eq!(balance.refunds_open, open as i64);
        let state = match balance.paid_back {
            _ if open > 0 => PaymentState::RefundDue,
            back if back.is_zero() => PaymentState::Paid,
            back if back == paid => PaymentState::Refunded,
            _ => PaymentState::PartiallyRefunded,
        };
        prop_assert_eq!(order.payment_state, state);

        for (at, counted) in order.quantities.iter().enumerate() {
            prop_assert!(
                counted.refunded <= counted.gone_back() && counted.gone_back() <= counted.ordered
            );
            prop_assert!(counted.returned <= counted.delivered);
            let waiting = self
                .refunds
                .iter()
                .filter(|refund| !done(refund))
                .flat_map(|refund| &refund.lines);
            let own = OrderLineId::from_uuid(at as u128 + 1);
            let waiting: i64 = waiting
                .filter(|line| line.order_line_id == own)
                .map(|line| line.quantity)
                .sum();
            prop_assert_eq!(
                counted.refunded + waiting,
                counted.gone_back(),
                "each unit is paid back for once"
            );
        }
        prop_assert_eq!(order.returns_open, self.open.len() as i64);
        let returned = order.quantities.iter().any(|line| line.returned > 0);
        let aftersale = match (self.open.is_empty(), returned) {
            (false, _) => AftersaleState::ReturnOpen,
            (true, true) => AftersaleState::Returned,
            (true, false) => AftersaleState::None,
        };
        prop_assert_eq!(order.aftersale_state, aftersale);

        let stock = self
            .tale
            .book
            .stocks
            .values()
            .next()
            .expect("the allotment");
        let cancelled: i64 = order.quantities.iter().map(|line| line.cancelled).sum();
        prop_assert!(stock.now.is_conserved());
        prop_assert_eq!(stock.now.supplied, SUPPLIED + self.restocked);
        prop_assert_eq!(stock.now.sold, stock.loaded.sold - cancelled);
        Ok(())
    }

    /// What is still to come is cancelled, lost or sent back, and everything owed is executed.
    fn end(&mut self) {
        while let Some((return_id, at, units)) = self.open.pop() {
            let order_line_id = OrderLineId::from_uuid(at as u128 + 1);
            let lines = vec![ReturnedLine {
                order_line_id,
                received: units,
                restock: 0,
            }];
            self.tell_return(return_id, ReturnStage::Received, lines);
        }
        for at in 0..self.progress.len() {
            let ordered = self.order().quantities[at].ordered;
            let line = &mut self.progress[at];
            line.cancelled = ordered - line.shipped;
            line.undelivered = line.shipped - line.delivered;
            let left = line.delivered - self.in_returns[at];
            self.progress();
            let order_line_id = OrderLineId::from_uuid(at as u128 + 1);
            let return_id = ReturnId::from_uuid(self.id());
            if left > 0 {
                let lines = vec![ReturnedLine {
                    order_line_id,
                    received: left,
                    restock: 0,
                }];
                self.tell_return(return_id, ReturnStage::Received, lines);
            }
        }
        for at in 0..self.refunds.len() {
            if self.refunds[at].state == RefundState::Failed {
                self.refunds[at].reissue().expect("it failed");
            }
            if self.refunds[at].state == RefundState::Authorised {
                self.refunds[at].state = RefundState::Executed;
                let refund = self.refunds[at].clone();
                assert!(self.order_mut().pay_back(&refund));
            }
        }
    }
}

fn refund(
    refund_id: RefundId,
    order_id: OrderId,
    (reason, shopper_amount, partner_amount): (RefundReason, Money, Money),
    lines: Vec<RefundLine>,
    return_id: Option<ReturnId>,
) -> Refund {
    Refund {
        refund_id,
        order_id,
        partner_id: PartnerId::from_uuid(1),
        payment_id: PaymentId::from_uuid(1),
        payment_reference: "p".into(),
        reason,
        shopper_amount,
        partner_amount,
        state: RefundState::Authorised,
        lines,
        return_id,
        aftersale_id: None,
        cost_bearer: CostBearer::Retailer,
        partner_first: false,
        create_time: Micros(1),
        attempt: 1,
        failure: None,
        refund_reference: String::new(),
        report_time: None,
        finish_time: None,
        version: 1,
    }
}

proptest! {
    #[test]
    fn money_is_conserved_to_the_minor_unit(
        currency in currency(),
        lines in proptest::collection::vec((1i64..7, 0i64..100_000, 0i64..1_000), 1..4),
        acts in proptest::collection::vec((deed(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
    ) {
        let mut life = Life::new(currency, &lines);
        life.check()?;
        for act in acts {
            life.act(act);
            life.check()?;
        }
        life.end();
        life.check()?;
        // In the end everything went back to whom it came from, line by line and so as a whole.
        let (order, paid) = (life.order(), life.order().paid_in());
        prop_assert_eq!(order.balance.paid_back, paid);
        prop_assert!(order.quantities.iter().all(|line| line.refunded == line.ordered));
        let state = if paid.is_zero() { PaymentState::Paid } else { PaymentState::Refunded };
        prop_assert_eq!(order.payment_state, state);
    }
}
