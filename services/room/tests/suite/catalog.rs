//! A catalogue that says what a test wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use contracts::ErrorReason;
use contracts::catalog::v1 as pb;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::catalog_feed_service_server::{
    CatalogFeedService, CatalogFeedServiceServer,
};
use contracts::catalog::v1::listing_service_server::{ListingService, ListingServiceServer};
use contracts::catalog::v1::partner_service_server::{PartnerService, PartnerServiceServer};
use contracts::catalog::v1::product_service_server::{ProductService, ProductServiceServer};
use contracts::catalog::v1::*;
use contracts::common::v1::{FeedMeta, Money, Price, Window};
use contracts::id::{ListingId, OutletId, PartnerId, ProductId, VariantId};
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::clock::Micros;
use kit::errors::Refusal;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

type Answer<R> = Result<Response<R>, Status>;

/// A catalogue: its feed, and lists with what the feed said last.
#[derive(Clone)]
pub struct FakeCatalog {
    feed: Arc<watch::Sender<Vec<CatalogFeedEntry>>>,
    /// Entries up to here are no longer kept.
    forgotten: Arc<Mutex<usize>>,
}

pub fn partner_id(number: u128) -> PartnerId {
    PartnerId::from_uuid(number)
}

pub fn outlet_id(number: u128) -> OutletId {
    OutletId::from_uuid(number)
}

pub fn product_id(number: u128) -> ProductId {
    ProductId::from_uuid(number)
}

pub fn listing_id(number: u128) -> ListingId {
    ListingId::from_uuid(number)
}

impl FakeCatalog {
    pub fn new() -> Self {
        FakeCatalog {
            feed: Arc::new(watch::Sender::new(Vec::new())),
            forgotten: Arc::default(),
        }
    }

    pub fn add_to(&self, routes: &mut tonic::service::RoutesBuilder) {
        routes
            .add_service(CatalogFeedServiceServer::new(self.clone()))
            .add_service(PartnerServiceServer::new(self.clone()))
            .add_service(ProductServiceServer::new(self.clone()))
            .add_service(ListingServiceServer::new(self.clone()));
    }

    pub fn say(&self, aggregate_id: &str, content: Content) {
        self.feed.send_modify(|entries| {
            let position = entries.len() as i64 + 1;
            let meta = FeedMeta {
                cursor: position.to_string(),
                position,
                aggregate_id: aggregate_id.into(),
                ..FeedMeta::default()
            };
            entries.push(CatalogFeedEntry {
                meta: Some(meta),
                content: Some(content),
            });
        });
    }

    /// From now on the feed only tells what comes next.
    pub fn forget(&self) {
        *self.forgotten.lock().expect("a whole number") = self.feed.borrow().len();
    }

    pub fn partner(&self, number: u128, state: PartnerState) {
        let partner = Partner {
            partner_id: partner_id(number).into(),
            state: state.into(),
            ..Partner::default()
        };
        self.say(&partner.partner_id.clone(), Content::Partner(partner));
    }

    pub fn outlet(&self, number: u128, of_partner: u128) {
        let outlet = Outlet {
            outlet_id: outlet_id(number).into(),
            partner_id: partner_id(of_partner).into(),
            ..Outlet::default()
        };
        self.say(&outlet.partner_id.clone(), Content::Outlet(outlet));
    }

    pub fn product(&self, number: u128, title: &str, brand: &str) {
        let product = Product {
            product_id: product_id(number).into(),
            title: title.into(),
            brand: brand.into(),
            ..Product::default()
        };
        self.say(&product.product_id.clone(), Content::Product(product));
    }

    /// A listing of a product to a partner; its price in cents.
    pub fn listing(&self, listing: Listed) {
        let amount = Money {
            currency_code: "EUR".into(),
            minor_units: listing.cents,
        };
        let message = Listing {
            listing_id: listing_id(listing.number).into(),
            partner_id: partner_id(listing.partner).into(),
            variant_id: VariantId::from_uuid(listing.product).into(),
            product_id: product_id(listing.product).into(),
            terms: Some(ListingTerms {
                price: Some(Price {
                    amount: Some(amount),
                    per_quantity: 1,
                }),
                retailer_discount_basis_points: 250,
                sale_window: Some(Window {
                    start_time: listing.from.map(Micros::to_proto),
                    end_time: listing.until.map(Micros::to_proto),
                }),
                ..ListingTerms::default()
            }),
            state: listing.state.into(),
            variant: Some(Variant {
                options: vec![VariantOption {
                    name: "Size".into(),
                    value: "Large".into(),
                }],
                ..Variant::default()
            }),
            ..Listing::default()
        };
        self.say(&message.listing_id.clone(), Content::Listing(message));
    }

    /// The last word on everything of one kind.
    fn last<T>(&self, pick: impl Fn(&Content) -> Option<(String, T)>) -> Vec<T> {
        let mut last = std::collections::BTreeMap::new();
        last.extend(
            self.feed
                .borrow()
                .iter()
                .filter_map(|entry| pick(entry.content.as_ref()?)),
        );
        last.into_values().collect()
    }

    fn after(&self, cursor: &str) -> Result<usize, Status> {
        let after = if cursor.is_empty() {
            0
        } else {
            cursor.parse().map_err(|_| Status::internal("cursor"))?
        };
        if after < *self.forgotten.lock().expect("a whole number") {
            let head = self.feed.borrow().len();
            return Err(Refusal::new(ErrorReason::CursorExpired, "Too old.")
                .with("head_cursor", head)
                .into());
        }
        Ok(after)
    }
}

