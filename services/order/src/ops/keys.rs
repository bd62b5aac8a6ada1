//! The keys that partners sign payment statements with, parsed once and kept in memory for a moment.
//!
//! The table that the catalogue's feed fills decides. What is kept is forgotten when this process applies a change
//! of it, and after a short time in any case, because the change may have been applied by another replica.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::store::{Db, Operation, Tx};
use contracts::id::{OrderId, PartnerId};
use kit::auth::jws::PublicKey;
use kit::caller::Caller;
use kit::clock::SharedClock;
use kit::errors::Fault;
use moka::sync::Cache;

use crate::config::Config;
use crate::statement::payment::PaymentClaims;
use crate::statement::{self, Claims, Rules, Statement};
use crate::store::{mirrors, payment};

/// A key as it was read.
#[derive(Clone, Debug)]
struct Found {
    key: Option<Arc<PublicKey>>,
    active: bool,
}

/// What is remembered under a key's name, and since when.
#[derive(Clone, Debug)]
struct Kept {
    /// None while the key is being changed: whoever asks reads the table, and what they read is not kept,
    /// because it may be what was there before the change is committed.
    found: Option<Found>,
    since: Instant,
}

/// Payment keys by partner and name.
#[derive(Clone)]
pub struct KeyRing {
    db: Db,
    clock: SharedClock,
    ttl: Duration,
    rules: Arc<Rules>,
    kept: Cache<(PartnerId, String), Kept>,
}

impl KeyRing {
    /// An empty ring over the keys in `db`.
    pub fn new(db: Db, clock: SharedClock, config: &Config) -> Self {
        let kept = Cache::new(config.payment_keys_max);
        KeyRing {
            db,
            clock,
            ttl: config.payment_key_ttl(),
            rules: Arc::new(Rules::new(config)),
            kept,
        }
    }

    /// Forgets what is kept of a key that is about to change.
    pub fn forget(&self, partner_id: &PartnerId, kid: &str) {
        let changing = Kept {
            found: None,
            since: self.clock.instant(),
        };
        self.kept.insert((*partner_id, kid.to_owned()), changing);
    }

    /// Verifies a payment statement under a key of the partner.
    ///
    /// A statement that was recorded already was verified then. It stays good for the same answer when its key
    /// has been revoked since, so that a partner can always ask again.
    pub async fn verify(
        &self,
        caller: &Caller,
        partner_id: &PartnerId,
        asked: &Asked<'_>,
    ) -> Result<(Statement, String), Fault> {
        let (statement, kid, active) = self
            .verify_as::<PaymentClaims>(caller, partner_id, asked.statement)
            .await?;
        statement.must_be_about(asked.order_id, asked.payment_reference)?;
        if !active && !self.is_recorded(caller, asked).await? {
            return Err(statement::bad_key().into());
        }
        Ok((statement, kid))
    }

    /// Verifies a statement of one kind under a key of the partner; also says whether the key is active. Under one that
    /// is not, only what was recorded before may be answered.
    pub async fn verify_as<C: Claims>(
        &self,
        caller: &Caller,
        partner_id: &PartnerId,
        token: &str,
    ) -> Result<(C::Stated, String, bool), Fault> {
        let (jws, kid) = statement::unverified::<C>(token)?;
        let (key, active) = self.key(caller, partner_id, &kid).await?;
        let now = self.clock.now();
        let stated = statement::verify::<C>(&jws, &key, partner_id, &self.rules, now)?;
        Ok((stated, kid, active))
    }

    /// A key of the partner, and whether it is active.
    async fn key(
        &self,
        caller: &Caller,
        partner_id: &PartnerId,
        kid: &str,
    ) -> Result<(Arc<PublicKey>, bool), Fault> {
        let found = self.find(caller, partner_id, kid).await?;
        // A key that cannot be read verifies nothing; the catalogue does not accept such keys.
        match found.and_then(|found| Some((found.key?, found.active))) {
            Some(key) => Ok(key),
            None => Err(statement::bad_key().into()),
        }
    }

    async fn find(
        &self,
        caller: &Caller,
        partner_id: &PartnerId,
        kid: &str,
    ) -> Result<Option<Found>, Fault> {
        let name = (*partner_id, kid.to_owned());
        let now = self.clock.instant();
        let kept = self
            .kept
            .get(&name)
            .filter(|kept| now.saturating_duration_since(kept.since) < self.ttl);
        if let Some(Kept {
            found: Some(found), ..
        }) = kept
        {
            return Ok(Some(found));
        }
        let lookup = FindKey {
            partner_id: *partner_id,
            kid: kid.to_owned(),
        };
        let Some((jwk, active)) = self.db.read(caller, lookup).await? else {
            return Ok(None);
        };
        let found = Found {
            key: PublicKey::from_jwk_json(&jwk).ok().map(Arc::new),
            active,
        };
        if kept.is_none() {
            // A change that began while this was read has left its mark, which must stay.
            let entry = self.kept.entry(name);
            entry.and_upsert_with(|now_kept| match now_kept.map(moka::Entry::into_value) {
                Some(changing) if changing.found.is_none() && changing.since >= now => changing,
                _ => Kept {
                    found: Some(found.clone()),
                    since: now,
                },
            });
        }
        Ok(Some(found))
    }

    async fn is_recorded(&self, caller: &Caller, asked: &Asked<'_>) -> Result<bool, Fault> {
        let lookup = IsRecorded {
            order_id: *asked.order_id,
            payment_reference: asked.payment_reference.to_owned(),
            statement: asked.statement.to_owned(),
        };
        self.db.read(caller, lookup).await
    }
}

/// A statement and what the call says that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The order.
    pub order_id: &'a OrderId,
    /// The payment's reference.
    pub payment_reference: &'a str,
    /// The statement.
    pub statement: &'a str,
}

struct FindKey {
    partner_id: PartnerId,
    kid: String,
}

impl Operation for FindKey {
    type Output = Option<(String, bool)>;

    fn name(&self) -> &'static str {
        "payment_key.find"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        mirrors::payment_key_by_kid(tx, &self.partner_id, &self.kid).await
    }
}

/// Whether exactly this statement was recorded before.
struct IsRecorded {
    order_id: OrderId,
    payment_reference: String,
    statement: String,
}

impl Operation for IsRecorded {
    type Output = bool;

    fn name(&self) -> &'static str {
        "payment.is_recorded"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let keys = [(self.order_id, self.payment_reference.as_str())];
        let found = payment::payments_by_reference(tx, &keys).await?;
        Ok(found
            .iter()
            .any(|payment| payment.statement.0 == self.statement))
    }
}
