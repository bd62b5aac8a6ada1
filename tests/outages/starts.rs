//! The services started in every order: each is ready on its own database alone, and catches up when the others come.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use contracts::fulfillment::v1 as goods;
use contracts::order::v1 as pb;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use testkit::Engine;
use vitrine::cli::Service;

use crate::client::{Caller, Ended, Network, reason};
use crate::driver::{self, World as Shop};
use crate::kills::Options;
use crate::pause::pause;
use crate::report::{Kill, Report};
use crate::world::World;

/// Tries until something is to be seen that comes by a feed.
const LOOKS: u32 = 600;

/// Starts the services in `orders` of the 24 orders, each time on empty databases, and sells one thing.
pub fn run(options: &Options, orders: usize) -> anyhow::Result<Option<Report>> {
    if options.engine == Engine::Sqlite {
        bail!("on SQLite there is one process and nothing to order: leave out --engine sqlite");
    }
    let Some(mut world) = World::lay_out(options.engine, options.program.clone(), options.keep)?
    else {
        return Ok(None);
    };
    let mut report = Report::new("orders of start", options.engine, options.seed);
    let done = all(options, orders, &mut world, &mut report);
    if done.is_err() {
        world.keep();
    }
    done?;
    report.failed_starts.clone_from(&world.failed_starts);
    if let Some(file) = &options.report {
        report.write(file)?;
    }
    Ok(Some(report))
}

fn all(
    options: &Options,
    orders: usize,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    before_the_tables(world)?;
    let mut permutations = permutations(&Service::ALL);
    permutations.shuffle(&mut StdRng::seed_from_u64(options.seed));
    for (n, order) in permutations.iter().take(orders).enumerate() {
        let names: Vec<&str> = order.iter().map(|s| s.name()).collect();
        let names = names.join(", ");
        world.move_on(&format!("order_{n}"))?;
        world.migrate()?;
        for service in order {
            // Ready before anything that comes later in this order is there.
            for server in of(world, *service) {
                world.start(server)?;
            }
            for server in of(world, *service) {
                let took = world
                    .until_ready(server)
                    .with_context(|| format!("started as {names}"))?;
                report.ready.add(took);
            }
        }
        sell(world).with_context(|| format!("started as {names}"))?;
        report.kills.push(Kill {
            target: names,
            moment: "sold".into(),
            at_ms: 0,
        });
        for server in world.all() {
            world.kill(server)?;
        }
    }
    Ok(())
}

/// Services that come before their tables wait for them, and need no other start.
fn before_the_tables(world: &mut World) -> anyhow::Result<()> {
    world.move_on("before")?;
    for server in world.all() {
        world.start(server)?;
    }
    world.migrate()?;
    for server in world.all() {
        world.until_ready(server)?;
    }
    if let Some(why) = world.failed_starts.first() {
        bail!("a service did not wait for its tables: {why}");
    }
    sell(world).context("started before the tables were there")?;
    for server in world.all() {
        world.kill(server)?;
    }
    Ok(())
}

fn of(world: &World, service: Service) -> Vec<usize> {
    world
        .all()
        .filter(|n| world.servers[*n].service == Some(service))
        .collect()
}

