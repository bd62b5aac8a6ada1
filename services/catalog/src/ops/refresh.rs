//! Bringing to listings what changed around them, and doing what their dates say.
//!
//! A change of a product, a brand's agreement, a category's rule or a licence may concern more listings than
//! one unit of work should change. It leaves a note, and background work goes on from there; of a product the
//! first listings follow in the same unit. Dates need no note: every listing has the time of its next look.
//! A look that finds nothing new writes nothing but the next date, so that looks may repeat and replicas may
//! meet: each change is published once.

use std::collections::BTreeSet;

use contracts::id::{ListingId, ProductId};
use kit::caller::Caller;
use kit::errors::Fault;
use store::{Db, Operation, Tx};
use tokio_util::sync::CancellationToken;

use super::around::Around;
use super::listing::{due_terms, told};
use crate::config::Config;
use crate::model::listing::Listing;
use crate::model::look::{Look, RefreshKind};
use crate::store::listing as rows;
use crate::store::listing_write::{self as writes, Put};
use crate::store::refresh::{
    Note, refresh_add, refresh_advance, refresh_first, refresh_place, refresh_products,
    refresh_remove,
};
use crate::store::rulebook::rulebook_hold;
use crate::store::{Slice, id};

/// Looks at listings again and publishes those that show something new. The rulebook has to be held.
async fn look_again(tx: &mut Tx, listing_ids: &[ListingId]) -> Result<(), Fault> {
    if listing_ids.is_empty() {
        return Ok(());
    }
    let parents = rows::listing_parents(tx, listing_ids, None).await?;
    let pairs: BTreeSet<_> = parents
        .iter()
        .map(|own| (own.partner_id, own.product_id))
        .collect();
    let around = Around::of_products(tx, &pairs).await?;
    let (mut puts, mut dates) = (Vec::new(), Vec::new());
    for (listing, published) in rows::listing_for_update(tx, listing_ids).await? {
        let listing_id = listing.listing_id;
        match look(tx, &around, listing, &published)? {
            Seen::New(put) => puts.push(*put),
            Seen::Same(due_time) => dates.push((listing_id, due_time)),
        }
    }
    if !puts.is_empty() {
        writes::listing_update(tx, &puts).await?;
    }
    if !dates.is_empty() {
        writes::listing_due_set(tx, &dates).await?;
    }
    for put in &puts {
        told(tx, "listing.look", put);
    }
    Ok(())
}

/// What a look found.
enum Seen {
    New(Box<Put>),
    /// Nothing new, and when to look again.
    Same(Option<kit::clock::Micros>),
}

fn look(tx: &Tx, around: &Around, mut listing: Listing, published: &str) -> Result<Seen, Fault> {
    let product_id = &listing.variant.product_id;
    let rules = around.rules(&listing.partner_id, product_id)?;
    let face = around.face(product_id)?.clone();
    let (before, state) = (listing.version, listing.state);
    let look = listing.look_again(&rules, face, tx.now());
    let is_same = match look {
        Look::Same => true,
        Look::NewTerms => false,
        Look::Shown => listing.state == state && listing.shown_key() == published,
    };
    let due_time = listing.next_look(&rules);
    if is_same {
        return Ok(Seen::Same(due_time));
    }
    listing.touch(tx.now());
    let new_terms = (look == Look::NewTerms).then(|| due_terms(&listing));
    Ok(Seen::New(Box::new(Put {
        listing,
        due_time,
        looked: true,
        before,
        new_terms,
    })))
}

/// Brings a change of a product to its first listings; leaves a note when there may be more. The rulebook and
/// the product have to be held.
pub(super) async fn refresh_product(
    tx: &mut Tx,
    product_id: &ProductId,
    limit: i64,
) -> Result<(), Fault> {
    let slice = Slice {
        after: String::new(),
        limit,
    };
    let ids = rows::listing_of_product(tx, product_id.as_str(), &slice).await?;
    look_again(tx, &ids).await?;
    match ids.last() {
        Some(last) if is_full(ids.len(), limit) => {
            let key = product_id.as_str().to_owned();
            refresh_add(tx, RefreshKind::Product, &[key], last.as_str()).await
        }
        _ => Ok(()),
    }
}

