//! Data keys of shoppers: made when something is first sealed for them, kept wrapped, destroyed for good.
//!
//! They live in a database of their own, the **key store**, and never in the one that they seal. That is what makes
//! erasure hold in backups: a backup of the data has no keys in it, so whatever is restored from it is read with the
//! keys that the key store holds then, and a destroyed one is not among them. It follows that the key store is backed up
//! apart and its backups kept for a short time ([`KeysConfig::backup_keep_days`]): until the last of them from before an
//! erasure is gone, somebody who has it, a backup of the data and the wrapping key could still read what was erased.
//! Whoever cannot wait, or had to keep both in one backup, rotates the wrapping key, wraps all data keys anew and
//! retires the old one ([`ShopperKeys::rewrap`]): every earlier copy of the key store is unreadable from then on.
//!
//! A key is committed to the key store before the first thing that is sealed with it is, so there is never data without
//! its key. A key without data is of no consequence.

use std::sync::Arc;
use std::time::Duration;

use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::seal::{DataKey, KeyBytes, KeyWrap, WrapError, Wrapped};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::migrate::Migrations;
use crate::{Db, Operation, Tx, sql};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations-keys/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations-keys/sqlite");

/// The tables of a key store.
pub const KEYS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// When the keeper of the wrapping key does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Limits on keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// Unwrapped data keys kept in memory.
    pub cached_max: u64,
    /// How long one is used from memory before the key store is asked for it again. A key that another replica
    /// destroyed is readable here for no longer than this.
    pub cache_ttl_ms: u64,
    /// How long backups of the key store are kept. The suite makes none: this is what callers are told about when the
    /// last copy of a destroyed key is gone.
    pub backup_keep_days: u32,
    /// Milliseconds between looks for what is to be erased.
    pub erase_interval_ms: u64,
    /// Seconds after which what is deferred is looked at again.
    pub erase_retry_s: u64,
    /// The most erasures, or rows sealed after the fact, in one turn.
    pub erase_rows_max: u32,
}

impl Default for KeysConfig {
    fn default() -> Self {
        KeysConfig {
            cached_max: 10_000,
            cache_ttl_ms: 30_000,
            backup_keep_days: 7,
            erase_interval_ms: 1_000,
            erase_retry_s: 600,
            erase_rows_max: 200,
        }
    }
}

/// Whose key, and for which kind of personal data.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The kind of personal data.
    pub kind: &'static str,
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Owner {
    /// A shopper's key for a kind of data.
    pub fn new(kind: &'static str, partner_id: PartnerId, shopper_ref: impl Into<String>) -> Self {
        Owner {
            kind,
            partner_id,
            shopper_ref: shopper_ref.into(),
        }
    }
}

/// What a wrapped key is bound to.
fn context(key_id: &str, kind: &str, partner_id: &str, shopper_ref: &str) -> String {
    format!("{key_id}|{kind}|{partner_id}|{shopper_ref}")
}

/// The keys of one service's shoppers. Cheap to clone.
#[derive(Clone)]
pub struct ShopperKeys {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    wrap: Arc<dyn KeyWrap>,
    config: KeysConfig,
    // Keys are wiped when the last holder lets go; a cache that forgets one is a holder less.
    by_owner: Cache<Owner, DataKey>,
    by_id: Cache<String, DataKey>,
}

impl ShopperKeys {
    /// Keys in the key store `db`, with [`KEYS`] migrated, wrapped by `wrap`.
    pub fn new(db: Db, wrap: Arc<dyn KeyWrap>, config: KeysConfig) -> Self {
        let life = Duration::from_millis(config.cache_ttl_ms);
        ShopperKeys {
            inner: Arc::new(Inner {
                by_owner: cache(config.cached_max, life),
                by_id: cache(config.cached_max, life),
                db,
                wrap,
                config,
            }),
        }
    }

    /// How they are configured.
    pub fn config(&self) -> &KeysConfig {
        &self.inner.config
    }

    /// The key store.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The shopper's key; a new one when there is none. Callers who hold no transaction yet ask for it first, so that
    /// the one that seals finds it in memory.
    pub async fn of(&self, owner: &Owner) -> Result<DataKey, Fault> {
        if let Some(key) = self.inner.by_owner.get(owner).await {
            return Ok(key);
        }
        let key = match self.find(owner).await? {
            Some(key) => key,
            None => self.make(owner).await?,
        };
        self.inner.by_owner.insert(owner.clone(), key.clone()).await;
        self.inner
            .by_id
            .insert(key.id().to_owned(), key.clone())
            .await;
        Ok(key)
    }

    /// The name of the shopper's key; none when there is none.
    pub async fn id_of(&self, owner: &Owner) -> Result<Option<String>, Fault> {
        let found = self.inner.db.read(&caller(), KeyOf(owner.clone())).await?;
        Ok(found.map(|row| row.key_id))
    }

