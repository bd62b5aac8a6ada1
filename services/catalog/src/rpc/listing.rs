//! ListingService.

use contracts::catalog::v1::listing_service_server::ListingService;
use contracts::catalog::v1::{self, *};
use contracts::id::{ListingId, ProductId, VariantId};
use kit::caller::Caller;
use kit::validate::Violations;
use prost::Message;
use tonic::Request;

use super::partner::partner_or_own;
use super::{Answer, Keys, Rpc, etag, given, open, parse_terms, reason, render, request_id};
use crate::model::listing::{Action, Listing as Known, ListingState};
use crate::ops::listing::{ChangeListing, CheckListing, Draft, ProposeListing};
use crate::ops::read;
use crate::store::listing::ListingFilter;

/// What every change of a listing says beside the change.
struct Which<'a> {
    request_id: &'a str,
    listing_id: &'a str,
    etag: &'a str,
}

impl Rpc {
    /// Changes a listing; `v` holds what is wrong with the action so far.
    async fn change<Q: Message, R: Message + Default + 'static>(
        &self,
        caller: &Caller,
        (method, asked): (&'static str, &Q),
        which: Which<'_>,
        (mut v, action): (Violations, Action),
        answer: fn(Option<v1::Listing>) -> R,
    ) -> Answer<R> {
        let request_id = request_id(&mut v, which.request_id);
        let listing_id = v.id::<ListingId>("listing_id", which.listing_id);
        let etag = etag(&mut v, which.etag);
        v.finish()?;
        let operation = ChangeListing {
            listing_id: given(listing_id)?,
            etag,
            action,
        };
        let keys = Keys {
            method,
            request_id,
            request: asked,
        };
        let render = move |listing: &Known| answer(Some(render::listing(listing)));
        self.mutate(caller, keys, operation, render).await
    }
}

/// The three fields that every change has.
macro_rules! which {
    ($asked:expr) => {
        Which {
            request_id: &$asked.request_id,
            listing_id: &$asked.listing_id,
            etag: &$asked.etag,
        }
    };
}

