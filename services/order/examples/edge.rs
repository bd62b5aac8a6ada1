//! What a call costs around the batch: the whole order server (sockets, HTTP/2, layers, tokens, signatures, desk) in one
//! process, callers in another, and the processor time of the server's threads for each call.
//!
//! ```text
//! cargo run --release -p order --example edge -- [ORDERS] [CALLERS] [CONNECTIONS]
//! cargo run --release -p order --example edge -- serve ADDRESS      the server alone, under perf or callgrind
//! cargo run --release -p order --example edge -- ask ADDRESS PID [ORDERS] [CALLERS] [CONNECTIONS]
//! ```
//!
//! SQLite, every commit flushed. `order` threads run the calls and fold the batches; `sqlx` threads run the SQL.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::common::v1::{self as common, Audience};
use contracts::id::{OutletId, PaymentKeyId, RoomId};
use contracts::order::v1 as pb;
use contracts::order::v1::order_service_client::OrderServiceClient;
use contracts::policy::Policies;
use futures::future::join_all;
use kit::auth::{AuthConfig, Claims, SigningKey, TokenSigner, TokenVerifier, jws};
use kit::caller::Caller;
use kit::clock::{Clock, SharedClock, SystemClock};
use kit::errors::Fault;
use kit::ids::SystemIds;
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, layered};
use kit::lifecycle::Lifecycle;
use kit::seal::FileKeys;
use kit::server::{HardenedServer, ServerConfig};
use kit::telemetry::{Metrics, TelemetryConfig};
use kit::wire::Wire;
use order::statement::STATEMENT_TYPE;
use order::store::mirrors::{MirroredKey, payment_key_put};
use order::{Config, Deps};
use store::db::Surroundings;
use store::keys::KeysConfig;
use store::{Db, DbConfig, Operation, ShopperKeys, Tx, sql};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of the desk use all of it"
)]
#[path = "../tests/desk/world.rs"]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const UNITS: i64 = 100_000_000;

/// Orders before those that are counted.
const WARM_UP: usize = 2_000;

fn signer(clock: &SharedClock) -> TokenSigner {
    let ids = SystemIds::shared(clock.clone());
    let key = SigningKey::from_seed(&[7; 32]);
    TokenSigner::new(key, &AuthConfig::default(), clock.clone(), ids)
}

/// The key that the partner signs with.
fn partner_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

/// One partner with a key, one allotment, one listing.
struct Shop;

impl Operation for Shop {
    type Output = ();

    fn name(&self) -> &'static str {
        "example.shop"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO partner (partner_id, display_name, state, etag, update_time) VALUES ($1, 'P', 'ACTIVE', 'v1', $2)",
            world::partner(0),
            now
        )?;
        world::supply(tx, world::allotment(0), UNITS).await?;
        world::offer_insert(tx, world::listing(0), &world::PLAIN).await?;
        let key = partner_key();
        let mirrored = MirroredKey {
            payment_key_id: PaymentKeyId::from_uuid(1),
            partner_id: world::partner(0),
            kid: key.kid().to_owned(),
            public_key_jwk: key.public_jwk().to_string(),
            active: true,
        };
        payment_key_put(tx, &mirrored).await
    }
}

