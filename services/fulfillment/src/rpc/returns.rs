//! Goods that come back.

use std::collections::BTreeSet;

use ::store::idempotency::Idempotent;
use contracts::ErrorReason;
use contracts::common::v1::{Audience, RetailerRole};
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::decide_return_request::Decision as Said;
use contracts::id::ReturnId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;

use super::read::{after_id, partner_word};
use super::{Api, keyed, parse, render};
use crate::model::LineQuantity;
use crate::model::returns::{
    GoodsReturn, Instructions, Received, ReturnAsk, ReturnInitiator, ReturnKind, ReturnReason,
    ReturnState,
};
use crate::ops::read;
use crate::ops::returns::{
    CancelReturn, DecideReturn, Decision, ReceiveReturn, RequestReturn, Which,
};
use crate::store::return_list::ReturnQuery;

const REQUEST: &str = "vitrine.fulfillment.v1.ReturnService/RequestReturn";
const DECIDE: &str = "vitrine.fulfillment.v1.ReturnService/DecideReturn";
const CANCEL: &str = "vitrine.fulfillment.v1.ReturnService/CancelReturn";
const RECEIVE: &str = "vitrine.fulfillment.v1.ReturnService/RecordReturnReceived";

impl Api {
    pub(super) async fn check_return_eligibility(
        &self,
        caller: &Caller,
        request: pb::CheckReturnEligibilityRequest,
    ) -> Result<pb::CheckReturnEligibilityResponse, Fault> {
        let mut wrong = Violations::new();
        let order_id = wrong.id("order_id", &request.order_id);
        wrong.finish()?;
        let operation = read::CheckReturn {
            // What is missing here was refused above.
            order_id: order_id.ok_or_else(|| Refusal::not_found("order"))?,
            partner: parse::readable(caller, None)?,
            limits: self.config.return_limits(),
        };
        let lines = self.db.read(caller, operation).await?;
        Ok(pb::CheckReturnEligibilityResponse {
            lines: lines.iter().map(render::eligibility).collect(),
        })
    }

