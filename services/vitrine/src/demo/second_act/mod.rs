//! The second act: what a day is judged by when it is over. A dispute is played to its end, an offer is made and taken, a
//! platform gives out of goodwill, goods are exchanged, a refund fails and is issued again, a bank takes money back, and a
//! shopper gets more than the price. Orders are the day's own, picked by the seed; every call is a real one.

mod dispute;
mod matter;
mod money;

use std::collections::BTreeSet;
use std::sync::Mutex;

use contracts::common::v1 as common;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::after_sale::AfterSale;
use super::client::Caller;
use super::goods::{DROP_PRODUCT, PARTNERS, PRODUCTS};
use super::plan::Story;
use super::report::{Report, Scene, amount};
use super::shopper::Placed;
use super::tokens::Tokens;
use super::warehouse::lock;
use super::world::{PartnerWorld, ask};
use crate::token::Role;

/// The subject of the token of the agent who works on cases.
const AGENT: &str = "demo-care";
/// The subject of the arbiter's token.
const ARBITER: &str = "demo-arbiter";
/// Orders that the act needs: one for each scene.
const ORDERS: usize = 8;

/// People of the retailer who only come after the sale.
pub struct Cast {
    arbiter: Caller,
    inspector: Caller,
    /// Approves what finance proposes.
    controller: Caller,
}

impl Cast {
    /// Everybody with a token of their own.
    pub fn new(tokens: &Tokens) -> anyhow::Result<Cast> {
        Ok(Cast {
            arbiter: tokens.retailer(ARBITER, &[Role::Care])?,
            inspector: tokens.retailer("demo-inspector", &[Role::Inspector])?,
            controller: tokens.retailer("demo-controller", &[Role::Finance])?,
        })
    }
}

/// Money that left a platform otherwise than by a refund, as its own books have it.
pub struct Taken {
    pub partner: usize,
    pub order_id: String,
    /// Empty for the order as a whole.
    pub order_line_id: String,
    pub minor_units: i64,
}

/// What the act came to.
#[derive(Default)]
pub struct Done {
    pub scenes: Vec<Scene>,
    /// Orders it was about: what they keep does not follow from their units alone.
    pub orders: BTreeSet<String>,
    /// What banks took.
    pub charged_back: Vec<Taken>,
    /// What platforms paid to shoppers as compensation.
    pub compensated: Vec<Taken>,
    pub refunds: u64,
    pub failed_first: u64,
    pub disputes: u64,
    pub offers: u64,
    pub exchanges: u64,
    pub goodwill: u64,
    pub adjustments: u64,
}

impl Done {
    /// The report's figures of the act.
    pub fn count(&self, report: &mut Report) {
        report.refunds_executed += self.refunds;
        report.refunds_failed_first += self.failed_first;
        report.disputes_decided = self.disputes;
        report.offers_taken = self.offers;
        report.exchanges_completed = self.exchanges;
        report.goodwill_refunds = self.goodwill;
        report.ledger_adjustments = self.adjustments;
        report.chargebacks_lost = self.charged_back.len() as u64;
        report.compensations_paid = self.compensated.len() as u64;
        let sums = [
            (&self.charged_back, &mut report.charged_back_minor_units),
            (&self.compensated, &mut report.compensated_minor_units),
        ];
        for (taken, sum) in sums {
            for taken in taken {
                let currency = PARTNERS[taken.partner].currency.to_owned();
                *sum.entry(currency).or_default() += taken.minor_units;
            }
        }
    }

    /// Everything that left platforms otherwise than by refunds.
    pub fn taken(&self) -> impl Iterator<Item = &Taken> {
        self.charged_back.iter().chain(&self.compensated)
    }
}

/// An order of the day that something comes of.
pub(super) struct Bought {
    partner: usize,
    order_id: String,
    line_id: String,
    product: usize,
    quantity: i64,
    payable: i64,
    shopper_ref: String,
    payment_reference: String,
}

