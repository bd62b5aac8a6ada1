//! Bringing products of a file into the catalogue, a few dozen in one unit of work.

use std::collections::HashMap;

use contracts::id::ProductId;
use kit::errors::Fault;
use store::{Operation, Tx};

use crate::events;
use crate::model::import::Outcome;
use crate::model::import::ReadProduct;
use crate::model::import::plan::{Around, Known, Plan, Verdict, Write, plan};
use crate::model::look::RefreshKind;
use crate::store::import as rows;
use crate::store::refresh::refresh_add;

/// Some products of a file, each with another key.
pub(crate) struct ImportProducts {
    /// The source's name.
    pub(crate) source: String,
    /// The products.
    pub(crate) products: Vec<ReadProduct>,
}

/// What became of the products of a unit.
pub(crate) struct Imported {
    /// What became of each product, in the order of the file.
    pub(crate) products: Vec<Outcome>,
    /// What became of each row, in the order of the file.
    pub(crate) rows: Vec<Verdict>,
}

impl ImportProducts {
    async fn plans(&self, tx: &mut Tx) -> Result<Vec<Plan>, Fault> {
        let keys: Vec<&str> = self
            .products
            .iter()
            .map(|read| read.external_key.as_str())
            .collect();
        let mut known = rows::import_known(tx, &keys).await?;
        let skus: Vec<&str> = self
            .products
            .iter()
            .flat_map(|read| &read.rows)
            .filter_map(|row| row.variant.as_ref().map(|variant| variant.sku.as_str()))
            .collect();
        let owners = rows::import_owners(tx, &skus).await?;
        self.same_moment(&known, &owners)?;
        let around = Around {
            source: &self.source,
            owners: &owners,
            ids: tx.ids(),
            now: tx.now(),
        };
        let plans = self.products.iter().map(|read| {
            let known = known.remove(&read.external_key);
            plan(read.clone(), known, &around)
        });
        Ok(plans.collect())
    }
}

impl ImportProducts {
    /// Products and SKUs are read one after the other. When somebody else put in a product between the two, its
    /// SKUs look like those of a stranger; then both are to be read again.
    fn same_moment(
        &self,
        known: &HashMap<String, Known>,
        owners: &HashMap<String, (ProductId, String)>,
    ) -> Result<(), Fault> {
        for read in &self.products {
            let product = known.get(&read.external_key).map(|known| &known.product);
            for variant in read.rows.iter().filter_map(|row| row.variant.as_ref()) {
                let Some((_, key)) = owners.get(&variant.sku) else {
                    continue;
                };
                let has = product.is_some_and(|product| {
                    let mut variants = product.variants.iter();
                    variants.any(|own| own.details.sku == variant.sku)
                });
                if *key == read.external_key && !has {
                    let message = "a product was changed while its import was planned";
                    return Err(Fault::Conflict(message.into()));
                }
            }
        }
        Ok(())
    }
}

impl Operation for ImportProducts {
    type Output = Imported;

    fn name(&self) -> &'static str {
        "product.import"
    }

    // It audits what it changes; rows that change nothing leave nothing behind.
    fn audited(&self) -> bool {
        false
    }

    // The keys of products and SKUs are the keys of the unit: when it runs again after an unknown commit, the
    // rows are there already, and are unchanged by it.
    async fn run(&self, tx: &mut Tx) -> Result<Imported, Fault> {
        let mut plans = self.plans(tx).await?;
        let writes: Vec<Write> = plans
            .iter_mut()
            .filter_map(|plan| plan.write.take().map(|write| *write))
            .collect();
        if !writes.is_empty() {
            rows::import_write(tx, &writes).await?;
        }
        let mut shown = Vec::new();
        for write in &writes {
            tx.publish(events::product(&write.product));
            let outcome = if write.before.is_none() {
                "created"
            } else {
                "updated"
            };
            tx.audit("product.import", write.product.product_id, outcome);
            if write.face_changed {
                shown.push(write.product.product_id.to_string());
            }
        }
        if !shown.is_empty() {
            refresh_add(tx, RefreshKind::Product, &shown, "").await?;
        }
        Ok(gathered(plans))
    }
}

fn gathered(plans: Vec<Plan>) -> Imported {
    let products = plans.iter().map(|plan| plan.outcome).collect();
    let rows = plans.into_iter().flat_map(|plan| plan.verdicts).collect();
    Imported { products, rows }
}

/// Says what an import would do; nothing is done.
pub(crate) struct CheckImport(pub(crate) ImportProducts);

impl Operation for CheckImport {
    type Output = Imported;

    fn name(&self) -> &'static str {
        "product.import_check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Imported, Fault> {
        let mut plans = self.0.plans(tx).await?;
        // What would be new has no ids.
        for plan in &mut plans {
            let Some(write) = plan.write.take() else {
                continue;
            };
            let added: Vec<_> = write.product.variants[write.new_from..]
                .iter()
                .map(|variant| variant.variant_id)
                .collect();
            for row in &mut plan.verdicts {
                row.variant_id = row
                    .variant_id
                    .filter(|variant_id| !added.contains(variant_id));
                if write.before.is_none() {
                    row.product_id = None;
                }
            }
        }
        Ok(gathered(plans))
    }
}

/// Reads with what imports said of the products that were read.
pub(crate) struct WithSources<O>(pub(crate) O);

/// Which products an answer holds.
pub(crate) trait Products {
    /// Their ids.
    fn product_ids(&self) -> Vec<ProductId>;
}

impl Products for crate::model::product::Product {
    fn product_ids(&self) -> Vec<ProductId> {
        vec![self.product_id]
    }
}

impl Products for Vec<crate::model::product::Product> {
    fn product_ids(&self) -> Vec<ProductId> {
        self.iter().map(|product| product.product_id).collect()
    }
}

impl<O: Operation> Operation for WithSources<O>
where
    O::Output: Products,
{
    type Output = (O::Output, rows::Sources);

    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let read = self.0.run(tx).await?;
        // What the source says, stock above all, is between it and the retailer.
        let is_partner = tx.caller().partner_id.is_some();
        let sources = if is_partner {
            rows::Sources::default()
        } else {
            rows::source_of(tx, &read.product_ids()).await?
        };
        Ok((read, sources))
    }
}
