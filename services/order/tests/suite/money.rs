//! Refunds that somebody decides on, compensations and chargebacks: who may, what is refused, and what it makes of the
//! order's money.

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::kind;
use contracts::order::v1 as pb;
use kit::auth::Claims;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::ledger::{balanced, moved};
use crate::progress::{Apply, Line, entry};
use crate::refunds::{REFUND_STATEMENT, claims, failed, refunds, report, reported};
use crate::world::{
    Clients, KID, PRICE, World, fields, line, listing_with, money, nth, partner_key, refused,
    setup, sign, told,
};

pub fn authorise(key: &str, order_id: &str, minor_units: i64) -> pb::AuthoriseRefundRequest {
    pb::AuthoriseRefundRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        reason: pb::RefundReason::Goodwill.into(),
        shopper_amount: money(minor_units),
        note: "late".into(),
        ..Default::default()
    }
}

pub fn draft(order_line_id: &str, minor_units: i64) -> pb::RefundLineDraft {
    pb::RefundLineDraft {
        order_line_id: order_line_id.into(),
        shopper_amount: money(minor_units),
        ..Default::default()
    }
}

pub fn care(world: &World) -> Clients {
    world.retailer(RetailerRole::Care)
}

pub fn other_finance(world: &World) -> Clients {
    world.clients(Claims::retailer("ben", &[RetailerRole::Finance]))
}

/// What partner 1 would sign of a refund that it has paid first.
pub fn first(
    world: &World,
    order_id: &str,
    reference: &str,
    minor_units: i64,
) -> serde_json::Value {
    serde_json::json!({
        "aud": "vitrine", "kind": "PARTNER_REFUND", "order_id": order_id, "shopper_minor_units": minor_units,
        "partner_minor_units": 0, "currency_code": "EUR", "refund_reference": reference, "reason": "GOODWILL",
        "cost_bearer": "PARTNER", "reported_at": world.now().seconds(),
    })
}

pub fn stated(
    key: &str,
    order_id: &str,
    said: &serde_json::Value,
) -> pb::ReportPartnerRefundRequest {
    pb::ReportPartnerRefundRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        statement: sign(&partner_key(1), KID, REFUND_STATEMENT, said),
    }
}

pub fn charge_back(
    world: &World,
    key: &str,
    order_id: &str,
    kind: &str,
    minor_units: i64,
) -> pb::ReportChargebackRequest {
    let said = serde_json::json!({
        "aud": ["vitrine"], "kind": kind, "order_id": order_id, "payment_reference": "pay-o-1",
        "chargeback_reference": "cb-1", "minor_units": minor_units, "currency_code": "EUR",
        "reported_at": world.now().seconds(),
    });
    pb::ReportChargebackRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        statement: sign(&partner_key(1), KID, "vitrine-chargeback+jwt", &said),
    }
}

pub fn compensate(key: &str, order_id: &str, minor_units: i64) -> pb::AuthoriseCompensationRequest {
    pb::AuthoriseCompensationRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        reason: pb::CompensationReason::Counterfeit.into(),
        amount: money(minor_units),
        matter_reference: "case-7".into(),
        note: "no real one".into(),
        ..Default::default()
    }
}

fn paid_out(
    world: &World,
    key: &str,
    made: &pb::Compensation,
    failure: Option<&str>,
) -> pb::ReportCompensationRequest {
    let mut said = serde_json::json!({
        "aud": "vitrine", "kind": "COMPENSATION_EXECUTED", "order_id": made.order_id,
        "compensation_id": made.compensation_id, "minor_units": made.amount.as_ref().expect("it").minor_units,
        "currency_code": "EUR", "compensation_reference": "c-ref", "reported_at": world.now().seconds(),
    });
    if let Some(failure) = failure {
        said["kind"] = "COMPENSATION_FAILED".into();
        said["failure"] = failure.into();
    }
    pb::ReportCompensationRequest {
        request_id: key.into(),
        compensation_id: made.compensation_id.clone(),
        statement: sign(&partner_key(1), KID, "vitrine-compensation+jwt", &said),
    }
}

