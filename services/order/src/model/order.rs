//! An order: what was agreed at placement, which never changes, and where it is now.

use std::sync::Arc;
use std::time::Duration;

use contracts::id::{
    AllotmentId, CreatorId, DropId, ListingId, OrderId, OrderLineId, OutletId, PartnerId,
    ProductId, RoomId, VariantId,
};
use contracts::money::Price;
use kit::clock::Micros;

use super::amount::{LineAmount, OrderAmount};
use super::balance::Balance;
use super::drops::{Draws, PriceSource};
use super::listing::{CollectedBy, Unit};
use super::words::words;

words! {
    /// Where the order is in its life.
    OrderState {
        /// Units are held; waits for the payment statement.
        PendingPayment = "PENDING_PAYMENT",
        /// Paid; goes to fulfilment.
        Confirmed = "CONFIRMED",
        /// Cancelled before payment, or with every line cancelled after it.
        Cancelled = "CANCELLED",
        /// The hold ran out before payment.
        Expired = "EXPIRED",
        /// Receipt confirmed or the return window ended.
        Completed = "COMPLETED",
    }
}

words! {
    /// Where its money is.
    PaymentState {
        /// Nothing was paid.
        Unpaid = "UNPAID",
        /// Some of it was.
        PartiallyPaid = "PARTIALLY_PAID",
        /// All of it was.
        Paid = "PAID",
        /// A person must look at it.
        NeedsReview = "NEEDS_REVIEW",
        /// Something that was paid is to be paid back.
        RefundDue = "REFUND_DUE",
        /// A part of what paid the order was paid back, and nothing more is due.
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        /// Everything that was paid was paid back.
        Refunded = "REFUNDED",
    }
}

words! {
    /// Where its goods are.
    FulfillmentState {
        /// Nothing was shipped.
        Unfulfilled = "UNFULFILLED",
        /// Some units were.
        PartiallyShipped = "PARTIALLY_SHIPPED",
        /// All that is not cancelled was.
        Shipped = "SHIPPED",
        /// All that is not cancelled was delivered.
        Delivered = "DELIVERED",
        /// All has ended, some of it not delivered.
        Undelivered = "UNDELIVERED",
    }
}

words! {
    /// Where care and returns are.
    AftersaleState {
        /// Nothing, or returns that ended without goods.
        None = "NONE",
        /// A return is under way.
        ReturnOpen = "RETURN_OPEN",
        /// Goods came back, and no return is under way.
        Returned = "RETURNED",
    }
}

words! {
    /// Why something is cancelled.
    CancelReason {
        /// The shopper changed their mind.
        ShopperRequest = "SHOPPER_REQUEST",
        /// The partner took it back.
        PartnerRequest = "PARTNER_REQUEST",
        /// The retailer has no goods.
        Shortage = "SHORTAGE",
        /// Suspected fraud.
        Fraud = "FRAUD",
        /// The goods are in doubt.
        ProductSafety = "PRODUCT_SAFETY",
    }
}

words! {
    /// What keeps a paid order from being shipped.
    ShipBlock {
        /// The shopper may still change their mind.
        Remorse = "REMORSE",
        /// A risk check is open.
        Fraud = "FRAUD",
        /// No contact data yet.
        AddressMissing = "ADDRESS_MISSING",
        /// A presale.
        Presale = "PRESALE",
        /// The goods are being inspected.
        Inspection = "INSPECTION",
    }
}

/// Where an order goes, without naming a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// ISO 3166-1 alpha-2.
    pub region_code: String,
    /// ISO 3166-2 subdivision; may be empty.
    pub subdivision_code: String,
}

/// One step that led a shopper to a line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Touchpoint {
    /// Where the room was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlet_id: Option<OutletId>,
    /// The room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// The creator who is to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_id: Option<CreatorId>,
    /// The surface, such as `live_card`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub surface: String,
    /// Milliseconds of media time in the room.
    #[serde(default)]
    pub media_time_ms: i64,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touch_time: Option<Micros>,
}

