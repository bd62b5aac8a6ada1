//! How the players of the demo call the suite: generated clients, a bearer token each, and the documented retry rule.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use contracts::catalog::v1 as catalog;
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// Adds a bearer token to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    pub fn new(token: &str) -> anyhow::Result<Bearer> {
        Ok(Bearer(
            format!("Bearer {token}")
                .parse()
                .context("a token is not fit for a header")?,
        ))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel with a token.
pub type Line = InterceptedService<Channel, Bearer>;

/// Where the four services answer: the same addresses for all of them when they run in one process, and several for a
/// service of which several replicas run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub catalog: Vec<String>,
    pub room: Vec<String>,
    pub order: Vec<String>,
    pub fulfillment: Vec<String>,
}

impl Addresses {
    /// One process with all services.
    pub fn one(address: &str) -> Addresses {
        Addresses::all(vec![address.into()])
    }

    fn all(addresses: Vec<String>) -> Addresses {
        Addresses {
            catalog: addresses.clone(),
            room: addresses.clone(),
            order: addresses.clone(),
            fulfillment: addresses,
        }
    }

    /// From `--connect`: one address for all, or `order=http://…` for each service; replicas stand beside each other,
    /// `order=http://…,http://…`.
    pub fn parse(given: &[String]) -> anyhow::Result<Addresses> {
        let mut addresses = Addresses::default();
        let list = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
        for text in given {
            match text.split_once('=') {
                Some(("catalog", given)) => addresses.catalog = list(given),
                Some(("room", given)) => addresses.room = list(given),
                Some(("order", given)) => addresses.order = list(given),
                Some(("fulfillment", given)) => addresses.fulfillment = list(given),
                Some((name, _)) if !name.contains('/') => anyhow::bail!(
                    "--connect {text}: {name} is no service; there are catalog, room, order and fulfillment"
                ),
                _ => addresses = Addresses::all(list(text)),
            }
        }
        let missing = [
            ("catalog", &addresses.catalog),
            ("room", &addresses.room),
            ("order", &addresses.order),
            ("fulfillment", &addresses.fulfillment),
        ]
        .into_iter()
        .find(|(_, given)| given.is_empty());
        if let Some((name, _)) = missing {
            anyhow::bail!("--connect names no address for {name}: add --connect {name}=http://…");
        }
        Ok(addresses)
    }
}

/// A few connections to each service, used in turn.
#[derive(Clone)]
pub struct Connections {
    areas: Arc<[Vec<Channel>; 4]>,
    next: Arc<AtomicUsize>,
}

impl Connections {
    /// Connects `count` times to each service.
    pub async fn open(addresses: &Addresses, count: usize) -> anyhow::Result<Connections> {
        let mut opened: Vec<(&[String], Vec<Channel>)> = Vec::new();
        let mut areas: [Vec<Channel>; 4] = Default::default();
        let given = [
            &addresses.catalog,
            &addresses.room,
            &addresses.order,
            &addresses.fulfillment,
        ];
        for (area, addresses) in areas.iter_mut().zip(given) {
            if let Some((_, channels)) = opened.iter().find(|(known, _)| known == addresses) {
                area.clone_from(channels);
                continue;
            }
            // Replicas take turns.
            for _ in 0..count.div_ceil(addresses.len()) {
                for address in addresses {
                    area.push(Self::connect(address).await?);
                }
            }
            opened.push((addresses, area.clone()));
        }
        Ok(Connections {
            areas: Arc::new(areas),
            next: Arc::new(AtomicUsize::new(0)),
        })
    }

