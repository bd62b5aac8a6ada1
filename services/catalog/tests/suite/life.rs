//! The life of a listing, from proposal to its end.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::common::v1::RetailerRole;
use kit::auth::Claims;
use store::sql;
use testkit::{Setup, TestDb, on_both_engines, op};
use tonic::Status;

use crate::common::*;

/// Action, who, resource, outcome.
type Row = (String, String, String, String);

fn pause(listing_id: &str) -> PauseListingRequest {
    PauseListingRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        reason: "recount".into(),
        etag: String::new(),
    }
}

fn resume(listing_id: &str) -> ResumeListingRequest {
    ResumeListingRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        etag: String::new(),
    }
}

fn end(listing_id: &str) -> EndListingRequest {
    EndListingRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        reason: "season over".into(),
        etag: String::new(),
    }
}

async fn new_price(ops: &Hand, listing_id: &str, minor_units: i64) -> Result<Listing, Status> {
    let request = ChangeListingTermsRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        price: Some(price(minor_units)),
        ..ChangeListingTermsRequest::default()
    };
    call!(ops.listings.change_listing_terms(request)).map(|answer| answer.listing.expect("it"))
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn either_party_proposes_and_the_other_decides(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        for (proposer, other, party) in [(&ops, &partner, Party::Retailer), (&partner, &ops, Party::Partner)] {
            let request = proposal(&partner_id, &product.variants[0].variant_id);
            let answer = call!(proposer.listings.propose_listing(request.clone())).expect("proposed");
            assert_eq!(call!(proposer.listings.propose_listing(request)).expect("replayed"), answer);
            let listing = answer.listing.expect("the listing");
            assert_eq!((listing.state(), listing.proposed_by(), listing.terms_version), (ListingState::Proposed, party, 1));
            assert_eq!((listing.title.as_str(), &listing.product_id), ("Teapot TEA", &product.product_id));
            assert_eq!(listing.variant.as_ref(), Some(&product.variants[0]));

            for own in [Decision::Approve, Decision::Reject] {
                let own = decision(&listing.listing_id, own);
                assert_eq!(reason(call!(proposer.listings.decide_listing(own))), ErrorReason::SelfApproval);
            }
            let request = DecideListingRequest { etag: listing.etag.clone(), ..decision(&listing.listing_id, Decision::Approve) };
            let approved = call!(other.listings.decide_listing(request.clone())).expect("approved");
            assert_eq!(call!(other.listings.decide_listing(request)).expect("replayed"), approved);
            let approved = approved.listing.expect("the listing");
            assert_eq!((approved.state(), approved.decision_reason.as_str()), (ListingState::Approved, "we talked"));
            let late = decision(&listing.listing_id, Decision::Reject);
            assert_eq!(reason(call!(other.listings.decide_listing(late))), ErrorReason::WrongState);
        }
    }

    async fn one_somebody_with_two_hats_is_no_two_parties(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let listing = s.propose(&partner_id, &product.variants[0].variant_id).await;
        let same = s.hand(Claims::partner("ops", &partner_id.parse().expect("an id")));
        let approve = decision(&listing.listing_id, Decision::Approve);
        assert_eq!(reason(call!(same.listings.decide_listing(approve.clone()))), ErrorReason::SelfApproval);
        let colleague = s.hand(Claims::retailer("another", &[RetailerRole::Ops]));
        assert_eq!(reason(call!(colleague.listings.decide_listing(approve.clone()))), ErrorReason::SelfApproval);
        let partner = s.partner(&partner_id);
        call!(partner.listings.decide_listing(approve)).expect("somebody else of the other party");
    }

    async fn a_rejection_has_a_reason_and_is_for_good(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let listing = s.propose(&partner_id, &product.variants[0].variant_id).await;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let bare = DecideListingRequest { reason: String::new(), ..decision(&listing.listing_id, Decision::Reject) };
        assert_eq!(fields(call!(partner.listings.decide_listing(bare.clone()))), ["reason"]);
        let undecided = DecideListingRequest { decision: 0, ..bare };
        assert_eq!(fields(call!(partner.listings.decide_listing(undecided))), ["decision"]);
        let stale = DecideListingRequest { etag: "v2".into(), ..decision(&listing.listing_id, Decision::Reject) };
        assert_eq!(reason(call!(partner.listings.decide_listing(stale))), ErrorReason::EtagMismatch);

        let rejected = call!(partner.listings.decide_listing(decision(&listing.listing_id, Decision::Reject)));
        assert_eq!(rejected.expect("rejected").listing.expect("it").state(), ListingState::Rejected);
        let listing_id = &listing.listing_id;
        assert_eq!(reason(s.publish(listing_id).await), ErrorReason::WrongState);
        assert_eq!(reason(call!(ops.listings.end_listing(end(listing_id)))), ErrorReason::WrongState);
        assert_eq!(reason(new_price(&ops, listing_id, 5).await), ErrorReason::WrongState);
        assert_eq!(reason(call!(partner.listings.decide_listing(decision(listing_id, Decision::Approve)))), ErrorReason::WrongState);
    }

    async fn a_listing_is_sold_paused_resumed_and_ended(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let listing = s.live(&partner_id, &product.variants[0].variant_id).await;
        let id = &listing.listing_id;
        assert_eq!(listing.state(), ListingState::Live);
        assert_eq!(reason(s.publish(id).await), ErrorReason::WrongState);
        assert_eq!(reason(call!(ops.listings.resume_listing(resume(id)))), ErrorReason::WrongState);

        let silent = PauseListingRequest { reason: String::new(), ..pause(id) };
        assert_eq!(fields(call!(partner.listings.pause_listing(silent))), ["reason"]);
        let stale = PauseListingRequest { etag: "v1".into(), ..pause(id) };
        assert_eq!(reason(call!(partner.listings.pause_listing(stale))), ErrorReason::EtagMismatch);
        let request = pause(id);
        let paused = call!(partner.listings.pause_listing(request.clone())).expect("paused");
        assert_eq!(call!(partner.listings.pause_listing(request)).expect("replayed"), paused);
        let paused = paused.listing.expect("it");
        assert_eq!((paused.state(), paused.state_reason.as_str()), (ListingState::Paused, "recount"));
        assert_eq!(reason(call!(ops.listings.pause_listing(pause(id)))), ErrorReason::WrongState);

        let resumed = call!(ops.listings.resume_listing(resume(id))).expect("resumed").listing.expect("it");
        assert_eq!((resumed.state(), resumed.state_reason.as_str()), (ListingState::Live, ""));
        let request = end(id);
        let ended = call!(partner.listings.end_listing(request.clone())).expect("ended");
        assert_eq!(call!(partner.listings.end_listing(request.clone())).expect("replayed"), ended);
        let other = EndListingRequest { reason: "other".into(), ..request };
        assert_eq!(reason(call!(partner.listings.end_listing(other))), ErrorReason::KeyReused);
        assert_eq!(reason(call!(ops.listings.end_listing(end(id)))), ErrorReason::WrongState);
        let get = GetListingRequest { listing_id: id.clone() };
        assert_eq!(call!(partner.listings.get_listing(get)).expect("readable").listing, ended.listing);
    }

    async fn a_suspended_partner_sells_nothing_new(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant_id = &product.variants[0].variant_id;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let proposed = s.propose(&partner_id, variant_id).await;
        let approved = s.approved(&partner_id, variant_id).await;
        let live = s.live(&partner_id, variant_id).await;
        s.suspend(&partner_id).await.expect("suspended");

        let proposal = proposal(&partner_id, variant_id);
        assert_eq!(reason(call!(ops.listings.propose_listing(proposal))), ErrorReason::PartnerSuspended);
        let approve = decision(&proposed.listing_id, Decision::Approve);
        assert_eq!(reason(call!(partner.listings.decide_listing(approve.clone()))), ErrorReason::PartnerSuspended);
        assert_eq!(reason(s.publish(&approved.listing_id).await), ErrorReason::PartnerSuspended);
        assert_eq!(reason(call!(partner.listings.pause_listing(pause(&live.listing_id)))), ErrorReason::PartnerSuspended);
        call!(ops.listings.pause_listing(pause(&live.listing_id))).expect("pausing always works");
        assert_eq!(reason(call!(ops.listings.resume_listing(resume(&live.listing_id)))), ErrorReason::PartnerSuspended);
        call!(ops.listings.end_listing(end(&approved.listing_id))).expect("ending always works");

        s.resume_partner(&partner_id).await;
        call!(partner.listings.decide_listing(decision(&proposed.listing_id, Decision::Reject))).expect("it decides again");
        call!(ops.listings.resume_listing(resume(&live.listing_id))).expect("on sale again");
    }

    async fn an_archived_product_is_listed_no_more(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant_id = &product.variants[0].variant_id;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let proposed = s.propose(&partner_id, variant_id).await;
        let approved = s.approved(&partner_id, variant_id).await;
        let live = s.live(&partner_id, variant_id).await;
        let request = ArchiveProductRequest { request_id: key(), product_id: product.product_id.clone(), etag: String::new() };
        call!(ops.products.archive_product(request)).expect("archived");

        let refused = refusal(call!(ops.listings.propose_listing(proposal(&partner_id, variant_id))));
        assert_eq!((refused.reason, refused.preconditions[0].subject.as_str()), (ErrorReason::WrongState, "product"));
        let approve = decision(&proposed.listing_id, Decision::Approve);
        assert_eq!(reason(call!(partner.listings.decide_listing(approve))), ErrorReason::WrongState);
        assert_eq!(reason(s.publish(&approved.listing_id).await), ErrorReason::WrongState);
        call!(ops.listings.pause_listing(pause(&live.listing_id))).expect("paused");
        call!(ops.listings.resume_listing(resume(&live.listing_id))).expect("what was live goes on");
    }

    async fn new_terms_for_a_waiting_listing_are_for_the_other_party_to_decide(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let request = ProposeListingRequest { partner_id: String::new(), ..proposal("", &product.variants[0].variant_id) };
        let listing = call!(partner.listings.propose_listing(request)).expect("proposed").listing.expect("it");
        assert_eq!((listing.partner_id.as_str(), listing.proposed_by()), (partner_id.as_str(), Party::Partner));
        let dearer = new_price(&ops, &listing.listing_id, 9_990).await.expect("a counter-proposal");
        assert_eq!((dearer.proposed_by(), dearer.terms_version), (Party::Retailer, 2));
        let approve = DecideListingRequest { etag: listing.etag, ..decision(&listing.listing_id, Decision::Approve) };
        assert_eq!(reason(call!(ops.listings.decide_listing(approve.clone()))), ErrorReason::EtagMismatch);
        let blind = DecideListingRequest { etag: String::new(), ..approve };
        assert_eq!(reason(call!(ops.listings.decide_listing(blind.clone()))), ErrorReason::SelfApproval);
        call!(partner.listings.decide_listing(blind)).expect("the partner agrees to the retailer's price");
    }

    async fn each_party_may_do_only_what_the_contract_gives_it(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let approved = s.approved(&partner_id, &product.variants[0].variant_id).await;
        let partner = s.partner(&partner_id);
        let publish = PublishListingRequest { request_id: key(), listing_id: approved.listing_id.clone(), etag: String::new() };
        let denied = call!(partner.listings.publish_listing(publish)).expect_err("the retailer publishes");
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);
        let denied = new_price(&partner, &approved.listing_id, 1).await.expect_err("the retailer sets terms");
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);
        let service = s.hand(Claims::service("order", None));
        let denied = call!(service.listings.pause_listing(pause(&approved.listing_id))).expect_err("no party");
        assert_eq!(denied.code(), tonic::Code::PermissionDenied);
        let get = GetListingRequest { listing_id: approved.listing_id };
        call!(service.listings.get_listing(get)).expect("services read");
    }

    async fn every_change_is_in_the_audit_trail_with_whoever_made_it(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let listing = s.live(&partner_id, &product.variants[0].variant_id).await;
        assert_eq!(reason(s.publish(&listing.listing_id).await), ErrorReason::WrongState);
        let ops = s.ops();
        let request = end(&listing.listing_id);
        for _ in 0..2 {
            call!(ops.listings.end_listing(request.clone())).expect("ended, then replayed");
        }
        let work = op("test.audit", |tx| {
            Box::pin(async move {
                Ok(sql!(tx, all Row, "SELECT action, who, resource_id, outcome FROM audit ORDER BY position")?)
            })
        });
        let rows: Vec<Row> = t.read(work).await.expect("the trail");
        let rows: Vec<_> = rows.iter().map(|(a, w, r, o)| (a.as_str(), w.as_str(), r.as_str(), o.as_str())).collect();
        let id = listing.listing_id.as_str();
        assert_eq!(rows, [
            ("partner.register", "ops", partner_id.as_str(), "done"),
            ("product.create", "ops", product.product_id.as_str(), "done"),
            ("listing.propose", "ops", id, "PROPOSED"),
            ("listing.decide", "gateway", id, "APPROVED"),
            ("listing.publish", "ops", id, "LIVE"),
            ("listing.end", "ops", id, "ENDED"),
            ("listing.end", "ops", request.request_id.as_str(), "replayed"),
        ]);
    }
}
