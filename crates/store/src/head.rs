//! The last statements of every unit of work: positions, feed entries, audit rows.
//!
//! What an operation publishes and audits is kept until just before the commit, because the row that gives
//! positions is locked from then on: whoever holds it is the only one to publish, so positions are without a
//! gap and become visible in order. On SQLite many units share one transaction; each does this inside its own
//! savepoint, so one that is undone gives its positions back.

use std::collections::BTreeMap;

use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::macros::same;
use crate::tx::Tx;
use crate::{bulk, insert, sql};

/// The scope of the service's own sequence.
pub(crate) const SERVICE: &str = "";
/// The scope of the audit chain. No partner's id can be the same, because ids carry a prefix.
pub(crate) const AUDIT: &str = "audit";

/// One entry to be published with the unit of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEntry {
    /// The partner that may see it; empty when it belongs to none.
    pub partner_id: String,
    /// What it is about; entries of one aggregate are applied in order.
    pub aggregate_id: String,
    /// The aggregate's etag after the change.
    pub etag: String,
    /// A short word for its content, for people who look into the table.
    pub kind: &'static str,
    /// The encoded entry without its `meta`, which is put in when it is read.
    pub payload: Vec<u8>,
}

impl NewEntry {
    /// An entry with the content of `message`, whose `meta` has to be empty.
    pub fn new(
        kind: &'static str,
        aggregate_id: impl Into<String>,
        message: &impl prost::Message,
    ) -> Self {
        NewEntry {
            aggregate_id: aggregate_id.into(),
            kind,
            payload: message.encode_to_vec(),
            ..NewEntry::default()
        }
    }

    /// The same, belonging to a partner.
    pub fn partner(mut self, partner_id: impl Into<String>) -> Self {
        self.partner_id = partner_id.into();
        self
    }

    /// The same, with the aggregate's etag.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = etag.into();
        self
    }
}

/// An entry that waits for the end of its transaction, with the trace of the call that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) entry: NewEntry,
    pub(crate) traceparent: String,
}

/// Where the sequences of one unit of work stood before it.
#[derive(Default)]
struct Heads {
    service: i64,
    partners: BTreeMap<String, i64>,
    audit: i64,
    hash: Vec<u8>,
}

/// Writes what the unit of work has to say: at most three statements on PostgreSQL, four on SQLite, however
/// much it is; none when there is nothing. Nothing may be written after it but the commit.
pub(crate) async fn flush(tx: &mut Tx) -> Result<(), StoreError> {
    let entries = std::mem::take(&mut tx.outbox);
    let audits = std::mem::take(&mut tx.audits);
    if entries.is_empty() && audits.is_empty() {
        return Ok(());
    }
    let heads = advance(tx, &entries, audits.len()).await?;
    if !entries.is_empty() {
        insert_entries(tx, entries, heads.service, heads.partners).await?;
    }
    if !audits.is_empty() {
        insert_audits(tx, audits, heads.audit, heads.hash).await?;
    }
    Ok(())
}

/// Takes all positions in one statement. It locks the heads in the order of their scopes, the service's own
/// first, so no two units of work wait for each other crosswise.
async fn advance(tx: &mut Tx, entries: &[Pending], audits: usize) -> Result<Heads, StoreError> {
    let mut wanted: BTreeMap<&str, i64> = BTreeMap::new();
    for Pending { entry, .. } in entries {
        *wanted.entry(SERVICE).or_default() += 1;
        if !entry.partner_id.is_empty() {
            *wanted.entry(&entry.partner_id).or_default() += 1;
        }
    }
    if audits > 0 {
        wanted.insert(AUDIT, i64::try_from(audits).unwrap_or(i64::MAX));
    }
    let scopes: Vec<String> = wanted.keys().map(|scope| (*scope).to_owned()).collect();
    let counts: Vec<i64> = wanted.values().copied().collect();
    let rows = bulk!(
        tx,
        all (String, i64, Vec<u8>),
        postgres: "INSERT INTO feed_head (scope, position) \
                   SELECT scope, n FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS wanted(scope, n) \
                   ORDER BY scope COLLATE \"C\" \
                   ON CONFLICT (scope) DO UPDATE SET position = feed_head.position + excluded.position \
                   RETURNING scope, position, hash",
        sqlite: "INSERT INTO feed_head (scope, position) \
                 SELECT value->>0, value->>1 FROM json_each($1) WHERE true \
                 ON CONFLICT (scope) DO UPDATE SET position = feed_head.position + excluded.position \
                 RETURNING scope, position, hash",
        columns: [scopes, counts]
    )?;
    let mut heads = Heads::default();
    for (scope, position, hash) in rows {
        let before = position - wanted.get(scope.as_str()).copied().unwrap_or(0);
        match scope.as_str() {
            SERVICE => heads.service = before,
            AUDIT => (heads.audit, heads.hash) = (before, hash),
            _ => {
                heads.partners.insert(scope, before);
            }
        }
    }
    Ok(heads)
}