    async fn connect(address: &str) -> anyhow::Result<Channel> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| {
                format!("{address} is not an address: write it like http://127.0.0.1:7700")
            })?
            .connect_timeout(Duration::from_secs(5))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        endpoint.connect().await.with_context(|| {
            format!("nothing answers at {address}: start the suite with `vitrine serve`, or leave out --connect")
        })
    }

    /// The connections for one caller.
    pub fn with(&self, bearer: &Bearer) -> Caller {
        Caller {
            connections: self.clone(),
            bearer: bearer.clone(),
        }
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Caller {
    connections: Connections,
    bearer: Bearer,
}

macro_rules! clients {
    ($($name:ident: $area:ident [$n:literal] :: $module:ident :: $client:ident,)*) => {
        impl Caller {
            $(pub fn $name(&self) -> $area::$module::$client<Line> {
                $area::$module::$client::with_interceptor(self.channel($n), self.bearer.clone())
            })*
        }
    };
}

clients! {
    partners: catalog[0]::partner_service_client::PartnerServiceClient,
    products: catalog[0]::product_service_client::ProductServiceClient,
    listings: catalog[0]::listing_service_client::ListingServiceClient,
    legal_entities: catalog[0]::legal_entity_service_client::LegalEntityServiceClient,
    assortment: catalog[0]::assortment_service_client::AssortmentServiceClient,
    catalog_feed: catalog[0]::catalog_feed_service_client::CatalogFeedServiceClient,
    hosts: room[1]::host_service_client::HostServiceClient,
    rooms: room[1]::room_service_client::RoomServiceClient,
    channels: room[1]::channel_service_client::ChannelServiceClient,
    programme: room[1]::programme_service_client::ProgrammeServiceClient,
    creators: room[1]::creator_service_client::CreatorServiceClient,
    follows: room[1]::follow_service_client::FollowServiceClient,
    showcase: room[1]::showcase_service_client::ShowcaseServiceClient,
    audience: room[1]::audience_service_client::AudienceServiceClient,
    room_feed: room[1]::room_feed_service_client::RoomFeedServiceClient,
    orders: order[2]::order_service_client::OrderServiceClient,
    allotments: order[2]::allotment_service_client::AllotmentServiceClient,
    refunds: order[2]::refund_service_client::RefundServiceClient,
    ledger: order[2]::ledger_service_client::LedgerServiceClient,
    drops: order[2]::drop_service_client::DropServiceClient,
    rates: order[2]::exchange_rate_service_client::ExchangeRateServiceClient,
    reports: order[2]::report_service_client::ReportServiceClient,
    order_feed: order[2]::order_feed_service_client::OrderFeedServiceClient,
    fulfillment: fulfillment[3]::fulfillment_service_client::FulfillmentServiceClient,
    returns: fulfillment[3]::return_service_client::ReturnServiceClient,
    aftersales: fulfillment[3]::aftersale_service_client::AftersaleServiceClient,
    care: fulfillment[3]::care_service_client::CareServiceClient,
    fulfillment_feed: fulfillment[3]::fulfillment_feed_service_client::FulfillmentFeedServiceClient,
}

impl Caller {
    fn channel(&self, area: usize) -> Channel {
        let channels = &self.connections.areas[area];
        channels[self.connections.next.fetch_add(1, Ordering::Relaxed) % channels.len()].clone()
    }
}

/// How often a call is made.
const TRIES: u32 = 8;
/// How often when the server only asks for slower or later calls: whoever makes many has to wait for its turn.
const TRIES_WHEN_LIMITED: u32 = 60;
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Calls again, with the same key, what was not done or may not have been done: UNAVAILABLE, RESOURCE_EXHAUSTED,
/// ABORTED, UNKNOWN and DEADLINE_EXCEEDED. Each pause is twice the last, up to a bound.
pub async fn retrying<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut pause = Duration::from_millis(25);
    let mut tries = 0;
    loop {
        let status = match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => status,
        };
        let again = matches!(
            status.code(),
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Unknown
                | Code::DeadlineExceeded
        );
        tries += 1;
        let most = match reason(&status).as_str() {
            "RATE_LIMITED" | "OVERLOADED" => TRIES_WHEN_LIMITED,
            _ => TRIES,
        };
        if !again || tries >= most {
            return Err(status);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The reason of a refusal, such as `SOLD_OUT`.
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt;
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// A status as one line for people.
pub fn told(what: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!(
        "{what}: {} ({:?} {})",
        status.message(),
        status.code(),
        reason(status)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_takes_one_address_or_one_for_each_service() {
        let parse = |given: &[&str]| {
            Addresses::parse(&given.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            parse(&["http://a:1"]).expect("one"),
            Addresses::one("http://a:1")
        );
        let mixed = parse(&["http://a:1", "order=http://b:2"]).expect("all but one");
        assert_eq!(
            (mixed.order, mixed.room),
            (vec!["http://b:2".to_owned()], vec!["http://a:1".to_owned()])
        );
        let replicas = parse(&["http://a:1", "order=http://b:2,http://c:2"]).expect("replicas");
        assert_eq!(replicas.order, ["http://b:2", "http://c:2"]);
        assert!(
            parse(&["order=http://b:2"])
                .expect_err("others are missing")
                .to_string()
                .contains("catalog")
        );
        assert!(
            parse(&["orders=http://b:2"])
                .expect_err("no such service")
                .to_string()
                .contains("no service")
        );
    }
}
