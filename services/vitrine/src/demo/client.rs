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
        Ok(Bearer(format!("Bearer {token}").parse().context("a token is not fit for a header")?))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel with a token.
pub type Line = InterceptedService<Channel, Bearer>;

/// A few connections to the suite, used in turn.
#[derive(Clone)]
pub struct Connections {
    channels: Arc<Vec<Channel>>,
    next: Arc<AtomicUsize>,
}

impl Connections {
    /// Connects `count` times.
    pub async fn open(address: &str, count: usize) -> anyhow::Result<Connections> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            let endpoint = Endpoint::from_shared(address.to_owned())
                .with_context(|| format!("{address} is not an address: write it like http://127.0.0.1:7700"))?
                .connect_timeout(Duration::from_secs(5))
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(4 << 20);
            channels.push(endpoint.connect().await.with_context(|| {
                format!("nothing answers at {address}: start the suite with `vitrine serve`, or leave out --connect")
            })?);
        }
        Ok(Connections { channels: Arc::new(channels), next: Arc::new(AtomicUsize::new(0)) })
    }

    /// The connections for one caller.
    pub fn with(&self, bearer: &Bearer) -> Caller {
        Caller { connections: self.clone(), bearer: bearer.clone() }
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Caller {
    connections: Connections,
    bearer: Bearer,
}

macro_rules! clients {
    ($($name:ident: $area:ident :: $module:ident :: $client:ident,)*) => {
        impl Caller {
            $(pub fn $name(&self) -> $area::$module::$client<Line> {
                $area::$module::$client::with_interceptor(self.channel(), self.bearer.clone())
            })*
        }
    };
}

clients! {
    partners: catalog::partner_service_client::PartnerServiceClient,
    products: catalog::product_service_client::ProductServiceClient,
    listings: catalog::listing_service_client::ListingServiceClient,
    catalog_feed: catalog::catalog_feed_service_client::CatalogFeedServiceClient,
    hosts: room::host_service_client::HostServiceClient,
    rooms: room::room_service_client::RoomServiceClient,
    showcase: room::showcase_service_client::ShowcaseServiceClient,
    audience: room::audience_service_client::AudienceServiceClient,
    room_feed: room::room_feed_service_client::RoomFeedServiceClient,
    orders: order::order_service_client::OrderServiceClient,
    allotments: order::allotment_service_client::AllotmentServiceClient,
    drops: order::drop_service_client::DropServiceClient,
    order_feed: order::order_feed_service_client::OrderFeedServiceClient,
    fulfillment: fulfillment::fulfillment_service_client::FulfillmentServiceClient,
    fulfillment_feed: fulfillment::fulfillment_feed_service_client::FulfillmentFeedServiceClient,
}

impl Caller {
    fn channel(&self) -> Channel {
        let channels = &self.connections.channels;
        channels[self.connections.next.fetch_add(1, Ordering::Relaxed) % channels.len()].clone()
    }
}

/// Calls again, with the same key, what was not done or may not have been done: UNAVAILABLE, RESOURCE_EXHAUSTED,
/// ABORTED, UNKNOWN and DEADLINE_EXCEEDED. At most eight times, each pause twice the last.
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
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::Unknown | Code::DeadlineExceeded
        );
        tries += 1;
        if !again || tries == 8 {
            return Err(status);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The reason of a refusal, such as `SOLD_OUT`.
pub fn reason(status: &Status) -> String {
    use tonic_types::StatusExt;
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// A status as one line for people.
pub fn told(what: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{what}: {} ({:?} {})", status.message(), status.code(), reason(status))
}
