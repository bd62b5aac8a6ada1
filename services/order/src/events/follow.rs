//! Reads the feeds of the catalogue and of fulfilment, and their lists when a feed has forgotten what comes next.

use ::store::consumer::{Consume, Consumer, ConsumerConfig, Pages, Remote};
use ::store::{Db, Operation, Tx};
use contracts::catalog::v1 as catalog_pb;
use contracts::catalog::v1::catalog_feed_entry::Content as CatalogContent;
use contracts::catalog::v1::catalog_feed_service_client::CatalogFeedServiceClient;
use contracts::catalog::v1::listing_service_client::ListingServiceClient;
use contracts::catalog::v1::partner_service_client::PartnerServiceClient;
use contracts::catalog::v1::product_service_client::ProductServiceClient;
use contracts::fulfillment::v1 as fulfillment_pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content as FulfillmentContent;
use contracts::fulfillment::v1::fulfillment_feed_service_client::FulfillmentFeedServiceClient;
use contracts::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use contracts::fulfillment::v1::return_service_client::ReturnServiceClient;
use futures::StreamExt;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::wire::Wire;
use tokio_util::sync::CancellationToken;

use super::catalog::CatalogMirror;
use super::fulfillment::FulfillmentProgress;
use crate::rpc::client::answer;

/// The name under which the place in the catalogue's feed is kept.
pub const CATALOG: &str = "catalog-feed";
/// The name under which the place in fulfilment's feed is kept.
pub const FULFILLMENT: &str = "fulfillment-feed";

/// Things on a page when lists are read instead of a feed.
const BOOTSTRAP_PAGE: i32 = 200;

/// Follows the catalogue's feed into `db` until it is cancelled.
pub async fn catalog(
    db: Db,
    wire: Wire,
    mirror: CatalogMirror,
    config: ConsumerConfig,
    drain: CancellationToken,
) {
    let feed = CatalogFeedServiceClient::new(wire.clone());
    let watched = feed.clone();
    let source = Remote::new(
        move |cursor, limit| list_catalog(feed.clone(), cursor, limit),
        move |cursor| watch_catalog(watched.clone(), cursor),
    );
    let (into, anew) = (db.clone(), mirror.clone());
    Consumer::new(db, CATALOG, source, mirror, config)
        .on_expired(move |_cursor| read_catalog(wire.clone(), into.clone(), anew.clone()))
        .run(drain)
        .await;
}

/// Follows fulfilment's feed into `db` until it is cancelled.
pub async fn fulfillment(
    db: Db,
    wire: Wire,
    handler: FulfillmentProgress,
    config: ConsumerConfig,
    drain: CancellationToken,
) {
    let feed = FulfillmentFeedServiceClient::new(wire.clone());
    let watched = feed.clone();
    let source = Remote::new(
        move |cursor, limit| list_fulfillment(feed.clone(), cursor, limit),
        move |cursor| watch_fulfillment(watched.clone(), cursor),
    );
    let into = db.clone();
    Consumer::new(db, FULFILLMENT, source, handler, config)
        .on_expired(move |_cursor| read_fulfillments(wire.clone(), into.clone(), handler))
        .run(drain)
        .await;
}

async fn list_catalog(
    mut feed: CatalogFeedServiceClient<Wire>,
    cursor: String,
    limit: u32,
) -> Result<Vec<catalog_pb::CatalogFeedEntry>, Fault> {
    let page_size = i32::try_from(limit).unwrap_or(i32::MAX);
    let request = catalog_pb::ListCatalogFeedRequest { cursor, page_size };
    Ok(answer(feed.list_catalog_feed(request).await)?.entries)
}

async fn watch_catalog(
    mut feed: CatalogFeedServiceClient<Wire>,
    cursor: String,
) -> Result<Pages<catalog_pb::CatalogFeedEntry>, Fault> {
    let request = catalog_pb::WatchCatalogFeedRequest { cursor };
    let pages = answer(feed.watch_catalog_feed(request).await)?;
    let pages = pages.map(|page| {
        page.map(|page| page.entries)
            .map_err(|status| Fault::from_status(&status))
    });
    Ok(pages.boxed())
}

async fn list_fulfillment(
    mut feed: FulfillmentFeedServiceClient<Wire>,
    cursor: String,
    limit: u32,
) -> Result<Vec<fulfillment_pb::FulfillmentFeedEntry>, Fault> {
    let page_size = i32::try_from(limit).unwrap_or(i32::MAX);
    let request = fulfillment_pb::ListFulfillmentFeedRequest { cursor, page_size };
    Ok(answer(feed.list_fulfillment_feed(request).await)?.entries)
}

