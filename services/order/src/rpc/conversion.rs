//! Conversions: what the retailer's shop reports of deep links, and who may read it.

use std::collections::HashSet;
use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::common::v1 as common;
use contracts::id::DeepLinkId;
use contracts::money::{Currency, Money};
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::render::money;
use super::{Api, after, bound_to, keyed, listed_partner, parse};
use crate::link::TOKEN_CHARS_MAX;
use crate::model::conversion::{Conversion, ConversionState, Reversal, ReversalAsk, SkuAmount};
use crate::ops::conversion::{GetConversion, ListConversions, ReportConversion, ReverseConversion};
use crate::store::conversion::ConversionFilter;

const REPORT_CONVERSION: &str = "vitrine.order.v1.OrderService/ReportConversion";
const REVERSE_CONVERSION: &str = "vitrine.order.v1.OrderService/ReverseConversion";

/// The most lines of one conversion.
const LINES_MAX: usize = 100;

impl Api {
    pub(super) async fn report_conversion(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReportConversionRequest,
    ) -> Result<pb::ReportConversionResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let token = v.text("link_token", &request.link_token, 1..=TOKEN_CHARS_MAX);
        let shop_order_reference = v.text(
            "shop_order_reference",
            &request.shop_order_reference,
            1..=64,
        );
        let amount = v.money("amount", &request.amount);
        v.items("lines", &request.lines, 1..=LINES_MAX);
        let said = request
            .lines
            .iter()
            .map(|line| (line.sku.as_str(), line.quantity, &line.amount));
        let lines = lines(&mut v, said, 1, amount);
        let click_time = v.time("click_time", &request.click_time);
        let convert_time = v.time("convert_time", &request.convert_time);
        v.finish()?;
        let (Some(amount), Some(click_time), Some(convert_time)) =
            (amount, click_time, convert_time)
        else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, REPORT_CONVERSION, &request_id, &request);
        let report = ReportConversion {
            claims: self.links.open(&token),
            shop_order_reference,
            lines,
            amount: amount.minor_units,
            currency: amount.currency,
            click_time,
            convert_time,
            rules: self.config.conversion_rules(),
        };
        let render = |reported: &Conversion| pb::ReportConversionResponse {
            conversion: Some(rendered(reported)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, report, render))
            .await
    }

    pub(super) async fn reverse_conversion(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReverseConversionRequest,
    ) -> Result<pb::ReverseConversionResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let conversion_id = v.id("conversion_id", &request.conversion_id);
        let ask = ask(&mut v, &request);
        let reverse_time = v.time("reverse_time", &request.reverse_time);
        v.finish()?;
        let (Some(conversion_id), Some(ask), Some(reverse_time)) =
            (conversion_id, ask, reverse_time)
        else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, REVERSE_CONVERSION, &request_id, &request);
        let reverse = ReverseConversion {
            conversion_id,
            ask,
            reverse_time,
            rules: self.config.conversion_rules(),
        };
        let render = |(reversal, left): &(Reversal, Conversion)| pb::ReverseConversionResponse {
            reversal: Some(rendered_reversal(reversal)),
            conversion: Some(rendered(left)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, reverse, render))
            .await
    }

    pub(super) async fn get_conversion(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetConversionRequest,
    ) -> Result<pb::GetConversionResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let conversion_id = v.id("conversion_id", &request.conversion_id);
        v.finish()?;
        let Some(conversion_id) = conversion_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let get = GetConversion {
            partner_id,
            conversion_id,
        };
        let (found, reversals) = self.db.read(caller, get).await?;
        Ok(pb::GetConversionResponse {
            conversion: Some(rendered(&found)),
            reversals: reversals.iter().map(rendered_reversal).collect(),
        })
    }

    pub(super) async fn list_conversions(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListConversionsRequest,
    ) -> Result<pb::ListConversionsResponse, Fault> {
        let mut v = Violations::new();
        let asked = v.opt_id("partner_id", &request.partner_id);
        let deep_link_id = v.opt_id::<DeepLinkId>("deep_link_id", &request.deep_link_id);
        v.finish()?;
        let filter = ConversionFilter {
            partner_id: listed_partner(caller, asked)?
                .map(String::from)
                .unwrap_or_default(),
            deep_link_id: deep_link_id.map(String::from).unwrap_or_default(),
        };
        let query = format!("conversions|{}|{}", filter.partner_id, filter.deep_link_id);
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListConversions {
            filter,
            after: after(&page)?,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) =
            page.cut(found, |found| vec![found.conversion_id.to_string()]);
        Ok(pb::ListConversionsResponse {
            conversions: found.iter().map(rendered).collect(),
            next_page_token,
        })
    }
}

