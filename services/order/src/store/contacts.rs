//! Contact data: the one table that holds it, sealed with the shopper's key.

use ::store::erasure::key_for;
use ::store::{Owner, Tx, sql};
use contracts::id::{OrderId, PartnerId};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::seal::Place;
use serde::{Deserialize, Serialize};

use super::id;
use crate::model::contact::{Contact, PlainContact, TokenContact};

/// The kind of personal data, as erasures and keys call it.
pub const CONTACT: &str = "CONTACT";

/// Whose contact data it is.
pub fn contact_owner(partner_id: PartnerId, shopper_ref: &str) -> Owner {
    Owner::new(CONTACT, partner_id, shopper_ref)
}

fn place(order_id: &str) -> Place<'_> {
    Place::new("contact", order_id, "sealed")
}

/// What is sealed, as it was when it was written: fields may be added and are never renamed.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    recipient_name: String,
    phone_number: String,
    address_lines: Vec<String>,
    locality: String,
    postal_code: String,
    token: String,
    masked_text: String,
}

impl Content {
    fn of(contact: &Contact) -> Self {
        match contact.clone() {
            Contact::Plain(plain) => Content {
                recipient_name: plain.recipient_name,
                phone_number: plain.phone_number,
                address_lines: plain.address_lines,
                locality: plain.locality,
                postal_code: plain.postal_code,
                ..Content::default()
            },
            Contact::Token(token) => Content {
                token: token.token,
                masked_text: token.masked_text,
                ..Content::default()
            },
        }
    }

    fn model(self, form: &str, region_code: String) -> Contact {
        if form == "TOKEN" {
            return Contact::Token(TokenContact {
                token: self.token,
                masked_text: self.masked_text,
                region_code,
            });
        }
        Contact::Plain(PlainContact {
            recipient_name: self.recipient_name,
            phone_number: self.phone_number,
            address_lines: self.address_lines,
            locality: self.locality,
            postal_code: self.postal_code,
            region_code,
        })
    }
}

/// What cannot be read is not quoted: it is personal data.
fn unreadable<E>(_: E) -> Fault {
    Fault::internal("the contact data of an order cannot be read")
}

#[derive(sqlx::FromRow)]
struct ContactRow {
    order_id: String,
    form: String,
    recipient_name: String,
    phone_number: String,
    address_lines: String,
    locality: String,
    postal_code: String,
    region_code: String,
    token: String,
    masked_text: String,
    contact_version: i64,
    key_id: String,
    sealed: Option<Vec<u8>>,
}

impl ContactRow {
    /// From before there were seals.
    fn plain(&self) -> Result<Content, Fault> {
        let address_lines = match self.address_lines.as_str() {
            "" => Vec::new(),
            lines => serde_json::from_str(lines).map_err(unreadable)?,
        };
        Ok(Content {
            recipient_name: self.recipient_name.clone(),
            phone_number: self.phone_number.clone(),
            address_lines,
            locality: self.locality.clone(),
            postal_code: self.postal_code.clone(),
            token: self.token.clone(),
            masked_text: self.masked_text.clone(),
        })
    }
}

/// Writes the contact data of a shopper's order in place of what was there; gives its new version.
pub async fn contact_put(
    tx: &mut Tx,
    order_id: &OrderId,
    owner: &Owner,
    contact: &Contact,
) -> Result<i64, Fault> {
    let form = match contact {
        Contact::Plain(_) => "PLAIN",
        Contact::Token(_) => "TOKEN",
    };
    let key = key_for(tx, owner).await?;
    let content = serde_json::to_vec(&Content::of(contact)).map_err(unreadable)?;
    let sealed = key.seal(place(order_id.as_str()), &content);
    let now = tx.now();
    let (version,) = sql!(
        tx,
        one(i64,),
        "INSERT INTO contact (order_id, form, recipient_name, phone_number, address_lines, locality, postal_code, \
         region_code, token, masked_text, contact_version, update_time, partner_id, shopper_ref, key_id, sealed) \
         VALUES ($1, $2, '', '', '', '', '', $3, '', '', 1, $4, $5, $6, $7, $8) \
         ON CONFLICT (order_id) DO UPDATE SET form = excluded.form, recipient_name = '', phone_number = '', \
         address_lines = '', locality = '', postal_code = '', region_code = excluded.region_code, token = '', \
         masked_text = '', contact_version = contact.contact_version + 1, update_time = excluded.update_time, \
         partner_id = excluded.partner_id, shopper_ref = excluded.shopper_ref, key_id = excluded.key_id, \
         sealed = excluded.sealed RETURNING contact_version",
        order_id,
        form,
        contact.region_code(),
        now,
        owner.partner_id,
        &owner.shopper_ref,
        key.id(),
        sealed.as_slice()
    )?;
    Ok(version)
}

