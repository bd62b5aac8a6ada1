//! What a listing shows of what is around it, and what dates do to it.

use kit::clock::Micros;
use sha2::{Digest, Sha256};

use super::listing::{Listing, ListingState};
use super::product::ProductFace;
use super::rules::Rules;
use super::terms::PurchaseMode;
use super::words::words;

/// What a listing shows that can change without a change of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Of its product.
    pub product: ProductFace,
    /// Whether the retailer is the brand's only outlet in all of its territories.
    pub retailer_exclusive: bool,
    /// The minimum age of shoppers; 0 for none.
    pub minimum_age_years: i64,
    /// When all this, and what follows from dates, was looked at.
    pub time: Micros,
}

words! {
    /// What was changed.
    RefreshKind {
        /// A product; the key is its id.
        Product = "PRODUCT",
        /// The agreement with a brand; the key is the brand's.
        Brand = "BRAND",
        /// The rule of a regulated category, or licences; the key is the category.
        Category = "CATEGORY",
    }
}

/// What came of looking at a listing again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is over, and stays as it was.
    Same,
    /// It may show something else now.
    Shown,
    /// New terms are in force.
    NewTerms,
}

impl Listing {
    /// The purchase mode in force when it was looked at.
    pub fn purchase_mode(&self) -> PurchaseMode {
        self.terms.purchase_modes.at(self.shown.time)
    }

    /// Whether it belonged to the partner's assortment when it was looked at.
    pub fn is_in_assortment(&self) -> bool {
        let end = self.terms.sale_window.end;
        matches!(self.state, ListingState::Approved | ListingState::Live)
            && end.is_none_or(|end| self.shown.time < end)
    }

    /// Looks at it again because something around it changed or a date passed: shows what is shown now, puts
    /// in force what was due, and takes it off sale when the rules allow it no more.
    pub fn look_again(&mut self, rules: &Rules, product: ProductFace, now: Micros) -> Look {
        if self.state.is_over() {
            return Look::Same;
        }
        let has_new_terms = self.state.is_agreed() && self.terms.commission_due(now);
        if has_new_terms {
            self.terms_version += 1;
        }
        if self.state == ListingState::Live
            && let Some(forbidden) = rules.forbid(&self.reach(), now)
        {
            let reason = format!("{}: {}", forbidden.rule, forbidden.message);
            self.enter(ListingState::Paused, &reason);
        }
        let territories = &self.terms.territories;
        self.title.clone_from(&product.title);
        self.shown = Shown {
            product,
            retailer_exclusive: rules.is_retailer_exclusive(territories, now),
            minimum_age_years: rules.minimum_age_years(),
            time: now,
        };
        if has_new_terms {
            Look::NewTerms
        } else {
            Look::Shown
        }
    }

    /// When it has to be looked at again, counted from when it was last looked at: the next date on which
    /// something that it shows changes, or the rules around it do.
    pub fn next_look(&self, rules: &Rules) -> Option<Micros> {
        if self.state.is_over() {
            return None;
        }
        let switches = self.terms.purchase_modes.dated.iter();
        let switches = switches.map(|dated| dated.start);
        let commission = self.terms.next_commission.map(|next| next.effective_time);
        let own = switches.chain(commission).chain(self.terms.sale_window.end);
        let now = self.shown.time;
        own.chain(rules.dates()).filter(|date| *date > now).min()
    }

    /// A text that two looks share when they showed the same.
    pub fn shown_key(&self) -> String {
        let Shown {
            product,
            retailer_exclusive,
            minimum_age_years,
            time: _,
        } = &self.shown;
        let own = [
            self.purchase_mode().word().to_owned(),
            self.is_in_assortment().to_string(),
            retailer_exclusive.to_string(),
            minimum_age_years.to_string(),
        ];
        let texts = [
            &product.title,
            &product.brand,
            &product.category,
            &product.regulated_category,
            &product.summary,
        ];
        let mut hash = Sha256::new();
        for text in own.iter().chain(texts).chain(&product.image_uris) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hex::encode(&hash.finalize()[..16])
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
