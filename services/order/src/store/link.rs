//! Deep links. A row never changes.

use ::store::{Tx, sql};
use contracts::id::DeepLinkId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::link::DeepLink;

#[derive(sqlx::FromRow)]
struct LinkRow {
    deep_link_id: String,
    partner_id: String,
    listing_id: String,
    shopper_ref: String,
    touchpoints: String,
    terms_version: i64,
    commission_basis_points: i64,
    legal_entity: String,
    create_time: i64,
    expire_time: i64,
}

impl LinkRow {
    fn read(self) -> Result<DeepLink, Fault> {
        Ok(DeepLink {
            deep_link_id: id(&self.deep_link_id)?,
            partner_id: id(&self.partner_id)?,
            listing_id: id(&self.listing_id)?,
            shopper_ref: self.shopper_ref,
            touchpoints: serde_json::from_str(&self.touchpoints).map_err(Fault::internal)?,
            terms_version: self.terms_version,
            commission_basis_points: self.commission_basis_points,
            legal_entity: self.legal_entity,
            create_time: Micros(self.create_time),
            expire_time: Micros(self.expire_time),
        })
    }
}

/// A new link.
pub async fn link_insert(tx: &mut Tx, link: &DeepLink) -> Result<(), Fault> {
    let touchpoints = serde_json::to_string(&link.touchpoints).map_err(Fault::internal)?;
    sql!(
        tx,
        execute,
        "INSERT INTO deep_link (deep_link_id, partner_id, listing_id, shopper_ref, touchpoints, terms_version, \
         commission_basis_points, legal_entity, create_time, expire_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        link.deep_link_id,
        link.partner_id,
        link.listing_id,
        &link.shopper_ref,
        touchpoints,
        link.terms_version,
        link.commission_basis_points,
        &link.legal_entity,
        link.create_time,
        link.expire_time
    )?;
    Ok(())
}

/// A link.
pub async fn link_by_id(tx: &mut Tx, link_id: &DeepLinkId) -> Result<Option<DeepLink>, Fault> {
    let row = sql!(
        tx,
        optional LinkRow,
        "SELECT deep_link_id, partner_id, listing_id, shopper_ref, touchpoints, terms_version, \
         commission_basis_points, legal_entity, create_time, expire_time FROM deep_link WHERE deep_link_id = $1",
        link_id
    )?;
    row.map(LinkRow::read).transpose()
}
