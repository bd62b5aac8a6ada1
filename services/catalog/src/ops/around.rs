//! What stands around listings, read and held for many at a time.
//!
//! Locks are taken in the order rulebook, partner, product, variant; those of the listings come after. A unit
//! that only reads takes none.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use contracts::id::{PartnerId, ProductId, VariantId};
use kit::errors::{Fault, Refusal};
use store::Tx;

use super::kind;
use crate::model::brand::{BrandAgreement, brand_key};
use crate::model::listing::Standing;
use crate::model::partner::PartnerState;
use crate::model::product::ProductFace;
use crate::model::regulation::{CategoryRule, Licence};
use crate::model::rules::{Claim, Regulated, Rules};
use crate::store::brand::brand_agreement_by_keys;
use crate::store::listing::{Parents, claim_of_variants};
use crate::store::partner::partner_states;
use crate::store::product::{ProductHead, product_heads, variant_lock};
use crate::store::regulation::{category_rule_by_keys, licence_of};
use crate::store::rulebook::rulebook_hold;

/// What stands around some listings, as it is until the commit.
pub(super) struct Around {
    partners: HashMap<PartnerId, PartnerState>,
    products: HashMap<ProductId, ProductHead>,
    agreements: HashMap<String, Arc<BrandAgreement>>,
    rules: HashMap<String, Arc<CategoryRule>>,
    licences: HashMap<(PartnerId, String), Vec<Licence>>,
    claims: HashMap<VariantId, Vec<Claim>>,
}

impl Around {
    /// What stands around listings of these products for these partners, which belong together by their
    /// places, and the states of `lone` partners. Claims of others are not read yet. The rulebook has to be
    /// held.
    pub(super) async fn load(
        tx: &mut Tx,
        pairs: &BTreeSet<(PartnerId, ProductId)>,
        lone: &BTreeSet<PartnerId>,
    ) -> Result<Self, Fault> {
        let partner_ids = pairs.iter().map(|pair| pair.0).chain(lone.iter().copied());
        let partner_ids: BTreeSet<PartnerId> = partner_ids.collect();
        let partner_ids: Vec<PartnerId> = partner_ids.into_iter().collect();
        let partners = partner_states(tx, &partner_ids).await?;
        let mut around = Self::of_products(tx, pairs).await?;
        around.partners = partners.into_iter().collect();
        Ok(around)
    }

    /// The same without the partners' states, for what does not depend on them.
    pub(super) async fn of_products(
        tx: &mut Tx,
        pairs: &BTreeSet<(PartnerId, ProductId)>,
    ) -> Result<Self, Fault> {
        let product_ids: BTreeSet<ProductId> = pairs.iter().map(|pair| pair.1).collect();
        let product_ids: Vec<ProductId> = product_ids.into_iter().collect();
        let products = product_heads(tx, &product_ids).await?;
        let products: HashMap<ProductId, ProductHead> = products
            .into_iter()
            .map(|head| (head.product_id, head))
            .collect();
        let mut around = Around {
            partners: HashMap::new(),
            products,
            agreements: HashMap::new(),
            rules: HashMap::new(),
            licences: HashMap::new(),
            claims: HashMap::new(),
        };
        around.load_agreements(tx).await?;
        around.load_regulation(tx, pairs).await?;
        Ok(around)
    }

