//! Blocks and parcels.

use std::collections::BTreeSet;

use ::store::idempotency::Idempotent;
use contracts::ErrorReason;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::ShipBlock;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, keyed, parse, render, verdict};
use crate::model::{Block, Fulfillment};
use crate::ops::block::ChangeBlock;
use crate::ops::ship::{ParcelDraft, Ship, ShipMany};

const ADD_BLOCK: &str = "vitrine.fulfillment.v1.FulfillmentService/AddShipBlock";
const LIFT_BLOCK: &str = "vitrine.fulfillment.v1.FulfillmentService/LiftShipBlock";
const CREATE: &str = "vitrine.fulfillment.v1.FulfillmentService/CreateShipment";
const CREATE_MANY: &str = "vitrine.fulfillment.v1.FulfillmentService/BatchCreateShipments";

impl Api {
    pub(super) async fn add_ship_block(
        &self,
        caller: &Caller,
        request: pb::AddShipBlockRequest,
    ) -> Result<pb::AddShipBlockResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let asked = (
            request.fulfillment_id.as_str(),
            request.ship_block,
            request.reason.as_str(),
        );
        let operation = change_block(wrong, asked, false)?;
        let keyed = keyed(caller, ADD_BLOCK, &key, &request);
        let render = |changed: &Fulfillment| pb::AddShipBlockResponse {
            fulfillment: Some(render::fulfillment(changed)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn lift_ship_block(
        &self,
        caller: &Caller,
        request: pb::LiftShipBlockRequest,
    ) -> Result<pb::LiftShipBlockResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let asked = (
            request.fulfillment_id.as_str(),
            request.ship_block,
            request.reason.as_str(),
        );
        let operation = change_block(wrong, asked, true)?;
        let keyed = keyed(caller, LIFT_BLOCK, &key, &request);
        let render = |changed: &Fulfillment| pb::LiftShipBlockResponse {
            fulfillment: Some(render::fulfillment(changed)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, operation, render))
            .await
    }

    pub(super) async fn create_shipment(
        &self,
        caller: &Caller,
        request: pb::CreateShipmentRequest,
    ) -> Result<pb::CreateShipmentResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let draft = match wrong.required("draft", &request.draft) {
            Some(draft) => self.draft(&mut wrong, "draft".to_owned(), draft),
            None => None,
        };
        wrong.finish()?;
        refuse_units("draft", request.draft.iter())?;
        let draft = draft.ok_or_else(|| Refusal::not_found("fulfillment"))?;
        let operation = Ship {
            draft,
            carriers: self.carriers.clone(),
        };
        let keyed = keyed(caller, CREATE, &key, &request);
        let operation = Idempotent::new(keyed, operation, |shipment| pb::CreateShipmentResponse {
            shipment: Some(render::shipment(shipment)),
        });
        self.db.execute(caller, operation).await
    }

    pub(super) async fn batch_create_shipments(
        &self,
        caller: &Caller,
        request: pb::BatchCreateShipmentsRequest,
    ) -> Result<pb::BatchCreateShipmentsResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let mut drafts = Vec::new();
        if wrong.items("drafts", &request.drafts, 1..=self.config.batch_items_max) {
            drafts = self.drafts(&mut wrong, &request.drafts);
        }
        wrong.finish()?;
        refuse_units("drafts", &request.drafts)?;
        let operation = ShipMany {
            drafts,
            carriers: self.carriers.clone(),
        };
        let keyed = keyed(caller, CREATE_MANY, &key, &request);
        let operation = Idempotent::new(keyed, operation, |verdicts| {
            let verdicts = verdicts.iter().map(|outcome| match outcome {
                Ok(shipment) => verdict(Ok(shipment.id.into())),
                Err(refusal) => verdict(Err(refusal)),
            });
            pb::BatchCreateShipmentsResponse {
                verdicts: verdicts.collect(),
            }
        });
        self.db.execute(caller, operation).await
    }

    fn drafts(&self, wrong: &mut Violations, drafts: &[pb::ShipmentDraft]) -> Vec<ParcelDraft> {
        let mut seen = BTreeSet::new();
        let mut parsed = Vec::with_capacity(drafts.len());
        for (at, draft) in drafts.iter().enumerate() {
            let field = format!("drafts[{at}]");
            let Some(draft) = self.draft(wrong, field, draft) else {
                continue;
            };
            if !seen.insert(draft.fulfillment_id) {
                let field = format!("{}.fulfillment_id", draft.field);
                wrong.add(
                    &field,
                    "names a fulfillment that an earlier draft names; name each once.",
                );
            }
            parsed.push(draft);
        }
        parsed
    }

    fn draft(
        &self,
        wrong: &mut Violations,
        field: String,
        draft: &pb::ShipmentDraft,
    ) -> Option<ParcelDraft> {
        let mut wrong = wrong.nested(&field);
        let fulfillment_id = wrong.id("fulfillment_id", &draft.fulfillment_id);
        let lines = draft
            .lines
            .iter()
            .map(|line| (line.order_line_id.as_str(), line.quantity));
        let lines = parse::lines(&mut wrong, &self.config, lines);
        let carrier_code = wrong
            .opt_text("carrier_code", &draft.carrier_code, 1..=40)
            .unwrap_or_default();
        let tracking_number = wrong
            .opt_text("tracking_number", &draft.tracking_number, 1..=80)
            .unwrap_or_default();
        drop(wrong);
        Some(ParcelDraft {
            field,
            fulfillment_id: fulfillment_id?,
            lines,
            carrier_code,
            tracking_number,
        })
    }
}

/// A change of a block that people set and lift.
fn change_block(
    mut wrong: Violations,
    (fulfillment_id, ship_block, reason): (&str, i32, &str),
    lift: bool,
) -> Result<ChangeBlock, Refusal> {
    let fulfillment_id = wrong.id("fulfillment_id", fulfillment_id);
    let said: ShipBlock = wrong.enumeration("ship_block", ship_block);
    let block = render::block_of(said).filter(|block| block.is_for_people());
    if said != ShipBlock::Unspecified && block.is_none() {
        wrong.add(
            "ship_block",
            "must be FRAUD or INSPECTION; the others are lifted by time or data.",
        );
    }
    let reason = wrong.long_text("reason", reason, 1..=500);
    wrong.finish()?;
    // What is missing here was refused above.
    let fulfillment_id = fulfillment_id.ok_or_else(|| Refusal::not_found("fulfillment"))?;
    Ok(ChangeBlock {
        fulfillment_id,
        block: block.unwrap_or(Block::Fraud),
        lift,
        reason,
    })
}

/// Serialised units are in the contract and not offered yet.
fn refuse_units<'a>(
    field: &str,
    drafts: impl IntoIterator<Item = &'a pb::ShipmentDraft>,
) -> Result<(), Refusal> {
    for (at, draft) in drafts.into_iter().enumerate() {
        let Some(line) = draft
            .lines
            .iter()
            .position(|line| !line.unit_ids.is_empty())
        else {
            continue;
        };
        let draft = if field == "drafts" {
            format!("drafts[{at}]")
        } else {
            field.to_owned()
        };
        let field = format!("{draft}.lines[{line}].unit_ids");
        let message =
            format!("Field {field}: serialised units are not offered yet; leave it empty.");
        return Err(Refusal::new(ErrorReason::NotOffered, message).with("field", field));
    }
    Ok(())
}
