//! Which shoppers are which person, by a keyed hash of the retailer's own key.

use ::store::{Tx, bulk, sql};
use contracts::id::PartnerId;
use kit::errors::Fault;

use super::{column, id};

/// A partner and its shopper.
pub type ShopperName<'a> = (PartnerId, &'a str);

/// Says who a shopper is, in the place of what was said before.
pub async fn person_put(
    tx: &mut Tx,
    (partner_id, shopper_ref): ShopperName<'_>,
    person: &str,
) -> Result<(), Fault> {
    let (now, actor) = (tx.now(), tx.caller().subject.clone());
    sql!(
        tx,
        execute,
        "INSERT INTO person_link (partner_id, shopper_ref, person, actor, update_time) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (partner_id, shopper_ref) DO UPDATE SET person = excluded.person, actor = excluded.actor, \
         update_time = excluded.update_time",
        partner_id,
        shopper_ref,
        person,
        &actor,
        now
    )?;
    Ok(())
}

/// Forgets who a shopper is; false when nobody had said it.
pub async fn person_delete(
    tx: &mut Tx,
    (partner_id, shopper_ref): ShopperName<'_>,
) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "DELETE FROM person_link WHERE partner_id = $1 AND shopper_ref = $2",
        partner_id,
        shopper_ref
    )?;
    Ok(rows == 1)
}

/// Who these shoppers are, as far as it was said.
pub async fn persons_of(
    tx: &mut Tx,
    shoppers: &[ShopperName<'_>],
) -> Result<Vec<((PartnerId, String), String)>, Fault> {
    if shoppers.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, String, String),
        postgres: "SELECT p.* FROM UNNEST($1::TEXT[], $2::TEXT[]) AS k(partner_id, shopper_ref) CROSS JOIN LATERAL \
                   (SELECT partner_id, shopper_ref, person FROM person_link WHERE partner_id = k.partner_id \
                   AND shopper_ref = k.shopper_ref LIMIT 1) AS p",
        sqlite: "SELECT p.partner_id, p.shopper_ref, p.person FROM json_each($1) AS k \
                 CROSS JOIN person_link AS p ON p.partner_id = k.value->>0 AND p.shopper_ref = k.value->>1",
        columns: [column(shoppers, |shopper| shopper.0), column(shoppers, |shopper| shopper.1)]
    )?;
    let read = |(partner_id, shopper_ref, person): (String, String, String)| {
        Ok(((id(&partner_id)?, shopper_ref), person))
    };
    rows.into_iter().map(read).collect()
}