/// One line as it was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub order_line_id: OrderLineId,
    /// What is bought.
    pub listing_id: ListingId,
    /// Where its units come from.
    pub allotment_id: AllotmentId,
    /// The variant at placement.
    pub variant_id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// Its SKU at placement.
    pub sku: String,
    /// Its title at placement.
    pub title: String,
    /// What quantities count.
    pub unit: Unit,
    /// The terms version that was honoured.
    pub terms_version: i64,
    /// The price that was honoured.
    pub unit_price: Price,
    /// The amounts.
    pub amount: LineAmount,
    /// How many were ordered.
    pub quantity: i64,
    /// What led here.
    pub touchpoints: Vec<Touchpoint>,
    /// The drop it was bought in.
    pub drop_id: Option<DropId>,
    /// Whether that drop counts by shopper.
    pub drop_person_limited: bool,
    /// Whose terms made its price.
    pub price_source: PriceSource,
    /// What else counts its units.
    pub draws: Draws,
    /// Who took the money.
    pub collected_by: CollectedBy,
    /// Legal entity that sells.
    pub legal_entity: String,
}

/// How a paid order may be shipped: the strictest of its lines' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShipTerms {
    /// Time after payment in which nothing ships: the longest.
    pub remorse: Duration,
    /// Time after payment by which it is to be shipped: the shortest.
    pub ship_within: Duration,
    /// Nothing ships before this: the latest.
    pub presale_time: Option<Micros>,
}

/// What was agreed at placement. It never changes, and every repetition of the call is answered from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The order.
    pub order_id: OrderId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The partner's own id, unique for ever.
    pub partner_order_id: String,
    /// Groups orders paid together; may be empty.
    pub partner_checkout_id: String,
    /// The shopper, in the partner's words.
    pub shopper_ref: String,
    /// What a repetition must match.
    pub fingerprint: [u8; 32],
    /// Where it goes.
    pub destination: Destination,
    /// The lines, in the order asked.
    pub lines: Vec<Line>,
    /// All lines together.
    pub amount: OrderAmount,
    /// How it may be shipped once paid.
    pub ship_terms: ShipTerms,
    /// Until when the units were promised.
    pub hold_expire_time: Micros,
    /// When it was placed.
    pub place_time: Micros,
}

/// Counters of one line. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineQuantities {
    /// Ordered.
    pub ordered: i64,
    /// Cancelled before shipment.
    pub cancelled: i64,
    /// Handed to a carrier.
    pub shipped: i64,
    /// Delivered.
    pub delivered: i64,
    /// Lost or brought back undelivered.
    pub undelivered: i64,
    /// Sent back by the shopper.
    pub returned: i64,
    /// Paid back for.
    pub refunded: i64,
}

/// An order as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What was agreed.
    pub placement: Arc<Placement>,
    /// The counters of its lines, in their order.
    pub quantities: Vec<LineQuantities>,
    /// Life.
    pub state: OrderState,
    /// Money.
    pub payment_state: PaymentState,
    /// Goods.
    pub fulfillment_state: FulfillmentState,
    /// Care.
    pub aftersale_state: AftersaleState,
    /// Until when the units are held; means something while it is pending.
    pub hold_expire_time: Micros,
    /// When it was paid.
    pub pay_time: Option<Micros>,
    /// Nothing ships before this.
    pub ship_not_before: Option<Micros>,
    /// To be shipped by this.
    pub ship_by: Option<Micros>,
    /// Whether contact data is there.
    pub has_contact: bool,
    /// What people have set in the way of shipping, as fulfilment tells.
    pub care_blocks: CareBlocks,
    /// Why it was cancelled.
    pub cancel_reason: Option<CancelReason>,
    /// What the partner is to pay back and has not yet, or has already.
    pub balance: Balance,
    /// Returns that are under way.
    pub returns_open: i64,
    /// When its return window ends; none while something is still on its way.
    pub complete_after: Option<Micros>,
    /// The version of the fulfilment whose blocks these are.
    pub care_version: i64,
    /// Grows with every change.
    pub version: i64,
}

