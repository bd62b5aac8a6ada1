//! The catalogue's feed: partners, outlets, products and listings come into this service's own tables.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::store::consumer::{Consume, Consumer, FeedSource, Pages};
use ::store::{Db, Operation, Tx};
use contracts::catalog::v1 as pb;
use contracts::catalog::v1::catalog_feed_service_client::CatalogFeedServiceClient;
use contracts::catalog::v1::listing_service_client::ListingServiceClient;
use contracts::catalog::v1::partner_service_client::PartnerServiceClient;
use contracts::catalog::v1::product_service_client::ProductServiceClient;
use contracts::common::v1 as common;
use contracts::id::{OutletId, PartnerId, ProductId};
use futures::{Stream, StreamExt};
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use kit::wire::Wire;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::model::{Listing, ListingState, Place, PurchaseMode};
use crate::ops::items::brand_changed;
use crate::ops::timeline::listing_changed;
use crate::store::mirror::{
    MirroredProduct, listing_put, outlet_put, partner_put, product_by_id, product_put,
};

/// What an entry of the catalogue means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A partner, and whether it is suspended.
    Partner(PartnerId, bool),
    /// A place where rooms may be shown.
    Outlet(Place),
    /// A product.
    Product(MirroredProduct),
    /// A listing.
    Listing(Box<Listing>),
    /// Nothing.
    Other,
}

impl News {
    /// Writes it down.
    pub async fn apply(&self, tx: &mut Tx) -> Result<(), Fault> {
        match self {
            News::Partner(partner, suspended) => partner_put(tx, partner, *suspended).await,
            News::Outlet(place) => outlet_put(tx, place).await,
            News::Product(product) => {
                let before = product_by_id(tx, &product.product_id).await?;
                product_put(tx, product).await?;
                match before {
                    Some(before) if before.brand != product.brand => {
                        brand_changed(tx, &product.product_id).await
                    }
                    _ => Ok(()),
                }
            }
            News::Listing(listing) => {
                listing_put(tx, listing).await?;
                listing_changed(tx, listing).await
            }
            News::Other => Ok(()),
        }
    }
}

/// Reads an entry.
pub fn news(entry: &pb::CatalogFeedEntry) -> Result<News, Refusal> {
    use pb::catalog_feed_entry::Content;
    match &entry.content {
        Some(Content::Partner(partner)) => partner_news(partner),
        Some(Content::Outlet(outlet)) => outlet_news(outlet),
        Some(Content::Product(product)) => product_news(product),
        Some(Content::Listing(listing)) => listing_news(listing),
        Some(Content::PaymentKey(_) | Content::PartnerAccess(_)) | None => Ok(News::Other),
    }
}

/// Reads a partner.
pub fn partner_news(partner: &pb::Partner) -> Result<News, Refusal> {
    let mut wrong = Violations::new();
    let id = wrong.id::<PartnerId>("partner_id", &partner.partner_id);
    let state = wrong.enumeration::<pb::PartnerState>("state", partner.state);
    wrong.finish()?;
    Ok(id.map_or(News::Other, |id| {
        News::Partner(id, state != pb::PartnerState::Active)
    }))
}

/// Reads an outlet.
pub fn outlet_news(outlet: &pb::Outlet) -> Result<News, Refusal> {
    let mut wrong = Violations::new();
    let outlet_id = wrong.id::<OutletId>("outlet_id", &outlet.outlet_id);
    let partner_id = wrong.id::<PartnerId>("partner_id", &outlet.partner_id);
    wrong.finish()?;
    let place = outlet_id
        .zip(partner_id)
        .map(|(outlet_id, partner_id)| Place {
            outlet_id,
            partner_id,
        });
    Ok(place.map_or(News::Other, News::Outlet))
}

/// Reads a product.
pub fn product_news(product: &pb::Product) -> Result<News, Refusal> {
    let mut wrong = Violations::new();
    let id = wrong.id::<ProductId>("product_id", &product.product_id);
    wrong.finish()?;
    let (title, brand) = (product.title.clone(), product.brand.clone());
    Ok(id.map_or(News::Other, |product_id| {
        News::Product(MirroredProduct {
            product_id,
            title,
            brand,
        })
    }))
}

/// Reads a listing.
pub fn listing_news(listing: &pb::Listing) -> Result<News, Refusal> {
    let mut wrong = Violations::new();
    let read = read_listing(&mut wrong, listing);
    wrong.finish()?;
    Ok(read.map_or(News::Other, |listing| News::Listing(Box::new(listing))))
}

