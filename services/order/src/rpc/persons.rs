//! Limits per person, and who is the same person at several partners.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::ErrorReason;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, keyed, parse, render};
use crate::model::Allotment;
use crate::ops::persons::{LinkPerson, UnlinkPerson};
use crate::ops::supply::SetPersonLimit;
use crate::person::PersonHasher;

const SET_PERSON_LIMIT: &str = "vitrine.order.v1.AllotmentService/SetPersonLimit";
const LINK_PERSON: &str = "vitrine.order.v1.PersonService/LinkPerson";
const UNLINK_PERSON: &str = "vitrine.order.v1.PersonService/UnlinkPerson";

impl Api {
    pub(super) async fn set_person_limit(
        &self,
        caller: &Arc<Caller>,
        request: pb::SetPersonLimitRequest,
    ) -> Result<pb::SetPersonLimitResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let allotment_id = v.id("allotment_id", &request.allotment_id);
        let limits = 0..=parse::UNITS_MAX;
        let per_person_limit = v.range("per_person_limit", request.per_person_limit, limits);
        let etag = v.text("etag", &request.etag, 0..=64);
        v.finish()?;
        let Some(allotment_id) = allotment_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, SET_PERSON_LIMIT, &request_id, &request);
        let set = SetPersonLimit {
            allotment_id,
            per_person_limit,
            etag,
        };
        let render = |changed: &Allotment| pb::SetPersonLimitResponse {
            allotment: Some(render::allotment(changed)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, set, render))
            .await
    }

    pub(super) async fn link_person(
        &self,
        caller: &Arc<Caller>,
        request: pb::LinkPersonRequest,
    ) -> Result<pb::LinkPersonResponse, Fault> {
        let hasher = self.hasher()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let partner_id = v.id("partner_id", &request.partner_id);
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        let person_key = v.text("person_key", &request.person_key, 1..=128);
        v.finish()?;
        let Some(partner_id) = partner_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, LINK_PERSON, &request_id, &request);
        let link = LinkPerson {
            partner_id,
            shopper_ref,
            person: hasher.hash(&person_key),
        };
        let render = |(): &()| pb::LinkPersonResponse {};
        self.db
            .execute(caller, Idempotent::new(keyed, link, render))
            .await
    }

    pub(super) async fn unlink_person(
        &self,
        caller: &Arc<Caller>,
        request: pb::UnlinkPersonRequest,
    ) -> Result<pb::UnlinkPersonResponse, Fault> {
        self.hasher()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let partner_id = v.id("partner_id", &request.partner_id);
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        v.finish()?;
        let Some(partner_id) = partner_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, UNLINK_PERSON, &request_id, &request);
        let unlink = UnlinkPerson {
            partner_id,
            shopper_ref,
        };
        let render = |(): &()| pb::UnlinkPersonResponse {};
        self.db
            .execute(caller, Idempotent::new(keyed, unlink, render))
            .await
    }

    fn hasher(&self) -> Result<&PersonHasher, Refusal> {
        self.persons.as_deref().ok_or_else(|| {
            Refusal::new(
                ErrorReason::NotOffered,
                "This server counts every partner's shopper apart; it does not take who is the same person.",
            )
        })
    }
}
