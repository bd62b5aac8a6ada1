//! Deep links into the retailer's shop.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{DeepLinkId, ListingId, PartnerId};
use kit::errors::{Fault, Refusal};

use crate::link::LinkSealer;
use crate::model::Touchpoint;
use crate::model::link::{DeepLink, check_linkable};
use crate::store::{link, listing, stop};

/// Makes a link for one shopper. Nothing is published: it promises nothing, like a quote.
#[derive(Clone, Debug)]
pub struct CreateDeepLink {
    /// Who shows it.
    pub partner_id: PartnerId,
    /// Where it leads.
    pub listing_id: ListingId,
    /// For whom.
    pub shopper_ref: String,
    /// What led here.
    pub touchpoints: Vec<Touchpoint>,
    /// How long a click on it counts.
    pub ttl: Duration,
    /// Writes its address.
    pub sealer: Arc<LinkSealer>,
}

/// A link and its address.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The link.
    pub link: DeepLink,
    /// Its address.
    pub uri: String,
}

impl Operation for CreateDeepLink {
    type Output = Linked;

    fn name(&self) -> &'static str {
        "link.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Linked, Fault> {
        let now = tx.now();
        let found = listing::listings_by_id(tx, &[self.listing_id]).await?.pop();
        let own = found.filter(|(listing, _)| listing.partner_id == self.partner_id);
        let (listing, assignment) = own.ok_or_else(|| Refusal::not_found("listing"))?;
        check_linkable(&listing, now)?;
        let (listing_id, product_id) = (listing.listing_id, listing.product_id);
        let allotment_id = assignment.map(|assignment| assignment.allotment_id);
        let mut targets = vec![listing_id.as_str(), product_id.as_str()];
        targets.extend(allotment_id.iter().map(|id| id.as_str()));
        if !stop::stops_of_targets(tx, &targets).await?.is_empty() {
            return Err(Refusal::new(
                ErrorReason::SaleStopped,
                "The retailer has stopped this sale.",
            )
            .with("listing_id", listing_id)
            .into());
        }
        let link = DeepLink {
            deep_link_id: DeepLinkId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            listing_id,
            shopper_ref: self.shopper_ref.clone(),
            touchpoints: self.touchpoints.clone(),
            terms_version: listing.terms_version,
            commission_basis_points: listing.pricing.commission_basis_points,
            legal_entity: listing.legal_entity,
            create_time: now,
            expire_time: now.plus(self.ttl.max(Duration::from_secs(1))),
        };
        let uri = self.sealer.uri(&link)?;
        link::link_insert(tx, &link).await?;
        tx.audit(self.name(), link.deep_link_id, listing_id);
        Ok(Linked { link, uri })
    }
}

/// A link; a partner finds only its own.
#[derive(Clone, Debug)]
pub struct GetDeepLink {
    /// Who asks; none for the retailer.
    pub partner_id: Option<PartnerId>,
    /// Which.
    pub deep_link_id: DeepLinkId,
}

impl Operation for GetDeepLink {
    type Output = DeepLink;

    fn name(&self) -> &'static str {
        "link.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<DeepLink, Fault> {
        let link = link::link_by_id(tx, &self.deep_link_id).await?;
        let own = |link: &DeepLink| self.partner_id.is_none_or(|own| own == link.partner_id);
        link.filter(own)
            .ok_or_else(|| Refusal::not_found("deep link").into())
    }
}