/// What a matter of the order was settled on: the first line's amount, if any.
fn settlement(
    placed: &pb::PlaceOrderResponse,
    number: u128,
    amount: Option<i64>,
    restock: i64,
) -> fulfillment::FulfillmentFeedEntry {
    let order_line_id = placed.lines[0].order_line_id.clone();
    let content = fulfillment::AftersaleSettlement {
        aftersale_id: nth::<kind::Aftersale>(number).into(),
        order_id: placed.order_id.clone(),
        cost_bearer: pb::CostBearer::Carrier.into(),
        lines: amount
            .map(|amount| fulfillment::SettlementLine {
                order_line_id: order_line_id.clone(),
                quantity: 1,
                amount: money(amount),
            })
            .into_iter()
            .collect(),
        restock: (restock > 0)
            .then_some(pb::LineQuantity {
                order_line_id,
                quantity: restock,
            })
            .into_iter()
            .collect(),
        ..Default::default()
    };
    fulfillment::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::AftersaleSettlement(content)),
    }
}

fn minor(amount: &Option<contracts::common::v1::Money>) -> i64 {
    amount.as_ref().expect("an amount").minor_units
}

on_both_engines! {
    setup: setup();

    async fn goodwill_is_taken_of_what_is_left_and_never_twice(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2), (2, 1)]).await;
        let first_line = placed.lines[0].order_line_id.clone();
        let request = pb::AuthoriseRefundRequest {
            shopper_amount: None,
            lines: vec![draft(&first_line, 500)],
            cost_bearer: pb::CostBearer::Carrier.into(),
            ..authorise("a-1", &placed.order_id, 0)
        };
        let made = care(&world).refunds.authorise_refund(request.clone()).await.expect("made").into_inner();
        let refund = made.refund.clone().expect("a refund");
        assert_eq!((refund.state(), refund.reason(), refund.cost_bearer()), (pb::RefundState::Authorised, pb::RefundReason::Goodwill, pb::CostBearer::Carrier));
        assert!(refund.lines.is_empty() && made.proposal.is_none());
        assert_eq!((minor(&refund.line_amounts[0].goods_amount), minor(&refund.line_amounts[0].tax_included_amount)), (500, 83));
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.payment_state(), minor(&order.refund_due)), (pb::PaymentState::RefundDue, 500));
        // The same key gives the same answer; other content none.
        assert_eq!(care(&world).refunds.authorise_refund(request.clone()).await.expect("again").into_inner(), made);
        let other = pb::AuthoriseRefundRequest { note: "other".into(), ..request };
        refused(care(&world).refunds.authorise_refund(other).await, "KEY_REUSED", Code::AlreadyExists);

        // More than is left of the line, of a part of it, of the order: refused, and nothing changed.
        let before = (world.get(&placed.order_id).await, world.feed(world.ops()).await.len());
        let too_much = pb::AuthoriseRefundRequest {
            shopper_amount: None,
            lines: vec![draft(&first_line, 2 * PRICE - 499)],
            ..authorise("a-2", &placed.order_id, 0)
        };
        let status = refused(care(&world).refunds.authorise_refund(too_much).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!((told(&status, "shopper_left"), told(&status, "partner_left")), ((2 * PRICE - 500).to_string(), "0".into()));
        let shipping = pb::AuthoriseRefundRequest {
            shopper_amount: None,
            lines: vec![pb::RefundLineDraft { component: pb::RefundComponent::Shipping.into(), ..draft(&first_line, 1) }],
            ..authorise("a-3", &placed.order_id, 0)
        };
        refused(care(&world).refunds.authorise_refund(shipping).await, "OVER_QUANTITY", Code::FailedPrecondition);
        let whole = authorise("a-4", &placed.order_id, 3 * PRICE - 499);
        refused(care(&world).refunds.authorise_refund(whole).await, "OVER_QUANTITY", Code::FailedPrecondition);
        let pending = world.place("pending", &[(1, 1)]).await;
        refused(care(&world).refunds.authorise_refund(authorise("a-5", &pending.order_id, 1)).await, "WRONG_STATE", Code::FailedPrecondition);
        let unknown = authorise("a-6", nth::<kind::Order>(99).as_ref(), 1);
        refused(care(&world).refunds.authorise_refund(unknown).await, "NOT_FOUND", Code::NotFound);
        let wrong = pb::AuthoriseRefundRequest {
            reason: pb::RefundReason::Returned.into(), note: String::new(), ..authorise("a-7", &placed.order_id, 0)
        };
        let status = refused(care(&world).refunds.authorise_refund(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["reason", "note", "shopper_amount"]);
        assert_eq!(before.0, world.get(&placed.order_id).await);

        // When the line's units go back, what is left of it goes with them; the partner executes both.
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 2, ..Line::default() }]))).await.expect("applied");
        let found = refunds(&world, &placed.order_id).await;
        assert_eq!(found.iter().map(|refund| minor(&refund.shopper_amount)).collect::<Vec<_>>(), [500, 2 * PRICE - 500]);
        for (at, refund) in found.iter().enumerate() {
            let said = claims(&world, refund, "ref");
            reported(&world, report(&format!("r-{at}"), refund, &said)).await;
        }
        let order = world.get(&placed.order_id).await;
        assert_eq!((minor(&order.refund_due), minor(&order.refunded)), (0, 2 * PRICE));
        assert_eq!(order.lines[0].quantities.expect("counters").refunded, 2);
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!(moved(&accounts, pb::LedgerAccount::PartnerHeld), PRICE);
        assert_eq!(moved(&accounts, pb::LedgerAccount::CarrierClaim), 500);
        assert_eq!(moved(&accounts, pb::LedgerAccount::RefundsDue), 0);
        // The partner reads its own, and another partner nothing.
        let get = pb::GetRefundRequest { refund_id: refund.refund_id.clone() };
        let own = world.partner(1).refunds.get_refund(get.clone()).await.expect("its own").into_inner();
        assert_eq!(own.refund.expect("it").state(), pb::RefundState::Executed);
        refused(world.partner(2).refunds.get_refund(get).await, "NOT_FOUND", Code::NotFound);
    }

    async fn above_an_amount_a_second_person_approves(t: TestDb) {
        let world = World::start(t).await;
        world.stock(50).await;
        let placed = world.paid("o-1", &[(1, 20)]).await;
        let propose = |key: &str| authorise(key, &placed.order_id, 20_001);
        let proposed = care(&world).refunds.authorise_refund(propose("a-1")).await.expect("proposed").into_inner();
        let proposal = proposed.proposal.clone().expect("a proposal");
        assert_eq!((proposal.state(), minor(&proposal.shopper_amount)), (pb::RefundProposalState::Proposed, 20_001));
        assert!(proposed.refund.is_none() && refunds(&world, &placed.order_id).await.is_empty());
        let decide = |key: &str, proposal: &pb::RefundProposal, approve, note: &str| pb::DecideRefundProposalRequest {
            request_id: key.into(), refund_proposal_id: proposal.refund_proposal_id.clone(), approve, note: note.into(),
        };
        let mut own = world.retailer(RetailerRole::Finance);
        refused(own.refunds.decide_refund_proposal(decide("d-1", &proposal, true, "")).await, "SELF_APPROVAL", Code::FailedPrecondition);
        let mut other = other_finance(&world);
        let approved = other.refunds.decide_refund_proposal(decide("d-2", &proposal, true, "")).await.expect("approved").into_inner();
        let refund = approved.refund.clone().expect("a refund");
        assert_eq!((refund.state(), minor(&refund.shopper_amount)), (pb::RefundState::Authorised, 20_001));
        assert_eq!(approved.proposal.as_ref().expect("it").refund_id, refund.refund_id);
        assert_eq!(other.refunds.decide_refund_proposal(decide("d-2", &proposal, true, "")).await.expect("again").into_inner(), approved);
        refused(other.refunds.decide_refund_proposal(decide("d-3", &proposal, true, "")).await, "WRONG_STATE", Code::FailedPrecondition);

        // A proposal sets nothing aside: what is left counts when it is approved.
        let late = care(&world).refunds.authorise_refund(authorise("a-2", &placed.order_id, 20 * PRICE - 20_001)).await.expect("done").into_inner();
        assert!(late.refund.is_some(), "198 euros and less are one person's");
        let over = care(&world).refunds.authorise_refund(propose("a-3")).await;
        refused(over, "OVER_QUANTITY", Code::FailedPrecondition);
        // A rejection says why; compensations go the same way.
        let proposed = care(&world).refunds.authorise_compensation(compensate("c-1", &placed.order_id, 90_000)).await.expect("proposed").into_inner();
        let proposal = proposed.proposal.expect("a proposal");
        refused(other.refunds.decide_refund_proposal(decide("d-4", &proposal, false, "")).await, "INVALID_FIELD", Code::InvalidArgument);
        let rejected = other.refunds.decide_refund_proposal(decide("d-5", &proposal, false, "no proof")).await.expect("rejected").into_inner();
        assert_eq!(rejected.proposal.expect("it").state(), pb::RefundProposalState::Rejected);
        let list = pb::ListRefundProposalsRequest { page_size: 1, ..Default::default() };
        let page = other.refunds.list_refund_proposals(list.clone()).await.expect("a page").into_inner();
        let next = pb::ListRefundProposalsRequest { page_token: page.next_page_token, ..list };
        let page = other.refunds.list_refund_proposals(next).await.expect("a page").into_inner();
        assert_eq!((page.proposals.len(), page.next_page_token.as_str()), (1, ""));
        let only = pb::ListRefundProposalsRequest { state: pb::RefundProposalState::Approved.into(), ..Default::default() };
        let page = other.refunds.list_refund_proposals(only).await.expect("a page").into_inner();
        assert_eq!(page.proposals.len(), 1);
        balanced(&world, &placed.order_id).await;
    }

    async fn what_a_partner_paid_first_is_recorded_at_once(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let placed = world.paid("o-1", &[(1, 1), (2, 6)]).await;
        let mut partner = world.partner(1);
        let said = first(&world, &placed.order_id, "f-1", 700);
        let request = stated("p-1", &placed.order_id, &said);
        let refund = partner.refunds.report_partner_refund(request.clone()).await.expect("recorded").into_inner().refund.expect("it");
        assert_eq!((refund.state(), refund.partner_first, refund.cost_bearer()), (pb::RefundState::Executed, true, pb::CostBearer::Partner));
        assert_eq!(refund.line_amounts.iter().map(|line| minor(&line.shopper_amount)).collect::<Vec<_>>(), [100, 600]);
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.payment_state(), minor(&order.refunded), minor(&order.refund_due)), (pb::PaymentState::PartiallyRefunded, 700, 0));
        let before = world.feed(world.ops()).await.len();
        // The same word again, under the same key and another: the same answer, no effect.
        for key in ["p-1", "p-2"] {
            let again = partner.refunds.report_partner_refund(pb::ReportPartnerRefundRequest { request_id: key.into(), ..request.clone() }).await;
            assert_eq!(again.expect("again").into_inner().refund.expect("it"), refund);
        }
        let other = first(&world, &placed.order_id, "f-1", 701);
        refused(partner.refunds.report_partner_refund(stated("p-3", &placed.order_id, &other)).await, "REFUND_CONTRADICTED", Code::FailedPrecondition);
        let over = first(&world, &placed.order_id, "f-2", 7 * PRICE);
        let status = refused(partner.refunds.report_partner_refund(stated("p-4", &placed.order_id, &over)).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!(told(&status, "shopper_left"), (7 * PRICE - 700).to_string());
        let mut others = first(&world, &placed.order_id, "f-3", 5_001);
        others["cost_bearer"] = "RETAILER".into();
        refused(partner.refunds.report_partner_refund(stated("p-5", &placed.order_id, &others)).await, "NOT_ALLOWED_HERE", Code::FailedPrecondition);
        for (name, value) in [("reason", "RETURNED"), ("cost_bearer", "NOBODY"), ("kind", "REFUND_EXECUTED"), ("aud", "other"), ("currency_code", "CHF")] {
            let mut wrong = first(&world, &placed.order_id, "f-4", 1);
            wrong[name] = value.into();
            let answer = partner.refunds.report_partner_refund(stated("p-6", &placed.order_id, &wrong)).await;
            refused(answer, "BAD_STATEMENT", Code::Unauthenticated);
        }
        // Line by line.
        let mut lines = first(&world, &placed.order_id, "f-5", 30);
        lines["lines"] = serde_json::json!([{"order_line_id": placed.lines[0].order_line_id, "minor_units": 30}]);
        let refund = partner.refunds.report_partner_refund(stated("p-7", &placed.order_id, &lines)).await.expect("recorded").into_inner().refund.expect("it");
        assert_eq!(refund.line_amounts.len(), 1);
        // Another's order is not there.
        let theirs = stated("p-8", &placed.order_id, &said);
        let theirs = pb::ReportPartnerRefundRequest { statement: sign(&partner_key(2), KID, REFUND_STATEMENT, &said), ..theirs };
        refused(world.partner(2).refunds.report_partner_refund(theirs).await, "NOT_FOUND", Code::NotFound);
        assert_eq!(world.feed(world.ops()).await.len(), before + 2);
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!((moved(&accounts, pb::LedgerAccount::PartnerClaim), moved(&accounts, pb::LedgerAccount::PartnerHeld)), (730, 7 * PRICE - 730));
    }

    async fn money_that_a_bank_took_is_not_refunded_as_well(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let id = placed.order_id.clone();
        let mut partner = world.partner(1);
        let early = charge_back(&world, "x-0", &id, "CHARGEBACK_WON", PRICE);
        refused(partner.refunds.report_chargeback(early).await, "NOT_FOUND", Code::NotFound);
        // One unit is cancelled; its refund fails and stays, so only the other unit's money can be charged back.
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        let refund = refunds(&world, &id).await.remove(0);
        let both = charge_back(&world, "x-1", &id, "CHARGEBACK_OPENED", 2 * PRICE);
        let status = refused(partner.refunds.report_chargeback(both.clone()).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!(told(&status, "shopper_left"), PRICE.to_string());
        let withdraw = |key: &str| pb::WithdrawRefundRequest { request_id: key.into(), refund_id: refund.refund_id.clone(), etag: String::new() };
        let mut finance = world.retailer(RetailerRole::Finance);
        refused(finance.refunds.withdraw_refund(withdraw("w-1")).await, "WRONG_STATE", Code::FailedPrecondition);
        let said = failed(&world, &refund, "ref-1");
        reported(&world, report("r-1", &refund, &said)).await;
        let withdrawn = finance.refunds.withdraw_refund(withdraw("w-2")).await.expect("withdrawn").into_inner().refund.expect("it");
        assert_eq!(withdrawn.state(), pb::RefundState::Withdrawn);
        let order = world.get(&id).await;
        assert_eq!((order.payment_state(), minor(&order.refund_due)), (pb::PaymentState::Paid, 0));

        let opened = partner.refunds.report_chargeback(both.clone()).await.expect("opened").into_inner().chargeback.expect("it");
        assert_eq!((opened.state(), minor(&opened.amount)), (pb::ChargebackState::Opened, 2 * PRICE));
        let again = pb::ReportChargebackRequest { request_id: "x-2".into(), ..both };
        assert_eq!(partner.refunds.report_chargeback(again).await.expect("again").into_inner().chargeback, Some(opened.clone()));
        // Nothing is left to refund, and what is cancelled meanwhile gives nothing back.
        refused(care(&world).refunds.authorise_refund(authorise("a-1", &id, 1)).await, "OVER_QUANTITY", Code::FailedPrecondition);
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 2, ..Line::default() }]))).await.expect("applied");
        assert_eq!(refunds(&world, &id).await.len(), 1);
        let accounts = balanced(&world, &id).await;
        assert_eq!((moved(&accounts, pb::LedgerAccount::ChargebacksOpen), moved(&accounts, pb::LedgerAccount::PartnerHeld)), (2 * PRICE, 0));

        let won = charge_back(&world, "x-3", &id, "CHARGEBACK_WON", 2 * PRICE);
        let decided = partner.refunds.report_chargeback(won).await.expect("won").into_inner().chargeback.expect("it");
        assert_eq!(decided.state(), pb::ChargebackState::Won);
        let lost = charge_back(&world, "x-4", &id, "CHARGEBACK_LOST", 2 * PRICE);
        refused(partner.refunds.report_chargeback(lost).await, "REFUND_CONTRADICTED", Code::FailedPrecondition);
        // Now there is money again, for what was cancelled.
        let made = care(&world).refunds.authorise_refund(authorise("a-2", &id, 2 * PRICE)).await.expect("made").into_inner();
        assert!(made.refund.is_some());
        let accounts = balanced(&world, &id).await;
        assert_eq!((moved(&accounts, pb::LedgerAccount::ChargebacksOpen), moved(&accounts, pb::LedgerAccount::RefundsDue)), (0, -2 * PRICE));
        let list = pb::ListChargebacksRequest { order_id: id.clone(), ..Default::default() };
        let found = partner.refunds.list_chargebacks(list.clone()).await.expect("its own").into_inner();
        assert_eq!(found.chargebacks, [decided]);
        refused(world.partner(2).refunds.list_chargebacks(list).await, "NOT_FOUND", Code::NotFound);
    }

    async fn a_lost_chargeback_is_gone(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let mut partner = world.partner(1);
        let opened = charge_back(&world, "x-1", &placed.order_id, "CHARGEBACK_OPENED", 990);
        partner.refunds.report_chargeback(opened).await.expect("opened");
        let lost = charge_back(&world, "x-2", &placed.order_id, "CHARGEBACK_LOST", 990);
        partner.refunds.report_chargeback(lost).await.expect("lost");
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        assert_eq!(minor(&refunds(&world, &placed.order_id).await[0].shopper_amount), PRICE - 990);
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!((moved(&accounts, pb::LedgerAccount::ChargebacksLost), moved(&accounts, pb::LedgerAccount::ChargebacksOpen)), (990, 0));
    }

    async fn a_compensation_is_no_refund(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let before = world.get(&placed.order_id).await;
        // Ten times the price; the order's own money is as it was.
        let made = care(&world).refunds.authorise_compensation(compensate("c-1", &placed.order_id, 10 * PRICE)).await.expect("made").into_inner();
        let made = made.compensation.expect("a compensation");
        assert_eq!((made.state(), made.payer()), (pb::CompensationState::Authorised, pb::CompensationPayer::Partner));
        assert_eq!(world.get(&placed.order_id).await, before);
        let complete = |key: &str, made: &pb::Compensation| pb::CompleteCompensationRequest {
            request_id: key.into(), compensation_id: made.compensation_id.clone(), compensation_reference: "wire-1".into(),
        };
        let mut finance = world.retailer(RetailerRole::Finance);
        refused(finance.refunds.complete_compensation(complete("f-1", &made)).await, "WRONG_STATE", Code::FailedPrecondition);
        let theirs = world.partner(2).refunds.report_compensation(pb::ReportCompensationRequest {
            statement: sign(&partner_key(2), KID, "vitrine-compensation+jwt", &serde_json::json!({
                "aud": "vitrine", "kind": "COMPENSATION_EXECUTED", "order_id": made.order_id, "compensation_id": made.compensation_id,
                "minor_units": 10 * PRICE, "currency_code": "EUR", "compensation_reference": "x", "reported_at": 1})),
            ..paid_out(&world, "y", &made, None)
        }).await;
        refused(theirs, "NOT_FOUND", Code::NotFound);
        let mut partner = world.partner(1);
        let executed = partner.refunds.report_compensation(paid_out(&world, "r-1", &made, None)).await.expect("paid").into_inner().compensation.expect("it");
        assert_eq!((executed.state(), executed.compensation_reference.as_str()), (pb::CompensationState::Executed, "c-ref"));
        let again = partner.refunds.report_compensation(paid_out(&world, "r-2", &made, None)).await.expect("again");
        assert_eq!(again.into_inner().compensation, Some(executed));
        let other = paid_out(&world, "r-3", &made, Some("DECLINED"));
        refused(partner.refunds.report_compensation(other).await, "REFUND_CONTRADICTED", Code::FailedPrecondition);
        // What the partner cannot pay, the retailer does.
        let second = care(&world).refunds.authorise_compensation(compensate("c-2", &placed.order_id, 500)).await.expect("made").into_inner();
        let second = second.compensation.expect("it");
        let failed = partner.refunds.report_compensation(paid_out(&world, "r-4", &second, Some("ACCOUNT_CLOSED"))).await.expect("failed").into_inner();
        assert_eq!(failed.compensation.expect("it").failure(), pb::RefundFailure::AccountClosed);
        let done = finance.refunds.complete_compensation(complete("f-2", &second)).await.expect("paid").into_inner().compensation.expect("it");
        assert_eq!((done.state(), done.payer()), (pb::CompensationState::Executed, pb::CompensationPayer::Retailer));
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!(moved(&accounts, pb::LedgerAccount::Compensations), 10 * PRICE + 500);
        assert_eq!((moved(&accounts, pb::LedgerAccount::PartnerHeld), moved(&accounts, pb::LedgerAccount::RetailerPaid)), (-9 * PRICE, -500));
        let list = pb::ListCompensationsRequest { order_id: placed.order_id.clone(), ..Default::default() };
        assert_eq!(partner.refunds.list_compensations(list).await.expect("its own").into_inner().compensations.len(), 2);
    }

    async fn a_settlement_is_taken_once_and_at_most_what_is_left(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let come = Line { shipped: 2, delivered: 1, undelivered: 1, ..Line::default() };
        world.t.execute(Apply(entry(&placed, &[come]))).await.expect("applied");
        let available = world.get_allotment(&allotments[0]).await.available;
        for _ in 0..2 {
            world.t.execute(Apply(settlement(&placed, 1, Some(600), 0))).await.expect("taken");
            world.t.execute(Apply(settlement(&placed, 2, None, 1))).await.expect("taken");
        }
        world.t.execute(Apply(settlement(&placed, 3, Some(5 * PRICE), 0))).await.expect("taken");
        world.t.execute(Apply(settlement(&placed, 4, Some(10), 0))).await.expect("taken");
        let mut found = refunds(&world, &placed.order_id).await;
        found.sort_by_key(|refund| minor(&refund.shopper_amount));
        let said: Vec<_> = found.iter().map(|refund| (minor(&refund.shopper_amount), refund.reason(), refund.state())).collect();
        assert_eq!(said, [
            (0, pb::RefundReason::Aftersale, pb::RefundState::Executed),
            (600, pb::RefundReason::Aftersale, pb::RefundState::Authorised),
            (PRICE - 600, pb::RefundReason::Aftersale, pb::RefundState::Authorised),
            (PRICE, pb::RefundReason::Undelivered, pb::RefundState::Authorised),
        ]);
        assert_eq!(found[1].aftersale_id, nth::<kind::Aftersale>(1).to_string());
        assert_eq!(world.get_allotment(&allotments[0]).await.available, available + 1);
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!(moved(&accounts, pb::LedgerAccount::CarrierClaim), PRICE);
        for (at, refund) in found.iter().skip(1).enumerate() {
            let said = claims(&world, refund, "ref");
            reported(&world, report(&format!("r-{at}"), refund, &said)).await;
        }
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.payment_state(), minor(&order.refunded)), (pb::PaymentState::Refunded, 2 * PRICE));
    }

    async fn goods_of_a_matter_are_paid_back_by_its_settlement(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let come = Line { shipped: 2, delivered: 2, ..Line::default() };
        world.t.execute(Apply(entry(&placed, &[come]))).await.expect("applied");
        let mut back = crate::returns::news(&placed, 1, fulfillment::ReturnState::Received, &[(0, 1, 1)]);
        let Some(Content::GoodsReturn(goods)) = &mut back.content else { panic!("a return") };
        goods.aftersale_id = nth::<kind::Aftersale>(1).into();
        let return_id = goods.return_id.clone();
        world.t.execute(Apply(back)).await.expect("applied");
        assert!(refunds(&world, &placed.order_id).await.is_empty());
        let mut settled = settlement(&placed, 1, Some(1_000), 0);
        let Some(Content::AftersaleSettlement(said)) = &mut settled.content else { panic!("a settlement") };
        said.return_id = return_id.clone();
        world.t.execute(Apply(settled)).await.expect("applied");
        let refund = refunds(&world, &placed.order_id).await.remove(0);
        assert_eq!((refund.reason(), &refund.return_id, minor(&refund.shopper_amount)), (pb::RefundReason::Returned, &return_id, 1_000));
        let said = claims(&world, &refund, "ref");
        reported(&world, report("r-1", &refund, &said)).await;
        let counted = world.get(&placed.order_id).await.lines[0].quantities.expect("counters");
        assert_eq!((counted.returned, counted.refunded), (1, 1));
    }

    async fn a_cancellation_can_be_looked_at_before(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        world.enter_listing(listing_with(1, |terms| terms.remorse_period = Some(prost_types::Duration { seconds: 60, nanos: 0 }))).await;
        let look = |order_id: &str, lines: Vec<pb::LineQuantity>| pb::PreviewCancellationRequest { order_id: order_id.into(), lines };
        let pending = world.place("pending", &[(1, 2)]).await;
        let mut partner = world.partner(1);
        let seen = partner.orders.preview_cancellation(look(&pending.order_id, vec![])).await.expect("a look").into_inner();
        assert!(!seen.needs_fulfillment && minor(&seen.shopper_amount) == 0 && seen.lines[0].quantity == 2);
        assert_eq!(seen.sure_until, pending.hold_expire_time);
        let part = vec![pb::LineQuantity { order_line_id: pending.lines[0].order_line_id.clone(), quantity: 1 }];
        refused(partner.orders.preview_cancellation(look(&pending.order_id, part)).await, "INVALID_FIELD", Code::InvalidArgument);

        let placed = world.paid("o-1", &[(1, 3)]).await;
        let one = || vec![pb::LineQuantity { order_line_id: placed.lines[0].order_line_id.clone(), quantity: 1 }];
        let seen = partner.orders.preview_cancellation(look(&placed.order_id, one())).await.expect("a look").into_inner();
        assert!(seen.needs_fulfillment);
        assert_eq!((minor(&seen.shopper_amount), seen.line_amounts.len()), (PRICE, 1));
        assert_eq!(seen.sure_until, world.get(&placed.order_id).await.ship_not_before);
        // It is what happens then, and it changes nothing itself.
        assert_eq!(seen.etag, world.get(&placed.order_id).await.etag);
        care(&world).refunds.authorise_refund(authorise("a-1", &placed.order_id, 3 * PRICE - 100)).await.expect("made");
        let seen = partner.orders.preview_cancellation(look(&placed.order_id, vec![])).await.expect("a look").into_inner();
        assert_eq!(minor(&seen.shopper_amount), 100);
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, shipped: 2, ..Line::default() }]))).await.expect("applied");
        refused(partner.orders.preview_cancellation(look(&placed.order_id, one())).await, "WRONG_STATE", Code::FailedPrecondition);
        refused(world.partner(2).orders.preview_cancellation(look(&placed.order_id, vec![])).await, "NOT_FOUND", Code::NotFound);
        let many = vec![pb::LineQuantity { order_line_id: placed.lines[0].order_line_id.clone(), quantity: 9 }];
        let other = world.paid("o-2", &[(1, 1)]).await;
        refused(partner.orders.preview_cancellation(look(&other.order_id, many)).await, "NOT_FOUND", Code::NotFound);
        let many = vec![pb::LineQuantity { order_line_id: other.lines[0].order_line_id.clone(), quantity: 9 }];
        refused(partner.orders.preview_cancellation(look(&other.order_id, many)).await, "OVER_QUANTITY", Code::FailedPrecondition);
    }

    async fn each_source_gets_its_own_back(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        // Shipping and added tax, and the partner takes off 90 at its own cost.
        world.enter_listing(listing_with(1, |terms| {
            terms.shipping = money(300);
            terms.tax_included = false;
        })).await;
        let mut request = world.order("o-1", &[(1, 1)]);
        request.lines = vec![pb::LineRequest { partner_discount: money(90), ..line(1, 1) }];
        let payable = PRICE - 90 + 300 + 440;
        request.expected_payable = money(payable);
        let placed = world.partner(1).orders.place_order(request).await.expect("placed").into_inner();
        world.pay(&world.payment(1, &placed.order_id, "pay-o-1", payable)).await;
        let id = &placed.lines[0].order_line_id;
        let part = |component: pb::RefundComponent, amount| pb::RefundLineDraft { component: component.into(), ..draft(id, amount) };
        let request = |key: &str, line| pb::AuthoriseRefundRequest { shopper_amount: None, lines: vec![line], ..authorise(key, &placed.order_id, 0) };
        let shipping = care(&world).refunds.authorise_refund(request("a-1", part(pb::RefundComponent::Shipping, 300))).await.expect("made").into_inner();
        let shipping = shipping.refund.expect("it").line_amounts.remove(0);
        assert_eq!((minor(&shipping.shipping_amount), minor(&shipping.goods_amount), minor(&shipping.tax_added_amount)), (300, 0, 0));
        refused(care(&world).refunds.authorise_refund(request("a-2", part(pb::RefundComponent::Shipping, 1))).await, "OVER_QUANTITY", Code::FailedPrecondition);
        refused(care(&world).refunds.authorise_refund(request("a-3", part(pb::RefundComponent::Tax, 441))).await, "OVER_QUANTITY", Code::FailedPrecondition);
        let subsidy = pb::RefundLineDraft { partner_amount: money(91), shopper_amount: None, ..draft(id, 0) };
        let status = refused(care(&world).refunds.authorise_refund(request("a-4", subsidy)).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!(told(&status, "partner_left"), "90");
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        let rest = refunds(&world, &placed.order_id).await.remove(1);
        assert_eq!((minor(&rest.shopper_amount), minor(&rest.partner_amount)), (payable - 300, 90));
        let parts = &rest.line_amounts[0];
        assert_eq!((minor(&parts.goods_amount), minor(&parts.shipping_amount), minor(&parts.tax_added_amount)), (PRICE - 90, 0, 440));
        let accounts = balanced(&world, &placed.order_id).await;
        for account in [pb::LedgerAccount::Sales, pb::LedgerAccount::Shipping, pb::LedgerAccount::Tax] {
            assert_eq!(moved(&accounts, account), 0, "{account:?}");
        }
        assert_eq!(moved(&accounts, pb::LedgerAccount::SubsidyDue), -90);
    }
}
