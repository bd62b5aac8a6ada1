//! What can be asked of the desk, and what it answers.
//!
//! A command carries the ids of what it may create, so that running it again creates the same things.

use std::sync::Arc;
use std::time::Duration;

use contracts::id::{
    AllotmentId, DropId, ListingId, MovementId, OrderId, OrderLineId, PartnerId, PaymentId,
    ProductId, RefundId, StopId,
};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Refusal;
use sha2::{Digest, Sha256};

use super::amount::LineAmount;
use super::drops::PriceSource;
use super::order::{CancelReason, Destination, Placement, Touchpoint};
use super::payment::{Payment, Signed};
use super::stock::{Allotment, Movement, MovementKind, StopKind};

/// One step of the handshake, or something that has to stand in the same queue.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Places an order and holds its units.
    Place(Box<Place>),
    /// Prolongs a hold.
    Extend(Extend),
    /// Records a payment.
    Confirm(Box<Confirm>),
    /// Cancels an order that is not paid.
    Cancel(Cancel),
    /// Ends a hold that ran out.
    Expire(Expire),
    /// Adds or takes out units.
    Move(Move),
    /// Stops a sale.
    Stop(Stop),
    /// Ends a stop.
    Resume(Resume),
}

impl Command {
    /// The command's name in the audit trail.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Place(_) => "order.place",
            Command::Extend(_) => "order.extend_hold",
            Command::Confirm(_) => "order.confirm_payment",
            Command::Cancel(_) => "order.cancel",
            Command::Expire(_) => "order.expire",
            Command::Move(_) => "allotment.move",
            Command::Stop(_) => "sale.stop",
            Command::Resume(_) => "sale.resume",
        }
    }

    /// The request key, for commands that have one.
    pub fn request_key(&self) -> Option<&RequestKey> {
        match self {
            Command::Extend(command) => Some(&command.key),
            Command::Cancel(command) => Some(&command.key),
            Command::Move(command) => Some(&command.key),
            Command::Stop(command) => Some(&command.key),
            Command::Resume(command) => Some(&command.key),
            Command::Place(_) | Command::Confirm(_) | Command::Expire(_) => None,
        }
    }

    /// The order it is about, when there is one already.
    pub fn order_id(&self) -> Option<&OrderId> {
        match self {
            Command::Extend(command) => Some(&command.order_id),
            Command::Confirm(command) => Some(&command.order_id),
            Command::Cancel(command) => Some(&command.order_id),
            Command::Expire(command) => Some(&command.order_id),
            Command::Place(_) | Command::Move(_) | Command::Stop(_) | Command::Resume(_) => None,
        }
    }
}

/// Makes the bytes of the response that a repeated request key is answered with.
pub type Render = fn(&Answer) -> Vec<u8>;

/// The key of a command that has no natural one.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Whose keys they are.
    pub scope: String,
    /// The method.
    pub method: &'static str,
    /// The caller's key.
    pub key: String,
    /// What was asked for.
    pub fingerprint: [u8; 32],
    /// Makes the answer that is kept.
    pub render: Render,
}

// The renderer follows from the method; functions cannot be compared.
impl PartialEq for RequestKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.scope, self.method, &self.key, self.fingerprint)
            == (&other.scope, other.method, &other.key, other.fingerprint)
    }
}

/// Places an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The order's id, if it comes to be.
    pub order_id: OrderId,
    /// The partner that calls.
    pub partner_id: PartnerId,
    /// The partner's own id: the key.
    pub partner_order_id: String,
    /// Groups orders paid together; may be empty.
    pub partner_checkout_id: String,
    /// The shopper.
    pub shopper_ref: String,
    /// Where it goes.
    pub destination: Destination,
    /// 1 to 50 lines, each listing once.
    pub lines: Vec<PlaceLine>,
    /// What came with the quote token: the quote, or why it is none. Looked at only after the key, because
    /// quotes end and their keys go out of use. An expired quote is a quote.
    pub quote: Option<Result<Quote, Refusal>>,
    /// What the shopper was shown to pay in all; required without a quote.
    pub expected_payable: Option<Money>,
    /// How long to hold; the default when absent.
    pub hold: Option<Duration>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceLine {
    /// The line's id, if it comes to be.
    pub order_line_id: OrderLineId,
    /// The listing.
    pub listing_id: ListingId,
    /// How many, positive.
    pub quantity: i64,
    /// What the partner takes off, not negative.
    pub partner_discount: Option<Money>,
    /// What led here.
    pub touchpoints: Vec<Touchpoint>,
}

/// A verified quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// For whom.
    pub partner_id: PartnerId,
    /// Where to.
    pub destination: Destination,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The lines, in the order asked.
    pub lines: Vec<QuoteLine>,
    /// Until when the price is honoured.
    pub expire_time: Micros,
}

/// One quoted line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteLine {
    /// The listing.
    pub listing_id: ListingId,
    /// How many.
    pub quantity: i64,
    /// The terms version quoted.
    pub terms_version: i64,
    /// The price quoted.
    pub unit_price: Price,
    /// The amounts, the partner's discount among them.
    pub amount: LineAmount,
    /// Whose terms made the price.
    pub price_source: PriceSource,
    /// The drop it sells in, open or announced.
    pub drop_id: Option<DropId>,
}

