//! Customer care: a dispute to its end, and a counterfeit claim that costs more than the price.

use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;

use super::super::client::Caller;
use super::super::goods::PARTNERS;
use super::super::warehouse::lock;
use super::super::world::ask;
use super::{AGENT, ARBITER, Bought, SecondAct, Taken, Telling, refused, turn, word};

/// What somebody says.
fn draft(author: pb::CaseParty, text: &str) -> pb::CaseMessageDraft {
    pb::CaseMessageDraft {
        author: author.into(),
        visibility: pb::MessageVisibility::ShopperAndAll.into(),
        text: text.into(),
        attachments: Vec::new(),
    }
}

fn level(case: &pb::CareCase) -> &'static str {
    match case.level() {
        pb::CaseLevel::Unspecified => "no level",
        pb::CaseLevel::Issue => "ISSUE",
        pb::CaseLevel::Grievance => "GRIEVANCE",
        pb::CaseLevel::Dispute => "DISPUTE",
    }
}

impl SecondAct<'_> {
    /// ISSUE → GRIEVANCE → DISPUTE, a named arbiter, a decision that binds, and its refund.
    pub(super) async fn dispute(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("a dispute, to its end", bought);
        let (platform, world) = (&self.platform(bought).caller, self.desk.world);
        let words = "This is not the colour that was shown.";
        let mut case = self
            .opened(&mut told, bought, pb::CaseCategory::Quality, words)
            .await?;
        let steps = [
            (pb::CaseLevel::Grievance, "All of them have this colour."),
            (
                pb::CaseLevel::Dispute,
                "We have looked again, and stay with it.",
            ),
        ];
        for (to, answer) in steps {
            self.answer(&mut told, bought, &case, answer).await?;
            let request = pb::EscalateCaseRequest {
                request_id: bought.key(&format!("raise-{}", to as i32)),
                case_id: case.case_id.clone(),
                level: to.into(),
                reason: "the shopper is not content with the answer".into(),
                ..Default::default()
            };
            let raised = ask!(
                "a case was not escalated",
                platform,
                care.escalate_case(request)
            )?;
            case = raised.care_case.unwrap_or_default();
            told.say(format!(
                "it rises to {}; {}",
                level(&case),
                turn(case.next_action.as_ref())
            ));
        }
        let declined = pb::CaseOutcome {
            kind: pb::CaseOutcomeKind::Declined.into(),
            ..Default::default()
        };
        let early = self.resolution(bought, &case, "early", vec![declined]);
        refused!("DECISION_PENDING", world.care, care.resolve_case(early))?;
        told.say("care cannot close it alone: DECISION_PENDING");
        self.decided_in_part(&mut told, bought, &case).await?;
        let half = bought.money(bought.part(50));
        let wanted = order::AuthoriseRefundRequest {
            reason: order::RefundReason::NotAsDescribed.into(),
            shopper_amount: Some(half),
            note: "as the arbiter decided".into(),
            ..Default::default()
        };
        let refund = self.authorise(&mut told, bought, "rule", wanted).await?;
        self.pay_back(&mut told, bought, &refund).await?;
        let outcome = pb::CaseOutcome {
            kind: pb::CaseOutcomeKind::Refund.into(),
            refund_id: refund.refund_id.clone(),
            ..Default::default()
        };
        let request = self.resolution(bought, &case, "resolve", vec![outcome]);
        let resolved = ask!(
            "a dispute was not resolved",
            world.care,
            care.resolve_case(request)
        )?;
        let case = resolved.care_case.unwrap_or_default();
        told.say(format!(
            "resolved with the refund; {}",
            turn(case.next_action.as_ref())
        ));
        self.close(&mut told, bought, &case).await?;
        Ok(told)
    }

    /// Who has a part in it cannot be the arbiter; who has none decides for the shopper in part.
    async fn decided_in_part(
        &self,
        told: &mut Telling,
        bought: &Bought,
        case: &pb::CareCase,
    ) -> anyhow::Result<()> {
        let ops = &self.desk.world.ops;
        let named = |key: &str, subject: &str| pb::NameArbiterRequest {
            request_id: bought.key(key),
            case_id: case.case_id.clone(),
            etag: String::new(),
            arbiter: Some(pb::CaseArbiter {
                display_name: "Claire Voss".into(),
                organisation: "Chamber of Trade".into(),
                subject: subject.into(),
            }),
        };
        let own = named("arbiter-0", AGENT);
        refused!("SELF_APPROVAL", ops, care.name_arbiter(own))?;
        let request = named("arbiter", ARBITER);
        let waits = ask!("an arbiter was not named", ops, care.name_arbiter(request))?;
        let waits = waits.care_case.unwrap_or_default();
        told.say(format!(
            "the agent cannot be the arbiter (SELF_APPROVAL); Claire Voss, Chamber of Trade, is named; {}",
            turn(waits.next_action.as_ref())
        ));
        let half = bought.money(bought.part(50));
        let request = pb::DecideDisputeRequest {
            request_id: bought.key("ruling"),
            case_id: case.case_id.clone(),
            etag: String::new(),
            decision: Some(pb::CaseDecision {
                ruling: pb::CaseRuling::InPart.into(),
                required_outcomes: vec![pb::CaseRequiredOutcome {
                    kind: pb::CaseOutcomeKind::Refund.into(),
                    least_amount: Some(half.clone()),
                }],
                reason: "What was shown in the room is what counts.".into(),
                ..Default::default()
            }),
        };
        let decided = ask!(
            "a dispute was not decided",
            self.cast.arbiter,
            care.decide_dispute(request)
        )?;
        let decided = decided.care_case.unwrap_or_default();
        self.expect(
            decided.ruling() == pb::CaseRuling::InPart,
            "an arbiter decides",
            decided.ruling(),
        );
        told.say(format!(
            "the arbiter decides IN_PART: {} at least go back; {}",
            bought.says(half.minor_units),
            turn(decided.next_action.as_ref())
        ));
        Ok(())
    }

    /// A counterfeit claim: more than the price, which is a compensation and no refund.
    pub(super) async fn counterfeit(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("a counterfeit claim, above the price", bought);
        let world = self.desk.world;
        let words = "An expert says that it is no original.";
        let case = self
            .opened(&mut told, bought, pb::CaseCategory::Counterfeit, words)
            .await?;
        self.answer(
            &mut told,
            bought,
            &case,
            "You are right, and we are sorry. You get three times the price.",
        )
        .await?;
        let threefold = bought.money(3 * bought.payable);
        let made = self
            .compensation(&mut told, bought, &case, threefold)
            .await?;
        let outcome = pb::CaseOutcome {
            kind: pb::CaseOutcomeKind::Compensation.into(),
            compensation_id: made.compensation_id.clone(),
            ..Default::default()
        };
        let request = self.resolution(bought, &case, "resolve", vec![outcome]);
        let resolved = ask!(
            "a case was not resolved with a compensation",
            world.care,
            care.resolve_case(request)
        )?;
        let case = resolved.care_case.unwrap_or_default();
        self.expect(
            case.state() == pb::CaseState::Resolved,
            "a compensation resolves a case",
            case.state(),
        );
        told.say(format!(
            "resolved with the compensation; {}",
            turn(case.next_action.as_ref())
        ));
        Ok(told)
    }

    /// Care decides on it, finance approves it, the platform pays it and signs that it did.
    async fn compensation(
        &self,
        told: &mut Telling,
        bought: &Bought,
        case: &pb::CareCase,
        money: contracts::common::v1::Money,
    ) -> anyhow::Result<order::Compensation> {
        let (world, platform) = (self.desk.world, self.platform(bought));
        let request = order::AuthoriseCompensationRequest {
            request_id: bought.key("damages"),
            order_id: bought.order_id.clone(),
            order_line_id: bought.line_id.clone(),
            reason: order::CompensationReason::Counterfeit.into(),
            amount: Some(money.clone()),
            matter_reference: case.case_id.clone(),
            note: "an expert says that it is no original".into(),
            ..Default::default()
        };
        let answer = ask!(
            "a compensation was not authorised",
            world.care,
            refunds.authorise_compensation(request)
        )?;
        let made = match (answer.compensation, answer.proposal) {
            (Some(made), _) => made,
            (None, proposal) => {
                told.say("care may not give so much alone: finance approves it");
                let request = order::DecideRefundProposalRequest {
                    request_id: bought.key("damages-agree"),
                    refund_proposal_id: proposal.unwrap_or_default().refund_proposal_id,
                    approve: true,
                    note: String::new(),
                };
                ask!(
                    "a compensation was not approved",
                    world.finance,
                    refunds.decide_refund_proposal(request)
                )?
                .compensation
                .unwrap_or_default()
            }
        };
        let request = order::ReportCompensationRequest {
            request_id: bought.key("damages-paid"),
            compensation_id: made.compensation_id.clone(),
            statement: platform.key.compensation_statement(&made),
        };
        let paid = ask!(
            "a compensation was not reported",
            platform.caller,
            refunds.report_compensation(request)
        )?
        .compensation
        .unwrap_or_default();
        self.expect(
            paid.state() == order::CompensationState::Executed,
            "a platform pays a compensation",
            paid.state(),
        );
        lock(&self.done).compensated.push(Taken {
            partner: bought.partner,
            order_id: bought.order_id.clone(),
            order_line_id: bought.line_id.clone(),
            minor_units: money.minor_units,
        });
        told.say(format!(
            "{} pays {} and signs it: a COMPENSATION, {} above the price",
            PARTNERS[bought.partner].name,
            bought.says(money.minor_units),
            bought.says(money.minor_units - bought.payable)
        ));
        Ok(paid)
    }

    /// A case about the order, with an agent.
    async fn opened(
        &self,
        told: &mut Telling,
        bought: &Bought,
        category: pb::CaseCategory,
        words: &str,
    ) -> anyhow::Result<pb::CareCase> {
        let request = pb::OpenCaseRequest {
            request_id: bought.key("open"),
            shopper_ref: bought.shopper_ref.clone(),
            category: category.into(),
            references: Some(pb::CaseReferences {
                order_id: bought.order_id.clone(),
                order_line_id: bought.line_id.clone(),
                ..Default::default()
            }),
            message: Some(draft(pb::CaseParty::Shopper, words)),
            ..Default::default()
        };
        let platform: &Caller = &self.platform(bought).caller;
        let case = ask!("a case was not opened", platform, care.open_case(request))?
            .care_case
            .unwrap_or_default();
        told.say(format!(
            "the shopper: “{words}” — {} {}; {}",
            level(&case),
            word(category.as_str_name(), "CASE_CATEGORY_"),
            turn(case.next_action.as_ref())
        ));
        let request = pb::AssignCaseRequest {
            request_id: bought.key("assign"),
            case_id: case.case_id.clone(),
            agent: AGENT.into(),
            ..Default::default()
        };
        let world = self.desk.world;
        let assigned = ask!(
            "a case was not given to an agent",
            world.care,
            care.assign_case(request)
        )?;
        Ok(assigned.care_case.unwrap_or_default())
    }

    async fn answer(
        &self,
        told: &mut Telling,
        bought: &Bought,
        case: &pb::CareCase,
        words: &str,
    ) -> anyhow::Result<()> {
        let request = pb::PostMessageRequest {
            request_id: bought.key(&format!("answer-{}", case.level)),
            case_id: case.case_id.clone(),
            message: Some(draft(pb::CaseParty::Retailer, words)),
            ..Default::default()
        };
        let world = self.desk.world;
        let said = ask!(
            "a case was not answered",
            world.care,
            care.post_message(request)
        )?;
        let case = said.care_case.unwrap_or_default();
        told.say(format!(
            "care: “{words}” — {}",
            turn(case.next_action.as_ref())
        ));
        Ok(())
    }

    fn resolution(
        &self,
        bought: &Bought,
        case: &pb::CareCase,
        key: &str,
        outcomes: Vec<pb::CaseOutcome>,
    ) -> pb::ResolveCaseRequest {
        pb::ResolveCaseRequest {
            request_id: bought.key(key),
            case_id: case.case_id.clone(),
            etag: String::new(),
            outcomes,
            reason: "What was agreed is done.".into(),
        }
    }

    async fn close(
        &self,
        told: &mut Telling,
        bought: &Bought,
        case: &pb::CareCase,
    ) -> anyhow::Result<()> {
        let platform = &self.platform(bought).caller;
        let request = pb::CloseCaseRequest {
            request_id: bought.key("close"),
            case_id: case.case_id.clone(),
            ..Default::default()
        };
        let closed = ask!("a case was not closed", platform, care.close_case(request))?;
        let closed = closed.care_case.unwrap_or_default();
        let request = pb::PostMessageRequest {
            request_id: bought.key("late"),
            case_id: case.case_id.clone(),
            message: Some(draft(pb::CaseParty::Shopper, "One more thing.")),
            ..Default::default()
        };
        refused!("CASE_CLOSED", platform, care.post_message(request))?;
        self.expect(
            closed.state() == pb::CaseState::Closed && closed.next_action.is_none(),
            "a closed case",
            closed.state(),
        );
        lock(&self.done).disputes += 1;
        told.say("the shopper is content: CLOSED; one more message is refused: CASE_CLOSED");
        Ok(())
    }
}
