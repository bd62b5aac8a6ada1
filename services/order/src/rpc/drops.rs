//! Drops.

use std::collections::HashSet;
use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::id::ListingId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, after, bound_to, keyed, parse, render};
use crate::ops::drops::{CreateDrop, DropView, EndDrop, GetDrop, ListDrops};

const CREATE_DROP: &str = "vitrine.order.v1.DropService/CreateDrop";
const END_DROP: &str = "vitrine.order.v1.DropService/EndDrop";

/// The most listings of one drop.
const LISTINGS_MAX: usize = 100;

impl Api {
    pub(super) async fn create_drop(
        &self,
        caller: &Arc<Caller>,
        request: pb::CreateDropRequest,
    ) -> Result<pb::CreateDropResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let create = wanted(&mut v, &request.drop);
        v.finish()?;
        let Some(create) = create else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, CREATE_DROP, &request_id, &request);
        let render = |created: &DropView| pb::CreateDropResponse {
            drop: Some(drop_sale(created)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, create, render))
            .await
    }

    pub(super) async fn end_drop(
        &self,
        caller: &Arc<Caller>,
        request: pb::EndDropRequest,
    ) -> Result<pb::EndDropResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let drop_id = v.id("drop_id", &request.drop_id);
        let reason = v.text("reason", &request.reason, 1..=500);
        v.finish()?;
        let Some(drop_id) = drop_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, END_DROP, &request_id, &request);
        let render = |ended: &DropView| pb::EndDropResponse {
            drop: Some(drop_sale(ended)),
        };
        self.db
            .execute(
                caller,
                Idempotent::new(keyed, EndDrop { drop_id, reason }, render),
            )
            .await
    }

    pub(super) async fn get_drop(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetDropRequest,
    ) -> Result<pb::GetDropResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let drop_id = v.id("drop_id", &request.drop_id);
        v.finish()?;
        let Some(drop_id) = drop_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let found = self
            .db
            .read(
                caller,
                GetDrop {
                    partner_id,
                    drop_id,
                },
            )
            .await?;
        let drop = match &partner_id {
            Some(partner_id) => {
                render::drop_sale_for(&found.drop, &found.shares, partner_id, found.now)
            }
            None => drop_sale(&found),
        };
        Ok(pb::GetDropResponse { drop: Some(drop) })
    }

    pub(super) async fn list_drops(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListDropsRequest,
    ) -> Result<pb::ListDropsResponse, Fault> {
        let page = self.page(request.page_size, &request.page_token, "drops")?;
        let drops = self
            .db
            .read(
                caller,
                ListDrops {
                    after: after(&page)?,
                    limit: page.limit(),
                },
            )
            .await?;
        let (drops, next_page_token) =
            page.cut(drops, |found| vec![found.drop.drop_id.to_string()]);
        Ok(pb::ListDropsResponse {
            drops: drops.iter().map(drop_sale).collect(),
            next_page_token,
        })
    }
}

fn drop_sale(found: &DropView) -> pb::Drop {
    render::drop_sale(&found.drop, &found.shares, found.now)
}

fn wanted(v: &mut Violations, value: &Option<pb::Drop>) -> Option<CreateDrop> {
    let drop = v.required("drop", value)?;
    let mut v = v.nested("drop");
    let allotment_id = v.id("allotment_id", &drop.allotment_id);
    let listing_ids = listing_ids(&mut v, &drop.listing_ids);
    let display_name = v.text("display_name", &drop.display_name, 1..=120);
    v.required("window", &drop.window);
    let window = v.window("window", &drop.window);
    if drop.window.is_some() && (window.start.is_none() || window.end.is_none()) {
        v.add("window", "must have a start_time and an end_time.");
    }
    let total_limit = v.range("total_limit", drop.total_limit, 1..=parse::UNITS_MAX);
    let per_person_limit = v.range(
        "per_person_limit",
        drop.per_person_limit,
        0..=parse::UNITS_MAX,
    );
    Some(CreateDrop {
        allotment_id: allotment_id?,
        listing_ids,
        display_name,
        start_time: window.start?,
        end_time: window.end?,
        total_limit,
        per_person_limit,
    })
}

fn listing_ids(v: &mut Violations, texts: &[String]) -> Vec<ListingId> {
    if !v.items("listing_ids", texts, 1..=LISTINGS_MAX) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut ids = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("listing_ids[{index}]");
        let Some(id) = v.id::<ListingId>(&field, text) else {
            continue;
        };
        if !seen.insert(id) {
            v.add(&field, "is named already; name each listing once.");
        }
        ids.push(id);
    }
    ids
}