/// The contact data of an order with its version; none when there is none, or its key is destroyed.
pub async fn contact_by_order(
    tx: &mut Tx,
    order_id: &OrderId,
) -> Result<Option<(Contact, i64)>, Fault> {
    let row = sql!(
        tx,
        optional ContactRow,
        "SELECT order_id, form, recipient_name, phone_number, address_lines, locality, postal_code, region_code, \
         token, masked_text, contact_version, key_id, sealed FROM contact WHERE order_id = $1",
        order_id
    )?;
    let Some(row) = row else {
        return Ok(None);
    };
    let content = match &row.sealed {
        None => row.plain()?,
        Some(sealed) => {
            let Some(key) = tx.keys()?.by_id(&row.key_id).await? else {
                return Ok(None);
            };
            let opened = key.open(place(&row.order_id), sealed).map_err(unreadable)?;
            serde_json::from_slice(&opened).map_err(unreadable)?
        }
    };
    let version = row.contact_version;
    Ok(Some((content.model(&row.form, row.region_code), version)))
}

/// What an order whose contact data is to be erased still needs it for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ContactNeed {
    /// The order.
    pub order_id: String,
    /// Its state.
    pub state: String,
    /// Returns under way.
    pub returns_open: i64,
    /// Refunds that are not executed.
    pub refunds_open: i64,
    /// Chargebacks that are not decided.
    pub chargebacks_open: i64,
    /// When it changed last.
    pub update_time: i64,
}

/// A shopper's orders with contact data, at most so many.
pub async fn contact_needs(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
    limit: i64,
) -> Result<Vec<ContactNeed>, Fault> {
    Ok(sql!(
        tx,
        all ContactNeed,
        "SELECT c.order_id, o.state, o.returns_open, o.refunds_open, \
         (SELECT CAST(COUNT(*) AS BIGINT) FROM chargeback AS b WHERE b.order_id = c.order_id AND b.state = 'OPENED') \
         AS chargebacks_open, o.update_time \
         FROM contact AS c JOIN orders AS o ON o.order_id = c.order_id \
         WHERE c.shopper_ref = $1 AND c.partner_id = $2 AND c.key_id <> '' ORDER BY c.order_id LIMIT $3",
        shopper_ref,
        partner_id,
        limit
    )?)
}

/// Takes the contact data of an order away.
pub async fn contact_delete(tx: &mut Tx, order_id: &str) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "DELETE FROM contact WHERE order_id = $1",
        order_id
    )?;
    Ok(())
}

/// Seals contact data that was written before there were seals, at most so many rows; how many they were.
pub async fn contacts_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let orders = sql!(
        tx,
        all(String, String, String),
        "SELECT c.order_id, o.partner_id, o.shopper_ref FROM contact AS c JOIN orders AS o ON o.order_id = c.order_id \
         WHERE c.key_id = '' ORDER BY c.order_id LIMIT $1",
        limit
    )?;
    for (order_id, partner_id, shopper_ref) in &orders {
        contact_seal(tx, order_id, &contact_owner(id(partner_id)?, shopper_ref)).await?;
    }
    Ok(orders.len())
}

async fn contact_seal(tx: &mut Tx, order_id: &str, owner: &Owner) -> Result<(), Fault> {
    let row = sql!(
        tx,
        optional ContactRow,
        "SELECT order_id, form, recipient_name, phone_number, address_lines, locality, postal_code, region_code, \
         token, masked_text, contact_version, key_id, sealed FROM contact WHERE order_id = $1 AND key_id = ''",
        order_id
    )?;
    let Some(row) = row else {
        return Ok(());
    };
    let key = key_for(tx, owner).await?;
    let content = serde_json::to_vec(&row.plain()?).map_err(unreadable)?;
    let sealed = key.seal(place(order_id), &content);
    // A version that was set meanwhile is sealed in its own turn, or was sealed when it was set.
    sql!(
        tx,
        execute,
        "UPDATE contact SET recipient_name = '', phone_number = '', address_lines = '', locality = '', \
         postal_code = '', token = '', masked_text = '', partner_id = $2, shopper_ref = $3, key_id = $4, sealed = $5 \
         WHERE order_id = $1 AND key_id = '' AND contact_version = $6",
        order_id,
        owner.partner_id,
        &owner.shopper_ref,
        key.id(),
        sealed.as_slice(),
        row.contact_version
    )?;
    Ok(())
}

/// When contact data may go after the last change of its order.
pub fn kept_until(need: &ContactNeed, retention: std::time::Duration) -> Micros {
    Micros(need.update_time).plus(retention)
}
