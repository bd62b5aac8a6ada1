//! Shoppers and what their platform does for them: quote, order, charge, confirm, address, cancel.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::order::v1 as pb;
use prost_types::Duration as ProtoDuration;
use tonic::Status;

use super::client::{reason, retrying, told};
use super::goods::PARTNERS;
use super::plan::{ShopperPlan, Story};
use super::platform::{Books, Charge};
use super::screen::{Tallies, Tally, count};
use super::warehouse::lock;
use super::world::{PartnerWorld, World, ask};

/// How long an abandoned order holds its units.
const SHORT_HOLD_S: i64 = 2;

/// What went otherwise than told; each is a failed check.
#[derive(Default)]
pub struct Surprises(Mutex<Vec<String>>);

impl Surprises {
    pub fn note(&self, text: impl Into<String>) {
        let mut list = lock(&self.0);
        // The first ones tell the story; a million of the same would not tell more.
        if list.len() < 50 {
            list.push(text.into());
        }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// An order on its way through a story.
#[derive(Clone)]
pub struct Placed {
    pub plan: ShopperPlan,
    pub order_id: String,
    pub payable: i64,
    pub line_ids: Vec<String>,
}

/// A partner's index, and product indices with quantities.
pub type Basket = (usize, Vec<(usize, i64)>);

/// A room's shop as the platforms run it.
pub struct Shop {
    pub world: Arc<World>,
    pub room: usize,
    pub is_drop: bool,
    pub tallies: Arc<Tallies>,
    pub books: Arc<Vec<Books>>,
    pub ours: Arc<Mutex<HashSet<String>>>,
    pub lost: Arc<Mutex<HashSet<String>>>,
    pub surprises: Arc<Surprises>,
    /// What platforms show for a basket, so that they do not ask for every shopper.
    pub prices: Mutex<BTreeMap<Basket, i64>>,
}

/// How an order is to be placed.
#[derive(Default, Clone)]
pub struct Asked {
    pub expected: Option<i64>,
    pub quote: Option<String>,
    pub partner_discount: i64,
    pub hold_s: Option<i64>,
}

impl Shop {
    pub fn partner(&self, plan: &ShopperPlan) -> &PartnerWorld {
        &self.world.partners[plan.partner]
    }

    fn tally(&self, plan: &ShopperPlan) -> &Tally {
        &self.tallies.rooms[self.room].partners[plan.partner]
    }

    fn money(plan: &ShopperPlan, minor_units: i64) -> common::Money {
        common::Money {
            currency_code: PARTNERS[plan.partner].currency.into(),
            minor_units,
        }
    }

    fn listing<'a>(&'a self, plan: &ShopperPlan, product: usize) -> &'a catalog::Listing {
        &self.partner(plan).listings[product]
    }

    fn lines(&self, plan: &ShopperPlan, partner_discount: i64) -> Vec<pb::LineRequest> {
        plan.lines
            .iter()
            .enumerate()
            .map(|(n, (product, quantity))| pb::LineRequest {
                listing_id: self.listing(plan, *product).listing_id.clone(),
                quantity: *quantity,
                partner_discount: (n == 0 && partner_discount > 0)
                    .then(|| Self::money(plan, partner_discount)),
                touchpoints: vec![common::Touchpoint {
                    outlet_id: self.partner(plan).outlet_id.clone(),
                    room_id: self.world.rooms[self.room].room_id.clone(),
                    surface: "live_card".into(),
                    media_time_ms: 60_000,
                    touch_time: Some(super::now_proto()),
                    ..Default::default()
                }],
            })
            .collect()
    }

    fn destination(plan: &ShopperPlan) -> pb::Destination {
        pb::Destination {
            region_code: PARTNERS[plan.partner].region.into(),
            subdivision_code: String::new(),
        }
    }

    /// Asks for a quote.
    pub async fn quote(
        &self,
        plan: &ShopperPlan,
        partner_discount: i64,
    ) -> anyhow::Result<pb::QuoteOrderResponse> {
        let request = pb::QuoteOrderRequest {
            lines: self.lines(plan, partner_discount),
            destination: Some(Self::destination(plan)),
            shopper_ref: String::new(),
        };
        ask!(
            "could not get a quote",
            self.partner(plan).caller,
            orders.quote_order(request)
        )
    }

