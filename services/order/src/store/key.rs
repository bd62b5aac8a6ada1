//! Keys that callers gave: looked up for a whole batch without locks, one index probe each.

use ::store::macros::same;
use ::store::{Tx, bulk, insert};
use contracts::id::OrderId;
use kit::errors::Fault;

use super::{column, id};
use crate::model::book::{KeptKey, KeyName, PlaceKey};

/// The orders placed under these keys.
pub async fn orders_by_key(tx: &mut Tx, keys: &[&PlaceKey]) -> Result<Vec<OrderId>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    // A plan made while the table was nearly empty is kept, and must not read all of a partner's orders when
    // it has grown: so it is one index probe per key, and the index that holds the partner first is kept out
    // of it.
    let rows = bulk!(
        tx,
        all (String,),
        postgres: "SELECT o.order_id FROM UNNEST($1::TEXT[], $2::TEXT[]) AS k(partner_id, key) CROSS JOIN LATERAL \
                   (SELECT order_id FROM orders WHERE partner_order_id = k.key AND partner_id || '' = k.partner_id \
                   LIMIT 1) AS o",
        sqlite: "SELECT o.order_id FROM json_each($1) AS k CROSS JOIN orders AS o \
                 ON o.partner_order_id = k.value->>1 AND o.partner_id || '' = k.value->>0",
        columns: [column(keys, |key| key.0), column(keys, |key| key.1.as_str())]
    )?;
    rows.iter().map(|(order_id,)| id(order_id)).collect()
}

/// A request key that was taken, with what was asked for and what was answered.
pub type TakenKey = (String, String, String, Vec<u8>, Vec<u8>);

/// Which of these request keys are taken.
pub async fn request_keys(tx: &mut Tx, keys: &[&KeyName]) -> Result<Vec<TakenKey>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bulk!(
        tx,
        all TakenKey,
        postgres: "SELECT i.scope, i.method, i.key, i.fingerprint, i.response \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS k(scope, method, key) CROSS JOIN LATERAL \
                   (SELECT * FROM idempotency WHERE scope = k.scope AND method = k.method AND key = k.key \
                   LIMIT 1) AS i",
        sqlite: "SELECT i.scope, i.method, i.key, i.fingerprint, i.response FROM json_each($1) AS k \
                 CROSS JOIN idempotency AS i \
                 ON i.scope = k.value->>0 AND i.method = k.value->>1 AND i.key = k.value->>2",
        columns: [
            column(keys, |key| key.0.as_str()), column(keys, |key| key.1), column(keys, |key| key.2.as_str())
        ]
    )?)
}

/// Takes request keys; one that somebody else has taken meanwhile makes the unit run again.
pub async fn request_keys_insert(tx: &mut Tx, keys: &mut [KeptKey]) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    keys.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let (now, rows) = (tx.now(), keys.len());
    insert!(tx, "idempotency", {
        scope: column(keys, |key| key.name.0.as_str()), method: column(keys, |key| key.name.1),
        key: column(keys, |key| key.name.2.as_str()), fingerprint: column(keys, |key| key.fingerprint),
        response: column(keys, |key| key.response.clone()), created_time: same(now, rows),
    })?;
    Ok(())
}
