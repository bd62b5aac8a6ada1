//! Corrections of the ledger by hand, and who decided on an order's money.

use contracts::common::v1::RetailerRole;
use contracts::id::kind;
use contracts::order::v1 as pb;
use order::model::rate::Day;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::ledger::{balanced, lines, moved};
use crate::money::{authorise, care, charge_back, compensate, other_finance};
use crate::world::{Clients, World, fields, money, nth, refused, setup, told};

use pb::LedgerAccount::{CarrierClaim, ChargebacksLost, PartnerClaim, PartnerHeld};
use pb::LedgerAdjustmentReason as Reason;
use pb::LedgerAdjustmentState as State;

/// A paid order of which a bank took 990 for good, and the entry of that.
async fn lost(world: &World) -> (String, String) {
    world.stock(20).await;
    let placed = world.paid("o-1", &[(1, 1)]).await;
    let mut partner = world.partner(1);
    for (key, word) in [("x-1", "CHARGEBACK_OPENED"), ("x-2", "CHARGEBACK_LOST")] {
        let report = charge_back(world, key, &placed.order_id, word, 990);
        partner.refunds.report_chargeback(report).await.expect(word);
    }
    let mut finance = world.retailer(RetailerRole::Finance);
    let found = lines(&mut finance, &placed.order_id).await;
    let line = found
        .into_iter()
        .find(|line| line.step() == pb::LedgerStep::ChargebackLost);
    (
        placed.order_id,
        line.expect("it is in the ledger").ledger_entry_id,
    )
}

fn wanted(
    key: &str,
    order_id: &str,
    entry_id: &str,
    to: pb::LedgerAccount,
    minor: i64,
) -> pb::ProposeLedgerAdjustmentRequest {
    pb::ProposeLedgerAdjustmentRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        adjusted_entry_id: entry_id.into(),
        reason: Reason::OtherBearer.into(),
        credit_account: ChargebacksLost.into(),
        debit_account: to.into(),
        amount: money(minor),
        note: "the carrier's insurance pays".into(),
    }
}

async fn propose(
    clients: &mut Clients,
    request: pb::ProposeLedgerAdjustmentRequest,
) -> pb::LedgerAdjustment {
    let answer = clients.ledger.propose_ledger_adjustment(request).await;
    answer
        .expect("proposed")
        .into_inner()
        .adjustment
        .expect("it")
}

/// What an approved one moved.
async fn line_of(
    clients: &mut Clients,
    order_id: &str,
    adjustment: &pb::LedgerAdjustment,
) -> pb::LedgerLine {
    let found = lines(clients, order_id).await;
    let of = |line: &pb::LedgerLine| line.source_id == adjustment.ledger_adjustment_id;
    found.into_iter().find(of).expect("it is in the ledger")
}

fn decide(
    key: &str,
    adjustment: &pb::LedgerAdjustment,
    approve: bool,
    note: &str,
) -> pb::DecideLedgerAdjustmentRequest {
    pb::DecideLedgerAdjustmentRequest {
        request_id: key.into(),
        ledger_adjustment_id: adjustment.ledger_adjustment_id.clone(),
        approve,
        note: note.into(),
    }
}

async fn approve(
    clients: &mut Clients,
    key: &str,
    adjustment: &pb::LedgerAdjustment,
) -> pb::LedgerAdjustment {
    let answer = clients
        .ledger
        .decide_ledger_adjustment(decide(key, adjustment, true, ""))
        .await;
    answer
        .expect("approved")
        .into_inner()
        .adjustment
        .expect("it")
}

