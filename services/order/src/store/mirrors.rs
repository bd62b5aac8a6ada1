//! What the catalogue's feed brought: partners, their keys, variants, listings. Only the feed writes here.
//!
//! Two replicas may bring the same thing: while one still reads the catalogue's lists, the other may have followed
//! the feed past what they say. So each row keeps the version it is of, and an older word changes nothing.

use ::store::{Tx, bulk, sql};
use contracts::id::{ListingId, PartnerId, PaymentKeyId, ProductId, VariantId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{id, micros, version_of};
use crate::model::{Listing, PartnerState, Unit};

/// A partner as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredPartner {
    /// The partner.
    pub partner_id: PartnerId,
    /// Name for people.
    pub display_name: String,
    /// Whether it may sell.
    pub state: PartnerState,
    /// The catalogue's etag.
    pub etag: String,
    /// When the catalogue changed it.
    pub update_time: Micros,
}

/// Writes what the catalogue says of a partner.
pub async fn partner_put(tx: &mut Tx, partner: &MirroredPartner) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO partner (partner_id, display_name, state, etag, version, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (partner_id) DO UPDATE SET display_name = excluded.display_name, state = excluded.state, \
         etag = excluded.etag, version = excluded.version, update_time = excluded.update_time \
         WHERE partner.version <= excluded.version",
        partner.partner_id,
        &partner.display_name,
        partner.state.as_str(),
        &partner.etag,
        version_of(&partner.etag),
        partner.update_time
    )?;
    Ok(())
}

/// Whether the catalogue has told of a partner.
pub async fn partner_is_known(tx: &mut Tx, partner_id: &PartnerId) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT partner_id FROM partner WHERE partner_id = $1",
        partner_id
    )?;
    Ok(row.is_some())
}

/// A key that a partner signs payment statements with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredKey {
    /// The key.
    pub payment_key_id: PaymentKeyId,
    /// Whose.
    pub partner_id: PartnerId,
    /// Its name in statements.
    pub kid: String,
    /// Its public half.
    pub public_key_jwk: String,
    /// Whether statements signed with it are accepted.
    pub active: bool,
}

/// Writes what the catalogue says of a key.
///
/// A revoked key stays revoked, whatever comes later: a bootstrap that was overtaken by the feed may still bring
/// the word from before.
pub async fn payment_key_put(tx: &mut Tx, key: &MirroredKey) -> Result<(), Fault> {
    let state = if key.active { "ACTIVE" } else { "REVOKED" };
    let now = tx.now();
    sql!(
        tx,
        execute,
        "INSERT INTO payment_key (payment_key_id, partner_id, kid, public_key_jwk, state, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (payment_key_id) DO UPDATE SET public_key_jwk = excluded.public_key_jwk, \
         state = excluded.state, update_time = excluded.update_time \
         WHERE payment_key.state = 'ACTIVE'",
        key.payment_key_id,
        key.partner_id,
        &key.kid,
        &key.public_key_jwk,
        state,
        now
    )?;
    Ok(())
}

/// A partner's key by its name: the public half as a JWK, and whether it is active.
pub async fn payment_key_by_kid(
    tx: &mut Tx,
    partner_id: &PartnerId,
    kid: &str,
) -> Result<Option<(String, bool)>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT public_key_jwk, state FROM payment_key WHERE partner_id = $1 AND kid = $2",
        partner_id,
        kid
    )?;
    Ok(row.map(|(jwk, state)| (jwk, state == "ACTIVE")))
}

/// A variant as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredVariant {
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU.
    pub sku: String,
    /// What quantities count.
    pub unit: Unit,
    /// Quantities are multiples of this.
    pub quantity_step: i64,
}

/// Writes what the catalogue says of a product: its variants, and the words in the listings that sell them.
pub async fn product_put(
    tx: &mut Tx,
    product_id: &ProductId,
    etag: &str,
    title: &str,
    variants: &[MirroredVariant],
) -> Result<(), Fault> {
    let news = sql!(
        tx,
        execute,
        "INSERT INTO product (product_id, version) VALUES ($1, $2) ON CONFLICT (product_id) \
         DO UPDATE SET version = excluded.version WHERE product.version <= excluded.version",
        product_id,
        version_of(etag)
    )?;
    if news == 0 {
        return Ok(());
    }
    let ids: Vec<VariantId> = variants.iter().map(|variant| variant.variant_id).collect();
    let skus: Vec<&str> = variants
        .iter()
        .map(|variant| variant.sku.as_str())
        .collect();
    let units: Vec<&str> = variants
        .iter()
        .map(|variant| variant.unit.as_str())
        .collect();
    let steps: Vec<i64> = variants
        .iter()
        .map(|variant| variant.quantity_step)
        .collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO variant (variant_id, sku, unit, quantity_step, product_id) \
                   SELECT u.*, $5 FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS u \
                   ON CONFLICT (variant_id) DO UPDATE SET sku = excluded.sku, unit = excluded.unit, \
                   quantity_step = excluded.quantity_step",
        sqlite: "INSERT INTO variant (variant_id, sku, unit, quantity_step, product_id) \
                 SELECT value->>0, value->>1, value->>2, value->>3, $2 FROM json_each($1) WHERE true \
                 ON CONFLICT (variant_id) DO UPDATE SET sku = excluded.sku, unit = excluded.unit, \
                 quantity_step = excluded.quantity_step",
        columns: [ids, skus, units, steps],
        also: [product_id]
    )?;
    sql!(
        tx,
        execute,
        "UPDATE listing SET title = $1, \
         sku = (SELECT v.sku FROM variant v WHERE v.variant_id = listing.variant_id), \
         unit = (SELECT v.unit FROM variant v WHERE v.variant_id = listing.variant_id), \
         quantity_step = (SELECT v.quantity_step FROM variant v WHERE v.variant_id = listing.variant_id) \
         WHERE product_id = $2 AND variant_id IN (SELECT v.variant_id FROM variant v WHERE v.product_id = $2)",
        title,
        product_id
    )?;
    Ok(())
}

