//! PrivacyService.

use ::store::erasure::{Erasure, rendered};
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use contracts::room::v1::privacy_service_server::PrivacyService;
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::errors::Refusal;
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Api, Keys, given, open, request_id};
use crate::ops::privacy::{EraseShopper as Erase, ReadErasure};

#[tonic::async_trait]
impl PrivacyService for Api {
    async fn erase_shopper(
        &self,
        request: Request<EraseShopperRequest>,
    ) -> Answer<EraseShopperResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner_id = shoppers_partner(&mut v, &caller, &asked.partner_id)?;
        let shopper_ref = v.text("shopper_ref", &asked.shopper_ref, 1..=128);
        v.finish()?;
        let partner_id = given(partner_id)?;
        let keys = Keys {
            method: "vitrine.room.v1.PrivacyService/EraseShopper",
            request_id,
            request: &asked,
        };
        let keep_days = self.db.keys()?.config().backup_keep_days;
        let of = shopper_ref.clone();
        let render = move |erasures: &Vec<Erasure>| EraseShopperResponse {
            erasure: rendered(&partner_id, &of, erasures, keep_days),
        };
        let erase = Erase {
            partner_id,
            shopper_ref,
        };
        Ok(self.mutate(&caller, keys, erase, render).await?.into())
    }

    async fn get_erasure(&self, request: Request<GetErasureRequest>) -> Answer<GetErasureResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = shoppers_partner(&mut v, &caller, &asked.partner_id)?;
        let shopper_ref = v.text("shopper_ref", &asked.shopper_ref, 1..=128);
        v.finish()?;
        let partner_id = given(partner_id)?;
        let keep_days = self.db.keys()?.config().backup_keep_days;
        let read = ReadErasure {
            partner_id,
            shopper_ref: shopper_ref.clone(),
        };
        let erasures = self.read(&caller, read).await?;
        let erasure = rendered(&partner_id, &shopper_ref, &erasures, keep_days);
        let erasure = erasure.ok_or_else(|| Refusal::not_found("erasure"))?;
        Ok(GetErasureResponse {
            erasure: Some(erasure),
        }
        .into())
    }
}

/// The partner that is named, or that calls.
fn shoppers_partner(
    v: &mut Violations,
    caller: &Caller,
    named: &str,
) -> Result<Option<PartnerId>, Refusal> {
    let asked = v.opt_id::<PartnerId>("partner_id", named);
    if let Some(asked) = &asked {
        caller.require_partner(asked, "partner")?;
    }
    if caller.audience == Audience::Partner {
        return caller.partner().map(Some);
    }
    if named.is_empty() {
        v.add("partner_id", "must be set: say whose shopper it is.");
    }
    Ok(asked)
}
