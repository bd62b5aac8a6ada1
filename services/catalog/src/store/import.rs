//! What imports read and write, many products at a time.

use std::collections::{BTreeMap, HashMap};

use contracts::id::{ProductId, VariantId};
use contracts::money::{Currency, Money};
use kit::errors::Fault;
use store::{Tx, bulk};

use super::id;
use super::product::product_by_keys;
use crate::model::brand::brand_key;
use crate::model::import::plan::{Known, ProductSource, VariantSource, Write};
use crate::model::product::{Variant, VariantDetails};

fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(Fault::internal)
}

/// What imports said of some products and their variants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) products: HashMap<ProductId, ProductSource>,
    pub(crate) variants: HashMap<VariantId, VariantSource>,
}

#[derive(sqlx::FromRow)]
struct ProductRow {
    product_id: String,
    source: String,
    status: String,
    tags: String,
}

#[derive(sqlx::FromRow)]
struct VariantRow {
    variant_id: String,
    currency_code: String,
    reference_price: Option<i64>,
    compare_at_price: Option<i64>,
    reported_stock: Option<i64>,
}

impl VariantRow {
    fn source(self) -> Result<VariantSource, Fault> {
        let currency = match self.currency_code.as_str() {
            "" => None,
            code => Some(code.parse::<Currency>().map_err(Fault::internal)?),
        };
        let money = |units: Option<i64>| Some(Money::new(currency?, units?));
        Ok(VariantSource {
            reference_price: money(self.reference_price),
            compare_at_price: money(self.compare_at_price),
            reported_stock: self.reported_stock,
        })
    }
}

/// What imports said of these products.
pub(crate) async fn source_of(tx: &mut Tx, product_ids: &[ProductId]) -> Result<Sources, Fault> {
    let products: Vec<ProductRow> = bulk!(
        tx,
        all ProductRow,
        postgres: "SELECT product_id, source, status, tags FROM product_source WHERE product_id = ANY($1::TEXT[])",
        sqlite: "SELECT product_id, source, status, tags FROM product_source \
                 WHERE product_id IN (SELECT value->>0 FROM json_each($1))",
        columns: [product_ids]
    )?;
    let variants: Vec<VariantRow> = bulk!(
        tx,
        all VariantRow,
        postgres: "SELECT variant_id, currency_code, reference_price, compare_at_price, reported_stock \
                   FROM variant_source WHERE product_id = ANY($1::TEXT[])",
        sqlite: "SELECT variant_id, currency_code, reference_price, compare_at_price, reported_stock \
                 FROM variant_source WHERE product_id IN (SELECT value->>0 FROM json_each($1))",
        columns: [product_ids]
    )?;
    let mut found = Sources::default();
    for row in products {
        let source = ProductSource {
            source: row.source,
            status: row.status,
            tags: serde_json::from_str(&row.tags).map_err(Fault::internal)?,
        };
        found.products.insert(id(&row.product_id)?, source);
    }
    for row in variants {
        found.variants.insert(id(&row.variant_id)?, row.source()?);
    }
    Ok(found)
}

/// The products with these external keys, to be changed, by key.
pub(crate) async fn import_known(
    tx: &mut Tx,
    keys: &[&str],
) -> Result<HashMap<String, Known>, Fault> {
    let products = product_by_keys(tx, keys).await?;
    let ids: Vec<ProductId> = products.iter().map(|product| product.product_id).collect();
    let mut sources = source_of(tx, &ids).await?;
    let known = products.into_iter().map(|product| {
        let own = product.variants.iter().map(|variant| variant.variant_id);
        let variants: BTreeMap<VariantId, VariantSource> = own
            .filter_map(|variant_id| Some((variant_id, sources.variants.remove(&variant_id)?)))
            .collect();
        let key = product.details.external_key.clone();
        let source = sources.products.remove(&product.product_id);
        let known = Known {
            product,
            source,
            variants,
        };
        (key, known)
    });
    Ok(known.collect())
}

