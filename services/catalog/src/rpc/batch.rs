//! ListingService, what goes beyond one listing: batches, and the versions of terms.

use contracts::catalog::v1::{self, listing_verdict::Verdict as Said, *};
use contracts::id::ListingId;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;
use prost::Message;
use tonic::Request;

use super::listing::{decision, draft};
use super::{Answer, Keys, Rpc, etag, given, open, render, render_rules, request_id};
use crate::model::listing::{Listing, Party};
use crate::ops::batch::{CheckListings, DecideListings, ProposeListings, Ruling, Verdict};
use crate::ops::listing::Draft;
use crate::ops::read;
use crate::store::listing_write::TermsVersion as KnownVersion;

impl Rpc {
    pub(super) async fn propose_batch(
        &self,
        request: Request<BatchProposeListingsRequest>,
    ) -> Answer<BatchProposeListingsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        v.items("drafts", &asked.drafts, 1..=self.config.batch_listings_max);
        v.finish()?;
        let drafts = asked.drafts.iter().map(|sent| parse_draft(&caller, sent));
        let operation = ProposeListings {
            drafts: drafts.collect::<Result<_, Fault>>()?,
        };
        if asked.validate_only {
            let checked = self.read(&caller, CheckListings(operation)).await?;
            return Ok(proposed(&checked, render::checked_listing).into());
        }
        let keys = Keys {
            method: "vitrine.catalog.v1.ListingService/BatchProposeListings",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |made: &Vec<Verdict<Listing>>| {
            proposed(made, render::listing)
        })
        .await
    }

    pub(super) async fn decide_batch(
        &self,
        request: Request<BatchDecideListingsRequest>,
    ) -> Answer<BatchDecideListingsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        v.items(
            "decisions",
            &asked.decisions,
            1..=self.config.batch_listings_max,
        );
        v.finish()?;
        let operation = DecideListings {
            rulings: asked
                .decisions
                .iter()
                .map(parse_ruling)
                .collect::<Result<_, Fault>>()?,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.ListingService/BatchDecideListings",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |made: &Vec<Verdict<Listing>>| {
            BatchDecideListingsResponse {
                verdicts: verdicts(made, render::listing),
                accepted_count: accepted(made),
            }
        })
        .await
    }

    pub(super) async fn terms_versions(
        &self,
        request: Request<ListTermsVersionsRequest>,
    ) -> Answer<ListTermsVersionsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let listing_id = v.id::<ListingId>("listing_id", &asked.listing_id);
        v.finish()?;
        let query = ["ListTermsVersions", asked.listing_id.as_str()];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = read::ListTermsVersions {
            listing_id: given(listing_id)?,
            slice,
        };
        let versions = self.read(&caller, operation).await?;
        let (versions, next_page_token) =
            page.cut(versions, |version| vec![version.terms_version.to_string()]);
        let terms_versions = versions.iter().map(version);
        Ok(ListTermsVersionsResponse {
            terms_versions: terms_versions.collect::<Result<_, Fault>>()?,
            next_page_token,
        }
        .into())
    }
}

/// What is wrong with one of many hinders no other.
fn checked<T>(v: Violations, parsed: Option<T>) -> Result<Verdict<T>, Fault> {
    match v.finish() {
        Ok(()) => Ok(Ok(given(parsed)?)),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn parse_draft(caller: &Caller, sent: &ListingDraft) -> Result<Verdict<Draft>, Fault> {
    let mut v = Violations::new();
    let parsed = draft(
        &mut v,
        caller,
        (&sent.partner_id, &sent.variant_id),
        &sent.terms,
    );
    checked(v, parsed)
}

fn parse_ruling(sent: &ListingDecision) -> Result<Verdict<Ruling>, Fault> {
    let mut v = Violations::new();
    let listing_id = v.id::<ListingId>("listing_id", &sent.listing_id);
    let action = decision(&mut v, sent.decision, &sent.reason);
    let etag = etag(&mut v, &sent.etag);
    let parsed = listing_id.map(|listing_id| Ruling {
        listing_id,
        etag,
        action,
    });
    checked(v, parsed)
}

fn proposed(
    made: &[Verdict<Listing>],
    listing: fn(&Listing) -> v1::Listing,
) -> BatchProposeListingsResponse {
    BatchProposeListingsResponse {
        verdicts: verdicts(made, listing),
        accepted_count: accepted(made),
    }
}

fn verdicts(
    made: &[Verdict<Listing>],
    listing: fn(&Listing) -> v1::Listing,
) -> Vec<ListingVerdict> {
    let each = made.iter().map(|verdict| ListingVerdict {
        verdict: Some(match verdict {
            Ok(made) => Said::Listing(render::batch_listing(listing(made))),
            Err(refusal) => Said::Refusal(render_rules::refusal(refusal)),
        }),
    });
    each.collect()
}

/// At most as many as a batch may have.
fn accepted(made: &[Verdict<Listing>]) -> i32 {
    let count = made.iter().filter(|verdict| verdict.is_ok()).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn version(known: &KnownVersion) -> Result<TermsVersion, Fault> {
    let set_by = match known.set_by {
        Party::Retailer => v1::Party::Retailer,
        Party::Partner => v1::Party::Partner,
    };
    Ok(TermsVersion {
        terms_version: known.terms_version,
        terms: Some(ListingTerms::decode(known.terms.as_slice()).map_err(Fault::internal)?),
        set_by: set_by.into(),
        create_time: Some(known.create_time.to_proto()),
    })
}