impl Bought {
    fn currency(&self) -> &'static str {
        PARTNERS[self.partner].currency
    }

    fn money(&self, minor_units: i64) -> common::Money {
        common::Money {
            currency_code: self.currency().into(),
            minor_units,
        }
    }

    /// So many hundredths of what was paid, at least one minor unit.
    fn part(&self, percent: i64) -> i64 {
        (self.payable * percent / 100).max(1)
    }

    fn says(&self, minor_units: i64) -> String {
        format!(
            "{} {}",
            amount(minor_units, self.currency()),
            self.currency()
        )
    }

    fn key(&self, what: &str) -> String {
        // Order ids are unique for ever, so their end is enough to keep runs apart.
        let end = self.order_id.len().saturating_sub(20);
        format!("act-{what}-{}", &self.order_id[end..])
    }
}

/// What is told of one scene while it is played.
pub(super) struct Telling {
    scene: Scene,
}

impl Telling {
    fn of(title: &str, bought: &Bought) -> Telling {
        Telling {
            scene: Scene {
                title: title.into(),
                about: format!(
                    "{}: {}, {} paid",
                    PARTNERS[bought.partner].name,
                    PRODUCTS[bought.product].title,
                    bought.says(bought.payable)
                ),
                lines: Vec::new(),
            },
        }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.scene.lines.push(line.into());
    }
}

/// Who plays it.
pub struct SecondAct<'a> {
    /// The platforms' refund desks, which work as they did all day.
    pub desk: AfterSale<'a>,
    pub cast: Cast,
    pub done: Mutex<Done>,
}

impl SecondAct<'_> {
    /// Plays every scene at the same time; they are told in their order.
    pub async fn play(self, placed: &[Placed], seed: u64) -> anyhow::Result<Done> {
        let bought = pick(placed, seed)?;
        lock(&self.done)
            .orders
            .extend(bought.iter().map(|b| b.order_id.clone()));
        let scenes = futures::try_join!(
            self.dispute(&bought[0]),
            self.counter_offer(&bought[1]),
            self.goodwill(&bought[2]),
            self.exchange(&bought[3]),
            self.refund_fails_first(&bought[4]),
            self.charged_back(&bought[5]),
            self.counterfeit(&bought[6]),
            self.left_open(&bought[7]),
        )?;
        let mut done = self.done.into_inner().unwrap_or_default();
        let (a, b, c, d, e, f, g, h) = scenes;
        done.scenes = [a, b, c, d, e, f, g, h]
            .into_iter()
            .map(|telling| telling.scene)
            .collect();
        Ok(done)
    }

    fn platform(&self, bought: &Bought) -> &PartnerWorld {
        &self.desk.world.partners[bought.partner]
    }

    /// Something that must be so for the scene to be what it is told as.
    fn expect(&self, holds: bool, story: &str, got: impl std::fmt::Debug) {
        if !holds {
            self.desk.surprises.note(format!("{story}: got {got:?}"));
        }
    }

    /// What care wants to give back goes to the platform: at once, or when a second person has approved it.
    async fn authorise(
        &self,
        told: &mut Telling,
        bought: &Bought,
        key: &str,
        wanted: order::AuthoriseRefundRequest,
    ) -> anyhow::Result<order::Refund> {
        let request = order::AuthoriseRefundRequest {
            request_id: bought.key(key),
            order_id: bought.order_id.clone(),
            ..wanted
        };
        let care = &self.desk.world.care;
        let answer = ask!(
            "a refund could not be authorised",
            care,
            refunds.authorise_refund(request)
        )?;
        if let Some(refund) = answer.refund {
            return Ok(refund);
        }
        let proposal = answer.proposal.unwrap_or_default();
        told.say("care may not give so much alone: finance approves it");
        let request = order::DecideRefundProposalRequest {
            request_id: bought.key(&format!("{key}-agree")),
            refund_proposal_id: proposal.refund_proposal_id,
            approve: true,
            note: String::new(),
        };
        let agreed = ask!(
            "a proposal could not be approved",
            self.desk.world.finance,
            refunds.decide_refund_proposal(request)
        )?;
        Ok(agreed.refund.unwrap_or_default())
    }

    /// The platform pays it back and says so with its signature.
    async fn pay_back(
        &self,
        told: &mut Telling,
        bought: &Bought,
        refund: &order::Refund,
    ) -> anyhow::Result<()> {
        self.desk.execute(bought.partner, refund).await?;
        lock(&self.done).refunds += 1;
        let to_shopper = refund.shopper_amount.as_ref().map_or(0, |m| m.minor_units);
        told.say(format!(
            "{} pays {} back and signs it: EXECUTED",
            PARTNERS[bought.partner].name,
            bought.says(to_shopper),
        ));
        Ok(())
    }
}

