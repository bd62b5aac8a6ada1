//! A catalogue and a fulfilment that are nothing but their feeds and one answer.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_service_server::{CatalogFeedService, CatalogFeedServiceServer};
use contracts::common::v1::FeedMeta;
use contracts::feed::FeedMessage;
use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_service_server::{
    FulfillmentFeedService, FulfillmentFeedServiceServer,
};
use contracts::fulfillment::v1::fulfillment_service_server::{FulfillmentService, FulfillmentServiceServer};
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::errors::Refusal;
use tokio::sync::watch;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

/// A feed in memory; its cursors are positions.
pub struct FakeFeed<F> {
    entries: Mutex<Vec<F>>,
    length: watch::Sender<usize>,
}

impl<F: FeedMessage> FakeFeed<F> {
    fn new() -> Arc<Self> {
        Arc::new(FakeFeed { entries: Mutex::new(Vec::new()), length: watch::Sender::new(0) })
    }

    /// Publishes an entry about `aggregate_id`.
    pub fn publish(&self, aggregate_id: &str, mut entry: F) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let position = entries.len() + 1;
        entry.set_meta(FeedMeta {
            cursor: position.to_string(),
            position: position as i64,
            aggregate_id: aggregate_id.into(),
            ..FeedMeta::default()
        });
        entries.push(entry);
        self.length.send_replace(position);
    }

    fn after(&self, cursor: &str, limit: usize) -> Vec<F> {
        let after: usize = if cursor.is_empty() { 0 } else { cursor.parse().expect("one of our cursors") };
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().skip(after).take(limit).cloned().collect()
    }

    fn watch(self: &Arc<Self>, cursor: String) -> BoxStream<'static, Vec<F>> {
        let state = (self.clone(), self.length.subscribe(), cursor);
        futures::stream::unfold(state, |(feed, mut length, cursor)| async move {
            loop {
                length.borrow_and_update();
                let page = feed.after(&cursor, 100);
                if let Some(last) = page.last() {
                    let cursor = last.meta().cursor.clone();
                    return Some((page, (feed, length, cursor)));
                }
                length.changed().await.ok()?;
            }
        })
        .boxed()
    }
}

/// What both fakes share with the test.
#[derive(Clone)]
pub struct Fakes {
    /// The catalogue's feed.
    pub catalog: Arc<FakeFeed<catalog::CatalogFeedEntry>>,
    /// Fulfilment's feed.
    pub fulfillment: Arc<FakeFeed<fulfillment::FulfillmentFeedEntry>>,
    /// What CancelFulfillment answers.
    pub decision: Arc<Mutex<Result<fulfillment::CancelDecision, Refusal>>>,
    /// What CancelFulfillment was asked.
    pub asked: Arc<Mutex<Vec<fulfillment::CancelFulfillmentRequest>>>,
    /// On whose behalf it was asked.
    pub principals: Arc<Mutex<Vec<String>>>,
}

impl Fakes {
    pub fn new() -> Self {
        Fakes {
            catalog: FakeFeed::new(),
            fulfillment: FakeFeed::new(),
            decision: Arc::new(Mutex::new(Ok(fulfillment::CancelDecision::Cancelled))),
            asked: Arc::default(),
            principals: Arc::default(),
        }
    }

    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(CatalogFeedServiceServer::new(self.clone()))
            .add_service(FulfillmentFeedServiceServer::new(self.clone()))
            .add_service(FulfillmentServiceServer::new(self.clone()));
    }

    /// What CancelFulfillment answers from now on.
    pub fn decide(&self, decision: Result<fulfillment::CancelDecision, Refusal>) {
        *self.decision.lock().expect("nobody panicked with it") = decision;
    }
}

#[tonic::async_trait]
impl CatalogFeedService for Fakes {
    async fn list_catalog_feed(
        &self,
        request: Request<catalog::ListCatalogFeedRequest>,
    ) -> Result<Response<catalog::ListCatalogFeedResponse>, Status> {
        let request = request.into_inner();
        let entries = self.catalog.after(&request.cursor, request.page_size as usize);
        Ok(Response::new(catalog::ListCatalogFeedResponse { entries, next_cursor: String::new() }))
    }

    type WatchCatalogFeedStream = BoxStream<'static, Result<catalog::WatchCatalogFeedResponse, Status>>;

    async fn watch_catalog_feed(
        &self,
        request: Request<catalog::WatchCatalogFeedRequest>,
    ) -> Result<Response<Self::WatchCatalogFeedStream>, Status> {
        let pages = self.catalog.watch(request.into_inner().cursor);
        Ok(Response::new(pages.map(|entries| Ok(catalog::WatchCatalogFeedResponse { entries })).boxed()))
    }
}

#[tonic::async_trait]
impl FulfillmentFeedService for Fakes {
    async fn list_fulfillment_feed(
        &self,
        request: Request<fulfillment::ListFulfillmentFeedRequest>,
    ) -> Result<Response<fulfillment::ListFulfillmentFeedResponse>, Status> {
        let request = request.into_inner();
        let entries = self.fulfillment.after(&request.cursor, request.page_size as usize);
        Ok(Response::new(fulfillment::ListFulfillmentFeedResponse { entries, next_cursor: String::new() }))
    }

    type WatchFulfillmentFeedStream = BoxStream<'static, Result<fulfillment::WatchFulfillmentFeedResponse, Status>>;

    async fn watch_fulfillment_feed(
        &self,
        request: Request<fulfillment::WatchFulfillmentFeedRequest>,
    ) -> Result<Response<Self::WatchFulfillmentFeedStream>, Status> {
        let pages = self.fulfillment.watch(request.into_inner().cursor);
        Ok(Response::new(pages.map(|entries| Ok(fulfillment::WatchFulfillmentFeedResponse { entries })).boxed()))
    }
}

macro_rules! never {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        #[tonic::async_trait]
        impl FulfillmentService for Fakes {
            async fn cancel_fulfillment(
                &self,
                request: Request<fulfillment::CancelFulfillmentRequest>,
            ) -> Result<Response<fulfillment::CancelFulfillmentResponse>, Status> {
                let caller = kit::caller::Caller::of(&request)?;
                self.principals.lock().expect("nobody panicked with it").push(caller.principal());
                self.asked.lock().expect("nobody panicked with it").push(request.into_inner());
                let decision = self.decision.lock().expect("nobody panicked with it").clone()?;
                Ok(Response::new(fulfillment::CancelFulfillmentResponse { decision: decision.into() }))
            }

            $(
                async fn $method(
                    &self,
                    _: Request<fulfillment::$request>,
                ) -> Result<Response<fulfillment::$response>, Status> {
                    Err(Status::unimplemented("the order service never calls this"))
                }
            )+
        }
    };
}

never! {
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
}
