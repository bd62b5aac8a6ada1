//! Prepares the channel: its hosts, the slots of its day, the guest's one evening, the drop's room, the showcases.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::common::v1 as common;
use contracts::room::v1 as room;

use super::goods::PRODUCTS;
use super::now_proto;
use super::plan::{Kind, Plan, RoomPlan};
use super::world::{RoomWorld, World, ask, expect_refusal, text, until_known};

/// Where the channel's clock stands.
const TIME_ZONE: &str = "Europe/Paris";
/// The host whose evening the guest takes.
const REGULAR: &str = "Inès Marchal";
const SLOT_HOURS: i64 = 3;

/// Makes the channel with the rooms of its day; the first goes on air later.
pub async fn prepare_channel(
    world: &World,
    plan: &Plan,
) -> anyhow::Result<(String, Vec<RoomWorld>)> {
    let hosts = hosts(world, plan).await?;
    let request = room::CreateChannelRequest {
        request_id: text(&[&world.run, "channel"]),
        channel: Some(room::Channel {
            display_name: "Maison, day and night".into(),
            time_zone: TIME_ZONE.into(),
            outlet_ids: world.partners.iter().map(|p| p.outlet_id.clone()).collect(),
            ..Default::default()
        }),
    };
    let channel = until_known("a channel", || {
        let (request, mut client) = (request.clone(), world.ops.channels());
        async move { client.create_channel(request).await }
    })
    .await?
    .channel
    .unwrap_or_default();
    let channel_id = channel.channel_id;
    let date = day();
    for (n, slot) in plan.rooms.iter().enumerate() {
        match slot.kind {
            Kind::Drop => drop_room(world, slot, &channel_id, &hosts).await?,
            _ => programme_slot(world, slot, n, &channel_id, &date, &hosts).await?,
        }
    }
    refuse_a_clash(world, &channel_id, &date, &hosts).await?;
    let rooms = rooms(world, plan, &channel_id).await?;
    approve(world, &channel_id, &hosts).await?;
    Ok((channel_id, rooms))
}

/// The first date on the channel's clock that lies wholly ahead.
fn day() -> String {
    let ahead = prost_types::Timestamp {
        seconds: now_proto().seconds + 26 * 3_600,
        nanos: 0,
    };
    ahead.to_string().chars().take(10).collect()
}

async fn hosts(world: &World, plan: &Plan) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut hosts = BTreeMap::new();
    for slot in &plan.rooms {
        if hosts.contains_key(slot.host) {
            continue;
        }
        let nth = hosts.len().to_string();
        let mut creator_id = String::new();
        if slot.kind == Kind::Guest {
            let request = room::RegisterCreatorRequest {
                request_id: text(&[&world.run, "creator", &nth]),
                creator: Some(room::Creator {
                    display_name: slot.host.into(),
                    payee_reference: text(&["payee", &world.run, &nth]),
                    ..Default::default()
                }),
            };
            creator_id = ask!(
                "could not register a creator",
                world.ops,
                creators.register_creator(request)
            )?
            .creator
            .unwrap_or_default()
            .creator_id;
        }
        let request = room::RegisterHostRequest {
            request_id: text(&[&world.run, "host", &nth]),
            host: Some(room::Host {
                display_name: slot.host.into(),
                creator_id,
                ..Default::default()
            }),
        };
        let host = ask!(
            "could not register a host",
            world.ops,
            hosts.register_host(request)
        )?
        .host
        .unwrap_or_default();
        hosts.insert(slot.host, host.host_id);
    }
    Ok(hosts)
}

fn slot_of(
    slot: &RoomPlan,
    channel_id: &str,
    date: &str,
    host_id: &str,
    venue: String,
) -> room::ProgrammeSlot {
    let (session_type, brand_rules) = match slot.kind {
        Kind::Course => (room::SessionType::Course, Vec::new()),
        Kind::Brand(brand) => (room::SessionType::Shopping, vec![brand.to_owned()]),
        _ => (room::SessionType::Shopping, Vec::new()),
    };
    room::ProgrammeSlot {
        channel_id: channel_id.into(),
        title: slot.title.into(),
        theme: slot.theme.into(),
        session_type: session_type.into(),
        host_ids: vec![host_id.into()],
        venue,
        brand_rules,
        local_start_time: format!("{date}T{:02}:00:00", slot.hour),
        duration: Some(prost_types::Duration {
            seconds: SLOT_HOURS * 3_600,
            nanos: 0,
        }),
        recurrence_rule: "FREQ=DAILY;COUNT=7".into(),
        ..Default::default()
    }
}

