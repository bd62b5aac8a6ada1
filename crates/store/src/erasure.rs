//! Erasing what is known of a shopper, kind by kind, each as soon as nothing needs it any more.
//!
//! ```text
//! asked ──▶ PENDING ── nothing needs it ──▶ DESTROYING ── key destroyed ──▶ ERASED
//!             │  ▲                                                            │
//!             └──┘ looked at again                      asked again ──▶ PENDING
//! ```
//!
//! What a service has of a kind goes in the transaction that makes it DESTROYING, together with the name of the key in
//! `destroyed_key`; then the key store is told, and only then it is ERASED. A key store that is restored from a backup
//! loses the keys of that journal again when a service starts. Whoever seals asks [`key_for`], which makes them and the
//! erasure wait for each other: nothing is ever sealed with a key that is being destroyed.

mod render;

use std::time::Duration;

use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use kit::seal::DataKey;
use tokio_util::sync::CancellationToken;

use crate::keys::{Owner, ShopperKeys};
use crate::{Db, Operation, Tx, sql};

pub use render::rendered;

/// An order is under way.
pub const ORDER_OPEN: &str = "ORDER_OPEN";
/// A return or another matter after the sale is open.
pub const AFTERSALE_OPEN: &str = "AFTERSALE_OPEN";
/// A refund or a chargeback is open.
pub const MONEY_OPEN: &str = "MONEY_OPEN";
/// A case of customer care is open.
pub const CASE_OPEN: &str = "CASE_OPEN";
/// The law asks for it to be kept.
pub const LEGAL_RETENTION: &str = "LEGAL_RETENTION";
/// There was more than one turn takes.
pub const QUEUED: &str = "QUEUED";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Names of destroyed keys that are handed to the key store at once when a service starts.
const JOURNAL_PAGE: i64 = 1_000;

/// Where an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Something needs it, or its turn has not come.
    Pending,
    /// The key store is being told.
    Destroying,
    /// Nobody can read it any more.
    Erased,
}

/// The erasure of one kind of a shopper's personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
    /// The kind, as the service calls it.
    pub kind: String,
    /// How far it is.
    pub progress: Progress,
    /// Why not yet, as the service calls it; empty when nothing is known to keep it.
    pub deferral: String,
    /// Until when it is deferred, where that is known.
    pub until: Option<Micros>,
    /// When it was asked for.
    pub request_time: Micros,
    /// When the key was destroyed.
    pub erase_time: Option<Micros>,
    key_id: String,
}

/// Why something is not erased yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// The service's word for it.
    pub why: &'static str,
    /// Until when, where that is known.
    pub until: Option<Micros>,
}

/// What a service erases.
pub trait Erases: Clone + Send + Sync + 'static {
    /// Takes away what nothing needs any more of this kind, and says what keeps the rest; none when nothing is left
    /// and the key may go.
    fn erase(
        &self,
        tx: &mut Tx,
        of: &Erasure,
    ) -> impl Future<Output = Result<Option<Deferral>, Fault>> + Send;

    /// Every kind that it has; the key of each is named so.
    fn kinds(&self) -> &'static [&'static str];

    /// Seals what was written before there were seals, at most so many rows; how many they were.
    fn seal_plain(
        &self,
        tx: &mut Tx,
        rows_max: i64,
    ) -> impl Future<Output = Result<usize, Fault>> + Send;
}

#[derive(sqlx::FromRow)]
struct Row {
    partner_id: String,
    shopper_ref: String,
    kind: String,
    state: String,
    deferral: String,
    until_time: Option<i64>,
    key_id: String,
    request_time: i64,
    erase_time: Option<i64>,
}

impl Row {
    fn model(self) -> Result<Erasure, Fault> {
        Ok(Erasure {
            partner_id: self.partner_id.parse().map_err(|error| {
                Fault::internal(format!("a column holds no partner id: {error}"))
            })?,
            shopper_ref: self.shopper_ref,
            kind: self.kind,
            progress: match self.state.as_str() {
                "PENDING" => Progress::Pending,
                "DESTROYING" => Progress::Destroying,
                _ => Progress::Erased,
            },
            deferral: self.deferral,
            until: self.until_time.map(Micros),
            request_time: Micros(self.request_time),
            erase_time: self.erase_time.map(Micros),
            key_id: self.key_id,
        })
    }
}

