//! A small catalogue to sell from, and commands by number.

#[path = "commands.rs"]
mod commands;

use std::sync::Arc;
use std::time::Duration;

use contracts::id::{
    AllotmentId, DropId, Id, ListingId, MovementId, PartnerId, ProductId, VariantId, kind,
};
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use order::model::HoldRules;
use order::model::command::{Command, Verdict};
use order::ops::desk::{Request, Runner};
use store::batch::BatchRun;
use store::{Operation, Tx, sql};

pub use commands::{
    cancel, confirm, expire, extend, move_units, payable, place, quote, resume, stop,
};

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
    /// What it costs in its drop.
    pub drop_price: Option<i64>,
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
    drop_price: None,
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
        drop_price: Some(1_111),
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
/// Of drop 0 this many units are set aside for creator 0 until the release, and so many for outlet 0 for good.
pub const QUOTAS: (i64, i64) = (3, 2);
pub const RELEASE_DELAY_S: u64 = 450;
/// What one person may have of allotment 0.
pub const PERSON_LIMIT: i64 = 7;

pub const RULES: HoldRules = HoldRules {
    ttl: Duration::from_secs(300),
    ttl_max: Duration::from_secs(900),
    extension_max: Duration::from_secs(300),
    total_max: Duration::from_secs(1_000),
    person_limits: true,
};

/// Sets units of drop 0 aside, limits people, and says who is one: shoppers 0 and 1 of partner 0 and shopper 0 of
/// partner 1 are the same.
async fn divide(tx: &mut Tx) -> Result<(), Fault> {
    let release = tx.now().plus(Duration::from_secs(RELEASE_DELAY_S));
    quota_insert(
        tx,
        drop_id(0),
        nth::<kind::Creator>(0).as_str(),
        QUOTAS.0,
        Some(release),
    )
    .await?;
    quota_insert(
        tx,
        drop_id(0),
        nth::<kind::Outlet>(0).as_str(),
        QUOTAS.1,
        None,
    )
    .await?;
    sql!(
        tx,
        execute,
        "UPDATE allotment SET per_person_limit = $1 WHERE allotment_id = $2",
        PERSON_LIMIT,
        allotment(0)
    )?;
    for (whose, shopper) in [(0, 0), (0, 1), (1, 0)] {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO person_link (partner_id, shopper_ref, person, actor, update_time) \
             VALUES ($1, $2, 'somebody', 'test', $3)",
            partner(whose),
            format!("shopper-{shopper}"),
            now
        )?;
    }
    Ok(())
}

/// Sets units of a drop aside.
pub async fn quota_insert(
    tx: &mut Tx,
    drop_id: DropId,
    owner: &str,
    unit_limit: i64,
    release_time: Option<Micros>,
) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO drop_quota (drop_id, owner, unit_limit, taken, release_time) VALUES ($1, $2, $3, 0, $4)",
        drop_id,
        owner,
        unit_limit,
        release_time
    )?;
    sql!(
        tx,
        execute,
        "UPDATE drop_sale SET quota_total = quota_total + $1 WHERE drop_id = $2",
        unit_limit,
        drop_id
    )?;
    Ok(())
}

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
                let code = if offer.drop_price.is_some() {
                    offer.currency
                } else {
                    ""
                };
                sql!(
                    tx,
                    execute,
                    "INSERT INTO drop_listing (drop_id, listing_id, taken, currency_code, price) \
                     VALUES ($1, $2, 0, $3, $4)",
                    drop_id(sale),
                    listing(number),
                    code,
                    offer.drop_price.unwrap_or(0)
                )?;
            }
        }
        divide(tx).await
    }
}

async fn empty(tx: &mut Tx) -> Result<(), Fault> {
    macro_rules! delete {
        ($($table:literal),+) => { $(sql!(tx, execute, concat!("DELETE FROM ", $table))?;)+ };
    }
    // The ledger refuses to be emptied, so its guard is taken away.
    match tx.engine() {
        ::store::Engine::Sqlite => {
            sql!(
                tx,
                execute,
                "DROP TRIGGER IF EXISTS ledger_entry_never_goes"
            )?;
            sql!(tx, execute, "DELETE FROM ledger_entry")?;
        }
        ::store::Engine::Postgres => {
            sql!(tx, execute, "TRUNCATE ledger_entry")?;
        }
    }
    delete!(
        "refund",
        "payment",
        "contact",
        "order_line",
        "orders",
        "sale_stop",
        "shopper_count",
        "person_link",
        "drop_quota",
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
        nth::<kind::Variant>(0),
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
    sql!(
        tx,
        execute,
        "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, sku, title, unit, quantity_step, state, \
         terms_version, currency_code, price, per_quantity, retailer_discount_basis_points, shipping, \
         tax_basis_points, tax_included, per_shopper_limit, territories, commission_basis_points, legal_entity, \
         purchase_mode, dated_purchase_modes, remorse_us, ship_within_us, etag, update_time) \
         VALUES ($1, $2, $3, $4, 'SKU', 'Title', 'EACH', $5, $6, 1, $7, $8, 1, 500, 0, 1900, TRUE, $9, $10, 800, 'Seller', \
         $11, '[]', 60000000, 86400000000, 'v1', $12)",
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
            runner: Runner::new(RULES, 100),
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
