//! Matters after the sale: what becomes of goods and money when a shopper is not content, or a parcel did not arrive.
//!
//! ```text
//!             ┌────────────── declined ───────────────┐
//!             ▼                                       │
//! asked ▶ REQUESTED ── offer ─▶ COUNTER_OFFERED ──────┘── lapses ─▶ EXPIRED
//!             │ granted, or time      │ accepted
//!             ├───────────────────────┘
//!             ├─ above the limit ─▶ AWAITING_APPROVAL ── no, or time ─▶ REJECTED
//!             ▼                          │ yes
//!   goods come back? ── no ──────────────┼──────────────▶ pays back? ── yes ─▶ REFUNDING ── executed ─▶ RESOLVED
//!             │ yes                                         │ no               (time: the partner is reminded)
//!             ▼                                             ▼
//!      AWAITING_GOODS ─ came ─▶ GOODS_RECEIVED ─ inspected ─▶ AWAITING_RESHIPMENT ── sent ─▶ RESOLVED
//!             └─ time ─▶ EXPIRED     (time: accepted as is)     └─ time ─▶ paid back instead
//! ```
//!
//! A carrier's word opens one too: a parcel that was refused waits for its goods, one that was brought back for its
//! inspection, one that was lost or destroyed is RESOLVED at once, because the order service pays back what was not
//! delivered by itself.
//!
//! Goods that come back are a return ([`GoodsReturn`], the *leg*): the counters, windows and checks of returns are
//! theirs. There is one machine for goods on their way back, with two doors: `RequestReturn` makes a return that pays
//! itself back, a matter makes one that its settlement pays back.
//!
//! Invariants; the explorer (`explore.rs`) walks every order of events and checks each in every state:
//!
//! 1. Every open matter has one next action with a party and a deadline, and the deadline's transition is defined and
//!    always possible: no matter ends in a dead end. What is over has no timer and never changes, but for the refund of
//!    goods that others went out for.
//! 2. Units: those of an open matter are set aside on the fulfilment's lines, by the matter until the goods are to come
//!    and then by the leg; `in_returns + returned ≤ delivered` whatever happens.
//! 3. Money: what matters have promised for a line is at most what was paid for it. An end without a refund frees it; a
//!    refund uses it up. The order service caps the refund again, where the money is written down.
//! 4. A matter is settled at most once, and whoever granted an amount above the limit never agrees to it. Time grants,
//!    but never agrees.
//! 5. Nothing is inspected before it was received, nothing offered after it was granted, and what is refused changes
//!    nothing.
//!
//! What can fail: the order service may pay back less than was settled (other refunds came first): what it tells is
//! kept. The partner may fail to pay back: the retailer issues the refund again or gives it up, which ends the matter
//! REJECTED. A parcel that comes after its matter has EXPIRED is the retailer's to open a new matter for, whose windows
//! do not bind care. Goods that go out anew come from the retailer's own spare stock, never from an allotment: units that
//! were promised to buyers stay theirs.

mod carrier;
mod kinds;
mod machine;
mod money;
mod open;
mod review;
mod time;

#[cfg(test)]
mod explore;

pub use carrier::opens_matter;
pub use kinds::{
    Action, AftersaleKind, AftersaleReason, AftersaleState, CostBearer, InspectedCondition, Party,
    StepKind,
};
pub use machine::{Desk, Inspected, Who};
pub use money::{LineMoney, Purse};
pub use open::{AftersaleAsk, AskedLine, Choice, LineChoices, Unable, choices};
pub use review::{CounterOffer, Grant};

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::id::{
    AftersaleId, FulfillmentId, OrderId, OrderLineId, PartnerId, ReturnId, ShipmentId, VariantId,
};
use contracts::money::Currency;
use kit::clock::Micros;

use super::fulfillment::Unit;
use super::returns::{GoodsReturn, Instructions, ReturnRefund};

/// One matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aftersale {
    /// The matter.
    pub id: AftersaleId,
    /// The order.
    pub order_id: OrderId,
    /// The fulfilment of the order.
    pub fulfillment_id: FulfillmentId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// What is to become of it; as granted once it was.
    pub kind: AftersaleKind,
    /// State.
    pub state: AftersaleState,
    /// Why.
    pub reason: AftersaleReason,
    /// Who opened it: the shopper, the retailer or the carrier.
    pub opened_by: Party,
    /// The lines, each once.
    pub lines: Vec<MatterLine>,
    /// The retailer's latest offer.
    pub offer: Option<Offer>,
    /// What the retailer said last.
    pub message: String,
    /// Who bears what is paid back.
    pub cost_bearer: CostBearer,
    /// Who has granted it, as the audit names them; empty until then and when time has.
    pub granted_by: String,
    /// Where the goods go and by when.
    pub instructions: Option<Instructions>,
    /// The goods that come back.
    pub leg: Option<GoodsReturn>,
    /// The parcel whose end opened it.
    pub shipment_id: Option<ShipmentId>,
    /// What went out anew.
    pub reshipment: Option<Reshipment>,
    /// The refund, as the order service last told.
    pub refund: Option<ReturnRefund>,
    /// When the service acts itself; there while it is open.
    pub due_time: Option<Micros>,
    /// When it was opened.
    pub create_time: Micros,
    /// When it was settled.
    pub settle_time: Option<Micros>,
    /// When it came to its end.
    pub finish_time: Option<Micros>,
    /// Steps so far, those in `news` included.
    pub step_count: i64,
    /// Pieces of evidence so far.
    pub evidence_count: i64,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
    /// What happened since it was read: to be written and told.
    pub news: News,
}

