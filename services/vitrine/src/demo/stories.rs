//! What goes otherwise than a simple purchase: double and wrong payments, late ones, cancellations.

use contracts::order::v1 as pb;

use super::client::reason;
use super::plan::Story;
use super::shopper::{Asked, Placed, Shop};

impl Shop {
    pub(super) async fn pay_twice(&self, placed: &Placed) -> anyhow::Result<()> {
        self.pay_and_give_address(placed, "the first of two charges")
            .await?;
        let second = self.pay(placed, placed.payable, 2).await?;
        let because = second.refund.map(|r| r.reason());
        self.expect(
            because == Some(pb::RefundReason::DuplicatePayment),
            "the second of two charges",
            because,
        );
        Ok(())
    }

    pub(super) async fn report_twice(&self, placed: &Placed) -> anyhow::Result<()> {
        let charge = self.charge(placed, placed.payable, 1);
        let first = self.report(placed, &charge).await?;
        let again = self.report(placed, &charge).await?;
        self.expect(
            first == again,
            "the same payment reported twice has one answer",
            (&first, &again),
        );
        self.give_address(placed).await
    }

    pub(super) async fn pay_wrong_amount(&self, placed: &Placed) -> anyhow::Result<()> {
        let short = self.pay(placed, placed.payable - 1, 1).await?;
        let because = short.refund.map(|r| r.reason());
        self.expect(
            because == Some(pb::RefundReason::AmountMismatch),
            "a charge of one too little",
            because,
        );
        let right = self.pay(placed, placed.payable, 2).await?;
        self.expect(
            right.outcome() == pb::PaymentOutcome::Paid,
            "the right charge after a wrong one",
            right.outcome(),
        );
        self.give_address(placed).await
    }

    pub(super) async fn ask_for_more(&self, placed: &Placed) -> anyhow::Result<()> {
        self.pay_and_give_address(placed, "a payment in time")
            .await?;
        let mut more = placed.plan.clone();
        more.partner_order_id.push_str("-more");
        more.lines[0].1 = 1;
        match self.place(&more, &Asked::default()).await? {
            Ok(_) => self.expect(false, "a third unit in the drop is refused", "an order"),
            Err(status) => {
                let because = reason(&status);
                self.expect(
                    because == "LIMIT_EXCEEDED" || because == "SOLD_OUT",
                    "a third unit in the drop is refused",
                    because,
                );
            }
        }
        Ok(())
    }

    /// Pays an order whose hold ran out: taken again where units are left, else to be paid back.
    pub async fn pay_late(&self, placed: &Placed) -> anyhow::Result<()> {
        let answer = self.pay(placed, placed.payable, 1).await?;
        if self.is_drop {
            let because = answer.refund.map(|r| r.reason());
            self.expect(
                because == Some(pb::RefundReason::HoldExpired),
                "a late payment with nothing left",
                because,
            );
            return Ok(());
        }
        self.expect(
            answer.outcome() == pb::PaymentOutcome::Paid,
            "a late payment with units left",
            answer.outcome(),
        );
        self.give_address(placed).await
    }

    /// Cancels a paid order, all of it or half of its one line, before it ships.
    pub async fn cancel_after_paying(&self, placed: &Placed) -> anyhow::Result<()> {
        let half = placed.plan.story == Story::CancelOneOfTwo;
        let lines = if half {
            vec![pb::LineQuantity {
                order_line_id: placed.line_ids[0].clone(),
                quantity: placed.plan.lines[0].1 / 2,
            }]
        } else {
            Vec::new()
        };
        let mut outcome = self.cancel(placed, lines.clone(), 1).await?;
        if outcome == pb::CancelOutcome::CancelPending {
            // Fulfilment had not heard of the order yet; the decision comes with the feed.
            outcome = pb::CancelOutcome::Cancelled;
        }
        self.expect(
            outcome == pb::CancelOutcome::Cancelled,
            "a cancellation before shipment",
            outcome,
        );
        if half {
            self.give_address(placed).await
        } else {
            Ok(())
        }
    }

    /// Cancels when the parcel is delivered.
    pub async fn cancel_too_late(&self, placed: &Placed) -> anyhow::Result<()> {
        let outcome = self.cancel(placed, Vec::new(), 1).await?;
        self.expect(
            outcome == pb::CancelOutcome::TooLate,
            "a cancellation after delivery",
            outcome,
        );
        Ok(())
    }
}
