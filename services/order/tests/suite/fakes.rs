//! A catalogue and a fulfilment that are nothing but their feeds, their lists and one answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_service_server::{
    CatalogFeedService, CatalogFeedServiceServer,
};
use contracts::catalog::v1::listing_service_server::{ListingService, ListingServiceServer};
use contracts::catalog::v1::partner_service_server::{PartnerService, PartnerServiceServer};
use contracts::catalog::v1::product_service_server::{ProductService, ProductServiceServer};
use contracts::common::v1::FeedMeta;
use contracts::feed::FeedMessage;
use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_service_server::{
    FulfillmentFeedService, FulfillmentFeedServiceServer,
};
use contracts::fulfillment::v1::fulfillment_service_server::{
    FulfillmentService, FulfillmentServiceServer,
};
use contracts::fulfillment::v1::return_service_server::{ReturnService, ReturnServiceServer};
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::errors::{ErrorReason, Refusal};
use tokio::sync::watch;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

/// A feed in memory; its cursors are positions.
pub struct FakeFeed<F> {
    entries: Mutex<Vec<F>>,
    length: watch::Sender<usize>,
    /// Entries up to this position are no longer kept.
    floor: AtomicUsize,
}

impl<F: FeedMessage> FakeFeed<F> {
    fn new() -> Arc<Self> {
        Arc::new(FakeFeed {
            entries: Mutex::new(Vec::new()),
            length: watch::Sender::new(0),
            floor: AtomicUsize::new(0),
        })
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

    /// Forgets everything so far.
    pub fn forget(&self) {
        self.floor.store(*self.length.borrow(), Ordering::SeqCst);
    }

    /// Refuses a cursor that lies before what is kept.
    fn check(&self, cursor: &str) -> Result<(), Status> {
        let floor = self.floor.load(Ordering::SeqCst);
        if cursor.parse().unwrap_or(0) >= floor {
            return Ok(());
        }
        let expired = Refusal::new(ErrorReason::CursorExpired, "No longer kept.");
        Err(expired.with(store::feed::HEAD_CURSOR, floor).into())
    }

    fn after(&self, cursor: &str, limit: usize) -> Vec<F> {
        let after: usize = if cursor.is_empty() {
            0
        } else {
            cursor.parse().expect("one of our cursors")
        };
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
    /// What the lists say.
    pub lists: Arc<Mutex<Lists>>,
}

impl Fakes {
    pub fn new() -> Self {
        Fakes {
            catalog: FakeFeed::new(),
            fulfillment: FakeFeed::new(),
            decision: Arc::new(Mutex::new(Ok(fulfillment::CancelDecision::Cancelled))),
            asked: Arc::default(),
            principals: Arc::default(),
            lists: Arc::default(),
        }
    }

    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(CatalogFeedServiceServer::new(self.clone()))
            .add_service(FulfillmentFeedServiceServer::new(self.clone()))
            .add_service(FulfillmentServiceServer::new(self.clone()))
            .add_service(ReturnServiceServer::new(self.clone()))
            .add_service(PartnerServiceServer::new(self.clone()))
            .add_service(ProductServiceServer::new(self.clone()))
            .add_service(ListingServiceServer::new(self.clone()));
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
        self.catalog.check(&request.cursor)?;
        let entries = self
            .catalog
            .after(&request.cursor, request.page_size as usize);
        Ok(Response::new(catalog::ListCatalogFeedResponse {
            entries,
            next_cursor: String::new(),
        }))
    }

    type WatchCatalogFeedStream =
        BoxStream<'static, Result<catalog::WatchCatalogFeedResponse, Status>>;

    async fn watch_catalog_feed(
        &self,
        request: Request<catalog::WatchCatalogFeedRequest>,
    ) -> Result<Response<Self::WatchCatalogFeedStream>, Status> {
        let pages = self.catalog.watch(request.into_inner().cursor);
        Ok(Response::new(
            pages
                .map(|entries| Ok(catalog::WatchCatalogFeedResponse { entries }))
                .boxed(),
        ))
    }
}

#[tonic::async_trait]
impl FulfillmentFeedService for Fakes {
    async fn list_fulfillment_feed(
        &self,
        request: Request<fulfillment::ListFulfillmentFeedRequest>,
    ) -> Result<Response<fulfillment::ListFulfillmentFeedResponse>, Status> {
        let request = request.into_inner();
        self.fulfillment.check(&request.cursor)?;
        let entries = self
            .fulfillment
            .after(&request.cursor, request.page_size as usize);
        Ok(Response::new(fulfillment::ListFulfillmentFeedResponse {
            entries,
            next_cursor: String::new(),
        }))
    }