/// A call that must be refused for this reason.
macro_rules! refused {
    ($wanted:expr, $caller:expr, $client:ident . $method:ident ( $request:expr )) => {{
        let request = $request;
        let answer = $crate::demo::client::retrying(|| {
            let (request, mut client) = (request.clone(), $caller.$client());
            async move { client.$method(request).await }
        })
        .await;
        $crate::demo::world::expect_refusal($wanted, answer.map(tonic::Response::new))
    }};
}
use refused;

/// Whose turn it is, for people.
pub(super) fn turn(next: Option<&pb::CaseNextAction>) -> String {
    next.map_or_else(
        || "nobody's turn".to_owned(),
        |next| {
            format!(
                "next: {} {}",
                word(next.party().as_str_name(), "CASE_PARTY_"),
                word(next.action().as_str_name(), "CASE_ACTION_KIND_")
            )
        },
    )
}

/// The same of a matter.
pub(super) fn matters_turn(next: Option<&pb::NextAction>) -> String {
    next.map_or_else(
        || "nobody's turn".to_owned(),
        |next| {
            format!(
                "next: {} {}",
                word(next.party().as_str_name(), "AFTERSALE_PARTY_"),
                word(next.action().as_str_name(), "AFTERSALE_ACTION_")
            )
        },
    )
}

/// A contract's word without its prefix.
pub(super) fn word<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// One order for each scene: bought without ado, one line of whole pieces. Platforms take turns, so that every scene is
/// played in another currency with another seed.
fn pick(placed: &[Placed], seed: u64) -> anyhow::Result<Vec<Bought>> {
    let mut fit: Vec<&Placed> = placed
        .iter()
        .filter(|p| {
            let lines = &p.plan.lines;
            p.plan.story == Story::Buy
                && p.line_ids.len() == 1
                && lines.len() == 1
                && lines[0].0 != DROP_PRODUCT
                && !PRODUCTS[lines[0].0].by_weight
        })
        .collect();
    fit.sort_by(|a, b| a.plan.partner_order_id.cmp(&b.plan.partner_order_id));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut picked = Vec::with_capacity(ORDERS);
    for scene in 0..ORDERS {
        let partner = (scene + usize::try_from(seed % 3).unwrap_or(0)) % PARTNERS.len();
        let own: Vec<usize> = (0..fit.len())
            .filter(|at| fit[*at].plan.partner == partner)
            .collect();
        let at = match (own.is_empty(), fit.is_empty()) {
            (false, _) => own[rng.random_range(0..own.len())],
            (true, false) => rng.random_range(0..fit.len()),
            (true, true) => anyhow::bail!("the day sold too little for a second act"),
        };
        let order = fit.remove(at);
        let (product, quantity) = order.plan.lines[0];
        picked.push(Bought {
            partner: order.plan.partner,
            order_id: order.order_id.clone(),
            line_id: order.line_ids[0].clone(),
            product,
            quantity,
            payable: order.payable,
            shopper_ref: order.plan.shopper_ref.clone(),
            payment_reference: format!("pay-{}-1", order.plan.partner_order_id),
        });
    }
    Ok(picked)
}
