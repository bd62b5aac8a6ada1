//! AssortmentService.

use contracts::catalog::v1::assortment_service_server::AssortmentService;
use contracts::catalog::v1::*;
use contracts::common::v1 as common;
use contracts::id::ProductId;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::page::Page;
use kit::validate::Violations;
use tonic::Request;

use super::partner::partner_or_own;
use super::{Answer, Rpc, given, open, parse, render};
use crate::model::listing::{Listing, ListingState};
use crate::model::partner::PartnerState;
use crate::model::terms::PurchaseMode;
use crate::ops::read;
use crate::store::Slice;
use crate::store::listing::AssortmentFilter;

const BRAND_MAX: usize = 120;

#[tonic::async_trait]
impl AssortmentService for Rpc {
    async fn list_assortment(
        &self,
        request: Request<ListAssortmentRequest>,
    ) -> Answer<ListAssortmentResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        if partner_id.is_none() && asked.partner_id.is_empty() {
            v.add("partner_id", "must not be empty.");
        }
        let (filter, mode) = filter(&mut v, &asked);
        v.finish()?;
        let partner_id = given(partner_id)?;
        let query = [
            "ListAssortment",
            partner_id.as_str(),
            &filter.product_id,
            &filter.brand,
            &filter.territory,
            mode.map_or("", PurchaseMode::word),
            if filter.on_sale_only { "on_sale" } else { "" },
        ];
        let (page, cursor, slice) = self.assortment_page(&caller, &asked, &query).await?;
        let operation = read::ListAssortment {
            partner_id,
            filter,
            slice,
        };
        let (partner, listings) = self.read(&caller, operation).await?;
        let key = |listing_id: &str| vec![cursor.clone(), listing_id.to_owned()];
        let (listings, mut next_page_token) =
            page.cut(listings, |listing| key(listing.listing_id.as_str()));
        // The mode in force is no column; a page may hold fewer than asked for.
        let is_wanted =
            |listing: &&Listing| mode.is_none_or(|mode| listing.purchase_mode() == mode);
        let wanted = listings.iter().filter(is_wanted);
        let items = wanted.map(|listing| item(listing, partner)).collect();
        let (items, shorter) = self.fit(items);
        if shorter && let Some(listing) = items.last().and_then(|item| item.listing.as_ref()) {
            next_page_token = page.next_token(&key(&listing.listing_id));
        }
        Ok(ListAssortmentResponse {
            items,
            next_page_token,
            feed_cursor: cursor,
            partner_state: render::partner_state(partner).into(),
        }
        .into())
    }
}

impl Rpc {
    /// Which page is asked for, and where the feed stood before the first was read.
    async fn assortment_page(
        &self,
        caller: &Caller,
        asked: &ListAssortmentRequest,
        query: &[&str],
    ) -> Result<(Page, String, Slice), Fault> {
        let query = format!("{}|{}", caller.scope_key(), query.join("|"));
        let (default, max) = (self.config.page_size_default, self.config.page_size_max);
        let page = Page::parse(asked.page_size, &asked.page_token, default, max, &query)?;
        let (cursor, after) = match page.after_key(2)? {
            Some([cursor, after]) => (cursor.clone(), after.clone()),
            _ => (self.feed.head_cursor(caller).await?, String::new()),
        };
        let limit = page.limit();
        Ok((page, cursor, Slice { after, limit }))
    }
}

fn filter(
    v: &mut Violations,
    asked: &ListAssortmentRequest,
) -> (AssortmentFilter, Option<PurchaseMode>) {
    let product_id = v.opt_id::<ProductId>("product_id", &asked.product_id);
    let mode = v.opt_enumeration::<common::PurchaseMode>("purchase_mode", asked.purchase_mode);
    let mode = mode.and_then(|mode| match mode {
        common::PurchaseMode::InApp => Some(PurchaseMode::InApp),
        common::PurchaseMode::Redirect => Some(PurchaseMode::Redirect),
        common::PurchaseMode::Unspecified => None,
    });
    let filter = AssortmentFilter {
        product_id: product_id.map_or_else(String::new, |id| id.to_string()),
        brand: v.text("brand", &asked.brand, 0..=BRAND_MAX),
        territory: match asked.territory.as_str() {
            "" => String::new(),
            code => parse::territory(v, "territory", code),
        },
        on_sale_only: asked.on_sale_only,
    };
    (filter, mode)
}

fn item(listing: &Listing, partner: PartnerState) -> AssortmentItem {
    // A price less a discount is never out of range; a line is composed from the terms, not from this.
    let effective_price = listing
        .terms
        .effective_price()
        .unwrap_or(listing.terms.price);
    let on_sale = partner == PartnerState::Active
        && listing.state == ListingState::Live
        && listing.terms.sale_window.contains(listing.shown.time);
    AssortmentItem {
        listing: Some(render::listing(listing)),
        effective_price: Some(effective_price.to_proto()),
        on_sale,
    }
}
