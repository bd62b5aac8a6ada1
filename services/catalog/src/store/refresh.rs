//! Notes of changes that have not reached all of their listings yet.

use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::{Slice, word};
use crate::model::look::RefreshKind;

/// A note, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) kind: RefreshKind,
    pub(crate) key: String,
    /// The last listing or product that was reached; empty for none.
    pub(crate) after_id: String,
}

/// Notes changes of one kind. One that is noted already begins anew.
pub(crate) async fn refresh_add(
    tx: &mut Tx,
    kind: RefreshKind,
    keys: &[String],
    after_id: &str,
) -> Result<(), Fault> {
    let now = tx.now();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO refresh (kind, key, after_id, create_time) \
                   SELECT $2, u.key, $3, $4 FROM UNNEST($1::TEXT[]) AS u(key) ORDER BY u.key COLLATE \"C\" \
                   ON CONFLICT (kind, key) DO UPDATE SET after_id = excluded.after_id",
        sqlite: "INSERT INTO refresh (kind, key, after_id, create_time) \
                 SELECT $2, value->>0, $3, $4 FROM json_each($1) WHERE true \
                 ON CONFLICT (kind, key) DO UPDATE SET after_id = excluded.after_id",
        columns: [keys],
        also: [kind.word(), after_id, now]
    )?;
    Ok(())
}

/// The note that has waited longest.
pub(crate) async fn refresh_first(tx: &mut Tx) -> Result<Option<Note>, Fault> {
    let row = sql!(
        tx,
        optional(String, String, String),
        "SELECT kind, key, after_id FROM refresh ORDER BY create_time, kind, key LIMIT 1"
    )?;
    row.map(|(kind, key, after_id)| {
        let kind = word(RefreshKind::named, "refresh.kind", &kind)?;
        Ok(Note {
            kind,
            key,
            after_id,
        })
    })
    .transpose()
}

/// How far a note has come; none when it is done.
pub(crate) async fn refresh_place(tx: &mut Tx, note: &Note) -> Result<Option<String>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT after_id FROM refresh WHERE kind = $1 AND key = $2",
        note.kind.word(),
        &note.key
    )?;
    Ok(row.map(|(after_id,)| after_id))
}

/// Notes how far it has come, unless another was there first or it has begun anew.
pub(crate) async fn refresh_advance(tx: &mut Tx, note: &Note, to: &str) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "UPDATE refresh SET after_id = $1 WHERE kind = $2 AND key = $3 AND after_id = $4",
        to,
        note.kind.word(),
        &note.key,
        &note.after_id
    )?;
    Ok(())
}

/// Takes a note away that is done, unless it has begun anew.
pub(crate) async fn refresh_remove(tx: &mut Tx, note: &Note) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "DELETE FROM refresh WHERE kind = $1 AND key = $2 AND after_id = $3",
        note.kind.word(),
        &note.key,
        &note.after_id
    )?;
    Ok(())
}

/// Products of a brand or of a regulated category, by creation.
pub(crate) async fn refresh_products(
    tx: &mut Tx,
    note: &Note,
    slice: &Slice,
) -> Result<Vec<String>, Fault> {
    let rows = match note.kind {
        RefreshKind::Brand => sql!(
            tx,
            all(String,),
            "SELECT product_id FROM product WHERE brand_key = $1 AND product_id > $2 ORDER BY product_id LIMIT $3",
            &note.key,
            &slice.after,
            slice.limit
        )?,
        RefreshKind::Category => sql!(
            tx,
            all(String,),
            "SELECT product_id FROM product WHERE regulated_category = $1 AND product_id > $2 \
             ORDER BY product_id LIMIT $3",
            &note.key,
            &slice.after,
            slice.limit
        )?,
        RefreshKind::Product => vec![(note.key.clone(),)],
    };
    Ok(rows.into_iter().map(|(product_id,)| product_id).collect())
}
