//! Reads everything there is to check: feeds from a cursor on, lists to their end. Uses the contracts only.

use std::collections::{BTreeMap, HashSet};

use contracts::catalog::v1 as catalog;
use contracts::common::v1::FeedMeta;
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::room::v1 as room;

use crate::demo::client::Caller;
use crate::demo::world::ask;

/// Pages of a feed or a list that are read at most; more would be a loop.
const PAGES: usize = 100_000;

/// Where each feed stood before the day.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    pub catalog: String,
    pub room: String,
    pub order: String,
    pub fulfillment: String,
}

macro_rules! feed {
    ($name:ident, $client:ident . $method:ident ( $area:ident :: $request:ident ) -> $entry:ty) => {
        /// A feed's entries after a cursor, to its end, with the cursor of the end.
        pub async fn $name(
            caller: &Caller,
            mut cursor: String,
        ) -> anyhow::Result<(Vec<$entry>, String)> {
            let mut entries = Vec::new();
            for _ in 0..PAGES {
                let page = ask!(
                    "a feed could not be read",
                    caller,
                    $client.$method($area::$request {
                        cursor: cursor.clone(),
                        page_size: 1_000
                    })
                )?;
                if page.entries.is_empty() {
                    break;
                }
                cursor = page.next_cursor;
                entries.extend(page.entries);
            }
            Ok((entries, cursor))
        }
    };
}

feed!(catalog_feed, catalog_feed.list_catalog_feed(catalog::ListCatalogFeedRequest) -> catalog::CatalogFeedEntry);
feed!(room_feed, room_feed.list_room_feed(room::ListRoomFeedRequest) -> room::RoomFeedEntry);
feed!(order_feed, order_feed.list_order_feed(order::ListOrderFeedRequest) -> order::OrderFeedEntry);
feed!(fulfillment_feed, fulfillment_feed.list_fulfillment_feed(fulfillment::ListFulfillmentFeedRequest) -> fulfillment::FulfillmentFeedEntry);

/// The ends of all four feeds now.
pub async fn marks(caller: &Caller) -> anyhow::Result<Marks> {
    Ok(Marks {
        catalog: catalog_feed(caller, String::new()).await?.1,
        room: room_feed(caller, String::new()).await?.1,
        order: order_feed(caller, String::new()).await?.1,
        fulfillment: fulfillment_feed(caller, String::new()).await?.1,
    })
}

