//! What a deadline does. Every open matter has one, and none of these can fail for ever.

use kit::errors::Refusal;

use super::super::returns::Instructions;
use super::{
    Aftersale, AftersaleKind, AftersaleState, Desk, Inspected, InspectedCondition, StepKind,
};

impl Aftersale {
    /// Does what its deadline does, if that has passed. Says whether it has.
    pub fn time_passed(&mut self, desk: &mut Desk) -> Result<bool, Refusal> {
        if self.due_time.is_none_or(|due| desk.now < due) {
            return Ok(false);
        }
        match self.state {
            // The retailer is silent: what was asked for is granted.
            AftersaleState::Requested => {
                let site = Instructions {
                    return_site_reference: desk.limits.default_site.clone(),
                    return_by_time: desk.now.plus(desk.limits.goods),
                    ..Instructions::default()
                };
                let instructions = self.kind.needs_goods().then_some(site);
                self.granted(desk, instructions);
            }
            // The shopper is silent: the offer and the matter lapse.
            AftersaleState::CounterOffered => {
                let step = StepKind::Expired;
                self.end(desk, AftersaleState::Expired, step, "The offer has lapsed.");
            }
            // Time never agrees to a large amount.
            AftersaleState::AwaitingApproval => {
                let message = "Nobody agreed to the amount in time.";
                message.clone_into(&mut self.message);
                self.end(desk, AftersaleState::Rejected, StepKind::Rejected, message);
            }
            AftersaleState::AwaitingGoods => {
                if let Some(leg) = self.leg.as_mut() {
                    leg.expire(desk.goods, desk.now)?;
                }
                let message = "Nothing came in time.";
                self.end(desk, AftersaleState::Expired, StepKind::Expired, message);
            }
            // The inspectors are silent: what came counts as what was sent back, and nothing is restocked.
            AftersaleState::GoodsReceived => {
                let as_is = self.lines.iter().map(|line| Inspected {
                    order_line_id: line.order_line_id,
                    quantity: line.quantity,
                    condition: InspectedCondition::Sellable,
                    restock: false,
                });
                self.inspect(desk, &as_is.collect::<Vec<_>>(), "")?;
            }
            // Nothing went out: money goes back instead. For goods that came back no second person is asked.
            AftersaleState::AwaitingReshipment if self.leg.is_some() => {
                self.kind = AftersaleKind::ReturnAndRefund;
                self.settle(desk);
            }
            AftersaleState::AwaitingReshipment => {
                self.kind = AftersaleKind::RefundOnly;
                self.granted_by.clear();
                self.agreed(desk);
            }
            AftersaleState::Refunding => {
                self.due_time = Some(desk.now.plus(desk.limits.refund));
                self.note(desk, StepKind::Reminded, "");
            }
            AftersaleState::Resolved
            | AftersaleState::Rejected
            | AftersaleState::Withdrawn
            | AftersaleState::Expired => return Ok(false),
        }
        Ok(true)
    }
}