/// Writes what the catalogue says of a listing.
pub async fn listing_put(tx: &mut Tx, listing: &Listing, update_time: Micros) -> Result<(), Fault> {
    let territories = listing.territories.join(" ");
    let dated_purchase_modes =
        serde_json::to_string(&listing.dated_purchase_modes).map_err(Fault::internal)?;
    sql!(
        tx,
        execute,
        "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, sku, title, unit, quantity_step, state, \
         terms_version, currency_code, price, per_quantity, retailer_discount_basis_points, shipping, \
         tax_basis_points, tax_included, window_start_time, window_end_time, per_shopper_limit, territories, \
         commission_basis_points, legal_entity, purchase_mode, dated_purchase_modes, remorse_us, ship_within_us, \
         ship_not_before, etag, update_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26, $27, $28, $29, $30, $31) \
         ON CONFLICT (listing_id) DO UPDATE SET sku = excluded.sku, title = excluded.title, unit = excluded.unit, \
         quantity_step = excluded.quantity_step, state = excluded.state, terms_version = excluded.terms_version, \
         currency_code = excluded.currency_code, price = excluded.price, per_quantity = excluded.per_quantity, \
         retailer_discount_basis_points = excluded.retailer_discount_basis_points, shipping = excluded.shipping, \
         tax_basis_points = excluded.tax_basis_points, tax_included = excluded.tax_included, \
         window_start_time = excluded.window_start_time, window_end_time = excluded.window_end_time, \
         per_shopper_limit = excluded.per_shopper_limit, territories = excluded.territories, \
         commission_basis_points = excluded.commission_basis_points, legal_entity = excluded.legal_entity, \
         purchase_mode = excluded.purchase_mode, dated_purchase_modes = excluded.dated_purchase_modes, \
         remorse_us = excluded.remorse_us, ship_within_us = excluded.ship_within_us, \
         ship_not_before = excluded.ship_not_before, etag = excluded.etag, update_time = excluded.update_time, \
         version = excluded.version WHERE listing.version <= excluded.version",
        listing.listing_id,
        listing.partner_id,
        listing.variant_id,
        listing.product_id,
        &listing.sku,
        &listing.title,
        listing.unit.as_str(),
        listing.quantity_step,
        listing.state.as_str(),
        listing.terms_version,
        listing.currency().code(),
        listing.pricing.price.amount().minor_units,
        listing.pricing.price.per_quantity(),
        listing.pricing.retailer_discount_basis_points,
        listing.pricing.shipping,
        listing.pricing.tax_basis_points,
        listing.pricing.tax_included,
        listing.window_start_time,
        listing.window_end_time,
        listing.per_shopper_limit,
        territories,
        listing.pricing.commission_basis_points,
        &listing.legal_entity,
        listing.purchase_mode.as_str(),
        dated_purchase_modes,
        micros(listing.remorse),
        micros(listing.ship_within),
        listing.ship_not_before,
        &listing.etag,
        update_time,
        version_of(&listing.etag)
    )?;
    Ok(())
}

/// Whose listing it is and what it sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingBrief {
    /// Its partner.
    pub partner_id: PartnerId,
    /// What it sells.
    pub variant_id: VariantId,
}

/// Whose listing it is and what it sells.
pub async fn listing_brief(
    tx: &mut Tx,
    listing_id: &ListingId,
) -> Result<Option<ListingBrief>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT partner_id, variant_id FROM listing WHERE listing_id = $1",
        listing_id
    )?;
    row.map(|(partner_id, variant_id)| {
        Ok(ListingBrief {
            partner_id: id(&partner_id)?,
            variant_id: id(&variant_id)?,
        })
    })
    .transpose()
}
