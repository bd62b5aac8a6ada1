//! A product while the rows of a file are added to it.

use std::collections::BTreeMap;

use contracts::id::{ProductId, VariantId};
use contracts::money::Money;
use kit::clock::Micros;

use super::plan::{
    Around, Known, Plan, ProductSource, VariantSource, Verdict, Write, in_order, refuse,
};
use super::{Outcome, Problem, ReadDetails, ReadProduct, ReadRow, ReadVariant, Reason, most};
use crate::model::product::{
    Product, ProductDetails, ProductState, Unit, UnitPolicy, VARIANTS_MAX, Variant, VariantDetails,
};
use crate::model::version::Version;

/// What becomes of one row of those that were read.
enum Fate {
    /// It adds a variant, at this place.
    New(usize),
    /// It is about the variant at this place; whether that is different now.
    Old(usize, bool),
    /// It only adds to the product.
    Product,
}

/// A product while rows are added to it.
pub(super) struct Draft {
    before: Option<Known>,
    product: Product,
    source: ProductSource,
    variants: BTreeMap<VariantId, VariantSource>,
}

impl Draft {
    /// Begins with what the catalogue has.
    pub(super) fn new(
        read: &ReadProduct,
        known: Option<Known>,
        around: &Around<'_>,
    ) -> Result<Self, (Reason, &'static str, &'static str)> {
        if let Some(known) = known {
            return Ok(Draft {
                product: known.product.clone(),
                source: known.source.clone().unwrap_or_default(),
                variants: known.variants.clone(),
                before: Some(known),
            });
        }
        if read.rows.iter().all(|row| row.details.is_none()) {
            return Err((
                Reason::Depends,
                "the product's first rows were rejected",
                "Correct them; this one is then taken with them.",
            ));
        }
        let product = Product {
            product_id: ProductId::from_uuid(around.ids.next()),
            details: ProductDetails {
                title: String::new(),
                description: String::new(),
                brand: String::new(),
                category: String::new(),
                image_uris: Vec::new(),
                external_key: read.external_key.clone(),
                regulated_category: String::new(),
            },
            variants: Vec::new(),
            state: ProductState::Active,
            version: Version::FIRST,
            create_time: around.now,
            update_time: around.now,
        };
        Ok(Draft {
            before: None,
            product,
            source: ProductSource::default(),
            variants: BTreeMap::new(),
        })
    }

    /// Adds the rows, and says what is to be done.
    pub(super) fn plan(mut self, read: ReadProduct, around: &Around<'_>) -> Plan {
        let ReadProduct {
            external_key: key,
            mut rows,
            refused,
            continues,
        } = read;
        let mut verdicts: Vec<Verdict> = refused.into_iter().map(Verdict::from).collect();
        let mut fates = Vec::new();
        rows.retain(|row| match self.row(row, around) {
            Ok(fate) => {
                fates.push(fate);
                true
            }
            Err(problem) => {
                verdicts.push(refuse(&key, row, vec![*problem]));
                false
            }
        });
        // Rows that stand apart only add variants, or each import would tell another story of the product.
        let tells = !continues || self.before.is_none();
        let details = rows.iter().find_map(|row| row.details.as_deref());
        let is_empty = self.product.variants.is_empty();
        if rows.is_empty() || is_empty || (self.before.is_none() && details.is_none()) {
            let (message, fix) = if is_empty && !rows.is_empty() {
                (
                    "the product has no variant that can be kept",
                    "Correct the rows of its variants.",
                )
            } else {
                (
                    "the product's first row was rejected",
                    "Correct that row; this one is then taken with it.",
                )
            };
            let left = rows.iter().map(|row| {
                let problem = Problem::row(row.line, Reason::Depends, message, fix);
                refuse(&key, row, vec![problem])
            });
            verdicts.extend(left);
            return Plan {
                outcome: Outcome::Rejected,
                write: None,
                verdicts: in_order(verdicts),
            };
        }
        if tells {
            if let Some(details) = details {
                self.details(details);
            }
            if details.is_some_and(|details| details.has_images) {
                self.product.details.image_uris = images(&mut rows);
            }
        }
        self.source.source = around.source.to_owned();
        let outcome = self.outcome();
        let shown = rows
            .into_iter()
            .zip(&fates)
            .map(|(row, fate)| self.verdict(&key, row, fate));
        verdicts.extend(shown);
        Plan {
            outcome,
            verdicts: in_order(verdicts),
            write: self.write(outcome, around.now),
        }
    }

