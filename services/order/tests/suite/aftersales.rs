//! Orders that live a random life after they were paid: cancelled, lost, sent back, paid back, failed, issued again.
//! Whatever happens, money is conserved to the minor unit.

use contracts::common::v1::{self as common, RetailerRole};
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as pb;
use order::events::fulfillment::FulfillmentProgress;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;
use std::time::Duration;
use store::consumer::{Acting, Consume};
use store::{Operation, Tx};
use testkit::{TestDb, on_both_engines};

use crate::progress::{Line, entry};
use crate::refunds::{claims, failed, refunds, report, reported};
use crate::returns::news;
use crate::world::{World, listing_with, money_in, partner_key, setup, sign};

/// A page of fulfilment's feed in one unit, as the consumer applies it.
struct Page(Vec<fulfillment::FulfillmentFeedEntry>);

impl Operation for Page {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.page"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), kit::errors::Fault> {
        let entries: Vec<_> = self.0.iter().collect();
        let acting = Acting::new(Arc::new(kit::caller::Caller::system("test")));
        FulfillmentProgress::new(Duration::from_secs(60))
            .apply_all(tx, &entries, &acting)
            .await
    }
}

/// One order's life.
struct Life<'a> {
    world: &'a World,
    placed: pb::PlaceOrderResponse,
    come: Vec<Line>,
    /// Returns under way: which, of which line, how many units.
    open: Vec<(u128, usize, i64)>,
    in_returns: Vec<i64>,
    /// News that fulfilment has published and nobody has read yet.
    unread: Vec<fulfillment::FulfillmentFeedEntry>,
    next: u128,
}

impl<'a> Life<'a> {
    fn new(world: &'a World, placed: pb::PlaceOrderResponse, number: u128) -> Self {
        let lines = placed.lines.len();
        Life {
            world,
            placed,
            come: vec![Line::default(); lines],
            open: Vec::new(),
            in_returns: vec![0; lines],
            unread: Vec::new(),
            next: number * 10_000,
        }
    }

    fn ordered(&self, at: usize) -> i64 {
        self.placed.lines[at].quantities.expect("counters").ordered
    }

    fn tell(&mut self) {
        self.unread.push(entry(&self.placed, &self.come));
    }

    fn tell_return(
        &mut self,
        number: u128,
        state: fulfillment::ReturnState,
        at: usize,
        units: i64,
    ) {
        let units = match state {
            fulfillment::ReturnState::Received => (at, units, units / 2),
            _ => (at, 0, 0),
        };
        self.unread
            .push(news(&self.placed, number, state, &[units]));
    }

    async fn read(&mut self) {
        let page = Page(std::mem::take(&mut self.unread));
        self.world.t.execute(page).await.expect("applied");
    }

    /// Units move on; nothing when this cannot be done to this line.
    fn move_units(&mut self, deed: u8, at: usize, how_many: Index) {
        let (ordered, line) = (self.ordered(at), self.come[at]);
        let left = match deed {
            0 | 1 => ordered - line.cancelled - line.shipped,
            2 | 3 => line.shipped - line.delivered - line.undelivered,
            _ => line.delivered - self.in_returns[at],
        };
        if left == 0 {
            return;
        }
        let units = how_many.index(left as usize) as i64 + 1;
        match deed {
            0 => self.come[at].cancelled += units,
            1 => self.come[at].shipped += units,
            2 => self.come[at].delivered += units,
            3 => self.come[at].undelivered += units,
            _ => {
                self.next += 1;
                self.in_returns[at] += units;
                self.open.push((self.next, at, units));
                return self.tell_return(self.next, fulfillment::ReturnState::Requested, at, 0);
            }
        }
        self.tell();
    }

    fn end_return(&mut self, received: bool, which: Index, how_many: Index) {
        if self.open.is_empty() {
            return;
        }
        let (number, at, units) = self.open.swap_remove(which.index(self.open.len()));
        let (state, came) = match received {
            true => (
                fulfillment::ReturnState::Received,
                how_many.index(units as usize) as i64 + 1,
            ),
            false => (fulfillment::ReturnState::Cancelled, 0),
        };
        self.in_returns[at] -= units - came;
        self.tell_return(number, state, at, came);
    }

