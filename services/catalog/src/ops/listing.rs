//! Proposing listings and everything that happens to them afterwards.

use contracts::id::{ListingId, PartnerId, VariantId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::around::{Around, around};
use super::batch::proposals;
use super::{actor, kind, scope};
use crate::events;
use crate::model::listing::{Action, Actor, Listing, Party};
use crate::model::rules::Rules;
use crate::model::terms::Terms;
use crate::model::version::Version;
use crate::store::listing::{self as rows, Parents};
use crate::store::listing_write::{self as writes, Put};

/// A listing that somebody wants to propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) partner_id: PartnerId,
    pub(crate) variant_id: VariantId,
    pub(crate) terms: Terms,
}

/// Proposes a listing.
pub(crate) struct ProposeListing(pub(crate) Draft);

impl ProposeListing {
    /// The listing as it would be, from what is there now. Works in a unit that only reads, too.
    async fn listing(&self, tx: &mut Tx) -> Result<(Listing, Rules), Fault> {
        let mut proposed = proposals(tx, &[Ok(self.0.clone())]).await?;
        let only = proposed.pop();
        Ok(only.ok_or_else(|| Fault::internal("a draft without a verdict"))??)
    }
}

impl Operation for ProposeListing {
    type Output = Listing;

    fn name(&self) -> &'static str {
        "listing.propose"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Listing, Fault> {
        let (listing, rules) = self.listing(tx).await?;
        let put = new(listing.clone(), &rules);
        writes::listing_insert(tx, std::slice::from_ref(&put)).await?;
        told(tx, self.name(), &put);
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
        Ok(self.0.listing(tx).await?.0)
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
        let parents = rows::listing_parents(tx, &[self.listing_id], visible.as_ref()).await?;
        let own = *parents
            .first()
            .ok_or_else(|| Refusal::not_found(kind::LISTING))?;
        let mut around = around(tx, &parents).await?;
        if depends_on_others(&self.action) {
            around.hold_claims(tx, &parents).await?;
        }
        let mut found = rows::listing_for_update(tx, &[self.listing_id]).await?;
        let (mut listing, _) = found
            .pop()
            .ok_or_else(|| Fault::internal("a listing without its row"))?;
        let step = Step {
            action: &self.action,
            etag: self.etag.as_deref(),
            by: &by,
        };
        match act(tx, &around, &own, &mut listing, &step)? {
            Some(put) => {
                writes::listing_update(tx, std::slice::from_ref(&put)).await?;
                told(tx, self.name(), &put);
            }
            None => tx.audit(self.name(), listing.listing_id, "unchanged"),
        }
        Ok(listing)
    }
}

/// Whether what was agreed with other partners can forbid it.
fn depends_on_others(action: &Action) -> bool {
    match action {
        Action::Approve { .. } | Action::Publish | Action::Resume => true,
        Action::ChangeTerms(change) => change.sale_window.is_some(),
        Action::Reject { .. } | Action::Pause { .. } | Action::End { .. } => false,
    }
}

/// What is to be done to a listing, and by whom.
pub(super) struct Step<'a> {
    pub(super) action: &'a Action,
    pub(super) etag: Option<&'a str>,
    pub(super) by: &'a Actor,
}

/// Does it; answers what is to be written, which is nothing when it is as wanted already.
pub(super) fn act(
    tx: &Tx,
    around: &Around,
    own: &Parents,
    listing: &mut Listing,
    step: &Step<'_>,
) -> Result<Option<Put>, Fault> {
    let (before, terms_before) = (listing.version, listing.terms_version);
    before.require(step.etag, kind::LISTING)?;
    let standing = around.standing(&own.partner_id, &own.product_id, &own.variant_id)?;
    if !listing.act(step.action, step.by, &standing, tx.now())? {
        return Ok(None);
    }
    let has_new_terms = listing.terms_version != terms_before;
    Ok(Some(Put {
        listing: listing.clone(),
        due_time: listing.next_look(&standing.rules),
        // Only a look does what dates say; of what is over there is nothing to be done.
        looked: listing.state.is_over(),
        before,
        new_terms: has_new_terms.then(|| (step.by.party, events::terms(listing))),
    }))
}

/// A new listing, to be written.
pub(super) fn new(listing: Listing, rules: &Rules) -> Put {
    Put {
        due_time: listing.next_look(rules),
        looked: true,
        before: Version::FIRST,
        new_terms: Some((listing.proposer.party, events::terms(&listing))),
        listing,
    }
}

/// Terms that the catalogue itself put in force, because a date that was agreed on passed.
pub(super) fn due_terms(listing: &Listing) -> (Party, Vec<u8>) {
    (Party::Retailer, events::terms(listing))
}

/// Publishes and audits what was written.
pub(super) fn told(tx: &mut Tx, action: &'static str, put: &Put) {
    let listing = &put.listing;
    tx.publish(events::listing(listing));
    tx.audit(action, listing.listing_id, listing.state.word());
}
