//! Quotes: what a price was, in a form that only this service can have written.
//!
//! A quote is kept nowhere. The partner carries it, sealed with HMAC-SHA256 under the service's secret, and
//! hands it back with the order. It says for whom, for which lines and where to, the terms that were shown and
//! until when they are honoured; whether it is over is decided in the order's transaction, not here.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ErrorReason;
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Refusal;
use kit::ids::IdSource;
use prost::Message;

use crate::config::Config;
use crate::model::command::{Quote, QuoteLine};
use crate::model::{Destination, LineAmount, PriceSource};

/// The longest token that is looked at.
pub const TOKEN_CHARS_MAX: usize = 16_384;

const VERSION: u8 = 1;
const TAG_BYTES: usize = 32;
/// Keeps this use of the secret apart from any other.
const CONTEXT: &[u8] = b"vitrine.order.quote.v1";

/// A quote as it is sealed.
#[derive(Clone, PartialEq, Eq, Message)]
struct Sealed {
    #[prost(string, tag = "1")]
    partner_id: String,
    #[prost(string, tag = "2")]
    shopper_ref: String,
    #[prost(string, tag = "3")]
    region_code: String,
    #[prost(string, tag = "4")]
    subdivision_code: String,
    #[prost(string, tag = "5")]
    currency_code: String,
    /// Microseconds since 1970 UTC.
    #[prost(int64, tag = "6")]
    expire_time: i64,
    #[prost(message, repeated, tag = "7")]
    lines: Vec<SealedLine>,
}

/// One line of it.
#[derive(Clone, PartialEq, Eq, Message)]
struct SealedLine {
    #[prost(string, tag = "1")]
    listing_id: String,
    #[prost(int64, tag = "2")]
    quantity: i64,
    #[prost(int64, tag = "3")]
    terms_version: i64,
    #[prost(int64, tag = "4")]
    unit_minor_units: i64,
    #[prost(int64, tag = "5")]
    per_quantity: i64,
    #[prost(int64, tag = "6")]
    price: i64,
    #[prost(int64, tag = "7")]
    retailer_discount: i64,
    #[prost(int64, tag = "8")]
    partner_discount: i64,
    #[prost(int64, tag = "9")]
    shipping: i64,
    #[prost(int64, tag = "10")]
    tax: i64,
    #[prost(bool, tag = "11")]
    tax_included: bool,
    #[prost(int64, tag = "12")]
    payable: i64,
    #[prost(int64, tag = "13")]
    commission: i64,
    /// Whether a drop's terms made the price.
    #[prost(bool, tag = "14")]
    price_of_drop: bool,
    /// Empty for none.
    #[prost(string, tag = "15")]
    drop_id: String,
}

impl Sealed {
    fn of(quote: &Quote, shopper_ref: &str) -> Self {
        Sealed {
            partner_id: quote.partner_id.into(),
            shopper_ref: shopper_ref.to_owned(),
            region_code: quote.destination.region_code.clone(),
            subdivision_code: quote.destination.subdivision_code.clone(),
            currency_code: quote.currency.code().to_owned(),
            expire_time: quote.expire_time.0,
            lines: quote.lines.iter().map(SealedLine::of).collect(),
        }
    }

    fn quote(&self) -> Option<Quote> {
        let currency: Currency = self.currency_code.parse().ok()?;
        Some(Quote {
            partner_id: self.partner_id.parse().ok()?,
            destination: Destination {
                region_code: self.region_code.clone(),
                subdivision_code: self.subdivision_code.clone(),
            },
            currency,
            lines: self
                .lines
                .iter()
                .map(|line| line.quoted(currency))
                .collect::<Option<_>>()?,
            expire_time: Micros(self.expire_time),
        })
    }
}

