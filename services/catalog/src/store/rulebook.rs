//! The one row that keeps decisions and changes of the rules apart.

use kit::errors::Fault;
use store::{Tx, sql};

use super::{locked, met};

/// Keeps every rule as it is until the commit. Comes before any other lock.
pub(crate) async fn rulebook_hold(tx: &mut Tx) -> Result<(), Fault> {
    locked!(
        tx,
        "FOR SHARE",
        one(i64,),
        "SELECT version FROM rulebook WHERE rulebook_id = 1"
    )?;
    Ok(())
}

/// Waits until nobody decides by the rules as they are, and keeps others from deciding until the commit.
/// Comes before any other lock.
pub(crate) async fn rulebook_turn(tx: &mut Tx) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE rulebook SET version = version + 1 WHERE rulebook_id = 1"
    )?;
    met(rows, "rulebook")
}
