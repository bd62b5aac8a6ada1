//! Who proposes never approves, pair by pair: money that one person decides on above an amount. Corrections of the
//! ledger are in `adjustments`.
//!
//! A principal is known by what its token says it is: the audience and the subject. Another token of the same subject is
//! the same principal, whatever its roles. That one person has two subjects nobody can tell here.

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use kit::auth::Claims;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::money::{authorise, care, compensate, other_finance};
use crate::world::{World, refused, setup};

mod security {
    use super::*;

    on_both_engines! {
        setup: setup();

        async fn who_proposes_money_does_not_approve_it(t: TestDb) {
            let world = World::start(t).await;
            world.stock(50).await;
            let placed = world.paid("o-1", &[(1, 20)]).await;
            let refund = care(&world).refunds.authorise_refund(authorise("a-1", &placed.order_id, 20_001)).await;
            let refund = refund.expect("proposed").into_inner().proposal.expect("a proposal");
            let compensation = care(&world).refunds.authorise_compensation(compensate("c-1", &placed.order_id, 90_000)).await;
            let compensation = compensation.expect("proposed").into_inner().proposal.expect("a proposal");
            for (n, proposal) in [refund, compensation].into_iter().enumerate() {
                let decide = |key: String, approve: bool| pb::DecideRefundProposalRequest {
                    request_id: key,
                    refund_proposal_id: proposal.refund_proposal_id.clone(),
                    approve,
                    note: "by myself".into(),
                };
                let tokens: [&[RetailerRole]; 3] =
                    [&[RetailerRole::Finance], &[RetailerRole::Care, RetailerRole::Finance], &kit::caller::ROLES];
                for (m, roles) in tokens.into_iter().enumerate() {
                    let mut same = world.clients(Claims::retailer("ana", roles));
                    for approve in [true, false] {
                        let own = decide(format!("d-{n}-{m}-{approve}"), approve);
                        refused(same.refunds.decide_refund_proposal(own).await, "SELF_APPROVAL", Code::FailedPrecondition);
                    }
                }
                let decided = other_finance(&world).refunds.decide_refund_proposal(decide(format!("d-{n}"), true)).await;
                let decided = decided.expect("somebody else").into_inner().proposal.expect("it");
                assert_eq!(decided.state(), pb::RefundProposalState::Approved);
            }
        }
    }
}
