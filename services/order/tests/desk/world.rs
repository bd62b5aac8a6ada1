//! A small catalogue to sell from, and commands by number.

use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{
    AllotmentId, DropId, Id, ListingId, MovementId, OrderId, OrderLineId, PartnerId, PaymentId,
    ProductId, RefundId, StopId, VariantId,
};
use contracts::money::{Currency, Money, Price};
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use order::model::command::{
    Answer, Cancel, Command, Confirm, Expire, Extend, Move, Place, PlaceLine, Quote, QuoteLine,
    RequestKey, Resume, Stop, StopTarget, Verdict,
};
use order::model::payment::Signed;
use order::model::{CancelReason, Destination, HoldRules, LineAmount, MovementKind, Touchpoint};
use order::ops::desk::{Request, Runner};
use store::batch::BatchRun;
use store::{Operation, Tx, sql};

/// An id by number.
pub fn nth<K: contracts::id::Kind>(number: usize) -> Id<K> {
    Id::from_uuid(number as u128 + 1)
}

pub fn partner(number: usize) -> PartnerId {
    nth(number)
}

pub fn listing(number: usize) -> ListingId {
    nth(number)
}

pub fn allotment(number: usize) -> AllotmentId {
    nth(number)
}

pub fn drop_id(number: usize) -> DropId {
    nth(number)
}

/// How a listing differs from the others.
#[derive(Clone, Copy)]
pub struct Offer {
    pub partner: usize,
    /// The allotment, and the listing's cap in it.
    pub draws: Option<(usize, i64)>,
    pub state: &'static str,
    pub price: i64,
    pub currency: &'static str,
    pub step: i64,
    pub shopper_limit: i64,
    pub territories: &'static str,
    pub mode: &'static str,
    pub drop: Option<usize>,
}

pub const PLAIN: Offer = Offer {
    partner: 0,
    draws: Some((0, 0)),
    state: "LIVE",
    price: 1_990,
    currency: "EUR",
    step: 1,
    shopper_limit: 0,
    territories: "",
    mode: "IN_APP",
    drop: None,
};

/// Two partners that sell from shared pools, a third that is suspended, and one listing for every reason not
/// to sell. Allotment 0 is shared by two partners, 1 is sold in drops, 2 by weight and in yen.
pub const OFFERS: [Offer; 13] = [
    PLAIN,
    Offer {
        draws: Some((0, 7)),
        shopper_limit: 5,
        price: 2_500,
        ..PLAIN
    },
    Offer {
        draws: Some((1, 0)),
        drop: Some(0),
        price: 999,
        ..PLAIN
    },
    Offer {
        partner: 1,
        shopper_limit: 4,
        ..PLAIN
    },
    Offer {
        partner: 1,
        draws: Some((1, 0)),
        drop: Some(0),
        price: 899,
        ..PLAIN
    },
    Offer {
        draws: Some((2, 0)),
        step: 50,
        price: 3,
        ..PLAIN
    },
    Offer {
        state: "PAUSED",
        ..PLAIN
    },
    Offer {
        mode: "REDIRECT",
        ..PLAIN
    },
    Offer {
        territories: "DE AT",
        ..PLAIN
    },
    Offer {
        draws: None,
        ..PLAIN
    },
    Offer {
        draws: Some((2, 0)),
        currency: "JPY",
        price: 700,
        ..PLAIN
    },
    Offer {
        draws: Some((1, 0)),
        drop: Some(1),
        shopper_limit: 5,
        ..PLAIN
    },
    Offer {
        partner: 2,
        ..PLAIN
    },
];

/// Units in the three allotments to begin with.
pub const SUPPLY: [i64; 3] = [16, 10, 500];

/// Drop 0 sells at once, drop 1 ten minutes later.
pub const DROP_DELAYS_S: [i64; 2] = [0, 600];
pub const DROP_LENGTH_S: i64 = 1_200;
pub const DROP_LIMITS: [(i64, i64); 2] = [(9, 4), (6, 0)];