impl Place {
    /// What a repetition must match: everything but the quote token.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut print = Print::default();
        print
            .text(&self.partner_checkout_id)
            .text(&self.shopper_ref);
        print
            .text(&self.destination.region_code)
            .text(&self.destination.subdivision_code);
        print.number(self.lines.len() as i64);
        for line in &self.lines {
            print.text(line.listing_id.as_str()).number(line.quantity);
            // No discount and a discount of nothing are the same content.
            print.money(
                line.partner_discount
                    .as_ref()
                    .filter(|discount| discount.minor_units != 0),
            );
            print.text(&serde_json::to_string(&line.touchpoints).unwrap_or_default());
        }
        print.money(self.expected_payable.as_ref());
        print.number(self.hold.map_or(-1, |hold| {
            i64::try_from(hold.as_micros()).unwrap_or(i64::MAX)
        }));
        print.0.finalize().into()
    }
}

/// Hashes parts so that they cannot run into each other.
#[derive(Default)]
struct Print(Sha256);

impl Print {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
        self
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.0.update(number.to_be_bytes());
        self
    }

    fn money(&mut self, money: Option<&Money>) -> &mut Self {
        match money {
            Some(money) => self.text(money.currency.code()).number(money.minor_units),
            None => self.text("").number(0),
        }
    }
}

/// Prolongs a hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Extend {
    /// The key.
    pub key: RequestKey,
    /// The partner that calls.
    pub partner_id: PartnerId,
    /// Which order.
    pub order_id: OrderId,
    /// By how much, positive.
    pub extension: Duration,
}

/// Records a payment whose statement was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The payment's id, if it comes to be.
    pub payment_id: PaymentId,
    /// The refund's id, if one comes to be.
    pub refund_id: RefundId,
    /// The partner that calls.
    pub partner_id: PartnerId,
    /// Which order.
    pub order_id: OrderId,
    /// The partner's reference; with the order the key.
    pub payment_reference: String,
    /// What was paid, not negative.
    pub amount: Money,
    /// When, as the partner says.
    pub pay_time: Micros,
    /// The key it was signed with.
    pub kid: String,
    /// The statement itself.
    pub statement: Signed,
}

/// Cancels an order that is not paid.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancel {
    /// The key.
    pub key: RequestKey,
    /// The partner that calls; none when the retailer does.
    pub partner_id: Option<PartnerId>,
    /// Which order.
    pub order_id: OrderId,
    /// Lines and quantities; empty for all. Before payment only all can be cancelled.
    pub lines: Vec<(OrderLineId, i64)>,
    /// Why.
    pub reason: CancelReason,
}

/// Ends a hold if it ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expire {
    /// Which order.
    pub order_id: OrderId,
}

/// Adds or takes out units.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// The key.
    pub key: RequestKey,
    /// The movement's id, if it comes to be.
    pub movement_id: MovementId,
    /// Which allotment.
    pub allotment_id: AllotmentId,
    /// Why; not INITIAL.
    pub kind: MovementKind,
    /// Signed, as the kind allows.
    pub quantity: i64,
    /// Reason for people.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// What a stop is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopTarget {
    /// One listing.
    Listing(ListingId),
    /// Every listing of an allotment.
    Allotment(AllotmentId),
    /// Every listing of a product.
    Product(ProductId),
}

impl StopTarget {
    /// Its kind.
    pub fn kind(&self) -> StopKind {
        match self {
            StopTarget::Listing(_) => StopKind::Listing,
            StopTarget::Allotment(_) => StopKind::Allotment,
            StopTarget::Product(_) => StopKind::Product,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            StopTarget::Listing(id) => id.as_str(),
            StopTarget::Allotment(id) => id.as_str(),
            StopTarget::Product(id) => id.as_str(),
        }
    }
}

/// Stops a sale at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// The key.
    pub key: RequestKey,
    /// The stop's id, if it comes to be.
    pub stop_id: StopId,
    /// What to stop.
    pub target: StopTarget,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// Ends a stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Resume {
    /// The key.
    pub key: RequestKey,
    /// Which stop.
    pub stop_id: StopId,
    /// Who.
    pub actor: String,
}

/// What one caller is told.
pub type Verdict = Result<Answer, Refusal>;

/// What the desk answers to a command that it did not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The order as agreed; `replayed` when it had been placed before.
    Placed {
        /// What was agreed.
        placement: Arc<Placement>,
        /// Whether an earlier call did it.
        replayed: bool,
    },
    /// The hold now ends then.
    Extended {
        /// Its new end.
        hold_expire_time: Micros,
    },
    /// The payment as recorded, with what became of it.
    Confirmed {
        /// The payment.
        payment: Arc<Payment>,
        /// Whether an earlier call did it.
        replayed: bool,
    },
    /// The order is cancelled and its units are free.
    Cancelled,
    /// Nothing was done and the key not taken: the order was paid, so fulfilment decides.
    CancelAfterPayment,
    /// The hold is over.
    Expired,
    /// Nothing was done: the order no longer waits, or not for so long.
    NotExpired,
    /// The allotment after the movement.
    Moved {
        /// After it.
        allotment: Box<Allotment>,
        /// The movement.
        movement: Movement,
    },
    /// The sale is stopped.
    Stopped {
        /// The stop.
        stop_id: StopId,
    },
    /// The stop is over.
    Resumed,
    /// The response kept for this request key.
    Replayed(Vec<u8>),
}

impl Answer {
    /// A word for it, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Placed { .. } => "placed",
            Answer::Extended { .. } => "extended",
            Answer::Confirmed { .. } => "confirmed",
            Answer::Cancelled => "cancelled",
            Answer::CancelAfterPayment => "cancel after payment",
            Answer::Expired => "expired",
            Answer::NotExpired => "not expired",
            Answer::Moved { .. } => "moved",
            Answer::Stopped { .. } => "stopped",
            Answer::Resumed => "resumed",
            Answer::Replayed(_) => "replayed",
        }
    }
}
