//! Products and their variants.

use std::collections::BTreeMap;

use contracts::id::{ProductId, VariantId};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::version::Version;
use super::words::words;

/// The most variants of one product.
pub const VARIANTS_MAX: usize = 250;

words! {
    /// Whether a product can be listed.
    ProductState {
        /// Can be listed.
        Active = "ACTIVE",
        /// Out of use; what is live goes on until it is ended.
        Archived = "ARCHIVED",
        /// Not for sale where it was imported from; an import may make it active.
        Draft = "DRAFT",
    }
}

impl ProductState {
    /// Refuses what an archived product may not have: new variants, proposals, approvals, publications.
    pub fn require_active(self) -> Result<(), Refusal> {
        match self {
            ProductState::Active => Ok(()),
            ProductState::Archived => Err(Refusal::wrong_state(
                "product",
                self,
                "The product is archived and can be listed no more; list another product.",
            )),
            ProductState::Draft => Err(Refusal::wrong_state(
                "product",
                self,
                "The product is not for sale where it was imported from; import it as active first.",
            )),
        }
    }
}

words! {
    /// What quantities of a variant count.
    Unit {
        /// Pieces.
        Each = "EACH",
        /// Grams.
        Gram = "GRAM",
    }
}

words! {
    /// When a unit with its own identity is chosen.
    UnitPolicy {
        /// Units have no identity.
        None = "NONE",
        /// The serial number is recorded when packed.
        SerialAtPack = "SERIAL_AT_PACK",
        /// The very unit is set aside with the hold.
        UnitAtHold = "UNIT_AT_HOLD",
    }
}

/// One option of a variant, such as Size: Large.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VariantOption {
    /// What is chosen.
    pub name: String,
    /// The choice.
    pub value: String,
}

/// What a variant is, apart from its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantDetails {
    /// Unique in the catalogue.
    pub sku: String,
    /// What tells it from its siblings.
    pub options: Vec<VariantOption>,
    /// What quantities count.
    pub unit: Unit,
    /// Quantities are multiples of this.
    pub quantity_step: i64,
    /// When a serialised unit is chosen.
    pub unit_policy: UnitPolicy,
    /// Its GTIN; may be empty.
    pub gtin: String,
    /// Shipping weight of one piece; 0 when unknown.
    pub weight_grams: i64,
}

impl VariantDetails {
    /// A text that two variants share when their options are the same, in whatever order.
    pub fn options_key(&self) -> String {
        let mut options: Vec<&VariantOption> = self.options.iter().collect();
        options.sort();
        let mut hash = Sha256::new();
        for text in options
            .iter()
            .flat_map(|option| [&option.name, &option.value])
        {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hex::encode(hash.finalize())
    }
}

/// The sellable SKU. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The variant.
    pub variant_id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// What it is.
    pub details: VariantDetails,
}

/// What a product says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductDetails {
    /// Its title; listings show it.
    pub title: String,
    /// Plain text.
    pub description: String,
    /// May be empty.
    pub brand: String,
    /// A path; may be empty.
    pub category: String,
    /// Addresses of images.
    pub image_uris: Vec<String>,
    /// Its key where it came from; unique when not empty.
    pub external_key: String,
    /// The regulated category that its rules come from; empty for none.
    pub regulated_category: String,
}

impl ProductDetails {
    /// What its listings show of it.
    pub fn face(&self) -> ProductFace {
        ProductFace {
            title: self.title.clone(),
            brand: self.brand.clone(),
            category: self.category.clone(),
            image_uris: self.image_uris.clone(),
            regulated_category: self.regulated_category.clone(),
            summary: summary(&self.description),
        }
    }
}

/// The most characters of a description that listings show.
pub const SUMMARY_MAX: usize = 1_000;

/// The beginning of a description.
pub fn summary(description: &str) -> String {
    description.chars().take(SUMMARY_MAX).collect()
}

/// What a listing shows of its product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProductFace {
    /// Its title.
    pub title: String,
    /// May be empty.
    pub brand: String,
    /// A path; may be empty.
    pub category: String,
    /// Addresses of images.
    pub image_uris: Vec<String>,
    /// Empty for none.
    pub regulated_category: String,
    /// The beginning of its description.
    pub summary: String,
}