    /// What the platform shows for the basket.
    async fn shown(&self, plan: &ShopperPlan) -> anyhow::Result<i64> {
        let key = (plan.partner, plan.lines.clone());
        if let Some(price) = lock(&self.prices).get(&key) {
            return Ok(*price);
        }
        let quote = self.quote(plan, 0).await?;
        let payable = payable(quote.amount.as_ref());
        lock(&self.prices).insert(key, payable);
        Ok(payable)
    }

    /// Places the order; the suite's refusal is the caller's to judge.
    pub async fn place(
        &self,
        plan: &ShopperPlan,
        asked: &Asked,
    ) -> anyhow::Result<Result<Placed, Status>> {
        let expected_payable = match (&asked.quote, asked.expected) {
            (Some(_), _) => None,
            (None, Some(expected)) => Some(Self::money(plan, expected)),
            (None, None) => Some(Self::money(plan, self.shown(plan).await?)),
        };
        let request = pb::PlaceOrderRequest {
            partner_order_id: plan.partner_order_id.clone(),
            shopper_ref: plan.shopper_ref.clone(),
            lines: self.lines(plan, asked.partner_discount),
            destination: Some(Self::destination(plan)),
            quote_token: asked.quote.clone().unwrap_or_default(),
            expected_payable,
            hold_duration: asked
                .hold_s
                .map(|seconds| ProtoDuration { seconds, nanos: 0 }),
            ..Default::default()
        };
        let caller = &self.partner(plan).caller;
        let answer = retrying(|| {
            let (request, mut client) = (request.clone(), caller.orders());
            async move { client.place_order(request).await }
        })
        .await;
        Ok(match answer {
            Ok(answer) => {
                count(&self.tally(plan).placed);
                lock(&self.ours).insert(answer.order_id.clone());
                Ok(Placed {
                    plan: plan.clone(),
                    order_id: answer.order_id,
                    payable: payable(answer.amount.as_ref()),
                    line_ids: answer.lines.into_iter().map(|l| l.order_line_id).collect(),
                })
            }
            Err(status) => {
                count(&self.tally(plan).refused);
                Err(status)
            }
        })
    }

    /// Charges the shopper; `nth` tells several charges of one order apart.
    pub(super) fn charge(&self, placed: &Placed, minor_units: i64, nth: u32) -> Charge {
        let plan = &placed.plan;
        let charge = Charge {
            order_id: placed.order_id.clone(),
            payment_reference: format!("pay-{}-{nth}", plan.partner_order_id),
            minor_units,
            currency_code: PARTNERS[plan.partner].currency.into(),
            paid_at: super::now_proto().seconds,
        };
        self.books[plan.partner].note(&charge);
        charge
    }

    /// Charges the shopper and reports it.
    pub async fn pay(
        &self,
        placed: &Placed,
        minor_units: i64,
        nth: u32,
    ) -> anyhow::Result<pb::ConfirmPaymentResponse> {
        self.report(placed, &self.charge(placed, minor_units, nth))
            .await
    }

    /// Reports a charge with a signed statement.
    pub(super) async fn report(
        &self,
        placed: &Placed,
        charge: &Charge,
    ) -> anyhow::Result<pb::ConfirmPaymentResponse> {
        let plan = &placed.plan;
        let request = pb::ConfirmPaymentRequest {
            order_id: charge.order_id.clone(),
            payment_reference: charge.payment_reference.clone(),
            statement: self.partner(plan).key.statement(charge),
        };
        let answer = ask!(
            "a payment was not recorded",
            self.partner(plan).caller,
            orders.confirm_payment(request)
        )?;
        match answer.outcome() {
            pb::PaymentOutcome::Paid => count(&self.tally(plan).paid),
            pb::PaymentOutcome::RefundDue => count(&self.tally(plan).refunds),
            _ => {}
        }
        Ok(answer)
    }

    /// Gives the address: half of the shoppers in the clear, half as the platform's token.
    pub async fn give_address(&self, placed: &Placed) -> anyhow::Result<()> {
        let plan = &placed.plan;
        let region_code: String = PARTNERS[plan.partner].region.into();
        let form = if plan.partner.is_multiple_of(2) {
            pb::contact::Form::Plain(pb::PlainContact {
                recipient_name: "Sam Example".into(),
                phone_number: "+33612345678".into(),
                address_lines: vec!["1 Example Street".into()],
                locality: "Exampleton".into(),
                postal_code: "75001".into(),
                region_code,
            })
        } else {
            pb::contact::Form::Token(pb::TokenContact {
                token: format!("kawa-address-{}", plan.shopper_ref),
                masked_text: "S*** E***, Kyoto".into(),
                region_code,
            })
        };
        let request = pb::SetContactRequest {
            request_id: format!("contact-{}", plan.partner_order_id),
            order_id: placed.order_id.clone(),
            contact: Some(pb::Contact { form: Some(form) }),
        };
        ask!(
            "an address was not taken",
            self.partner(plan).caller,
            orders.set_contact(request)
        )?;
        Ok(())
    }

