//! Bringing a product's new title to its listings.
//!
//! A product may be in more listings than one unit of work should change. The first get the title together
//! with the product; for the others the product is noted, and background work goes on from there.

use contracts::id::ProductId;
use kit::caller::Caller;
use kit::errors::Fault;
use store::{Db, Operation, Tx};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::events;
use crate::store::listing::listing_retitle;
use crate::store::product::product_for_update;
use crate::store::retitle as rows;

/// Gives at most `limit` listings the title and publishes them; notes the product when there may be more.
/// The product has to be locked.
pub(super) async fn retitle(
    tx: &mut Tx,
    product_id: &ProductId,
    title: &str,
    limit: i64,
) -> Result<(), Fault> {
    let listings = listing_retitle(tx, product_id, title, limit).await?;
    for listing in &listings {
        tx.publish(events::listing(listing));
    }
    if i64::try_from(listings.len()).map_err(Fault::internal)? < limit {
        rows::retitle_remove(tx, product_id).await
    } else {
        rows::retitle_add(tx, product_id).await
    }
}

/// Goes on with one product; answers whether there was anything to do.
pub(crate) struct RetitleMore {
    pub(crate) limit: i64,
}

impl Operation for RetitleMore {
    type Output = bool;

    fn name(&self) -> &'static str {
        "product.retitle"
    }

    // It audits what it does; a turn that found nothing to do is not worth a row.
    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let Some(product_id) = rows::retitle_first(tx).await? else {
            return Ok(false);
        };
        match product_for_update(tx, &product_id).await? {
            Some(product) => {
                retitle(tx, &product_id, &product.details.title, self.limit).await?;
                tx.audit(self.name(), product_id, "done");
            }
            None => rows::retitle_remove(tx, &product_id).await?,
        }
        Ok(true)
    }
}

/// Whether any product waits; cheaper than a unit that writes.
struct RetitleWaits;

impl Operation for RetitleWaits {
    type Output = bool;

    fn name(&self) -> &'static str {
        "product.retitle_waits"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(rows::retitle_first(tx).await?.is_some())
    }
}

/// Works off whatever waits, again and again until `drain`.
pub(crate) async fn run(db: Db, config: Config, drain: CancellationToken) {
    let caller = Caller::system("retitle");
    loop {
        if let Err(fault) = work_off(&db, &config, &caller, &drain).await {
            tracing::warn!(error = %fault.chain(), "retitling listings failed, the next turn tries again");
        }
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = tokio::time::sleep(config.retitle_poll()) => {}
        }
    }
}

async fn work_off(
    db: &Db,
    config: &Config,
    caller: &Caller,
    drain: &CancellationToken,
) -> Result<(), Fault> {
    while !drain.is_cancelled() && db.read(caller, RetitleWaits).await? {
        let limit = config.retitle_limit();
        db.execute(caller, RetitleMore { limit }).await?;
    }
    Ok(())
}
