//! Drops on the wire: whole for the retailer, a partner's own part for a partner.

use contracts::common::v1 as common;
use contracts::id::PartnerId;
use contracts::order::v1 as pb;
use contracts::order::v1::drop_quota::Owner;

use super::{price, time};
use crate::model::{DropShare, DropState, Quota, QuotaOwner};
use crate::ops::drops::DropView;

/// A drop as the retailer sees it.
pub fn drop_sale(view: &DropView) -> pb::Drop {
    let DropView {
        drop,
        shares,
        quotas,
        available,
        now,
    } = view;
    pb::Drop {
        drop_id: drop.drop_id.into(),
        allotment_id: drop.allotment_id.into(),
        listing_ids: shares.iter().map(|share| share.listing_id.into()).collect(),
        display_name: drop.display_name.clone(),
        window: Some(common::Window {
            start_time: time(drop.start_time),
            end_time: time(drop.end_time),
        }),
        total_limit: drop.total_limit,
        per_person_limit: drop.per_person_limit,
        taken: drop.taken,
        state: match drop.state_with(*now, *available) {
            DropState::Scheduled => pb::DropState::Scheduled,
            DropState::Open => pb::DropState::Open,
            DropState::SoldOut => pb::DropState::SoldOut,
            DropState::Ended => pb::DropState::Ended,
        }
        .into(),
        create_time: time(drop.create_time),
        etag: drop.etag(),
        announce_time: drop.announce_time.and_then(time),
        discount_basis_points: i32::try_from(drop.discount_basis_points).unwrap_or(0),
        prices: shares.iter().filter_map(priced).collect(),
        quotas: quotas.iter().map(quota).collect(),
    }
}

/// A drop as one partner sees it: its own listings, prices and counts, and nothing of anybody else's.
pub fn drop_sale_for(view: &DropView, partner_id: &PartnerId) -> pb::Drop {
    let own = |share: &&DropShare| share.partner_id == *partner_id;
    let shares: Vec<DropShare> = view.shares.iter().filter(own).cloned().collect();
    let taken = shares.iter().map(|share| share.taken).sum();
    let view = DropView {
        shares,
        quotas: Vec::new(),
        ..view.clone()
    };
    pb::Drop {
        allotment_id: String::new(),
        taken,
        ..drop_sale(&view)
    }
}

fn priced(share: &DropShare) -> Option<pb::DropPrice> {
    Some(pb::DropPrice {
        listing_id: share.listing_id.into(),
        price: price(share.price?),
    })
}

fn quota(quota: &Quota) -> pb::DropQuota {
    pb::DropQuota {
        owner: Some(match quota.owner {
            QuotaOwner::Creator(id) => Owner::CreatorId(id.into()),
            QuotaOwner::Outlet(id) => Owner::OutletId(id.into()),
        }),
        unit_limit: quota.unit_limit,
        release_time: quota.release_time.and_then(time),
        taken: quota.taken,
    }
}