/// A listing, as a test thinks of it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    pub number: u128,
    pub partner: u128,
    pub product: u128,
    pub cents: i64,
    pub state: ListingState,
    pub from: Option<Micros>,
    pub until: Option<Micros>,
}

impl Listed {
    /// On sale for ever.
    pub fn live(number: u128, partner: u128, product: u128, cents: i64) -> Self {
        Listed {
            number,
            partner,
            product,
            cents,
            state: ListingState::Live,
            from: None,
            until: None,
        }
    }
}

type Later<R> = Pin<Box<dyn Future<Output = Answer<R>> + Send + 'static>>;

/// Methods of the contract that no test asks for.
macro_rules! stubs {
    ($($method:ident: $request:ty => $response:ty;)*) => {$(
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<$response>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented("not in this test")) })
        }
    )*};
}

/// A list of one page.
macro_rules! lists {
    ($($method:ident: $request:ty => $response:ident { $items:ident, $content:ident, $id:ident };)*) => {$(
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<$response>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            let $items = self.last(|content| match content {
                Content::$content(it) => Some((it.$id.clone(), it.clone())),
                _ => None,
            });
            let answer: Later<$response> =
                Box::pin(async { Ok(Response::new($response { $items, next_page_token: String::new() })) });
            answer
        }
    )*};
}

impl PartnerService for FakeCatalog {
    lists! {
        list_partners: ListPartnersRequest => ListPartnersResponse { partners, Partner, partner_id };
        list_outlets: ListOutletsRequest => ListOutletsResponse { outlets, Outlet, outlet_id };
    }
    stubs! {
        register_partner: RegisterPartnerRequest => RegisterPartnerResponse;
        get_partner: GetPartnerRequest => GetPartnerResponse;
        suspend_partner: SuspendPartnerRequest => SuspendPartnerResponse;
        resume_partner: ResumePartnerRequest => ResumePartnerResponse;
        add_payment_key: AddPaymentKeyRequest => AddPaymentKeyResponse;
        revoke_payment_key: RevokePaymentKeyRequest => RevokePaymentKeyResponse;
        list_payment_keys: ListPaymentKeysRequest => ListPaymentKeysResponse;
        register_outlet: RegisterOutletRequest => RegisterOutletResponse;
        update_partner_access: pb::UpdatePartnerAccessRequest => pb::UpdatePartnerAccessResponse;
        get_partner_access: pb::GetPartnerAccessRequest => pb::GetPartnerAccessResponse;
        list_partner_access: pb::ListPartnerAccessRequest => pb::ListPartnerAccessResponse;
        add_token_key: pb::AddTokenKeyRequest => pb::AddTokenKeyResponse;
        retire_token_key: pb::RetireTokenKeyRequest => pb::RetireTokenKeyResponse;
        revoke_token_key: pb::RevokeTokenKeyRequest => pb::RevokeTokenKeyResponse;
        list_token_keys: pb::ListTokenKeysRequest => pb::ListTokenKeysResponse;
        add_client_certificate: pb::AddClientCertificateRequest => pb::AddClientCertificateResponse;
        revoke_client_certificate: pb::RevokeClientCertificateRequest => pb::RevokeClientCertificateResponse;
        list_client_certificates: pb::ListClientCertificatesRequest => pb::ListClientCertificatesResponse;
    }
}

impl ProductService for FakeCatalog {
    lists! {
        list_products: ListProductsRequest => ListProductsResponse { products, Product, product_id };
    }
    stubs! {
        create_product: CreateProductRequest => CreateProductResponse;
        update_product: UpdateProductRequest => UpdateProductResponse;
        add_variant: AddVariantRequest => AddVariantResponse;
        archive_product: ArchiveProductRequest => ArchiveProductResponse;
        get_product: GetProductRequest => GetProductResponse;
        import_products: Streaming<ImportProductsRequest> => Self::ImportProductsStream;
    }

    type ImportProductsStream = BoxStream<'static, Result<ImportProductsResponse, Status>>;
}

impl ListingService for FakeCatalog {
    lists! {
        list_listings: ListListingsRequest => ListListingsResponse { listings, Listing, listing_id };
    }
    stubs! {
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

#[tonic::async_trait]
impl CatalogFeedService for FakeCatalog {
    type WatchCatalogFeedStream = BoxStream<'static, Result<WatchCatalogFeedResponse, Status>>;

    async fn list_catalog_feed(
        &self,
        request: Request<ListCatalogFeedRequest>,
    ) -> Answer<ListCatalogFeedResponse> {
        let asked = request.into_inner();
        let after = self.after(&asked.cursor)?;
        let entries: Vec<_> = self
            .feed
            .borrow()
            .iter()
            .skip(after)
            .take(asked.page_size as usize)
            .cloned()
            .collect();
        let next_cursor = (after + entries.len()).to_string();
        Ok(ListCatalogFeedResponse {
            entries,
            next_cursor,
        }
        .into())
    }

    async fn watch_catalog_feed(
        &self,
        request: Request<WatchCatalogFeedRequest>,
    ) -> Answer<Self::WatchCatalogFeedStream> {
        let after = self.after(&request.into_inner().cursor)?;
        let pages = futures::stream::unfold(
            (self.feed.subscribe(), after),
            |(mut feed, after)| async move {
                loop {
                    let entries: Vec<_> = feed
                        .borrow_and_update()
                        .iter()
                        .skip(after)
                        .cloned()
                        .collect();
                    if !entries.is_empty() {
                        let next = after + entries.len();
                        return Some((Ok(WatchCatalogFeedResponse { entries }), (feed, next)));
                    }
                    feed.changed().await.ok()?;
                }
            },
        );
        Ok(pages.boxed().into())
    }
}
