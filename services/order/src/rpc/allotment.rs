//! Allotments.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::id::MovementId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;
use prost::Message;

use super::{Api, after, answered, bound_to, keyed, parse, render, request_key};
use crate::model::command::{Answer, Command, Move};
use crate::model::{Allotment, MovementKind};
use crate::ops::supply::{
    AssignListing, Band, CreateAllotment, GetAllotment, GetAvailability, ListAllotments,
    ListMovements,
};

const CREATE_ALLOTMENT: &str = "vitrine.order.v1.AllotmentService/CreateAllotment";
const RECORD_MOVEMENT: &str = "vitrine.order.v1.AllotmentService/RecordMovement";
const ASSIGN_LISTING: &str = "vitrine.order.v1.AllotmentService/AssignListing";

impl Api {
    pub(super) async fn create_allotment(
        &self,
        caller: &Arc<Caller>,
        request: pb::CreateAllotmentRequest,
    ) -> Result<pb::CreateAllotmentResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let variant_id = v.id("variant_id", &request.variant_id);
        let display_name = v.text("display_name", &request.display_name, 1..=120);
        let initial_quantity = v.range(
            "initial_quantity",
            request.initial_quantity,
            0..=parse::UNITS_MAX,
        );
        let per_person_limit = v.range(
            "per_person_limit",
            request.per_person_limit,
            0..=parse::UNITS_MAX,
        );
        v.finish()?;
        let Some(variant_id) = variant_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, CREATE_ALLOTMENT, &request_id, &request);
        let create = CreateAllotment {
            variant_id,
            display_name,
            initial_quantity,
            per_person_limit,
        };
        let render = |created: &Allotment| pb::CreateAllotmentResponse {
            allotment: Some(render::allotment(created)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, create, render))
            .await
    }

    pub(super) async fn record_movement(
        &self,
        caller: &Arc<Caller>,
        request: pb::RecordMovementRequest,
    ) -> Result<pb::RecordMovementResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let allotment_id = v.id("allotment_id", &request.allotment_id);
        let kind = movement_kind(&mut v, request.kind);
        let quantity = v.range(
            "quantity",
            request.quantity,
            -parse::UNITS_MAX..=parse::UNITS_MAX,
        );
        let reason = v.text("reason", &request.reason, 1..=500);
        if kind.is_some_and(|kind| !kind.allows(quantity)) {
            v.add(
                "quantity",
                "must be positive for TOP_UP and RESTOCK, negative for SHRINKAGE and WITHDRAWN.",
            );
        }
        v.finish()?;
        let (Some(allotment_id), Some(kind)) = (allotment_id, kind) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let key = request_key(keyed(caller, RECORD_MOVEMENT, &request_id, &request), moved);
        let movement_id = MovementId::from_uuid(self.ids.next());
        let actor = caller.subject.clone();
        let command = Move {
            key,
            movement_id,
            allotment_id,
            kind,
            quantity,
            reason,
            actor,
        };
        let answer = self.desk.submit(caller, Command::Move(command)).await?;
        answered(&answer, moved)
    }

    pub(super) async fn assign_listing(
        &self,
        caller: &Arc<Caller>,
        request: pb::AssignListingRequest,
    ) -> Result<pb::AssignListingResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let allotment_id = v.id("allotment_id", &request.allotment_id);
        let listing_id = v.id("listing_id", &request.listing_id);
        let unit_cap = v.range("unit_cap", request.unit_cap, 0..=parse::UNITS_MAX);
        v.finish()?;
        let (Some(allotment_id), Some(listing_id)) = (allotment_id, listing_id) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, ASSIGN_LISTING, &request_id, &request);
        let assign = AssignListing {
            allotment_id,
            listing_id,
            unit_cap,
        };
        let render = |assigned: &Allotment| pb::AssignListingResponse {
            allotment: Some(render::allotment(assigned)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, assign, render))
            .await
    }

    pub(super) async fn get_allotment(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetAllotmentRequest,
    ) -> Result<pb::GetAllotmentResponse, Fault> {
        let mut v = Violations::new();
        let allotment_id = v.id("allotment_id", &request.allotment_id);
        v.finish()?;
        let Some(allotment_id) = allotment_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let allotment = self.db.read(caller, GetAllotment { allotment_id }).await?;
        Ok(pb::GetAllotmentResponse {
            allotment: Some(render::allotment(&allotment)),
        })
    }

    pub(super) async fn list_allotments(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListAllotmentsRequest,
    ) -> Result<pb::ListAllotmentsResponse, Fault> {
        let page = self.page(request.page_size, &request.page_token, "allotments")?;
        let list = ListAllotments {
            after: after(&page)?,
            limit: page.limit(),
        };
        let allotments = self.db.read(caller, list).await?;
        let (allotments, next_page_token) = page.cut(allotments, |found| {
            vec![found.stock.allotment_id.to_string()]
        });
        Ok(pb::ListAllotmentsResponse {
            allotments: allotments.iter().map(render::allotment).collect(),
            next_page_token,
        })
    }

    pub(super) async fn list_movements(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListMovementsRequest,
    ) -> Result<pb::ListMovementsResponse, Fault> {
        let mut v = Violations::new();
        let allotment_id =
            v.id::<contracts::id::AllotmentId>("allotment_id", &request.allotment_id);
        v.finish()?;
        let Some(allotment_id) = allotment_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let query = format!("movements|{allotment_id}");
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListMovements {
            allotment_id,
            after: after(&page)?,
            limit: page.limit(),
        };
        let movements = self.db.read(caller, list).await?;
        let (movements, next_page_token) =
            page.cut(movements, |movement| vec![movement.movement_id.to_string()]);
        Ok(pb::ListMovementsResponse {
            movements: movements.iter().map(render::movement).collect(),
            next_page_token,
        })
    }

    pub(super) async fn get_availability(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetAvailabilityRequest,
    ) -> Result<pb::GetAvailabilityResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let listing_id = v.id("listing_id", &request.listing_id);
        v.finish()?;
        let Some(listing_id) = listing_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let found = self
            .db
            .read(
                caller,
                GetAvailability {
                    partner_id,
                    listing_id,
                },
            )
            .await?;
        let band = match found.band {
            Band::SoldOut => pb::AvailabilityBand::SoldOut,
            Band::Low => pb::AvailabilityBand::Low,
            Band::Available => pb::AvailabilityBand::Available,
        };
        Ok(pb::GetAvailabilityResponse {
            band: band.into(),
            cap_remaining: found.cap_remaining,
        })
    }
}

/// The first units come with the allotment.
fn movement_kind(v: &mut Violations, number: i32) -> Option<MovementKind> {
    match v.enumeration::<pb::MovementKind>("kind", number) {
        pb::MovementKind::Unspecified => None,
        pb::MovementKind::Initial => {
            v.add(
                "kind",
                "must not be INITIAL; the first units come with CreateAllotment.",
            );
            None
        }
        pb::MovementKind::TopUp => Some(MovementKind::TopUp),
        pb::MovementKind::Restock => Some(MovementKind::Restock),
        pb::MovementKind::Shrinkage => Some(MovementKind::Shrinkage),
        pb::MovementKind::Withdrawn => Some(MovementKind::Withdrawn),
    }
}

fn moved(answer: &Answer) -> Vec<u8> {
    let response = match answer {
        Answer::Moved {
            allotment,
            movement,
        } => pb::RecordMovementResponse {
            allotment: Some(render::allotment(allotment)),
            movement: Some(render::movement(movement)),
        },
        _ => pb::RecordMovementResponse::default(),
    };
    response.encode_to_vec()
}