/// New values of a product; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProductChange {
    /// Its title.
    pub title: Option<String>,
    /// Plain text.
    pub description: Option<String>,
    /// May be empty.
    pub brand: Option<String>,
    /// A path.
    pub category: Option<String>,
    /// Addresses of images.
    pub image_uris: Option<Vec<String>>,
    /// The regulated category; empty for none.
    pub regulated_category: Option<String>,
}

/// Something the retailer sells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// The product.
    pub product_id: ProductId,
    /// What it says of itself.
    pub details: ProductDetails,
    /// In the order in which they were added; at least one.
    pub variants: Vec<Variant>,
    /// Whether it can be listed.
    pub state: ProductState,
    /// How often it was changed.
    pub version: Version,
    /// When it was created.
    pub create_time: Micros,
    /// When it was last changed.
    pub update_time: Micros,
}

impl Product {
    /// A new product.
    pub fn create(
        product_id: ProductId,
        details: ProductDetails,
        variants: Vec<(VariantId, VariantDetails)>,
        now: Micros,
    ) -> Result<Self, Refusal> {
        siblings(variants.iter().map(|(_, details)| details), |place| {
            format!("product.variants[{place}]")
        })?;
        let variants = variants
            .into_iter()
            .map(|(variant_id, details)| Variant {
                variant_id,
                product_id,
                details,
            })
            .collect();
        Ok(Product {
            product_id,
            details,
            variants,
            state: ProductState::Active,
            version: Version::FIRST,
            create_time: now,
            update_time: now,
        })
    }

    /// Changes what it says of itself; answers whether anything is different now.
    pub fn change(&mut self, change: &ProductChange, now: Micros) -> bool {
        fn set<T: Clone + PartialEq>(field: &mut T, new: &Option<T>) -> bool {
            match new {
                Some(new) if new != field => {
                    field.clone_from(new);
                    true
                }
                _ => false,
            }
        }
        let details = &mut self.details;
        let changed = [
            set(&mut details.title, &change.title),
            set(&mut details.description, &change.description),
            set(&mut details.brand, &change.brand),
            set(&mut details.category, &change.category),
            set(&mut details.image_uris, &change.image_uris),
            set(&mut details.regulated_category, &change.regulated_category),
        ]
        .contains(&true);
        if changed {
            self.touch(now);
        }
        changed
    }

    /// Adds a variant behind the others.
    pub fn add_variant(
        &mut self,
        variant_id: VariantId,
        details: VariantDetails,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.state.require_active()?;
        if self.variants.len() >= VARIANTS_MAX {
            let message = format!(
                "The product has {VARIANTS_MAX} variants, the most there may be; create another product."
            );
            return Err(Refusal::wrong_state("product", "FULL", message));
        }
        let known = self.variants.iter().map(|variant| &variant.details);
        siblings(known.chain([&details]), |_| "variant".to_owned())?;
        self.variants.push(Variant {
            variant_id,
            product_id: self.product_id,
            details,
        });
        self.touch(now);
        Ok(())
    }

    /// Takes it out of use, for good.
    pub fn archive(&mut self, now: Micros) -> Result<(), Refusal> {
        if self.state == ProductState::Archived {
            return Err(Refusal::wrong_state(
                "product",
                self.state,
                "The product is archived already; nothing was changed.",
            ));
        }
        self.state = ProductState::Archived;
        self.touch(now);
        Ok(())
    }

    fn touch(&mut self, now: Micros) {
        self.version = self.version.next();
        self.update_time = now;
    }
}

/// Refuses variants that could not be told apart. `field` names the field of the variant at a place; the
/// later of two is the one at fault.
fn siblings<'a>(
    variants: impl Iterator<Item = &'a VariantDetails>,
    field: impl Fn(usize) -> String,
) -> Result<(), Refusal> {
    let mut skus: BTreeMap<&str, usize> = BTreeMap::new();
    let mut options: BTreeMap<String, &str> = BTreeMap::new();
    for (place, variant) in variants.enumerate() {
        if skus.insert(&variant.sku, place).is_some() {
            return Err(Refusal::invalid(
                format!("{}.sku", field(place)),
                "is the SKU of another variant of this product; every variant has its own.",
            ));
        }
        if let Some(other) = options.insert(variant.options_key(), &variant.sku) {
            return Err(Refusal::invalid(
                format!("{}.options", field(place)),
                format!(
                    "are those of the variant with the SKU {other}; a variant's options tell it from its siblings."
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
