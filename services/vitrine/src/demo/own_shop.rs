//! What is sold in the retailer's own shop: the platform shows a link, the shop says what came of it.

use std::time::Duration;

use contracts::common::v1 as common;
use contracts::order::v1 as pb;

use super::client::reason;
use super::goods::{PARTNERS, PRODUCTS, REDIRECT_PRODUCT};
use super::now_proto;
use super::plan::{ShopperPlan, Story};
use super::screen::count;
use super::shopper::{Asked, Shop};
use super::world::{ask, text};

/// What came of the links, by partner.
#[derive(Default, Clone, Copy)]
pub struct Sold {
    pub conversions: u64,
    pub reversed: u64,
}

/// Every platform sends a few shoppers to the shop; one of them changes their mind.
pub async fn sales(shop: &Shop) -> anyhow::Result<Sold> {
    let mut sold = Sold::default();
    for partner in 0..PARTNERS.len() {
        refused_in_app(shop, partner).await?;
        for nth in 0..3 {
            let conversion = one_sale(shop, partner, nth).await?;
            sold.conversions += 1;
            count(&shop.tallies.conversions);
            if nth == 2 {
                reverse(shop, &conversion).await?;
                sold.reversed += 1;
            }
        }
        known_to_the_platform(shop, partner).await?;
    }
    Ok(sold)
}

/// The platform may not take the money for it.
async fn refused_in_app(shop: &Shop, partner: usize) -> anyhow::Result<()> {
    let id = text(&[&shop.world.run, "in-app", PARTNERS[partner].code]);
    let plan = ShopperPlan {
        partner,
        shopper_ref: id.clone(),
        partner_order_id: id,
        story: Story::Buy,
        lines: vec![(REDIRECT_PRODUCT, 1)],
    };
    let asked = Asked {
        expected: Some(PRODUCTS[REDIRECT_PRODUCT].prices[partner]),
        ..Asked::default()
    };
    let because = match shop.place(&plan, &asked).await? {
        Ok(_) => "an order".to_owned(),
        Err(status) => reason(&status),
    };
    shop.expect(
        because == "LISTING_REDIRECTS",
        "what the retailer sells itself is not sold in the app",
        because,
    );
    Ok(())
}

async fn one_sale(shop: &Shop, partner: usize, nth: usize) -> anyhow::Result<pb::Conversion> {
    let world = &shop.world;
    let platform = &world.partners[partner];
    let name = text(&[
        &world.run,
        "trunk",
        PARTNERS[partner].code,
        &nth.to_string(),
    ]);
    let request = pb::CreateDeepLinkRequest {
        request_id: text(&["link", &name]),
        listing_id: platform.listings[REDIRECT_PRODUCT].listing_id.clone(),
        shopper_ref: name.clone(),
        touchpoints: vec![common::Touchpoint {
            outlet_id: platform.outlet_id.clone(),
            room_id: world.rooms[shop.room].room_id.clone(),
            surface: "live_card".into(),
            media_time_ms: 90_000,
            touch_time: Some(now_proto()),
            ..Default::default()
        }],
    };
    let link = ask!(
        "the suite made no deep link (is `order.link_base_url` set?)",
        platform.caller,
        orders.create_deep_link(request)
    )?;
    shop.expect(
        link.uri.starts_with("https://"),
        "a deep link is an https address",
        &link.uri,
    );
    let token = link
        .uri
        .rsplit(['=', '/'])
        .next()
        .unwrap_or_default()
        .to_owned();
    // The shopper clicks, and buys a moment later; the shop's clock is the suite's here.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let price = PRODUCTS[REDIRECT_PRODUCT].prices[partner];
    let money = |minor_units| {
        Some(common::Money {
            currency_code: PARTNERS[partner].currency.into(),
            minor_units,
        })
    };
    let request = pb::ReportConversionRequest {
        request_id: text(&["sale", &name]),
        link_token: token,
        shop_order_reference: text(&["shop", &name]),
        lines: vec![pb::ConversionLineDraft {
            sku: PRODUCTS[REDIRECT_PRODUCT].sku.into(),
            quantity: 1,
            amount: money(price),
        }],
        amount: money(price + price / 10),
        click_time: Some(now_proto()),
        convert_time: Some(now_proto()),
    };
    let conversion = ask!(
        "the shop could not report a sale",
        world.ops,
        orders.report_conversion(request.clone())
    )?
    .conversion
    .unwrap_or_default();
    let again = ask!(
        "the shop could not report a sale twice",
        world.ops,
        orders.report_conversion(request.clone())
    )?
    .conversion
    .unwrap_or_default();
    shop.expect(
        conversion == again,
        "a sale reported twice has one answer",
        (&conversion.conversion_id, &again.conversion_id),
    );
    Ok(conversion)
}

async fn reverse(shop: &Shop, conversion: &pb::Conversion) -> anyhow::Result<()> {
    let request = pb::ReverseConversionRequest {
        request_id: text(&["reverse", &conversion.shop_order_reference]),
        conversion_id: conversion.conversion_id.clone(),
        lines: Vec::new(),
        amount: None,
        reverse_time: Some(now_proto()),
    };
    let reversed = ask!(
        "the shop could not undo a sale",
        shop.world.ops,
        orders.reverse_conversion(request)
    )?
    .conversion
    .unwrap_or_default();
    let (kept, back) = (
        reversed.commission.map(|m| m.minor_units),
        reversed.reversed_commission.map(|m| m.minor_units),
    );
    shop.expect(
        reversed.state == i32::from(pb::ConversionState::Reversed) && kept == back,
        "commission goes back with the sale",
        (kept, back),
    );
    Ok(())
}

async fn known_to_the_platform(shop: &Shop, partner: usize) -> anyhow::Result<()> {
    let request = pb::ListConversionsRequest {
        page_size: 200,
        ..Default::default()
    };
    let known = ask!(
        "a platform could not read its conversions",
        shop.world.partners[partner].caller,
        orders.list_conversions(request)
    )?
    .conversions;
    let listing_id = &shop.world.partners[partner].listings[REDIRECT_PRODUCT].listing_id;
    shop.expect(
        known.len() == 3 && known.iter().all(|c| c.listing_id == *listing_id),
        "a platform knows what came of its links",
        known.len(),
    );
    Ok(())
}
