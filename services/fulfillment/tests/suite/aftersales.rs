//! Matters after the sale, call by call.

use contracts::ErrorReason;
use contracts::common::v1::{Money, RetailerRole};
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::aftersale_service_client::AftersaleServiceClient;
use contracts::fulfillment::v1::decide_aftersale_request::Decision;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::{RefundId, VariantId};
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use contracts::order::v1::{
    CostBearer, LineAmount, Order, OrderFeedEntry, Refund, RefundReason, RefundState,
};
use fulfillment::model::TrackingStatus;
use kit::auth::Claims;
use kit::clock::Clock;
use testkit::house::{Through, refused};
use testkit::{TestDb, on_both_engines};
use tonic::{Code, Status};

use crate::common::*;
use crate::server::Server;

pub type Aftersales = AftersaleServiceClient<Through>;

/// Paid for each line.
pub const PAID: i64 = 1_000;

pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> ErrorReason {
    refused(answer).reason
}

pub fn eur(minor_units: i64) -> Money {
    Money {
        currency_code: "EUR".into(),
        minor_units,
    }
}

/// An order with its amounts, as the order feed tells it.
pub fn priced(at: u128, quantities: &[i64], t: &TestDb) -> Order {
    let mut order = order(at, quantities, t.clock.now());
    for line in &mut order.lines {
        line.amount = Some(LineAmount {
            payable: Some(eur(PAID)),
            ..LineAmount::default()
        });
    }
    order
}

/// Such an order is paid, shipped in one parcel and delivered.
pub async fn delivered_and_priced(t: &TestDb, at: u128, quantities: &[i64]) {
    let fulfillment = arrive(t, priced(at, quantities, t)).await;
    deliver(t, &fulfillment.id, vec![]).await;
}

pub fn wish(
    key: &str,
    order: u128,
    kind: pb::AftersaleKind,
    why: pb::AftersaleReason,
    quantity: i64,
    amount: Option<i64>,
) -> pb::RequestAftersaleRequest {
    pb::RequestAftersaleRequest {
        request_id: key.into(),
        order_id: order_id(order).into(),
        kind: kind.into(),
        reason: why.into(),
        lines: vec![pb::AftersaleLineDraft {
            order_line_id: line_id(order, 1).into(),
            quantity,
            amount: amount.map(eur),
        }],
        evidence: vec![photo("photo-1")],
    }
}

pub fn photo(reference: &str) -> pb::Evidence {
    pb::Evidence {
        evidence_reference: reference.into(),
        sha256_hex: "ab".repeat(32),
        media_type: "image/jpeg".into(),
        size_bytes: 1_000,
    }
}

fn instructions() -> pb::ReturnInstructions {
    pb::ReturnInstructions {
        return_site_reference: "lyon-2".into(),
        carrier_code: "colis".into(),
        tracking_number: "R1".into(),
        return_by_time: None,
    }
}

pub fn decide(key: &str, id: &str, decision: Decision) -> pb::DecideAftersaleRequest {
    pb::DecideAftersaleRequest {
        request_id: key.into(),
        aftersale_id: id.into(),
        decision: Some(decision),
        etag: String::new(),
    }
}

pub fn granted(goods: bool) -> Decision {
    Decision::Grant(pb::AftersaleGrant {
        instructions: goods.then(instructions),
        message: "Sorry".into(),
        cost_bearer: CostBearer::Carrier.into(),
    })
}

pub fn offered(order: u128, amount: i64) -> Decision {
    Decision::CounterOffer(pb::AftersaleCounterOffer {
        kind: pb::AftersaleKind::RefundOnly.into(),
        amounts: vec![pb::LineAmount {
            order_line_id: line_id(order, 1).into(),
            amount: Some(eur(amount)),
        }],
        message: "Keep it for less".into(),
        cost_bearer: 0,
        instructions: None,
    })
}

fn answered(
    key: &str,
    id: &str,
    accept: bool,
    offer_number: i32,
) -> pb::AnswerAftersaleOfferRequest {
    pb::AnswerAftersaleOfferRequest {
        request_id: key.into(),
        aftersale_id: id.into(),
        accept,
        offer_number,
        etag: String::new(),
    }
}

