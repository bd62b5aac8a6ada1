//! Legal entities.

use contracts::id::LegalEntityId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::{Slice, id, locked, met, word};
use crate::model::legal_entity::{LegalEntity, LegalEntityDetails, LegalEntityState};

#[derive(sqlx::FromRow)]
struct Row {
    legal_entity_id: String,
    legal_entity_code: String,
    legal_name: String,
    country_code: String,
    tax_number: String,
    registered_office: String,
    state: String,
    create_time: i64,
    retire_time: Option<i64>,
}

impl Row {
    fn entity(self) -> Result<LegalEntity, Fault> {
        Ok(LegalEntity {
            legal_entity_id: id(&self.legal_entity_id)?,
            details: LegalEntityDetails {
                legal_entity_code: self.legal_entity_code,
                legal_name: self.legal_name,
                country_code: self.country_code,
                tax_number: self.tax_number,
                registered_office: self.registered_office,
            },
            state: word(LegalEntityState::named, "legal_entity.state", &self.state)?,
            create_time: Micros(self.create_time),
            retire_time: self.retire_time.map(Micros),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT legal_entity_id, legal_entity_code, legal_name, country_code, tax_number, registered_office, \
             state, create_time, retire_time FROM legal_entity ",
            $rest
        )
    };
}

/// Puts in a new one; false when its code is taken.
pub(crate) async fn legal_entity_insert(tx: &mut Tx, entity: &LegalEntity) -> Result<bool, Fault> {
    let details = &entity.details;
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO legal_entity (legal_entity_id, legal_entity_code, legal_name, country_code, tax_number, \
         registered_office, state, create_time, retire_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (legal_entity_code) DO NOTHING",
        entity.legal_entity_id,
        &details.legal_entity_code,
        &details.legal_name,
        &details.country_code,
        &details.tax_number,
        &details.registered_office,
        entity.state.word(),
        entity.create_time,
        entity.retire_time
    )?;
    Ok(rows == 1)
}

/// Writes that one was retired.
pub(crate) async fn legal_entity_retire(tx: &mut Tx, entity: &LegalEntity) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE legal_entity SET state = $1, retire_time = $2 WHERE legal_entity_id = $3 AND state = 'ACTIVE'",
        entity.state.word(),
        entity.retire_time,
        entity.legal_entity_id
    )?;
    met(rows, "legal_entity")
}

/// One of them; in a unit that writes, to be changed.
pub(crate) async fn legal_entity_by_id(
    tx: &mut Tx,
    legal_entity_id: &LegalEntityId,
) -> Result<Option<LegalEntity>, Fault> {
    let row = locked!(
        tx,
        "FOR UPDATE",
        optional Row,
        select!("WHERE legal_entity_id = $1"),
        legal_entity_id
    )?;
    row.map(Row::entity).transpose()
}

/// Some of them.
pub(crate) async fn legal_entity_by_ids(
    tx: &mut Tx,
    legal_entity_ids: &[LegalEntityId],
) -> Result<Vec<LegalEntity>, Fault> {
    let rows: Vec<Row> = bulk!(
        tx,
        all Row,
        postgres: select!("WHERE legal_entity_id = ANY($1::TEXT[])"),
        sqlite: select!("WHERE legal_entity_id IN (SELECT value->>0 FROM json_each($1))"),
        columns: [legal_entity_ids]
    )?;
    rows.into_iter().map(Row::entity).collect()
}

/// Whether there is any.
pub(crate) async fn legal_entity_any(tx: &mut Tx) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT legal_entity_id FROM legal_entity ORDER BY legal_entity_id LIMIT 1"
    )?;
    Ok(row.is_some())
}

/// All of them, by creation.
pub(crate) async fn legal_entity_list(
    tx: &mut Tx,
    slice: &Slice,
) -> Result<Vec<LegalEntity>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        select!("WHERE legal_entity_id > $1 ORDER BY legal_entity_id LIMIT $2"),
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(Row::entity).collect()
}