async fn programme_slot(
    world: &World,
    plan: &RoomPlan,
    n: usize,
    channel_id: &str,
    date: &str,
    hosts: &BTreeMap<&'static str, String>,
) -> anyhow::Result<()> {
    let guest = plan.kind == Kind::Guest;
    let regular = if guest { REGULAR } else { plan.host };
    let venue = text(&["studio", &world.run]);
    let mut slot = slot_of(plan, channel_id, date, &hosts[regular], venue);
    if guest {
        slot.title = "Evening at the atelier".into();
        slot.theme = "vintage".into();
    }
    let request = room::CreateSlotRequest {
        request_id: text(&[&world.run, "slot", &n.to_string()]),
        slot: Some(slot),
    };
    let slot = ask!(
        "could not plan a slot",
        world.ops,
        programme.create_slot(request)
    )?
    .slot
    .unwrap_or_default();
    if !guest {
        return Ok(());
    }
    // The series goes on with its own host; this one evening is the guest's.
    let next = until_known("the guest's evening", || {
        let request = room::ListProgrammeRequest {
            channel_id: channel_id.into(),
            window: Some(ahead()),
            page_size: 200,
            page_token: String::new(),
        };
        let mut client = world.ops.programme();
        async move { client.list_programme(request).await }
    })
    .await?
    .occurrences
    .into_iter()
    .find(|o| o.slot_id == slot.slot_id)
    .ok_or_else(|| anyhow::anyhow!("the programme does not hold the slot that was just planned"))?;
    let request = room::OverrideOccurrenceRequest {
        request_id: text(&[&world.run, "guest"]),
        slot_id: slot.slot_id,
        slot_start_time: next.slot_start_time,
        occurrence: Some(room::Occurrence {
            title: plan.title.into(),
            theme: plan.theme.into(),
            host_ids: vec![hosts[plan.host].clone()],
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["title".into(), "theme".into(), "host_ids".into()],
        }),
    };
    ask!(
        "could not give an evening to a guest",
        world.ops,
        programme.override_occurrence(request)
    )?;
    Ok(())
}

/// The next four days.
fn ahead() -> common::Window {
    let now = now_proto();
    common::Window {
        start_time: Some(now),
        end_time: Some(prost_types::Timestamp {
            seconds: now.seconds + 4 * 86_400,
            nanos: 0,
        }),
    }
}

/// The drop's room is put on the channel by itself: a drop happens once.
async fn drop_room(
    world: &World,
    plan: &RoomPlan,
    channel_id: &str,
    hosts: &BTreeMap<&'static str, String>,
) -> anyhow::Result<()> {
    let request = room::CreateRoomRequest {
        request_id: text(&[&world.run, "room"]),
        room: Some(room::Room {
            channel_id: channel_id.into(),
            title: plan.title.into(),
            theme: plan.theme.into(),
            session_type: room::SessionType::Shopping.into(),
            host_ids: vec![hosts[plan.host].clone()],
            drop_id: world.drop_id.clone(),
            ..Default::default()
        }),
    };
    let created = ask!(
        "could not make the drop's room",
        world.ops,
        rooms.create_room(request)
    )?;
    let start = start_of(world, channel_id).await? + i64::from(plan.hour) * 3_600;
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = room::ScheduleRoomRequest {
        request_id: text(&[&world.run, "schedule"]),
        room_id: created.room.unwrap_or_default().room_id,
        schedule: Some(common::Window {
            start_time: at(start),
            end_time: at(start + SLOT_HOURS * 3_600),
        }),
        etag: String::new(),
    };
    ask!(
        "could not schedule the drop's room",
        world.ops,
        rooms.schedule_room(request)
    )?;
    Ok(())
}

/// When the first slot of the day begins, in seconds since 1970.
async fn start_of(world: &World, channel_id: &str) -> anyhow::Result<i64> {
    let request = room::GetNextSlotRequest {
        channel_id: channel_id.into(),
        after_time: None,
    };
    let next = ask!(
        "could not read what comes next",
        world.ops,
        programme.get_next_slot(request)
    )?;
    next.occurrence
        .and_then(|o| o.start_time)
        .map(|t| t.seconds)
        .ok_or_else(|| anyhow::anyhow!("the channel says that nothing comes next"))
}