async fn insert_entries(
    tx: &mut Tx,
    entries: Vec<Pending>,
    mut position: i64,
    mut partners: BTreeMap<String, i64>,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    let size = entries.len();
    let (mut positions, mut partner_positions) =
        (Vec::with_capacity(size), Vec::with_capacity(size));
    let [
        mut partner_ids,
        mut aggregate_ids,
        mut kinds,
        mut etags,
        mut traceparents,
    ] = texts(size);
    let mut payloads = Vec::with_capacity(size);
    for Pending { entry, traceparent } in entries {
        position += 1;
        positions.push(position);
        partner_positions.push(match partners.get_mut(&entry.partner_id) {
            Some(last) => {
                *last += 1;
                *last
            }
            None => 0,
        });
        partner_ids.push(entry.partner_id);
        aggregate_ids.push(entry.aggregate_id);
        kinds.push(entry.kind.to_owned());
        etags.push(entry.etag);
        payloads.push(entry.payload);
        traceparents.push(traceparent);
    }
    insert!(tx, "feed", {
        position: positions, partner_id: partner_ids, partner_position: partner_positions, aggregate_id: aggregate_ids,
        kind: kinds, etag: etags, payload: payloads, traceparent: traceparents, commit_time: same(now, size),
    })?;
    Ok(())
}

async fn insert_audits(
    tx: &mut Tx,
    audits: Vec<NewAudit>,
    mut position: i64,
    mut prev_hash: Vec<u8>,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    let size = audits.len();
    let mut positions = Vec::with_capacity(size);
    let (mut prev_hashes, mut hashes) = (Vec::with_capacity(size), Vec::with_capacity(size));
    let [mut whos, mut issuers, mut actors, mut on_behalf_ofs] = texts(size);
    let [mut actions, mut resource_ids, mut outcomes, mut request_ids] = texts(size);
    for row in audits {
        position += 1;
        let hash = row.link(&prev_hash, position, now);
        positions.push(position);
        prev_hashes.push(std::mem::replace(&mut prev_hash, hash.clone()));
        hashes.push(hash);
        whos.push(row.who);
        issuers.push(row.issuer);
        actors.push(row.actor);
        on_behalf_ofs.push(row.on_behalf_of);
        actions.push(row.action);
        resource_ids.push(row.resource_id);
        outcomes.push(row.outcome);
        request_ids.push(row.request_id);
    }
    let last_hash = prev_hash;
    insert!(tx, "audit", {
        position: positions, who: whos, issuer: issuers, actor: actors, on_behalf_of: on_behalf_ofs, action: actions,
        resource_id: resource_ids, outcome: outcomes, request_id: request_ids, prev_hash: prev_hashes, hash: hashes,
        at: same(now, size),
    })?;
    sql!(
        tx,
        execute,
        "UPDATE feed_head SET hash = $1 WHERE scope = $2",
        last_hash.as_slice(),
        AUDIT
    )?;
    Ok(())
}

fn texts<const N: usize>(size: usize) -> [Vec<String>; N] {
    std::array::from_fn(|_| Vec::with_capacity(size))
}
