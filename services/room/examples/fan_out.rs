//! How many events a second reach watchers of one room, without a network: `cargo run --release -p room --example
//! fan_out -- [watchers] [events]`.

use std::sync::Arc;

use contracts::id::{HostId, OutletId, PartnerId, ProductId, RoomId, ShowcaseItemId};
use kit::clock::{Clock, Micros, SystemClock};
use kit::errors::Fault;
use room::live::{Around, Rooms, Who};
use room::model::{
    Eyes, Host, Item, LedgerEvent, Place, Room, RoomState, Schedule, SessionType, View,
};
use room::ops::items::PinItem;
use room::store::{host, item, log, mirror, room as rooms};
use store::{Operation, Tx};
use testkit::{Engine, Setup, TestDb};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse::<usize>().ok());
    let (watchers, events) = (
        numbers.next().unwrap_or(1_000),
        numbers.next().unwrap_or(200),
    );
    let setup = Setup::new().migrations(room::migrations());
    testkit::run(Engine::Sqlite, setup, |t| measure(t, watchers, events));
}

async fn measure(t: TestDb, watchers: usize, events: usize) {
    let place = Place {
        outlet_id: OutletId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
    };
    let (room_id, item_id) = t.execute(Furnish(place)).await.expect("a room");
    let drain = CancellationToken::new();
    let around = Around {
        db: t.db.clone(),
        clock: SystemClock::shared(),
        ids: t.ids.clone(),
        drain: drain.clone(),
    };
    let live = Arc::new(Rooms::new(Arc::new(room::Config::default()), around));
    let background = [
        kit::spawn("hubs", live.clone().run()),
        kit::spawn("tail", live.clone().run_tail(Arc::new(Notify::new()))),
    ];
    let view = View {
        eyes: Eyes::Viewer(place.partner_id),
        place: Some(place),
    };
    let mut readers = Vec::with_capacity(watchers);
    for n in 0..watchers {
        let viewer = Some(format!("s-{n}").into());
        let mut watcher = live
            .watch(
                Who {
                    room_id,
                    view,
                    viewer,
                },
                "",
            )
            .await
            .expect("a watch");
        readers.push(kit::spawn("reader", async move {
            let (mut frames, mut seen, mut bytes) = (0_u64, 0, 0);
            while seen <= events {
                let frame = watcher.next().await.expect("it goes on").expect("a frame");
                frames += 1;
                bytes += frame
                    .events
                    .iter()
                    .map(|event| event.len() as u64)
                    .sum::<u64>();
                // LEDGER events are the large ones here.
                seen += frame.events.iter().filter(|event| event.len() > 90).count();
                if frame.snapshot.is_some() {
                    seen = 1;
                }
            }
            (frames, bytes)
        }));
    }
    let start = SystemClock.instant();
    for n in 0..events {
        t.execute(PinItem {
            item_id,
            pin: n % 2 == 0,
        })
        .await
        .expect("pinned");
    }
    let (mut frames, mut bytes) = (0, 0);
    for reader in readers {
        let (own, volume) = reader.await.expect("a reader that ends");
        frames += own;
        bytes += volume;
    }
    let elapsed = SystemClock
        .instant()
        .saturating_duration_since(start)
        .as_secs_f64();
    let delivered = (watchers * events) as f64;
    println!(
        "{watchers} watchers, {events} events in {elapsed:.2} s: {:.0} deliveries/s in {:.0} frames/s, {:.1} MiB",
        delivered / elapsed,
        frames as f64 / elapsed,
        bytes as f64 / 1_048_576.0
    );
    drain.cancel();
    for task in background {
        task.await.expect("it ends");
    }
}

/// One room on air with one item.
struct Furnish(Place);

impl Operation for Furnish {
    type Output = (RoomId, ShowcaseItemId);

    fn name(&self) -> &'static str {
        "example.furnish"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(RoomId, ShowcaseItemId), Fault> {
        let product_id = ProductId::from_uuid(1);
        mirror::outlet_put(tx, &self.0).await?;
        let (title, brand) = ("Bag".to_owned(), "Acme".to_owned());
        mirror::product_put(
            tx,
            &mirror::MirroredProduct {
                product_id,
                title: title.clone(),
                brand,
            },
        )
        .await?;
        let presenter = Host::register(HostId::from_uuid(1), "Ana".into(), None, tx.now());
        host::host_insert(tx, &presenter).await?;
        let mut shown = Room {
            id: RoomId::from_uuid(1),
            title: "Evening".into(),
            theme: String::new(),
            drop_id: None,
            session: SessionType::Shopping,
            channel_id: None,
            venue: String::new(),
            slot: None,
            overridden: false,
            next: None,
            hosts: vec![presenter.id],
            places: vec![self.0],
            brands: Vec::new(),
            schedule: Schedule {
                start: None,
                end: None,
            },
            state: RoomState::Draft,
            announced: false,
            state_reason: String::new(),
            live_time: None,
            end_time: None,
            create_time: tx.now(),
            version: 1,
        };
        rooms::room_insert(tx, &shown, "e").await?;
        shown.schedule(tx.now(), Micros(tx.now().0 + 1), tx.now())?;
        rooms::room_save(tx, &shown).await?;
        shown.go_live(tx.now())?;
        rooms::room_save(tx, &shown).await?;
        let item = Item {
            id: ShowcaseItemId::from_uuid(1),
            room_id: shown.id,
            product_id,
            title,
            rank: 1,
            pinned: false,
            explaining: false,
        };
        item::item_insert(tx, &item).await?;
        log::ledger_append(tx, &shown.id, &[LedgerEvent::Item(item.clone())]).await?;
        Ok((shown.id, item.id))
    }
}
