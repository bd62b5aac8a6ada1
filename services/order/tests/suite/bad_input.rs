//! What asks for more money than is left is one typed error with a sentence, and leaves nothing behind: not in the order, the
//! ledger, the feed, the keys or the audit.

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::{Code, Response, Status};

use crate::ledger::{balanced, lines};
use crate::money::{authorise, care, charge_back, compensate, draft, first, other_finance, stated};
use crate::refunds::refunds;
use crate::world::{PRICE, World, nth, refused, setup, told};

/// Everything that a step writes.
#[derive(Debug, PartialEq)]
struct Standing {
    order: pb::Order,
    refunds: Vec<pb::Refund>,
    ledger: Vec<pb::LedgerLine>,
    feed: Vec<pb::OrderFeedEntry>,
    /// The last positions of feed and audit, keys, proposals, chargebacks and decisions.
    marks: [i64; 6],
}

async fn standing(world: &World, order_id: &str) -> Standing {
    let look = op("marks", |tx| {
        Box::pin(async move {
            let (feed,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COALESCE(MAX(position), 0) AS BIGINT) FROM feed"
            )?;
            let (audit,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COALESCE(MAX(position), 0) AS BIGINT) FROM audit"
            )?;
            let (keys,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM idempotency"
            )?;
            let (wanted,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM refund_proposal"
            )?;
            let (taken,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM chargeback"
            )?;
            let (decided,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM money_decision"
            )?;
            Ok([feed, audit, keys, wanted, taken, decided])
        })
    });
    let mut finance = world.retailer(RetailerRole::Finance);
    balanced(world, order_id).await;
    Standing {
        order: world.get(order_id).await,
        refunds: refunds(world, order_id).await,
        ledger: lines(&mut finance, order_id).await,
        feed: world.feed(world.ops()).await,
        marks: world.t.read(look).await.expect("a look"),
    }
}

/// The one error, with what is left and a sentence that says it.
fn over<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, left: i64) {
    let status = refused(answer, "OVER_QUANTITY", Code::FailedPrecondition);
    let said = status.message();
    let is_sentence = said.ends_with('.') && said.split(' ').count() > 3;
    assert!(
        is_sentence && said.starts_with(char::is_uppercase),
        "{said}"
    );
    assert_eq!(told(&status, "shopper_left"), left.to_string());
}

on_both_engines! {
    setup: setup();

    async fn a_refund_above_what_is_left_changes_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2), (2, 1)]).await;
        let (id, line) = (placed.order_id.clone(), placed.lines[0].order_line_id.clone());
        care(&world).refunds.authorise_refund(authorise("a-0", &id, 500)).await.expect("made");
        let left = 3 * PRICE - 500;
        let of_line = 2 * PRICE - standing(&world, &id).await.refunds[0].line_amounts.iter()
            .filter(|found| found.order_line_id == line)
            .map(|found| found.shopper_amount.as_ref().expect("it").minor_units)
            .sum::<i64>();
        let before = standing(&world, &id).await;
        for _ in 0..2 {
            // By care, of the order and of a line; more than one person may give; by the partner, who was first; by a bank.
            over(care(&world).refunds.authorise_refund(authorise("a-1", &id, left + 1)).await, left);
            let lines = pb::AuthoriseRefundRequest {
                shopper_amount: None, lines: vec![draft(&line, of_line + 1)], ..authorise("a-2", &id, 0)
            };
            over(care(&world).refunds.authorise_refund(lines).await, of_line);
            over(care(&world).refunds.authorise_refund(authorise("a-3", &id, 9_000_000)).await, left);
            let said = first(&world, &id, "f-1", left + 1);
            over(world.partner(1).refunds.report_partner_refund(stated("p-1", &id, &said)).await, left);
            let taken = charge_back(&world, "x-1", &id, "CHARGEBACK_OPENED", left + 1);
            over(world.partner(1).refunds.report_chargeback(taken).await, left);
            assert_eq!(standing(&world, &id).await, before);
        }
        // Exactly what is left is not too much, and the same key may be used for it.
        care(&world).refunds.authorise_refund(authorise("a-1", &id, left)).await.expect("made");
    }

    async fn an_approval_above_what_is_left_by_then_changes_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(50).await;
        let placed = world.paid("o-1", &[(1, 20)]).await;
        let id = placed.order_id.clone();
        let proposed = care(&world).refunds.authorise_refund(authorise("a-1", &id, 20_001)).await.expect("proposed").into_inner();
        let proposal = proposed.proposal.expect("a proposal");
        let rest = 20 * PRICE - 20_000;
        care(&world).refunds.authorise_refund(authorise("a-2", &id, rest)).await.expect("made");
        let before = standing(&world, &id).await;
        let decide = pb::DecideRefundProposalRequest {
            request_id: "d-1".into(), refund_proposal_id: proposal.refund_proposal_id, approve: true, note: String::new(),
        };
        over(other_finance(&world).refunds.decide_refund_proposal(decide).await, 20_000);
        assert_eq!(standing(&world, &id).await, before);
    }

    async fn lists_of_anothers_order_are_of_none(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let mut partner = world.partner(1);
        care(&world).refunds.authorise_compensation(compensate("c-1", &placed.order_id, 500)).await.expect("made");
        let opened = charge_back(&world, "x-1", &placed.order_id, "CHARGEBACK_OPENED", 10);
        partner.refunds.report_chargeback(opened).await.expect("opened");
        let given = |order_id: &str| pb::ListCompensationsRequest { order_id: order_id.into(), ..Default::default() };
        let taken = |order_id: &str| pb::ListChargebacksRequest { order_id: order_id.into(), ..Default::default() };
        let own = partner.refunds.list_compensations(given(&placed.order_id)).await.expect("its own").into_inner();
        assert_eq!(own.compensations.len(), 1);
        let own = partner.refunds.list_chargebacks(taken(&placed.order_id)).await.expect("its own").into_inner();
        assert_eq!(own.chargebacks.len(), 1);
        let unknown = nth::<contracts::id::kind::Order>(99).to_string();
        let mut other = world.partner(2);
        let mut said = Vec::new();
        for id in [placed.order_id.as_str(), unknown.as_str()] {
            let one = refused(other.refunds.list_compensations(given(id)).await, "NOT_FOUND", Code::NotFound);
            let two = refused(other.refunds.list_chargebacks(taken(id)).await, "NOT_FOUND", Code::NotFound);
            said.push([one, two].map(|status| (status.message().to_owned(), status.details().to_vec())));
        }
        assert_eq!(said[0], said[1], "byte for byte");
        for clients in [care(&world), world.service()] {
            let answer = clients.clone().refunds.list_compensations(given(&unknown)).await;
            refused(answer, "NOT_FOUND", Code::NotFound);
        }
        // Without an order it is a list of one's own, and may be empty.
        assert!(other.refunds.list_compensations(given("")).await.expect("none").into_inner().compensations.is_empty());
    }
}
