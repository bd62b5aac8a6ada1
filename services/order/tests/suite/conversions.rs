//! What the retailer's shop reports of deep links: once, within its time, and never more back than was bought.

use std::time::Duration;

use contracts::common::v1::{CollectedBy, RetailerRole};
use contracts::id::kind;
use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content;
use kit::errors::Fault;
use prost::Message;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::links::{config, redirecting, start, token_of, wanted};
use crate::world::{World, fields, money, money_in, nth, partner, refused, setup, told};

const DAY: Duration = Duration::from_secs(86_400);

/// A link of partner 1 and its token.
pub async fn link(world: &World) -> (pb::CreateDeepLinkResponse, String) {
    world.stock(9).await;
    world.enter_listing(redirecting(1)).await;
    let answer = world
        .partner(1)
        .orders
        .create_deep_link(wanted("l-1", 1))
        .await;
    let linked = answer.expect("a link").into_inner();
    let token = token_of(&linked.uri);
    (linked, token)
}

pub fn bought(sku: &str, quantity: i64, amount: i64) -> pb::ConversionLineDraft {
    pb::ConversionLineDraft {
        sku: sku.into(),
        quantity,
        amount: money(amount),
    }
}

pub fn gone(sku: &str, quantity: i64, amount: i64) -> pb::ReversedLineDraft {
    pb::ReversedLineDraft {
        sku: sku.into(),
        quantity,
        amount: money(amount),
    }
}

/// Three scarves at 333.33 and a card for nothing, 9.90 of shipping: 1,009.89 in all.
pub fn purchase(
    world: &World,
    request_id: &str,
    token: &str,
    reference: &str,
) -> pb::ReportConversionRequest {
    let now = Some(world.now().to_proto());
    pb::ReportConversionRequest {
        request_id: request_id.into(),
        link_token: token.into(),
        shop_order_reference: reference.into(),
        lines: vec![bought("SCARF", 3, 99_999), bought("CARD", 1, 0)],
        amount: money(100_989),
        click_time: now,
        convert_time: now,
    }
}

pub fn reversal(
    world: &World,
    request_id: &str,
    conversion_id: &str,
    lines: Vec<pb::ReversedLineDraft>,
    amount: i64,
) -> pb::ReverseConversionRequest {
    pb::ReverseConversionRequest {
        request_id: request_id.into(),
        conversion_id: conversion_id.into(),
        amount: (amount > 0 || !lines.is_empty())
            .then(|| money(amount))
            .flatten(),
        lines,
        reverse_time: Some(world.now().to_proto()),
    }
}

/// What partner 1 reads of conversions in its feed.
async fn told_of(world: &World) -> Vec<pb::ConversionChanged> {
    let entries = world.feed(world.partner(1)).await;
    let conversion = |entry: pb::OrderFeedEntry| match entry.content {
        Some(Content::ConversionChanged(changed)) => {
            assert!(
                !changed
                    .encode_to_vec()
                    .windows(3)
                    .any(|letters| letters == b"ann"),
                "no shopper in the feed"
            );
            Some(changed)
        }
        _ => None,
    };
    entries.into_iter().filter_map(conversion).collect()
}

fn minor(money: &Option<contracts::common::v1::Money>) -> i64 {
    money.as_ref().expect("an amount").minor_units
}

