//! Products and their variants.

use std::collections::{BTreeMap, HashSet};

use contracts::id::{PartnerId, ProductId, VariantId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::{Slice, id, locked, locked_bulk, met, word};
use crate::model::brand::brand_key;
use crate::model::product::{
    Product, ProductDetails, ProductFace, ProductState, Unit, UnitPolicy, Variant, VariantDetails,
};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct Row {
    product_id: String,
    title: String,
    description: String,
    brand: String,
    category: String,
    image_uris: String,
    external_key: String,
    regulated_category: String,
    state: String,
    version: i64,
    create_time: i64,
    update_time: i64,
}

impl Row {
    fn product(self, variants: Vec<Variant>) -> Result<Product, Fault> {
        Ok(Product {
            product_id: id(&self.product_id)?,
            details: ProductDetails {
                title: self.title,
                description: self.description,
                brand: self.brand,
                category: self.category,
                image_uris: serde_json::from_str(&self.image_uris).map_err(Fault::internal)?,
                external_key: self.external_key,
                regulated_category: self.regulated_category,
            },
            variants,
            state: word(ProductState::named, "product.state", &self.state)?,
            version: Version(self.version),
            create_time: Micros(self.create_time),
            update_time: Micros(self.update_time),
        })
    }
}

/// A variant's columns, wherever they are read along with others.
#[derive(sqlx::FromRow)]
pub(super) struct VariantRow {
    variant_id: String,
    product_id: String,
    sku: String,
    options: String,
    unit: String,
    quantity_step: i64,
    unit_policy: String,
    gtin: String,
    weight_grams: i64,
}

impl VariantRow {
    pub(super) fn variant(self) -> Result<Variant, Fault> {
        Ok(Variant {
            variant_id: id(&self.variant_id)?,
            product_id: id(&self.product_id)?,
            details: VariantDetails {
                sku: self.sku,
                options: serde_json::from_str(&self.options).map_err(Fault::internal)?,
                unit: word(Unit::named, "variant.unit", &self.unit)?,
                quantity_step: self.quantity_step,
                unit_policy: word(UnitPolicy::named, "variant.unit_policy", &self.unit_policy)?,
                gtin: self.gtin,
                weight_grams: self.weight_grams,
            },
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT product_id, title, description, brand, category, image_uris, external_key, \
             regulated_category, state, version, create_time, update_time FROM product ",
            $rest
        )
    };
}

macro_rules! select_variant {
    ($rest:literal) => {
        concat!(
            "SELECT variant_id, product_id, sku, options, unit, quantity_step, unit_policy, gtin, weight_grams \
             FROM variant ",
            $rest
        )
    };
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(Fault::internal)
}

/// Puts in a new one without its variants; false when its external key is taken.
pub(crate) async fn product_insert(tx: &mut Tx, product: &Product) -> Result<bool, Fault> {
    let details = &product.details;
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO product (product_id, title, description, brand, category, image_uris, external_key, state, \
         version, create_time, update_time, regulated_category, brand_key) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (external_key) WHERE external_key <> '' DO NOTHING",
        product.product_id,
        &details.title,
        &details.description,
        &details.brand,
        &details.category,
        json(&details.image_uris)?,
        &details.external_key,
        product.state.word(),
        product.version.0,
        product.create_time,
        product.update_time,
        &details.regulated_category,
        brand_key(&details.brand)
    )?;
    Ok(rows == 1)
}

/// Writes a change of one that was read at version `before`; variants are put in apart.
pub(crate) async fn product_update(
    tx: &mut Tx,
    product: &Product,
    before: Version,
) -> Result<(), Fault> {
    let details = &product.details;
    let rows = sql!(
        tx,
        execute,
        "UPDATE product SET title = $1, description = $2, brand = $3, category = $4, image_uris = $5, state = $6, \
         version = $7, update_time = $8, regulated_category = $9, brand_key = $10 \
         WHERE product_id = $11 AND version = $12",
        &details.title,
        &details.description,
        &details.brand,
        &details.category,
        json(&details.image_uris)?,
        product.state.word(),
        product.version.0,
        product.update_time,
        &details.regulated_category,
        brand_key(&details.brand),
        product.product_id,
        before.0
    )?;
    met(rows, "product")
}

/// Puts in variants, the first at `place` among its siblings. Answers which of their SKUs are taken.
pub(crate) async fn variant_insert(
    tx: &mut Tx,
    product_id: &ProductId,
    variants: &[Variant],
    place: usize,
) -> Result<HashSet<String>, Fault> {
    let details = || variants.iter().map(|variant| &variant.details);
    let options = details()
        .map(|d| json(&d.options))
        .collect::<Result<Vec<_>, _>>()?;
    let first = i64::try_from(place).map_err(Fault::internal)?;
    // In the order of SKUs, so that two units with the same ones do not wait for each other crosswise.
    let inserted: Vec<(String,)> = bulk!(
        tx,
        all (String,),
        postgres: "INSERT INTO variant (variant_id, place, sku, options, options_key, unit, quantity_step, \
                   unit_policy, gtin, weight_grams, product_id) \
                   SELECT u.*, $11::TEXT FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], \
                   $6::TEXT[], $7::BIGINT[], $8::TEXT[], $9::TEXT[], $10::BIGINT[]) \
                   AS u(variant_id, place, sku, options, options_key, unit, quantity_step, unit_policy, gtin, \
                   weight_grams) ORDER BY u.sku COLLATE \"C\" \
                   ON CONFLICT (sku) DO NOTHING RETURNING sku",
        sqlite: "INSERT INTO variant (variant_id, place, sku, options, options_key, unit, quantity_step, \
                 unit_policy, gtin, weight_grams, product_id) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
                 value->>8, value->>9, $2 FROM json_each($1) WHERE true \
                 ON CONFLICT (sku) DO NOTHING RETURNING sku",
        columns: [
            variants.iter().map(|variant| variant.variant_id).collect::<Vec<_>>(),
            (first..).take(variants.len()).collect::<Vec<_>>(),
            details().map(|d| d.sku.as_str()).collect::<Vec<_>>(),
            options,
            details().map(VariantDetails::options_key).collect::<Vec<_>>(),
            details().map(|d| d.unit.word()).collect::<Vec<_>>(),
            details().map(|d| d.quantity_step).collect::<Vec<_>>(),
            details().map(|d| d.unit_policy.word()).collect::<Vec<_>>(),
            details().map(|d| d.gtin.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.weight_grams).collect::<Vec<_>>(),
        ],
        also: [product_id]
    )?;
    let mut taken: HashSet<String> = details().map(|d| d.sku.clone()).collect();
    for (sku,) in inserted {
        taken.remove(&sku);
    }
    Ok(taken)
}

/// Which of the SKUs are taken.
pub(crate) async fn sku_taken(tx: &mut Tx, skus: Vec<&str>) -> Result<HashSet<String>, Fault> {
    let rows: Vec<(String,)> = bulk!(
        tx,
        all (String,),
        postgres: "SELECT v.sku FROM UNNEST($1::TEXT[]) AS asked(sku) JOIN variant v ON v.sku = asked.sku",
        sqlite: "SELECT v.sku FROM json_each($1) AS asked JOIN variant v ON v.sku = asked.value->>0",
        columns: [skus]
    )?;
    Ok(rows.into_iter().map(|(sku,)| sku).collect())
}

/// Whether an external key is taken.
pub(crate) async fn external_key_taken(tx: &mut Tx, external_key: &str) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT product_id FROM product WHERE external_key = $1 AND external_key <> ''",
        external_key
    )?;
    Ok(row.is_some())
}

