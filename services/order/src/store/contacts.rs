//! Contact data: the one table that holds it.

use ::store::{Tx, sql};
use contracts::id::OrderId;
use kit::errors::Fault;

use crate::model::contact::{Contact, PlainContact, TokenContact};

#[derive(sqlx::FromRow)]
struct ContactRow {
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
}

impl ContactRow {
    fn model(self) -> Result<(Contact, i64), Fault> {
        let contact = if self.form == "TOKEN" {
            Contact::Token(TokenContact {
                token: self.token,
                masked_text: self.masked_text,
                region_code: self.region_code,
            })
        } else {
            Contact::Plain(PlainContact {
                recipient_name: self.recipient_name,
                phone_number: self.phone_number,
                // What cannot be read is not quoted: it is personal data.
                address_lines: serde_json::from_str(&self.address_lines).map_err(|_| {
                    Fault::internal("the address lines of a contact cannot be read")
                })?,
                locality: self.locality,
                postal_code: self.postal_code,
                region_code: self.region_code,
            })
        };
        Ok((contact, self.contact_version))
    }
}

/// Writes the contact data of an order in place of what was there; gives its new version.
pub async fn contact_put(tx: &mut Tx, order_id: &OrderId, contact: &Contact) -> Result<i64, Fault> {
    let (form, plain, token) = match contact {
        Contact::Plain(plain) => ("PLAIN", plain.clone(), TokenContact::default()),
        Contact::Token(token) => ("TOKEN", PlainContact::default(), token.clone()),
    };
    let address_lines = serde_json::to_string(&plain.address_lines).map_err(Fault::internal)?;
    let now = tx.now();
    let (version,) = sql!(
        tx,
        one(i64,),
        "INSERT INTO contact (order_id, form, recipient_name, phone_number, address_lines, locality, postal_code, \
         region_code, token, masked_text, contact_version, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11) \
         ON CONFLICT (order_id) DO UPDATE SET form = excluded.form, recipient_name = excluded.recipient_name, \
         phone_number = excluded.phone_number, address_lines = excluded.address_lines, \
         locality = excluded.locality, postal_code = excluded.postal_code, region_code = excluded.region_code, \
         token = excluded.token, masked_text = excluded.masked_text, \
         contact_version = contact.contact_version + 1, update_time = excluded.update_time \
         RETURNING contact_version",
        order_id,
        form,
        plain.recipient_name,
        plain.phone_number,
        address_lines,
        plain.locality,
        plain.postal_code,
        contact.region_code(),
        token.token,
        token.masked_text,
        now
    )?;
    Ok(version)
}

/// The contact data of an order with its version.
pub async fn contact_by_order(
    tx: &mut Tx,
    order_id: &OrderId,
) -> Result<Option<(Contact, i64)>, Fault> {
    let row = sql!(
        tx,
        optional ContactRow,
        "SELECT form, recipient_name, phone_number, address_lines, locality, postal_code, region_code, token, \
         masked_text, contact_version FROM contact WHERE order_id = $1",
        order_id
    )?;
    row.map(ContactRow::model).transpose()
}