impl Order {
    /// A new order, its units held.
    pub fn placed(placement: Arc<Placement>) -> Self {
        let counted = |line: &Line| LineQuantities {
            ordered: line.quantity,
            ..LineQuantities::default()
        };
        Order {
            quantities: placement.lines.iter().map(counted).collect(),
            state: OrderState::PendingPayment,
            payment_state: PaymentState::Unpaid,
            fulfillment_state: FulfillmentState::Unfulfilled,
            aftersale_state: AftersaleState::None,
            hold_expire_time: placement.hold_expire_time,
            pay_time: None,
            ship_not_before: None,
            ship_by: None,
            has_contact: false,
            care_blocks: CareBlocks::default(),
            cancel_reason: None,
            balance: Balance::default(),
            returns_open: 0,
            complete_after: None,
            care_version: 0,
            version: 1,
            placement,
        }
    }

    /// The order's id.
    pub fn order_id(&self) -> &OrderId {
        &self.placement.order_id
    }

    /// The etag that callers see.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Whether it was paid at some time.
    pub fn was_paid(&self) -> bool {
        self.pay_time.is_some()
    }

    /// By how much its hold was extended so far.
    pub fn extended_by(&self) -> Duration {
        self.hold_expire_time.since(self.placement.hold_expire_time)
    }

    /// Prolongs the hold.
    pub fn extend(&mut self, by: Duration) {
        self.hold_expire_time = self.hold_expire_time.plus(by);
        self.version += 1;
    }

    /// Becomes paid at `now`.
    pub fn pay(&mut self, now: Micros) {
        let terms = &self.placement.ship_terms;
        let remorse_end = now.plus(terms.remorse);
        let not_before = terms
            .presale_time
            .map_or(remorse_end, |presale| presale.max(remorse_end));
        self.state = OrderState::Confirmed;
        self.pay_time = Some(now);
        self.ship_not_before = Some(not_before);
        // A presale may promise to ship later than its lines' terms would say.
        self.ship_by = Some(now.plus(terms.ship_within).max(not_before));
        self.payment_state = self.payment_state_now();
        self.version += 1;
    }

    /// Is cancelled before it was paid.
    pub fn cancel_unpaid(&mut self, reason: CancelReason) {
        self.state = OrderState::Cancelled;
        self.cancel_reason = Some(reason);
        for quantities in &mut self.quantities {
            quantities.cancelled = quantities.ordered;
        }
        self.version += 1;
    }

    /// Its hold ran out.
    pub fn expire(&mut self) {
        self.state = OrderState::Expired;
        self.version += 1;
    }

    /// What keeps it from being shipped at `now`; nothing while it is not paid, and once nothing is left.
    pub fn ship_blocks(&self, now: Micros) -> Vec<ShipBlock> {
        let Some(paid) = self.pay_time else {
            return Vec::new();
        };
        if self
            .quantities
            .iter()
            .all(|line| line.cancelled + line.shipped == line.ordered)
        {
            return Vec::new();
        }
        let terms = &self.placement.ship_terms;
        let is_set = |block: &ShipBlock| match block {
            ShipBlock::Remorse => now < paid.plus(terms.remorse),
            ShipBlock::Fraud => self.care_blocks.fraud,
            ShipBlock::AddressMissing => !self.has_contact,
            ShipBlock::Presale => terms.presale_time.is_some_and(|presale| now < presale),
            ShipBlock::Inspection => self.care_blocks.inspection,
        };
        ShipBlock::ALL.iter().copied().filter(is_set).collect()
    }
}

/// Blocks that people set and lift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CareBlocks {
    /// A risk check is open.
    pub fraud: bool,
    /// The goods are being inspected.
    pub inspection: bool,
}

impl CareBlocks {
    /// The words for them, as the table has them.
    pub fn words(self) -> &'static str {
        match (self.fraud, self.inspection) {
            (false, false) => "",
            (true, false) => "FRAUD",
            (false, true) => "INSPECTION",
            (true, true) => "FRAUD INSPECTION",
        }
    }

    /// The blocks of these words.
    pub fn parse(words: &str) -> Self {
        let has = |wanted: &str| words.split(' ').any(|word| word == wanted);
        CareBlocks {
            fraud: has("FRAUD"),
            inspection: has("INSPECTION"),
        }
    }
}
