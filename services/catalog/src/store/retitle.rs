//! Products whose new title has not reached all of their listings yet.

use contracts::id::ProductId;
use kit::errors::Fault;
use store::{Tx, sql};

use super::id;

/// Notes that listings of a product still show its former title.
pub(crate) async fn retitle_add(tx: &mut Tx, product_id: &ProductId) -> Result<(), Fault> {
    let now = tx.now();
    sql!(
        tx,
        execute,
        "INSERT INTO retitle (product_id, create_time) VALUES ($1, $2) ON CONFLICT (product_id) DO NOTHING",
        product_id,
        now
    )?;
    Ok(())
}

/// Notes that all listings of a product show its title.
pub(crate) async fn retitle_remove(tx: &mut Tx, product_id: &ProductId) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "DELETE FROM retitle WHERE product_id = $1",
        product_id
    )?;
    Ok(())
}

/// The product that has waited longest.
pub(crate) async fn retitle_first(tx: &mut Tx) -> Result<Option<ProductId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT product_id FROM retitle ORDER BY create_time, product_id LIMIT 1"
    )?;
    row.map(|(product_id,)| id(&product_id)).transpose()
}