pub fn came(key: &str, id: &str) -> pb::RecordAftersaleReceivedRequest {
    pb::RecordAftersaleReceivedRequest {
        request_id: key.into(),
        aftersale_id: id.into(),
        etag: String::new(),
    }
}

pub fn looked_at(
    key: &str,
    id: &str,
    order: u128,
    quantity: i64,
    condition: pb::InspectedCondition,
) -> pb::InspectAftersaleRequest {
    pb::InspectAftersaleRequest {
        request_id: key.into(),
        aftersale_id: id.into(),
        units: vec![pb::InspectedUnits {
            order_line_id: line_id(order, 1).into(),
            quantity,
            condition: condition.into(),
            restock: condition == pb::InspectedCondition::Sellable,
        }],
        message: String::new(),
        etag: String::new(),
    }
}

fn resent(key: &str, id: &str, order: u128) -> pb::RecordAftersaleReshippedRequest {
    pb::RecordAftersaleReshippedRequest {
        request_id: key.into(),
        aftersale_id: id.into(),
        reshipment: Some(pb::Reshipment {
            carrier_code: "colis".into(),
            tracking_number: "X1".into(),
            units: vec![pb::ReshippedUnits {
                order_line_id: line_id(order, 1).into(),
                variant_id: VariantId::from_uuid(7).into(),
                quantity: 1,
            }],
            ship_time: None,
        }),
        etag: String::new(),
    }
}

/// The order service tells of the refund of a matter.
pub fn paid_back(
    matter: &pb::Aftersale,
    state: RefundState,
    attempt: i64,
    amount: i64,
) -> OrderFeedEntry {
    let refund = Refund {
        refund_id: RefundId::from_uuid(7).into(),
        order_id: matter.order_id.clone(),
        partner_id: matter.partner_id.clone(),
        reason: RefundReason::Aftersale.into(),
        shopper_amount: Some(eur(amount)),
        state: state.into(),
        attempt,
        return_id: matter.return_id.clone(),
        aftersale_id: matter.aftersale_id.clone(),
        ..Refund::default()
    };
    OrderFeedEntry {
        meta: None,
        content: Some(OrderContent::Refund(refund)),
    }
}