/// One of them with its variants.
pub(crate) async fn product_by_id(
    tx: &mut Tx,
    product_id: &ProductId,
) -> Result<Option<Product>, Fault> {
    let row = sql!(tx, optional Row, select!("WHERE product_id = $1"), product_id)?;
    with_variants(tx, row).await
}

/// One of them with its variants, to be changed.
pub(crate) async fn product_for_update(
    tx: &mut Tx,
    product_id: &ProductId,
) -> Result<Option<Product>, Fault> {
    let row =
        locked!(tx, "FOR UPDATE", optional Row, select!("WHERE product_id = $1"), product_id)?;
    with_variants(tx, row).await
}

async fn with_variants(tx: &mut Tx, row: Option<Row>) -> Result<Option<Product>, Fault> {
    let Some(row) = row else { return Ok(None) };
    let rows = sql!(
        tx,
        all VariantRow,
        select_variant!("WHERE product_id = $1 ORDER BY place"),
        &row.product_id
    )?;
    let variants = rows
        .into_iter()
        .map(VariantRow::variant)
        .collect::<Result<_, _>>()?;
    row.product(variants).map(Some)
}

/// What a listing needs to know of its product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProductHead {
    pub(crate) product_id: ProductId,
    /// Whether it can be listed.
    pub(crate) state: ProductState,
    /// What listings show of it.
    pub(crate) face: ProductFace,
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    product_id: String,
    state: String,
    title: String,
    brand: String,
    category: String,
    image_uris: String,
    regulated_category: String,
    summary: String,
}

impl HeadRow {
    fn head(self) -> Result<ProductHead, Fault> {
        Ok(ProductHead {
            product_id: id(&self.product_id)?,
            state: word(ProductState::named, "product.state", &self.state)?,
            face: ProductFace {
                title: self.title,
                brand: self.brand,
                category: self.category,
                image_uris: serde_json::from_str(&self.image_uris).map_err(Fault::internal)?,
                regulated_category: self.regulated_category,
                summary: self.summary,
            },
        })
    }
}

macro_rules! select_head {
    ($rest:literal) => {
        concat!(
            "SELECT product_id, state, title, brand, category, image_uris, regulated_category, \
             substr(description, 1, 1000) AS summary FROM product ",
            $rest
        )
    };
}