    /// The key with this name; none when it was destroyed.
    pub async fn by_id(&self, key_id: &str) -> Result<Option<DataKey>, Fault> {
        if key_id.is_empty() {
            return Ok(None);
        }
        if let Some(key) = self.inner.by_id.get(key_id).await {
            return Ok(Some(key));
        }
        let row = self
            .inner
            .db
            .read(&caller(), KeyById(key_id.to_owned()))
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self.unwrapped(&row).await?;
        self.inner
            .by_id
            .insert(key_id.to_owned(), key.clone())
            .await;
        Ok(Some(key))
    }

    /// Destroys keys: takes their rows out of the key store and forgets them here. Other replicas forget them when they
    /// ask for them again. May be called again.
    pub async fn destroy(&self, key_ids: &[String]) -> Result<(), Fault> {
        if key_ids.is_empty() {
            return Ok(());
        }
        for key_id in key_ids {
            self.forget(key_id).await;
        }
        self.inner
            .db
            .execute(&caller(), KeyDelete(key_ids.to_vec()))
            .await?;
        // Once more: somebody may have read one just before its row went.
        for key_id in key_ids {
            self.forget(key_id).await;
        }
        Ok(())
    }

    /// Forgets a key in memory; the key store is asked the next time.
    pub async fn forget(&self, key_id: &str) {
        self.inner.by_id.invalidate(key_id).await;
        let owners: Vec<Arc<Owner>> = (self.inner.by_owner.iter())
            .filter(|(_, key)| key.id() == key_id)
            .map(|(owner, _)| owner)
            .collect();
        for owner in owners {
            self.inner.by_owner.invalidate(&*owner).await;
        }
    }

    /// Wraps keys anew that are not wrapped with the newest key, at most so many; gives how many they were. Run it again
    /// until that is less. What was wrapped before stays readable until the old wrapping key is retired.
    pub async fn rewrap(&self, rows_max: i64) -> Result<usize, Fault> {
        let newest = self.inner.wrap.newest().await.map_err(failed)?;
        let old = OldWraps {
            newest: newest.clone(),
            rows_max,
        };
        let rows = self.inner.db.read(&caller(), old).await?;
        for row in &rows {
            let bytes = self.bytes(row).await?;
            let wrapped = self.inner.wrap.wrap(&bytes, &row.context()).await;
            let again = KeyRewrap {
                key_id: row.key_id.clone(),
                before: row.wrapping_key.clone(),
                wrapped: wrapped.map_err(failed)?,
            };
            self.inner.db.execute(&caller(), again).await?;
        }
        Ok(rows.len())
    }

    /// How many keys each wrapping key holds.
    pub async fn wraps(&self) -> Result<Vec<(String, i64)>, Fault> {
        self.inner.db.read(&caller(), CountWraps).await
    }

    async fn find(&self, owner: &Owner) -> Result<Option<DataKey>, Fault> {
        let row = self.inner.db.read(&caller(), KeyOf(owner.clone())).await?;
        match row {
            Some(row) => self.unwrapped(&row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn make(&self, owner: &Owner) -> Result<DataKey, Fault> {
        let ids = self.inner.db.ids();
        let mut name = [0; 16];
        ids.random_bytes(&mut name);
        let mut bytes: KeyBytes = Zeroizing::new([0; 32]);
        ids.random_bytes(&mut bytes[..]);
        let key_id = format!("key-{}", hex::encode(name));
        let partner = owner.partner_id.to_string();
        let context = context(&key_id, owner.kind, &partner, &owner.shopper_ref);
        let wrapped = self
            .inner
            .wrap
            .wrap(&bytes, &context)
            .await
            .map_err(failed)?;
        let put = KeyPut {
            owner: owner.clone(),
            key_id: key_id.clone(),
            wrapped,
        };
        // Somebody else's may have been faster; then it is theirs.
        let kept = self.inner.db.execute(&caller(), put).await?;
        if kept.key_id == key_id {
            return Ok(DataKey::new(key_id, bytes));
        }
        self.unwrapped(&kept).await
    }

    async fn unwrapped(&self, row: &KeyRow) -> Result<DataKey, Fault> {
        Ok(DataKey::new(row.key_id.as_str(), self.bytes(row).await?))
    }

    async fn bytes(&self, row: &KeyRow) -> Result<KeyBytes, Fault> {
        let wrapped = Wrapped {
            wrapping_key: row.wrapping_key.clone(),
            bytes: row.wrapped.clone(),
        };
        let context = row.context();
        self.inner
            .wrap
            .unwrap(&wrapped, &context)
            .await
            .map_err(failed)
    }
}

impl std::fmt::Debug for ShopperKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShopperKeys")
    }
}

fn cache<K: std::hash::Hash + Eq + Send + Sync + 'static>(
    max: u64,
    life: Duration,
) -> Cache<K, DataKey> {
    Cache::builder()
        .max_capacity(max)
        .time_to_live(life)
        .build()
}

