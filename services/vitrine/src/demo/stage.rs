//! Prepares a room: its host, its schedule, its showcase.

use std::collections::{BTreeMap, BTreeSet};

use contracts::common::v1 as common;
use contracts::room::v1 as room;

use super::now_proto;
use super::plan::{PRODUCTS, RoomPlan};
use super::world::{RoomWorld, World, ask, expect_refusal, text, until_known};

/// Makes the room; it goes on air later.
pub async fn prepare_room(world: &World, plan: &RoomPlan, n: usize) -> anyhow::Result<RoomWorld> {
    let (ops, run) = (&world.ops, world.run.as_str());
    let nth = n.to_string();
    let request = room::RegisterHostRequest {
        request_id: text(&[run, "host", &nth]),
        host: Some(room::Host {
            display_name: plan.host.into(),
            ..Default::default()
        }),
    };
    let host = ask!(
        "could not register a host",
        ops,
        hosts.register_host(request)
    )?
    .host
    .unwrap_or_default();
    let now = now_proto();
    let request = room::CreateRoomRequest {
        request_id: text(&[run, "room", &nth]),
        room: Some(room::Room {
            title: plan.title.into(),
            theme: plan.theme.into(),
            session_type: room::SessionType::Shopping.into(),
            host_ids: vec![host.host_id.clone()],
            outlet_ids: world.partners.iter().map(|p| p.outlet_id.clone()).collect(),
            brand_rules: plan
                .products
                .iter()
                .map(|p| PRODUCTS[*p].brand.to_owned())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            drop_id: if plan.is_drop {
                world.drop_id.clone()
            } else {
                String::new()
            },
            ..Default::default()
        }),
    };
    let created = until_known("a room", || {
        let (request, mut client) = (request.clone(), ops.rooms());
        async move { client.create_room(request).await }
    })
    .await?;
    let room_id = created.room.unwrap_or_default().room_id;
    let request = room::ScheduleRoomRequest {
        request_id: text(&[run, "schedule", &nth]),
        room_id: room_id.clone(),
        schedule: Some(common::Window {
            start_time: Some(now),
            end_time: Some(prost_types::Timestamp {
                seconds: now.seconds + 3_600,
                nanos: now.nanos,
            }),
        }),
        etag: String::new(),
    };
    ask!(
        "could not schedule a room",
        ops,
        rooms.schedule_room(request)
    )?;
    let early = room::GoLiveRequest {
        request_id: text(&[run, "early", &nth]),
        room_id: room_id.clone(),
        etag: String::new(),
    };
    expect_refusal("HOST_NOT_APPROVED", world.host.rooms().go_live(early).await)?;
    let request = room::DecideHostRequest {
        request_id: text(&[run, "approve", &nth]),
        host_id: host.host_id,
        decision: room::HostState::Approved.into(),
        ..Default::default()
    };
    ask!("could not approve a host", ops, hosts.decide_host(request))?;
    let mut items = BTreeMap::new();
    for (rank, product) in plan.products.iter().enumerate() {
        let request = room::AddItemRequest {
            request_id: text(&[run, "item", &nth, &product.to_string()]),
            room_id: room_id.clone(),
            product_id: world.product_ids[*product].clone(),
            rank: i32::try_from(rank).unwrap_or(i32::MAX),
        };
        let added = until_known("a showcase item", || {
            let (request, mut client) = (request.clone(), ops.showcase());
            async move { client.add_item(request).await }
        })
        .await?;
        items.insert(*product, added.item.unwrap_or_default().showcase_item_id);
    }
    Ok(RoomWorld { room_id, items })
}
