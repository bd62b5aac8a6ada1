//! One effect for one key, however often and from however many places it is asked for.
//!
//! The key is put in first, in the same transaction as the effect: a twin waits on it until the first has
//! ended, and then either finds its answer or does the work itself. Only effects are remembered, because a
//! refusal rolls the key back with everything else.

use std::marker::PhantomData;
use std::time::Duration;

use contracts::ErrorReason;
use kit::errors::{Fault, Refusal};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{Operation, Tx, sql};

/// What was asked for, without the key: two calls with the same fingerprint want the same.
pub type FingerprintBytes = [u8; 32];

/// Builds the fingerprint of a request from what counts in it.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hash: Sha256,
}

impl Fingerprint {
    /// The fingerprint of a whole message. Messages with map fields have no fixed encoding: use parts.
    pub fn of(message: &impl Message) -> FingerprintBytes {
        Fingerprint::default()
            .bytes(&message.encode_to_vec())
            .finish()
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub fn number(self, number: i64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// Adds a message.
    pub fn message(self, message: &impl Message) -> Self {
        self.bytes(&message.encode_to_vec())
    }

    /// Adds bytes. Each part carries its length, so that parts cannot run into each other.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
        self
    }

    /// The fingerprint of all parts.
    pub fn finish(self) -> FingerprintBytes {
        self.hash.finalize().into()
    }
}

/// The key of one effect and what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Whose keys they are: `caller.scope_key()`.
    pub scope: String,
    /// The method, such as `vitrine.catalog.v1.ListingService/ProposeListing`.
    pub method: &'static str,
    /// The caller's key.
    pub key: String,
    /// What was asked for.
    pub fingerprint: FingerprintBytes,
}

impl Keyed {
    /// A key of `scope` for `method`.
    pub fn new(
        scope: impl Into<String>,
        method: &'static str,
        key: impl Into<String>,
        fingerprint: FingerprintBytes,
    ) -> Self {
        Keyed {
            scope: scope.into(),
            method,
            key: key.into(),
            fingerprint,
        }
    }
}

/// An operation that has one effect per key: the first answer is kept and given again.
pub struct Idempotent<O, F, R> {
    keyed: Keyed,
    operation: O,
    render: F,
    answer: PhantomData<fn() -> R>,
}

impl<O, F, R> Idempotent<O, F, R>
where
    O: Operation,
    F: Fn(&O::Output) -> R + Send + Sync + 'static,
    R: Message + Default + 'static,
{
    /// `operation` under a key; `render` makes the answer that is kept.
    pub fn new(keyed: Keyed, operation: O, render: F) -> Self {
        Idempotent {
            keyed,
            operation,
            render,
            answer: PhantomData,
        }
    }
}

impl<O, F, R> Operation for Idempotent<O, F, R>
where
    O: Operation,
    F: Fn(&O::Output) -> R + Send + Sync + 'static,
    R: Message + Default + 'static,
{
    type Output = R;

    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn audited(&self) -> bool {
        self.operation.audited()
    }

    async fn run(&self, tx: &mut Tx) -> Result<R, Fault> {
        if !claim(tx, &self.keyed).await? {
            let response = replay(tx, &self.keyed).await?;
            if self.audited() {
                tx.audit(self.name(), self.keyed.key.as_str(), "replayed");
            }
            return R::decode(response.as_slice()).map_err(Fault::internal);
        }
        let answer = (self.render)(&self.operation.run(tx).await?);
        remember(tx, &self.keyed, answer.encode_to_vec()).await?;
        Ok(answer)
    }
}

/// Takes the key; false when it was taken before. Waits for a twin that is under way.
async fn claim(tx: &mut Tx, keyed: &Keyed) -> Result<bool, Fault> {
    let now = tx.now().0;
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO idempotency (scope, method, key, fingerprint, created_time) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (scope, method, key) DO NOTHING",
        &keyed.scope,
        keyed.method,
        &keyed.key,
        keyed.fingerprint.as_slice(),
        now
    )?;
    Ok(rows == 1)
}

async fn replay(tx: &mut Tx, keyed: &Keyed) -> Result<Vec<u8>, Fault> {
    let row = sql!(
        tx,
        optional(Vec<u8>, Vec<u8>),
        "SELECT fingerprint, response FROM idempotency WHERE scope = $1 AND method = $2 AND key = $3",
        &keyed.scope,
        keyed.method,
        &keyed.key
    )?;
    match row {
        Some((fingerprint, response)) if fingerprint == keyed.fingerprint => Ok(response),
        Some(_) => Err(key_reused().into()),
        None => Err(Fault::Conflict(
            "the idempotency key was swept while it was asked for".into(),
        )),
    }
}

async fn remember(tx: &mut Tx, keyed: &Keyed, response: Vec<u8>) -> Result<(), Fault> {
    if response.is_empty() {
        return Ok(());
    }
    sql!(
        tx,
        execute,
        "UPDATE idempotency SET response = $1 WHERE scope = $2 AND method = $3 AND key = $4",
        response,
        &keyed.scope,
        keyed.method,
        &keyed.key
    )?;
    Ok(())
}

/// The refusal of a key that was used for something else.
pub fn key_reused() -> Refusal {
    Refusal::new(
        ErrorReason::KeyReused,
        "This key was used before with other content, and nothing was done; send the same content, or a new key.",
    )
}

/// Forgets keys older than `keep`, at most `rows_max` in one unit of work; the output is how many went. Run
/// it again until that is less than `rows_max`. Keys that are unique for ever live in the services' own
/// tables, not here.
pub struct SweepKeys {
    /// How long a key is remembered.
    pub keep: Duration,
    /// The most rows in one unit of work.
    pub rows_max: i64,
}

impl Operation for SweepKeys {
    type Output = u64;

    fn name(&self) -> &'static str {
        "idempotency.sweep"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        let before = tx.now().minus(self.keep).0;
        let rows = sql!(
            tx,
            execute,
            "DELETE FROM idempotency WHERE (scope, method, key) IN \
             (SELECT scope, method, key FROM idempotency WHERE created_time < $1 ORDER BY created_time LIMIT $2)",
            before,
            self.rows_max
        )?;
        Ok(rows)
    }
}
