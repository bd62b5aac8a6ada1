//! One order's goods: what is left to ship, what blocks it, and how its state follows from both.

use contracts::ErrorReason;
use contracts::id::{FulfillmentId, OrderId, OrderLineId, PartnerId, VariantId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::LineQuantity;
use super::blocks::{Block, Blocks};
use super::words::words;

words! {
    /// Where a fulfilment is. It follows from the lines and the blocks; see [`Fulfillment::settle`].
    FulfillmentState {
        /// Something blocks it.
        Waiting = "WAITING",
        /// Can be shipped.
        Ready = "READY",
        /// Shipped in part.
        InProgress = "IN_PROGRESS",
        /// All that is not cancelled is shipped.
        Shipped = "SHIPPED",
        /// All shipments have ended.
        Finished = "FINISHED",
        /// All was cancelled.
        Cancelled = "CANCELLED",
    }
}

words! {
    /// What a variant is counted in.
    Unit {
        /// Pieces.
        Each = "EACH",
        /// Grams.
        Gram = "GRAM",
    }
}

/// A paid order as the order feed tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidOrder {
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// At least one, each line once.
    pub lines: Vec<PaidLine>,
    /// Nothing ships before this.
    pub ship_not_before: Micros,
    /// To be shipped by this.
    pub ship_by: Micros,
    /// What the order says blocks it. Those that end by time do so at `ship_not_before`.
    pub blocks: Blocks,
    /// ISO 3166-1 alpha-2.
    pub region_code: String,
    /// ISO 3166-2; may be empty.
    pub subdivision_code: String,
}

/// One line of a paid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidLine {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU at placement.
    pub sku: String,
    /// Its title at placement.
    pub title: String,
    /// What quantities count.
    pub unit: Unit,
    /// Positive.
    pub ordered: i64,
    /// Cancelled already; at most `ordered`.
    pub cancelled: i64,
    /// What the shopper paid for it; none when the order does not say.
    pub payable: Option<Money>,
}

/// One order's goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fulfillment {
    /// The fulfilment.
    pub id: FulfillmentId,
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Follows from lines and blocks.
    pub state: FulfillmentState,
    /// What blocks it, those included whose time is over but that nobody has lifted yet.
    pub blocks: Blocks,
    /// In the order's order.
    pub lines: Vec<Line>,
    /// Nothing ships before this.
    pub ship_not_before: Micros,
    /// To be shipped by this.
    pub ship_by: Micros,
    /// Where it goes: the country.
    pub region_code: String,
    /// Where it goes: the subdivision; may be empty.
    pub subdivision_code: String,
    /// When the order arrived.
    pub create_time: Micros,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
}

/// One line with its counters. `cancelled + shipped ≤ ordered`, `delivered + undelivered ≤ shipped`,
/// `in_returns + returned ≤ delivered`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// What quantities count.
    pub unit: Unit,
    /// Ordered.
    pub ordered: i64,
    /// Cancelled before shipment.
    pub cancelled: i64,
    /// Handed to a carrier.
    pub shipped: i64,
    /// Delivered.
    pub delivered: i64,
    /// Lost or brought back.
    pub undelivered: i64,
    /// Delivered, and set aside for open returns. The one counter that falls as well.
    pub in_returns: i64,
    /// Received back.
    pub returned: i64,
}

impl Line {
    /// Neither cancelled nor shipped.
    pub fn left(&self) -> i64 {
        self.ordered - self.cancelled - self.shipped
    }

    /// With a carrier.
    pub fn under_way(&self) -> i64 {
        self.shipped - self.delivered - self.undelivered
    }

    /// Delivered and in no return.
    pub fn free_to_return(&self) -> i64 {
        self.delivered - self.in_returns - self.returned
    }

    fn new(paid: PaidLine) -> Self {
        Line {
            order_line_id: paid.order_line_id,
            variant_id: paid.variant_id,
            sku: paid.sku,
            title: paid.title,
            unit: paid.unit,
            ordered: paid.ordered,
            cancelled: paid.cancelled,
            shipped: 0,
            delivered: 0,
            undelivered: 0,
            in_returns: 0,
            returned: 0,
        }
    }
}