macro_rules! list {
    ($name:ident, $client:ident . $method:ident ( $area:ident :: $request:ident, $page:literal ) . $field:ident -> $item:ty) => {
        /// A list to its end.
        pub async fn $name(caller: &Caller) -> anyhow::Result<Vec<$item>> {
            let mut items = Vec::new();
            let mut page_token = String::new();
            for _ in 0..PAGES {
                let request = $area::$request {
                    page_size: $page,
                    page_token: page_token.clone(),
                    ..Default::default()
                };
                let page = ask!("a list could not be read", caller, $client.$method(request))?;
                items.extend(page.$field);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            Ok(items)
        }
    };
}

list!(orders, orders.list_orders(order::ListOrdersRequest, 200).orders -> order::Order);
list!(refunds, orders.list_refunds(order::ListRefundsRequest, 200).refunds -> order::Refund);
list!(shipments, fulfillment.list_shipments(fulfillment::ListShipmentsRequest, 500).shipments -> fulfillment::Shipment);

/// The movements of an allotment.
pub async fn movements(
    caller: &Caller,
    allotment_id: &str,
) -> anyhow::Result<Vec<order::Movement>> {
    let mut movements = Vec::new();
    let mut page_token = String::new();
    for _ in 0..PAGES {
        let request = order::ListMovementsRequest {
            allotment_id: allotment_id.to_owned(),
            page_size: 200,
            page_token: page_token.clone(),
        };
        let page = ask!(
            "movements could not be read",
            caller,
            allotments.list_movements(request)
        )?;
        movements.extend(page.movements);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(movements)
}

/// One allotment.
pub async fn allotment(caller: &Caller, allotment_id: &str) -> anyhow::Result<order::Allotment> {
    let request = order::GetAllotmentRequest {
        allotment_id: allotment_id.to_owned(),
    };
    Ok(ask!(
        "an allotment could not be read",
        caller,
        allotments.get_allotment(request)
    )?
    .allotment
    .unwrap_or_default())
}

/// One drop.
pub async fn drop_by_id(caller: &Caller, drop_id: &str) -> anyhow::Result<order::Drop> {
    let request = order::GetDropRequest {
        drop_id: drop_id.to_owned(),
    };
    Ok(ask!(
        "the drop could not be read",
        caller,
        drops.get_drop(request)
    )?
    .drop
    .unwrap_or_default())
}

/// Missing and doubled positions of a feed that was read from a mark on.
pub fn gaps<'a>(
    metas: impl Iterator<Item = Option<&'a FeedMeta>>,
    position: fn(&FeedMeta) -> i64,
) -> (u64, u64) {
    let (mut read, mut gaps, mut last) = (0, 0, None);
    for meta in metas {
        read += 1;
        let Some(now) = meta.map(position) else {
            gaps += 1;
            continue;
        };
        if let Some(before) = last
            && now != before + 1
        {
            gaps += 1;
        }
        last = Some(now);
    }
    (read, gaps)
}

/// Everything that was read about the day's orders.
pub struct Facts {
    pub orders: BTreeMap<String, order::Order>,
    pub refunds: Vec<order::Refund>,
    pub payments: Vec<order::Payment>,
    pub shipments: Vec<fulfillment::Shipment>,
    /// The last snapshot of each order in the retailer's feed.
    pub last_in_feed: BTreeMap<String, order::Order>,
    pub feed_entries: u64,
    pub feed_gaps: u64,
}

/// Reads feeds and lists and keeps what belongs to these orders.
pub async fn facts(
    ops: &Caller,
    partners: &[&Caller],
    marks: &Marks,
    ours: &HashSet<String>,
) -> anyhow::Result<Facts> {
    let mut counted = Vec::new();
    let (entries, _) = catalog_feed(ops, marks.catalog.clone()).await?;
    counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
        m.position
    }));
    let (entries, _) = room_feed(ops, marks.room.clone()).await?;
    counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
        m.position
    }));
    let (entries, _) = fulfillment_feed(ops, marks.fulfillment.clone()).await?;
    counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
        m.position
    }));
    let (entries, _) = order_feed(ops, marks.order.clone()).await?;
    counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
        m.position
    }));
    let mut last_in_feed = BTreeMap::new();
    let mut payments = Vec::new();
    for entry in entries {
        match entry.content {
            Some(order::order_feed_entry::Content::OrderChanged(changed)) => {
                let order = changed.order.unwrap_or_default();
                last_in_feed.insert(order.order_id.clone(), order);
            }
            Some(order::order_feed_entry::Content::Payment(payment)) => payments.push(payment),
            _ => {}
        }
    }
    for partner in partners {
        let (entries, _) = order_feed(partner, String::new()).await?;
        counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
            m.partner_position
        }));
        let (entries, _) = catalog_feed(partner, String::new()).await?;
        counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
            m.partner_position
        }));
        let (entries, _) = fulfillment_feed(partner, String::new()).await?;
        counted.push(gaps(entries.iter().map(|e| e.meta.as_ref()), |m| {
            m.partner_position
        }));
    }
    let mut listed = BTreeMap::new();
    let mut listed_refunds = Vec::new();
    let mut listed_shipments = Vec::new();
    // Through the partners' own eyes: their lists hold their orders and nothing else.
    for partner in partners {
        listed.extend(
            orders(partner)
                .await?
                .into_iter()
                .map(|o| (o.order_id.clone(), o)),
        );
        listed_refunds.extend(refunds(partner).await?);
        listed_shipments.extend(shipments(partner).await?);
    }
    listed.retain(|id, _| ours.contains(id));
    listed_refunds.retain(|r| ours.contains(&r.order_id));
    listed_shipments.retain(|s| ours.contains(&s.order_id));
    payments.retain(|p| ours.contains(&p.order_id));
    last_in_feed.retain(|id, _| ours.contains(id));
    Ok(Facts {
        orders: listed,
        refunds: listed_refunds,
        payments,
        shipments: listed_shipments,
        last_in_feed,
        feed_entries: counted.iter().map(|c| c.0).sum(),
        feed_gaps: counted.iter().map(|c| c.1).sum(),
    })
}