fn caller() -> Caller {
    Caller::system("keys")
}

fn failed(error: WrapError) -> Fault {
    match error {
        WrapError::Unavailable(_) => Fault::busy(error.to_string(), ASK_AGAIN),
        error => Fault::internal(error),
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    key_id: String,
    kind: String,
    partner_id: String,
    shopper_ref: String,
    wrapping_key: String,
    wrapped: Vec<u8>,
}

impl KeyRow {
    fn context(&self) -> String {
        context(
            &self.key_id,
            &self.kind,
            &self.partner_id,
            &self.shopper_ref,
        )
    }
}

struct KeyOf(Owner);

impl Operation for KeyOf {
    type Output = Option<KeyRow>;

    fn name(&self) -> &'static str {
        "key.of"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Option<KeyRow>, Fault> {
        key_of(tx, &self.0).await
    }
}

async fn key_of(tx: &mut Tx, owner: &Owner) -> Result<Option<KeyRow>, Fault> {
    Ok(sql!(
        tx,
        optional KeyRow,
        "SELECT key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped FROM data_key \
         WHERE shopper_ref = $1 AND partner_id = $2 AND kind = $3",
        &owner.shopper_ref,
        owner.partner_id,
        owner.kind
    )?)
}

struct KeyById(String);

impl Operation for KeyById {
    type Output = Option<KeyRow>;

    fn name(&self) -> &'static str {
        "key.by_id"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Option<KeyRow>, Fault> {
        Ok(sql!(
            tx,
            optional KeyRow,
            "SELECT key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped FROM data_key WHERE key_id = $1",
            &self.0
        )?)
    }
}

struct KeyPut {
    owner: Owner,
    key_id: String,
    wrapped: Wrapped,
}

impl Operation for KeyPut {
    type Output = KeyRow;

    fn name(&self) -> &'static str {
        "key.put"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<KeyRow, Fault> {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO data_key (key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped, create_time) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            &self.key_id,
            self.owner.kind,
            self.owner.partner_id,
            &self.owner.shopper_ref,
            &self.wrapped.wrapping_key,
            self.wrapped.bytes.as_slice(),
            now
        )?;
        let kept = key_of(tx, &self.owner).await?;
        kept.ok_or_else(|| Fault::Conflict("a data key was destroyed while it was made".into()))
    }
}

struct KeyDelete(Vec<String>);

impl Operation for KeyDelete {
    type Output = ();

    fn name(&self) -> &'static str {
        "key.destroy"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for key_id in &self.0 {
            let gone = sql!(
                tx,
                execute,
                "DELETE FROM data_key WHERE key_id = $1",
                key_id
            )?;
            if gone > 0 {
                tx.audit(self.name(), key_id.as_str(), "destroyed");
            }
        }
        Ok(())
    }

    fn audited(&self) -> bool {
        false
    }
}

struct OldWraps {
    newest: String,
    rows_max: i64,
}

impl Operation for OldWraps {
    type Output = Vec<KeyRow>;

    fn name(&self) -> &'static str {
        "key.old_wraps"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<KeyRow>, Fault> {
        Ok(sql!(
            tx,
            all KeyRow,
            "SELECT key_id, kind, partner_id, shopper_ref, wrapping_key, wrapped FROM data_key \
             WHERE wrapping_key <> $1 ORDER BY wrapping_key, key_id LIMIT $2",
            &self.newest,
            self.rows_max
        )?)
    }
}

struct KeyRewrap {
    key_id: String,
    before: String,
    wrapped: Wrapped,
}

impl Operation for KeyRewrap {
    type Output = ();

    fn name(&self) -> &'static str {
        "key.rewrap"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        // Whoever was faster wrapped it with the newest too; a key that was destroyed stays so.
        sql!(
            tx,
            execute,
            "UPDATE data_key SET wrapping_key = $1, wrapped = $2 WHERE key_id = $3 AND wrapping_key = $4",
            &self.wrapped.wrapping_key,
            self.wrapped.bytes.as_slice(),
            &self.key_id,
            &self.before
        )?;
        Ok(())
    }
}

struct CountWraps;

impl Operation for CountWraps {
    type Output = Vec<(String, i64)>;

    fn name(&self) -> &'static str {
        "key.count_wraps"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<(String, i64)>, Fault> {
        Ok(sql!(
            tx,
            all(String, i64),
            "SELECT wrapping_key, CAST(COUNT(*) AS BIGINT) FROM data_key GROUP BY wrapping_key ORDER BY wrapping_key"
        )?)
    }
}