/// One host cannot be on air twice at once.
async fn refuse_a_clash(
    world: &World,
    channel_id: &str,
    date: &str,
    hosts: &BTreeMap<&'static str, String>,
) -> anyhow::Result<()> {
    let mut slot = room::ProgrammeSlot {
        channel_id: channel_id.into(),
        title: "Two places at once".into(),
        theme: "vintage".into(),
        session_type: room::SessionType::Shopping.into(),
        host_ids: vec![hosts[REGULAR].clone()],
        local_start_time: format!("{date}T01:30:00"),
        duration: Some(prost_types::Duration {
            seconds: 1_800,
            nanos: 0,
        }),
        ..Default::default()
    };
    slot.recurrence_rule.clear();
    let request = room::CreateSlotRequest {
        request_id: text(&[&world.run, "clash"]),
        slot: Some(slot),
    };
    expect_refusal(
        "PROGRAMME_CLASH",
        world.ops.programme().create_slot(request).await,
    )
}

/// The rooms of the day, once the programme has made them, with their showcases.
async fn rooms(world: &World, plan: &Plan, channel_id: &str) -> anyhow::Result<Vec<RoomWorld>> {
    let mut day = Vec::new();
    for _ in 0..200 {
        let request = room::ListProgrammeRequest {
            channel_id: channel_id.into(),
            window: Some(ahead()),
            page_size: 200,
            page_token: String::new(),
        };
        day = ask!(
            "could not read the programme",
            world.ops,
            programme.list_programme(request)
        )?
        .occurrences;
        day.truncate(plan.rooms.len());
        if day.len() == plan.rooms.len() && day.iter().all(|o| !o.room_id.is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut rooms = Vec::new();
    for (n, slot) in plan.rooms.iter().enumerate() {
        let Some(occurrence) = day.get(n).filter(|o| !o.room_id.is_empty()) else {
            anyhow::bail!(
                "the programme made no room for {} in ten seconds",
                slot.title
            );
        };
        anyhow::ensure!(
            occurrence.title == slot.title,
            "at {:02}:00 the programme has {} instead of {}",
            slot.hour,
            occurrence.title,
            slot.title
        );
        rooms.push(showcase(world, slot, n, &occurrence.room_id).await?);
    }
    Ok(rooms)
}

async fn showcase(
    world: &World,
    plan: &RoomPlan,
    n: usize,
    room_id: &str,
) -> anyhow::Result<RoomWorld> {
    let add = |product: usize, rank: usize| room::AddItemRequest {
        request_id: text(&[&world.run, "item", &n.to_string(), &product.to_string()]),
        room_id: room_id.to_owned(),
        product_id: world.product_ids[product].clone(),
        rank: i32::try_from(rank).unwrap_or(i32::MAX),
    };
    let mut items = BTreeMap::new();
    for (rank, product) in plan.products.iter().enumerate() {
        let added = until_known("a showcase item", || {
            let (request, mut client) = (add(*product, rank), world.ops.showcase());
            async move { client.add_item(request).await }
        })
        .await?;
        items.insert(*product, added.item.unwrap_or_default().showcase_item_id);
    }
    if let Kind::Brand(brand) = plan.kind {
        let stranger = PRODUCTS
            .iter()
            .position(|p| p.brand != brand)
            .unwrap_or_default();
        expect_refusal(
            "NOT_ALLOWED_HERE",
            world.ops.showcase().add_item(add(stranger, 9)).await,
        )?;
    }
    Ok(RoomWorld {
        room_id: room_id.to_owned(),
        items,
    })
}

/// Nobody presents who was not approved.
async fn approve(
    world: &World,
    channel_id: &str,
    hosts: &BTreeMap<&'static str, String>,
) -> anyhow::Result<()> {
    let early = room::HandOverRequest {
        request_id: text(&[&world.run, "early"]),
        channel_id: channel_id.into(),
        ..Default::default()
    };
    expect_refusal(
        "HOST_NOT_APPROVED",
        world.host.channels().hand_over(early).await,
    )?;
    for (name, host_id) in hosts {
        let request = room::DecideHostRequest {
            request_id: text(&["approve", host_id]),
            host_id: host_id.clone(),
            decision: room::HostState::Approved.into(),
            ..Default::default()
        };
        ask!(
            &format!("could not approve {name}"),
            world.ops,
            hosts.decide_host(request)
        )?;
    }
    Ok(())
}
