//! Hosts.

use ::store::{Tx, bulk, sql};
use contracts::id::HostId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::{expect_one, id, opt_id, word};
use crate::model::{Host, HostState};

macro_rules! columns {
    () => {
        "h.host_id, h.display_name, h.creator_id, h.state, h.decision_reason, h.create_time, h.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    host_id: String,
    display_name: String,
    creator_id: String,
    state: String,
    decision_reason: String,
    create_time: i64,
    version: i64,
}

impl Row {
    fn into_model(self) -> Result<Host, Fault> {
        Ok(Host {
            id: id(&self.host_id)?,
            display_name: self.display_name,
            creator_id: opt_id(&self.creator_id)?,
            state: word("state", &self.state, HostState::named)?,
            decision_reason: self.decision_reason,
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

/// Writes a new host.
pub async fn host_insert(tx: &mut Tx, host: &Host) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO host (host_id, display_name, creator_id, state, decision_reason, create_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        host.id,
        &host.display_name,
        host.creator_id
            .as_ref()
            .map_or("", |creator| creator.as_str()),
        host.state.word(),
        &host.decision_reason,
        host.create_time,
        host.version
    )?;
    Ok(())
}

/// Locks hosts until the end of the transaction and reads them, by id; those that do not exist are left out.
pub async fn hosts_lock(tx: &mut Tx, ids: &[HostId]) -> Result<Vec<Host>, Fault> {
    // Sorted, so that two transactions never wait for each other crosswise.
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) WITH ORDINALITY AS k(id, n) CROSS JOIN LATERAL \
             (SELECT * FROM host WHERE host_id = k.id LIMIT 1 FOR UPDATE) AS h ORDER BY k.n"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN host AS h ON h.host_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Writes what became of a host, from the version before.
pub async fn host_save(tx: &mut Tx, host: &Host) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE host SET state = $2, decision_reason = $3, version = $4 WHERE host_id = $1 AND version = $4 - 1",
        host.id,
        host.state.word(),
        &host.decision_reason,
        host.version
    )?;
    expect_one("host", touched)
}

/// One host.
pub async fn host_by_id(tx: &mut Tx, host: &HostId) -> Result<Option<Host>, Fault> {
    let row = sql!(tx, optional Row, concat!("SELECT ", columns!(), " FROM host AS h WHERE h.host_id = $1"), host)?;
    row.map(Row::into_model).transpose()
}

/// A page of hosts, by creation.
pub async fn hosts_list(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Host>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!("SELECT ", columns!(), " FROM host AS h WHERE h.host_id > $1 ORDER BY h.host_id LIMIT $2"),
        after,
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}
