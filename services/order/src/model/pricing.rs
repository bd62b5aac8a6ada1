//! Whether lines may be sold now, and at what price: what stands between a request and its placement.

use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::AllotmentId;
use contracts::money::{Currency, Money};
use jiff::Timestamp;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::amount::{LineAmount, OrderAmount, Pricing};
use super::book::{Book, Selling};
use super::command::{Place, PlaceLine, Quote, QuoteLine};
use super::drops::{Draws, DropSale, PriceSource, quota_of};
use super::listing::{Listing, ListingState, PartnerState, PurchaseMode};
use super::order::{Line, ShipTerms};

/// What the lines of an order would be, before any units are taken.
#[derive(Debug)]
pub struct Priced {
    /// The lines.
    pub lines: Vec<Line>,
    /// All together.
    pub amount: OrderAmount,
    /// How it may be shipped.
    pub ship_terms: ShipTerms,
}

/// Checks everything about the lines but limits and units, and prices them.
pub fn price(book: &Book, place: &Place) -> Result<Priced, Refusal> {
    let quote = match &place.quote {
        None => None,
        Some(Ok(quote)) => Some(check_quote(book, place, quote)?),
        Some(Err(refusal)) => return Err(refusal.clone()),
    };
    for asked in &place.lines {
        check_begun(book, place, asked)?;
    }
    let priced = price_lines(book, place, quote)?;
    check_payable(place, quote, &priced.amount)?;
    Ok(priced)
}

/// The same for somebody who only asks what it would cost; in a drop that is announced, what it is going to cost.
pub fn price_asked(book: &Book, place: &Place) -> Result<Priced, Refusal> {
    price_lines(book, place, None)
}

fn price_lines(book: &Book, place: &Place, quote: Option<&Quote>) -> Result<Priced, Refusal> {
    let mut lines = Vec::with_capacity(place.lines.len());
    let mut ship_terms: Option<ShipTerms> = None;
    let mut currency: Option<Currency> = None;
    for (index, asked) in place.lines.iter().enumerate() {
        let listing = listing_of(book, place, asked)?;
        let quoted = quote.map(|quote| &quote.lines[index]);
        // Only what the partner collects for is ever quoted, and a quote outlives a switch.
        let mode = match quoted {
            Some(_) => PurchaseMode::InApp,
            None => listing.mode_at(book.now),
        };
        check_sale(book, place, &listing, mode)?;
        let of_line = listing.currency();
        if *currency.get_or_insert(of_line) != of_line {
            return Err(Refusal::new(
                ErrorReason::MixedCurrency,
                "The lines are in more than one currency; place one order for each currency.",
            ));
        }
        let line = line_of(book, place, index, &listing, quoted)?;
        if book.is_stopped(&line) {
            return Err(Refusal::new(
                ErrorReason::SaleStopped,
                "The retailer has stopped this sale.",
            )
            .with("listing_id", line.listing_id));
        }
        ship_terms = Some(stricter(ship_terms, &listing));
        lines.push(line);
    }
    let (Some(currency), Some(ship_terms)) = (currency, ship_terms) else {
        return Err(Refusal::invalid("lines", "must have at least one line"));
    };
    let amount =
        OrderAmount::sum(currency, lines.iter().map(|line| &line.amount)).ok_or_else(|| {
            Refusal::invalid(
                "lines",
                "make an amount too large to compute with; order less",
            )
        })?;
    Ok(Priced {
        lines,
        amount,
        ship_terms,
    })
}

/// A quote is for one partner, these lines and this destination, and for a time.
fn check_quote<'a>(book: &Book, place: &Place, quote: &'a Quote) -> Result<&'a Quote, Refusal> {
    let same_line = |(asked, quoted): (&PlaceLine, &QuoteLine)| {
        asked.listing_id == quoted.listing_id
            && asked.quantity == quoted.quantity
            && discount_of(asked) == quoted.amount.partner_discount
    };
    let fits = quote.partner_id == place.partner_id
        && quote.destination == place.destination
        && quote.lines.len() == place.lines.len()
        && place.lines.iter().zip(&quote.lines).all(same_line);
    if !fits {
        return Err(Refusal::new(
            ErrorReason::BadQuote,
            "The quote is not for these lines and this destination; send what was quoted, or ask for a new quote.",
        ));
    }
    if quote.expire_time <= book.now {
        return Err(Refusal::new(
            ErrorReason::QuoteExpired,
            "The quote is over; ask for another.",
        ));
    }
    Ok(quote)
}