pub const RULES: HoldRules = HoldRules {
    ttl: Duration::from_secs(300),
    ttl_max: Duration::from_secs(900),
    extension_max: Duration::from_secs(300),
    total_max: Duration::from_secs(1_000),
};

/// Empties every table and enters the catalogue.
pub struct Reset;

impl Operation for Reset {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.reset"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        empty(tx).await?;
        let now = tx.now();
        for number in 0..3 {
            let state = if number == 2 { "SUSPENDED" } else { "ACTIVE" };
            sql!(
                tx,
                execute,
                "INSERT INTO partner (partner_id, display_name, state, etag, update_time) VALUES ($1, 'P', $2, 'v1', $3)",
                partner(number),
                state,
                now
            )?;
        }
        for (number, supplied) in SUPPLY.iter().enumerate() {
            supply(tx, allotment(number), *supplied).await?;
        }
        for (number, offer) in OFFERS.iter().enumerate() {
            offer_insert(tx, listing(number), offer).await?;
        }
        for (number, delay) in DROP_DELAYS_S.iter().enumerate() {
            let start = now.plus(Duration::from_secs(*delay as u64));
            let end = start.plus(Duration::from_secs(DROP_LENGTH_S as u64));
            let (total, per_person) = DROP_LIMITS[number];
            sql!(
                tx,
                execute,
                "INSERT INTO drop_sale (drop_id, allotment_id, display_name, start_time, end_time, total_limit, \
                 per_person_limit, taken, end_reason, version, create_time) \
                 VALUES ($1, $2, 'D', $3, $4, $5, $6, 0, '', 1, $7)",
                drop_id(number),
                allotment(1),
                start,
                end,
                total,
                per_person,
                now
            )?;
        }
        for (number, offer) in OFFERS.iter().enumerate() {
            if let Some(sale) = offer.drop {
                sql!(
                    tx,
                    execute,
                    "INSERT INTO drop_listing (drop_id, listing_id, taken) VALUES ($1, $2, 0)",
                    drop_id(sale),
                    listing(number)
                )?;
            }
        }
        Ok(())
    }
}

async fn empty(tx: &mut Tx) -> Result<(), Fault> {
    macro_rules! delete {
        ($($table:literal),+) => { $(sql!(tx, execute, concat!("DELETE FROM ", $table))?;)+ };
    }
    delete!(
        "refund",
        "payment",
        "contact",
        "order_line",
        "orders",
        "sale_stop",
        "shopper_count",
        "drop_listing",
        "drop_sale",
        "allotment_listing",
        "allotment_movement",
        "allotment",
        "listing",
        "partner",
        "idempotency",
        "audit",
        "feed"
    );
    sql!(
        tx,
        execute,
        "DELETE FROM feed_head WHERE scope NOT IN ('', 'audit')"
    )?;
    sql!(
        tx,
        execute,
        "UPDATE feed_head SET position = 0, floor = 0, hash = $1",
        Vec::<u8>::new()
    )?;
    Ok(())
}

/// An allotment with its first movement.
pub async fn supply(tx: &mut Tx, allotment_id: AllotmentId, supplied: i64) -> Result<(), Fault> {
    let now = tx.now();
    sql!(
        tx,
        execute,
        "INSERT INTO allotment (allotment_id, variant_id, display_name, supplied, available, held, sold, version, \
         create_time) VALUES ($1, $2, 'A', $3, $3, 0, 0, 1, $4)",
        allotment_id,
        nth::<contracts::id::kind::Variant>(0),
        supplied,
        now
    )?;
    sql!(
        tx,
        execute,
        "INSERT INTO allotment_movement (movement_id, allotment_id, kind, quantity, reason, actor, create_time) \
         VALUES ($1, $2, 'INITIAL', $3, 'r', 'test', $4)",
        MovementId::from_uuid(allotment_id.uuid() + 1_000_000),
        allotment_id,
        supplied,
        now
    )?;
    Ok(())
}