/// The heads of some of them; they stay so until the commit.
pub(crate) async fn product_heads(
    tx: &mut Tx,
    product_ids: &[ProductId],
) -> Result<Vec<ProductHead>, Fault> {
    let rows: Vec<HeadRow> = locked_bulk!(
        tx,
        "FOR SHARE",
        all HeadRow,
        postgres: select_head!("WHERE product_id = ANY($1::TEXT[]) ORDER BY product_id"),
        sqlite: select_head!("WHERE product_id IN (SELECT value->>0 FROM json_each($1))"),
        columns: [product_ids]
    )?;
    rows.into_iter().map(HeadRow::head).collect()
}

/// Whether the partner has a listing of one of its variants.
pub(crate) async fn product_shown_to(
    tx: &mut Tx,
    product_id: &ProductId,
    partner_id: &PartnerId,
) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT listing_id FROM listing WHERE partner_id = $1 AND product_id = $2 LIMIT 1",
        partner_id,
        product_id
    )?;
    Ok(row.is_some())
}

/// All of them by creation, or those of one brand.
pub(crate) async fn product_list(
    tx: &mut Tx,
    brand: Option<&str>,
    slice: &Slice,
) -> Result<Vec<Product>, Fault> {
    let rows = match brand {
        Some(brand) => sql!(
            tx,
            all Row,
            select!("WHERE brand = $1 AND product_id > $2 ORDER BY product_id LIMIT $3"),
            brand,
            &slice.after,
            slice.limit
        )?,
        None => sql!(
            tx,
            all Row,
            select!("WHERE product_id > $1 ORDER BY product_id LIMIT $2"),
            &slice.after,
            slice.limit
        )?,
    };
    let ids: Vec<&str> = rows.iter().map(|row| row.product_id.as_str()).collect();
    let mut variants = variants_of(tx, ids).await?;
    rows.into_iter()
        .map(|row| {
            let own = variants.remove(&row.product_id).unwrap_or_default();
            row.product(own)
        })
        .collect()
}

/// Those with these external keys, to be changed when the unit writes.
pub(super) async fn product_by_keys(tx: &mut Tx, keys: &[&str]) -> Result<Vec<Product>, Fault> {
    let rows: Vec<Row> = locked_bulk!(
        tx,
        "FOR UPDATE",
        all Row,
        postgres: select!("WHERE external_key = ANY($1::TEXT[]) AND external_key <> '' ORDER BY product_id"),
        sqlite: select!("WHERE external_key IN (SELECT value->>0 FROM json_each($1)) AND external_key <> ''"),
        columns: [keys]
    )?;
    let ids: Vec<&str> = rows.iter().map(|row| row.product_id.as_str()).collect();
    let mut variants = variants_of(tx, ids).await?;
    rows.into_iter()
        .map(|row| {
            let own = variants.remove(&row.product_id).unwrap_or_default();
            row.product(own)
        })
        .collect()
}

async fn variants_of(
    tx: &mut Tx,
    product_ids: Vec<&str>,
) -> Result<BTreeMap<String, Vec<Variant>>, Fault> {
    let rows: Vec<VariantRow> = bulk!(
        tx,
        all VariantRow,
        postgres: select_variant!("WHERE product_id = ANY($1::TEXT[]) ORDER BY product_id, place"),
        sqlite: select_variant!("WHERE product_id IN (SELECT value->>0 FROM json_each($1)) ORDER BY product_id, place"),
        columns: [product_ids]
    )?;
    let mut found: BTreeMap<String, Vec<Variant>> = BTreeMap::new();
    for row in rows {
        let product_id = row.product_id.clone();
        found.entry(product_id).or_default().push(row.variant()?);
    }
    Ok(found)
}

/// Some variants. They never change, so they may be read before their products are locked.
pub(crate) async fn variant_by_ids(
    tx: &mut Tx,
    variant_ids: &[VariantId],
) -> Result<Vec<Variant>, Fault> {
    let rows: Vec<VariantRow> = bulk!(
        tx,
        all VariantRow,
        postgres: select_variant!("WHERE variant_id = ANY($1::TEXT[])"),
        sqlite: select_variant!("WHERE variant_id IN (SELECT value->>0 FROM json_each($1))"),
        columns: [variant_ids]
    )?;
    rows.into_iter().map(VariantRow::variant).collect()
}

/// Keeps others from agreeing on listings of these variants until the commit.
pub(crate) async fn variant_lock(tx: &mut Tx, variant_ids: &[VariantId]) -> Result<(), Fault> {
    let _: Vec<(String,)> = locked_bulk!(
        tx,
        "FOR NO KEY UPDATE",
        all(String,),
        postgres: "SELECT variant_id FROM variant WHERE variant_id = ANY($1::TEXT[]) ORDER BY variant_id",
        sqlite: "SELECT variant_id FROM variant WHERE variant_id IN (SELECT value->>0 FROM json_each($1))",
        columns: [variant_ids]
    )?;
    Ok(())
}
