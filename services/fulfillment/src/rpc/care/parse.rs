//! What requests about cases have in common.

use contracts::common::v1::Audience;
use contracts::fulfillment::v1 as pb;
use contracts::id::CaseId;
use kit::caller::Caller;
use kit::errors::Refusal;
use kit::validate::Violations;

use super::super::parse::readable;
use super::super::{Api, render};
use crate::model::care::{Attachment, Draft, Party, References, Visibility};
use crate::ops::care::Which;

/// Which case is to change; whose it has to be follows from the caller.
pub(super) struct Named {
    case_id: CaseId,
    etag: Option<String>,
}

pub(super) fn which(wrong: &mut Violations, case_id: &str, etag: &str) -> Option<Named> {
    let case_id = wrong.id("case_id", case_id);
    let etag = wrong.opt_text("etag", etag, 1..=64);
    Some(Named {
        case_id: case_id?,
        etag,
    })
}

impl Named {
    pub(super) fn of(self, caller: &Caller) -> Result<Which, Refusal> {
        Ok(Which {
            case_id: self.case_id,
            partner: readable(caller, None)?,
            etag: self.etag,
        })
    }
}

/// The refusal of a request whose case was wrong, which was refused before.
pub(super) fn no_case() -> Refusal {
    Refusal::not_found("case")
}

pub(super) fn references(wrong: &mut Violations, said: Option<&pb::CaseReferences>) -> References {
    let Some(said) = said else {
        return References::default();
    };
    let mut wrong = wrong.nested("references");
    References {
        order_id: wrong.opt_id("order_id", &said.order_id),
        order_line_id: wrong.opt_id("order_line_id", &said.order_line_id),
        return_id: wrong.opt_id("return_id", &said.return_id),
        aftersale_id: wrong.opt_id("aftersale_id", &said.aftersale_id),
        shipment_id: wrong.opt_id("shipment_id", &said.shipment_id),
        listing_id: wrong.opt_id("listing_id", &said.listing_id),
        product_id: wrong.opt_id("product_id", &said.product_id),
        room_id: wrong.opt_id("room_id", &said.room_id),
    }
}

pub(super) fn attachment(wrong: &mut Violations, said: &pb::CaseAttachment) -> Attachment {
    let is_digest = said.sha256_digest.len() == 64
        && said
            .sha256_digest
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !is_digest {
        wrong.add(
            "sha256_digest",
            "must be 64 hexadecimal digits in lower case.",
        );
    }
    Attachment {
        reference: wrong.text("attachment_reference", &said.attachment_reference, 1..=200),
        digest: said.sha256_digest.clone(),
        media_type: wrong.text("media_type", &said.media_type, 1..=100),
        size_bytes: wrong.range("size_bytes", said.size_bytes, 1..=i64::MAX),
    }
}

impl Api {
    /// A message as it is posted.
    pub(super) fn message_draft(
        &self,
        wrong: &mut Violations,
        caller: &Caller,
        said: &Option<pb::CaseMessageDraft>,
    ) -> Option<Draft> {
        let said = wrong.required("message", said)?;
        let mut wrong = wrong.nested("message");
        let care = &self.config.care;
        let author: Option<pb::CaseParty> = wrong.opt_enumeration("author", said.author);
        let author = author.and_then(render::case_party_of);
        let visibility: Option<Visibility> =
            render::visibility_of(wrong.enumeration("visibility", said.visibility));
        let text = wrong.long_text("text", &said.text, 1..=care.message_chars_max);
        if text.trim().is_empty() && !text.is_empty() {
            wrong.add("text", "must say something.");
        }
        let mut attachments = Vec::new();
        if wrong.items("attachments", &said.attachments, 0..=care.attachments_max) {
            for (at, said) in said.attachments.iter().enumerate() {
                let mut wrong = wrong.nested(format_args!("attachments[{at}]"));
                attachments.push(attachment(&mut wrong, said));
            }
        }
        Some(Draft {
            author: author.unwrap_or(match caller.audience {
                Audience::Partner => Party::Shopper,
                _ => Party::Retailer,
            }),
            visibility: visibility?,
            text,
            attachments,
        })
    }
}