/// Asks for a shopper's data of these kinds to be erased. What was erased before is looked at again: there may be new.
pub async fn erasure_request(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
    kinds: &[&'static str],
) -> Result<(), Fault> {
    let now = tx.now();
    for kind in kinds {
        sql!(
            tx,
            execute,
            "INSERT INTO shopper_erasure (partner_id, shopper_ref, kind, state, deferral, next_time, key_id, \
             request_time) VALUES ($1, $2, $3, 'PENDING', '', $4, '', $4) \
             ON CONFLICT (partner_id, shopper_ref, kind) DO UPDATE SET next_time = excluded.next_time, \
             request_time = excluded.request_time, \
             state = CASE WHEN shopper_erasure.state = 'ERASED' THEN 'PENDING' ELSE shopper_erasure.state END, \
             key_id = CASE WHEN shopper_erasure.state = 'ERASED' THEN '' ELSE shopper_erasure.key_id END, \
             erase_time = NULL",
            partner_id,
            shopper_ref,
            *kind,
            now
        )?;
    }
    Ok(())
}

/// What was asked to be erased of a shopper, by kind.
pub async fn erasures_of(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
) -> Result<Vec<Erasure>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        "SELECT partner_id, shopper_ref, kind, state, deferral, until_time, key_id, request_time, erase_time \
         FROM shopper_erasure WHERE partner_id = $1 AND shopper_ref = $2 ORDER BY kind",
        partner_id,
        shopper_ref
    )?;
    rows.into_iter().map(Row::model).collect()
}

/// When the last backup of the key store that may hold a key destroyed at `time` is gone.
pub fn backups_until(time: Micros, backup_keep_days: u32) -> Micros {
    time.plus(DAY * backup_keep_days)
}

/// The key to seal with, for data that this transaction writes. It waits for an erasure of the same shopper that is
/// under way, and never gives a key that is being destroyed.
pub async fn key_for(tx: &mut Tx, owner: &Owner) -> Result<DataKey, Fault> {
    // The row's lock: an erasure that is decided in this moment sees what we write, or we see its decision.
    sql!(
        tx,
        execute,
        "UPDATE shopper_erasure SET next_time = next_time WHERE partner_id = $1 AND shopper_ref = $2 AND kind = $3",
        owner.partner_id,
        &owner.shopper_ref,
        owner.kind
    )?;
    let keys = tx.keys()?;
    let key = keys.of(owner).await?;
    let destroyed = sql!(
        tx,
        optional(i64,),
        "SELECT destroy_time FROM destroyed_key WHERE key_id = $1",
        key.id()
    )?;
    if destroyed.is_some() {
        keys.forget(key.id()).await;
        let text = "the shopper's key is being destroyed; the next run gets a new one";
        return Err(Fault::Conflict(text.into()));
    }
    Ok(key)
}

/// Erases what is due, and seals what is not sealed yet.
pub struct Eraser<E> {
    db: Db,
    keys: ShopperKeys,
    erases: E,
    caller: Caller,
}

impl<E: Erases> Eraser<E> {
    /// On a service's database, with its keys.
    pub fn new(db: Db, keys: ShopperKeys, erases: E) -> Self {
        Eraser {
            db,
            keys,
            erases,
            caller: Caller::system("privacy"),
        }
    }

    /// Works until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        let pause = Duration::from_millis(self.keys.config().erase_interval_ms.max(1));
        let (mut is_sealed, mut is_replayed) = (false, false);
        while !drain.is_cancelled() {
            let turn = self.turn(&mut is_sealed, &mut is_replayed, &drain);
            if let Err(fault) = turn.await {
                tracing::warn!(error = %fault.chain(), "erasing personal data failed, the next turn tries again");
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn turn(
        &self,
        is_sealed: &mut bool,
        is_replayed: &mut bool,
        drain: &CancellationToken,
    ) -> Result<(), Fault> {
        if !*is_replayed {
            self.replay().await?;
            *is_replayed = true;
        }
        let rows_max = i64::from(self.keys.config().erase_rows_max.max(1));
        while !*is_sealed && !drain.is_cancelled() {
            *is_sealed = self.seal(rows_max).await? == 0;
        }
        self.once().await
    }

    /// Seals rows from before there were seals, at most so many; how many they were.
    pub async fn seal(&self, rows_max: i64) -> Result<usize, Fault> {
        let work = SealPlain {
            erases: self.erases.clone(),
            rows_max,
        };
        self.db.execute(&self.caller, work).await
    }

    /// Destroys the keys of the journal again, for a key store that was restored from a backup.
    pub async fn replay(&self) -> Result<(), Fault> {
        let mut after = String::new();
        loop {
            let page = self.db.read(&self.caller, Journal { after }).await?;
            self.keys.destroy(&page).await?;
            match page.last() {
                Some(last) if page.len() as i64 == JOURNAL_PAGE => after = last.clone(),
                _ => return Ok(()),
            }
        }
    }

    /// Erases what is due now.
    pub async fn once(&self) -> Result<(), Fault> {
        let rows_max = i64::from(self.keys.config().erase_rows_max.max(1));
        let due = self.db.read(&self.caller, Due { rows_max }).await?;
        for of in due {
            match of.progress {
                Progress::Erased => {}
                Progress::Destroying => self.finish(&of.clone(), of.key_id.clone()).await?,
                Progress::Pending => self.erase(of).await?,
            }
        }
        Ok(())
    }

    async fn erase(&self, of: Erasure) -> Result<(), Fault> {
        let kind = self.erases.kinds().iter().find(|kind| **kind == of.kind);
        let Some(kind) = kind else {
            return Err(Fault::internal(
                "an erasure of a kind that is not this service's",
            ));
        };
        let owner = Owner::new(kind, of.partner_id, of.shopper_ref.as_str());
        let key_id = self.keys.id_of(&owner).await?.unwrap_or_default();
        let work = EraseOne {
            erases: self.erases.clone(),
            of: of.clone(),
            key_id: key_id.clone(),
            retry: Duration::from_secs(self.keys.config().erase_retry_s.max(1)),
        };
        if self.db.execute(&self.caller, work).await? {
            self.finish(&of, key_id).await?;
        }
        Ok(())
    }

    async fn finish(&self, of: &Erasure, key_id: String) -> Result<(), Fault> {
        if !key_id.is_empty() {
            self.keys.destroy(std::slice::from_ref(&key_id)).await?;
        }
        let of = of.clone();
        self.db.execute(&self.caller, Finish { of, key_id }).await
    }
}

struct SealPlain<E> {
    erases: E,
    rows_max: i64,
}

impl<E: Erases> Operation for SealPlain<E> {
    type Output = usize;

    fn name(&self) -> &'static str {
        "privacy.seal_plain"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        self.erases.seal_plain(tx, self.rows_max).await
    }
}

struct Journal {
    after: String,
}

impl Operation for Journal {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "privacy.journal"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<String>, Fault> {
        let rows = sql!(
            tx,
            all(String,),
            "SELECT key_id FROM destroyed_key WHERE key_id > $1 ORDER BY key_id LIMIT $2",
            &self.after,
            JOURNAL_PAGE
        )?;
        Ok(rows.into_iter().map(|(key_id,)| key_id).collect())
    }
}

struct Due {
    rows_max: i64,
}

impl Operation for Due {
    type Output = Vec<Erasure>;