    pub(super) async fn request_return(
        &self,
        caller: &Caller,
        request: pb::RequestReturnRequest,
    ) -> Result<pb::RequestReturnResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let order_id = wrong.id("order_id", &request.order_id);
        let kind = render::return_kind_of(wrong.enumeration("kind", request.kind));
        let lines = self.asked_lines(&mut wrong, &request.lines);
        let note = wrong.long_text("shopper_note", &request.shopper_note, 0..=1_000);
        wrong.finish()?;
        let (Some(order_id), Some(kind)) = (order_id, kind) else {
            return Err(Refusal::not_found("order").into());
        };
        refuse_kind(kind)?;
        let unit_ids = request.lines.iter().map(|line| line.unit_ids.as_slice());
        refuse_units("lines", unit_ids)?;
        let initiator = match caller.audience {
            Audience::Partner => ReturnInitiator::Partner,
            _ => ReturnInitiator::Retailer,
        };
        let operation = RequestReturn {
            order_id,
            partner: parse::readable(caller, None)?,
            ask: ReturnAsk {
                kind,
                initiator,
                lines,
            },
            note,
            limits: self.config.return_limits(),
        };
        let keyed = keyed(caller, REQUEST, &key, &request);
        let render = |made: &GoodsReturn| pb::RequestReturnResponse {
            goods_return: Some(render::goods_return(made)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn decide_return(
        &self,
        caller: &Caller,
        request: pb::DecideReturnRequest,
    ) -> Result<pb::DecideReturnResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.return_id, &request.etag);
        let decision = match &request.decision {
            None => {
                wrong.add("approve", "must be set, or reject.");
                None
            }
            Some(Said::Approve(approve)) => self.approval(&mut wrong, approve),
            Some(Said::Reject(reject)) => {
                let mut wrong = wrong.nested("reject");
                Some(Decision::Reject(wrong.long_text(
                    "message",
                    &reject.message,
                    1..=500,
                )))
            }
        };
        wrong.finish()?;
        let (Some(which), Some(decision)) = (which, decision) else {
            return Err(Refusal::not_found("return").into());
        };
        let operation = DecideReturn {
            which: which.of(caller)?,
            decision,
            limits: self.config.return_limits(),
        };
        let keyed = keyed(caller, DECIDE, &key, &request);
        let render = |decided: &GoodsReturn| pb::DecideReturnResponse {
            goods_return: Some(render::goods_return(decided)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn cancel_return(
        &self,
        caller: &Caller,
        request: pb::CancelReturnRequest,
    ) -> Result<pb::CancelReturnResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.return_id, &request.etag);
        wrong.finish()?;
        let which = which.ok_or_else(|| Refusal::not_found("return"))?;
        let operation = CancelReturn {
            which: which.of(caller)?,
        };
        let keyed = keyed(caller, CANCEL, &key, &request);
        let render = |cancelled: &GoodsReturn| pb::CancelReturnResponse {
            goods_return: Some(render::goods_return(cancelled)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn record_return_received(
        &self,
        caller: &Caller,
        request: pb::RecordReturnReceivedRequest,
    ) -> Result<pb::RecordReturnReceivedResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.return_id, &request.etag);
        let units = self.received(&mut wrong, &request.units);
        wrong.finish()?;
        let which = which.ok_or_else(|| Refusal::not_found("return"))?;
        let unit_ids = request.units.iter().map(|units| units.unit_ids.as_slice());
        refuse_units("units", unit_ids)?;
        let operation = ReceiveReturn {
            which: which.of(caller)?,
            units,
        };
        let keyed = keyed(caller, RECEIVE, &key, &request);
        let render = |received: &GoodsReturn| pb::RecordReturnReceivedResponse {
            goods_return: Some(render::goods_return(received)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn get_return(
        &self,
        caller: &Caller,
        request: pb::GetReturnRequest,
    ) -> Result<pb::GetReturnResponse, Fault> {
        let mut wrong = Violations::new();
        let id = wrong.id("return_id", &request.return_id);
        wrong.finish()?;
        let operation = read::GetReturn {
            id: id.ok_or_else(|| Refusal::not_found("return"))?,
            partner: parse::readable(caller, None)?,
            with_note: caller.audience == Audience::Partner
                || caller.has_role(RetailerRole::Care)
                || caller.has_role(RetailerRole::Ops),
        };
        // What the retailer's people read of a shopper's words goes to the audit, so it is a unit that writes.
        let is_audited = operation.with_note && caller.audience == Audience::Retailer;
        let (found, shopper_note) = match is_audited {
            true => self.db.execute(caller, operation).await?,
            false => self.db.read(caller, operation).await?,
        };
        Ok(pb::GetReturnResponse {
            goods_return: Some(render::goods_return(&found)),
            shopper_note,
        })
    }

    pub(super) async fn list_returns(
        &self,
        caller: &Caller,
        request: pb::ListReturnsRequest,
    ) -> Result<pb::ListReturnsResponse, Fault> {
        let mut wrong = Violations::new();
        let partner = wrong.opt_id("partner_id", &request.partner_id);
        let order = wrong.opt_id("order_id", &request.order_id);
        let state: Option<pb::ReturnState> = wrong.opt_enumeration("state", request.state);
        wrong.finish()?;
        let partner = parse::readable(caller, partner)?;
        let state = state.and_then(render::return_state_of);
        let words = (
            partner_word(partner.as_ref()),
            state.map_or("", ReturnState::word),
        );
        let query = format!("ListReturns|{}|{}|{}", words.0, request.order_id, words.1);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.return_page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let query = ReturnQuery {
            partner,
            order,
            state,
            after: after_id(&page)?,
            limit: page.limit(),
        };
        let rows = self.db.read(caller, read::ListReturns(query)).await?;
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.id.as_str().to_owned()]);
        Ok(pb::ListReturnsResponse {
            goods_returns: rows.iter().map(render::goods_return).collect(),
            next_page_token,
        })
    }
}

/// What is asked for, approved and received.
impl Api {
    fn asked_lines(
        &self,
        wrong: &mut Violations,
        drafts: &[pb::ReturnLineDraft],
    ) -> Vec<(LineQuantity, ReturnReason)> {
        if !wrong.items("lines", drafts, 1..=self.config.lines_max) {
            return Vec::new();
        }
        let quantities = drafts
            .iter()
            .map(|line| (line.order_line_id.as_str(), line.quantity));
        let lines = parse::lines(wrong, &self.config, quantities);
        let mut reasons = Vec::with_capacity(lines.len());
        for (at, draft) in drafts.iter().enumerate() {
            let mut wrong = wrong.nested(format_args!("lines[{at}]"));
            reasons.extend(render::return_reason_of(
                wrong.enumeration("reason", draft.reason),
            ));
        }
        // Where one is missing it was refused above, and nothing comes of the others.
        lines.into_iter().zip(reasons).collect()
    }

    fn approval(&self, wrong: &mut Violations, approve: &pb::ReturnApproval) -> Option<Decision> {
        let mut wrong = wrong.nested("approve");
        let quantities = approve
            .lines
            .iter()
            .map(|line| (line.order_line_id.as_str(), line.quantity));
        let lines = parse::lines(&mut wrong, &self.config, quantities);
        let message = wrong.long_text("message", &approve.message, 0..=500);
        let said = wrong.required("instructions", &approve.instructions)?;
        let mut wrong = wrong.nested("instructions");
        let return_site_reference =
            wrong.text("return_site_reference", &said.return_site_reference, 1..=64);
        let carrier_code = wrong.opt_text("carrier_code", &said.carrier_code, 1..=40);
        let tracking_number = wrong.opt_text("tracking_number", &said.tracking_number, 1..=80);
        let by = wrong.opt_time("return_by_time", &said.return_by_time);
        Some(Decision::Approve {
            lines,
            instructions: Instructions {
                return_site_reference,
                carrier_code: carrier_code.unwrap_or_default(),
                tracking_number: tracking_number.unwrap_or_default(),
                ..Instructions::default()
            },
            by,
            message,
        })
    }

    fn received(&self, wrong: &mut Violations, units: &[pb::ReceivedUnits]) -> Vec<Received> {
        let mut received = Vec::new();
        if !wrong.items("units", units, 1..=self.config.received_items_max) {
            return received;
        }
        let mut seen = BTreeSet::new();
        for (at, came) in units.iter().enumerate() {
            let mut wrong = wrong.nested(format_args!("units[{at}]"));
            let id = wrong.id("order_line_id", &came.order_line_id);
            let quantity = wrong.range("quantity", came.quantity, 1..=self.config.quantity_max);
            let said = wrong.enumeration("condition", came.condition);
            let (Some(order_line_id), Some(condition)) = (id, render::goods_condition_of(said))
            else {
                continue;
            };
            if !seen.insert((order_line_id, condition, came.restock)) {
                wrong.add(
                    "order_line_id",
                    "comes with the condition and restock of an earlier item; put the two together.",
                );
            }
            received.push(Received {
                order_line_id,
                quantity,
                condition,
                restock: came.restock,
            });
        }
        received
    }
}

/// Which return is to change; whose it has to be follows from the caller.
struct Named {
    return_id: ReturnId,
    etag: Option<String>,
}

impl Named {
    fn of(self, caller: &Caller) -> Result<Which, Refusal> {
        Ok(Which {
            return_id: self.return_id,
            partner: parse::readable(caller, None)?,
            etag: self.etag,
        })
    }
}

fn which(wrong: &mut Violations, return_id: &str, etag: &str) -> Option<Named> {
    let return_id = wrong.id("return_id", return_id);
    let etag = wrong.opt_text("etag", etag, 1..=64);
    Some(Named {
        return_id: return_id?,
        etag,
    })
}

/// The other kinds are in the contract and not offered yet.
fn refuse_kind(kind: ReturnKind) -> Result<(), Refusal> {
    if kind == ReturnKind::ReturnAndRefund {
        return Ok(());
    }
    let message = format!("Field kind: {kind} is not offered yet; ask for RETURN_AND_REFUND.");
    Err(Refusal::new(ErrorReason::NotOffered, message).with("field", "kind"))
}

/// Serialised units are in the contract and not offered yet.
fn refuse_units<'a>(
    field: &str,
    unit_ids: impl Iterator<Item = &'a [String]>,
) -> Result<(), Refusal> {
    let Some(at) = unit_ids.into_iter().position(|ids| !ids.is_empty()) else {
        return Ok(());
    };
    let field = format!("{field}[{at}].unit_ids");
    let message = format!("Field {field}: serialised units are not offered yet; leave it empty.");
    Err(Refusal::new(ErrorReason::NotOffered, message).with("field", field))
}