/// Whose these SKUs are: the product and its external key, or its id when it has none.
pub(crate) async fn import_owners(
    tx: &mut Tx,
    skus: &[&str],
) -> Result<HashMap<String, (ProductId, String)>, Fault> {
    let rows: Vec<(String, String, String)> = bulk!(
        tx,
        all (String, String, String),
        postgres: "SELECT v.sku, p.product_id, p.external_key FROM UNNEST($1::TEXT[]) AS asked(sku) \
                   JOIN variant v ON v.sku = asked.sku JOIN product p ON p.product_id = v.product_id",
        sqlite: "SELECT v.sku, p.product_id, p.external_key FROM json_each($1) AS asked \
                 JOIN variant v ON v.sku = asked.value->>0 JOIN product p ON p.product_id = v.product_id",
        columns: [skus]
    )?;
    rows.into_iter()
        .map(|(sku, product_id, key)| {
            let name = if key.is_empty() {
                product_id.clone()
            } else {
                key
            };
            Ok((sku, (id(&product_id)?, name)))
        })
        .collect()
}

/// Somebody else put in the same key or SKU since it was looked for: everything is to be looked at again.
fn met_all(rows: usize, wanted: usize, what: &str) -> Result<(), Fault> {
    if rows == wanted {
        return Ok(());
    }
    let message = format!(
        "{} of {wanted} {what} were written meanwhile",
        wanted - rows.min(wanted)
    );
    Err(Fault::Conflict(message.into()))
}

/// Writes what was planned.
pub(crate) async fn import_write(tx: &mut Tx, writes: &[Write]) -> Result<(), Fault> {
    let (new, old): (Vec<&Write>, Vec<&Write>) =
        writes.iter().partition(|write| write.before.is_none());
    if !new.is_empty() {
        insert_products(tx, &new).await?;
    }
    if !old.is_empty() {
        update_products(tx, &old).await?;
    }
    let added: Vec<(i64, &Variant)> = writes
        .iter()
        .flat_map(|write| (0_i64..).zip(&write.product.variants).skip(write.new_from))
        .collect();
    if !added.is_empty() {
        insert_variants(tx, &added).await?;
    }
    let corrected: Vec<&Variant> = writes
        .iter()
        .flat_map(|write| {
            write
                .corrected
                .iter()
                .map(|place| &write.product.variants[*place])
        })
        .collect();
    if !corrected.is_empty() {
        correct_variants(tx, &corrected).await?;
    }
    put_product_sources(tx, writes).await?;
    put_variant_sources(tx, writes).await
}

async fn insert_products(tx: &mut Tx, writes: &[&Write]) -> Result<(), Fault> {
    let products = || writes.iter().map(|write| &write.product);
    let details = || products().map(|product| &product.details);
    let images = details()
        .map(|d| json(&d.image_uris))
        .collect::<Result<Vec<_>, _>>()?;
    let now = tx.now();
    let inserted: Vec<(String,)> = bulk!(
        tx,
        all (String,),
        postgres: "INSERT INTO product (product_id, title, description, brand, brand_key, category, image_uris, \
                   external_key, state, regulated_category, version, create_time, update_time) \
                   SELECT u.*, '', 1, $10, $10 FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], \
                   $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TEXT[]) AS u(product_id, title, description, \
                   brand, brand_key, category, image_uris, external_key, state) ORDER BY u.external_key COLLATE \"C\" \
                   ON CONFLICT (external_key) WHERE external_key <> '' DO NOTHING RETURNING product_id",
        sqlite: "INSERT INTO product (product_id, title, description, brand, brand_key, category, image_uris, \
                 external_key, state, regulated_category, version, create_time, update_time) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
                 value->>8, '', 1, $2, $2 FROM json_each($1) WHERE true \
                 ON CONFLICT (external_key) WHERE external_key <> '' DO NOTHING RETURNING product_id",
        columns: [
            products().map(|product| product.product_id).collect::<Vec<_>>(),
            details().map(|d| d.title.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.description.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.brand.as_str()).collect::<Vec<_>>(),
            details().map(|d| brand_key(&d.brand)).collect::<Vec<_>>(),
            details().map(|d| d.category.as_str()).collect::<Vec<_>>(),
            images,
            details().map(|d| d.external_key.as_str()).collect::<Vec<_>>(),
            products().map(|product| product.state.word()).collect::<Vec<_>>(),
        ],
        also: [now]
    )?;
    met_all(inserted.len(), writes.len(), "products")
}

