//! Drops.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::id::ListingId;
use contracts::money::Price;
use contracts::order::v1 as pb;
use contracts::order::v1::drop_quota::Owner;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, after, bound_to, keyed, parse, render};
use crate::model::{Quota, QuotaOwner};
use crate::ops::drops::{CreateDrop, DropView, EndDrop, GetDrop, ListDrops};

const CREATE_DROP: &str = "vitrine.order.v1.DropService/CreateDrop";
const END_DROP: &str = "vitrine.order.v1.DropService/EndDrop";

/// The most listings of one drop.
const LISTINGS_MAX: usize = 100;
/// The most quotas of one drop.
const QUOTAS_MAX: usize = 100;

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
            drop: Some(render::drop_sale(created)),
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
            drop: Some(render::drop_sale(ended)),
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
            Some(partner_id) => render::drop_sale_for(&found, partner_id),
            None => render::drop_sale(&found),
        };
        Ok(pb::GetDropResponse { drop: Some(drop) })
    }

    pub(super) async fn list_drops(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListDropsRequest,
    ) -> Result<pb::ListDropsResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let page = self.page(request.page_size, &request.page_token, "drops")?;
        let drops = self
            .db
            .read(
                caller,
                ListDrops {
                    partner_id,
                    after: after(&page)?,
                    limit: page.limit(),
                },
            )
            .await?;
        let (drops, next_page_token) =
            page.cut(drops, |found| vec![found.drop.drop_id.to_string()]);
        Ok(pb::ListDropsResponse {
            drops: drops
                .iter()
                .map(|found| match &partner_id {
                    Some(partner_id) => render::drop_sale_for(found, partner_id),
                    None => render::drop_sale(found),
                })
                .collect(),
            next_page_token,
        })
    }
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
    let announce_time = v.opt_time("announce_time", &drop.announce_time);
    if announce_time > window.start && window.start.is_some() {
        v.add(
            "announce_time",
            "must not be after the window's start_time.",
        );
    }
    let discount = i64::from(drop.discount_basis_points);
    let discount_basis_points = v.range("discount_basis_points", discount, 0..=10_000);
    let prices = prices(&mut v, &drop.prices, &listing_ids);
    let quotas = quotas(&mut v, &drop.quotas, window.end);
    let set_aside: i64 = quotas.iter().map(|quota| quota.unit_limit).sum();
    if set_aside > total_limit {
        v.add("quotas", "must not be more than total_limit together.");
    }
    let priced = |id: ListingId| (id, prices.get(&id).copied());
    Some(CreateDrop {
        allotment_id: allotment_id?,
        listings: listing_ids.into_iter().map(priced).collect(),
        display_name,
        announce_time,
        start_time: window.start?,
        end_time: window.end?,
        total_limit,
        per_person_limit,
        discount_basis_points,
        quotas,
    })
}

fn prices(
    v: &mut Violations,
    values: &[pb::DropPrice],
    listing_ids: &[ListingId],
) -> HashMap<ListingId, Price> {
    let mut prices = HashMap::new();
    if !v.items("prices", values, 0..=LISTINGS_MAX) {
        return prices;
    }
    for (index, value) in values.iter().enumerate() {
        let mut v = v.nested(format!("prices[{index}]"));
        let listing_id = v.id::<ListingId>("listing_id", &value.listing_id);
        let price = v.price("price", &value.price);
        let (Some(listing_id), Some(price)) = (listing_id, price) else {
            continue;
        };
        if !listing_ids.contains(&listing_id) {
            v.add("listing_id", "is not one of the drop's listings.");
        }
        if prices.insert(listing_id, price).is_some() {
            v.add("listing_id", "has a price already; name each listing once.");
        }
    }
    prices
}

fn quotas(v: &mut Violations, values: &[pb::DropQuota], end: Option<Micros>) -> Vec<Quota> {
    let mut quotas: Vec<Quota> = Vec::with_capacity(values.len());
    if !v.items("quotas", values, 0..=QUOTAS_MAX) {
        return quotas;
    }
    for (index, value) in values.iter().enumerate() {
        let mut v = v.nested(format!("quotas[{index}]"));
        let owner = match &value.owner {
            Some(Owner::CreatorId(id)) => v.id("creator_id", id).map(QuotaOwner::Creator),
            Some(Owner::OutletId(id)) => v.id("outlet_id", id).map(QuotaOwner::Outlet),
            None => {
                v.add("creator_id", "or outlet_id must be set.");
                None
            }
        };
        let unit_limit = v.range("unit_limit", value.unit_limit, 1..=parse::UNITS_MAX);
        let release_time = v.opt_time("release_time", &value.release_time);
        if release_time >= end && end.is_some() && release_time.is_some() {
            v.add("release_time", "must be before the window's end_time.");
        }
        let Some(owner) = owner else { continue };
        if quotas.iter().any(|quota| quota.owner == owner) {
            v.add(
                "unit_limit",
                "is for an owner that has a quota already; give each one.",
            );
        }
        quotas.push(Quota {
            owner,
            unit_limit,
            release_time,
            taken: 0,
        });
    }
    quotas
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