    /// The partner reports a refund, or finance issues one again.
    async fn settle(&mut self, deed: u8, which: Index) {
        self.next += 1;
        let found = refunds(self.world, &self.placed.order_id).await;
        let wanted = match deed {
            0 | 1 => pb::RefundState::Authorised,
            _ => pb::RefundState::Failed,
        };
        let found: Vec<_> = found
            .into_iter()
            .filter(|refund| refund.state() == wanted)
            .collect();
        if found.is_empty() {
            return;
        }
        let refund = &found[which.index(found.len())];
        let (key, reference) = (format!("k-{}", self.next), format!("ref-{}", self.next));
        match deed {
            0 => {
                let said = claims(self.world, refund, &reference);
                let executed = reported(self.world, report(&key, refund, &said)).await;
                assert_eq!(executed.state(), pb::RefundState::Executed);
            }
            1 => {
                let said = failed(self.world, refund, &reference);
                reported(self.world, report(&key, refund, &said)).await;
            }
            _ => {
                let request = pb::ReissueRefundRequest {
                    request_id: key,
                    refund_id: refund.refund_id.clone(),
                    etag: refund.etag.clone(),
                };
                let mut finance = self.world.retailer(RetailerRole::Finance);
                finance
                    .orders
                    .reissue_refund(request)
                    .await
                    .expect("issued again");
            }
        }
    }

    async fn check(&self) {
        let order = self.world.get(&self.placed.order_id).await;
        let found = refunds(self.world, &self.placed.order_id).await;
        let units =
            |amount: &Option<common::Money>| amount.as_ref().expect("an amount").minor_units;
        let sum = |executed: bool, of: fn(&pb::Refund) -> &Option<common::Money>| -> i64 {
            let found = found
                .iter()
                .filter(|refund| (refund.state() == pb::RefundState::Executed) == executed);
            found.map(|refund| units(of(refund))).sum()
        };
        let amount = self.placed.amount.as_ref().expect("an amount");
        let shopper = (
            sum(false, |refund| &refund.shopper_amount),
            sum(true, |refund| &refund.shopper_amount),
        );
        let partner = (
            sum(false, |refund| &refund.partner_amount),
            sum(true, |refund| &refund.partner_amount),
        );
        assert_eq!((units(&order.refund_due), units(&order.refunded)), shopper);
        assert!(shopper.0 + shopper.1 <= units(&amount.payable));
        assert!(partner.0 + partner.1 <= units(&amount.partner_discount));
        for (at, line) in order.lines.iter().enumerate() {
            let counted = line.quantities.expect("counters");
            assert_eq!(counted.cancelled, self.come[at].cancelled);
            assert!(counted.returned <= counted.delivered);
            assert!(counted.refunded <= counted.cancelled + counted.undelivered + counted.returned);
        }
        let open = found
            .iter()
            .any(|refund| refund.state() != pb::RefundState::Executed);
        let all = (units(&amount.payable), units(&amount.partner_discount));
        let state = match (shopper.1, partner.1) {
            _ if open => pb::PaymentState::RefundDue,
            (0, 0) => pb::PaymentState::Paid,
            back if back == all => pb::PaymentState::Refunded,
            _ => pb::PaymentState::PartiallyRefunded,
        };
        assert_eq!(order.payment_state(), state);
    }

    /// All that is left is cancelled, lost or sent back, and paid back in the end.
    async fn end(&mut self) {
        while let Some((number, at, units)) = self.open.pop() {
            self.tell_return(number, fulfillment::ReturnState::Received, at, units);
        }
        for at in 0..self.come.len() {
            let ordered = self.ordered(at);
            let line = &mut self.come[at];
            line.cancelled = ordered - line.shipped;
            line.undelivered = line.shipped - line.delivered;
            let left = line.delivered - self.in_returns[at];
            self.tell();
            if left > 0 {
                self.next += 1;
                self.tell_return(self.next, fulfillment::ReturnState::Received, at, left);
            }
        }
        self.read().await;
        let mut runner = TestRunner::deterministic();
        let first = any::<Index>()
            .new_tree(&mut runner)
            .expect("an index")
            .current();
        for deed in [2, 0] {
            let state = if deed == 2 {
                pb::RefundState::Failed
            } else {
                pb::RefundState::Authorised
            };
            while refunds(self.world, &self.placed.order_id)
                .await
                .iter()
                .any(|refund| refund.state() == state)
            {
                self.settle(deed, first).await;
            }
        }
        let order = self.world.get(&self.placed.order_id).await;
        let amount = self.placed.amount.clone().expect("an amount");
        assert_eq!(
            (order.payment_state(), order.refunded.clone()),
            (pb::PaymentState::Refunded, amount.payable)
        );
        assert!(order.lines.iter().all(|line| {
            let counted = line.quantities.expect("counters");
            counted.refunded == counted.ordered
        }));
    }
}