async fn serve(address: &str) {
    let telemetry =
        kit::telemetry::init(&TelemetryConfig::default(), "edge").expect("telemetry that starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("order.db");
    let clock = SystemClock::shared();
    let ids = SystemIds::shared(clock.clone());
    let database = DbConfig::at(format!("sqlite:{}", file.display()));
    let keys = DbConfig::at(format!(
        "sqlite:{}",
        folder.path().join("keys.db").display()
    ));
    let keys = Db::open(&keys, "order-keys", clock.clone(), ids.clone())
        .await
        .expect("a key store");
    keys.migrate(&store::keys::KEYS).await.expect("its tables");
    let wrap = FileKeys::load_or_create(&folder.path().join("wrapping.keys"), |into| {
        ids.random_bytes(into)
    });
    let wrap = Arc::new(wrap.expect("wrapping keys"));
    let mut around = Surroundings::new(clock.clone(), ids.clone());
    around.keys = Some(ShopperKeys::new(keys, wrap, KeysConfig::default()));
    let db = Db::open_with(&database, "order", around)
        .await
        .expect("a database");
    db.migrate(&order::migrations()).await.expect("tables");
    db.execute(&Caller::system("example"), Shop)
        .await
        .expect("a shop");
    let life = Lifecycle::new();
    let (_, nobody) = Wire::late();
    let deps = Deps {
        db,
        clock: clock.clone(),
        ids: ids.clone(),
        lifecycle: life.clone(),
        catalog: nobody.clone(),
        fulfillment: nobody,
    };
    let parts = order::assemble(Config::default(), deps)
        .await
        .expect("a service");
    let mut routes = tonic::service::Routes::builder();
    (parts.routes)(&mut routes);
    let fast = Rate {
        per_second: 10_000_000,
        burst: 10_000_000,
    };
    let config = ServerConfig {
        address: address.parse().expect("an address"),
        layers: LayersConfig {
            rate_limit: RateLimitConfig {
                partner: fast,
                ..RateLimitConfig::default()
            },
            ..LayersConfig::default()
        },
        ..ServerConfig::default()
    };
    let layers = LayerDeps {
        verifier: TokenVerifier::new(
            &AuthConfig::default(),
            vec![signer(&clock).issuer(&[Audience::Partner])],
            clock.clone(),
        ),
        policies: Policies::load().expect("complete policies"),
        config: config.layers.clone(),
        clock,
        ids,
        metrics: Metrics::global(),
        drain: life.token(),
    };
    let server = HardenedServer::bind(&config).await.expect("a port");
    println!("{}", server.local_addr());
    server.serve(layered(routes.routes(), &layers), &life).await;
    drop(telemetry);
}

/// A caller's way to the server.
#[derive(Clone)]
struct Line {
    client: OrderServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
}

impl Line {
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let bearer = self.bearer.clone();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    async fn place(&mut self, number: usize) -> String {
        let touchpoint = common::Touchpoint {
            outlet_id: OutletId::from_uuid(3).into(),
            room_id: RoomId::from_uuid(4).into(),
            surface: "live_card".into(),
            media_time_ms: 60_000,
            ..common::Touchpoint::default()
        };
        let request = pb::PlaceOrderRequest {
            partner_order_id: format!("po-{number}"),
            shopper_ref: format!("shopper-{number}"),
            lines: vec![pb::LineRequest {
                listing_id: world::listing(0).into(),
                quantity: 1,
                touchpoints: vec![touchpoint],
                ..pb::LineRequest::default()
            }],
            destination: Some(pb::Destination {
                region_code: "FR".into(),
                subdivision_code: String::new(),
            }),
            expected_payable: Some(common::Money {
                currency_code: "EUR".into(),
                minor_units: world::payable(0, 1),
            }),
            ..pb::PlaceOrderRequest::default()
        };
        let request = self.request(request);
        let placed = self.client.place_order(request).await.expect("placed");
        placed.into_inner().order_id
    }

    async fn pay(&mut self, key: &SigningKey, number: usize, order_id: &str) {
        let reference = format!("pay-{number}");
        let claims = serde_json::json!({
            "order_id": order_id,
            "kind": "CHARGE",
            "minor_units": world::payable(0, 1),
            "currency_code": "EUR",
            "payment_reference": reference,
            "paid_at": SystemClock.now().seconds(),
        });
        let request = pb::ConfirmPaymentRequest {
            order_id: order_id.to_owned(),
            payment_reference: reference,
            statement: jws::sign(key, STATEMENT_TYPE, claims.to_string().as_bytes()),
        };
        let request = self.request(request);
        let answer = self.client.confirm_payment(request).await.expect("paid");
        assert_eq!(answer.into_inner().outcome(), pb::PaymentOutcome::Paid);
    }
}

/// The processor time of a process's threads by name, in nanoseconds.
fn spent(pid: u32) -> BTreeMap<String, u64> {
    let mut spent = BTreeMap::new();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a running server");
    for thread in threads.flatten() {
        let read = |name: &str| std::fs::read_to_string(thread.path().join(name));
        let (Ok(name), Ok(time)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let time: u64 = time
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let name = match name.trim() {
            "edge" | "order" => "order",
            name if name.starts_with("sqlx") => "sqlx",
            _ => "other",
        };
        *spent.entry(name.to_owned()).or_insert(0) += time;
    }
    spent
}

async fn ask(address: &str, pid: u32, sizes: [usize; 3]) {
    let [orders, callers, connections] = sizes;
    let clock = SystemClock::shared();
    let claims = Claims::partner("gateway", &world::partner(0)).scopes(["order.write"]);
    let token = signer(&clock).mint(claims, Duration::from_secs(3_600));
    let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse().expect("ASCII");
    let mut lines = Vec::new();
    for _ in 0..connections.max(1) {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("a connection");
        lines.push(Line {
            client: OrderServiceClient::new(channel),
            bearer: bearer.clone(),
        });
    }
    println!("{orders} orders, {callers} callers, {connections} connections");
    let key = partner_key();
    let warm = place(&lines, callers, 0..WARM_UP).await;
    pay(&lines, callers, &key, warm).await;
    let placed = counted("place", pid, orders, async {
        place(&lines, callers, WARM_UP..WARM_UP + orders).await
    });
    let placed = placed.await;
    counted("pay", pid, orders, pay(&lines, callers, &key, placed)).await;
}

async fn counted<T>(what: &str, pid: u32, calls: usize, work: impl Future<Output = T>) -> T {
    let (before, begun) = (spent(pid), SystemClock.instant());
    let done = work.await;
    let took = SystemClock.instant().saturating_duration_since(begun);
    let after = spent(pid);
    let each: Vec<String> = after
        .iter()
        .map(|(name, time)| {
            let time = time - before.get(name).copied().unwrap_or(0);
            format!("{name} {:.1} us", time as f64 / 1_000.0 / calls as f64)
        })
        .collect();
    let rate = calls as f64 / took.as_secs_f64();
    println!("{what:<6} {rate:>7.0}/s   each call: {}", each.join(", "));
    done
}

/// Every caller takes the next number until there is none.
async fn place(
    lines: &[Line],
    callers: usize,
    numbers: std::ops::Range<usize>,
) -> Vec<(usize, String)> {
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let one = |at: usize| {
        let (next, mut line) = (next.clone(), lines[at % lines.len()].clone());
        let end = numbers.end;
        kit::spawn("caller", async move {
            let mut placed = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return placed;
                }
                placed.push((number, line.place(number).await));
            }
        })
    };
    let placed = join_all((0..callers).map(one)).await;
    placed
        .into_iter()
        .flat_map(|placed| placed.expect("a caller that ends"))
        .collect()
}