/// What happened since a matter was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// New steps.
    pub steps: Vec<Step>,
    /// What the order service is to do.
    pub settlement: Option<Settlement>,
}

/// Units of one line of a matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatterLine {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU.
    pub sku: String,
    /// What quantities count.
    pub unit: Unit,
    /// The units it is about.
    pub quantity: i64,
    /// The order's currency; none where the order service pays back by itself.
    pub currency: Option<Currency>,
    /// To go back to the shopper, in minor units.
    pub amount: i64,
    /// What the latest offer would give back.
    pub offer_amount: i64,
    /// What the inspection found.
    pub found: Found,
}

/// What an inspection found of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// As it left.
    pub sellable: i64,
    /// Damaged or used.
    pub damaged: i64,
    /// No originals.
    pub counterfeit: i64,
    /// Not what was sold.
    pub not_ours: i64,
    /// Of the sellable, those that go back into the allotment.
    pub restock: i64,
}

impl Found {
    /// What is accepted.
    pub fn accepted(&self) -> i64 {
        self.sellable + self.damaged + self.counterfeit
    }
}

/// Something else than what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What is to become of it.
    pub kind: AftersaleKind,
    /// Why, to the shopper.
    pub message: String,
    /// From 1.
    pub number: i64,
}

/// Goods that went out anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshipment {
    /// Who carries them.
    pub carrier_code: String,
    /// The carrier's number.
    pub tracking_number: String,
    /// What went out.
    pub units: Vec<Reshipped>,
    /// When.
    pub ship_time: Micros,
}

/// Units that went out in place of units of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshipped {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// What went out.
    pub variant_id: VariantId,
    /// How many.
    pub quantity: i64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub number: i64,
    /// What.
    pub kind: StepKind,
    /// Who.
    pub party: Party,
    /// Where the matter was after it.
    pub state: AftersaleState,
    /// What was said.
    pub message: String,
    /// As the audit names them; empty for time.
    pub who: String,
    /// When.
    pub time: Micros,
}

/// What the order service is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// For each line: for how many units, and which amount.
    pub lines: Vec<(OrderLineId, i64, Currency, i64)>,
    /// Units that go back into the allotment and are in no return.
    pub restock: Vec<(OrderLineId, i64)>,
    /// The goods that came back.
    pub return_id: Option<ReturnId>,
}

/// Whose turn it is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAction {
    /// Whose turn.
    pub party: Party,
    /// What is to be done.
    pub action: Action,
    /// Before this.
    pub deadline: Micros,
}

/// Times and limits of matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AftersaleLimits {
    /// How long a review may take.
    pub review: Duration,
    /// How long an offer stands.
    pub offer: Duration,
    /// How long finance may take.
    pub approval: Duration,
    /// How long goods have for coming when nobody says otherwise.
    pub goods: Duration,
    /// The longest that goods may have for coming.
    pub goods_max: Duration,
    /// How long an inspection may take.
    pub inspection: Duration,
    /// How long goods have for going out.
    pub reshipment: Duration,
    /// How often a partner is reminded of a refund.
    pub refund: Duration,
    /// How long after a delivery goods may be sent back that nothing is wrong with.
    pub return_window: Duration,
    /// How long after a delivery something may be found wrong.
    pub claim_window: Duration,
    /// The most offers of one matter.
    pub offers_max: i64,
    /// The most pieces of evidence of one matter.
    pub evidence_max: i64,
    /// The most matters of one order.
    pub per_order_max: i64,
    /// The most deliveries of one order that are looked at, the latest.
    pub deliveries_max: i64,
    /// Where goods go when time has granted it.
    pub default_site: String,
    /// The most minor units that one person grants, by currency.
    pub alone: BTreeMap<String, i64>,
    /// The same for all other currencies.
    pub alone_default: i64,
}

impl AftersaleLimits {
    /// Whether a second person has to agree to an amount.
    pub fn needs_second(&self, currency: Currency, minor_units: i64) -> bool {
        let limit = self.alone.get(currency.code()).copied();
        minor_units > limit.unwrap_or(self.alone_default)
    }
}