/// A listing on the terms of an offer.
pub async fn offer_insert(tx: &mut Tx, listing_id: ListingId, offer: &Offer) -> Result<(), Fault> {
    let (now, variant, product) = (tx.now(), VariantId::from_uuid(1), ProductId::from_uuid(1));
    let collected_by = if offer.mode == "REDIRECT" {
        "RETAILER"
    } else {
        "PARTNER"
    };
    sql!(
        tx,
        execute,
        "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, sku, title, unit, quantity_step, state, \
         terms_version, currency_code, price, per_quantity, retailer_discount_basis_points, shipping, \
         tax_basis_points, tax_included, per_shopper_limit, territories, commission_basis_points, legal_entity, \
         purchase_mode, collected_by, remorse_us, ship_within_us, etag, update_time) \
         VALUES ($1, $2, $3, $4, 'SKU', 'Title', 'EACH', $5, $6, 1, $7, $8, 1, 500, 0, 1900, TRUE, $9, $10, 800, 'Seller', \
         $11, $12, 60000000, 86400000000, 'v1', $13)",
        listing_id,
        partner(offer.partner),
        variant,
        product,
        offer.step,
        offer.state,
        offer.currency,
        offer.price,
        offer.shopper_limit,
        offer.territories,
        offer.mode,
        collected_by,
        now
    )?;
    if let Some((drawn, cap)) = offer.draws {
        sql!(
            tx,
            execute,
            "INSERT INTO allotment_listing (listing_id, allotment_id, partner_id, unit_cap, taken) \
             VALUES ($1, $2, $3, $4, 0)",
            listing_id,
            allotment(drawn),
            partner(offer.partner),
            cap
        )?;
    }
    Ok(())
}

/// What a line of an offer costs: 5 % off, tax included, no shipping.
pub fn payable(number: usize, quantity: i64) -> i64 {
    let price = OFFERS[number].price * quantity;
    price - contracts::money::scale(price, 500, 10_000).expect("small amounts")
}

fn currency(number: usize) -> Currency {
    Currency::parse(OFFERS[number].currency).expect("a currency")
}

/// The answers of keyed commands, short.
fn render(answer: &Answer) -> Vec<u8> {
    answer.name().as_bytes().to_vec()
}

fn request_key(method: &'static str, key: usize, content: u8) -> RequestKey {
    RequestKey {
        scope: "partner|test".into(),
        method,
        key: format!("k{key}"),
        fingerprint: [content; 32],
        render,
    }
}

/// A placement: whose, under which key, for which shopper, and what.
pub fn place(
    number: usize,
    whose: usize,
    key: usize,
    shopper: usize,
    lines: &[(usize, i64)],
) -> Place {
    let total: i64 = lines
        .iter()
        .map(|(offer, quantity)| payable(*offer, *quantity))
        .sum();
    let first = lines
        .first()
        .map_or(Currency::EUR, |(offer, _)| currency(*offer));
    let line = |(at, (offer, quantity)): (usize, &(usize, i64))| PlaceLine {
        order_line_id: OrderLineId::from_uuid((number * 16 + at) as u128),
        listing_id: listing(*offer),
        quantity: *quantity,
        partner_discount: None,
        touchpoints: vec![Touchpoint {
            outlet_id: None,
            room_id: None,
            creator_id: None,
            surface: "live_card".into(),
            media_time_ms: 7,
            touch_time: Some(Micros(5)),
        }],
    };
    Place {
        order_id: nth(number),
        partner_id: partner(whose),
        partner_order_id: format!("po-{key}"),
        partner_checkout_id: String::new(),
        shopper_ref: format!("shopper-{shopper}"),
        destination: Destination {
            region_code: "FR".into(),
            subdivision_code: String::new(),
        },
        lines: lines.iter().enumerate().map(line).collect(),
        quote: None,
        expected_payable: Some(Money::new(first, total)),
        hold: None,
    }
}