async fn pay(lines: &[Line], callers: usize, key: &SigningKey, placed: Vec<(usize, String)>) {
    let (next, placed) = (Arc::new(AtomicUsize::new(0)), Arc::new(placed));
    let one = |at: usize| {
        let (next, placed, key) = (next.clone(), placed.clone(), key.clone());
        let mut line = lines[at % lines.len()].clone();
        kit::spawn("caller", async move {
            while let Some((number, order_id)) = placed.get(next.fetch_add(1, Ordering::Relaxed)) {
                line.pay(&key, *number, order_id).await;
            }
        })
    };
    for paid in join_all((0..callers).map(one)).await {
        paid.expect("a caller that ends");
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("order")
        .enable_all()
        .build()
        .expect("a runtime");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes = |at: usize| {
        let one = |at: usize, default: usize| {
            let text = arguments.get(at);
            text.and_then(|text| text.parse().ok()).unwrap_or(default)
        };
        [one(at, 20_000), one(at + 1, 256), one(at + 2, 8)]
    };
    match arguments.first().map(String::as_str) {
        Some("serve") => {
            let address = arguments.get(1).map_or("127.0.0.1:0", String::as_str);
            runtime.block_on(serve(address));
        }
        Some("ask") => {
            let pid = arguments[2].parse().expect("a process id");
            runtime.block_on(ask(&arguments[1], pid, sizes(3)));
        }
        _ => {
            let program = std::env::current_exe().expect("this program");
            let mut server = std::process::Command::new(program)
                .args(["serve", "127.0.0.1:0"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("a server");
            let mut address = String::new();
            let output = server.stdout.take().expect("its output");
            BufReader::new(output)
                .read_line(&mut address)
                .expect("its address");
            runtime.block_on(ask(address.trim(), server.id(), sizes(0)));
            server.kill().expect("a server that ends");
            server.wait().expect("its end");
        }
    }
}