impl Fulfillment {
    /// What follows from a paid order that arrives `now`.
    pub fn arrive(id: FulfillmentId, order: PaidOrder, now: Micros) -> Self {
        let mut blocks = order.blocks;
        // "Nothing ships before" holds whatever the order calls the reason.
        if order.ship_not_before > now && !blocks.has_timed() {
            blocks = blocks.with(Block::Presale, true);
        }
        let mut fulfillment = Fulfillment {
            id,
            order_id: order.order_id,
            partner_id: order.partner_id,
            state: FulfillmentState::Waiting,
            blocks,
            lines: order.lines.into_iter().map(Line::new).collect(),
            ship_not_before: order.ship_not_before,
            ship_by: order.ship_by,
            region_code: order.region_code,
            subdivision_code: order.subdivision_code,
            create_time: now,
            version: 0,
        };
        fulfillment.blocks = fulfillment.blocks_at(now);
        fulfillment.settle();
        fulfillment
    }

    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Units neither cancelled nor shipped.
    pub fn has_left(&self) -> bool {
        self.lines.iter().any(|line| line.left() > 0)
    }

    /// When it is due in the work queue; none while it cannot be shipped.
    pub fn work_time(&self) -> Option<Micros> {
        let is_open = matches!(
            self.state,
            FulfillmentState::Ready | FulfillmentState::InProgress
        );
        (is_open && self.blocks.is_empty()).then_some(self.ship_by)
    }

    /// What really blocks it at this moment.
    pub fn blocks_at(&self, now: Micros) -> Blocks {
        if now < self.ship_not_before {
            self.blocks
        } else {
            self.blocks.without_timed()
        }
    }

    /// Ships the units asked for, all that is left when none are named; gives what went into the parcel.
    /// `field` is how the caller's request names the parcel, such as `draft`.
    pub fn ship(
        &mut self,
        asked: &[LineQuantity],
        field: &str,
        now: Micros,
    ) -> Result<Vec<LineQuantity>, Refusal> {
        if self.state == FulfillmentState::Cancelled {
            let message = "All of this fulfillment was cancelled; there is nothing to ship.";
            return Err(Refusal::wrong_state("fulfillment", self.state, message));
        }
        if !self.has_left() {
            let message =
                "Everything that was not cancelled is shipped already; nothing is left to ship.";
            return Err(Refusal::new(ErrorReason::OverQuantity, message).with("left", 0));
        }
        let blocks = self.blocks_at(now);
        if !blocks.is_empty() {
            return Err(self.blocked(blocks));
        }
        let parcel = if asked.is_empty() {
            self.left()
        } else {
            self.pick(asked, field)?
        };
        for part in &parcel {
            self.line_mut(&part.order_line_id)?.shipped += part.quantity;
        }
        self.blocks = blocks;
        self.settle();
        Ok(parcel)
    }

    fn blocked(&self, blocks: Blocks) -> Refusal {
        let words = blocks.words();
        let message = format!(
            "Shipping is blocked by {words}; lift what people can lift, or wait for the rest."
        );
        Refusal::new(ErrorReason::ShipBlocked, message).with("blocks", words)
    }

    /// All that is left, line by line.
    pub fn left(&self) -> Vec<LineQuantity> {
        self.lines
            .iter()
            .filter(|line| line.left() > 0)
            .map(|line| LineQuantity {
                order_line_id: line.order_line_id,
                quantity: line.left(),
            })
            .collect()
    }

    fn pick(&self, asked: &[LineQuantity], field: &str) -> Result<Vec<LineQuantity>, Refusal> {
        for (at, ask) in asked.iter().enumerate() {
            let line = self.line_asked(ask, field, at)?;
            if ask.quantity > line.left() {
                return Err(over_quantity(line, line.left(), "ship"));
            }
        }
        Ok(asked.to_vec())
    }

