//! What the contract has and this server does not offer yet. A request is checked all the same, so that a partner
//! who builds against the contract hears of mistakes now.

use std::sync::Arc;

use contracts::ErrorReason;
use contracts::id::ListingId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, parse};

/// The longest token of a deep link.
const LINK_TOKEN_CHARS_MAX: usize = 8_192;

impl Api {
    pub(super) async fn create_deep_link(
        &self,
        _: &Arc<Caller>,
        request: pb::CreateDeepLinkRequest,
    ) -> Result<pb::CreateDeepLinkResponse, Fault> {
        let mut v = Violations::new();
        parse::request_id(&mut v, &request.request_id);
        v.id::<ListingId>("listing_id", &request.listing_id);
        v.text("shopper_ref", &request.shopper_ref, 1..=128);
        let most = usize::try_from(self.config.touchpoints_max).unwrap_or(usize::MAX);
        parse::loose_touchpoints(&mut v, &request.touchpoints, most);
        v.finish()?;
        Err(later("CreateDeepLink").into())
    }

    pub(super) async fn report_conversion(
        &self,
        _: &Arc<Caller>,
        request: pb::ReportConversionRequest,
    ) -> Result<pb::ReportConversionResponse, Fault> {
        let mut v = Violations::new();
        parse::request_id(&mut v, &request.request_id);
        v.text("link_token", &request.link_token, 1..=LINK_TOKEN_CHARS_MAX);
        v.signed_money("amount", &request.amount);
        v.finish()?;
        Err(later("ReportConversion").into())
    }
}

fn later(method: &str) -> Refusal {
    Refusal::new(
        ErrorReason::NotOffered,
        format!("{method} is not offered yet; nothing was done."),
    )
    .with("method", method)
}
