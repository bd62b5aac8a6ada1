//! Deep links.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::common::v1 as common;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::parse::{self, Unoffered};
use super::{Api, bound_to, keyed, render};
use crate::model::link::DeepLink;
use crate::ops::link::{CreateDeepLink, GetDeepLink, Linked};

const CREATE_DEEP_LINK: &str = "vitrine.order.v1.OrderService/CreateDeepLink";

impl Api {
    pub(super) async fn create_deep_link(
        &self,
        caller: &Arc<Caller>,
        request: pb::CreateDeepLinkRequest,
    ) -> Result<pb::CreateDeepLinkResponse, Fault> {
        let partner_id = caller.partner()?;
        let (mut v, mut unoffered) = (Violations::new(), Unoffered::default());
        let request_id = parse::request_id(&mut v, &request.request_id);
        let listing_id = v.id("listing_id", &request.listing_id);
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        let most = usize::try_from(self.config.touchpoints_max).unwrap_or(usize::MAX);
        let touchpoints =
            parse::touchpoints(&mut v, &mut unoffered, "", &request.touchpoints, most);
        unoffered.finish(v)?;
        let Some(listing_id) = listing_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, CREATE_DEEP_LINK, &request_id, &request);
        let create = CreateDeepLink {
            partner_id,
            listing_id,
            shopper_ref,
            touchpoints,
            ttl: self.config.link_ttl(),
            sealer: self.links.clone(),
        };
        let render = |linked: &Linked| pb::CreateDeepLinkResponse {
            uri: linked.uri.clone(),
            expire_time: Some(linked.link.expire_time.to_proto()),
            deep_link_id: linked.link.deep_link_id.into(),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, create, render))
            .await
    }

    pub(super) async fn get_deep_link(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetDeepLinkRequest,
    ) -> Result<pb::GetDeepLinkResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let deep_link_id = v.id("deep_link_id", &request.deep_link_id);
        v.finish()?;
        let Some(deep_link_id) = deep_link_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let get = GetDeepLink {
            partner_id,
            deep_link_id,
        };
        let link = self.db.read(caller, get).await?;
        Ok(pb::GetDeepLinkResponse {
            deep_link: Some(deep_link(&link)),
        })
    }
}

fn deep_link(link: &DeepLink) -> pb::DeepLink {
    pb::DeepLink {
        deep_link_id: link.deep_link_id.into(),
        partner_id: link.partner_id.into(),
        listing_id: link.listing_id.into(),
        shopper_ref: link.shopper_ref.clone(),
        touchpoints: link.touchpoints.iter().map(render::touchpoint).collect(),
        terms_version: link.terms_version,
        // The column's CHECK keeps it within 10,000.
        commission_basis_points: i32::try_from(link.commission_basis_points).unwrap_or_default(),
        legal_entity: link.legal_entity.clone(),
        collected_by: common::CollectedBy::Retailer.into(),
        create_time: Some(link.create_time.to_proto()),
        expire_time: Some(link.expire_time.to_proto()),
    }
}