fn discount_of(asked: &PlaceLine) -> i64 {
    asked
        .partner_discount
        .map_or(0, |discount| discount.minor_units)
}

fn listing_of(book: &Book, place: &Place, asked: &PlaceLine) -> Result<Arc<Listing>, Refusal> {
    let listing = book.listings.get(&asked.listing_id);
    let own = listing.filter(|listing| listing.partner_id == place.partner_id);
    own.cloned().ok_or_else(|| Refusal::not_found("listing"))
}

/// Whether a listing is on sale at all, now and to this destination.
fn check_sale(
    book: &Book,
    place: &Place,
    listing: &Listing,
    mode: PurchaseMode,
) -> Result<(), Refusal> {
    let refuse = |reason, message: &str| {
        Err(Refusal::new(reason, message).with("listing_id", listing.listing_id))
    };
    if listing.partner_state != PartnerState::Active {
        return Err(Refusal::new(
            ErrorReason::PartnerSuspended,
            "The partner is suspended and cannot sell; ask the retailer.",
        ));
    }
    if mode == PurchaseMode::Redirect {
        return refuse(
            ErrorReason::ListingRedirects,
            "The retailer takes the money for this listing; send the shopper there with CreateDeepLink.",
        );
    }
    if listing.state != ListingState::Live {
        return refuse(
            ErrorReason::ListingNotLive,
            "The listing is not on sale now.",
        )
        .map_err(|refusal| refusal.with("state", listing.state));
    }
    if !listing.in_window(book.now) {
        return refuse(
            ErrorReason::OutsideWindow,
            "The listing's sale window has not begun or is over.",
        );
    }
    if !listing.sold_to(&place.destination.region_code) {
        return refuse(
            ErrorReason::Territory,
            "The listing is not sold to this destination.",
        );
    }
    Ok(())
}

fn line_of(
    book: &Book,
    place: &Place,
    index: usize,
    listing: &Listing,
    quoted: Option<&QuoteLine>,
) -> Result<Line, Refusal> {
    let asked = &place.lines[index];
    if asked.quantity < 1 || asked.quantity % listing.quantity_step != 0 {
        let message = format!("must be a positive multiple of {}", listing.quantity_step);
        return Err(Refusal::invalid(
            format!("lines[{index}].quantity"),
            message,
        ));
    }
    if asked
        .partner_discount
        .is_some_and(|discount| discount.currency != listing.currency())
    {
        let message = format!("must be in {}, the listing's currency", listing.currency());
        return Err(Refusal::invalid(
            format!("lines[{index}].partner_discount"),
            message,
        ));
    }
    let Some(assignment) = book.assignments.get(&asked.listing_id) else {
        return Err(Refusal::new(
            ErrorReason::NoAllotment,
            "The listing has no units to sell yet.",
        )
        .with("listing_id", asked.listing_id));
    };
    let sale = book.selling(&asked.listing_id).sale();
    let agreed = match quoted {
        Some(quoted) => {
            check_quoted_drop(quoted, sale)?;
            quoted.clone()
        }
        None => terms_now(book, index, asked, listing, sale)?,
    };
    let draws = draws_of(book, place, assignment.allotment_id, sale, asked);
    Ok(Line {
        order_line_id: asked.order_line_id,
        listing_id: asked.listing_id,
        allotment_id: assignment.allotment_id,
        variant_id: listing.variant_id,
        product_id: listing.product_id,
        sku: listing.sku.clone(),
        title: listing.title.clone(),
        unit: listing.unit,
        terms_version: agreed.terms_version,
        unit_price: agreed.unit_price,
        amount: agreed.amount,
        quantity: asked.quantity,
        touchpoints: asked.touchpoints.clone(),
        drop_id: sale.map(|sale| sale.drop_id),
        drop_person_limited: sale.is_some_and(|sale| sale.per_person_limit > 0),
        price_source: agreed.price_source,
        draws,
        // Nothing else is placed: what redirects was refused before.
        collected_by: PurchaseMode::InApp.collected_by(),
        legal_entity: listing.legal_entity.clone(),
    })
}