fn is_full(found: usize, limit: i64) -> bool {
    i64::try_from(found).is_ok_and(|found| found >= limit)
}

/// Goes on with the note that has waited longest; answers whether there was one.
pub(crate) struct RefreshMore {
    pub(crate) limit: i64,
}

impl Operation for RefreshMore {
    type Output = bool;

    fn name(&self) -> &'static str {
        "listing.refresh"
    }

    // What changes is audited; a turn that found nothing to do is not worth a row.
    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        rulebook_hold(tx).await?;
        let Some(note) = refresh_first(tx).await? else {
            return Ok(false);
        };
        let last = match note.kind {
            RefreshKind::Product => self.product(tx, &note).await?,
            RefreshKind::Brand | RefreshKind::Category => self.products(tx, &note).await?,
        };
        match last {
            Some(last) => refresh_advance(tx, &note, &last).await?,
            None => refresh_remove(tx, &note).await?,
        }
        Ok(true)
    }
}

impl RefreshMore {
    /// The next listings of a product; answers the last of them when there may be more.
    async fn product(&self, tx: &mut Tx, note: &Note) -> Result<Option<String>, Fault> {
        // Holding the product first makes the note fresh: whoever changes the product holds it while noting.
        let product_id: ProductId = id(&note.key)?;
        crate::store::product::product_heads(tx, &[product_id]).await?;
        let Some(after) = refresh_place(tx, note).await? else {
            return Ok(None);
        };
        let slice = Slice {
            after,
            limit: self.limit,
        };
        let ids = rows::listing_of_product(tx, &note.key, &slice).await?;
        look_again(tx, &ids).await?;
        let last = ids.last().filter(|_| is_full(ids.len(), self.limit));
        Ok(last.map(|last| last.as_str().to_owned()))
    }

    /// The next products of a brand or category, each noted for itself.
    async fn products(&self, tx: &mut Tx, note: &Note) -> Result<Option<String>, Fault> {
        let slice = Slice {
            after: note.after_id.clone(),
            limit: self.limit,
        };
        let ids = refresh_products(tx, note, &slice).await?;
        if !ids.is_empty() {
            refresh_add(tx, RefreshKind::Product, &ids, "").await?;
        }
        let is_full = is_full(ids.len(), self.limit);
        Ok(ids.into_iter().next_back().filter(|_| is_full))
    }
}

/// Looks at listings whose date has come; answers whether there were any.
pub(crate) struct LookAtDue {
    pub(crate) limit: i64,
}

impl Operation for LookAtDue {
    type Output = bool;

    fn name(&self) -> &'static str {
        "listing.due"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        rulebook_hold(tx).await?;
        let ids = rows::listing_due(tx, self.limit).await?;
        look_again(tx, &ids).await?;
        Ok(!ids.is_empty())
    }
}

/// Whether anything waits; cheaper than a unit that writes.
struct Waiting;

impl Operation for Waiting {
    /// A note, and a date.
    type Output = (bool, bool);

    fn name(&self) -> &'static str {
        "listing.waiting"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(bool, bool), Fault> {
        let has_note = refresh_first(tx).await?.is_some();
        let has_due = !rows::listing_due(tx, 1).await?.is_empty();
        Ok((has_note, has_due))
    }
}

/// Works off whatever waits, again and again until `drain`.
pub(crate) async fn run(db: Db, config: Config, drain: CancellationToken) {
    let caller = Caller::system("refresh");
    loop {
        if let Err(fault) = work_off(&db, &config, &caller, &drain).await {
            tracing::warn!(error = %fault.chain(), "looking at listings again failed, the next turn tries again");
        }
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = tokio::time::sleep(config.refresh_poll()) => {}
        }
    }
}

async fn work_off(
    db: &Db,
    config: &Config,
    caller: &Caller,
    drain: &CancellationToken,
) -> Result<(), Fault> {
    let limit = config.refresh_limit();
    while !drain.is_cancelled() {
        let (has_note, has_due) = db.read(caller, Waiting).await?;
        if has_due {
            db.execute(caller, LookAtDue { limit }).await?;
        }
        if has_note {
            db.execute(caller, RefreshMore { limit }).await?;
        }
        if !has_note && !has_due {
            break;
        }
    }
    Ok(())
}