    /// Takes a row's variant.
    fn row(&mut self, row: &ReadRow, around: &Around<'_>) -> Result<Fate, Box<Problem>> {
        let Some(read) = &row.variant else {
            return Ok(Fate::Product);
        };
        let conflict = |message: String, fix: &str| {
            Box::new(Problem::row(row.line, Reason::Conflict, message, fix).showing(&read.sku))
        };
        let details = details_of(read);
        let options_key = details.options_key();
        let variants = &self.product.variants;
        let by_sku = variants
            .iter()
            .position(|variant| variant.details.sku == read.sku);
        let by_options = variants
            .iter()
            .position(|variant| variant.details.options_key() == options_key);
        let place = match (by_sku, by_options) {
            (Some(sku), Some(options)) if sku == options => Some(sku),
            (Some(_), _) => {
                let fix = "Give the variant a new SKU; an SKU never changes what it stands for.";
                return Err(conflict(
                    "the SKU stands for other options of this product".into(),
                    fix,
                ));
            }
            (None, Some(options)) if read.made_sku => Some(options),
            (None, Some(options)) => {
                let sku = &variants[options].details.sku;
                let message = format!("the variant with these options has the SKU {sku} already");
                return Err(conflict(message, "Use that SKU; an SKU never changes."));
            }
            (None, None) => None,
        };
        if let Some(place) = place {
            return Ok(Fate::Old(place, self.correct(place, read)));
        }
        if let Some((_, owner)) = around.owners.get(&read.sku) {
            let message = format!("another product, {owner}, has this SKU");
            return Err(conflict(message, "Give each variant its own SKU."));
        }
        if self.product.state == ProductState::Archived {
            let message = "the product is archived and takes no new variants".to_owned();
            return Err(conflict(
                message,
                "Give the product another key to sell it again.",
            ));
        }
        if self.product.variants.len() >= VARIANTS_MAX {
            let message = format!("the product has {VARIANTS_MAX} variants already");
            return Err(conflict(
                message,
                "Make another product of the further variants.",
            ));
        }
        let variant_id = VariantId::from_uuid(around.ids.next());
        self.product.variants.push(Variant {
            variant_id,
            product_id: self.product.product_id,
            details,
        });
        let place = self.product.variants.len() - 1;
        self.correct(place, read);
        Ok(Fate::New(place))
    }

    /// Makes what may change of a variant as the row says; answers whether anything is different.
    fn correct(&mut self, place: usize, read: &ReadVariant) -> bool {
        let variant = &mut self.product.variants[place];
        let before = (variant.details.gtin.clone(), variant.details.weight_grams);
        if let Some(gtin) = &read.gtin {
            variant.details.gtin.clone_from(gtin);
        }
        if let Some(grams) = read
            .weight_grams
            .filter(|_| variant.details.unit == Unit::Each)
        {
            variant.details.weight_grams = grams;
        }
        let after = (variant.details.gtin.clone(), variant.details.weight_grams);
        let known = self.variants.get(&variant.variant_id);
        let mut source = known.cloned().unwrap_or_default();
        if let Some(price) = read.reference_price {
            source.reference_price = price;
        }
        if let Some(price) = read.compare_at_price {
            source.compare_at_price = price;
        }
        // A former price of another currency has nothing to be compared with any more.
        let currency = |price: Option<Money>| price.map(|money| money.currency);
        if read.compare_at_price.is_none()
            && currency(source.compare_at_price) != currency(source.reference_price)
        {
            source.compare_at_price = None;
        }
        if let Some(stock) = read.reported_stock {
            source.reported_stock = stock;
        }
        let is_other = before != after || known != Some(&source);
        self.variants.insert(variant.variant_id, source);
        is_other
    }

    fn details(&mut self, read: &ReadDetails) {
        fn set(field: &mut String, said: Option<&String>) {
            if let Some(said) = said {
                field.clone_from(said);
            }
        }
        let details = &mut self.product.details;
        set(&mut details.title, Some(&read.title));
        set(&mut details.description, read.description.as_ref());
        set(&mut details.brand, read.brand.as_ref());
        set(&mut details.category, read.category.as_ref());
        set(&mut self.source.status, read.status.as_ref());
        if let Some(tags) = &read.tags {
            self.source.tags.clone_from(tags);
        }
        let state = &mut self.product.state;
        match (read.for_sale, *state) {
            (Some(true), ProductState::Draft) => *state = ProductState::Active,
            (Some(false), ProductState::Active) => *state = ProductState::Draft,
            _ => {}
        }
    }

