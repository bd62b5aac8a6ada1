//! Many listings at a time: one verdict each, what is refused hinders no other.

use contracts::ErrorReason;
use contracts::catalog::v1::listing_verdict::Verdict;
use contracts::catalog::v1::*;
use contracts::id::{ListingId, VariantId};
use kit::clock::{Clock, SystemClock};
use testkit::{Setup, TestDb, on_both_engines};
use tonic::Status;

use crate::common::*;

fn draft(partner_id: &str, variant_id: &str) -> ListingDraft {
    ListingDraft {
        partner_id: partner_id.into(),
        variant_id: variant_id.into(),
        terms: Some(terms()),
    }
}

fn batch(drafts: Vec<ListingDraft>) -> BatchProposeListingsRequest {
    BatchProposeListingsRequest {
        request_id: key(),
        drafts,
        validate_only: false,
    }
}

fn ruling(listing_id: &str, decision: Decision) -> ListingDecision {
    ListingDecision {
        listing_id: listing_id.into(),
        decision: decision.into(),
        reason: "we talked".into(),
        etag: String::new(),
    }
}

fn decisions(decisions: Vec<ListingDecision>) -> BatchDecideListingsRequest {
    BatchDecideListingsRequest {
        request_id: key(),
        decisions,
    }
}

/// The listing, or why there is none.
fn split(verdicts: Vec<ListingVerdict>) -> Vec<Result<Listing, ListingRefusal>> {
    let each = verdicts.into_iter();
    each.map(|verdict| match verdict.verdict.expect("a verdict") {
        Verdict::Listing(listing) => Ok(listing),
        Verdict::Refusal(refusal) => Err(refusal),
    })
    .collect()
}

