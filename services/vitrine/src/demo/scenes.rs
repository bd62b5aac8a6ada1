//! Two scenes that need the retailer's hand: a price changes while quotes are out, and a sale is stopped.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::order::v1 as pb;

use super::client::reason;
use super::goods::{DOUBTED_PRODUCT, PARTNERS, PRODUCTS};
use super::plan::{ShopperPlan, Story};
use super::shopper::{Asked, Placed, Shop, payable};
use super::warehouse::lock;
use super::world::ask;

fn extra(shop: &Shop, name: &str, n: usize) -> ShopperPlan {
    let id = format!("{}-{name}-{n}", shop.world.run);
    ShopperPlan {
        partner: 0,
        shopper_ref: id.clone(),
        partner_order_id: id,
        story: Story::Buy,
        lines: vec![(DOUBTED_PRODUCT, 1)],
    }
}

/// A quote given before a change is honoured; who shows the old price without one is told the new.
pub async fn price_change(shop: &Shop) -> anyhow::Result<Vec<Placed>> {
    let (quoted, shown) = (extra(shop, "quoted", 0), extra(shop, "shown", 0));
    let quote = shop.quote(&quoted, 0).await?;
    let old = payable(quote.amount.as_ref());
    let listing = &shop.world.partners[0].listings[DOUBTED_PRODUCT];
    let request = catalog::ChangeListingTermsRequest {
        request_id: format!("{}-dearer", shop.world.run),
        listing_id: listing.listing_id.clone(),
        price: Some(common::Price {
            amount: Some(common::Money {
                currency_code: PARTNERS[0].currency.into(),
                minor_units: PRODUCTS[DOUBTED_PRODUCT].prices[0] + 1_000,
            }),
            per_quantity: 1,
        }),
        ..Default::default()
    };
    ask!(
        "a price could not be changed",
        shop.world.ops,
        listings.change_listing_terms(request)
    )?;
    let mut new = old;
    for _ in 0..200 {
        new = payable(shop.quote(&shown, 0).await?.amount.as_ref());
        if new != old {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shop.expect(new > old, "a changed price reaches quotes", (old, new));
    lock(&shop.prices).clear();
    let mut placed = Vec::new();
    match shop
        .place(
            &quoted,
            &Asked {
                quote: Some(quote.quote_token),
                ..Asked::default()
            },
        )
        .await?
    {
        Ok(order) => {
            shop.expect(
                order.payable == old,
                "a quote is honoured for its life",
                (order.payable, old),
            );
            placed.push(order);
        }
        Err(status) => shop.expect(false, "a quote is honoured for its life", reason(&status)),
    }
    match shop
        .place(
            &shown,
            &Asked {
                expected: Some(old),
                ..Asked::default()
            },
        )
        .await?
    {
        Ok(_) => shop.expect(false, "an old price without a quote is refused", "an order"),
        Err(status) => shop.expect(
            reason(&status) == "PRICE_CHANGED",
            "an old price without a quote is refused",
            reason(&status),
        ),
    }
    match shop
        .place(
            &shown,
            &Asked {
                expected: Some(new),
                ..Asked::default()
            },
        )
        .await?
    {
        Ok(order) => placed.push(order),
        Err(status) => shop.expect(false, "the new price is taken", reason(&status)),
    }
    for order in &placed {
        shop.pay_and_give_address(order, "a payment after a price change")
            .await?;
    }
    Ok(placed)
}

/// A stop acts at once: no new orders, and what was held is paid back when it is paid.
pub async fn stopped_sale(shop: &Shop) -> anyhow::Result<Vec<Placed>> {
    // A short hold: what is not paid for good gives its units back soon.
    let brief = Asked {
        hold_s: Some(3),
        ..Asked::default()
    };
    let mut placed = Vec::new();
    for n in 0..5 {
        match shop.place(&extra(shop, "stopped", n), &brief).await? {
            Ok(order) => placed.push(order),
            Err(status) => shop.expect(false, "an order before the stop", reason(&status)),
        }
    }
    let request = pb::StopSaleRequest {
        request_id: format!("{}-stop", shop.world.run),
        target: Some(pb::StopTarget {
            target: Some(pb::stop_target::Target::ProductId(
                shop.world.product_ids[DOUBTED_PRODUCT].clone(),
            )),
        }),
        reason: "a customer doubts that the signature is genuine".into(),
    };
    let stop = ask!(
        "a sale could not be stopped",
        shop.world.care,
        orders.stop_sale(request)
    )?;
    for order in &placed {
        let answer = shop.pay(order, order.payable, 1).await?;
        let because = answer.refund.map(|r| r.reason());
        shop.expect(
            because == Some(pb::RefundReason::SaleStopped),
            "a payment after the stop",
            because,
        );
    }
    match shop
        .place(&extra(shop, "while-stopped", 0), &Asked::default())
        .await?
    {
        Ok(_) => shop.expect(false, "an order after the stop is refused", "an order"),
        Err(status) => shop.expect(
            reason(&status) == "SALE_STOPPED",
            "an order after the stop is refused",
            reason(&status),
        ),
    }
    let request = pb::ResumeSaleRequest {
        request_id: format!("{}-resume", shop.world.run),
        stop_id: stop.stop_id,
    };
    ask!(
        "a sale could not be resumed",
        shop.world.ops,
        orders.resume_sale(request)
    )?;
    match shop
        .place(&extra(shop, "resumed", 0), &Asked::default())
        .await?
    {
        Ok(order) => {
            shop.pay_and_give_address(&order, "a payment after the sale resumed")
                .await?;
            placed.push(order);
        }
        Err(status) => shop.expect(false, "an order after the sale resumed", reason(&status)),
    }
    Ok(placed)
}