/// Lines of SKUs, each once, in the currency of `whole` and together no more than it.
fn lines<'a>(
    v: &mut Violations,
    said: impl Iterator<Item = (&'a str, i64, &'a Option<common::Money>)>,
    least: i64,
    whole: Option<Money>,
) -> Vec<SkuAmount> {
    let (mut seen, mut lines, mut sum) = (HashSet::new(), Vec::new(), Some(0_i64));
    for (index, (sku, quantity, amount)) in said.enumerate().take(LINES_MAX) {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let sku = v.text("sku", sku, 1..=100);
        let quantity = v.range("quantity", quantity, least..=parse::QUANTITY_MAX);
        let amount = v.money("amount", amount);
        if !sku.is_empty() && !seen.insert(sku.clone()) {
            v.add(
                "sku",
                "is in another line already; send one line for each SKU.",
            );
        }
        let Some(amount) = amount else {
            continue;
        };
        if whole.is_some_and(|whole| whole.currency != amount.currency) {
            v.add("amount", "must be in the currency of the whole amount.");
        }
        sum = sum.and_then(|sum| sum.checked_add(amount.minor_units));
        lines.push(SkuAmount {
            sku,
            quantity,
            amount: amount.minor_units,
        });
    }
    if let Some(whole) = whole
        && sum.is_none_or(|sum| sum > whole.minor_units)
    {
        v.add("amount", "must be at least the sum of the lines.");
    }
    lines
}

fn ask(v: &mut Violations, request: &pb::ReverseConversionRequest) -> Option<ReversalAsk> {
    if request.lines.is_empty() && request.amount.is_none() {
        return Some(ReversalAsk::Rest);
    }
    v.items("lines", &request.lines, 0..=LINES_MAX);
    let amount = v.money("amount", &request.amount);
    let said = request
        .lines
        .iter()
        .map(|line| (line.sku.as_str(), line.quantity, &line.amount));
    let lines = lines(v, said, 0, amount);
    let amount = amount?;
    if amount.minor_units == 0 && lines.iter().all(|line| line.quantity == 0) {
        v.add(
            "amount",
            "must be more than nothing, or goods must go back.",
        );
    }
    Some(ReversalAsk::Part {
        lines,
        amount: amount.minor_units,
        currency: amount.currency,
    })
}

/// A conversion as everybody reads it. It names no shopper.
pub fn rendered(conversion: &Conversion) -> pb::Conversion {
    let currency = conversion.currency;
    let line = |line: &crate::model::conversion::ConversionLine| pb::ConversionLine {
        reversed_quantity: line.reversed_quantity,
        reversed_amount: money(currency, line.reversed_amount),
        ..sku_amount(currency, &line.bought)
    };
    let state = match conversion.state() {
        ConversionState::Reported => pb::ConversionState::Reported,
        ConversionState::PartiallyReversed => pb::ConversionState::PartiallyReversed,
        ConversionState::Reversed => pb::ConversionState::Reversed,
    };
    pb::Conversion {
        conversion_id: conversion.conversion_id.into(),
        deep_link_id: conversion.deep_link_id.into(),
        partner_id: conversion.partner_id.into(),
        listing_id: conversion.listing_id.into(),
        shop_order_reference: conversion.shop_order_reference.clone(),
        state: state.into(),
        lines: conversion.lines.iter().map(line).collect(),
        amount: money(currency, conversion.amount),
        reversed_amount: money(currency, conversion.reversed_amount),
        commission: money(currency, conversion.commission),
        reversed_commission: money(currency, conversion.reversed_commission),
        collected_by: common::CollectedBy::Retailer.into(),
        legal_entity: conversion.legal_entity.clone(),
        click_time: Some(conversion.click_time.to_proto()),
        convert_time: Some(conversion.convert_time.to_proto()),
        record_time: Some(conversion.record_time.to_proto()),
        etag: conversion.etag(),
    }
}

/// Something that went back.
pub fn rendered_reversal(reversal: &Reversal) -> pb::ConversionReversal {
    let currency = reversal.currency;
    pb::ConversionReversal {
        conversion_reversal_id: reversal.conversion_reversal_id.into(),
        conversion_id: reversal.conversion_id.into(),
        lines: reversal
            .lines
            .iter()
            .map(|line| sku_amount(currency, line))
            .collect(),
        amount: money(currency, reversal.amount),
        commission: money(currency, reversal.commission),
        reverse_time: Some(reversal.reverse_time.to_proto()),
        record_time: Some(reversal.record_time.to_proto()),
    }
}

fn sku_amount(currency: Currency, line: &SkuAmount) -> pb::ConversionLine {
    pb::ConversionLine {
        sku: line.sku.clone(),
        quantity: line.quantity,
        amount: money(currency, line.amount),
        reversed_quantity: 0,
        reversed_amount: None,
    }
}