fn permutations(of: &[Service]) -> Vec<Vec<Service>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (n, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(n);
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

/// One order from its listing to its delivery, through all services.
fn sell(world: &World) -> anyhow::Result<()> {
    let data_dir: PathBuf = world.data_dir();
    let addresses = world.addresses();
    crate::runtime()?.block_on(async {
        let network = Network::new(&addresses, 1, Duration::from_secs(30))?;
        let shop = driver::prepare(&network, &driver::signer(&data_dir)?, 1, "s").await?;
        handshake(&shop).await
    })
}

async fn handshake(shop: &Shop) -> anyhow::Result<()> {
    let partner = &shop.partners[0];
    let request = pb::PlaceOrderRequest {
        partner_order_id: "first".into(),
        shopper_ref: "shopper".into(),
        lines: vec![pb::LineRequest {
            listing_id: partner.listings[0].clone(),
            quantity: 1,
            ..Default::default()
        }],
        destination: Some(pb::Destination {
            region_code: "FR".into(),
            ..Default::default()
        }),
        expected_payable: Some(driver::euros(driver::PRODUCTS[0].1)),
        ..Default::default()
    };
    let path = "/vitrine.order.v1.OrderService/PlaceOrder";
    let placed: pb::PlaceOrderResponse = until(&partner.caller, path, &request).await?;
    let order_id = placed.order_id;
    let request = pb::ConfirmPaymentRequest {
        order_id: order_id.clone(),
        payment_reference: "pay".into(),
        statement: partner.statement(&order_id, "pay", driver::PRODUCTS[0].1),
    };
    let path = "/vitrine.order.v1.OrderService/ConfirmPayment";
    let paid: pb::ConfirmPaymentResponse = until(&partner.caller, path, &request).await?;
    if paid.outcome() != pb::PaymentOutcome::Paid {
        bail!("a payment in time ended as {:?}", paid.outcome());
    }
    let request = pb::SetContactRequest {
        request_id: "contact".into(),
        order_id: order_id.clone(),
        contact: Some(pb::Contact {
            form: Some(pb::contact::Form::Token(pb::TokenContact {
                token: "address".into(),
                masked_text: "S***".into(),
                region_code: "FR".into(),
            })),
        }),
    };
    let path = "/vitrine.order.v1.OrderService/SetContact";
    let _: pb::SetContactResponse = until(&partner.caller, path, &request).await?;
    deliver(shop, &order_id).await?;
    let request = pb::GetOrderRequest {
        order_id,
        ..Default::default()
    };
    let mut last = None;
    for _ in 0..LOOKS {
        let path = "/vitrine.order.v1.OrderService/GetOrder";
        let got: pb::GetOrderResponse = until(&partner.caller, path, &request).await?;
        let order = got.order.unwrap_or_default();
        if order.fulfillment_state() == pb::FulfillmentState::Delivered {
            return Ok(());
        }
        last = Some(order.fulfillment_state());
        pause(Duration::from_millis(50)).await;
    }
    bail!("the order service never heard of the delivery: {last:?}")
}

async fn deliver(shop: &Shop, order_id: &str) -> anyhow::Result<()> {
    let request = goods::GetFulfillmentRequest {
        order_id: order_id.into(),
        ..Default::default()
    };
    let path = "/vitrine.fulfillment.v1.FulfillmentService/GetFulfillment";
    let got: goods::GetFulfillmentResponse = until(&shop.warehouse, path, &request).await?;
    let request = goods::CreateShipmentRequest {
        request_id: "ship".into(),
        draft: Some(goods::ShipmentDraft {
            fulfillment_id: got.fulfillment.unwrap_or_default().fulfillment_id,
            ..Default::default()
        }),
    };
    let path = "/vitrine.fulfillment.v1.FulfillmentService/CreateShipment";
    let shipped: goods::CreateShipmentResponse = until(&shop.warehouse, path, &request).await?;
    let request = goods::RecordTrackingRequest {
        request_id: "delivered".into(),
        shipment_id: shipped.shipment.unwrap_or_default().shipment_id,
        event: Some(goods::TrackingEvent {
            carrier_event_id: "1".into(),
            status: goods::TrackingStatus::Delivered.into(),
            event_time: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            ..Default::default()
        }),
    };
    let path = "/vitrine.fulfillment.v1.FulfillmentService/RecordTracking";
    let _: goods::RecordTrackingResponse = until(&shop.warehouse, path, &request).await?;
    Ok(())
}

/// Asks until what comes by a feed is there.
async fn until<Q, A>(caller: &Caller, path: &'static str, request: &Q) -> anyhow::Result<A>
where
    Q: Message + Clone + 'static,
    A: Message + Default + 'static,
{
    let mut last = String::new();
    for _ in 0..LOOKS {
        match caller.ask::<Q, A>(path, request).await {
            Ok(answered) => return Ok(answered.answer),
            Err(Ended::Refused { status, .. })
                if matches!(
                    reason(&status).as_str(),
                    "NOT_FOUND" | "LISTING_NOT_LIVE" | "NO_ALLOTMENT" | "SHIP_BLOCKED"
                ) =>
            {
                last = status.message().to_owned();
            }
            Err(ended) => bail!("{path}: {ended}"),
        }
        pause(Duration::from_millis(50)).await;
    }
    bail!("{path}: not possible in time: {last}")
}
