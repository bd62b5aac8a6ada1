//! Creators, who follows what, and how many do.

use ::store::{Tx, bulk, sql};
use contracts::id::CreatorId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::{Creator, Follow, Shopper, Target};

#[derive(sqlx::FromRow)]
struct Row {
    creator_id: String,
    display_name: String,
    payee_reference: String,
    create_time: i64,
}

impl Row {
    fn into_model(self) -> Result<Creator, Fault> {
        Ok(Creator {
            id: id(&self.creator_id)?,
            display_name: self.display_name,
            payee_reference: self.payee_reference,
            create_time: Micros(self.create_time),
        })
    }
}

/// Writes a new creator.
pub async fn creator_insert(tx: &mut Tx, creator: &Creator) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO creator (creator_id, display_name, payee_reference, create_time) VALUES ($1, $2, $3, $4)",
        creator.id,
        &creator.display_name,
        &creator.payee_reference,
        creator.create_time
    )?;
    Ok(())
}

/// One creator.
pub async fn creator_by_id(tx: &mut Tx, creator: &CreatorId) -> Result<Option<Creator>, Fault> {
    let row = sql!(
        tx,
        optional Row,
        "SELECT creator_id, display_name, payee_reference, create_time FROM creator WHERE creator_id = $1",
        creator
    )?;
    row.map(Row::into_model).transpose()
}

/// A page of creators, by creation.
pub async fn creators_list(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Creator>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        "SELECT creator_id, display_name, payee_reference, create_time FROM creator WHERE creator_id > $1 \
         ORDER BY creator_id LIMIT $2",
        after,
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// A shopper follows something; false when it did before.
pub async fn follow_insert(tx: &mut Tx, shopper: &Shopper, target: &Target) -> Result<bool, Fault> {
    let now = tx.now();
    let touched = sql!(
        tx,
        execute,
        "INSERT INTO follow (partner_id, shopper_ref, target_id, follow_time) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (partner_id, shopper_ref, target_id) DO NOTHING",
        shopper.partner_id,
        &shopper.shopper_ref,
        target.key(),
        now
    )?;
    Ok(touched == 1)
}

/// A shopper follows something no more; false when it did not.
pub async fn follow_delete(tx: &mut Tx, shopper: &Shopper, target: &Target) -> Result<bool, Fault> {
    let touched = sql!(
        tx,
        execute,
        "DELETE FROM follow WHERE partner_id = $1 AND shopper_ref = $2 AND target_id = $3",
        shopper.partner_id,
        &shopper.shopper_ref,
        target.key()
    )?;
    Ok(touched == 1)
}

/// How many things a shopper follows, counted up to a limit.
pub async fn follows_counted(tx: &mut Tx, shopper: &Shopper, limit: i64) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT COUNT(*) FROM (SELECT target_id FROM follow WHERE partner_id = $1 AND shopper_ref = $2 LIMIT $3) AS f",
        shopper.partner_id,
        &shopper.shopper_ref,
        limit
    )?;
    Ok(count)
}

/// Counts followers; gives how many there are now.
pub async fn followers_add(tx: &mut Tx, target: &Target, more: i64) -> Result<i64, Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO follow_count (target_id) VALUES ($1) ON CONFLICT (target_id) DO NOTHING",
        target.key()
    )?;
    let (followers,) = sql!(
        tx,
        one(i64,),
        "UPDATE follow_count SET followers = followers + $2 WHERE target_id = $1 RETURNING followers",
        target.key(),
        more
    )?;
    Ok(followers)
}

/// How many follow these, in their order.
pub async fn followers_of(tx: &mut Tx, targets: &[Target]) -> Result<Vec<i64>, Fault> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<&str> = targets.iter().map(Target::key).collect();
    let rows = bulk!(
        tx,
        all (String, i64),
        postgres: "SELECT c.target_id, c.followers FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM follow_count WHERE target_id = k.id LIMIT 1) AS c",
        sqlite: "SELECT c.target_id, c.followers FROM json_each($1) AS k CROSS JOIN follow_count AS c \
                 ON c.target_id = k.value->>0",
        columns: [keys]
    )?;
    let count = |target: &Target| {
        let row = rows.iter().find(|(key, _)| key == target.key());
        row.map_or(0, |(_, count)| *count)
    };
    Ok(targets.iter().map(count).collect())
}

/// What a shopper follows, the latest first, before a place in that list.
pub async fn follows_list(
    tx: &mut Tx,
    shopper: &Shopper,
    before: (Micros, &str),
    limit: i64,
) -> Result<Vec<Follow>, Fault> {
    let rows = sql!(
        tx,
        all(String, i64),
        "SELECT target_id, follow_time FROM follow WHERE partner_id = $1 AND shopper_ref = $2 \
         AND (follow_time, target_id) < ($3, $4) ORDER BY follow_time DESC, target_id DESC LIMIT $5",
        shopper.partner_id,
        &shopper.shopper_ref,
        before.0,
        before.1,
        limit
    )?;
    let read = |(target, time): (String, i64)| {
        let target = match id(&target) {
            Ok(channel) => Target::Channel(channel),
            Err(_) => Target::Creator(id(&target)?),
        };
        Ok(Follow {
            target,
            time: Micros(time),
        })
    };
    rows.into_iter().map(read).collect()
}
