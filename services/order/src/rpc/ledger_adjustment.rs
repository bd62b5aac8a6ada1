//! Corrections of the ledger by hand, and who decided on an order's money.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::id::{CompensationId, Kind, OrderId, kind};
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::ledger::account;
use super::{Api, after, keyed, parse};
use crate::model::adjustment::{Adjustment, AdjustmentReason, AdjustmentState, may_be_corrected};
use crate::model::ledger::Account;
use crate::ops::adjustment::{DecideAdjustment, ListAdjustments, ListDeciders, ProposeAdjustment};
use crate::store::adjustment::MoneyDecision;

const PROPOSE: &str = "vitrine.order.v1.LedgerService/ProposeLedgerAdjustment";
const DECIDE: &str = "vitrine.order.v1.LedgerService/DecideLedgerAdjustment";

impl Api {
    pub(super) async fn propose_ledger_adjustment(
        &self,
        caller: &Arc<Caller>,
        request: pb::ProposeLedgerAdjustmentRequest,
    ) -> Result<pb::ProposeLedgerAdjustmentResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        let adjusted_entry_id = v.id("adjusted_entry_id", &request.adjusted_entry_id);
        let reason = reason(&mut v, request.reason);
        let credit = corrected(&mut v, "credit_account", request.credit_account);
        let debit = corrected(&mut v, "debit_account", request.debit_account);
        if credit.is_some() && credit == debit {
            v.add("debit_account", "must be another one than credit_account.");
        }
        let amount = v.money("amount", &request.amount);
        if amount.is_some_and(|amount| amount.minor_units == 0) {
            v.add("amount.minor_units", "must be positive.");
        }
        let note = v.text("note", &request.note, 1..=500);
        v.finish()?;
        let (Some(order_id), Some(adjusted_entry_id)) = (order_id, adjusted_entry_id) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let (Some(credit), Some(debit), Some(amount)) = (credit, debit, amount) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let propose = ProposeAdjustment {
            order_id,
            adjusted_entry_id,
            reason,
            credit,
            debit,
            amount,
            note,
        };
        let keyed = keyed(caller, PROPOSE, &request_id, &request);
        let render = |proposed: &Adjustment| pb::ProposeLedgerAdjustmentResponse {
            adjustment: Some(rendered(proposed)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, propose, render))
            .await
    }

    pub(super) async fn decide_ledger_adjustment(
        &self,
        caller: &Arc<Caller>,
        request: pb::DecideLedgerAdjustmentRequest,
    ) -> Result<pb::DecideLedgerAdjustmentResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let adjustment_id = v.id("ledger_adjustment_id", &request.ledger_adjustment_id);
        let least = usize::from(!request.approve);
        let note = v.text("note", &request.note, least..=500);
        v.finish()?;
        let Some(adjustment_id) = adjustment_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let decide = DecideAdjustment {
            adjustment_id,
            approve: request.approve,
            note,
        };
        let keyed = keyed(caller, DECIDE, &request_id, &request);
        let render = |decided: &Adjustment| pb::DecideLedgerAdjustmentResponse {
            adjustment: Some(rendered(decided)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, decide, render))
            .await
    }

    pub(super) async fn list_ledger_adjustments(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListLedgerAdjustmentsRequest,
    ) -> Result<pb::ListLedgerAdjustmentsResponse, Fault> {
        let mut v = Violations::new();
        let order_id: Option<OrderId> = v.opt_id("order_id", &request.order_id);
        let state = match v.opt_enumeration::<pb::LedgerAdjustmentState>("state", request.state) {
            None | Some(pb::LedgerAdjustmentState::Unspecified) => "",
            Some(pb::LedgerAdjustmentState::Proposed) => AdjustmentState::Proposed.as_str(),
            Some(pb::LedgerAdjustmentState::Approved) => AdjustmentState::Approved.as_str(),
            Some(pb::LedgerAdjustmentState::Rejected) => AdjustmentState::Rejected.as_str(),
        };
        v.finish()?;
        let query = format!("ledger_adjustments|{}|{state}", request.order_id);
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListAdjustments {
            order_id,
            state,
            after: after(&page)?,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) =
            page.cut(found, |found| vec![found.adjustment_id.to_string()]);
        Ok(pb::ListLedgerAdjustmentsResponse {
            adjustments: found.iter().map(rendered).collect(),
            next_page_token,
        })
    }

    pub(super) async fn list_refund_deciders(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListRefundDecidersRequest,
    ) -> Result<pb::ListRefundDecidersResponse, Fault> {
        let mut v = Violations::new();
        let order_id = v.id("order_id", &request.order_id);
        v.finish()?;
        let Some(order_id) = order_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let query = format!("refund_deciders|{}", request.order_id);
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let after = match page.after_key(2)? {
            None => (Micros(i64::MIN), String::new()),
            Some(key) => {
                let time = key[0].parse().map_err(|_| bad_page_token())?;
                (Micros(time), key[1].clone())
            }
        };
        let list = ListDeciders {
            order_id,
            after,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) = page.cut(found, |found| {
            vec![found.decide_time.0.to_string(), found.made_id.clone()]
        });
        Ok(pb::ListRefundDecidersResponse {
            deciders: found.iter().map(decider).collect(),
            next_page_token,
        })
    }
}