async fn watch_fulfillment(
    mut feed: FulfillmentFeedServiceClient<Wire>,
    cursor: String,
) -> Result<Pages<fulfillment_pb::FulfillmentFeedEntry>, Fault> {
    let request = fulfillment_pb::WatchFulfillmentFeedRequest { cursor };
    let pages = answer(feed.watch_fulfillment_feed(request).await)?;
    let pages = pages.map(|page| {
        page.map(|page| page.entries)
            .map_err(|status| Fault::from_status(&status))
    });
    Ok(pages.boxed())
}

/// One thing from a list, as if the feed had told of it.
struct Apply<F, H> {
    handler: H,
    entry: F,
}

impl<F, H> Operation for Apply<F, H>
where
    F: contracts::feed::FeedMessage,
    H: Consume<F>,
{
    type Output = ();

    fn name(&self) -> &'static str {
        "feed.bootstrap"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        self.handler.apply(tx, &self.entry).await
    }
}

/// Reads partners with their keys, products and listings anew.
async fn read_catalog(wire: Wire, into: Db, mirror: CatalogMirror) -> Result<(), Fault> {
    let mut partners = PartnerServiceClient::new(wire.clone());
    let mut products = ProductServiceClient::new(wire.clone());
    let mut listings = ListingServiceClient::new(wire);
    let put = Put {
        into: &into,
        caller: Caller::system(CATALOG),
        mirror,
    };
    let mut page_token = String::new();
    loop {
        let request = catalog_pb::ListPartnersRequest {
            page_size: BOOTSTRAP_PAGE,
            page_token,
        };
        let page = answer(partners.list_partners(request).await)?;
        for partner in page.partners {
            let partner_id = partner.partner_id.clone();
            put.one(CatalogContent::Partner(partner)).await?;
            read_keys(&mut partners, &put, partner_id).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    loop {
        let request = catalog_pb::ListProductsRequest {
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..Default::default()
        };
        let page = answer(products.list_products(request).await)?;
        for product in page.products {
            put.one(CatalogContent::Product(product)).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    loop {
        let request = catalog_pb::ListListingsRequest {
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..Default::default()
        };
        let page = answer(listings.list_listings(request).await)?;
        for listing in page.listings {
            put.one(CatalogContent::Listing(listing)).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn read_keys(
    partners: &mut PartnerServiceClient<Wire>,
    put: &Put<'_>,
    partner_id: String,
) -> Result<(), Fault> {
    let mut page_token = String::new();
    loop {
        let page_size = BOOTSTRAP_PAGE;
        let request = catalog_pb::ListPaymentKeysRequest {
            partner_id: partner_id.clone(),
            page_size,
            page_token,
        };
        let page = answer(partners.list_payment_keys(request).await)?;
        for key in page.payment_keys {
            put.one(CatalogContent::PaymentKey(key)).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

struct Put<'a> {
    into: &'a Db,
    caller: Caller,
    mirror: CatalogMirror,
}

impl Put<'_> {
    async fn one(&self, content: CatalogContent) -> Result<(), Fault> {
        let entry = catalog_pb::CatalogFeedEntry {
            meta: None,
            content: Some(content),
        };
        self.into
            .execute(
                &self.caller,
                Apply {
                    handler: self.mirror.clone(),
                    entry,
                },
            )
            .await
    }
}

/// Reads how far every fulfilment has come, and after that every return: what comes back was delivered before.
async fn read_fulfillments(
    wire: Wire,
    into: Db,
    handler: FulfillmentProgress,
) -> Result<(), Fault> {
    let mut client = FulfillmentServiceClient::new(wire.clone());
    let put = |content: FulfillmentContent| {
        let entry = fulfillment_pb::FulfillmentFeedEntry {
            meta: None,
            content: Some(content),
        };
        let into = into.clone();
        async move {
            let caller = Caller::system(FULFILLMENT);
            into.execute(&caller, Apply { handler, entry }).await
        }
    };
    let mut page_token = String::new();
    loop {
        let request = fulfillment_pb::ListFulfillmentsRequest {
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..Default::default()
        };
        let page = answer(client.list_fulfillments(request).await)?;
        for fulfillment in page.fulfillments {
            put(FulfillmentContent::Fulfillment(fulfillment)).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut client = ReturnServiceClient::new(wire);
    loop {
        let request = fulfillment_pb::ListReturnsRequest {
            page_size: BOOTSTRAP_PAGE,
            page_token,
            ..Default::default()
        };
        let page = answer(client.list_returns(request).await)?;
        for found in page.goods_returns {
            put(FulfillmentContent::GoodsReturn(found)).await?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}
