//! Money beside matters: a platform's goodwill, a refund that fails first, and what a bank takes back.

use contracts::order::v1 as order;

use super::super::goods::PARTNERS;
use super::super::platform::PaidBack;
use super::super::warehouse::lock;
use super::super::world::ask;
use super::{Bought, SecondAct, Taken, Telling, refused};

impl SecondAct<'_> {
    /// The platform pays first, at its own cost, and tells afterwards.
    pub(super) async fn goodwill(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("goodwill, paid by the platform first", bought);
        let platform = self.platform(bought);
        let given = bought.part(5);
        let said = |minor_units: i64, reference: &str| {
            platform
                .key
                .goodwill_statement(&bought.order_id, bought.money(minor_units), reference)
        };
        let report = |key: &str, statement: String| order::ReportPartnerRefundRequest {
            request_id: bought.key(key),
            order_id: bought.order_id.clone(),
            statement,
        };
        let above = report("above", said(bought.payable + 1, "goodwill-above"));
        refused!(
            "OVER_QUANTITY",
            platform.caller,
            refunds.report_partner_refund(above)
        )?;
        let request = report("goodwill", said(given, "goodwill-1"));
        let first = ask!(
            "goodwill was not recorded",
            platform.caller,
            refunds.report_partner_refund(request.clone())
        )?;
        let again = ask!(
            "goodwill was not told again",
            platform.caller,
            refunds.report_partner_refund(request)
        )?;
        self.expect(first == again, "goodwill that is told twice", &again);
        let refund = first.refund.unwrap_or_default();
        self.expect(
            refund.state() == order::RefundState::Executed && refund.partner_first,
            "goodwill is executed at once",
            refund.state(),
        );
        self.desk.books[bought.partner].note_paid_back(PaidBack {
            refund_id: refund.refund_id,
            order_id: bought.order_id.clone(),
            shopper_minor_units: given,
            partner_minor_units: 0,
        });
        {
            let mut done = lock(&self.done);
            done.refunds += 1;
            done.goodwill += 1;
        }
        told.say(format!(
            "more than was paid is refused: OVER_QUANTITY; {} that {} gave first are recorded, EXECUTED, at its own cost",
            bought.says(given),
            PARTNERS[bought.partner].name,
        ));
        told.say("told twice, recorded once");
        Ok(told)
    }

    /// The shopper's account is closed; the retailer issues the refund again, and then it goes through.
    pub(super) async fn refund_fails_first(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("a refund that fails and is issued again", bought);
        let wanted = order::AuthoriseRefundRequest {
            reason: order::RefundReason::PriceAdjustment.into(),
            shopper_amount: Some(bought.money(bought.part(10))),
            note: "it was cheaper an hour later".into(),
            ..Default::default()
        };
        let refund = self.authorise(&mut told, bought, "adjust", wanted).await?;
        told.say(format!(
            "{} are to go back: AUTHORISED",
            bought.says(bought.part(10))
        ));
        let refund = self.desk.fail_and_reissue(bought.partner, refund).await?;
        self.expect(
            refund.attempt == 2 && refund.state() == order::RefundState::Authorised,
            "a refund that is issued again",
            (refund.attempt, refund.state()),
        );
        lock(&self.done).failed_first += 1;
        told.say("the shopper's account is closed: FAILED; finance issues it again, attempt 2");
        self.pay_back(&mut told, bought, &refund).await?;
        Ok(told)
    }

    /// A bank takes the money back and decides for the shopper: it is gone, and cannot be refunded as well.
    pub(super) async fn charged_back(&self, bought: &Bought) -> anyhow::Result<Telling> {
        let mut told = Telling::of("a chargeback, lost", bought);
        let (platform, care) = (self.platform(bought), &self.desk.world.care);
        let report = |kind: &str| order::ReportChargebackRequest {
            request_id: bought.key(kind),
            order_id: bought.order_id.clone(),
            statement: platform.key.chargeback_statement(
                kind,
                &bought.order_id,
                &bought.payment_reference,
                bought.money(bought.payable),
            ),
        };
        let request = report("CHARGEBACK_OPENED");
        let opened = ask!(
            "a chargeback was not opened",
            platform.caller,
            refunds.report_chargeback(request)
        )?;
        let opened = opened.chargeback.unwrap_or_default();
        self.expect(
            opened.state() == order::ChargebackState::Opened,
            "a chargeback is opened",
            opened.state(),
        );
        told.say(format!(
            "the bank takes {} back: OPENED",
            bought.says(bought.payable)
        ));
        let twice = order::AuthoriseRefundRequest {
            request_id: bought.key("twice"),
            order_id: bought.order_id.clone(),
            reason: order::RefundReason::Goodwill.into(),
            shopper_amount: Some(bought.money(1)),
            note: "the shopper asked us too".into(),
            ..Default::default()
        };
        refused!("OVER_QUANTITY", care, refunds.authorise_refund(twice))?;
        told.say("the same money cannot be refunded as well: OVER_QUANTITY");
        let request = report("CHARGEBACK_LOST");
        let lost = ask!(
            "a chargeback was not decided",
            platform.caller,
            refunds.report_chargeback(request)
        )?;
        let lost = lost.chargeback.unwrap_or_default();
        self.expect(
            lost.state() == order::ChargebackState::Lost,
            "a chargeback is lost",
            lost.state(),
        );
        lock(&self.done).charged_back.push(Taken {
            partner: bought.partner,
            order_id: bought.order_id.clone(),
            order_line_id: bought.line_id.clone(),
            minor_units: bought.payable,
        });
        told.say("the bank decides for the shopper: LOST");
        self.carrier_bears_it(&mut told, bought).await?;
        Ok(told)
    }

    /// The carrier's insurance pays what the bank took: finance corrects who bears it, and somebody else approves that.
    async fn carrier_bears_it(&self, told: &mut Telling, bought: &Bought) -> anyhow::Result<()> {
        let finance = &self.desk.world.finance;
        let request = order::ListLedgerLinesRequest {
            order_id: bought.order_id.clone(),
            page_size: 200,
            ..Default::default()
        };
        let found = ask!(
            "an order's ledger could not be read",
            finance,
            ledger.list_ledger_lines(request)
        )?;
        let lost = found
            .lines
            .into_iter()
            .find(|line| line.step() == order::LedgerStep::ChargebackLost)
            .unwrap_or_default();
        let request = order::ProposeLedgerAdjustmentRequest {
            request_id: bought.key("bearer"),
            order_id: bought.order_id.clone(),
            adjusted_entry_id: lost.ledger_entry_id,
            reason: order::LedgerAdjustmentReason::OtherBearer.into(),
            credit_account: order::LedgerAccount::ChargebacksLost.into(),
            debit_account: order::LedgerAccount::CarrierClaim.into(),
            amount: Some(bought.money(bought.payable)),
            note: "the carrier's insurance pays it".into(),
        };
        let proposed = ask!(
            "a correction was not proposed",
            finance,
            ledger.propose_ledger_adjustment(request)
        )?;
        let decide = |key: &str| order::DecideLedgerAdjustmentRequest {
            request_id: bought.key(key),
            ledger_adjustment_id: proposed
                .adjustment
                .as_ref()
                .map(|adjustment| adjustment.ledger_adjustment_id.clone())
                .unwrap_or_default(),
            approve: true,
            note: String::new(),
        };
        let own = decide("bearer-own");
        refused!(
            "SELF_APPROVAL",
            finance,
            ledger.decide_ledger_adjustment(own)
        )?;
        let request = decide("bearer-agree");
        let approved = ask!(
            "a correction was not approved",
            self.cast.controller,
            ledger.decide_ledger_adjustment(request)
        )?;
        let approved = approved.adjustment.unwrap_or_default();
        self.expect(
            approved.state() == order::LedgerAdjustmentState::Approved
                && !approved.ledger_entry_id.is_empty(),
            "a correction is approved",
            approved.state(),
        );
        lock(&self.done).adjustments += 1;
        told.say(
            "the carrier's insurance pays it: finance proposes CHARGEBACKS_LOST → CARRIER_CLAIM, which it may not \
             approve itself (SELF_APPROVAL), and the controller approves it",
        );
        Ok(())
    }
}