fn bad_page_token() -> Refusal {
    Refusal::new(
        contracts::ErrorReason::BadPageToken,
        "The page token is not one of this query; begin again without it.",
    )
}

fn decider(found: &MoneyDecision) -> pb::RefundDecider {
    let of_compensation = found
        .made_id
        .strip_prefix(kind::Compensation::PREFIX)
        .is_some()
        && CompensationId::parse(&found.made_id).is_ok();
    let made = |wanted: bool| match of_compensation == wanted {
        true => found.made_id.clone(),
        false => String::new(),
    };
    pb::RefundDecider {
        refund_id: made(false),
        compensation_id: made(true),
        proposer: found.proposer.clone(),
        decider: found.decider.clone(),
        decide_time: Some(found.decide_time.to_proto()),
    }
}

fn reason(v: &mut Violations, number: i32) -> AdjustmentReason {
    match v.enumeration::<pb::LedgerAdjustmentReason>("reason", number) {
        pb::LedgerAdjustmentReason::Unspecified | pb::LedgerAdjustmentReason::Other => {
            AdjustmentReason::Other
        }
        pb::LedgerAdjustmentReason::OtherBearer => AdjustmentReason::OtherBearer,
        pb::LedgerAdjustmentReason::ClaimRefused => AdjustmentReason::ClaimRefused,
        pb::LedgerAdjustmentReason::WrongAccount => AdjustmentReason::WrongAccount,
        pb::LedgerAdjustmentReason::TakenBack => AdjustmentReason::TakenBack,
    }
}

/// An account that people may correct.
fn corrected(v: &mut Violations, field: &str, number: i32) -> Option<Account> {
    let named = v.enumeration::<pb::LedgerAccount>(field, number);
    let found = Account::ALL
        .iter()
        .find(|known| account(**known) == named && may_be_corrected(**known));
    if found.is_none() && named != pb::LedgerAccount::Unspecified {
        v.add(
            field,
            "must be SALES, DISCOUNTS, SHIPPING, TAX, COMPENSATIONS, CHARGEBACKS_LOST or a claim; signed statements \
             decide on the others.",
        );
    }
    found.copied()
}

fn rendered(found: &Adjustment) -> pb::LedgerAdjustment {
    pb::LedgerAdjustment {
        ledger_adjustment_id: found.adjustment_id.into(),
        order_id: found.order_id.into(),
        order_line_id: found
            .line
            .map(|(_, line)| String::from(line))
            .unwrap_or_default(),
        partner_id: found.partner_id.into(),
        adjusted_entry_id: found.adjusted_entry_id.into(),
        reason: match found.reason {
            AdjustmentReason::OtherBearer => pb::LedgerAdjustmentReason::OtherBearer,
            AdjustmentReason::ClaimRefused => pb::LedgerAdjustmentReason::ClaimRefused,
            AdjustmentReason::WrongAccount => pb::LedgerAdjustmentReason::WrongAccount,
            AdjustmentReason::TakenBack => pb::LedgerAdjustmentReason::TakenBack,
            AdjustmentReason::Other => pb::LedgerAdjustmentReason::Other,
        }
        .into(),
        credit_account: account(found.credit).into(),
        debit_account: account(found.debit).into(),
        amount: Some(found.amount.to_proto()),
        note: found.note.clone(),
        state: match found.state {
            AdjustmentState::Proposed => pb::LedgerAdjustmentState::Proposed,
            AdjustmentState::Approved => pb::LedgerAdjustmentState::Approved,
            AdjustmentState::Rejected => pb::LedgerAdjustmentState::Rejected,
        }
        .into(),
        proposer: found.proposer.clone(),
        decider: found.decider.clone(),
        decision_note: found.decision_note.clone(),
        ledger_entry_id: found.entry_id.map(String::from).unwrap_or_default(),
        create_time: Some(found.create_time.to_proto()),
        decide_time: found.decide_time.map(Micros::to_proto),
    }
}
