//! Regulated categories and the licences that partners have for them.

use contracts::id::{LicenceId, PartnerId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::version::Version;
use super::words::words;

/// What goes for the goods of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTerms {
    /// The category.
    pub regulated_category: String,
    /// Where they may be sold to; never empty.
    pub permitted_territories: Vec<String>,
    /// The minimum age of shoppers; 0 for none.
    pub minimum_age_years: i64,
    /// Whether a partner needs a licence.
    pub licence_required: bool,
    /// For people.
    pub note: String,
}

/// The rule of a category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryRule {
    /// What it says.
    pub terms: RuleTerms,
    /// How often it was changed.
    pub version: Version,
    /// When it was first set.
    pub create_time: Micros,
    /// When it was last changed.
    pub update_time: Micros,
}

impl CategoryRule {
    /// A first rule.
    pub fn new(terms: RuleTerms, now: Micros) -> Self {
        CategoryRule {
            terms,
            version: Version::FIRST,
            create_time: now,
            update_time: now,
        }
    }

    /// Replaces all of it; answers whether anything is different now.
    pub fn set(&mut self, terms: RuleTerms, now: Micros) -> bool {
        if self.terms == terms {
            return false;
        }
        self.terms = terms;
        self.version = self.version.next();
        self.update_time = now;
        true
    }
}

words! {
    /// Whether a licence was taken back.
    LicenceState {
        /// It counts from its start until it expires.
        Active = "ACTIVE",
        /// It counts no more.
        Revoked = "REVOKED",
    }
}

/// A partner's licence for a category. It never changes but for being revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    /// The licence.
    pub licence_id: LicenceId,
    /// Whose.
    pub partner_id: PartnerId,
    /// For which goods.
    pub regulated_category: String,
    /// The number on it; unique per partner and category.
    pub licence_number: String,
    /// Where it counts; empty for everywhere.
    pub territories: Vec<String>,
    /// From when it counts; none for ever since.
    pub start_time: Option<Micros>,
    /// From when it counts no more.
    pub expire_time: Micros,
    /// Whether it was taken back.
    pub state: LicenceState,
    /// Why it was revoked; empty when it was not.
    pub revoke_reason: String,
    /// When it was recorded.
    pub create_time: Micros,
    /// When it was revoked.
    pub revoke_time: Option<Micros>,
}

impl Licence {
    /// Takes it back, for good.
    pub fn revoke(&mut self, reason: &str, now: Micros) -> Result<(), Refusal> {
        if self.state == LicenceState::Revoked {
            return Err(Refusal::wrong_state(
                "licence",
                self.state,
                "The licence is revoked already; nothing was changed.",
            ));
        }
        self.state = LicenceState::Revoked;
        self.revoke_reason = reason.to_owned();
        self.revoke_time = Some(now);
        Ok(())
    }

    fn counts_at(&self, now: Micros) -> bool {
        self.state == LicenceState::Active
            && self.start_time.is_none_or(|start| start <= now)
            && now < self.expire_time
    }

    fn covers(&self, territory: &String) -> bool {
        self.territories.is_empty() || self.territories.contains(territory)
    }
}

/// Whether licences of one partner and category cover every territory now.
pub fn is_licensed(licences: &[Licence], territories: &[String], now: Micros) -> bool {
    territories.iter().all(|territory| {
        let mut counting = licences.iter().filter(|licence| licence.counts_at(now));
        counting.any(|licence| licence.covers(territory))
    })
}