async fn update_products(tx: &mut Tx, writes: &[&Write]) -> Result<(), Fault> {
    let products = || writes.iter().map(|write| &write.product);
    let details = || products().map(|product| &product.details);
    let images = details()
        .map(|d| json(&d.image_uris))
        .collect::<Result<Vec<_>, _>>()?;
    let now = tx.now();
    let rows = bulk!(
        tx,
        execute,
        postgres: "UPDATE product SET title = u.title, description = u.description, brand = u.brand, \
                   brand_key = u.brand_key, category = u.category, image_uris = u.image_uris, state = u.state, \
                   version = u.version, update_time = $10 FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], \
                   $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::BIGINT[]) AS u(product_id, \
                   title, description, brand, brand_key, category, image_uris, state, version) \
                   WHERE product.product_id = u.product_id AND product.version = u.version - 1",
        sqlite: "UPDATE product SET title = value->>1, description = value->>2, brand = value->>3, \
                 brand_key = value->>4, category = value->>5, image_uris = value->>6, state = value->>7, \
                 version = value->>8, update_time = $2 FROM json_each($1) AS u \
                 WHERE product.product_id = u.value->>0 AND product.version = u.value->>8 - 1",
        columns: [
            products().map(|product| product.product_id).collect::<Vec<_>>(),
            details().map(|d| d.title.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.description.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.brand.as_str()).collect::<Vec<_>>(),
            details().map(|d| brand_key(&d.brand)).collect::<Vec<_>>(),
            details().map(|d| d.category.as_str()).collect::<Vec<_>>(),
            images,
            products().map(|product| product.state.word()).collect::<Vec<_>>(),
            products().map(|product| product.version.0).collect::<Vec<_>>(),
        ],
        also: [now]
    )?;
    met_all(
        usize::try_from(rows).map_err(Fault::internal)?,
        writes.len(),
        "products",
    )
}

async fn insert_variants(tx: &mut Tx, variants: &[(i64, &Variant)]) -> Result<(), Fault> {
    let details = || variants.iter().map(|(_, variant)| &variant.details);
    let options = details()
        .map(|d| json(&d.options))
        .collect::<Result<Vec<_>, _>>()?;
    let inserted: Vec<(String,)> = bulk!(
        tx,
        all (String,),
        postgres: "INSERT INTO variant (variant_id, product_id, place, sku, options, options_key, unit, \
                   quantity_step, unit_policy, gtin, weight_grams) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
                   $7::TEXT[], $8::BIGINT[], $9::TEXT[], $10::TEXT[], $11::BIGINT[]) AS u(variant_id, product_id, \
                   place, sku, options, options_key, unit, quantity_step, unit_policy, gtin, weight_grams) \
                   ORDER BY u.sku COLLATE \"C\" ON CONFLICT (sku) DO NOTHING RETURNING sku",
        sqlite: "INSERT INTO variant (variant_id, product_id, place, sku, options, options_key, unit, \
                 quantity_step, unit_policy, gtin, weight_grams) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
                 value->>8, value->>9, value->>10 FROM json_each($1) WHERE true \
                 ON CONFLICT (sku) DO NOTHING RETURNING sku",
        columns: [
            variants.iter().map(|(_, variant)| variant.variant_id).collect::<Vec<_>>(),
            variants.iter().map(|(_, variant)| variant.product_id).collect::<Vec<_>>(),
            variants.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
            details().map(|d| d.sku.as_str()).collect::<Vec<_>>(),
            options,
            details().map(VariantDetails::options_key).collect::<Vec<_>>(),
            details().map(|d| d.unit.word()).collect::<Vec<_>>(),
            details().map(|d| d.quantity_step).collect::<Vec<_>>(),
            details().map(|d| d.unit_policy.word()).collect::<Vec<_>>(),
            details().map(|d| d.gtin.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.weight_grams).collect::<Vec<_>>(),
        ]
    )?;
    met_all(inserted.len(), variants.len(), "variants")
}

