//! Partners.

use contracts::id::PartnerId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, sql};

use super::{Slice, id, locked, locked_bulk, met, word};
use crate::model::partner::{Partner, PartnerProfile, PartnerState};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct Row {
    partner_id: String,
    partner_code: String,
    display_name: String,
    legal_entity: String,
    state: String,
    suspend_reason: String,
    version: i64,
    create_time: i64,
    update_time: i64,
}

impl Row {
    fn partner(self) -> Result<Partner, Fault> {
        Ok(Partner {
            partner_id: id(&self.partner_id)?,
            profile: PartnerProfile {
                partner_code: self.partner_code,
                display_name: self.display_name,
                legal_entity: self.legal_entity,
            },
            state: word(PartnerState::named, "partner.state", &self.state)?,
            suspend_reason: self.suspend_reason,
            version: Version(self.version),
            create_time: Micros(self.create_time),
            update_time: Micros(self.update_time),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT partner_id, partner_code, display_name, legal_entity, state, suspend_reason, version, \
             create_time, update_time FROM partner ",
            $rest
        )
    };
}

/// Puts in a new one; false when its code is taken.
pub(crate) async fn partner_insert(tx: &mut Tx, partner: &Partner) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO partner (partner_id, partner_code, display_name, legal_entity, state, suspend_reason, \
         version, create_time, update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (partner_code) DO NOTHING",
        partner.partner_id,
        &partner.profile.partner_code,
        &partner.profile.display_name,
        &partner.profile.legal_entity,
        partner.state.word(),
        &partner.suspend_reason,
        partner.version.0,
        partner.create_time,
        partner.update_time
    )?;
    Ok(rows == 1)
}

/// Writes a change of one that was read at version `before`.
pub(crate) async fn partner_update(
    tx: &mut Tx,
    partner: &Partner,
    before: Version,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE partner SET state = $1, suspend_reason = $2, version = $3, update_time = $4 \
         WHERE partner_id = $5 AND version = $6",
        partner.state.word(),
        &partner.suspend_reason,
        partner.version.0,
        partner.update_time,
        partner.partner_id,
        before.0
    )?;
    met(rows, "partner")
}

/// One of them.
pub(crate) async fn partner_by_id(
    tx: &mut Tx,
    partner_id: &PartnerId,
) -> Result<Option<Partner>, Fault> {
    let row = sql!(tx, optional Row, select!("WHERE partner_id = $1"), partner_id)?;
    row.map(Row::partner).transpose()
}

/// One of them, to be changed.
pub(crate) async fn partner_for_update(
    tx: &mut Tx,
    partner_id: &PartnerId,
) -> Result<Option<Partner>, Fault> {
    let row =
        locked!(tx, "FOR UPDATE", optional Row, select!("WHERE partner_id = $1"), partner_id)?;
    row.map(Row::partner).transpose()
}

/// Whether one of them may sell; it stays so until the commit.
pub(crate) async fn partner_state(
    tx: &mut Tx,
    partner_id: &PartnerId,
) -> Result<Option<PartnerState>, Fault> {
    let row = locked!(
        tx,
        "FOR SHARE",
        optional(String,),
        "SELECT state FROM partner WHERE partner_id = $1",
        partner_id
    )?;
    row.map(|(state,)| word(PartnerState::named, "partner.state", &state))
        .transpose()
}

/// Whether some of them may sell; it stays so until the commit.
pub(crate) async fn partner_states(
    tx: &mut Tx,
    partner_ids: &[PartnerId],
) -> Result<Vec<(PartnerId, PartnerState)>, Fault> {
    let rows: Vec<(String, String)> = locked_bulk!(
        tx,
        "FOR SHARE",
        all(String, String),
        postgres: "SELECT partner_id, state FROM partner WHERE partner_id = ANY($1::TEXT[]) ORDER BY partner_id",
        sqlite: "SELECT partner_id, state FROM partner WHERE partner_id IN (SELECT value->>0 FROM json_each($1))",
        columns: [partner_ids]
    )?;
    let states = rows.into_iter().map(|(partner_id, state)| {
        let state = word(PartnerState::named, "partner.state", &state)?;
        Ok((id(&partner_id)?, state))
    });
    states.collect()
}

/// All of them, by creation.
pub(crate) async fn partner_list(tx: &mut Tx, slice: &Slice) -> Result<Vec<Partner>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        select!("WHERE partner_id > $1 ORDER BY partner_id LIMIT $2"),
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(Row::partner).collect()
}