impl SealedLine {
    fn of(line: &QuoteLine) -> Self {
        SealedLine {
            listing_id: line.listing_id.into(),
            quantity: line.quantity,
            terms_version: line.terms_version,
            unit_minor_units: line.unit_price.amount().minor_units,
            per_quantity: line.unit_price.per_quantity(),
            price: line.amount.price,
            retailer_discount: line.amount.retailer_discount,
            partner_discount: line.amount.partner_discount,
            shipping: line.amount.shipping,
            tax: line.amount.tax,
            tax_included: line.amount.tax_included,
            payable: line.amount.payable,
            commission: line.amount.commission,
            price_of_drop: line.price_source == PriceSource::Drop,
            drop_id: line.drop_id.map(String::from).unwrap_or_default(),
        }
    }

    fn quoted(&self, currency: Currency) -> Option<QuoteLine> {
        Some(QuoteLine {
            listing_id: self.listing_id.parse().ok()?,
            quantity: self.quantity,
            terms_version: self.terms_version,
            unit_price: Price::new(
                Money::new(currency, self.unit_minor_units),
                self.per_quantity,
            )
            .ok()?,
            amount: LineAmount {
                price: self.price,
                retailer_discount: self.retailer_discount,
                partner_discount: self.partner_discount,
                shipping: self.shipping,
                tax: self.tax,
                tax_included: self.tax_included,
                payable: self.payable,
                commission: self.commission,
            },
            price_source: match self.price_of_drop {
                true => PriceSource::Drop,
                false => PriceSource::Listing,
            },
            drop_id: match self.drop_id.as_str() {
                "" => None,
                drop_id => Some(drop_id.parse().ok()?),
            },
        })
    }
}

/// Seals and opens quotes.
#[derive(Debug)]
pub struct QuoteSealer {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

/// The shortest secret that quotes may be sealed with.
const SECRET_BYTES_MIN: usize = 32;

impl QuoteSealer {
    /// A sealer under the configured secrets, or under one of its own when none is configured. An error says
    /// what is wrong with the configuration.
    pub fn new(config: &Config, ids: &dyn IdSource) -> Result<Self, String> {
        let current = match config.quote_secret.expose() {
            "" => {
                let mut secret = [0; SECRET_BYTES_MIN];
                ids.random_bytes(&mut secret);
                key(&secret)
            }
            secret => checked_key("quote_secret", secret)?,
        };
        let previous = match config.quote_secret_previous.expose() {
            "" => None,
            secret => Some(checked_key("quote_secret_previous", secret)?),
        };
        Ok(QuoteSealer { current, previous })
    }

    /// The quote as a token, for one shopper when it was said for whom.
    pub fn seal(&self, quote: &Quote, shopper_ref: &str) -> String {
        let mut bytes = vec![VERSION];
        Sealed::of(quote, shopper_ref).encode_raw(&mut bytes);
        let tag = hmac::sign(&self.current, &sealed(&bytes));
        bytes.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The quote in a token that this service wrote, if it was for anybody or for this shopper.
    pub fn open(&self, token: &str, shopper_ref: &str) -> Result<Quote, Refusal> {
        let opened = self
            .read(token)
            .and_then(|sealed| Some((sealed.quote()?, sealed.shopper_ref)));
        let (quote, quoted_for) = opened.ok_or_else(|| {
            bad_quote(
                "The quote_token is not one that this service gave out; ask for another quote.",
            )
        })?;
        if !quoted_for.is_empty() && quoted_for != shopper_ref {
            return Err(bad_quote(
                "The quote_token was given out for another shopper; ask for another quote.",
            ));
        }
        Ok(quote)
    }

    fn read(&self, token: &str) -> Option<Sealed> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG_BYTES)?)?;
        let sealed = sealed(body);
        let genuine = std::iter::once(&self.current)
            .chain(&self.previous)
            .any(|key| hmac::verify(key, &sealed, tag).is_ok());
        let (version, quote) = body.split_first().filter(|_| genuine)?;
        if *version != VERSION {
            return None;
        }
        Sealed::decode(quote).ok()
    }
}