    async fn load_agreements(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let heads = self.products.values();
        let keys: BTreeSet<String> = heads.map(|head| brand_key(&head.face.brand)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let keys: Vec<&str> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for agreement in brand_agreement_by_keys(tx, &keys).await? {
            let key = brand_key(&agreement.terms.brand);
            self.agreements.insert(key, Arc::new(agreement));
        }
        Ok(())
    }

    async fn load_regulation(
        &mut self,
        tx: &mut Tx,
        pairs: &BTreeSet<(PartnerId, ProductId)>,
    ) -> Result<(), Fault> {
        let mut wanted: BTreeSet<(PartnerId, &str)> = BTreeSet::new();
        for (partner_id, product_id) in pairs {
            let head = self.products.get(product_id);
            let category = head.map_or("", |head| &head.face.regulated_category);
            if !category.is_empty() {
                wanted.insert((*partner_id, category));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let categories: BTreeSet<&str> = wanted.iter().map(|pair| pair.1).collect();
        let categories: Vec<&str> = categories.into_iter().collect();
        let rules = category_rule_by_keys(tx, &categories).await?;
        let (partners, categories) = wanted.into_iter().unzip();
        let licences = licence_of(tx, partners, categories).await?;
        for rule in rules {
            let category = rule.terms.regulated_category.clone();
            self.rules.insert(category, Arc::new(rule));
        }
        for licence in licences {
            let key = (licence.partner_id, licence.regulated_category.clone());
            self.licences.entry(key).or_default().push(licence);
        }
        Ok(())
    }

    /// Keeps others from agreeing on these variants, and reads what was agreed about them.
    pub(super) async fn hold_claims(
        &mut self,
        tx: &mut Tx,
        parents: &[Parents],
    ) -> Result<(), Fault> {
        let variants: BTreeSet<VariantId> = parents.iter().map(|own| own.variant_id).collect();
        let variants: Vec<VariantId> = variants.into_iter().collect();
        variant_lock(tx, &variants).await?;
        let only_exclusive = parents.iter().all(|own| !own.is_exclusive);
        for (variant_id, claim) in claim_of_variants(tx, &variants, only_exclusive).await? {
            self.claim(variant_id, claim);
        }
        Ok(())
    }

    /// Notes what has just been agreed.
    pub(super) fn claim(&mut self, variant_id: VariantId, claim: Claim) {
        self.claims.entry(variant_id).or_default().push(claim);
    }

    /// What a listing shows of the product.
    pub(super) fn face(&self, product_id: &ProductId) -> Result<&ProductFace, Fault> {
        let head = self.products.get(product_id);
        let head = head.ok_or_else(|| Fault::internal("a listing without its product"))?;
        Ok(&head.face)
    }

    /// The rules around a listing.
    pub(super) fn rules(
        &self,
        partner_id: &PartnerId,
        product_id: &ProductId,
    ) -> Result<Rules, Fault> {
        let face = self.face(product_id)?;
        let category = &face.regulated_category;
        let regulated = (!category.is_empty()).then(|| {
            let own = self.licences.get(&(*partner_id, category.clone()));
            Regulated {
                rule: self.rules.get(category).cloned(),
                licences: own.cloned().unwrap_or_default(),
            }
        });
        Ok(Rules {
            agreement: self.agreements.get(&brand_key(&face.brand)).cloned(),
            regulated,
        })
    }

    /// Whether a partner may sell; NOT_FOUND when there is no such one.
    pub(super) fn partner(&self, partner_id: &PartnerId) -> Result<PartnerState, Refusal> {
        let state = self.partners.get(partner_id).copied();
        state.ok_or_else(|| Refusal::not_found(kind::PARTNER))
    }

    /// All that stands around a listing.
    pub(super) fn standing(
        &self,
        partner_id: &PartnerId,
        product_id: &ProductId,
        variant_id: &VariantId,
    ) -> Result<Standing, Fault> {
        let head = self.products.get(product_id);
        let head = head.ok_or_else(|| Fault::internal("a listing without its product"))?;
        Ok(Standing {
            partner: self.partner(partner_id)?,
            product: head.state,
            rules: self.rules(partner_id, product_id)?,
            claims: self.claims.get(variant_id).cloned().unwrap_or_default(),
        })
    }
}

/// Holds the rules and what stands around some listings that are there.
pub(super) async fn around(tx: &mut Tx, parents: &[Parents]) -> Result<Around, Fault> {
    rulebook_hold(tx).await?;
    let pairs = parents.iter().map(|own| (own.partner_id, own.product_id));
    Around::load(tx, &pairs.collect(), &BTreeSet::new()).await
}
