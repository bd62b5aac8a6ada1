//! Single values: prices, counts, weights, addresses, texts.
//!
//! What can be read in two ways is refused, never guessed: a wrong price is sold at.

use contracts::money::{Currency, Money};

use super::{Reason, most};

/// Why a value is not taken: what kind, what is wrong, what to do.
pub type Bad = (Reason, String, &'static str);

fn bad(reason: Reason, message: impl Into<String>, fix: &'static str) -> Bad {
    (reason, message.into(), fix)
}

const PRICE_FIX: &str =
    "Write digits with a point before the cents and nothing else, such as 1299.00.";

/// A price in a currency, such as `19.99`. Exact: digits, at most one point, no more decimals than the currency
/// has. No signs, separators or symbols, because `1,299` is two prices.
pub fn price(text: &str, currency: Currency) -> Result<Money, Bad> {
    let wrong = |message: String| bad(Reason::BadPrice, message, PRICE_FIX);
    if text.starts_with('-') {
        return Err(wrong("the price is negative".into()));
    }
    if text.contains(',') {
        let message =
            "the price has a comma, which may stand for thousands or for the decimal point";
        return Err(wrong(message.into()));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(wrong("the price is no number".into()));
    }
    let exponent = usize::from(currency.exponent());
    let (kept, rest) = fraction.split_at(fraction.len().min(exponent));
    if rest.bytes().any(|byte| byte != b'0') {
        return Err(wrong(format!(
            "the price has more decimals than {currency} has ({exponent})"
        )));
    }
    let minor_units = format!("{whole}{kept:0<exponent$}");
    let minor_units = minor_units
        .parse()
        .ok()
        .filter(|units| *units <= most::PRICE);
    minor_units
        .map(|units| Money::new(currency, units))
        .ok_or_else(|| wrong("the price is larger than any that is taken".into()))
}

/// A price that names its currency, before or behind: `19.99 EUR`. Without one, `default` is meant.
pub fn price_with_currency(text: &str, default: Option<Currency>) -> Result<Money, Bad> {
    let is_code =
        |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (amount, code) = match parts[..] {
        [amount, code] if is_code(code) => (amount, Some(code)),
        [code, amount] if is_code(code) => (amount, Some(code)),
        [amount] => (amount, None),
        _ => {
            let fix = "Write an amount and an ISO 4217 code, such as 19.99 EUR.";
            return Err(bad(
                Reason::BadPrice,
                "the price is no amount with a currency",
                fix,
            ));
        }
    };
    let currency = match code {
        Some(code) => code.to_ascii_uppercase().parse().map_err(|_| {
            let fix = "Use an ISO 4217 code, such as EUR.";
            bad(Reason::BadPrice, "the currency is unknown", fix)
        })?,
        None => default.ok_or_else(no_currency)?,
    };
    price(amount, currency)
}

/// Why a price without a currency is not taken.
pub fn no_currency() -> Bad {
    bad(
        Reason::BadPrice,
        "the price names no currency",
        "Say the file's currency when importing it (--currency EUR).",
    )
}

/// A whole number, such as `12` or, from a spreadsheet, `12.0`.
fn whole(text: &str) -> Option<i64> {
    let (number, zeros) = text.split_once('.').unwrap_or((text, ""));
    let digits = number.strip_prefix('-').unwrap_or(number);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (plain && zeros.bytes().all(|byte| byte == b'0'))
        .then(|| number.parse().ok())
        .flatten()
}

/// A count of units.
pub fn stock(text: &str) -> Result<i64, Bad> {
    let wrong = |message: &str, fix| bad(Reason::BadStock, message, fix);
    let number = text.strip_prefix('-').unwrap_or(text);
    if number.len() > 13 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        let fix = "Write at most 1000000000000, or leave it empty when nobody counts.";
        return Err(wrong("there are more units than are taken", fix));
    }
    match whole(text) {
        Some(units) if units < 0 => Err(wrong(
            "the number of units is negative",
            "Write 0 when there are none, or leave it empty when nobody counts.",
        )),
        Some(units) if units > most::STOCK => Err(wrong(
            "there are more units than are taken",
            "Write at most 1000000000000, or leave it empty when nobody counts.",
        )),
        Some(units) => Ok(units),
        None => Err(wrong(
            "the number of units is no whole number",
            "Write digits only, such as 12.",
        )),
    }
}

/// Grams in millionths, for each unit of weight.
const WEIGHTS: [(&str, i128); 6] = [
    ("g", 1_000_000),
    ("kg", 1_000_000_000),
    ("mg", 1_000),
    ("oz", 28_349_523),
    ("lb", 453_592_370),
    ("lbs", 453_592_370),
];

/// A weight with its unit, such as `1.5 kg`, in whole grams, rounded half up. Without a unit grams are meant.
pub fn weight(text: &str) -> Result<i64, Bad> {
    let wrong = || {
        let fix = "Write a number and g, kg, oz or lb, such as 1.5 kg.";
        bad(
            Reason::BadValue,
            "the weight is no number with a unit, or too large",
            fix,
        )
    };
    let text = text.trim();
    let split = text.find(|letter: char| letter.is_ascii_alphabetic());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let unit = if unit.is_empty() { "g" } else { unit };
    let (_, factor) = WEIGHTS
        .iter()
        .find(|(name, _)| unit.eq_ignore_ascii_case(name))
        .ok_or_else(wrong)?;
    let number = number.trim();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || digits.len() > 18 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let value: i128 = digits.parse().map_err(|_| wrong())?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?) * 1_000_000;
    let grams = (value * factor * 2 + scale) / (scale * 2);
    i64::try_from(grams)
        .ok()
        .filter(|grams| *grams <= most::WEIGHT_GRAMS)
        .ok_or_else(wrong)
}

/// One line of text of at most so many characters.
pub fn line(text: &str, most: usize) -> Result<String, Bad> {
    let text = text.trim();
    if text.chars().nth(most).is_some() {
        let message = format!("the text has more than {most} characters");
        return Err(bad(Reason::TooLarge, message, "Shorten it."));
    }
    if text.chars().any(char::is_control) {
        let message = "the text has a line end, a tab or another control character";
        return Err(bad(Reason::BadValue, message, "Write it on one line."));
    }
    Ok(text.to_owned())
}

/// What is to be made of an image's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// It is kept.
    Kept(String),
    /// It may not be kept, and nothing is lost without it.
    LeftOut(String),
}

/// The address of an image.
pub fn image(text: &str) -> Result<Image, Bad> {
    let fix = "Write an address that begins with https://, such as https://example.com/a.jpg.";
    let wrong = |message: &str| bad(Reason::BadValue, message, fix);
    if text.chars().nth(most::IMAGE_URI).is_some() {
        return Err(wrong("the image's address has more than 2000 characters"));
    }
    if text
        .chars()
        .any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return Err(wrong("the image's address has a space in it"));
    }
    let plain = text
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("http://"));
    let rest = if plain {
        text.get(7..)
    } else {
        text.strip_prefix("https://")
    };
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    match host {
        Some(host) if !host.is_empty() && plain => {
            Ok(Image::LeftOut("the image is not served over https".into()))
        }
        Some(host) if !host.is_empty() => Ok(Image::Kept(text.to_owned())),
        _ => Err(wrong("the image's address is none")),
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
