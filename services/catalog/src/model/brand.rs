//! Agreements with brands.

use contracts::id::{BrandAgreementId, LegalEntityId, PartnerId};
use kit::clock::Micros;
use kit::validate::Window;

use super::reach::{territories_within, window_within};
use super::version::Version;

/// A brand as agreements compare it: without case, and with one space where there are more.
pub fn brand_key(brand: &str) -> String {
    let words: Vec<&str> = brand.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// What the retailer and a brand agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrandTerms {
    /// The brand as the retailer writes it.
    pub brand: String,
    /// The retailer is the brand's only outlet, in these territories and this window.
    pub retailer_exclusive: bool,
    /// Where the brand may be sold to; empty for anywhere.
    pub territories: Vec<String>,
    /// When it may be sold.
    pub window: Window,
    /// Who may sell it; none for any.
    pub legal_entity_id: Option<LegalEntityId>,
    /// Whom it may be sold through; empty for any.
    pub allowed_partner_ids: Vec<PartnerId>,
    /// For people.
    pub note: String,
}

/// An agreement with a brand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrandAgreement {
    /// The agreement.
    pub brand_agreement_id: BrandAgreementId,
    /// What it says.
    pub terms: BrandTerms,
    /// How often it was changed.
    pub version: Version,
    /// When it was first set.
    pub create_time: Micros,
    /// When it was last changed.
    pub update_time: Micros,
}

impl BrandAgreement {
    /// A first agreement.
    pub fn new(brand_agreement_id: BrandAgreementId, terms: BrandTerms, now: Micros) -> Self {
        BrandAgreement {
            brand_agreement_id,
            terms,
            version: Version::FIRST,
            create_time: now,
            update_time: now,
        }
    }

    /// Replaces all of it; answers whether anything is different now.
    pub fn set(&mut self, terms: BrandTerms, now: Micros) -> bool {
        if self.terms == terms {
            return false;
        }
        self.terms = terms;
        self.version = self.version.next();
        self.update_time = now;
        true
    }

    /// What forbids to sell through this partner, there and then; none when it may be done.
    pub fn problem(
        &self,
        partner_id: &PartnerId,
        territories: &[String],
        window: Window,
        legal_entity_id: Option<&LegalEntityId>,
    ) -> Option<&'static str> {
        let terms = &self.terms;
        let is_allowed =
            terms.allowed_partner_ids.is_empty() || terms.allowed_partner_ids.contains(partner_id);
        if !is_allowed {
            return Some(
                "The agreement with the brand does not allow to sell it through this partner.",
            );
        }
        if !territories_within(territories, &terms.territories) {
            return Some(
                "The agreement with the brand does not allow all of these territories; name only those that it allows.",
            );
        }
        if !window_within(window, terms.window) {
            return Some(
                "The sale window does not lie inside the agreement with the brand; set one that does.",
            );
        }
        if terms.legal_entity_id.is_some() && terms.legal_entity_id.as_ref() != legal_entity_id {
            return Some("The agreement with the brand is another legal entity's; name that one.");
        }
        None
    }

    /// Whether the retailer is the brand's only outlet now, everywhere in these territories.
    pub fn is_exclusive(&self, territories: &[String], now: Micros) -> bool {
        let terms = &self.terms;
        terms.retailer_exclusive
            && terms.window.contains(now)
            && territories_within(territories, &terms.territories)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_is_one_brand_however_it_is_spaced_and_capitalised() {
        assert_eq!(brand_key("  Maison  Ärger "), "maison ärger");
        assert_eq!(brand_key("MAISON ÄRGER"), "maison ärger");
        assert_eq!(brand_key(" "), "");
    }
}