on_both_engines! {
    setup: setup();

    async fn two_people_correct_who_bears_a_cost(t: TestDb) {
        let world = World::start(t).await;
        let (order_id, entry_id) = lost(&world).await;
        let (mut ana, mut ben) = (world.retailer(RetailerRole::Finance), other_finance(&world));
        let before = (world.get(&order_id).await, lines(&mut ana, &order_id).await);
        let request = wanted("p-1", &order_id, &entry_id, CarrierClaim, 600);
        let proposed = propose(&mut ana, request.clone()).await;
        assert_eq!((proposed.state(), proposed.proposer.is_empty()), (State::Proposed, false));
        assert_eq!(propose(&mut ana, request.clone()).await, proposed, "the same key, the same answer");
        let other = pb::ProposeLedgerAdjustmentRequest { note: "other".into(), ..request };
        refused(ana.ledger.propose_ledger_adjustment(other).await, "KEY_REUSED", Code::AlreadyExists);
        assert_eq!(lines(&mut ana, &order_id).await, before.1, "nothing moves before it is approved");
        refused(ana.ledger.decide_ledger_adjustment(decide("d-1", &proposed, true, "")).await, "SELF_APPROVAL", Code::FailedPrecondition);
        let approved = approve(&mut ben, "d-2", &proposed).await;
        assert_eq!((approved.state(), approved.decider == approved.proposer), (State::Approved, false));
        refused(ben.ledger.decide_ledger_adjustment(decide("d-3", &proposed, true, "")).await, "WRONG_STATE", Code::FailedPrecondition);
        let accounts = balanced(&world, &order_id).await;
        assert_eq!((moved(&accounts, ChargebacksLost), moved(&accounts, CarrierClaim)), (390, 600));
        let line = line_of(&mut ana, &order_id, &approved).await;
        assert_eq!((line.step(), line.r#type()), (pb::LedgerStep::Adjusted, pb::LedgerLineType::Adjustment));
        assert_eq!((line.adjusted_entry_id.as_str(), line.reversed_entry_id.as_str()), (entry_id.as_str(), ""));
        assert_eq!((line.source_id, line.ledger_entry_id), (approved.ledger_adjustment_id.clone(), approved.ledger_entry_id.clone()));
        // It moves nobody's money: the order is as it was.
        assert_eq!(world.get(&order_id).await, before.0);

        // Proposals set nothing aside, so the second of two that do not both fit is refused when it is approved.
        let (first, second) = (
            propose(&mut ana, wanted("p-2", &order_id, &entry_id, PartnerClaim, 300)).await,
            propose(&mut ana, wanted("p-3", &order_id, &entry_id, CarrierClaim, 300)).await,
        );
        approve(&mut ben, "d-4", &first).await;
        let over = refused(ben.ledger.decide_ledger_adjustment(decide("d-5", &second, true, "")).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!(told(&over, "most_minor_units"), "90");
        refused(ben.ledger.decide_ledger_adjustment(decide("d-6", &second, false, "")).await, "INVALID_FIELD", Code::InvalidArgument);
        let rejected = ben.ledger.decide_ledger_adjustment(decide("d-6", &second, false, "too much")).await.expect("rejected");
        assert_eq!(rejected.into_inner().adjustment.expect("it").state(), State::Rejected);

        // All of one goes back to where it was, and names what it undoes.
        let undone = pb::ProposeLedgerAdjustmentRequest {
            reason: Reason::TakenBack.into(), credit_account: CarrierClaim.into(), debit_account: ChargebacksLost.into(),
            ..wanted("p-4", &order_id, &approved.ledger_entry_id, CarrierClaim, 600)
        };
        let part = pb::ProposeLedgerAdjustmentRequest { amount: money(599), ..undone.clone() };
        let status = refused(ana.ledger.propose_ledger_adjustment(part).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["reason"]);
        let undone = propose(&mut ana, undone).await;
        approve(&mut ben, "d-7", &undone).await;
        let accounts = balanced(&world, &order_id).await;
        assert_eq!((moved(&accounts, ChargebacksLost), moved(&accounts, CarrierClaim), moved(&accounts, PartnerClaim)), (690, 0, 300));
        let line = line_of(&mut ana, &order_id, &undone).await;
        assert_eq!(line.reversed_entry_id, approved.ledger_entry_id);

        // The partner sees what concerns it: its claim, and not who else bears what.
        let mut partner = world.partner(1);
        let seen = lines(&mut partner, &order_id).await;
        let seen: Vec<_> = seen.iter().filter(|line| line.step() == pb::LedgerStep::Adjusted).collect();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].credit_account(), seen[0].debit_account()), (pb::LedgerAccount::RetailerBooks, PartnerClaim));
        let answer = partner.ledger.list_ledger_adjustments(pb::ListLedgerAdjustmentsRequest::default()).await;
        assert_eq!(answer.expect_err("the retailer's alone").code(), Code::PermissionDenied);
    }

    async fn what_cannot_be_corrected_is_refused(t: TestDb) {
        let world = World::start(t).await;
        let (order_id, entry_id) = lost(&world).await;
        let mut ana = world.retailer(RetailerRole::Finance);
        let over = refused(ana.ledger.propose_ledger_adjustment(wanted("p-1", &order_id, &entry_id, CarrierClaim, 991)).await, "OVER_QUANTITY", Code::FailedPrecondition);
        assert_eq!(told(&over, "most_minor_units"), "990");
        // What signed statements decide on is nobody's to correct.
        for account in [PartnerHeld, pb::LedgerAccount::RefundsDue, pb::LedgerAccount::ChargebacksOpen, pb::LedgerAccount::RetailerPaid] {
            let status = refused(ana.ledger.propose_ledger_adjustment(wanted("p-1", &order_id, &entry_id, account, 1)).await, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), ["debit_account"]);
        }
        let same = wanted("p-1", &order_id, &entry_id, ChargebacksLost, 1);
        let bad = pb::ProposeLedgerAdjustmentRequest { reason: 0, amount: money(0), note: String::new(), ..same };
        let status = refused(ana.ledger.propose_ledger_adjustment(bad).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["reason", "debit_account", "amount.minor_units", "note"]);
        let unknown = nth::<kind::LedgerEntry>(99).to_string();
        refused(ana.ledger.propose_ledger_adjustment(wanted("p-1", &order_id, &unknown, CarrierClaim, 1)).await, "NOT_FOUND", Code::NotFound);
        let nowhere = nth::<kind::Order>(99).to_string();
        refused(ana.ledger.propose_ledger_adjustment(wanted("p-1", &nowhere, &entry_id, CarrierClaim, 1)).await, "NOT_FOUND", Code::NotFound);
        let list = pb::ListLedgerAdjustmentsRequest { order_id: nowhere, ..Default::default() };
        refused(ana.ledger.list_ledger_adjustments(list).await, "NOT_FOUND", Code::NotFound);
        // Care does not keep books.
        let theirs = care(&world).ledger.propose_ledger_adjustment(wanted("p-1", &order_id, &entry_id, CarrierClaim, 1)).await;
        assert_eq!(theirs.expect_err("not finance").code(), Code::PermissionDenied);
    }

    async fn what_was_decided_never_changes_and_is_in_every_report(t: TestDb) {
        let world = World::start(t).await;
        let (order_id, entry_id) = lost(&world).await;
        let (mut ana, mut ben) = (world.retailer(RetailerRole::Finance), other_finance(&world));
        for at in 0..3 {
            let proposed = propose(&mut ana, wanted(&format!("p-{at}"), &order_id, &entry_id, CarrierClaim, 100)).await;
            approve(&mut ben, &format!("d-{at}"), &proposed).await;
        }
        propose(&mut ana, wanted("p-9", &order_id, &entry_id, CarrierClaim, 1)).await;
        let change = op("change", |tx| Box::pin(async move {
            sql!(tx, execute, "UPDATE ledger_adjustment SET amount = 1 WHERE state = 'APPROVED'")?;
            Ok(())
        }));
        assert!(world.t.execute(change).await.is_err());
        // Page by page, one entry on each, nothing is skipped or comes twice.
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListLedgerLinesRequest { order_id: order_id.clone(), page_size: 1, page_token, ..Default::default() };
            let page = ana.ledger.list_ledger_lines(request).await.expect("a page").into_inner();
            seen.extend(page.lines);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, lines(&mut ana, &order_id).await);
        assert_eq!(seen.iter().filter(|line| line.step() == pb::LedgerStep::Adjusted).count(), 3);
        // Day by day, with everything else.
        let date = Day::of(world.now()).to_string();
        let request = pb::GetLedgerBalanceRequest { start_date: date.clone(), end_date: date.clone(), ..Default::default() };
        let balances = ana.ledger.get_ledger_balance(request).await.expect("balances").into_inner().balances;
        let on = |account| balances.iter().find(|found| found.account() == account).and_then(|found| found.balance.clone());
        assert_eq!((on(ChargebacksLost), on(CarrierClaim)), (money(690), money(300)));
        assert_eq!(balances.iter().map(|found| found.balance.as_ref().expect("it").minor_units).sum::<i64>(), 0);
        let request = pb::ListLedgerLinesRequest { start_date: date.clone(), end_date: date, page_size: 200, ..Default::default() };
        let all = ana.ledger.list_ledger_lines(request).await.expect("lines").into_inner().lines;
        assert_eq!(all, seen);
        for (state, count) in [(State::Approved, 3), (State::Proposed, 1), (State::Rejected, 0)] {
            let list = pb::ListLedgerAdjustmentsRequest { state: state.into(), ..Default::default() };
            let found = ana.ledger.list_ledger_adjustments(list).await.expect("a page").into_inner();
            assert_eq!(found.adjustments.len(), count, "{state:?}");
        }
    }

    async fn who_decided_on_money_is_told_to_the_retailer_and_the_suite(t: TestDb) {
        let world = World::start(t).await;
        world.stock(50).await;
        let placed = world.paid("o-1", &[(1, 20)]).await;
        let id = placed.order_id.clone();
        let alone = care(&world).refunds.authorise_refund(authorise("a-1", &id, 500)).await.expect("made").into_inner();
        let proposal = care(&world).refunds.authorise_compensation(compensate("c-1", &id, 90_000)).await.expect("proposed").into_inner();
        let list = |page_token: &str| pb::ListRefundDecidersRequest { order_id: id.clone(), page_size: 1, page_token: page_token.into() };
        let mut suite = world.service();
        let page = suite.refunds.list_refund_deciders(list("")).await.expect("a page").into_inner();
        assert_eq!((page.deciders.len(), page.next_page_token.as_str()), (1, ""), "a proposal is no decision");
        let first = page.deciders[0].clone();
        assert_eq!(first.refund_id, alone.refund.expect("a refund").refund_id);
        assert_eq!((first.proposer == first.decider, first.compensation_id.as_str()), (true, ""));
        world.advance(std::time::Duration::from_secs(1));
        let decide = pb::DecideRefundProposalRequest {
            request_id: "d-1".into(), refund_proposal_id: proposal.proposal.expect("it").refund_proposal_id, approve: true,
            note: String::new(),
        };
        let made = other_finance(&world).refunds.decide_refund_proposal(decide).await.expect("approved").into_inner();
        let page = suite.refunds.list_refund_deciders(list("")).await.expect("a page").into_inner();
        assert_eq!(page.deciders, [first]);
        let page = suite.refunds.list_refund_deciders(list(&page.next_page_token)).await.expect("a page").into_inner();
        let second = &page.deciders[0];
        assert_eq!(second.compensation_id, made.compensation.expect("a compensation").compensation_id);
        assert!(second.proposer != second.decider && second.decider.ends_with("ben"), "{second:?}");
        assert_eq!(page.next_page_token, "");
        let unknown = pb::ListRefundDecidersRequest { order_id: nth::<kind::Order>(99).into(), ..Default::default() };
        refused(suite.refunds.list_refund_deciders(unknown).await, "NOT_FOUND", Code::NotFound);
        let answer = world.partner(1).refunds.list_refund_deciders(list("")).await;
        assert_eq!(answer.expect_err("the retailer's alone").code(), Code::PermissionDenied);
    }
}
