//! Creating and changing products.

use contracts::id::{ProductId, VariantId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::refresh::refresh_product;
use super::{kind, taken};
use crate::events;
use crate::model::product::{Product, ProductChange, ProductDetails, Variant, VariantDetails};
use crate::store::product as rows;
use crate::store::rulebook::rulebook_hold;

/// Creates a product, or only checks whether it could be created.
pub(crate) struct CreateProduct {
    pub(crate) details: ProductDetails,
    pub(crate) variants: Vec<VariantDetails>,
}

impl CreateProduct {
    fn product(&self, tx: &Tx) -> Result<Product, Refusal> {
        let variants = self
            .variants
            .iter()
            .map(|details| (VariantId::from_uuid(tx.ids().next()), details.clone()));
        Product::create(
            ProductId::from_uuid(tx.ids().next()),
            self.details.clone(),
            variants.collect(),
            tx.now(),
        )
    }
}

impl Operation for CreateProduct {
    type Output = Product;

    fn name(&self) -> &'static str {
        "product.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Product, Fault> {
        let product = self.product(tx)?;
        if !rows::product_insert(tx, &product).await? {
            return Err(external_key_taken().into());
        }
        let skus = rows::variant_insert(tx, &product.product_id, &product.variants, 0).await?;
        require_free(&product.variants, &skus)?;
        tx.publish(events::product(&product));
        tx.audit("product.create", product.product_id, "done");
        Ok(product)
    }
}

/// Checks whether a product could be created; nothing is.
pub(crate) struct CheckProduct(pub(crate) CreateProduct);

impl Operation for CheckProduct {
    type Output = Product;

    fn name(&self) -> &'static str {
        "product.check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Product, Fault> {
        let product = self.0.product(tx)?;
        if rows::external_key_taken(tx, &product.details.external_key).await? {
            return Err(external_key_taken().into());
        }
        let asked = product
            .variants
            .iter()
            .map(|variant| variant.details.sku.as_str());
        let skus = rows::sku_taken(tx, asked.collect()).await?;
        require_free(&product.variants, &skus)?;
        Ok(product)
    }
}

fn external_key_taken() -> Refusal {
    let message = "A product with this external_key exists; update it, or choose another key.";
    taken("product.external_key", message)
}

fn require_free(
    variants: &[Variant],
    skus: &std::collections::HashSet<String>,
) -> Result<(), Refusal> {
    let clash = variants
        .iter()
        .position(|variant| skus.contains(&variant.details.sku));
    clash.map_or(Ok(()), |place| {
        Err(sku_taken(&format!("product.variants[{place}].sku")))
    })
}

fn sku_taken(field: &str) -> Refusal {
    taken(
        field,
        format!(
            "Field {field}: another variant has this SKU; every SKU is unique in the catalogue."
        ),
    )
}

/// Changes what a product says of itself.
pub(crate) struct UpdateProduct {
    pub(crate) product_id: ProductId,
    pub(crate) change: ProductChange,
    pub(crate) etag: Option<String>,
    /// How many of its listings follow in this unit; the others follow later.
    pub(crate) refresh_limit: i64,
}

impl Operation for UpdateProduct {
    type Output = Product;

    fn name(&self) -> &'static str {
        "product.update"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Product, Fault> {
        // Its listings are looked at by the rules; their lock comes first.
        rulebook_hold(tx).await?;
        let mut product = product_for_update(tx, &self.product_id, self.etag.as_deref()).await?;
        let before = product.version;
        if !product.change(&self.change, tx.now()) {
            tx.audit("product.update", product.product_id, "unchanged");
            return Ok(product);
        }
        rows::product_update(tx, &product, before).await?;
        tx.publish(events::product(&product));
        tx.audit("product.update", product.product_id, "done");
        refresh_product(tx, &product.product_id, self.refresh_limit).await?;
        Ok(product)
    }
}

/// Adds a variant to a product.
pub(crate) struct AddVariant {
    pub(crate) product_id: ProductId,
    pub(crate) variant: VariantDetails,
}

impl Operation for AddVariant {
    type Output = Product;

    fn name(&self) -> &'static str {
        "product.add_variant"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Product, Fault> {
        let mut product = product_for_update(tx, &self.product_id, None).await?;
        let (before, place) = (product.version, product.variants.len());
        let variant_id = VariantId::from_uuid(tx.ids().next());
        product.add_variant(variant_id, self.variant.clone(), tx.now())?;
        let added = &product.variants[place..];
        if !rows::variant_insert(tx, &product.product_id, added, place)
            .await?
            .is_empty()
        {
            return Err(sku_taken("variant.sku").into());
        }
        rows::product_update(tx, &product, before).await?;
        tx.publish(events::product(&product));
        tx.audit("product.add_variant", variant_id, "done");
        Ok(product)
    }
}

/// Takes a product out of use.
pub(crate) struct ArchiveProduct {
    pub(crate) product_id: ProductId,
    pub(crate) etag: Option<String>,
}

impl Operation for ArchiveProduct {
    type Output = Product;

    fn name(&self) -> &'static str {
        "product.archive"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Product, Fault> {
        let mut product = product_for_update(tx, &self.product_id, self.etag.as_deref()).await?;
        let before = product.version;
        product.archive(tx.now())?;
        rows::product_update(tx, &product, before).await?;
        tx.publish(events::product(&product));
        tx.audit("product.archive", product.product_id, product.state.word());
        Ok(product)
    }
}

async fn product_for_update(
    tx: &mut Tx,
    product_id: &ProductId,
    etag: Option<&str>,
) -> Result<Product, Fault> {
    let found = rows::product_for_update(tx, product_id).await?;
    let product = found.ok_or_else(|| Refusal::not_found(kind::PRODUCT))?;
    product.version.require(etag, kind::PRODUCT)?;
    Ok(product)
}
