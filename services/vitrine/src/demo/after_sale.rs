//! After the sale: goods come back, and platforms pay back what is due, with their signature.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::plan::Story;
use super::platform::{Books, Follower, PaidBack};
use super::screen::{Tallies, count};
use super::shopper::{Placed, Surprises};
use super::warehouse::lock;
use super::world::{World, ask, text};

/// Returns and refunds that are worked on at the same time.
const DESKS: usize = 32;

/// What the retailer's care, its warehouse and the platforms' refund desks did.
#[derive(Default, Clone, Copy)]
pub struct Done {
    pub returns: u64,
    pub refunds: u64,
    pub failed_first: u64,
}

/// Who works after the sale.
pub struct AfterSale<'a> {
    pub world: &'a World,
    pub tallies: &'a Tallies,
    pub followers: &'a [Follower],
    pub books: &'a [Books],
    pub surprises: &'a Surprises,
    pub patience: Duration,
}

impl AfterSale<'_> {
    /// Takes goods back, then pays back everything that is due.
    pub async fn work(&self, placed: &[Placed]) -> anyhow::Result<Done> {
        let comes_back = |p: &&Placed| {
            matches!(
                p.plan.story,
                Story::SendBack | Story::SendBackAndRefundFails
            )
        };
        let returns: Mutex<BTreeMap<String, usize>> = Mutex::default();
        stream::iter(placed.iter().filter(comes_back))
            .map(|p| async {
                let return_id = self.one_return(p).await?;
                lock(&returns).insert(return_id, p.plan.partner);
                count(&self.tallies.returned);
                anyhow::Ok(())
            })
            .buffer_unordered(DESKS)
            .try_collect::<Vec<()>>()
            .await?;
        let returns = returns.into_inner().unwrap_or_default();
        let mut done = Done {
            returns: returns.len() as u64,
            ..Done::default()
        };
        self.until_refunds_are_due(&returns).await?;
        for partner in 0..self.followers.len() {
            self.pay_back(partner, placed, &mut done).await?;
        }
        self.until_completed(&returns).await?;
        Ok(done)
    }

    /// Asked for by the platform, approved by care, received by the warehouse.
    async fn one_return(&self, placed: &Placed) -> anyhow::Result<String> {
        let (world, name) = (self.world, placed.plan.partner_order_id.as_str());
        let platform = &world.partners[placed.plan.partner].caller;
        let line = placed.line_ids[0].clone();
        let quantity = placed.plan.lines[0].1;
        let eligible = ask!(
            "a platform could not ask what may come back",
            platform,
            returns.check_return_eligibility(pb::CheckReturnEligibilityRequest {
                order_id: placed.order_id.clone(),
            })
        )?;
        let may = eligible
            .lines
            .iter()
            .find(|l| l.order_line_id == line)
            .map(|l| l.returnable_quantity);
        if may != Some(quantity) {
            self.surprises.note(format!(
                "{}: {quantity} were delivered, {may:?} may come back",
                placed.order_id
            ));
        }
        let request = pb::RequestReturnRequest {
            request_id: text(&["return", name]),
            order_id: placed.order_id.clone(),
            kind: pb::ReturnKind::ReturnAndRefund.into(),
            lines: vec![pb::ReturnLineDraft {
                order_line_id: line.clone(),
                quantity,
                reason: pb::ReturnReason::DoesNotFit.into(),
                unit_ids: Vec::new(),
            }],
            shopper_note: "A size smaller would have been right.".into(),
        };
        let asked = ask!(
            "a return could not be asked for",
            platform,
            returns.request_return(request)
        )?
        .goods_return
        .unwrap_or_default();
        let request = pb::DecideReturnRequest {
            request_id: text(&["decide", name]),
            return_id: asked.return_id.clone(),
            decision: Some(pb::decide_return_request::Decision::Approve(
                pb::ReturnApproval {
                    instructions: Some(pb::ReturnInstructions {
                        return_site_reference: "returns-1".into(),
                        ..Default::default()
                    }),
                    message: "Please use the box it came in.".into(),
                    ..Default::default()
                },
            )),
            etag: asked.etag,
        };
        ask!(
            "a return could not be approved",
            world.care,
            returns.decide_return(request)
        )?;
        let request = pb::RecordReturnReceivedRequest {
            request_id: text(&["received", name]),
            return_id: asked.return_id.clone(),
            units: vec![pb::ReceivedUnits {
                order_line_id: line,
                quantity,
                condition: pb::GoodsCondition::AsNew.into(),
                restock: true,
                unit_ids: Vec::new(),
            }],
            etag: String::new(),
        };
        ask!(
            "returned goods could not be received",
            world.warehouse,
            returns.record_return_received(request)
        )?;
        Ok(asked.return_id)
    }

    /// Waits until every platform has been told of the refund for each of its returns.
    async fn until_refunds_are_due(&self, returns: &BTreeMap<String, usize>) -> anyhow::Result<()> {
        for (partner, follower) in self.followers.iter().enumerate() {
            follower
                .until("a refund is due for every return", self.patience, |known| {
                    returns
                        .iter()
                        .filter(|(_, p)| **p == partner)
                        .all(|(id, _)| known.refunds.values().any(|r| r.return_id == *id))
                })
                .await?;
        }
        Ok(())
    }

    /// A platform pays back what it was told to; some attempts fail first and are issued again.
    async fn pay_back(
        &self,
        partner: usize,
        placed: &[Placed],
        done: &mut Done,
    ) -> anyhow::Result<()> {
        let fails: Vec<&str> = placed
            .iter()
            .filter(|p| p.plan.story == Story::SendBackAndRefundFails)
            .map(|p| p.order_id.as_str())
            .collect();
        let due = self.followers[partner].refunds();
        let failed: u64 = stream::iter(&due)
            .map(|refund| async {
                let mut refund = refund.clone();
                let mut failed = 0;
                if fails.contains(&refund.order_id.as_str()) {
                    refund = self.fail_and_reissue(partner, refund).await?;
                    failed = 1;
                }
                self.execute(partner, &refund).await?;
                count(&self.tallies.paid_back);
                anyhow::Ok(failed)
            })
            .buffer_unordered(DESKS)
            .try_fold(0, |sum, failed| async move { Ok(sum + failed) })
            .await?;
        done.refunds += due.len() as u64;
        done.failed_first += failed;
        let ids: Vec<&str> = due.iter().map(|r| r.refund_id.as_str()).collect();
        self.followers[partner]
            .until("every refund is executed", self.patience, |known| {
                ids.iter().all(|id| {
                    known
                        .refunds
                        .get(*id)
                        .is_some_and(|r| r.state() == order::RefundState::Executed)
                })
            })
            .await
    }

    async fn report(
        &self,
        partner: usize,
        refund: &order::Refund,
        failure: Option<&str>,
    ) -> anyhow::Result<order::Refund> {
        let platform = &self.world.partners[partner];
        let request = order::ReportRefundRequest {
            request_id: text(&["report", &refund.refund_id, &refund.attempt.to_string()]),
            refund_id: refund.refund_id.clone(),
            statement: platform.key.refund_statement(refund, failure),
        };
        Ok(ask!(
            "a refund could not be reported",
            platform.caller,
            orders.report_refund(request)
        )?
        .refund
        .unwrap_or_default())
    }

    pub(super) async fn fail_and_reissue(
        &self,
        partner: usize,
        refund: order::Refund,
    ) -> anyhow::Result<order::Refund> {
        let failed = self
            .report(partner, &refund, Some("ACCOUNT_CLOSED"))
            .await?;
        if failed.state() != order::RefundState::Failed {
            self.surprises.note(format!(
                "{}: reported as failed, but is {:?}",
                refund.refund_id,
                failed.state()
            ));
        }
        let request = order::ReissueRefundRequest {
            request_id: text(&["reissue", &refund.refund_id]),
            refund_id: refund.refund_id,
            etag: failed.etag,
        };
        Ok(ask!(
            "a refund could not be issued again",
            self.world.finance,
            orders.reissue_refund(request)
        )?
        .refund
        .unwrap_or_default())
    }

    pub(super) async fn execute(
        &self,
        partner: usize,
        refund: &order::Refund,
    ) -> anyhow::Result<()> {
        let units = |money: &Option<contracts::common::v1::Money>| {
            money.as_ref().map_or(0, |m| m.minor_units)
        };
        self.books[partner].note_paid_back(PaidBack {
            refund_id: refund.refund_id.clone(),
            order_id: refund.order_id.clone(),
            shopper_minor_units: units(&refund.shopper_amount),
            partner_minor_units: units(&refund.partner_amount),
        });
        let executed = self.report(partner, refund, None).await?;
        let again = self.report(partner, refund, None).await?;
        if executed.state() != order::RefundState::Executed || executed != again {
            self.surprises.note(format!(
                "{}: paid back, reported twice, but is {:?}",
                refund.refund_id,
                again.state()
            ));
        }
        Ok(())
    }

    /// A return is over when its money is back.
    async fn until_completed(&self, returns: &BTreeMap<String, usize>) -> anyhow::Result<()> {
        for (return_id, partner) in returns {
            let mut state = pb::ReturnState::Unspecified;
            for _ in 0..600 {
                let request = pb::GetReturnRequest {
                    return_id: return_id.clone(),
                };
                state = ask!(
                    "a return could not be read",
                    self.world.partners[*partner].caller,
                    returns.get_return(request)
                )?
                .goods_return
                .unwrap_or_default()
                .state();
                if state == pb::ReturnState::Completed {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if state != pb::ReturnState::Completed {
                self.surprises
                    .note(format!("{return_id} is paid back, but {state:?}"));
            }
        }
        Ok(())
    }
}