/// An order of two lines at prices that divide badly, paid, in a currency.
async fn paid(
    world: &World,
    currency: &str,
    number: u128,
    numbers: (i64, i64, i64),
) -> pb::PlaceOrderResponse {
    let (quantity, price, discount) = numbers;
    for at in 1..=2u128 {
        let listing = listing_with(at, |terms| {
            let amount = money_in(currency, price + at as i64);
            terms.price = Some(common::Price {
                amount,
                per_quantity: 3,
            });
            terms.shipping = money_in(currency, 37);
            terms.tax_included = number.is_multiple_of(2);
        });
        world.enter_listing(listing).await;
    }
    let mut request = world.order(&format!("o-{number}"), &[(1, quantity), (2, 3)]);
    request.expected_payable = None;
    request.lines[1].partner_discount = money_in(currency, discount);
    let quote = pb::QuoteOrderRequest {
        lines: request.lines.clone(),
        destination: request.destination.clone(),
        shopper_ref: String::new(),
    };
    let mut partner = world.partner(1);
    let quoted = partner
        .orders
        .quote_order(quote)
        .await
        .expect("a quote")
        .into_inner();
    request.quote_token = quoted.quote_token;
    let placed = partner
        .orders
        .place_order(request)
        .await
        .expect("placed")
        .into_inner();
    let payable = placed
        .amount
        .clone()
        .expect("an amount")
        .payable
        .expect("payable");
    let mut said = world.claims(&placed.order_id, "p", payable.minor_units);
    said["currency_code"] = currency.into();
    let statement = sign(
        &partner_key(1),
        crate::world::KID,
        crate::world::STATEMENT,
        &said,
    );
    let answer = world
        .pay(&crate::world::confirm(&placed.order_id, "p", statement))
        .await;
    assert_eq!(answer.outcome(), pb::PaymentOutcome::Paid);
    placed
}

on_both_engines! {
    setup: setup();

    async fn any_life_conserves_the_money(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10_000).await;
        let mut runner = TestRunner::deterministic();
        // No minor unit, two digits of it, three.
        for (number, currency) in ["JPY", "EUR", "KWD", "EUR"].into_iter().enumerate() {
            let numbers = (1i64..7, 100i64..5_000, 0i64..90).new_tree(&mut runner).expect("numbers").current();
            let placed = paid(&world, currency, number as u128, numbers).await;
            let mut life = Life::new(&world, placed, number as u128 + 1);
            for _ in 0..40 {
                let act = (0u8..14, any::<Index>(), any::<Index>(), 0u8..3);
                let (deed, which, how_many, reads) = act.new_tree(&mut runner).expect("an act").current();
                let at = which.index(life.come.len());
                match deed {
                    0..=5 => life.move_units(deed.min(4), at, how_many),
                    6 => life.move_units(1, at, how_many),
                    7..=8 => life.end_return(deed == 7, which, how_many),
                    _ => {
                        life.read().await;
                        life.settle((deed - 9) % 3, which).await;
                    }
                }
                // Several pieces of news are read as one page.
                if reads == 0 {
                    life.read().await;
                    life.check().await;
                }
            }
            life.end().await;
            life.check().await;
        }
        let wrong = world.t.read(Sums).await.expect("an answer");
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

/// What the tables say of each other; the rows where they disagree.
struct Sums;

impl Operation for Sums {
    type Output = Vec<(String,)>;

    fn name(&self) -> &'static str {
        "test.sums"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, kit::errors::Fault> {
        let mut wrong = store::sql!(
            tx,
            all(String,),
            "SELECT p.payment_id FROM payment AS p WHERE p.refunded <> (SELECT CAST(SUM(shopper_amount) AS BIGINT) \
             FROM refund AS r WHERE r.payment_id = p.payment_id) OR p.partner_refunded <> (SELECT \
             CAST(SUM(partner_amount) AS BIGINT) FROM refund AS r WHERE r.payment_id = p.payment_id) \
             OR p.paid_back <> p.amount OR p.partner_paid_back <> p.partner_amount"
        )?;
        wrong.extend(store::sql!(
            tx,
            all(String,),
            "SELECT a.allotment_id FROM allotment AS a WHERE supplied <> (SELECT CAST(SUM(quantity) AS BIGINT) \
             FROM allotment_movement AS m WHERE m.allotment_id = a.allotment_id)"
        )?);
        Ok(wrong)
    }
}
