//! Contact data.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::order::v1 as pb;
use contracts::order::v1::contact::Form;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, keyed, parse};
use crate::model::contact::{Contact, PlainContact, TokenContact};
use crate::ops::contact::{GetContact, SetContact};
use crate::ops::privacy::ReadOwner;

const SET_CONTACT: &str = "vitrine.order.v1.OrderService/SetContact";

impl Api {
    pub(super) async fn set_contact(
        &self,
        caller: &Arc<Caller>,
        request: pb::SetContactRequest,
    ) -> Result<pb::SetContactResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        let contact = contact(&mut v, &request.contact);
        v.finish()?;
        let (Some(order_id), Some(contact)) = (order_id, contact) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let owner = ReadOwner {
            partner_id,
            order_id,
        };
        if let Some(owner) = self.db.read(caller, owner).await? {
            // The key store is asked now, and not while the order is locked.
            self.db.keys()?.of(&owner).await?;
        }
        let keyed = keyed(caller, SET_CONTACT, &request_id, &request);
        let render = |contact_version: &i64| pb::SetContactResponse {
            contact_version: *contact_version,
        };
        self.db
            .execute(
                caller,
                Idempotent::new(
                    keyed,
                    SetContact {
                        partner_id,
                        order_id,
                        contact,
                    },
                    render,
                ),
            )
            .await
    }

    pub(super) async fn get_contact(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetContactRequest,
    ) -> Result<pb::GetContactResponse, Fault> {
        let mut v = Violations::new();
        let order_id = v.id("order_id", &request.order_id);
        let purpose = v.text("purpose", &request.purpose, 1..=200);
        v.finish()?;
        let Some(order_id) = order_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let (contact, contact_version) = self
            .db
            .execute(caller, GetContact { order_id, purpose })
            .await?;
        Ok(pb::GetContactResponse {
            contact: Some(rendered(contact)),
            contact_version,
        })
    }
}

fn contact(v: &mut Violations, value: &Option<pb::Contact>) -> Option<Contact> {
    let contact = v.required("contact", value)?;
    let mut v = v.nested("contact");
    match &contact.form {
        Some(Form::Plain(contact)) => Some(Contact::Plain(plain(&mut v.nested("plain"), contact))),
        Some(Form::Token(contact)) => Some(Contact::Token(token(&mut v.nested("token"), contact))),
        None => {
            v.add("form", "must be plain or token.");
            None
        }
    }
}

fn plain(v: &mut Violations, contact: &pb::PlainContact) -> PlainContact {
    let recipient_name = v.text("recipient_name", &contact.recipient_name, 1..=200);
    if !contact.phone_number.is_empty() && !is_e164(&contact.phone_number) {
        v.add(
            "phone_number",
            "must be an E.164 number such as +33612345678, or empty.",
        );
    }
    v.items("address_lines", &contact.address_lines, 1..=6);
    for (index, line) in contact.address_lines.iter().enumerate().take(6) {
        v.text(&format!("address_lines[{index}]"), line, 1..=200);
    }
    let locality = v.text("locality", &contact.locality, 0..=120);
    let postal_code = v.text("postal_code", &contact.postal_code, 0..=20);
    parse::region_code(v, &contact.region_code);
    PlainContact {
        recipient_name,
        phone_number: contact.phone_number.clone(),
        address_lines: contact.address_lines.clone(),
        locality,
        postal_code,
        region_code: contact.region_code.clone(),
    }
}

fn token(v: &mut Violations, contact: &pb::TokenContact) -> TokenContact {
    let token = v.text("token", &contact.token, 1..=1_024);
    let masked_text = v.text("masked_text", &contact.masked_text, 0..=300);
    parse::region_code(v, &contact.region_code);
    TokenContact {
        token,
        masked_text,
        region_code: contact.region_code.clone(),
    }
}

/// A plus sign and 7 to 15 digits that do not begin with 0.
fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

fn rendered(contact: Contact) -> pb::Contact {
    let form = match contact {
        Contact::Plain(contact) => Form::Plain(pb::PlainContact {
            recipient_name: contact.recipient_name,
            phone_number: contact.phone_number,
            address_lines: contact.address_lines,
            locality: contact.locality,
            postal_code: contact.postal_code,
            region_code: contact.region_code,
        }),
        Contact::Token(contact) => Form::Token(pb::TokenContact {
            token: contact.token,
            masked_text: contact.masked_text,
            region_code: contact.region_code,
        }),
    };
    pb::Contact { form: Some(form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> pb::PlainContact {
        pb::PlainContact {
            recipient_name: "Ann Example".into(),
            phone_number: "+33612345678".into(),
            address_lines: vec!["1 rue de la Paix".into()],
            locality: "Paris".into(),
            postal_code: "75002".into(),
            region_code: "FR".into(),
        }
    }

    fn wrong(change: impl FnOnce(&mut pb::PlainContact)) -> Vec<String> {
        let mut contact = good();
        change(&mut contact);
        let mut v = Violations::new();
        super::contact(
            &mut v,
            &Some(pb::Contact {
                form: Some(Form::Plain(contact)),
            }),
        );
        let refusal = v.finish().err();
        refusal
            .map(|refusal| {
                refusal
                    .violations
                    .into_iter()
                    .map(|found| found.field)
                    .collect()
            })
            .unwrap_or_default()
    }

    #[test]
    fn every_field_of_readable_data_is_checked() {
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
        assert_eq!(
            wrong(|contact| contact.phone_number.clear()),
            Vec::<String>::new()
        );
        assert_eq!(
            wrong(|contact| contact.recipient_name = " ".into()),
            ["contact.plain.recipient_name"]
        );
        for number in [
            "0612345678",
            "+0612345678",
            "+33 612345678",
            "+123456",
            "+1234567890123456",
        ] {
            assert_eq!(
                wrong(|contact| contact.phone_number = number.into()),
                ["contact.plain.phone_number"],
                "{number}"
            );
        }
        assert_eq!(
            wrong(|contact| contact.address_lines.clear()),
            ["contact.plain.address_lines"]
        );
        assert_eq!(
            wrong(|contact| contact.address_lines.push("x\0".into())),
            ["contact.plain.address_lines[1]"]
        );
        assert_eq!(
            wrong(|contact| contact.locality = "x".repeat(121)),
            ["contact.plain.locality"]
        );
        assert_eq!(
            wrong(|contact| contact.postal_code = "x".repeat(21)),
            ["contact.plain.postal_code"]
        );
        assert_eq!(
            wrong(|contact| contact.region_code = "fr".into()),
            ["contact.plain.region_code"]
        );
    }

    #[test]
    fn data_is_in_one_form() {
        for empty in [None, Some(pb::Contact { form: None })] {
            let mut v = Violations::new();
            assert_eq!(super::contact(&mut v, &empty), None);
            assert!(v.finish().is_err());
        }
    }
}