fn read_listing(wrong: &mut Violations, listing: &pb::Listing) -> Option<Listing> {
    let id = wrong.id("listing_id", &listing.listing_id);
    let partner_id = wrong.id("partner_id", &listing.partner_id);
    let product_id = wrong.id("product_id", &listing.product_id);
    let variant_id = wrong.id("variant_id", &listing.variant_id);
    let state = wrong.enumeration::<pb::ListingState>("state", listing.state);
    let terms = wrong.required("terms", &listing.terms)?;
    let mut inside = wrong.nested("terms");
    let price = inside.price("price", &terms.price);
    let discount = i64::from(terms.retailer_discount_basis_points);
    let discount = inside.range("retailer_discount_basis_points", discount, 0..=10_000);
    let window = inside.window("sale_window", &terms.sale_window);
    let first =
        inside.opt_enumeration::<common::PurchaseMode>("purchase_mode", terms.purchase_mode);
    drop(inside);
    // The catalogue says which mode is in force, and says it again whenever a date switches it.
    let now = listing.effective_purchase_mode;
    let now = wrong.opt_enumeration::<common::PurchaseMode>("effective_purchase_mode", now);
    let mode = now.or(first);
    Some(Listing {
        id: id?,
        partner_id: partner_id?,
        product_id: product_id?,
        variant_id: variant_id?,
        variant_label: variant_label(listing.variant.as_ref()),
        price: price?,
        retailer_discount_basis_points: i32::try_from(discount).ok()?,
        purchase_mode: match mode {
            Some(common::PurchaseMode::Redirect) => PurchaseMode::Redirect,
            _ => PurchaseMode::InApp,
        },
        state: listing_state(state)?,
        window,
    })
}

/// What tells a variant from its siblings, such as `Large / Blue`; its SKU when it has no options.
fn variant_label(variant: Option<&pb::Variant>) -> String {
    let Some(variant) = variant else {
        return String::new();
    };
    if variant.options.is_empty() {
        return variant.sku.clone();
    }
    let values: Vec<&str> = variant
        .options
        .iter()
        .map(|option| option.value.as_str())
        .collect();
    values.join(" / ")
}

fn listing_state(state: pb::ListingState) -> Option<ListingState> {
    Some(match state {
        pb::ListingState::Unspecified => return None,
        pb::ListingState::Proposed => ListingState::Proposed,
        pb::ListingState::Approved => ListingState::Approved,
        pb::ListingState::Live => ListingState::Live,
        pb::ListingState::Paused => ListingState::Paused,
        pb::ListingState::Ended => ListingState::Ended,
        pb::ListingState::Rejected => ListingState::Rejected,
    })
}

/// Applies the catalogue's feed.
pub struct CatalogMirror;

impl Consume<pb::CatalogFeedEntry> for CatalogMirror {
    async fn apply(&self, tx: &mut Tx, entry: &pb::CatalogFeedEntry) -> Result<(), Fault> {
        news(entry)?.apply(tx).await
    }
}

/// The catalogue's feed over its wire.
///
/// Whoever asks for more has committed what it was given before, so each time that happens live rooms are told to look.
pub struct CatalogFeed {
    client: CatalogFeedServiceClient<Wire>,
    applied: Arc<Notify>,
}

impl CatalogFeed {
    /// The feed behind `wire`; `applied` hears when entries may have been applied.
    pub fn new(wire: Wire, applied: Arc<Notify>) -> Self {
        CatalogFeed {
            client: CatalogFeedServiceClient::new(wire),
            applied,
        }
    }
}

impl FeedSource<pb::CatalogFeedEntry> for CatalogFeed {
    async fn list(&self, cursor: &str, limit: u32) -> Result<Vec<pb::CatalogFeedEntry>, Fault> {
        self.applied.notify_one();
        let page_size = i32::try_from(limit).unwrap_or(i32::MAX);
        let request = pb::ListCatalogFeedRequest {
            cursor: cursor.to_owned(),
            page_size,
        };
        let answer = self.client.clone().list_catalog_feed(request).await;
        Ok(answer
            .map_err(|status| Fault::from_status(&status))?
            .into_inner()
            .entries)
    }

    async fn watch(&self, cursor: &str) -> Result<Pages<pb::CatalogFeedEntry>, Fault> {
        self.applied.notify_one();
        let request = pb::WatchCatalogFeedRequest {
            cursor: cursor.to_owned(),
        };
        let answer = self.client.clone().watch_catalog_feed(request).await;
        let stream = answer
            .map_err(|status| Fault::from_status(&status))?
            .into_inner();
        let pages = stream.map(|page| match page {
            Ok(page) => Ok(page.entries),
            Err(status) => Err(Fault::from_status(&status)),
        });
        Ok(Heard {
            pages: pages.boxed(),
            applied: self.applied.clone(),
        }
        .boxed())
    }
}

/// Pages that tell when they are asked for.
struct Heard<F> {
    pages: Pages<F>,
    applied: Arc<Notify>,
}

impl<F> Stream for Heard<F> {
    type Item = Result<Vec<F>, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.applied.notify_one();
        self.pages.poll_next_unpin(cx)
    }
}

/// The name under which the place in the catalogue's feed is kept.
pub const CONSUMER: &str = "catalog-feed";

