//! The service on the wire: thin. Each handler parses, runs one operation and renders.

mod aftersales;
mod cancel;
mod care;
mod feed;
mod parse;
mod privacy;
mod read;
pub mod render;
mod returns;
mod ship;
mod track;

use std::sync::Arc;

use ::store::Db;
use ::store::feed::FeedReader;
use ::store::idempotency::{Fingerprint, Keyed};
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::aftersale_service_server::AftersaleServiceServer;
use contracts::fulfillment::v1::care_service_server::CareServiceServer;
use contracts::fulfillment::v1::fulfillment_feed_service_server::FulfillmentFeedServiceServer;
use contracts::fulfillment::v1::fulfillment_service_server::{
    FulfillmentService, FulfillmentServiceServer,
};
use contracts::fulfillment::v1::privacy_service_server::PrivacyServiceServer;
use contracts::fulfillment::v1::return_service_server::{ReturnService, ReturnServiceServer};
use kit::caller::Caller;
use kit::errors::Refusal;
use kit::wire::Wire;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use crate::carrier::Carriers;
use crate::config::Config;

/// The name that binds cursors to this service's feed.
const FEED: &str = "fulfillment";

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    db: Db,
    config: Arc<Config>,
    carriers: Carriers,
    feed: FeedReader,
    order: Wire,
    drain: CancellationToken,
}

impl Api {
    /// Handlers on `db`, with the order service to ask; streams end at `drain`.
    pub fn new(
        db: Db,
        config: Config,
        carriers: Carriers,
        order: Wire,
        drain: CancellationToken,
    ) -> Self {
        let feed = FeedReader::new(db.clone(), FEED, config.feed.clone());
        Api {
            db,
            config: Arc::new(config),
            carriers,
            feed,
            order,
            drain,
        }
    }

    /// Adds the routes of all services.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(FulfillmentServiceServer::new(self.clone()))
            .add_service(ReturnServiceServer::new(self.clone()))
            .add_service(AftersaleServiceServer::new(self.clone()))
            .add_service(CareServiceServer::new(self.clone()))
            .add_service(PrivacyServiceServer::new(self.clone()))
            .add_service(FulfillmentFeedServiceServer::new(self));
    }

    fn events_max(&self) -> i64 {
        i64::try_from(self.config.events_shown_max).unwrap_or(i64::MAX)
    }
}

/// The key of a mutation. The whole request is what was asked for.
fn keyed(caller: &Caller, method: &'static str, request_id: &str, request: &impl Message) -> Keyed {
    Keyed::new(
        caller.scope_key(),
        method,
        request_id,
        Fingerprint::of(request),
    )
}

/// A verdict of a batch about one item.
fn verdict(outcome: Result<String, &Refusal>) -> pb::ShipmentVerdict {
    match outcome {
        Ok(shipment_id) => pb::ShipmentVerdict {
            shipment_id,
            ..pb::ShipmentVerdict::default()
        },
        Err(refusal) => pb::ShipmentVerdict {
            shipment_id: String::new(),
            refusal_reason: kit::errors::reason_name(refusal.reason).to_owned(),
            refusal_message: refusal.message.clone(),
        },
    }
}

/// Answers each call with the [`Api`]'s function of the same name.
macro_rules! answer {
    ($service:ident: $($method:ident: $request:ident => $response:ident;)+) => {
        #[tonic::async_trait]
        impl $service for Api {
            $(
                async fn $method(
                    &self,
                    request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    let caller = Caller::of(&request)?;
                    let answer = Api::$method(self, &caller, request.into_inner()).await?;
                    Ok(Response::new(answer))
                }
            )+
        }
    };
}
use answer;

answer! {
    FulfillmentService:
    list_work: ListWorkRequest => ListWorkResponse;
    get_fulfillment: GetFulfillmentRequest => GetFulfillmentResponse;
    list_fulfillments: ListFulfillmentsRequest => ListFulfillmentsResponse;
    add_ship_block: AddShipBlockRequest => AddShipBlockResponse;
    lift_ship_block: LiftShipBlockRequest => LiftShipBlockResponse;
    create_shipment: CreateShipmentRequest => CreateShipmentResponse;
    batch_create_shipments: BatchCreateShipmentsRequest => BatchCreateShipmentsResponse;
    get_shipment: GetShipmentRequest => GetShipmentResponse;
    list_shipments: ListShipmentsRequest => ListShipmentsResponse;
    record_tracking: RecordTrackingRequest => RecordTrackingResponse;
    batch_record_tracking: BatchRecordTrackingRequest => BatchRecordTrackingResponse;
    cancel_fulfillment: CancelFulfillmentRequest => CancelFulfillmentResponse;
}

answer! {
    ReturnService:
    check_return_eligibility: CheckReturnEligibilityRequest => CheckReturnEligibilityResponse;
    request_return: RequestReturnRequest => RequestReturnResponse;
    decide_return: DecideReturnRequest => DecideReturnResponse;
    cancel_return: CancelReturnRequest => CancelReturnResponse;
    record_return_received: RecordReturnReceivedRequest => RecordReturnReceivedResponse;
    get_return: GetReturnRequest => GetReturnResponse;
    list_returns: ListReturnsRequest => ListReturnsResponse;
}