async fn correct_variants(tx: &mut Tx, variants: &[&Variant]) -> Result<(), Fault> {
    let details = || variants.iter().map(|variant| &variant.details);
    let rows = bulk!(
        tx,
        execute,
        postgres: "UPDATE variant SET gtin = u.gtin, weight_grams = u.weight_grams \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(variant_id, gtin, weight_grams) \
                   WHERE variant.variant_id = u.variant_id",
        sqlite: "UPDATE variant SET gtin = u.value->>1, weight_grams = u.value->>2 FROM json_each($1) AS u \
                 WHERE variant.variant_id = u.value->>0",
        columns: [
            variants.iter().map(|variant| variant.variant_id).collect::<Vec<_>>(),
            details().map(|d| d.gtin.as_str()).collect::<Vec<_>>(),
            details().map(|d| d.weight_grams).collect::<Vec<_>>(),
        ]
    )?;
    met_all(
        usize::try_from(rows).map_err(Fault::internal)?,
        variants.len(),
        "variants",
    )
}

async fn put_product_sources(tx: &mut Tx, writes: &[Write]) -> Result<(), Fault> {
    let sources: Vec<(ProductId, &ProductSource)> = writes
        .iter()
        .filter_map(|write| Some((write.product.product_id, write.source.as_ref()?)))
        .collect();
    if sources.is_empty() {
        return Ok(());
    }
    let tags = sources
        .iter()
        .map(|(_, source)| json(&source.tags))
        .collect::<Result<Vec<_>, _>>()?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO product_source (product_id, source, status, tags) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[]) AS u \
                   ON CONFLICT (product_id) DO UPDATE SET source = excluded.source, status = excluded.status, \
                   tags = excluded.tags",
        sqlite: "INSERT INTO product_source (product_id, source, status, tags) \
                 SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each($1) WHERE true \
                 ON CONFLICT (product_id) DO UPDATE SET source = excluded.source, status = excluded.status, \
                 tags = excluded.tags",
        columns: [
            sources.iter().map(|(product_id, _)| *product_id).collect::<Vec<_>>(),
            sources.iter().map(|(_, source)| source.source.as_str()).collect::<Vec<_>>(),
            sources.iter().map(|(_, source)| source.status.as_str()).collect::<Vec<_>>(),
            tags,
        ]
    )?;
    Ok(())
}

async fn put_variant_sources(tx: &mut Tx, writes: &[Write]) -> Result<(), Fault> {
    let sources: Vec<(ProductId, &VariantId, &VariantSource)> = writes
        .iter()
        .flat_map(|write| {
            let product_id = write.product.product_id;
            write
                .variants
                .iter()
                .map(move |(id, source)| (product_id, id, source))
        })
        .collect();
    if sources.is_empty() {
        return Ok(());
    }
    let money = |pick: fn(&VariantSource) -> Option<Money>| -> Vec<Option<i64>> {
        let units = sources
            .iter()
            .map(|(_, _, source)| pick(source).map(|money| money.minor_units));
        units.collect()
    };
    let currency = |source: &VariantSource| {
        let money = source.reference_price.or(source.compare_at_price);
        money.map_or_else(String::new, |money| money.currency.code().to_owned())
    };
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO variant_source (variant_id, product_id, currency_code, reference_price, \
                   compare_at_price, reported_stock) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[], \
                   $6::BIGINT[]) AS u ON CONFLICT (variant_id) DO UPDATE SET currency_code = excluded.currency_code, \
                   reference_price = excluded.reference_price, compare_at_price = excluded.compare_at_price, \
                   reported_stock = excluded.reported_stock",
        sqlite: "INSERT INTO variant_source (variant_id, product_id, currency_code, reference_price, \
                 compare_at_price, reported_stock) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each($1) \
                 WHERE true ON CONFLICT (variant_id) DO UPDATE SET currency_code = excluded.currency_code, \
                 reference_price = excluded.reference_price, compare_at_price = excluded.compare_at_price, \
                 reported_stock = excluded.reported_stock",
        columns: [
            sources.iter().map(|(_, variant_id, _)| **variant_id).collect::<Vec<_>>(),
            sources.iter().map(|(product_id, _, _)| *product_id).collect::<Vec<_>>(),
            sources.iter().map(|(_, _, source)| currency(source)).collect::<Vec<_>>(),
            money(|source| source.reference_price),
            money(|source| source.compare_at_price),
            sources.iter().map(|(_, _, source)| source.reported_stock).collect::<Vec<_>>(),
        ]
    )?;
    Ok(())
}
