//! The retailer's care, played: an agent answers every case, an arbiter decides every dispute for the shopper, and the
//! agent pays back what was paid and resolves the case with it.

use contracts::common::v1::Money;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;

use super::house::House;
use crate::demo::client::Caller;
use crate::token::Role;

/// The most cases of one state looked at in one round.
const CASES_MAX: i32 = 100;
/// The subject of the arbiter's token.
const ARBITER: &str = "sandbox-arbiter";

impl House {
    /// One step with each case that waits for somebody of the house.
    pub(super) async fn care(&self) -> anyhow::Result<()> {
        let agent = self.tokens.retailer("sandbox-agent", &[Role::Care])?;
        let waiting = [
            pb::CaseState::Open,
            pb::CaseState::WaitingRetailer,
            pb::CaseState::WaitingShopper,
            pb::CaseState::WaitingArbiter,
        ];
        for state in waiting {
            let request = pb::ListCasesRequest {
                partner_id: self.partner_id.clone(),
                state: state.into(),
                page_size: CASES_MAX,
                ..Default::default()
            };
            let page = ask!("the cases", agent.care().list_cases(request))?;
            for case in page.cases {
                self.step(&agent, case).await?;
            }
        }
        Ok(())
    }

    /// Keys follow from what is done, so that nothing is done twice, whenever the sandbox was stopped.
    async fn step(&self, agent: &Caller, case: pb::CareCase) -> anyhow::Result<()> {
        if case.ruling() != pb::CaseRuling::Unspecified {
            return self.carry_out(agent, case).await;
        }
        if case.state() == pb::CaseState::WaitingArbiter {
            return self.decide(case).await;
        }
        if case.response_time.is_none() {
            return self.answer(agent, case).await;
        }
        if case.level() == pb::CaseLevel::Dispute {
            return self.name(case).await;
        }
        Ok(())
    }

    async fn answer(&self, agent: &Caller, case: pb::CareCase) -> anyhow::Result<()> {
        let request = pb::PostMessageRequest {
            request_id: format!(
                "answer-{}-{}-{}",
                case.case_id, case.level, case.reopen_count
            ),
            case_id: case.case_id,
            message: Some(pb::CaseMessageDraft {
                author: pb::CaseParty::Retailer.into(),
                visibility: pb::MessageVisibility::ShopperAndAll.into(),
                text: "We have looked at it, and think that everything is as it should be.".into(),
                attachments: Vec::new(),
            }),
            ..Default::default()
        };
        ask!("an answer", agent.care().post_message(request))?;
        Ok(())
    }

    async fn name(&self, case: pb::CareCase) -> anyhow::Result<()> {
        let ops = self.tokens.retailer("sandbox", &[Role::Ops])?;
        let request = pb::NameArbiterRequest {
            request_id: format!("arbiter-{}", case.case_id),
            case_id: case.case_id,
            etag: String::new(),
            arbiter: Some(pb::CaseArbiter {
                display_name: "The sandbox's arbiter".into(),
                organisation: "Chamber of Trade".into(),
                subject: ARBITER.into(),
            }),
        };
        ask!("an arbiter", ops.care().name_arbiter(request))?;
        Ok(())
    }

    async fn decide(&self, case: pb::CareCase) -> anyhow::Result<()> {
        let arbiter = self.tokens.retailer(ARBITER, &[Role::Care])?;
        let has_order = case
            .references
            .is_some_and(|found| !found.order_id.is_empty());
        let (ruling, required) = if has_order {
            let refund = pb::CaseRequiredOutcome {
                kind: pb::CaseOutcomeKind::Refund.into(),
                least_amount: None,
            };
            (pb::CaseRuling::ForShopper, vec![refund])
        } else {
            (pb::CaseRuling::ForRetailer, Vec::new())
        };
        let request = pb::DecideDisputeRequest {
            request_id: format!("decide-{}", case.case_id),
            case_id: case.case_id,
            etag: String::new(),
            decision: Some(pb::CaseDecision {
                ruling: ruling.into(),
                required_outcomes: required,
                reason: "What was shown in the room is what counts.".into(),
                ..Default::default()
            }),
        };
        ask!("a decision", arbiter.care().decide_dispute(request))?;
        Ok(())
    }

    async fn carry_out(&self, agent: &Caller, case: pb::CareCase) -> anyhow::Result<()> {
        let outcome = match case.ruling() {
            pb::CaseRuling::ForRetailer => pb::CaseOutcome {
                kind: pb::CaseOutcomeKind::Declined.into(),
                ..Default::default()
            },
            _ => {
                let Some(refund_id) = self.pay_back(agent, &case).await? else {
                    return Ok(());
                };
                pb::CaseOutcome {
                    kind: pb::CaseOutcomeKind::Refund.into(),
                    refund_id,
                    ..Default::default()
                }
            }
        };
        let request = pb::ResolveCaseRequest {
            request_id: format!("resolve-{}", case.case_id),
            case_id: case.case_id,
            etag: String::new(),
            outcomes: vec![outcome],
            reason: "As the arbiter decided.".into(),
        };
        ask!("a resolved case", agent.care().resolve_case(request))?;
        Ok(())
    }

    /// Authorises what was paid to go back; none while it waits for approval.
    async fn pay_back(
        &self,
        agent: &Caller,
        case: &pb::CareCase,
    ) -> anyhow::Result<Option<String>> {
        let order_id = case.references.clone().unwrap_or_default().order_id;
        let request = order::GetOrderRequest {
            order_id: order_id.clone(),
            ..Default::default()
        };
        let bought = ask!("the order", agent.orders().get_order(request))?.order;
        let paid: Option<Money> = bought.and_then(|order| order.amount?.payable);
        let request = order::AuthoriseRefundRequest {
            request_id: format!("pay-{}", case.case_id),
            order_id,
            reason: order::RefundReason::NotAsDescribed.into(),
            shopper_amount: paid,
            note: "as an arbiter decided".into(),
            ..Default::default()
        };
        let said = ask!("a refund", agent.refunds().authorise_refund(request))?;
        if let Some(refund) = said.refund {
            return Ok(Some(refund.refund_id));
        }
        let Some(proposal) = said.proposal else {
            return Ok(None);
        };
        let finance = self.tokens.retailer("sandbox-finance", &[Role::Finance])?;
        let request = order::DecideRefundProposalRequest {
            request_id: format!("agree-{}", case.case_id),
            refund_proposal_id: proposal.refund_proposal_id,
            approve: true,
            ..Default::default()
        };
        let agreed = ask!(
            "an agreement",
            finance.refunds().decide_refund_proposal(request)
        )?;
        let refund_id = agreed.proposal.map(|proposal| proposal.refund_id);
        Ok(refund_id.filter(|id| !id.is_empty()))
    }
}