    type WatchFulfillmentFeedStream =
        BoxStream<'static, Result<fulfillment::WatchFulfillmentFeedResponse, Status>>;

    async fn watch_fulfillment_feed(
        &self,
        request: Request<fulfillment::WatchFulfillmentFeedRequest>,
    ) -> Result<Response<Self::WatchFulfillmentFeedStream>, Status> {
        let pages = self.fulfillment.watch(request.into_inner().cursor);
        Ok(Response::new(
            pages
                .map(|entries| Ok(fulfillment::WatchFulfillmentFeedResponse { entries }))
                .boxed(),
        ))
    }
}

/// What the lists say, for those who can no longer follow the feeds.
#[derive(Default)]
pub struct Lists {
    pub partners: Vec<catalog::Partner>,
    pub keys: Vec<catalog::PaymentKey>,
    pub products: Vec<catalog::Product>,
    pub listings: Vec<catalog::Listing>,
    pub fulfillments: Vec<fulfillment::Fulfillment>,
    pub returns: Vec<fulfillment::GoodsReturn>,
}

/// A page of one thing each, so that pages are really turned.
fn page<T: Clone>(all: &[T], page_token: &str) -> (Vec<T>, String) {
    let at: usize = if page_token.is_empty() {
        0
    } else {
        page_token.parse().expect("one of our tokens")
    };
    let next = if at + 1 < all.len() {
        (at + 1).to_string()
    } else {
        String::new()
    };
    (all.get(at).cloned().into_iter().collect(), next)
}

/// A service that answers the methods written out, and no other.
macro_rules! service {
    ($service:ident of $area:ident { $($written:item)* } never { $($method:ident: $request:ident => $response:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for Fakes {
            $($written)*

            $(
                async fn $method(
                    &self,
                    _: Request<$area::$request>,
                ) -> Result<Response<$area::$response>, Status> {
                    Err(Status::unimplemented("the order service never calls this"))
                }
            )*
        }
    };
}

service! {
    FulfillmentService of fulfillment {
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

        async fn list_fulfillments(
            &self,
            request: Request<fulfillment::ListFulfillmentsRequest>,
        ) -> Result<Response<fulfillment::ListFulfillmentsResponse>, Status> {
            let lists = self.lists.lock().expect("nobody panicked with it");
            let (fulfillments, next_page_token) = page(&lists.fulfillments, &request.into_inner().page_token);
            Ok(Response::new(fulfillment::ListFulfillmentsResponse { fulfillments, next_page_token }))
        }
    }
    never {
        list_work: ListWorkRequest => ListWorkResponse;
        get_fulfillment: GetFulfillmentRequest => GetFulfillmentResponse;
        add_ship_block: AddShipBlockRequest => AddShipBlockResponse;
        lift_ship_block: LiftShipBlockRequest => LiftShipBlockResponse;
        create_shipment: CreateShipmentRequest => CreateShipmentResponse;
        batch_create_shipments: BatchCreateShipmentsRequest => BatchCreateShipmentsResponse;
        get_shipment: GetShipmentRequest => GetShipmentResponse;
        list_shipments: ListShipmentsRequest => ListShipmentsResponse;
        record_tracking: RecordTrackingRequest => RecordTrackingResponse;
        batch_record_tracking: BatchRecordTrackingRequest => BatchRecordTrackingResponse;
    }
}

service! {
    ReturnService of fulfillment {
        async fn list_returns(
            &self,
            request: Request<fulfillment::ListReturnsRequest>,
        ) -> Result<Response<fulfillment::ListReturnsResponse>, Status> {
            let lists = self.lists.lock().expect("nobody panicked with it");
            let (goods_returns, next_page_token) = page(&lists.returns, &request.into_inner().page_token);
            Ok(Response::new(fulfillment::ListReturnsResponse { goods_returns, next_page_token }))
        }
    }
    never {
        check_return_eligibility: CheckReturnEligibilityRequest => CheckReturnEligibilityResponse;
        request_return: RequestReturnRequest => RequestReturnResponse;
        decide_return: DecideReturnRequest => DecideReturnResponse;
        cancel_return: CancelReturnRequest => CancelReturnResponse;
        record_return_received: RecordReturnReceivedRequest => RecordReturnReceivedResponse;
        get_return: GetReturnRequest => GetReturnResponse;
    }
}

service! {
    PartnerService of catalog {
        async fn list_partners(
            &self,
            request: Request<catalog::ListPartnersRequest>,
        ) -> Result<Response<catalog::ListPartnersResponse>, Status> {
            let lists = self.lists.lock().expect("nobody panicked with it");
            let (partners, next_page_token) = page(&lists.partners, &request.into_inner().page_token);
            Ok(Response::new(catalog::ListPartnersResponse { partners, next_page_token }))
        }

        async fn list_payment_keys(
            &self,
            request: Request<catalog::ListPaymentKeysRequest>,
        ) -> Result<Response<catalog::ListPaymentKeysResponse>, Status> {
            let request = request.into_inner();
            let lists = self.lists.lock().expect("nobody panicked with it");
            let own: Vec<_> = lists.keys.iter().filter(|key| key.partner_id == request.partner_id).cloned().collect();
            let (payment_keys, next_page_token) = page(&own, &request.page_token);
            Ok(Response::new(catalog::ListPaymentKeysResponse { payment_keys, next_page_token }))
        }
    }
    never {
        register_partner: RegisterPartnerRequest => RegisterPartnerResponse;
        get_partner: GetPartnerRequest => GetPartnerResponse;
        suspend_partner: SuspendPartnerRequest => SuspendPartnerResponse;
        resume_partner: ResumePartnerRequest => ResumePartnerResponse;
        add_payment_key: AddPaymentKeyRequest => AddPaymentKeyResponse;
        revoke_payment_key: RevokePaymentKeyRequest => RevokePaymentKeyResponse;
        register_outlet: RegisterOutletRequest => RegisterOutletResponse;
        list_outlets: ListOutletsRequest => ListOutletsResponse;
        update_partner_access: UpdatePartnerAccessRequest => UpdatePartnerAccessResponse;
        get_partner_access: GetPartnerAccessRequest => GetPartnerAccessResponse;
        list_partner_access: ListPartnerAccessRequest => ListPartnerAccessResponse;
        add_token_key: AddTokenKeyRequest => AddTokenKeyResponse;
        retire_token_key: RetireTokenKeyRequest => RetireTokenKeyResponse;
        revoke_token_key: RevokeTokenKeyRequest => RevokeTokenKeyResponse;
        list_token_keys: ListTokenKeysRequest => ListTokenKeysResponse;
        add_client_certificate: AddClientCertificateRequest => AddClientCertificateResponse;
        revoke_client_certificate: RevokeClientCertificateRequest => RevokeClientCertificateResponse;
        list_client_certificates: ListClientCertificatesRequest => ListClientCertificatesResponse;
    }
}

service! {
    ProductService of catalog {
        async fn list_products(
            &self,
            request: Request<catalog::ListProductsRequest>,
        ) -> Result<Response<catalog::ListProductsResponse>, Status> {
            let lists = self.lists.lock().expect("nobody panicked with it");
            let (products, next_page_token) = page(&lists.products, &request.into_inner().page_token);
            Ok(Response::new(catalog::ListProductsResponse { products, next_page_token }))
        }

        type ImportProductsStream = futures::stream::Empty<Result<catalog::ImportProductsResponse, Status>>;

        async fn import_products(
            &self,
            _: Request<tonic::Streaming<catalog::ImportProductsRequest>>,
        ) -> Result<Response<Self::ImportProductsStream>, Status> {
            Err(Status::unimplemented("the order service never calls this"))
        }
    }
    never {
        create_product: CreateProductRequest => CreateProductResponse;
        update_product: UpdateProductRequest => UpdateProductResponse;
        add_variant: AddVariantRequest => AddVariantResponse;
        archive_product: ArchiveProductRequest => ArchiveProductResponse;
        get_product: GetProductRequest => GetProductResponse;
    }
}

service! {
    ListingService of catalog {
        async fn list_listings(
            &self,
            request: Request<catalog::ListListingsRequest>,
        ) -> Result<Response<catalog::ListListingsResponse>, Status> {
            let lists = self.lists.lock().expect("nobody panicked with it");
            let (listings, next_page_token) = page(&lists.listings, &request.into_inner().page_token);
            Ok(Response::new(catalog::ListListingsResponse { listings, next_page_token }))
        }
    }
    never {
        propose_listing: ProposeListingRequest => ProposeListingResponse;
        decide_listing: DecideListingRequest => DecideListingResponse;
        publish_listing: PublishListingRequest => PublishListingResponse;
        change_listing_terms: ChangeListingTermsRequest => ChangeListingTermsResponse;
        pause_listing: PauseListingRequest => PauseListingResponse;
        resume_listing: ResumeListingRequest => ResumeListingResponse;
        end_listing: EndListingRequest => EndListingResponse;
        get_listing: GetListingRequest => GetListingResponse;
        batch_propose_listings: BatchProposeListingsRequest => BatchProposeListingsResponse;
        batch_decide_listings: BatchDecideListingsRequest => BatchDecideListingsResponse;
        list_terms_versions: ListTermsVersionsRequest => ListTermsVersionsResponse;
    }
}
