//! What has become of erasures.

use ::store::erasure::rendered;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::privacy_service_server::PrivacyService;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use tonic::{Request, Response, Status};

use super::{Api, answer, parse};
use crate::ops::privacy::ReadErasure;

answer! {
    PrivacyService:
    get_erasure: GetErasureRequest => GetErasureResponse;
}

impl Api {
    async fn get_erasure(
        &self,
        caller: &Caller,
        request: pb::GetErasureRequest,
    ) -> Result<pb::GetErasureResponse, Fault> {
        let mut wrong = Violations::new();
        let asked = wrong.opt_id("partner_id", &request.partner_id);
        let partner = parse::readable(caller, asked)?;
        if partner.is_none() && request.partner_id.is_empty() {
            wrong.add("partner_id", "must be set: say whose shopper it is.");
        }
        let shopper_ref = wrong.text("shopper_ref", &request.shopper_ref, 1..=128);
        wrong.finish()?;
        let partner_id = partner.ok_or_else(|| Refusal::not_found("partner"))?;
        let keep_days = self.db.keys()?.config().backup_keep_days;
        let read = ReadErasure {
            partner_id,
            shopper_ref: shopper_ref.clone(),
        };
        let erasures = self.db.read(caller, read).await?;
        let erasure = rendered(&partner_id, &shopper_ref, &erasures, keep_days);
        let erasure = erasure.ok_or_else(|| Refusal::not_found("erasure"))?;
        Ok(pb::GetErasureResponse {
            erasure: Some(erasure),
        })
    }
}