on_both_engines! {
    setup: setup();

    async fn a_purchase_is_reported_once(t: TestDb) {
        let world = start(t).await;
        let (linked, token) = link(&world).await;
        let mut ops = world.ops();
        let request = purchase(&world, "c-1", &token, "shop-1");
        let reported = ops.orders.report_conversion(request.clone()).await.expect("reported").into_inner();
        let conversion = reported.conversion.clone().expect("it");
        assert_eq!(conversion.state(), pb::ConversionState::Reported);
        assert_eq!((conversion.deep_link_id.clone(), conversion.partner_id.clone()), (linked.deep_link_id, partner(1).to_string()));
        // A tenth of the goods, not of the shipping.
        assert_eq!((minor(&conversion.amount), minor(&conversion.commission)), (100_989, 10_000));
        assert_eq!(conversion.collected_by(), CollectedBy::Retailer);

        // The same again, however late; the same key with other content; the same purchase under another key.
        world.advance(100 * DAY);
        assert_eq!(ops.orders.report_conversion(request.clone()).await.expect("again").into_inner(), reported);
        let other = pb::ReportConversionRequest { amount: money(100_990), ..request.clone() };
        refused(ops.orders.report_conversion(other).await, "KEY_REUSED", Code::AlreadyExists);
        let twice = pb::ReportConversionRequest { request_id: "c-2".into(), ..request };
        let status = refused(ops.orders.report_conversion(twice).await, "ALREADY_EXISTS", Code::AlreadyExists);
        assert_eq!(told(&status, "conversion_id"), conversion.conversion_id);

        let told = told_of(&world).await;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].conversion.clone(), &told[0].reversal), (Some(conversion.clone()), &None));
        assert!(world.feed(world.partner(2)).await.is_empty());
        // No order, payment or refund came of it.
        let orders = ops.orders.list_orders(pb::ListOrdersRequest::default()).await.expect("a list").into_inner();
        assert!(orders.orders.is_empty());
        let got = ops.orders.get_conversion(pb::GetConversionRequest { conversion_id: conversion.conversion_id.clone() }).await;
        assert_eq!(got.expect("found").into_inner(), pb::GetConversionResponse { conversion: Some(conversion), reversals: Vec::new() });
    }

    async fn it_has_its_time(t: TestDb) {
        let world = start(t).await;
        let (linked, token) = link(&world).await;
        let mut ops = world.ops();
        let made = world.now();
        let at = |click: Duration, convert: Duration| pb::ReportConversionRequest {
            click_time: Some(made.plus(click).to_proto()), convert_time: Some(made.plus(convert).to_proto()),
            ..purchase(&world, "c", &token, "shop")
        };
        let invalid = |status: tonic::Status| fields(&status);
        let early = pb::ReportConversionRequest { click_time: Some(made.minus(DAY).to_proto()), ..purchase(&world, "c", &token, "shop") };
        assert_eq!(invalid(refused(ops.orders.report_conversion(early).await, "INVALID_FIELD", Code::InvalidArgument)), ["click_time"]);
        let future = at(Duration::ZERO, DAY);
        assert_eq!(invalid(refused(ops.orders.report_conversion(future).await, "INVALID_FIELD", Code::InvalidArgument)), ["convert_time"]);
        world.advance(70 * DAY);
        let before_click = at(DAY, Duration::ZERO);
        assert_eq!(invalid(refused(ops.orders.report_conversion(before_click).await, "INVALID_FIELD", Code::InvalidArgument)), ["convert_time"]);
        let end = linked.expire_time.expect("an end");
        assert_eq!(end.seconds, made.plus(30 * DAY).seconds());
        let clicked_late = at(30 * DAY, 31 * DAY);
        refused(ops.orders.report_conversion(clicked_late).await, "LINK_EXPIRED", Code::FailedPrecondition);
        let bought_late = at(29 * DAY, 59 * DAY + Duration::from_secs(1));
        refused(ops.orders.report_conversion(bought_late).await, "OUTSIDE_WINDOW", Code::FailedPrecondition);
        // Clicked while the link lived, bought within its window, reported late: that counts.
        ops.orders.report_conversion(at(29 * DAY, 59 * DAY)).await.expect("in time");
        assert_eq!(told_of(&world).await.len(), 1);
    }

    async fn only_our_own_tokens_count(t: TestDb) {
        let world = start(t).await;
        let (_, token) = link(&world).await;
        let mut ops = world.ops();
        let forged = |token: String| purchase(&world, "c", &token, "shop");
        // Genuine in form and key, of a link that this database never had.
        let elsewhere = order::model::link::DeepLink {
            deep_link_id: nth(77), partner_id: partner(1), listing_id: crate::world::listing_id(1),
            shopper_ref: "ann".into(), touchpoints: Vec::new(), terms_version: 1, commission_basis_points: 10_000,
            legal_entity: String::new(), create_time: world.now(), expire_time: world.now().plus(DAY),
        };
        let sealed = |config: order::Config| {
            let sealer = order::link::LinkSealer::new(&config).expect("a secret");
            token_of(&sealer.uri(&elsewhere).expect("a link"))
        };
        let foreign = sealed(order::Config { link_secret: "another secret of more than 32 characters".into(), ..config() });
        for token in ["x".into(), sealed(config()), foreign, token.to_lowercase(), format!("{token}A"), token[..161].into()] {
            refused(ops.orders.report_conversion(forged(token)).await, "BAD_LINK", Code::InvalidArgument);
        }
        // A thousand tokens with one letter or more altered.
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut altered = 0;
        while altered < 1_000 {
            let random = world.t.ids.random_u64();
            let mut bytes = token.clone().into_bytes();
            for turn in 0..=(random >> 60) % 3 {
                let random = random.rotate_left(u32::try_from(turn * 21).expect("small"));
                let at = usize::try_from(random % 162).expect("small");
                bytes[at] = letters[usize::try_from((random >> 20) % 64).expect("small")];
            }
            let forged_token = String::from_utf8(bytes).expect("letters");
            if forged_token == token {
                continue;
            }
            altered += 1;
            let answer = ops.orders.report_conversion(forged(forged_token)).await;
            refused(answer, "BAD_LINK", Code::InvalidArgument);
        }
        assert!(told_of(&world).await.is_empty());
        ops.orders.report_conversion(forged(token)).await.expect("the genuine one");
    }

    async fn what_is_wrong_is_named(t: TestDb) {
        let world = start(t).await;
        let (_, token) = link(&world).await;
        let mut ops = world.ops();
        let wrong = pb::ReportConversionRequest {
            lines: vec![bought("A", 0, 1), bought("A", 1, -1), pb::ConversionLineDraft { sku: String::new(), quantity: 1, amount: money_in("USD", 1) }],
            amount: None, click_time: None, shop_order_reference: String::new(), ..purchase(&world, "", &token, "")
        };
        let status = refused(ops.orders.report_conversion(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        let mut named = fields(&status);
        named.sort();
        assert_eq!(named, [
            "amount", "click_time", "lines[0].quantity", "lines[1].amount.minor_units", "lines[1].sku", "lines[2].sku", "request_id",
            "shop_order_reference",
        ]);
        let request = purchase(&world, "c", &token, "shop");
        for (amount, lines, field) in [
            (money(99_998), request.lines.clone(), "amount"),
            (money_in("USD", 200_000), request.lines.clone(), "lines[0].amount"),
            (money(1), Vec::new(), "lines"),
            (money(i64::MAX), vec![bought("A", 1, i64::MAX), bought("B", 1, i64::MAX)], "amount"),
        ] {
            let wrong = pb::ReportConversionRequest { amount, lines, ..request.clone() };
            let status = refused(ops.orders.report_conversion(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
            assert!(fields(&status).contains(&field.to_owned()), "{field}: {status:?}");
        }
        // The shop has a scope of its own, and no partner has it.
        let stranger = world.partner(1).orders.report_conversion(request.clone()).await;
        refused(stranger, "PERMISSION_DENIED", Code::PermissionDenied);
        let finance = world.retailer(RetailerRole::Finance).orders.report_conversion(request).await;
        refused(finance, "PERMISSION_DENIED", Code::PermissionDenied);
    }

    async fn what_was_bought_goes_back_in_parts_and_never_twice(t: TestDb) {
        let world = start(t).await;
        let (_, token) = link(&world).await;
        let mut ops = world.ops();
        let reported = ops.orders.report_conversion(purchase(&world, "c-1", &token, "shop-1")).await.expect("reported");
        let id = reported.into_inner().conversion.expect("it").conversion_id;
        world.advance(DAY);
        let first = reversal(&world, "r-1", &id, vec![gone("SCARF", 1, 33_333)], 33_833);
        let answer = ops.orders.reverse_conversion(first.clone()).await.expect("reversed").into_inner();
        let (back, left) = (answer.reversal.clone().expect("it"), answer.conversion.clone().expect("it"));
        assert_eq!((minor(&back.amount), minor(&back.commission), back.lines[0].quantity), (33_833, 3_333, 1));
        assert_eq!(left.state(), pb::ConversionState::PartiallyReversed);
        assert_eq!((minor(&left.reversed_amount), left.lines[0].reversed_quantity), (33_833, 1));
        assert_ne!(left.etag, "v1");

        assert_eq!(ops.orders.reverse_conversion(first.clone()).await.expect("again").into_inner(), answer);
        let other = pb::ReverseConversionRequest { amount: money(33_834), ..first };
        refused(ops.orders.reverse_conversion(other).await, "KEY_REUSED", Code::AlreadyExists);
        for (lines, amount) in [
            (vec![gone("SCARF", 3, 0)], 1), (vec![gone("SCARF", 0, 66_667)], 66_667), (vec![gone("SCARF", 1, 1)], 493),
        ] {
            let over = reversal(&world, "r-2", &id, lines, amount);
            refused(ops.orders.reverse_conversion(over).await, "OVER_QUANTITY", Code::FailedPrecondition);
        }
        for (lines, amount) in [(vec![gone("HAT", 1, 1)], money(1)), (vec![gone("SCARF", 1, 9)], money(8)), (Vec::new(), money_in("USD", 1)), (Vec::new(), money(0))] {
            let wrong = pb::ReverseConversionRequest { lines, amount, ..reversal(&world, "r-2", &id, Vec::new(), 0) };
            refused(ops.orders.reverse_conversion(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        }
        let early = pb::ReverseConversionRequest {
            reverse_time: Some(world.now().minus(2 * DAY).to_proto()), ..reversal(&world, "r-2", &id, Vec::new(), 0)
        };
        refused(ops.orders.reverse_conversion(early).await, "INVALID_FIELD", Code::InvalidArgument);

        let rest = ops.orders.reverse_conversion(reversal(&world, "r-2", &id, Vec::new(), 0)).await.expect("the rest").into_inner();
        let left = rest.conversion.expect("it");
        assert_eq!(left.state(), pb::ConversionState::Reversed);
        assert_eq!((left.reversed_amount.clone(), left.reversed_commission.clone()), (left.amount.clone(), left.commission.clone()));
        refused(ops.orders.reverse_conversion(reversal(&world, "r-3", &id, Vec::new(), 0)).await, "OVER_QUANTITY", Code::FailedPrecondition);

        let got = world.partner(1).orders.get_conversion(pb::GetConversionRequest { conversion_id: id.clone() }).await;
        let got = got.expect("found").into_inner();
        assert_eq!((got.conversion, got.reversals.len()), (Some(left.clone()), 2));
        assert_eq!(got.reversals[1], rest.reversal.expect("it"));
        let told = told_of(&world).await;
        assert_eq!(told.len(), 3);
        assert_eq!((told[2].conversion.clone(), told[1].reversal.clone()), (Some(left), Some(back)));
        let unknown = reversal(&world, "r-9", nth::<kind::Conversion>(99).as_str(), Vec::new(), 0);
        refused(ops.orders.reverse_conversion(unknown).await, "NOT_FOUND", Code::NotFound);
    }

    async fn reversals_have_their_time_and_take_turns(t: TestDb) {
        let world = start(t).await;
        let (_, token) = link(&world).await;
        let mut ops = world.ops();
        let mut ids = Vec::new();
        for at in 0..2 {
            let request = purchase(&world, &format!("c-{at}"), &token, &format!("shop-{at}"));
            let reported = ops.orders.report_conversion(request).await.expect("reported").into_inner();
            ids.push(reported.conversion.expect("it").conversion_id);
        }
        // Everybody wants the rest; one gets it.
        let asks = (0..8).map(|at| {
            let (mut ops, request) = (world.ops(), reversal(&world, &format!("r-{at}"), &ids[0], Vec::new(), 0));
            async move { ops.orders.reverse_conversion(request).await }
        });
        let answers = futures::future::join_all(asks).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, "OVER_QUANTITY", Code::FailedPrecondition);
        }
        world.advance(180 * DAY);
        ops.orders.reverse_conversion(reversal(&world, "in-time", &ids[1], vec![gone("SCARF", 1, 1)], 1)).await.expect("in time");
        world.advance(Duration::from_secs(1));
        let late = reversal(&world, "late", &ids[1], Vec::new(), 0);
        refused(ops.orders.reverse_conversion(late).await, "OUTSIDE_WINDOW", Code::FailedPrecondition);
    }

    async fn everybody_lists_what_is_theirs(t: TestDb) {
        let world = start(t).await;
        let (linked, token) = link(&world).await;
        world.enter_listing(redirecting(3)).await;
        let theirs = world.partner(2).orders.create_deep_link(wanted("l-1", 3)).await.expect("a link").into_inner();
        let mut ops = world.ops();
        let mut ids = Vec::new();
        for at in 0..5 {
            let token = if at == 2 { token_of(&theirs.uri) } else { token.clone() };
            let reported = ops.orders.report_conversion(purchase(&world, &format!("c-{at}"), &token, &format!("shop-{at}"))).await;
            ids.push(reported.expect("reported").into_inner().conversion.expect("it").conversion_id);
            world.advance(Duration::from_secs(1));
        }
        let foreign = ids[2].clone();
        let request = |partner_id: String, deep_link_id: String| pb::ListConversionsRequest { partner_id, deep_link_id, page_size: 2, page_token: String::new() };
        let mut seen = Vec::new();
        for (mut clients, request) in [
            (world.retailer(RetailerRole::Finance), request(String::new(), String::new())),
            (world.retailer(RetailerRole::Finance), request(partner(1).into(), String::new())),
            (world.partner(1), request(String::new(), String::new())),
            (world.partner(1), request(partner(1).into(), linked.deep_link_id.clone())),
            (world.partner(1), request(String::new(), theirs.deep_link_id.clone())),
            (world.partner(1), request(String::new(), nth::<kind::DeepLink>(99).into())),
            (world.ops(), request(String::new(), theirs.deep_link_id.clone())),
        ] {
            let (mut page_token, mut found) = (String::new(), Vec::new());
            loop {
                let page = clients.orders.list_conversions(pb::ListConversionsRequest { page_token, ..request.clone() }).await;
                let page = page.expect("a page").into_inner();
                assert!(page.conversions.len() <= 2 && page.conversions.iter().all(|one| one.lines.len() == 2));
                found.extend(page.conversions.into_iter().map(|one| one.conversion_id));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            seen.push(found);
        }
        let own: Vec<String> = ids.iter().filter(|id| **id != foreign).cloned().collect();
        assert_eq!(seen, [ids, own.clone(), own.clone(), own, Vec::new(), Vec::new(), vec![foreign.clone()]]);
        let mut stranger = world.partner(1);
        for at in [2, 99] {
            refused(stranger.orders.list_conversions(request(partner(at).into(), String::new())).await, "NOT_FOUND", Code::NotFound);
        }
        let get = |conversion_id: String| pb::GetConversionRequest { conversion_id };
        let theirs = refused(stranger.orders.get_conversion(get(foreign)).await, "NOT_FOUND", Code::NotFound);
        let unknown = get(nth::<kind::Conversion>(99).into());
        let unknown = refused(stranger.orders.get_conversion(unknown).await, "NOT_FOUND", Code::NotFound);
        assert_eq!((theirs.message(), theirs.details()), (unknown.message(), unknown.details()));
    }

    async fn the_database_keeps_the_bounds_too(t: TestDb) {
        let world = start(t).await;
        let (_, token) = link(&world).await;
        let mut ops = world.ops();
        let reported = ops.orders.report_conversion(purchase(&world, "c", &token, "shop")).await.expect("reported").into_inner();
        let id = reported.conversion.expect("it").conversion_id;
        ops.orders.reverse_conversion(reversal(&world, "r", &id, vec![gone("SCARF", 1, 10)], 20)).await.expect("reversed");
        macro_rules! refused {
            ($text:literal) => {{
                let broken = op("break", |tx| {
                    Box::pin(async move {
                        sql!(tx, execute, $text)?;
                        Ok(())
                    })
                });
                let fault = world.t.execute(broken).await.expect_err($text);
                assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            }};
        }
        refused!("UPDATE conversion SET reversed_amount = amount + 1");
        refused!("UPDATE conversion SET reversed_amount = reversed_goods_amount + amount - goods_amount + 1");
        refused!("UPDATE conversion SET reversed_goods_amount = goods_amount + 1, reversed_amount = amount");
        refused!("UPDATE conversion SET reversed_commission = commission + 1");
        refused!("UPDATE conversion SET reversals = 101, version = 102");
        refused!("UPDATE conversion SET version = version + 1");
        refused!("UPDATE conversion SET reversals = 0, version = 1");
        refused!("UPDATE conversion_line SET reversed_quantity = quantity + 1");
        refused!("UPDATE conversion_line SET reversed_amount = amount + 1");
        refused!("UPDATE conversion_reversal SET commission = amount + 1");
        refused!("UPDATE deep_link SET expire_time = create_time");
    }
}
