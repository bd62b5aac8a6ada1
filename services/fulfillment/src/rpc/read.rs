//! Reading fulfilments and shipments.

use contracts::fulfillment::v1 as pb;
use contracts::id::{FulfillmentId, Id, Kind, PartnerId};
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;

use super::{Api, parse, render};
use crate::model::{Fulfillment, FulfillmentState, ShipmentState};
use crate::ops::read;
use crate::store::list::{FulfillmentKey, FulfillmentQuery, ShipmentQuery, WorkQuery};

impl Api {
    pub(super) async fn list_work(
        &self,
        caller: &Caller,
        request: pb::ListWorkRequest,
    ) -> Result<pb::ListWorkResponse, Fault> {
        let (default, max) = (
            self.config.work_page_size_default,
            self.config.work_page_size_max,
        );
        let page = Page::parse(
            request.page_size,
            &request.page_token,
            default,
            max,
            "ListWork",
        )?;
        let query = WorkQuery {
            after: after_work(&page)?,
            limit: page.limit(),
        };
        let rows = self.db.read(caller, read::ListWork(query)).await?;
        let (rows, next_page_token) = page.cut(rows, |row: &Fulfillment| {
            vec![row.ship_by.0.to_string(), row.id.as_str().to_owned()]
        });
        Ok(pb::ListWorkResponse {
            fulfillments: rows.iter().map(render::fulfillment).collect(),
            next_page_token,
        })
    }

    pub(super) async fn get_fulfillment(
        &self,
        caller: &Caller,
        request: pb::GetFulfillmentRequest,
    ) -> Result<pb::GetFulfillmentResponse, Fault> {
        let mut wrong = Violations::new();
        let id = wrong.opt_id("fulfillment_id", &request.fulfillment_id);
        let order = wrong.opt_id("order_id", &request.order_id);
        let key = match (id, order) {
            (Some(_), Some(_)) => {
                wrong.add(
                    "order_id",
                    "must be empty when fulfillment_id is set; name one of the two.",
                );
                None
            }
            (Some(id), None) => Some(FulfillmentKey::Id(id)),
            (None, Some(order)) => Some(FulfillmentKey::Order(order)),
            (None, None) => {
                if wrong.is_empty() {
                    wrong.add("fulfillment_id", "must be set, or order_id.");
                }
                None
            }
        };
        wrong.finish()?;
        let key = key.ok_or_else(|| Refusal::not_found("fulfillment"))?;
        let partner = parse::readable(caller, None)?;
        let found = self
            .db
            .read(caller, read::GetFulfillment { key, partner })
            .await?;
        Ok(pb::GetFulfillmentResponse {
            fulfillment: Some(render::fulfillment(&found)),
        })
    }

    pub(super) async fn list_fulfillments(
        &self,
        caller: &Caller,
        request: pb::ListFulfillmentsRequest,
    ) -> Result<pb::ListFulfillmentsResponse, Fault> {
        let mut wrong = Violations::new();
        let partner = wrong.opt_id("partner_id", &request.partner_id);
        let state: Option<pb::FulfillmentState> = wrong.opt_enumeration("state", request.state);
        wrong.finish()?;
        let partner = parse::readable(caller, partner)?;
        let state = state.and_then(render::fulfillment_state_of);
        let words = (
            partner_word(partner.as_ref()),
            state.map_or("", FulfillmentState::word),
        );
        let query = format!("ListFulfillments|{}|{}", words.0, words.1);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.fulfillment_page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let query = FulfillmentQuery {
            partner,
            state,
            after: after_id(&page)?,
            limit: page.limit(),
        };
        let rows = self.db.read(caller, read::ListFulfillments(query)).await?;
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.id.as_str().to_owned()]);
        let fulfillments = rows.iter().map(render::fulfillment).collect();
        Ok(pb::ListFulfillmentsResponse {
            fulfillments,
            next_page_token,
        })
    }

    pub(super) async fn get_shipment(
        &self,
        caller: &Caller,
        request: pb::GetShipmentRequest,
    ) -> Result<pb::GetShipmentResponse, Fault> {
        let mut wrong = Violations::new();
        let id = wrong.id("shipment_id", &request.shipment_id);
        wrong.finish()?;
        let id = id.ok_or_else(|| Refusal::not_found("shipment"))?;
        let partner = parse::readable(caller, None)?;
        let operation = read::GetShipment {
            id,
            partner,
            events_max: self.events_max(),
        };
        let found = self.db.read(caller, operation).await?;
        Ok(pb::GetShipmentResponse {
            shipment: Some(render::shipment(&found)),
        })
    }

    pub(super) async fn list_shipments(
        &self,
        caller: &Caller,
        request: pb::ListShipmentsRequest,
    ) -> Result<pb::ListShipmentsResponse, Fault> {
        let mut wrong = Violations::new();
        let partner = wrong.opt_id("partner_id", &request.partner_id);
        let order = wrong.opt_id("order_id", &request.order_id);
        let state: Option<pb::ShipmentState> = wrong.opt_enumeration("state", request.state);
        wrong.finish()?;
        let partner = parse::readable(caller, partner)?;
        let state = state.and_then(render::shipment_state_of);
        let words = (
            partner_word(partner.as_ref()),
            state.map_or("", ShipmentState::word),
        );
        let query = format!("ListShipments|{}|{}|{}", words.0, request.order_id, words.1);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.shipment_page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let query = ShipmentQuery {
            partner,
            order,
            state,
            after: after_id(&page)?,
            limit: page.limit(),
        };
        let operation = read::ListShipments {
            query,
            events_max: self.events_max(),
        };
        let rows = self.db.read(caller, operation).await?;
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.id.as_str().to_owned()]);
        Ok(pb::ListShipmentsResponse {
            shipments: rows.iter().map(render::shipment).collect(),
            next_page_token,
        })
    }
}

pub(super) fn partner_word(partner: Option<&PartnerId>) -> &str {
    partner.map_or("", |id| id.as_str())
}

pub(super) fn after_id<K: Kind>(page: &Page) -> Result<Option<Id<K>>, Refusal> {
    let Some(key) = page.after_key(1)? else {
        return Ok(None);
    };
    Ok(Some(Id::parse(&key[0]).map_err(|_| parse::bad_token())?))
}

fn after_work(page: &Page) -> Result<Option<(i64, FulfillmentId)>, Refusal> {
    let Some(key) = page.after_key(2)? else {
        return Ok(None);
    };
    let time = key[0].parse().map_err(|_| parse::bad_token())?;
    Ok(Some((
        time,
        Id::parse(&key[1]).map_err(|_| parse::bad_token())?,
    )))
}
