//! Sealed words: whose they are, what keeps them from being erased, and sealing those from before.

use contracts::id::{OrderId, PartnerId};
use kit::errors::Fault;
use kit::seal::Place;
use store::sealed::seal_text;
use store::{Owner, Tx, sql};

use super::care::sealed::{arbiter_place, body_place, care_owner};
use super::id;
use crate::model::returns::GoodsReturn;

/// The kind of personal data, as erasures and keys call it.
pub const RETURN_NOTE: &str = "RETURN_NOTE";

/// A return's note.
pub fn note_place(return_id: &str) -> Place<'_> {
    Place::new("goods_return", return_id, "shopper_note")
}

/// Learns whose order it is.
pub async fn shopper_learn(
    tx: &mut Tx,
    order_id: &OrderId,
    partner_id: &PartnerId,
    shopper_ref: &str,
) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO order_shopper (order_id, partner_id, shopper_ref) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        order_id,
        partner_id,
        shopper_ref
    )?;
    Ok(())
}

/// Whose key seals the notes of an order's returns, and the shopper where they are known.
async fn note_owner(
    tx: &mut Tx,
    order_id: &str,
    partner_id: PartnerId,
) -> Result<(Owner, String), Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT shopper_ref FROM order_shopper WHERE order_id = $1",
        order_id
    )?;
    Ok(match row {
        Some((shopper,)) => (
            Owner::new(RETURN_NOTE, partner_id, shopper.as_str()),
            shopper,
        ),
        None => (
            Owner::new(RETURN_NOTE, partner_id, format!("|{order_id}")),
            String::new(),
        ),
    })
}

/// Seals the note of a new return; gives it with the shopper.
pub async fn note_seal(
    tx: &mut Tx,
    new: &GoodsReturn,
    note: &str,
) -> Result<(String, String), Fault> {
    if note.is_empty() {
        return Ok(Default::default());
    }
    let (owner, shopper) = note_owner(tx, new.order_id.as_str(), new.partner_id).await?;
    let sealed = seal_text(tx, &owner, note_place(new.id.as_str()), note).await?;
    Ok((sealed, shopper))
}

/// The words of a shopper, oldest first: where they stand, and when what they belong to ended.
pub type Words = Vec<(String, Option<i64>)>;

/// A shopper's cases that hold words, at most so many.
pub async fn cases_with_words(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
    limit: i64,
) -> Result<Words, Fault> {
    Ok(sql!(
        tx,
        all(String, Option<i64>),
        "SELECT case_id, close_time FROM care_case WHERE partner_id = $1 AND shopper_ref = $2 AND has_words \
         ORDER BY case_id LIMIT $3",
        partner_id,
        shopper_ref,
        limit
    )?)
}

/// Forgets what was said in a case.
pub async fn case_forget(tx: &mut Tx, case_id: &str) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "UPDATE care_case SET has_words = false WHERE case_id = $1",
        case_id
    )?;
    sql!(
        tx,
        execute,
        "UPDATE care_message SET body = '', is_forgotten = true WHERE case_id = $1",
        case_id
    )?;
    // The name has to be there; it stays sealed with a key that is destroyed.
    sql!(
        tx,
        execute,
        "UPDATE care_arbiter SET reason = '' WHERE case_id = $1",
        case_id
    )?;
    Ok(())
}

/// A shopper's returns that have a note, at most so many.
pub async fn returns_with_note(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
    limit: i64,
) -> Result<Words, Fault> {
    Ok(sql!(
        tx,
        all(String, Option<i64>),
        "SELECT return_id, finish_time FROM goods_return WHERE shopper_ref = $1 AND partner_id = $2 \
         AND shopper_ref <> '' AND shopper_note <> '' ORDER BY return_id LIMIT $3",
        shopper_ref,
        partner_id,
        limit
    )?)
}

/// Forgets the note of a return.
pub async fn note_forget(tx: &mut Tx, return_id: &str) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "UPDATE goods_return SET shopper_note = '' WHERE return_id = $1",
        return_id
    )?;
    Ok(())
}

/// Seals what was written before there were seals, at most so many rows of each table; how many they were.
pub async fn words_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let sealed = messages_seal(tx, limit).await? + arbiters_seal(tx, limit).await?;
    Ok(sealed + notes_seal(tx, limit).await?)
}

async fn messages_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String, String),
        "SELECT m.message_id, m.body, c.partner_id, c.shopper_ref FROM \
         (SELECT message_id, case_id, body FROM care_message WHERE body <> '' AND substr(body, 1, 9) <> 'sealed-1:' \
         ORDER BY message_id LIMIT $1) AS m JOIN care_case AS c ON c.case_id = m.case_id ORDER BY m.message_id",
        limit
    )?;
    for (message_id, body, partner_id, shopper_ref) in &rows {
        let owner = care_owner(id(partner_id)?, shopper_ref);
        let sealed = seal_text(tx, &owner, body_place(message_id), body).await?;
        sql!(
            tx,
            execute,
            "UPDATE care_message SET body = $2 WHERE message_id = $1 AND body = $3",
            message_id,
            sealed,
            body
        )?;
    }
    Ok(rows.len())
}

async fn arbiters_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String, String, String),
        "SELECT a.case_id, a.display_name, a.reason, c.partner_id, c.shopper_ref FROM \
         (SELECT case_id, display_name, reason FROM care_arbiter WHERE substr(display_name, 1, 9) <> 'sealed-1:' \
         ORDER BY case_id LIMIT $1) AS a JOIN care_case AS c ON c.case_id = a.case_id ORDER BY a.case_id",
        limit
    )?;
    for (case_id, name, reason, partner_id, shopper_ref) in &rows {
        let owner = care_owner(id(partner_id)?, shopper_ref);
        let sealed_name =
            seal_text(tx, &owner, arbiter_place(case_id, "display_name"), name).await?;
        let sealed = seal_text(tx, &owner, arbiter_place(case_id, "reason"), reason).await?;
        sql!(
            tx,
            execute,
            "UPDATE care_arbiter SET display_name = $2, reason = $3 WHERE case_id = $1 AND display_name = $4 \
             AND reason = $5",
            case_id,
            sealed_name,
            sealed,
            name,
            reason
        )?;
    }
    Ok(rows.len())
}

async fn notes_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String, String),
        "SELECT return_id, shopper_note, partner_id, order_id FROM goods_return WHERE shopper_note <> '' \
         AND substr(shopper_note, 1, 9) <> 'sealed-1:' ORDER BY return_id LIMIT $1",
        limit
    )?;
    for (return_id, note, partner_id, order_id) in &rows {
        let (owner, shopper) = note_owner(tx, order_id, id(partner_id)?).await?;
        let sealed = seal_text(tx, &owner, note_place(return_id), note).await?;
        sql!(
            tx,
            execute,
            "UPDATE goods_return SET shopper_note = $2, shopper_ref = $3 WHERE return_id = $1 AND shopper_note = $4",
            return_id,
            sealed,
            shopper,
            note
        )?;
    }
    Ok(rows.len())
}