/// A line on the terms of this moment.
fn terms_now(
    book: &Book,
    index: usize,
    asked: &PlaceLine,
    listing: &Listing,
    sale: Option<&DropSale>,
) -> Result<QuoteLine, Refusal> {
    let (terms, price_source) = terms_of(book, listing, sale);
    let amount = LineAmount::compose(&terms, asked.quantity, discount_of(asked))
        .map_err(|error| error.refusal(index))?;
    Ok(QuoteLine {
        listing_id: asked.listing_id,
        quantity: asked.quantity,
        terms_version: listing.terms_version,
        unit_price: terms.price,
        amount,
        price_source,
        drop_id: sale.map(|sale| sale.drop_id),
    })
}

/// What is announced and has not begun can be quoted, not placed.
fn check_begun(book: &Book, place: &Place, asked: &PlaceLine) -> Result<(), Refusal> {
    let Selling::Ahead(sale) = book.selling(&asked.listing_id) else {
        return Ok(());
    };
    // A stranger's listing is not found, whatever it sells in.
    listing_of(book, place, asked)?;
    let open_time = rfc3339(sale.start_time);
    let message =
        format!("This listing sells only in a drop that opens at {open_time}; order then.");
    Err(Refusal::new(ErrorReason::DropClosed, message)
        .with("listing_id", asked.listing_id)
        .with("open_time", open_time))
}

fn rfc3339(time: Micros) -> String {
    Timestamp::from_microsecond(time.0).map_or_else(|_| time.0.to_string(), |time| time.to_string())
}

/// A price of a drop is good in that drop only.
fn check_quoted_drop(quoted: &QuoteLine, sale: Option<&DropSale>) -> Result<(), Refusal> {
    if quoted.price_source == PriceSource::Drop && quoted.drop_id != sale.map(|sale| sale.drop_id) {
        return Err(Refusal::new(
            ErrorReason::DropClosed,
            "The drop of the quoted price is over; ask for another quote.",
        )
        .with("listing_id", quoted.listing_id));
    }
    Ok(())
}

fn terms_of(book: &Book, listing: &Listing, sale: Option<&DropSale>) -> (Pricing, PriceSource) {
    let Some(sale) = sale else {
        return (listing.pricing, PriceSource::Listing);
    };
    let price = book.drop_prices.get(&(sale.drop_id, listing.listing_id));
    sale.terms(price.copied(), &listing.pricing)
}

/// What else counts the units of a line.
fn draws_of(
    book: &Book,
    place: &Place,
    allotment_id: AllotmentId,
    sale: Option<&DropSale>,
    asked: &PlaceLine,
) -> Draws {
    let quotas = sale.and_then(|sale| book.quotas.get(&sale.drop_id));
    let quota = quotas.and_then(|quotas| quota_of(quotas.iter(), &asked.touchpoints, book.now));
    let stock = book.stocks.get(&allotment_id);
    let allotment_person_limited = stock.is_some_and(|stock| stock.now.per_person_limit > 0);
    let by_person = allotment_person_limited || sale.is_some_and(|sale| sale.per_person_limit > 0);
    let person = by_person
        .then(|| {
            book.persons
                .get(&(place.partner_id, place.shopper_ref.clone()))
        })
        .flatten();
    Draws {
        quota,
        allotment_person_limited,
        person: person.cloned(),
    }
}

fn stricter(terms: Option<ShipTerms>, listing: &Listing) -> ShipTerms {
    let terms = terms.unwrap_or(ShipTerms {
        remorse: Duration::ZERO,
        ship_within: Duration::MAX,
        presale_time: None,
    });
    ShipTerms {
        remorse: terms.remorse.max(listing.remorse),
        ship_within: terms.ship_within.min(listing.ship_within),
        presale_time: terms.presale_time.max(listing.ship_not_before),
    }
}

/// What the shopper was shown must be what they pay.
fn check_payable(
    place: &Place,
    quote: Option<&Quote>,
    amount: &OrderAmount,
) -> Result<(), Refusal> {
    let payable = amount.money(amount.payable);
    match place.expected_payable {
        Some(expected) if expected != payable => Err(price_changed(payable)),
        None if quote.is_none() => Err(Refusal::invalid(
            "expected_payable",
            "must say what the shopper was shown to pay in all when there is no quote",
        )),
        _ => Ok(()),
    }
}

fn price_changed(payable: Money) -> Refusal {
    Refusal::new(
        ErrorReason::PriceChanged,
        format!("The amount to pay is {payable} now; show it to the shopper and place the order with it."),
    )
    .with("payable_minor_units", payable.minor_units)
    .with("currency_code", payable.currency)
}
