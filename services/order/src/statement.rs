//! Statements: the partner's signed word about money.
//!
//! One verifier for all of them. A statement is a compact JWS under a key that the partner has registered. The header is
//! read only to find the key and to see what the signer meant (`typ`); what was signed is read after the signature held,
//! from exactly the bytes that it holds over, and those are what is kept. `typ`, `kind` and `aud` keep each kind of
//! statement apart from every other and from what a partner signs for somebody else. Whether the order exists, and what
//! the statement does to it, is decided elsewhere.

pub mod money;
pub mod payment;
pub mod refund;

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::PartnerId;
use contracts::money::Currency;
use kit::auth::json::is_plain_object;
use kit::auth::jws::{self, JwsError, PublicKey};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

pub use payment::{STATEMENT_TYPE, Statement};

use crate::config::Config;

/// The longest statement that is looked at.
pub const STATEMENT_CHARS_MAX: usize = 8_192;

/// The longest name of a key, in characters.
const KID_CHARS_MAX: usize = 64;

/// The longest reference of a partner, in characters.
const REFERENCE_CHARS_MAX: usize = 128;

/// The latest moment a statement may name, in seconds: the end of the year 9999.
const TIME_MAX_S: i64 = 253_402_300_799;

/// What every statement has to satisfy.
#[derive(Clone, Debug)]
pub struct Rules {
    audience: String,
    required: bool,
    required_of: BTreeSet<PartnerId>,
    leeway: Duration,
}

impl Rules {
    /// The rules of a configuration.
    pub fn new(config: &Config) -> Self {
        Rules {
            audience: config.statement_audience.clone(),
            required: config.statement_audience_required,
            required_of: config
                .statement_audience_required_of
                .iter()
                .copied()
                .collect(),
            leeway: config.statement_leeway(),
        }
    }

    /// Nobody pays in the future; but for the clocks, which are never quite right. There is no bound on the past: the
    /// money is real.
    fn time(&self, seconds: i64, name: &str, now: Micros) -> Result<Micros, Refusal> {
        if !(0..=TIME_MAX_S).contains(&seconds) {
            return Err(bad(format!(
                "The statement's {name} must be in seconds since 1970 UTC."
            )));
        }
        let time = Micros::from_seconds(seconds);
        if time > now.plus(self.leeway) {
            let ahead = time.since(now).as_secs();
            return Err(bad(format!(
                "The statement's {name} lies {ahead} seconds in the future; state when it happened, in seconds since \
                 1970 UTC, and set the clock that says so."
            )));
        }
        Ok(time)
    }

    fn audience(&self, aud: Option<&OneOrMany>, required: bool) -> Result<(), Refusal> {
        match aud {
            None if !required => Ok(()),
            Some(aud) if aud.has(&self.audience) => Ok(()),
            _ => Err(bad(format!(
                "The statement's aud must be or contain \"{}\".",
                self.audience
            ))),
        }
    }
}

/// A kind of statement: what is signed as JSON, and what it says once read.
pub trait Claims: DeserializeOwned {
    /// The `typ` header.
    const TYPE: &'static str;
    /// The members that it has to have, for a sentence.
    const MEMBERS: &'static str;
    /// The member that says when.
    const TIME: &'static str;
    /// Whether `aud` may be absent where nothing else is configured: statements of payments had none at first.
    const AUDIENCE_OPTIONAL: bool = false;
    /// What it says.
    type Stated;

    /// `aud`.
    fn audience(&self) -> Option<&OneOrMany>;
    /// When, in seconds since 1970 UTC.
    fn time(&self) -> i64;
    /// What it says, at a time that was checked.
    fn read(self, time: Micros) -> Result<Self::Stated, Refusal>;
}

/// Takes a statement apart: the form, the type and which key to look up.
pub fn unverified<C: Claims>(token: &str) -> Result<(jws::Unverified<'_>, String), Refusal> {
    let jws = jws::Unverified::of(token).map_err(|error| match error {
        JwsError::TooLarge => bad(format!(
            "The statement is longer than {STATEMENT_CHARS_MAX} characters."
        )),
        _ => bad(
            "The statement is no compact JWS as it is to be; send header.payload.signature in base64url, the header a \
             JSON object with alg, typ and kid, no member twice, and neither crit nor b64.",
        ),
    })?;
    if jws.typ() != Some(C::TYPE) {
        return Err(bad(format!(
            "The statement's header must have typ \"{}\".",
            C::TYPE
        )));
    }
    match jws.kid() {
        Some(kid) if (1..=KID_CHARS_MAX).contains(&kid.chars().count()) && !kid.contains('\0') => {
            let kid = kid.to_owned();
            Ok((jws, kid))
        }
        _ => Err(bad(
            "The statement's header must name the key it is signed with in kid, 1 to 64 characters.",
        )),
    }
}

/// Checks the signature under a key of the partner and reads what was signed.
pub fn verify<C: Claims>(
    jws: &jws::Unverified<'_>,
    key: &PublicKey,
    partner_id: &PartnerId,
    rules: &Rules,
    now: Micros,
) -> Result<C::Stated, Refusal> {
    let payload = jws
        .verify(key)
        .map_err(|error| bad(format!("The statement's signature does not hold: {error}.")))?;
    read::<C>(&payload, partner_id, rules, now)
}

fn read<C: Claims>(
    payload: &[u8],
    partner_id: &PartnerId,
    rules: &Rules,
    now: Micros,
) -> Result<C::Stated, Refusal> {
    let claims: Option<C> = is_plain_object(payload)
        .then(|| serde_json::from_slice(payload).ok())
        .flatten();
    let claims = claims.ok_or_else(|| {
        bad(format!(
            "The statement must be a JSON object with {}, no member twice.",
            C::MEMBERS
        ))
    })?;
    let required =
        !C::AUDIENCE_OPTIONAL || rules.required || rules.required_of.contains(partner_id);
    rules.audience(claims.audience(), required)?;
    let time = rules.time(claims.time(), C::TIME, now)?;
    claims.read(time)
}

/// An `aud`: one text, or a list.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    fn has(&self, wanted: &str) -> bool {
        match self {
            OneOrMany::One(one) => one == wanted,
            OneOrMany::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

/// A member that may be absent, but is what it should be when it is there: null is not absent.
fn stated<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    member: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

fn named<T: std::str::FromStr>(text: &str, field: &str) -> Result<T, Refusal> {
    text.parse()
        .map_err(|_| bad(format!("The statement's {field} is no such id.")))
}

fn currency(code: &str) -> Result<Currency, Refusal> {
    code.parse()
        .map_err(|_| bad("The statement's currency_code must be an ISO 4217 code in capitals."))
}

fn reference(text: String, field: &str) -> Result<String, Refusal> {
    if (1..=REFERENCE_CHARS_MAX).contains(&text.chars().count()) && !text.contains('\0') {
        return Ok(text);
    }
    Err(bad(format!(
        "The statement's {field} must have 1 to 128 characters."
    )))
}

/// The refusal of a statement.
pub fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorReason::BadStatement, message)
}

/// The refusal of a statement under a key that the partner does not have, or no longer.
pub fn bad_key() -> Refusal {
    bad("The statement's kid names no active key of this partner; sign with a registered key.")
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
