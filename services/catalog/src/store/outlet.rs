//! Outlets.

use contracts::id::PartnerId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, sql};

use super::{Slice, id, word};
use crate::model::outlet::{Outlet, Surface};

#[derive(sqlx::FromRow)]
struct Row {
    outlet_id: String,
    partner_id: String,
    surface: String,
    display_name: String,
    create_time: i64,
}

impl Row {
    fn outlet(self) -> Result<Outlet, Fault> {
        Ok(Outlet {
            outlet_id: id(&self.outlet_id)?,
            partner_id: id(&self.partner_id)?,
            surface: word(Surface::named, "outlet.surface", &self.surface)?,
            display_name: self.display_name,
            create_time: Micros(self.create_time),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT outlet_id, partner_id, surface, display_name, create_time FROM outlet ",
            $rest
        )
    };
}

/// Puts in a new one.
pub(crate) async fn outlet_insert(tx: &mut Tx, outlet: &Outlet) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO outlet (outlet_id, partner_id, surface, display_name, create_time) \
         VALUES ($1, $2, $3, $4, $5)",
        outlet.outlet_id,
        outlet.partner_id,
        outlet.surface.word(),
        &outlet.display_name,
        outlet.create_time
    )?;
    Ok(())
}

/// Those of one partner, or all.
pub(crate) async fn outlet_list(
    tx: &mut Tx,
    partner_id: Option<&PartnerId>,
    slice: &Slice,
) -> Result<Vec<Outlet>, Fault> {
    let rows = match partner_id {
        Some(partner_id) => sql!(
            tx,
            all Row,
            select!("WHERE partner_id = $1 AND outlet_id > $2 ORDER BY outlet_id LIMIT $3"),
            partner_id,
            &slice.after,
            slice.limit
        )?,
        None => sql!(
            tx,
            all Row,
            select!("WHERE outlet_id > $1 ORDER BY outlet_id LIMIT $2"),
            &slice.after,
            slice.limit
        )?,
    };
    rows.into_iter().map(Row::outlet).collect()
}