/// Follows the catalogue's feed into `db` until `drain`. `applied` hears when entries may have been applied.
pub async fn follow(
    db: Db,
    catalog: Wire,
    config: Arc<Config>,
    applied: Arc<Notify>,
    drain: CancellationToken,
) {
    let source = CatalogFeed::new(catalog.clone(), applied);
    let into = db.clone();
    let page_size = i32::try_from(config.bootstrap_page_size).unwrap_or(i32::MAX);
    Consumer::new(
        db,
        CONSUMER,
        source,
        CatalogMirror,
        config.catalog_feed.clone(),
    )
    .on_expired(move |_cursor| bootstrap(catalog.clone(), into.clone(), page_size))
    .run(drain)
    .await;
}

/// Reads one of the catalogue's lists to its end, page by page, each page into one unit of work.
macro_rules! read_list {
    ($into:ident, $page_size:ident, $client:expr, $list:ident, $request:ident, $items:ident, $news:ident) => {{
        let mut client = $client;
        let mut page_token = String::new();
        loop {
            #[allow(
                clippy::needless_update,
                reason = "only some of the lists have filters"
            )]
            let request = pb::$request {
                page_size: $page_size,
                page_token,
                ..Default::default()
            };
            let answer = client
                .$list(request)
                .await
                .map_err(|status| Fault::from_status(&status))?
                .into_inner();
            let news = answer
                .$items
                .iter()
                .map($news)
                .collect::<Result<Vec<News>, Refusal>>()?;
            $into
                .execute(&Caller::system(CONSUMER), Refill { news })
                .await?;
            if answer.next_page_token.is_empty() {
                break;
            }
            page_token = answer.next_page_token;
        }
    }};
}

/// Reads everything anew, when the feed no longer tells it.
async fn bootstrap(catalog: Wire, into: Db, page_size: i32) -> Result<(), Fault> {
    let partners = || PartnerServiceClient::new(catalog.clone());
    read_list!(
        into,
        page_size,
        partners(),
        list_partners,
        ListPartnersRequest,
        partners,
        partner_news
    );
    read_list!(
        into,
        page_size,
        partners(),
        list_outlets,
        ListOutletsRequest,
        outlets,
        outlet_news
    );
    let products = ProductServiceClient::new(catalog.clone());
    read_list!(
        into,
        page_size,
        products,
        list_products,
        ListProductsRequest,
        products,
        product_news
    );
    let listings = ListingServiceClient::new(catalog);
    read_list!(
        into,
        page_size,
        listings,
        list_listings,
        ListListingsRequest,
        listings,
        listing_news
    );
    Ok(())
}

/// A page of the catalogue's lists.
struct Refill {
    news: Vec<News>,
}

impl Operation for Refill {
    type Output = ();

    fn name(&self) -> &'static str {
        "catalog.refill"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for news in &self.news {
            news.apply(tx).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> pb::Listing {
        let amount = common::Money {
            currency_code: "EUR".into(),
            minor_units: 1_990,
        };
        pb::Listing {
            listing_id: contracts::id::ListingId::from_uuid(1).into(),
            partner_id: PartnerId::from_uuid(1).into(),
            variant_id: contracts::id::VariantId::from_uuid(1).into(),
            product_id: ProductId::from_uuid(1).into(),
            terms: Some(pb::ListingTerms {
                price: Some(common::Price {
                    amount: Some(amount),
                    per_quantity: 1,
                }),
                ..Default::default()
            }),
            state: pb::ListingState::Live.into(),
            variant: Some(pb::Variant {
                sku: "B-1".into(),
                options: ["Large", "Blue"]
                    .map(|value| pb::VariantOption {
                        name: "x".into(),
                        value: value.into(),
                    })
                    .to_vec(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_listing_is_read_with_its_label_and_defaults() {
        let News::Listing(read) = listing_news(&listing()).expect("right") else {
            panic!("a listing")
        };
        assert_eq!(read.variant_label, "Large / Blue");
        assert_eq!(
            (read.state, read.purchase_mode),
            (ListingState::Live, PurchaseMode::InApp)
        );
        assert_eq!(read.price.amount().minor_units, 1_990);
    }

    #[test]
    fn the_mode_in_force_counts_and_not_the_one_before_a_switch() {
        for mode in [common::PurchaseMode::InApp, common::PurchaseMode::Redirect] {
            let mut switched = listing();
            switched.effective_purchase_mode = mode.into();
            let terms = switched.terms.as_mut().expect("terms");
            terms.purchase_mode = common::PurchaseMode::Redirect.into();
            let News::Listing(read) = listing_news(&switched).expect("right") else {
                panic!("a listing")
            };
            let is_redirect = mode == common::PurchaseMode::Redirect;
            assert_eq!(read.purchase_mode == PurchaseMode::Redirect, is_redirect);
        }
    }

    #[test]
    fn what_cannot_be_read_names_the_field() {
        let mut wrong = listing();
        wrong.terms.as_mut().expect("terms").price = None;
        wrong.partner_id = "acme".into();
        let refusal = listing_news(&wrong).expect_err("wrong");
        let fields: Vec<_> = refusal
            .violations
            .iter()
            .map(|wrong| wrong.field.as_str())
            .collect();
        assert_eq!(fields, ["partner_id", "terms.price"]);
    }
}