    fn name(&self) -> &'static str {
        "privacy.due"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Erasure>, Fault> {
        let now = tx.now();
        let rows = sql!(
            tx,
            all Row,
            "SELECT partner_id, shopper_ref, kind, state, deferral, until_time, key_id, request_time, erase_time \
             FROM shopper_erasure WHERE state <> 'ERASED' AND next_time <= $1 \
             ORDER BY next_time, partner_id, shopper_ref, kind LIMIT $2",
            now,
            self.rows_max
        )?;
        rows.into_iter().map(Row::model).collect()
    }
}

struct EraseOne<E> {
    erases: E,
    of: Erasure,
    key_id: String,
    retry: Duration,
}

impl<E: Erases> Operation for EraseOne<E> {
    /// Whether the key is to be destroyed now.
    type Output = bool;

    fn name(&self) -> &'static str {
        "privacy.erase"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let of = &self.of;
        let now = tx.now();
        let locked = sql!(
            tx,
            execute,
            "UPDATE shopper_erasure SET next_time = $4 WHERE partner_id = $1 AND shopper_ref = $2 AND kind = $3 \
             AND state = 'PENDING'",
            of.partner_id,
            &of.shopper_ref,
            &of.kind,
            now.plus(self.retry)
        )?;
        if locked == 0 {
            return Ok(false);
        }
        if let Some(deferral) = self.erases.erase(tx, of).await? {
            let again = deferral.until.map_or(now.plus(self.retry), |until| {
                Micros(until.0.min(now.plus(self.retry).0))
            });
            sql!(
                tx,
                execute,
                "UPDATE shopper_erasure SET deferral = $4, until_time = $5, next_time = $6 \
                 WHERE partner_id = $1 AND shopper_ref = $2 AND kind = $3",
                of.partner_id,
                &of.shopper_ref,
                &of.kind,
                deferral.why,
                deferral.until,
                again
            )?;
            return Ok(false);
        }
        sql!(
            tx,
            execute,
            "UPDATE shopper_erasure SET state = 'DESTROYING', deferral = '', until_time = NULL, key_id = $4 \
             WHERE partner_id = $1 AND shopper_ref = $2 AND kind = $3",
            of.partner_id,
            &of.shopper_ref,
            &of.kind,
            &self.key_id
        )?;
        if !self.key_id.is_empty() {
            sql!(
                tx,
                execute,
                "INSERT INTO destroyed_key (key_id, destroy_time) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &self.key_id,
                now
            )?;
        }
        tx.audit(
            self.name(),
            of.partner_id,
            format!("{} of a shopper: nothing needs it", of.kind),
        );
        Ok(true)
    }
}

struct Finish {
    of: Erasure,
    key_id: String,
}

impl Operation for Finish {
    type Output = ();

    fn name(&self) -> &'static str {
        "privacy.erased"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let (of, now) = (&self.of, tx.now());
        let done = sql!(
            tx,
            execute,
            "UPDATE shopper_erasure SET state = 'ERASED', erase_time = $4 \
             WHERE partner_id = $1 AND shopper_ref = $2 AND kind = $3 AND state = 'DESTROYING'",
            of.partner_id,
            &of.shopper_ref,
            &of.kind,
            now
        )?;
        if done > 0 {
            let outcome = format!("{} of a shopper: key {} destroyed", of.kind, self.key_id);
            tx.audit(self.name(), of.partner_id, outcome);
        }
        Ok(())
    }
}