    /// The line that a request names as its `at`th.
    pub(super) fn line_asked(
        &self,
        ask: &LineQuantity,
        field: &str,
        at: usize,
    ) -> Result<&Line, Refusal> {
        self.lines
            .iter()
            .find(|line| line.order_line_id == ask.order_line_id)
            .ok_or_else(|| {
                let prefix = if field.is_empty() {
                    String::new()
                } else {
                    format!("{field}.")
                };
                let field = format!("{prefix}lines[{at}].order_line_id");
                Refusal::invalid(field, "is not a line of this order; name one of its lines.")
            })
    }

    pub(super) fn line_mut(&mut self, id: &OrderLineId) -> Result<&mut Line, Refusal> {
        // Only lines that were found before are asked for.
        self.lines
            .iter_mut()
            .find(|line| line.order_line_id == *id)
            .ok_or_else(|| Refusal::not_found("order line"))
    }

    /// A parcel has ended: its units are with the shopper, or never will be.
    pub fn end(&mut self, parcel: &[LineQuantity], delivered: bool) -> Result<(), Fault> {
        for part in parcel {
            let line = self.line_mut(&part.order_line_id)?;
            if part.quantity > line.under_way() {
                let (id, under_way) = (line.order_line_id, line.under_way());
                return Err(Fault::internal(format!(
                    "{id} has {under_way} units under way, not {}",
                    part.quantity
                )));
            }
            let counter = if delivered {
                &mut line.delivered
            } else {
                &mut line.undelivered
            };
            *counter += part.quantity;
        }
        self.settle();
        Ok(())
    }

    /// Sets a block that people set. Says whether it was not set before.
    pub fn block(&mut self, block: Block) -> Result<bool, Refusal> {
        match self.state {
            FulfillmentState::Cancelled => {
                let message = "All of this fulfillment was cancelled; there is nothing to block.";
                return Err(Refusal::wrong_state("fulfillment", self.state, message));
            }
            FulfillmentState::Shipped | FulfillmentState::Finished => {
                let message = "Everything is shipped already; a return is the way now.";
                return Err(Refusal::new(ErrorReason::TooLate, message).with("state", self.state));
            }
            FulfillmentState::Waiting | FulfillmentState::Ready | FulfillmentState::InProgress => {}
        }
        Ok(self.set_block(block, true))
    }

    /// Lifts a block that people set.
    pub fn lift(&mut self, block: Block) -> Result<(), Refusal> {
        if self.set_block(block, false) {
            return Ok(());
        }
        let message = format!("No {block} block is set; read the fulfillment again.");
        Err(Refusal::wrong_state("fulfillment", self.state, message))
    }

    /// The contact data is there. Says whether that changed anything.
    pub fn contact_arrived(&mut self) -> bool {
        self.set_block(Block::AddressMissing, false)
    }

    /// Lifts what time has lifted. Says whether that changed anything.
    pub fn lift_lapsed(&mut self, now: Micros) -> bool {
        let before = self.blocks;
        self.blocks = self.blocks_at(now);
        self.settle();
        self.blocks != before
    }

    fn set_block(&mut self, block: Block, set: bool) -> bool {
        let before = self.blocks;
        self.blocks = before.with(block, set);
        self.settle();
        self.blocks != before
    }

    /// Puts the state to what lines and blocks make it. What has nothing left to ship has nothing to block.
    pub(super) fn settle(&mut self) {
        let left = self.has_left();
        if !left {
            self.blocks = Blocks::NONE;
        }
        let shipped = self.lines.iter().any(|line| line.shipped > 0);
        let under_way = self.lines.iter().any(|line| line.under_way() > 0);
        self.state = match (left, shipped) {
            (true, true) => FulfillmentState::InProgress,
            (true, false) if self.blocks.is_empty() => FulfillmentState::Ready,
            (true, false) => FulfillmentState::Waiting,
            (false, false) => FulfillmentState::Cancelled,
            (false, true) if under_way => FulfillmentState::Shipped,
            (false, true) => FulfillmentState::Finished,
        };
    }
}

/// More was asked for than there is.
pub(super) fn over_quantity(line: &Line, left: i64, verb: &str) -> Refusal {
    let message = format!(
        "Line {} has {left} left to {verb}; ask for at most that.",
        line.order_line_id
    );
    Refusal::new(ErrorReason::OverQuantity, message)
        .with("order_line_id", line.order_line_id)
        .with("left", left)
}