/// A quote for a placement: at half the price, or over, or for something else, or none of ours.
pub fn quote(place: &Place, wrong: u8) -> Result<Quote, Refusal> {
    if wrong == 8 {
        return Err(Refusal::new(ErrorReason::BadQuote, "not ours"));
    }
    let line = |line: &PlaceLine| {
        let half = OFFERS[line.listing_id.uuid() as usize - 1].price / 2;
        let unit_price = Price::new(Money::new(Currency::EUR, half), 1).expect("a price");
        let payable = half * line.quantity;
        QuoteLine {
            listing_id: line.listing_id,
            quantity: line.quantity + i64::from(wrong == 7),
            terms_version: 1,
            unit_price,
            amount: LineAmount {
                price: payable,
                payable,
                ..LineAmount::default()
            },
        }
    };
    Ok(Quote {
        partner_id: place.partner_id,
        destination: place.destination.clone(),
        currency: Currency::EUR,
        lines: place.lines.iter().map(line).collect(),
        // The first ten minutes of the world.
        expire_time: Micros::from_seconds(1_767_225_600 + if wrong == 6 { 0 } else { 600 }),
    })
}

/// A payment statement: for which order, under which reference, how much.
pub fn confirm(
    number: usize,
    whose: usize,
    order: usize,
    reference: usize,
    amount: Money,
) -> Command {
    Command::Confirm(Box::new(Confirm {
        payment_id: PaymentId::from_uuid(number as u128),
        refund_id: RefundId::from_uuid(number as u128),
        partner_id: partner(whose),
        order_id: nth(order),
        payment_reference: format!("ref-{reference}"),
        amount,
        pay_time: Micros::from_seconds(1_767_225_600),
        kid: "key".into(),
        statement: Signed("signed".into()),
    }))
}

pub fn extend(key: usize, whose: usize, order: usize, seconds: u64) -> Command {
    Command::Extend(Extend {
        key: request_key("extend", key, order as u8),
        partner_id: partner(whose),
        order_id: nth(order),
        extension: Duration::from_secs(seconds),
    })
}

pub fn cancel(key: usize, whose: Option<usize>, order: usize) -> Command {
    Command::Cancel(Cancel {
        key: request_key("cancel", key, order as u8),
        partner_id: whose.map(partner),
        order_id: nth(order),
        lines: Vec::new(),
        reason: CancelReason::ShopperRequest,
    })
}

pub fn expire(order: usize) -> Command {
    Command::Expire(Expire {
        order_id: OrderId::from_uuid(order as u128 + 1),
    })
}

pub fn move_units(number: usize, key: usize, which: usize, quantity: i64) -> Command {
    Command::Move(Move {
        key: request_key("move", key, quantity as u8),
        movement_id: nth(number + 100),
        allotment_id: allotment(which),
        kind: if quantity > 0 {
            MovementKind::TopUp
        } else {
            MovementKind::Shrinkage
        },
        quantity,
        reason: "counted".into(),
        actor: "ops".into(),
    })
}

pub fn stop(number: usize, key: usize, target: StopTarget) -> Command {
    Command::Stop(Stop {
        key: request_key("stop", key, target.id().len() as u8),
        stop_id: nth(number),
        target,
        reason: "doubt".into(),
        actor: "ops".into(),
    })
}

pub fn resume(key: usize, stop: usize) -> Command {
    Command::Resume(Resume {
        key: request_key("resume", key, stop as u8),
        stop_id: StopId::from_uuid(stop as u128 + 1),
        actor: "ops".into(),
    })
}

/// Commands as one unit of work, as a lane would run them.
pub struct Batch {
    runner: Runner,
    requests: Vec<Request>,
}

impl Batch {
    pub fn new(commands: &[Command]) -> Self {
        let caller = Arc::new(Caller::system("test"));
        let request = |command: &Command| Request {
            caller: caller.clone(),
            command: command.clone(),
        };
        Batch {
            runner: Runner { rules: RULES },
            requests: commands.iter().map(request).collect(),
        }
    }
}

impl Operation for Batch {
    type Output = Vec<Verdict>;

    fn name(&self) -> &'static str {
        "test.batch"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Verdict>, Fault> {
        self.runner.run(tx, &self.requests).await
    }
}
