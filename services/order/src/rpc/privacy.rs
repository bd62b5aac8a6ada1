//! Erasing a shopper's personal data.

use std::sync::Arc;

use ::store::erasure::{Erasure, rendered};
use ::store::idempotency::Idempotent;
use contracts::id::PartnerId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, keyed, listed_partner, parse};
use crate::ops::privacy::{EraseShopper, ReadErasure};

const ERASE: &str = "vitrine.order.v1.PrivacyService/EraseShopper";

impl Api {
    pub(super) async fn erase_shopper(
        &self,
        caller: &Arc<Caller>,
        request: pb::EraseShopperRequest,
    ) -> Result<pb::EraseShopperResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let partner_id = shoppers_partner(&mut v, caller, &request.partner_id)?;
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        v.finish()?;
        let partner_id = partner_id.ok_or_else(|| Refusal::not_found("partner"))?;
        let keyed = keyed(caller, ERASE, &request_id, &request);
        let backup_keep_days = self.db.keys()?.config().backup_keep_days;
        let of = shopper_ref.clone();
        let render = move |erasures: &Vec<Erasure>| pb::EraseShopperResponse {
            erasure: rendered(&partner_id, &of, erasures, backup_keep_days),
        };
        let erase = EraseShopper {
            partner_id,
            shopper_ref,
        };
        self.db
            .execute(caller, Idempotent::new(keyed, erase, render))
            .await
    }

    pub(super) async fn get_erasure(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetErasureRequest,
    ) -> Result<pb::GetErasureResponse, Fault> {
        let mut v = Violations::new();
        let partner_id = shoppers_partner(&mut v, caller, &request.partner_id)?;
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        v.finish()?;
        let partner_id = partner_id.ok_or_else(|| Refusal::not_found("partner"))?;
        let backup_keep_days = self.db.keys()?.config().backup_keep_days;
        let read = ReadErasure {
            partner_id,
            shopper_ref: shopper_ref.clone(),
        };
        let erasures = self.db.read(caller, read).await?;
        let erasure = rendered(&partner_id, &shopper_ref, &erasures, backup_keep_days);
        let erasure = erasure.ok_or_else(|| Refusal::not_found("erasure"))?;
        Ok(pb::GetErasureResponse {
            erasure: Some(erasure),
        })
    }
}

/// The partner that is named, or that calls.
fn shoppers_partner(
    v: &mut Violations,
    caller: &Caller,
    named: &str,
) -> Result<Option<PartnerId>, Refusal> {
    let asked = v.opt_id("partner_id", named);
    let partner_id = listed_partner(caller, asked)?;
    if partner_id.is_none() && named.is_empty() {
        v.add("partner_id", "must be set: say whose shopper it is.");
    }
    Ok(partner_id)
}