    fn outcome(&self) -> Outcome {
        match &self.before {
            None => Outcome::Created,
            Some(known)
                if known.product == self.product
                    && known.source.as_ref() == Some(&self.source)
                    && known.variants == self.variants =>
            {
                Outcome::Unchanged
            }
            Some(_) => Outcome::Updated,
        }
    }

    /// Whether the product itself, without its variants, is different.
    fn is_changed(&self) -> bool {
        self.before.as_ref().is_none_or(|known| {
            known.product.details != self.product.details
                || known.product.state != self.product.state
                || known.source.as_ref() != Some(&self.source)
        })
    }

    fn verdict(&self, key: &str, row: ReadRow, fate: &Fate) -> Verdict {
        let known = self.before.as_ref().map(|known| &known.product);
        let had = |uri: &String| known.is_some_and(|known| known.details.image_uris.contains(uri));
        let kept = |uri: &String| self.product.details.image_uris.contains(uri);
        let new_image = row.images.iter().any(|uri| kept(uri) && !had(uri));
        let tells = row.details.is_some() && self.is_changed();
        let outcome = match fate {
            Fate::New(_) => Outcome::Created,
            Fate::Product if known.is_none() => Outcome::Created,
            Fate::Old(_, true) => Outcome::Updated,
            _ if new_image || tells => Outcome::Updated,
            _ => Outcome::Unchanged,
        };
        let place = match fate {
            Fate::New(place) | Fate::Old(place, _) => Some(*place),
            Fate::Product => None,
        };
        let variant = place.and_then(|place| self.product.variants.get(place));
        Verdict {
            line: row.line,
            last_line: row.last_line,
            outcome,
            external_key: key.to_owned(),
            sku: variant.map_or_else(String::new, |variant| variant.details.sku.clone()),
            product_id: Some(self.product.product_id),
            variant_id: variant.map(|variant| variant.variant_id),
            reported_stock: row.variant.and_then(|read| read.reported_stock.flatten()),
            problems: Vec::new(),
            notes: row.notes,
        }
    }

    fn write(mut self, outcome: Outcome, now: Micros) -> Option<Box<Write>> {
        if outcome == Outcome::Unchanged {
            return None;
        }
        let Some(known) = self.before else {
            return Some(Box::new(Write {
                before: None,
                new_from: 0,
                corrected: Vec::new(),
                face_changed: false,
                source: Some(self.source),
                variants: self.variants.into_iter().collect(),
                product: self.product,
            }));
        };
        self.product.version = known.product.version.next();
        self.product.update_time = now;
        let old = known
            .product
            .variants
            .iter()
            .zip(&self.product.variants)
            .enumerate();
        let corrected = old
            .filter(|(_, (old, new))| old != new)
            .map(|(place, _)| place);
        let corrected = corrected.collect();
        let sources = self.variants.into_iter();
        Some(Box::new(Write {
            before: Some(known.product.version),
            new_from: known.product.variants.len(),
            corrected,
            face_changed: known.product.details.face() != self.product.details.face(),
            source: (known.source.as_ref() != Some(&self.source)).then_some(self.source),
            variants: sources
                .filter(|(variant_id, source)| known.variants.get(variant_id) != Some(source))
                .collect(),
            product: self.product,
        }))
    }
}

fn details_of(read: &ReadVariant) -> VariantDetails {
    VariantDetails {
        sku: read.sku.clone(),
        options: read.options.clone(),
        unit: Unit::Each,
        quantity_step: 1,
        unit_policy: UnitPolicy::None,
        gtin: String::new(),
        weight_grams: 0,
    }
}

/// The images of a product, each once; those beyond the most are left out, and their rows say so.
fn images(rows: &mut [ReadRow]) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for row in rows {
        let mut left_out = 0;
        for uri in &row.images {
            if images.contains(uri) {
                continue;
            }
            if images.len() < most::IMAGES {
                images.push(uri.clone());
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            let message = format!(
                "the product has more than {} images; this one was left out",
                most::IMAGES
            );
            let fix = "Remove images that are not needed.";
            row.notes
                .push(Problem::row(row.line, Reason::LeftOut, message, fix));
        }
    }
    images
}