/// A refusal of a batch says what the status of a single call says.
fn same(verdict: &Result<Listing, ListingRefusal>, single: Result<Listing, Status>) {
    let (said, single) = (verdict.as_ref().expect_err("refused"), refusal(single));
    assert_eq!(
        (said.reason(), &said.message),
        (single.reason, &single.message)
    );
    assert_eq!(
        said.metadata
            .clone()
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
        single.metadata
    );
    let fields: Vec<_> = said
        .violations
        .iter()
        .map(|own| (&own.field, &own.description))
        .collect();
    let expected: Vec<_> = single
        .violations
        .iter()
        .map(|own| (&own.field, &own.description))
        .collect();
    assert_eq!(fields, expected);
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn each_draft_gets_the_verdict_that_it_would_get_alone(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        s.suspend(&south).await.expect("suspended");
        let product = s.create_product("TEA", 2).await;
        let variant = product.variants[0].variant_id.as_str();
        let unknown = VariantId::from_uuid(1).to_string();
        let free = ListingTerms { price: Some(price(0)), ..terms() };
        let drafts = vec![
            draft(&north, variant),
            draft(&south, variant),
            draft(&north, &unknown),
            ListingDraft { terms: Some(free.clone()), ..draft(&north, variant) },
            draft("", variant),
            draft(&north, &product.variants[1].variant_id),
        ];
        let request = batch(drafts);
        let before = s.feed_of(&ops).await.len();
        let check = BatchProposeListingsRequest { validate_only: true, ..request.clone() };
        let checked = call!(ops.listings.batch_propose_listings(check)).expect("checked");
        assert_eq!(checked.accepted_count, 2);
        assert_eq!(s.feed_of(&ops).await.len(), before, "a check proposes nothing");

        let answer = call!(ops.listings.batch_propose_listings(request.clone())).expect("verdicts");
        assert_eq!(answer.accepted_count, 2);
        assert_eq!(call!(ops.listings.batch_propose_listings(request.clone())).expect("the same"), answer);
        let verdicts = split(answer.verdicts);
        for (place, variant) in [(0, &product.variants[0]), (5, &product.variants[1])] {
            let listing = verdicts[place].as_ref().expect("proposed");
            let read = s.listing(&listing.listing_id).await;
            assert_eq!(&read.variant_id, &variant.variant_id);
            let bare = Listing { product: None, variant: None, ..read };
            assert_eq!(*listing, bare);
        }
        same(&verdicts[1], s.propose_on(&south, variant, terms()).await);
        same(&verdicts[2], s.propose_on(&north, &unknown, terms()).await);
        same(&verdicts[3], s.propose_on(&north, variant, free).await);
        same(&verdicts[4], s.propose_on("", variant, terms()).await);
        assert_eq!(s.feed_of(&ops).await.len(), before + 2);
        let other = BatchProposeListingsRequest { request_id: request.request_id, ..batch(vec![draft(&north, variant)]) };
        assert_eq!(reason(call!(ops.listings.batch_propose_listings(other))), ErrorReason::KeyReused);

        assert_eq!(fields(call!(ops.listings.batch_propose_listings(batch(vec![])))), ["drafts"]);
        let many = batch(vec![draft(&north, variant); 1_001]);
        assert_eq!(fields(call!(ops.listings.batch_propose_listings(many))), ["drafts"]);
    }

    async fn a_partner_proposes_for_itself_and_no_other(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let hand = s.partner(&north);
        let answer = call!(hand.listings.batch_propose_listings(batch(vec![draft("", variant), draft(&south, variant)])));
        let verdicts = split(answer.expect("verdicts").verdicts);
        let own = verdicts[0].as_ref().expect("its own");
        assert_eq!((&own.partner_id, own.proposed_by()), (&north, Party::Partner));
        assert_eq!(verdicts[1].as_ref().expect_err("another's").reason(), ErrorReason::NotFound);
    }

    async fn decisions_are_taken_one_after_the_other(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 2).await;
        let variant = product.variants[0].variant_id.as_str();
        let hand = s.partner(&north);
        let alone = || ListingTerms { exclusivity: Exclusivity::ThisPartner.into(), ..terms() };
        // The partners propose, the retailer decides on both within one batch.
        let mut waiting = Vec::new();
        for partner_id in [&north, &south] {
            let hand = s.partner(partner_id);
            let request = ProposeListingRequest { terms: Some(alone()), ..proposal("", variant) };
            waiting.push(call!(hand.listings.propose_listing(request)).expect("proposed").listing.expect("it"));
        }
        let own = s.propose(&north, &product.variants[1].variant_id).await;
        let ops = s.ops();
        let unknown = ListingId::from_uuid(1).to_string();
        let request = decisions(vec![
            ruling(&waiting[0].listing_id, Decision::Approve),
            ruling(&waiting[1].listing_id, Decision::Approve),
            ruling(&waiting[0].listing_id, Decision::Reject),
            ruling(&waiting[1].listing_id, Decision::Reject),
            ruling(&own.listing_id, Decision::Approve),
            ruling(&unknown, Decision::Approve),
            ListingDecision { decision: 0, ..ruling(&own.listing_id, Decision::Approve) },
            ListingDecision { etag: "v9".into(), ..ruling(&own.listing_id, Decision::Approve) },
        ]);
        let answer = call!(ops.listings.batch_decide_listings(request.clone())).expect("verdicts");
        assert_eq!(call!(ops.listings.batch_decide_listings(request)).expect("the same"), answer);
        assert_eq!(answer.accepted_count, 2);
        let verdicts = split(answer.verdicts);
        assert_eq!(verdicts[0].as_ref().expect("first").state(), ListingState::Approved);
        assert_eq!(verdicts[1].as_ref().expect_err("taken").metadata["rule"], "EXCLUSIVITY");
        assert_eq!(verdicts[3].as_ref().expect("no is always allowed").state(), ListingState::Rejected);
        let reasons = [2, 4, 5, 6, 7].map(|place| verdicts[place].as_ref().expect_err("refused").reason());
        assert_eq!(
            reasons,
            [
                ErrorReason::WrongState, ErrorReason::SelfApproval, ErrorReason::NotFound, ErrorReason::InvalidField,
                ErrorReason::EtagMismatch,
            ]
        );
        assert_eq!(s.listing(&waiting[1].listing_id).await.state(), ListingState::Rejected);
        // Another partner's is an unknown one.
        let answer = call!(hand.listings.batch_decide_listings(decisions(vec![
            ruling(&waiting[1].listing_id, Decision::Approve), ruling(&unknown, Decision::Approve),
            ruling(&own.listing_id, Decision::Approve),
        ])));
        let verdicts = split(answer.expect("verdicts").verdicts);
        assert_eq!(verdicts[0], verdicts[1]);
        assert!(verdicts[2].is_ok());
    }

    async fn a_thousand_take_a_fraction_of_the_deadline(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let mut variants = Vec::new();
        for number in 0..4 {
            variants.extend(s.create_product(&format!("P{number}"), 250).await.variants);
        }
        let drafts = variants.iter().map(|variant| draft(&north, &variant.variant_id)).collect();
        let (ops, partner) = (s.ops(), s.partner(&north));
        let began = SystemClock.instant();
        let answer = call!(ops.listings.batch_propose_listings(batch(drafts))).expect("verdicts");
        let proposed = began.elapsed();
        assert_eq!(answer.accepted_count, 1_000);
        let rulings = split(answer.verdicts)
            .into_iter()
            .map(|listing| ruling(&listing.expect("proposed").listing_id, Decision::Approve))
            .collect();
        let began = SystemClock.instant();
        let answer = call!(partner.listings.batch_decide_listings(decisions(rulings))).expect("verdicts");
        let decided = began.elapsed();
        assert_eq!(answer.accepted_count, 1_000);
        println!("{:?}: proposed in {proposed:?}, decided in {decided:?}", t.db.engine());
        // The deadline is 30 s; a busy machine and an unoptimised build have their share of it.
        assert!(proposed.as_secs() < 10 && decided.as_secs() < 10, "{proposed:?} {decided:?}");
        assert_eq!(s.feed_of(&ops).await.len(), 1 + 4 + 2_000);
    }
}
