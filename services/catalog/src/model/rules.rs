//! What stands around a listing: the agreement with its brand, the rule of its category, the licences of its
//! partner, and what was agreed with others.

use std::sync::Arc;

use contracts::id::{LegalEntityId, PartnerId};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};
use kit::validate::Window;

use super::brand::BrandAgreement;
use super::reach::{territories_meet, territories_within, windows_meet};
use super::regulation::{CategoryRule, Licence, is_licensed};
use super::words::words;

words! {
    /// A rule that can forbid a step.
    Rule {
        /// What was agreed with the brand.
        BrandAgreement = "BRAND_AGREEMENT",
        /// The rule of a regulated category, or that there is none.
        CategoryRule = "CATEGORY_RULE",
        /// A licence that is missing.
        Licence = "LICENCE",
        /// What was agreed with another partner.
        Exclusivity = "EXCLUSIVITY",
    }
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// By what.
    pub rule: Rule,
    /// In a sentence that names nobody else.
    pub message: &'static str,
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        Refusal::new(ErrorReason::NotAllowedHere, forbidden.message)
            .because("RULE", "listing", forbidden.rule.word())
            .with("rule", forbidden.rule)
    }
}

/// Where, when and through whom a listing is to sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach<'a> {
    /// Through whom.
    pub partner_id: &'a PartnerId,
    /// Where; empty for anywhere.
    pub territories: &'a [String],
    /// When.
    pub window: Window,
    /// Who sells.
    pub legal_entity_id: Option<&'a LegalEntityId>,
    /// Whether nobody else may.
    pub is_exclusive: bool,
}

/// What was agreed with a partner about the same variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// With whom.
    pub partner_id: PartnerId,
    /// Where; empty for anywhere.
    pub territories: Vec<String>,
    /// When.
    pub window: Window,
    /// Whether nobody else may.
    pub is_exclusive: bool,
}

impl Claim {
    /// Whether it and the listing cannot both be.
    fn excludes(&self, reach: &Reach<'_>, now: Micros) -> bool {
        self.partner_id != *reach.partner_id
            && (self.is_exclusive || reach.is_exclusive)
            && territories_meet(&self.territories, reach.territories)
            && windows_meet(self.window, reach.window, now)
    }
}

/// What goes for a product of a regulated category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regulated {
    /// The category's rule; none when nobody has set one.
    pub rule: Option<Arc<CategoryRule>>,
    /// The partner's licences of the category.
    pub licences: Vec<Licence>,
}

/// The rules around one listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// With the product's brand.
    pub agreement: Option<Arc<BrandAgreement>>,
    /// Of the product's category; none when it is not regulated.
    pub regulated: Option<Regulated>,
}

impl Rules {
    /// What forbids the listing now; nothing when it is allowed.
    pub fn forbid(&self, reach: &Reach<'_>, now: Micros) -> Option<Forbidden> {
        let by = |rule: Rule| move |message: &'static str| Forbidden { rule, message };
        let agreement = self.agreement.as_ref().and_then(|agreement| {
            agreement.problem(
                reach.partner_id,
                reach.territories,
                reach.window,
                reach.legal_entity_id,
            )
        });
        agreement
            .map(by(Rule::BrandAgreement))
            .or_else(|| self.regulated.as_ref()?.forbid(reach, now))
    }

    /// Whether the retailer is the brand's only outlet now.
    pub fn is_retailer_exclusive(&self, territories: &[String], now: Micros) -> bool {
        let agreement = self.agreement.as_ref();
        agreement.is_some_and(|agreement| agreement.is_exclusive(territories, now))
    }

    /// The minimum age of shoppers; 0 for none.
    pub fn minimum_age_years(&self) -> i64 {
        let rule = self.regulated.as_ref().and_then(|own| own.rule.as_ref());
        rule.map_or(0, |rule| rule.terms.minimum_age_years)
    }

    /// The dates on which what they say changes.
    pub fn dates(&self) -> impl Iterator<Item = Micros> {
        let window = self.agreement.as_ref().map(|own| own.terms.window);
        let window = window.unwrap_or_default();
        let licences = self.regulated.iter().flat_map(|own| &own.licences);
        let licences = licences.flat_map(|own| [own.start_time, Some(own.expire_time)]);
        licences.chain([window.start, window.end]).flatten()
    }
}

impl Regulated {
    fn forbid(&self, reach: &Reach<'_>, now: Micros) -> Option<Forbidden> {
        let by = |rule, message| Some(Forbidden { rule, message });
        let Some(rule) = &self.rule else {
            return by(
                Rule::CategoryRule,
                "The product's regulated category has no rule yet, so that it cannot be sold; set the rule first.",
            );
        };
        if reach.territories.is_empty()
            || !territories_within(reach.territories, &rule.terms.permitted_territories)
        {
            return by(
                Rule::CategoryRule,
                "The product's regulated category is not permitted in all territories of the listing; \
                 name only permitted ones.",
            );
        }
        if rule.terms.licence_required && !is_licensed(&self.licences, reach.territories, now) {
            return by(
                Rule::Licence,
                "The partner has no licence now for the product's regulated category in all territories of the \
                 listing; have one recorded.",
            );
        }
        None
    }
}

/// What was agreed with others that keeps the listing from being agreed; nothing when it may be.
pub fn rivalry(claims: &[Claim], reach: &Reach<'_>, now: Micros) -> Option<Forbidden> {
    let is_taken = claims.iter().any(|claim| claim.excludes(reach, now));
    is_taken.then_some(Forbidden {
        rule: Rule::Exclusivity,
        message: "The variant is not free in all of these territories for all of this sale window; choose others.",
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
