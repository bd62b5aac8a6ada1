//! Proposing listings and everything that happens to them afterwards.

use contracts::id::{ListingId, PartnerId, VariantId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{actor, kind, scope};
use crate::events;
use crate::model::listing::{Action, Listing, Proposal, Standing};
use crate::model::terms::Terms;
use crate::store::listing as rows;
use crate::store::partner::partner_state;
use crate::store::product::{product_state, variant_by_id};

/// Proposes a listing.
pub(crate) struct ProposeListing {
    pub(crate) partner_id: PartnerId,
    pub(crate) variant_id: VariantId,
    pub(crate) terms: Terms,
}

impl ProposeListing {
    /// The listing as it would be, from what is there now. Works in a unit that only reads, too.
    async fn listing(&self, tx: &mut Tx) -> Result<Listing, Fault> {
        tx.caller()
            .require_partner(&self.partner_id, kind::PARTNER)?;
        let proposer = actor(tx.caller())?;
        let partner = partner_state(tx, &self.partner_id)
            .await?
            .ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let variant = variant_by_id(tx, &self.variant_id)
            .await?
            .ok_or_else(|| Refusal::not_found(kind::VARIANT))?;
        let (product, title) = product_state(tx, &variant.product_id)
            .await?
            .ok_or_else(|| Fault::internal("a variant without a product"))?;
        let proposal = Proposal {
            listing_id: ListingId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            variant,
            title,
            terms: self.terms.clone(),
            proposer,
        };
        let standing = Standing { partner, product };
        Ok(Listing::propose(proposal, standing, tx.now())?)
    }
}

impl Operation for ProposeListing {
    type Output = Listing;

    fn name(&self) -> &'static str {
        "listing.propose"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Listing, Fault> {
        let listing = self.listing(tx).await?;
        rows::listing_insert(tx, &listing).await?;
        tx.publish(events::listing(&listing));
        tx.audit("listing.propose", listing.listing_id, listing.state.word());
        Ok(listing)
    }
}

/// Checks whether a listing could be proposed; nothing is.
pub(crate) struct CheckListing(pub(crate) ProposeListing);

impl Operation for CheckListing {
    type Output = Listing;

    fn name(&self) -> &'static str {
        "listing.check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Listing, Fault> {
        self.0.listing(tx).await
    }
}

/// Does something to a listing.
pub(crate) struct ChangeListing {
    pub(crate) listing_id: ListingId,
    pub(crate) etag: Option<String>,
    pub(crate) action: Action,
}

impl Operation for ChangeListing {
    type Output = Listing;

    fn name(&self) -> &'static str {
        match self.action {
            Action::Approve { .. } | Action::Reject { .. } => "listing.decide",
            Action::Publish => "listing.publish",
            Action::ChangeTerms(_) => "listing.change_terms",
            Action::Pause { .. } => "listing.pause",
            Action::Resume => "listing.resume",
            Action::End { .. } => "listing.end",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Listing, Fault> {
        let by = actor(tx.caller())?;
        let visible = scope(tx.caller())?;
        let not_found = || Refusal::not_found(kind::LISTING);
        let gone = || Fault::internal("a listing without its partner, product or row");
        let (partner_id, product_id) =
            rows::listing_parents(tx, &self.listing_id, visible.as_ref())
                .await?
                .ok_or_else(not_found)?;
        let partner = partner_state(tx, &partner_id).await?.ok_or_else(gone)?;
        let (product, _) = product_state(tx, &product_id).await?.ok_or_else(gone)?;
        let mut listing = rows::listing_for_update(tx, &self.listing_id)
            .await?
            .ok_or_else(gone)?;
        let before = listing.version;
        before.require(self.etag.as_deref(), kind::LISTING)?;
        let standing = Standing { partner, product };
        if !listing.act(&self.action, &by, standing, tx.now())? {
            tx.audit(self.name(), listing.listing_id, "unchanged");
            return Ok(listing);
        }
        rows::listing_update(tx, &listing, before).await?;
        tx.publish(events::listing(&listing));
        tx.audit(self.name(), listing.listing_id, listing.state.word());
        Ok(listing)
    }
}