/// The refusal of a quote that does not fit.
pub fn bad_quote(message: &str) -> Refusal {
    Refusal::new(ErrorReason::BadQuote, message)
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn checked_key(field: &str, secret: &str) -> Result<hmac::Key, String> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "order.{field} must have at least {SECRET_BYTES_MIN} characters"
        ));
    }
    Ok(key(secret.as_bytes()))
}

fn sealed(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contracts::id::{DropId, ListingId, PartnerId};
    use kit::clock::ManualClock;
    use kit::ids::SeededIds;
    use proptest::prelude::*;

    use super::*;

    fn sealer(secret: &str, previous: &str) -> QuoteSealer {
        let config = Config {
            quote_secret: secret.into(),
            quote_secret_previous: previous.into(),
            ..Config::default()
        };
        let ids = SeededIds::new(1, Arc::new(ManualClock::default()));
        QuoteSealer::new(&config, &ids).expect("good secrets")
    }

    fn quote() -> Quote {
        Quote {
            partner_id: PartnerId::from_uuid(1),
            destination: Destination {
                region_code: "FR".into(),
                subdivision_code: String::new(),
            },
            currency: Currency::EUR,
            expire_time: Micros(7),
            lines: vec![QuoteLine {
                listing_id: ListingId::from_uuid(2),
                quantity: 3,
                terms_version: 4,
                unit_price: Price::new(Money::new(Currency::EUR, 330), 1).expect("a price"),
                amount: LineAmount {
                    price: 990,
                    payable: 990,
                    commission: 9,
                    ..LineAmount::default()
                },
                price_source: PriceSource::Drop,
                drop_id: Some(DropId::from_uuid(5)),
            }],
        }
    }

    const OLD: &str = "an old secret of more than 32 characters";
    const NEW: &str = "a new secret of more than 32 characters, too";

    #[test]
    fn opens_what_it_sealed_and_what_the_former_secret_sealed() {
        let old = sealer(OLD, "").seal(&quote(), "");
        assert_eq!(sealer(OLD, "").open(&old, "s"), Ok(quote()));
        assert_eq!(sealer(NEW, OLD).open(&old, "s"), Ok(quote()));
        let refused = sealer(NEW, "").open(&old, "s").expect_err("another's");
        assert_eq!(refused.reason, ErrorReason::BadQuote);
        assert_ne!(sealer(NEW, OLD).seal(&quote(), ""), old);
    }

    #[test]
    fn a_quote_for_one_shopper_is_good_for_no_other() {
        let sealer = sealer(OLD, "");
        let token = sealer.seal(&quote(), "ann");
        assert_eq!(sealer.open(&token, "ann"), Ok(quote()));
        assert_eq!(
            sealer.open(&token, "bob").expect_err("another").reason,
            ErrorReason::BadQuote
        );
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_made_up() {
        let config = Config {
            quote_secret: "short".into(),
            ..Config::default()
        };
        let ids = SeededIds::new(1, Arc::new(ManualClock::default()));
        assert!(QuoteSealer::new(&config, &ids).is_err());
        let (one, other) = (
            QuoteSealer::new(&Config::default(), &ids).expect("no secret is fine"),
            QuoteSealer::new(&Config::default(), &ids).expect("no secret is fine"),
        );
        assert!(one.open(&one.seal(&quote(), ""), "s").is_ok());
        assert!(other.open(&one.seal(&quote(), ""), "s").is_err());
    }

    proptest! {
        #[test]
        fn a_changed_letter_is_noticed(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_-]") {
            let sealer = sealer(OLD, "");
            let token = sealer.seal(&quote(), "");
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &letter);
            prop_assume!(changed != token);
            prop_assert!(sealer.open(&changed, "s").is_err());
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,80}") {
            prop_assert!(sealer(OLD, "").open(&text, "s").is_err());
        }
    }
}
