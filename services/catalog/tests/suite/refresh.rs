//! What changes of a product reaches its listings.

use std::time::Duration;

use catalog::Config;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::*;
use testkit::{Setup, TestDb, eventually_async, on_both_engines};

use crate::common::*;

const BOUND: Duration = Duration::from_secs(60);

fn update(product_id: &str, title: &str) -> UpdateProductRequest {
    UpdateProductRequest {
        request_id: key(),
        product: Some(Product {
            product_id: product_id.into(),
            title: title.into(),
            brand: "Other".into(),
            ..Product::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["title".into()],
        }),
    }
}

/// The titles of the listings in the feed after the first `from` entries.
async fn published(s: &Server, from: usize) -> Vec<(String, String, String)> {
    let all = s.feed_of(&s.ops()).await;
    let listings = all
        .into_iter()
        .skip(from)
        .filter_map(|entry| match entry.content {
            Some(Content::Listing(listing)) => {
                Some((listing.listing_id, listing.title, listing.etag))
            }
            _ => None,
        });
    listings.collect()
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_new_title_is_published_with_every_listing_that_is_not_over(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let (tea, cup) = (s.create_product("TEA", 2).await, s.create_product("CUP", 1).await);
        let live = s.live(&north, &tea.variants[0].variant_id).await;
        let waiting = s.propose(&south, &tea.variants[1].variant_id).await;
        let ended = s.live(&south, &tea.variants[0].variant_id).await;
        let end = EndListingRequest {
            request_id: key(), listing_id: ended.listing_id.clone(), reason: "over".into(), etag: String::new(),
        };
        call!(ops.listings.end_listing(end)).expect("ended");
        let other = s.live(&north, &cup.variants[0].variant_id).await;
        let before = s.feed_of(&ops).await.len();

        call!(ops.products.update_product(update(&tea.product_id, "Kettle"))).expect("updated");
        let mut new = published(&s, before).await;
        new.sort();
        let mut ids: Vec<_> = new.iter().map(|(id, title, _)| (id.as_str(), title.as_str())).collect();
        ids.sort_unstable();
        let mut expected = vec![(live.listing_id.as_str(), "Kettle"), (waiting.listing_id.as_str(), "Kettle")];
        expected.sort_unstable();
        assert_eq!(ids, expected);
        for (listing_id, _, etag) in &new {
            let get = GetListingRequest { listing_id: listing_id.clone() };
            let listing = call!(ops.listings.get_listing(get)).expect("there").listing.expect("it");
            assert_eq!((listing.title.as_str(), &listing.etag), ("Kettle", etag));
        }
        let title = |listing_id: String| {
            let ops = ops.clone();
            async move {
                let get = GetListingRequest { listing_id };
                call!(ops.listings.get_listing(get)).expect("there").listing.expect("it").title
            }
        };
        assert_eq!(title(ended.listing_id).await, "Teapot TEA", "what is over stays as it was");
        assert_eq!(title(other.listing_id).await, "Teapot CUP");

        // The same title again says nothing new about the listings; what else they show of the product does.
        let before = s.feed_of(&ops).await.len();
        call!(ops.products.update_product(update(&tea.product_id, "Kettle"))).expect("updated");
        assert_eq!(s.feed_of(&ops).await.len(), before);
        let mut brand = update(&tea.product_id, "Kettle");
        brand.update_mask = Some(prost_types::FieldMask { paths: vec!["brand".into()] });
        call!(ops.products.update_product(brand)).expect("updated");
        assert_eq!(published(&s, before).await.len(), 2);
        assert_eq!(s.listing(&live.listing_id).await.product.expect("it").brand, "Other");
    }

    async fn a_title_of_many_listings_reaches_them_in_bounded_steps(t: TestDb) {
        let config = Config { refresh_listings_max: 2, refresh_poll_ms: 5, ..Config::default() };
        let s = Server::start_with(&t, config.clone(), false).await;
        let ops = s.ops();
        let partner = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        for _ in 0..7 {
            s.propose(&partner, &product.variants[0].variant_id).await;
        }
        let before = s.feed_of(&ops).await.len();
        call!(ops.products.update_product(update(&product.product_id, "Kettle"))).expect("updated");
        assert_eq!(published(&s, before).await.len(), 2, "no more than the limit at once");
        call!(ops.products.update_product(update(&product.product_id, "Pot"))).expect("updated again");
        assert_eq!(published(&s, before).await.len(), 4);

        let worker = Server::start_with(&t, config, true).await;
        let done = eventually_async(BOUND, async || {
            let request = ListListingsRequest::default();
            let list = call!(ops.listings.list_listings(request)).expect("a list").listings;
            list.iter().all(|listing| listing.title == "Pot")
        });
        assert!(done.await, "every listing gets the title in the end");
        let last = published(&s, before).await;
        let of_last_title = last.iter().filter(|(_, title, _)| title == "Pot");
        assert_eq!(of_last_title.count(), 7, "each listing is published with the title once");
        worker.stop().await;
    }
}