#[tonic::async_trait]
impl ListingService for Rpc {
    async fn propose_listing(
        &self,
        request: Request<ProposeListingRequest>,
    ) -> Answer<ProposeListingResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let ids = (asked.partner_id.as_str(), asked.variant_id.as_str());
        let draft = draft(&mut v, &caller, ids, &asked.terms);
        v.finish()?;
        let operation = ProposeListing(given(draft)?);
        if asked.validate_only {
            let listing = self.read(&caller, CheckListing(operation)).await?;
            return Ok(ProposeListingResponse {
                listing: Some(render::checked_listing(&listing)),
            }
            .into());
        }
        let keys = Keys {
            method: "vitrine.catalog.v1.ListingService/ProposeListing",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |listing| ProposeListingResponse {
            listing: Some(render::listing(listing)),
        })
        .await
    }

    async fn decide_listing(
        &self,
        request: Request<DecideListingRequest>,
    ) -> Answer<DecideListingResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let action = decision(&mut v, asked.decision, &asked.reason);
        let method = "vitrine.catalog.v1.ListingService/DecideListing";
        let answer = |listing| DecideListingResponse { listing };
        self.change(
            &caller,
            (method, &asked),
            which!(asked),
            (v, action),
            answer,
        )
        .await
    }

    async fn publish_listing(
        &self,
        request: Request<PublishListingRequest>,
    ) -> Answer<PublishListingResponse> {
        let (caller, asked) = open(request)?;
        let action = (Violations::new(), Action::Publish);
        let method = "vitrine.catalog.v1.ListingService/PublishListing";
        let answer = |listing| PublishListingResponse { listing };
        self.change(&caller, (method, &asked), which!(asked), action, answer)
            .await
    }

    async fn change_listing_terms(
        &self,
        request: Request<ChangeListingTermsRequest>,
    ) -> Answer<ChangeListingTermsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let action = Action::ChangeTerms(parse_terms::terms_change(
            &mut v,
            &asked,
            self.config.commission_notice(),
        ));
        let method = "vitrine.catalog.v1.ListingService/ChangeListingTerms";
        let answer = |listing| ChangeListingTermsResponse { listing };
        self.change(
            &caller,
            (method, &asked),
            which!(asked),
            (v, action),
            answer,
        )
        .await
    }

    async fn pause_listing(
        &self,
        request: Request<PauseListingRequest>,
    ) -> Answer<PauseListingResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let reason = reason(&mut v, &asked.reason);
        let action = (v, Action::Pause { reason });
        let method = "vitrine.catalog.v1.ListingService/PauseListing";
        let answer = |listing| PauseListingResponse { listing };
        self.change(&caller, (method, &asked), which!(asked), action, answer)
            .await
    }

    async fn resume_listing(
        &self,
        request: Request<ResumeListingRequest>,
    ) -> Answer<ResumeListingResponse> {
        let (caller, asked) = open(request)?;
        let action = (Violations::new(), Action::Resume);
        let method = "vitrine.catalog.v1.ListingService/ResumeListing";
        let answer = |listing| ResumeListingResponse { listing };
        self.change(&caller, (method, &asked), which!(asked), action, answer)
            .await
    }

    async fn end_listing(&self, request: Request<EndListingRequest>) -> Answer<EndListingResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let reason = reason(&mut v, &asked.reason);
        let action = (v, Action::End { reason });
        let method = "vitrine.catalog.v1.ListingService/EndListing";
        let answer = |listing| EndListingResponse { listing };
        self.change(&caller, (method, &asked), which!(asked), action, answer)
            .await
    }

    async fn get_listing(&self, request: Request<GetListingRequest>) -> Answer<GetListingResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let listing_id = v.id::<ListingId>("listing_id", &asked.listing_id);
        v.finish()?;
        let operation = read::GetListing {
            listing_id: given(listing_id)?,
        };
        let listing = self.read(&caller, operation).await?;
        Ok(GetListingResponse {
            listing: Some(render::listing(&listing)),
        }
        .into())
    }

    async fn list_listings(
        &self,
        request: Request<ListListingsRequest>,
    ) -> Answer<ListListingsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let filter = ListingFilter {
            partner_id: partner_or_own(&mut v, &caller, &asked.partner_id),
            state: v.opt_enumeration("state", asked.state).and_then(state),
            product_id: v.opt_id::<ProductId>("product_id", &asked.product_id),
        };
        v.finish()?;
        let query = [
            "ListListings",
            filter.partner_id.as_ref().map_or("", |id| id.as_str()),
            filter.state.map_or("", ListingState::word),
            asked.product_id.as_str(),
        ];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let listings = self
            .read(&caller, read::ListListings { filter, slice })
            .await?;
        let listings = listings.iter().map(render::listing).collect();
        let (listings, next_page_token) = self.cut(&page, listings, |item| &item.listing_id);
        Ok(ListListingsResponse {
            listings,
            next_page_token,
        }
        .into())
    }

    async fn batch_propose_listings(
        &self,
        request: Request<BatchProposeListingsRequest>,
    ) -> Answer<BatchProposeListingsResponse> {
        self.propose_batch(request).await
    }

    async fn batch_decide_listings(
        &self,
        request: Request<BatchDecideListingsRequest>,
    ) -> Answer<BatchDecideListingsResponse> {
        self.decide_batch(request).await
    }

    async fn list_terms_versions(
        &self,
        request: Request<ListTermsVersionsRequest>,
    ) -> Answer<ListTermsVersionsResponse> {
        self.terms_versions(request).await
    }
}

/// A listing that somebody wants to propose; `ids` are the partner's and the variant's.
pub(super) fn draft(
    v: &mut Violations,
    caller: &Caller,
    (partner_id, variant_id): (&str, &str),
    terms: &Option<ListingTerms>,
) -> Option<Draft> {
    let own = partner_or_own(v, caller, partner_id);
    if own.is_none() && partner_id.is_empty() {
        v.add("partner_id", "must not be empty.");
    }
    let variant_id = v.id::<VariantId>("variant_id", variant_id);
    let sent = v.required("terms", terms);
    let terms = sent.and_then(|terms| parse_terms::terms(&mut v.nested("terms"), terms));
    Some(Draft {
        partner_id: own?,
        variant_id: variant_id?,
        terms: terms?,
    })
}

/// What somebody decides.
pub(super) fn decision(v: &mut Violations, decision: i32, why: &str) -> Action {
    match v.enumeration::<Decision>("decision", decision) {
        Decision::Reject => Action::Reject {
            reason: reason(v, why),
        },
        Decision::Approve | Decision::Unspecified => Action::Approve {
            reason: v.text("reason", why, 0..=500),
        },
    }
}

fn state(state: v1::ListingState) -> Option<ListingState> {
    match state {
        v1::ListingState::Unspecified => None,
        v1::ListingState::Proposed => Some(ListingState::Proposed),
        v1::ListingState::Approved => Some(ListingState::Approved),
        v1::ListingState::Live => Some(ListingState::Live),
        v1::ListingState::Paused => Some(ListingState::Paused),
        v1::ListingState::Ended => Some(ListingState::Ended),
        v1::ListingState::Rejected => Some(ListingState::Rejected),
    }
}