impl Server {
    pub fn matters(&self, claims: Claims) -> Aftersales {
        AftersaleServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    pub fn matters_of(&self, at: u128) -> Aftersales {
        self.matters(Claims::partner("gateway", &partner(at)))
    }

    pub fn matters_as(&self, role: RetailerRole) -> Aftersales {
        self.matters(Claims::retailer("ana", &[role]))
    }

    pub async fn open(&self, request: pb::RequestAftersaleRequest) -> pb::Aftersale {
        let answer = self.matters_of(1).request_aftersale(request).await;
        answer
            .expect("asked")
            .into_inner()
            .aftersale
            .expect("a matter")
    }

    pub async fn decide(&self, request: pb::DecideAftersaleRequest) -> pb::Aftersale {
        let answer = self
            .matters_as(RetailerRole::Care)
            .decide_aftersale(request)
            .await;
        answer
            .expect("decided")
            .into_inner()
            .aftersale
            .expect("a matter")
    }

    pub async fn whole(&self, id: &str) -> pb::GetAftersaleResponse {
        let aftersale_id = id.to_owned();
        let get = pb::GetAftersaleRequest { aftersale_id };
        self.matters_of(1)
            .get_aftersale(get)
            .await
            .expect("its own")
            .into_inner()
    }

    pub async fn now(&self, id: &str) -> pb::Aftersale {
        self.whole(id).await.aftersale.expect("a matter")
    }
}

/// What the order service was told to do.
pub async fn settlements(t: &TestDb) -> Vec<pb::AftersaleSettlement> {
    let told = feed(t).await.into_iter();
    let told = told.filter_map(|entry| match entry.content {
        Some(Content::AftersaleSettlement(found)) => Some(found),
        _ => None,
    });
    told.collect()
}

use pb::AftersaleKind::{Exchange, RefundOnly, Replacement, ReturnAndRefund};
use pb::AftersaleReason::{ChangedMind, CounterfeitClaim, Damaged, NeverArrived};
use pb::AftersaleState as State;

fn next(matter: &pb::Aftersale) -> (pb::AftersaleParty, pb::AftersaleAction) {
    let next = matter
        .next_action
        .expect("an open matter has a next action");
    assert!(next.deadline.is_some());
    (next.party(), next.action())
}

on_both_engines! {
    setup: setup();

    async fn a_counter_offer_is_taken_and_paid_back(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[2]).await;
        let ask = wish("k1", 1, RefundOnly, Damaged, 1, None);
        let made = server.open(ask.clone()).await;
        assert_eq!(made.lines[0].amount, Some(eur(PAID / 2)), "the share of one of two units");
        assert_eq!(next(&made), (pb::AftersaleParty::Retailer, pb::AftersaleAction::Review));
        assert_eq!(server.open(ask.clone()).await, made, "asked again with the same key");
        let other = pb::RequestAftersaleRequest { kind: Replacement.into(), ..ask };
        assert_eq!(reason(server.matters_of(1).request_aftersale(other).await), ErrorReason::KeyReused);
        let id = made.aftersale_id.as_str();
        let offer = server.decide(decide("k2", id, offered(1, 300))).await;
        assert_eq!((offer.state(), next(&offer).0), (State::CounterOffered, pb::AftersaleParty::Shopper));
        let mut partner = server.matters_of(1);
        assert_eq!(reason(partner.answer_aftersale_offer(answered("k3", id, true, 2)).await), ErrorReason::WrongState);
        let taken = partner.answer_aftersale_offer(answered("k3", id, true, 1)).await.expect("taken").into_inner();
        let taken = taken.aftersale.expect("a matter");
        assert_eq!((taken.state(), taken.kind(), taken.lines[0].amount.clone()), (State::Refunding, RefundOnly, Some(eur(300))));
        assert_eq!(next(&taken).0, pb::AftersaleParty::Partner);
        let told = settlements(&t).await;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].aftersale_id.as_str(), told[0].lines[0].amount.clone(), told[0].lines[0].quantity), (id, Some(eur(300)), 1));
        // A counter-offer after it was agreed on is one error, and nothing changes.
        let late = server.matters_as(RetailerRole::Care).decide_aftersale(decide("k4", id, offered(1, 100))).await;
        assert_eq!(reason(late), ErrorReason::WrongState);
        assert_eq!(server.now(id).await, taken);
        for (state, attempt, wanted) in [
            (RefundState::Authorised, 1, pb::AftersaleAction::ExecuteRefund),
            (RefundState::Failed, 1, pb::AftersaleAction::ReissueRefund),
            (RefundState::Authorised, 2, pb::AftersaleAction::ExecuteRefund),
            (RefundState::Failed, 1, pb::AftersaleAction::ExecuteRefund),
        ] {
            t.execute(Apply(paid_back(&taken, state, attempt, 300))).await.expect("told");
            assert_eq!(next(&server.now(id).await).1, wanted, "{state:?} {attempt}");
        }
        t.execute(Apply(paid_back(&taken, RefundState::Executed, 2, 300))).await.expect("told");
        let whole = server.whole(id).await;
        let done = whole.aftersale.expect("a matter");
        assert_eq!((done.state(), done.next_action, done.refund.expect("paid back").state()), (State::Resolved, None, RefundState::Executed));
        let steps: Vec<_> = whole.steps.iter().map(pb::AftersaleStep::kind).collect();
        use pb::AftersaleStepKind as Step;
        assert_eq!(steps, [Step::Opened, Step::Offered, Step::OfferAccepted, Step::Settled, Step::RefundAuthorised,
            Step::RefundFailed, Step::RefundAuthorised, Step::RefundExecuted]);
        assert_eq!(whole.evidence.len(), 1);
        check_feed(&t).await;
    }

    async fn goods_come_back_are_inspected_and_paid_back(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[2]).await;
        let made = server.open(wish("k1", 1, ReturnAndRefund, ChangedMind, 2, None)).await;
        let id = made.aftersale_id.as_str();
        let mut warehouse = server.matters_as(RetailerRole::Warehouse);
        let mut inspector = server.matters_as(RetailerRole::Inspector);
        // Nothing is inspected before it was received, and nothing is received before it was granted.
        let early = inspector.inspect_aftersale(looked_at("k2", id, 1, 1, pb::InspectedCondition::Sellable)).await;
        assert_eq!(reason(early), ErrorReason::WrongState);
        assert_eq!(reason(warehouse.record_aftersale_received(came("k2", id)).await), ErrorReason::WrongState);
        assert_eq!(server.now(id).await, made);
        let bare = server.matters_as(RetailerRole::Care).decide_aftersale(decide("k3", id, granted(false))).await;
        assert_eq!(reason(bare), ErrorReason::InvalidField);
        let granted = server.decide(decide("k3", id, granted(true))).await;
        assert_eq!((granted.state(), next(&granted).1), (State::AwaitingGoods, pb::AftersaleAction::SendGoods));
        // The leg is a return that only its matter moves.
        let leg = pb::GetReturnRequest { return_id: granted.return_id.clone() };
        let leg = server.returns_of(1).get_return(leg).await.expect("its own").into_inner().goods_return.expect("a return");
        assert_eq!((leg.state(), leg.aftersale_id.as_str()), (pb::ReturnState::Approved, id));
        let back = pb::CancelReturnRequest { request_id: "k4".into(), return_id: granted.return_id.clone(), etag: String::new() };
        assert_eq!(reason(server.returns_of(1).cancel_return(back).await), ErrorReason::WrongState);
        warehouse.record_aftersale_received(came("k5", id)).await.expect("it came");
        let over = inspector.inspect_aftersale(looked_at("k6", id, 1, 3, pb::InspectedCondition::Sellable)).await;
        assert_eq!(reason(over), ErrorReason::OverQuantity);
        let early = inspector.inspect_aftersale(looked_at("k6", id, 1, 1, pb::InspectedCondition::Sellable)).await;
        let found = early.expect("inspected").into_inner().aftersale.expect("a matter");
        assert_eq!((found.state(), found.lines[0].accepted_quantity, found.lines[0].restock_quantity), (State::Refunding, 1, 1));
        assert_eq!(found.lines[0].amount, Some(eur(PAID / 2)), "one of two came");
        let told = settlements(&t).await;
        assert_eq!((told.len(), told[0].return_id.as_str(), told[0].cost_bearer()), (1, granted.return_id.as_str(), CostBearer::Carrier));
        let goods = of_order(&t, order_id(1)).await;
        assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (0, 1));
        t.execute(Apply(paid_back(&found, RefundState::Executed, 1, 500))).await.expect("told");
        assert_eq!(server.now(id).await.state(), State::Resolved);
        let leg = pb::GetReturnRequest { return_id: granted.return_id };
        let leg = server.returns_of(1).get_return(leg).await.expect("its own").into_inner().goods_return.expect("a return");
        assert_eq!(leg.state(), pb::ReturnState::Completed);
        // The other unit and the other half of the money are free again, and no more.
        let most = server.matters_of(1).request_aftersale(wish("k7", 1, RefundOnly, Damaged, 1, Some(501))).await;
        let most = refused(most);
        assert_eq!((most.reason, most.metadata["most_minor_units"].as_str()), (ErrorReason::OverQuantity, "500"));
        server.open(wish("k7", 1, RefundOnly, Damaged, 1, Some(500))).await;
        assert_eq!(reason(server.matters_of(1).request_aftersale(wish("k8", 1, RefundOnly, Damaged, 1, None)).await), ErrorReason::OverQuantity);
        check_feed(&t).await;
    }

    async fn others_go_out_in_an_exchange_and_a_replacement(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[2]).await;
        let mut warehouse = server.matters_as(RetailerRole::Warehouse);
        let kept = server.open(wish("k1", 1, Replacement, CounterfeitClaim, 1, None)).await.aftersale_id;
        assert_eq!(server.decide(decide("k2", &kept, granted(false))).await.state(), State::AwaitingReshipment);
        let sent = warehouse.record_aftersale_reshipped(resent("k3", &kept, 1)).await.expect("sent").into_inner();
        let sent = sent.aftersale.expect("a matter");
        let out = sent.reshipment.clone().expect("what went out");
        assert_eq!((sent.state(), out.units.len(), out.ship_time.is_some()), (State::Resolved, 1, true));
        assert_eq!(settlements(&t).await, [], "nothing is paid back and nothing came back");
        assert_eq!(reason(warehouse.record_aftersale_reshipped(resent("k4", &kept, 1)).await), ErrorReason::WrongState);
        let swap = server.open(wish("k5", 1, Exchange, Damaged, 1, None)).await.aftersale_id;
        server.decide(decide("k6", &swap, granted(true))).await;
        warehouse.record_aftersale_received(came("k7", &swap)).await.expect("it came");
        let mut inspector = server.matters_as(RetailerRole::Inspector);
        let looked = inspector.inspect_aftersale(looked_at("k8", &swap, 1, 1, pb::InspectedCondition::Damaged)).await;
        assert_eq!(looked.expect("inspected").into_inner().aftersale.expect("a matter").state(), State::AwaitingReshipment);
        warehouse.record_aftersale_reshipped(resent("k9", &swap, 1)).await.expect("sent");
        assert_eq!(server.now(&swap).await, server.whole(&swap).await.aftersale.expect("the same"));
        let told = settlements(&t).await;
        assert_eq!((told.len(), told[0].lines[0].amount.clone()), (1, Some(eur(0))), "what came back is paid for in kind");
        // All money is free again.
        server.open(wish("k10", 1, RefundOnly, Damaged, 1, Some(500))).await;
        check_feed(&t).await;
    }

    async fn large_amounts_need_a_second_person(t: TestDb) {
        let (_never_tied, order) = kit::wire::Wire::late();
        let config = fulfillment::Config { aftersale_alone_default_minor_units: 100, ..fulfillment::Config::default() };
        let server = Server::start_with(&t, crate::server::house(&t), order, config, false).await;
        delivered_and_priced(&t, 1, &[1]).await;
        let id = server.open(wish("k1", 1, RefundOnly, NeverArrived, 1, None)).await.aftersale_id;
        // Ana is of care and of finance, and yet one person.
        let roles = [RetailerRole::Care, RetailerRole::Finance];
        let mut ana = server.matters(Claims::retailer("ana", &roles));
        let asked = ana.decide_aftersale(decide("k2", &id, granted(false))).await.expect("granted").into_inner();
        let asked = asked.aftersale.expect("a matter");
        assert_eq!((asked.state(), next(&asked).1), (State::AwaitingApproval, pb::AftersaleAction::ApproveRefund));
        let yes = |key: &str| pb::ApproveAftersaleRefundRequest {
            request_id: key.into(), aftersale_id: id.clone(), approve: true, ..Default::default()
        };
        assert_eq!(reason(ana.approve_aftersale_refund(yes("k3")).await), ErrorReason::SelfApproval);
        let mut care = server.matters(Claims::retailer("bea", &[RetailerRole::Care]));
        assert_eq!(care.approve_aftersale_refund(yes("k3")).await.expect_err("not finance").code(), Code::PermissionDenied);
        let mut finance = server.matters(Claims::retailer("bea", &[RetailerRole::Finance]));
        let agreed = finance.approve_aftersale_refund(yes("k3")).await.expect("agreed").into_inner();
        assert_eq!(agreed.aftersale.expect("a matter").state(), State::Refunding);
    }

    async fn what_is_anothers_is_unknown(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[1]).await;
        let own = server.open(wish("k1", 1, RefundOnly, Damaged, 1, None)).await.aftersale_id;
        let unknown = contracts::id::AftersaleId::from_uuid(999).to_string();
        let mut stranger = server.matters_of(2);
        let mut said = Vec::new();
        for id in [own.clone(), unknown] {
            let get = stranger.get_aftersale(pb::GetAftersaleRequest { aftersale_id: id.clone() }).await.expect_err("not theirs");
            let withdraw = pb::WithdrawAftersaleRequest { request_id: "s1".into(), aftersale_id: id.clone(), etag: String::new() };
            let withdraw = stranger.withdraw_aftersale(withdraw).await.expect_err("not theirs");
            let answer = stranger.answer_aftersale_offer(answered("s2", &id, true, 1)).await.expect_err("not theirs");
            let add = pb::AddAftersaleEvidenceRequest { request_id: "s3".into(), aftersale_id: id, evidence: vec![photo("x")] };
            let add = stranger.add_aftersale_evidence(add).await.expect_err("not theirs");
            let all = [get, withdraw, answer, add];
            assert!(all.iter().all(|status| status.code() == Code::NotFound));
            said.push(all.map(|status| status.message().to_owned()));
        }
        assert_eq!(said[0], said[1]);
        let order = |order_id: String| pb::CheckAftersaleEligibilityRequest { order_id };
        let foreign = stranger.check_aftersale_eligibility(order(order_id(1).into())).await.expect_err("not theirs");
        let unknown = stranger.check_aftersale_eligibility(order(order_id(77).into())).await.expect_err("unknown");
        assert_eq!((foreign.code(), foreign.message()), (unknown.code(), unknown.message()));
        let ask = stranger.request_aftersale(wish("s4", 1, RefundOnly, Damaged, 1, None)).await;
        assert_eq!(reason(ask), ErrorReason::NotFound);
        let none = stranger.list_aftersales(pb::ListAftersalesRequest::default()).await.expect("a page").into_inner();
        assert_eq!(none.aftersales, []);
        let other = pb::ListAftersalesRequest { partner_id: partner(1).into(), ..Default::default() };
        assert_eq!(reason(stranger.list_aftersales(other).await), ErrorReason::NotFound);
        let etag = pb::WithdrawAftersaleRequest { request_id: "k2".into(), aftersale_id: own.clone(), etag: "v9".into() };
        assert_eq!(reason(server.matters_of(1).withdraw_aftersale(etag.clone()).await), ErrorReason::EtagMismatch);
        let right = pb::WithdrawAftersaleRequest { etag: "v1".into(), ..etag };
        let gone = server.matters_of(1).withdraw_aftersale(right).await.expect("withdrawn").into_inner().aftersale;
        assert_eq!(gone.expect("a matter").state(), State::Withdrawn);
    }

    async fn what_can_be_asked_for_is_told_ahead(t: TestDb) {
        let server = Server::start(&t).await;
        let check = |at: u128| {
            let (mut partner, order_id) = (server.matters_of(1), order_id(at).to_string());
            async move {
                let request = pb::CheckAftersaleEligibilityRequest { order_id };
                partner.check_aftersale_eligibility(request).await.expect("a look").into_inner().lines
            }
        };
        let made = arrive(&t, priced(1, &[2], &t)).await;
        assert_eq!(check(1).await[0].ineligible_reason(), pb::AftersaleIneligibleReason::NotDelivered);
        deliver(&t, &made.id, vec![]).await;
        let line = check(1).await.remove(0);
        let refund = line.options.iter().find(|option| option.kind() == RefundOnly).expect("a refund");
        assert_eq!((refund.quantity, refund.max_amount.clone()), (2, Some(eur(PAID))));
        assert!(!refund.reasons.contains(&ChangedMind.into()));
        delivered(&t, 2, &[1]).await;
        assert_eq!(check(2).await[0].ineligible_reason(), pb::AftersaleIneligibleReason::AmountUnknown);
        let old = server.matters_of(1).request_aftersale(wish("k1", 2, RefundOnly, Damaged, 1, None)).await;
        assert_eq!(reason(old), ErrorReason::WrongState);
        let mind = server.matters_of(1).request_aftersale(wish("k1", 1, RefundOnly, ChangedMind, 1, None)).await;
        assert_eq!(reason(mind), ErrorReason::NotAllowedHere);
        // After the window only what is wrong is asked for, after that only care asks.
        t.clock.advance(std::time::Duration::from_secs(15 * 86_400));
        let mind = server.matters_of(1).request_aftersale(wish("k1", 1, ReturnAndRefund, ChangedMind, 1, None)).await;
        assert_eq!(reason(mind), ErrorReason::OutsideWindow);
        t.clock.advance(std::time::Duration::from_secs(80 * 86_400));
        assert_eq!(check(1).await[0].ineligible_reason(), pb::AftersaleIneligibleReason::WindowOver);
        let mut care = server.matters_as(RetailerRole::Care);
        let made = care.request_aftersale(wish("k2", 1, RefundOnly, Damaged, 2, None)).await.expect("care may");
        assert_eq!(made.into_inner().aftersale.expect("a matter").opened_by(), pb::AftersaleParty::Retailer);
        assert_eq!(check(1).await[0].ineligible_reason(), pb::AftersaleIneligibleReason::AllInMatters);
    }

    async fn parcels_that_do_not_arrive_become_matters(t: TestDb) {
        let server = Server::start(&t).await;
        let ends = [
            (TrackingStatus::Lost, State::Resolved, pb::AftersaleReason::CarrierLost),
            (TrackingStatus::Destroyed, State::Resolved, pb::AftersaleReason::CarrierDamaged),
            (TrackingStatus::Refused, State::AwaitingGoods, pb::AftersaleReason::CarrierRefused),
            (TrackingStatus::ReturnedToSender, State::GoodsReceived, pb::AftersaleReason::CarrierReturned),
        ];
        for (at, (status, state, why)) in (1_u128..).zip(ends) {
            let made = arrive(&t, priced(at, &[1], &t)).await;
            let parcel = ship(&t, &made.id, vec![]).await.expect("ships");
            for _ in 0..2 {
                track(&t, &parcel.id, event("end", status, t.clock.now())).await.expect("told");
            }
            let list = pb::ListAftersalesRequest { order_id: order_id(at).into(), ..Default::default() };
            let found = server.matters_of(1).list_aftersales(list).await.expect("a page").into_inner().aftersales;
            assert_eq!(found.len(), 1, "{status:?} opens one, however often it is told");
            assert_eq!((found[0].state(), found[0].reason(), found[0].shipment_id.as_str()), (state, why, parcel.id.as_str()));
            assert_eq!(found[0].opened_by(), pb::AftersaleParty::Carrier);
            if state == State::AwaitingGoods {
                assert_eq!(next(&found[0]).0, pb::AftersaleParty::Carrier);
                server.matters_as(RetailerRole::Warehouse).record_aftersale_received(came("in", &found[0].aftersale_id)).await.expect("back");
            }
            if state != State::Resolved {
                let mut inspector = server.matters_as(RetailerRole::Inspector);
                let looked = looked_at(&format!("look{at}"), &found[0].aftersale_id, at, 1, pb::InspectedCondition::Sellable);
                let done = inspector.inspect_aftersale(looked).await.expect("inspected").into_inner().aftersale;
                assert_eq!(done.expect("a matter").state(), State::Resolved);
            }
        }
        let told = settlements(&t).await;
        assert_eq!(told.len(), 2, "what came back undelivered goes back on sale");
        assert!(told.iter().all(|told| told.lines.is_empty() && told.restock[0].quantity == 1));
        check_feed(&t).await;
    }

    async fn pages_and_feeds_hold_a_partners_own(t: TestDb) {
        let server = Server::start(&t).await;
        for at in 1..=3 {
            delivered_and_priced(&t, at, &[1]).await;
            server.open(wish(&format!("k{at}"), at, RefundOnly, Damaged, 1, None)).await;
        }
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListAftersalesRequest { page_size: 2, page_token, state: State::Requested.into(), ..Default::default() };
            let page = server.matters_of(1).list_aftersales(request).await.expect("a page").into_inner();
            seen.extend(page.aftersales.into_iter().map(|found| found.aftersale_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 3);
        let list = pb::ListFulfillmentFeedRequest { cursor: String::new(), page_size: 100 };
        let told = |at: u128| {
            let (mut feed, list) = (server.feed(Claims::partner("gateway", &partner(at))), list.clone());
            async move {
                let entries = feed.list_fulfillment_feed(list).await.expect("a page").into_inner().entries;
                entries.into_iter().filter_map(|entry| match entry.content {
                    Some(Content::Aftersale(found)) => found.next_action,
                    _ => None,
                }).count()
            }
        };
        assert_eq!((told(1).await, told(2).await), (3, 0));
        let id = &seen[0];
        let add = |key: &str, pieces: usize| pb::AddAftersaleEvidenceRequest {
            request_id: key.into(), aftersale_id: id.clone(), evidence: (0..pieces).map(|at| photo(&format!("p{at}"))).collect(),
        };
        let mut partner = server.matters_of(1);
        partner.add_aftersale_evidence(add("e1", 19)).await.expect("added");
        assert_eq!(reason(partner.add_aftersale_evidence(add("e2", 1)).await), ErrorReason::WrongState);
        let bad = pb::AddAftersaleEvidenceRequest { evidence: vec![pb::Evidence { sha256_hex: "XY".into(), ..photo("q") }], ..add("e3", 0) };
        assert_eq!(reason(partner.add_aftersale_evidence(bad).await), ErrorReason::InvalidField);
        assert_eq!(server.whole(id).await.evidence.len(), 20);
    }
}