    /// Cancels, the whole order when `lines` is empty.
    pub async fn cancel(
        &self,
        placed: &Placed,
        lines: Vec<pb::LineQuantity>,
        nth: u32,
    ) -> anyhow::Result<pb::CancelOutcome> {
        let request = pb::CancelOrderRequest {
            request_id: format!("cancel-{}-{nth}", placed.plan.partner_order_id),
            order_id: placed.order_id.clone(),
            lines,
            reason: pb::CancelReason::ShopperRequest.into(),
        };
        Ok(ask!(
            "a cancellation failed",
            self.partner(&placed.plan).caller,
            orders.cancel_order(request)
        )?
        .outcome())
    }

    pub fn expect(&self, holds: bool, story: &str, got: impl std::fmt::Debug) {
        if !holds {
            self.surprises.note(format!("{story}: got {got:?}"));
        }
    }

    /// Pays the right amount, expects PAID and gives an address.
    pub async fn pay_and_give_address(&self, placed: &Placed, story: &str) -> anyhow::Result<()> {
        let answer = self.pay(placed, placed.payable, 1).await?;
        self.expect(
            answer.outcome() == pb::PaymentOutcome::Paid,
            story,
            answer.outcome(),
        );
        self.give_address(placed).await
    }

    /// Plays a shopper's story as far as it goes in the first wave.
    pub async fn first_act(&self, plan: &ShopperPlan) -> anyhow::Result<Option<Placed>> {
        let mut asked = Asked::default();
        match plan.story {
            Story::QuoteAndBuy => {
                asked.partner_discount = 100;
                let quote = self.quote(plan, asked.partner_discount).await?;
                asked.quote = Some(quote.quote_token);
            }
            Story::Abandon | Story::PayLate => asked.hold_s = Some(SHORT_HOLD_S),
            _ => {}
        }
        let placed = match self.place(plan, &asked).await? {
            Ok(placed) => placed,
            Err(status) if plan.story == Story::ComeTooLate => {
                self.expect(
                    reason(&status) == "SOLD_OUT",
                    "a latecomer finds nothing left",
                    reason(&status),
                );
                return Ok(None);
            }
            Err(status) => {
                self.surprises
                    .note(told(&format!("{:?} could not place", plan.story), &status).to_string());
                return Ok(None);
            }
        };
        self.act_on(&placed).await?;
        Ok(Some(placed))
    }

    async fn act_on(&self, placed: &Placed) -> anyhow::Result<()> {
        match placed.plan.story {
            Story::Buy
            | Story::QuoteAndBuy
            | Story::CancelTooLate
            | Story::SendBack
            | Story::SendBackAndRefundFails => {
                self.pay_and_give_address(placed, "a payment in time").await
            }
            Story::ParcelLost => {
                lock(&self.lost).insert(placed.order_id.clone());
                self.pay_and_give_address(placed, "a payment in time").await
            }
            Story::Abandon | Story::PayLate => Ok(()),
            Story::ComeTooLate => {
                self.expect(false, "a latecomer finds nothing left", "an order");
                Ok(())
            }
            Story::CancelBeforePaying => {
                let outcome = self.cancel(placed, Vec::new(), 1).await?;
                self.expect(
                    outcome == pb::CancelOutcome::Cancelled,
                    "a cancellation before payment",
                    outcome,
                );
                Ok(())
            }
            Story::PayTwice => self.pay_twice(placed).await,
            Story::ReportTwice => self.report_twice(placed).await,
            Story::PayWrongAmount => self.pay_wrong_amount(placed).await,
            Story::CancelAfterPaying | Story::CancelOneOfTwo => {
                let answer = self.pay(placed, placed.payable, 1).await?;
                self.expect(
                    answer.outcome() == pb::PaymentOutcome::Paid,
                    "a payment in time",
                    answer.outcome(),
                );
                Ok(())
            }
            Story::AskForMore => self.ask_for_more(placed).await,
        }
    }
}

/// The payable minor units of an order's amount.
pub fn payable(amount: Option<&pb::OrderAmount>) -> i64 {
    amount
        .and_then(|a| a.payable.as_ref())
        .map_or(0, |m| m.minor_units)
}
