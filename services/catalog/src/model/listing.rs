//! Listings and their life.
//!
//! ```text
//!              propose
//!                 │
//!                 ▼      approve (the other party)      publish           pause
//!  REJECTED ◀── PROPOSED ─────────────────────▶ APPROVED ─────▶ LIVE ◀───────────▶ PAUSED
//!        reject   │                                │             │       resume     │
//!                 └────────────────────────────────┴──── end ────┴──────────────────┘
//!                                                         ▼
//!                                                       ENDED
//! ```
//!
//! Whoever proposes never approves. New terms for a listing that still waits are a proposal of their own:
//! whoever sets them becomes its proposer, and the other party decides. Otherwise a party could write its
//! own terms into the other's proposal and approve them itself.

use contracts::id::{ListingId, PartnerId};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};

use super::look::Shown;
use super::partner::PartnerState;
use super::product::{ProductFace, ProductState, Variant};
use super::rules::{Claim, Reach, Rules, rivalry};
use super::terms::{Exclusivity, Terms, TermsChange};
use super::version::Version;
use super::words::words;

words! {
    /// The life of a listing.
    ListingState {
        /// Waits for the other party.
        Proposed = "PROPOSED",
        /// Agreed, not yet on sale.
        Approved = "APPROVED",
        /// On sale inside its window.
        Live = "LIVE",
        /// Off sale for a while.
        Paused = "PAUSED",
        /// Over.
        Ended = "ENDED",
        /// Refused by the other party.
        Rejected = "REJECTED",
    }
}

impl ListingState {
    /// Whether nothing can happen to it any more.
    pub fn is_over(self) -> bool {
        matches!(self, ListingState::Ended | ListingState::Rejected)
    }

    /// Whether both parties have agreed and it is not over: it stands in the way of others, and they in its.
    pub fn is_agreed(self) -> bool {
        matches!(
            self,
            ListingState::Approved | ListingState::Live | ListingState::Paused
        )
    }
}

words! {
    /// One of the two parties to a listing.
    Party {
        /// The retailer.
        Retailer = "RETAILER",
        /// The partner.
        Partner = "PARTNER",
    }
}

/// Somebody who acts for one of the parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// For whom.
    pub party: Party,
    /// Who vouches for the name.
    pub issuer: String,
    /// The name.
    pub subject: String,
}

impl Actor {
    /// Whether both are one somebody, for whichever party.
    fn is_same_somebody(&self, other: &Actor) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

/// What stands around a listing and decides on it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether its partner may sell.
    pub partner: PartnerState,
    /// Whether its product can be listed.
    pub product: ProductState,
    /// The rules around it.
    pub rules: Rules,
    /// What was agreed with others about its variant.
    pub claims: Vec<Claim>,
}

impl Standing {
    fn require_listable(&self) -> Result<(), Refusal> {
        self.partner.require_active()?;
        self.product.require_active()
    }

    fn require_allowed(&self, reach: &Reach<'_>, now: Micros) -> Result<(), Refusal> {
        self.rules
            .forbid(reach, now)
            .map_or(Ok(()), |forbidden| Err(forbidden.into()))
    }

    fn require_free(&self, reach: &Reach<'_>, now: Micros) -> Result<(), Refusal> {
        rivalry(&self.claims, reach, now).map_or(Ok(()), |forbidden| Err(forbidden.into()))
    }
}

/// One variant offered to one partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The listing.
    pub listing_id: ListingId,
    /// The partner it is for.
    pub partner_id: PartnerId,
    /// What it offers.
    pub variant: Variant,
    /// The product's title; of a listing that is over, as it was then.
    pub title: String,
    /// What it shows of what is around it.
    pub shown: Shown,
    /// The terms.
    pub terms: Terms,
    /// From 1; grows with each change of the terms.
    pub terms_version: i64,
    /// Where it is in its life.
    pub state: ListingState,
    /// Who proposed the terms that were decided on, or wait to be.
    pub proposer: Actor,
    /// Which party decided; none while it waits, or when it ended waiting.
    pub decided_by: Option<Party>,
    /// The reason given with the decision.
    pub decision_reason: String,
    /// Why it was paused or ended.
    pub state_reason: String,
    /// How often it was changed.
    pub version: Version,
    /// When it was proposed.
    pub create_time: Micros,
    /// When it was last changed.
    pub update_time: Micros,
}

/// A listing that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its id.
    pub listing_id: ListingId,
    /// The partner it is for.
    pub partner_id: PartnerId,
    /// What it offers.
    pub variant: Variant,
    /// What it shows of its product.
    pub product: ProductFace,
    /// The terms.
    pub terms: Terms,
    /// Who wants it.
    pub proposer: Actor,
}

/// What may be done to a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The other party agrees; a reason may be given.
    Approve {
        /// Why.
        reason: String,
    },
    /// The other party refuses, for good.
    Reject {
        /// Why; never empty.
        reason: String,
    },
    /// It goes on sale.
    Publish,
    /// Its terms change.
    ChangeTerms(TermsChange),
    /// It goes off sale for a while.
    Pause {
        /// Why; never empty.
        reason: String,
    },
    /// It goes on sale again.
    Resume,
    /// It is over.
    End {
        /// Why; never empty.
        reason: String,
    },
}

impl Listing {
    /// Proposes a listing.
    pub fn propose(proposal: Proposal, standing: &Standing, now: Micros) -> Result<Self, Refusal> {
        standing.require_listable()?;
        let Proposal {
            listing_id,
            partner_id,
            variant,
            product,
            terms,
            proposer,
        } = proposal;
        terms.require_fit(&variant.details, "terms.")?;
        terms.require_not_over(now)?;
        standing.require_allowed(&reach(&partner_id, &terms), now)?;
        let rules = &standing.rules;
        Ok(Listing {
            listing_id,
            partner_id,
            variant,
            title: product.title.clone(),
            shown: Shown {
                product,
                retailer_exclusive: rules.is_retailer_exclusive(&terms.territories, now),
                minimum_age_years: rules.minimum_age_years(),
                time: now,
            },
            terms,
            terms_version: 1,
            state: ListingState::Proposed,
            proposer,
            decided_by: None,
            decision_reason: String::new(),
            state_reason: String::new(),
            version: Version::FIRST,
            create_time: now,
            update_time: now,
        })
    }

    /// Does something to it; answers whether anything is different now. Who may call for which action is
    /// the contract's to say; here only what the two parties owe each other is decided.
    pub fn act(
        &mut self,
        action: &Action,
        by: &Actor,
        standing: &Standing,
        now: Micros,
    ) -> Result<bool, Refusal> {
        match action {
            Action::Approve { reason } => {
                self.require_decidable(by, "approved")?;
                standing.require_listable()?;
                standing.require_allowed(&self.reach(), now)?;
                standing.require_free(&self.reach(), now)?;
                self.decide(ListingState::Approved, by, reason);
            }
            Action::Reject { reason } => {
                self.require_decidable(by, "rejected")?;
                self.decide(ListingState::Rejected, by, reason);
            }
            Action::Publish => {
                self.require(ListingState::Approved, "published")?;
                standing.require_listable()?;
                self.require_sellable(standing, now)?;
                self.enter(ListingState::Live, "");
            }
            Action::ChangeTerms(change) => {
                if !self.change_terms(change, by, standing, now)? {
                    return Ok(false);
                }
            }
            Action::Pause { reason } => {
                self.require(ListingState::Live, "paused")?;
                self.enter(ListingState::Paused, reason);
            }
            Action::Resume => {
                self.require(ListingState::Paused, "resumed")?;
                // An archived product is no obstacle: what was live goes on until it is ended.
                standing.partner.require_active()?;
                self.require_sellable(standing, now)?;
                self.enter(ListingState::Live, "");
            }
            Action::End { reason } => {
                self.require_not_over("ended")?;
                self.enter(ListingState::Ended, reason);
            }
        }
        self.touch(now);
        Ok(true)
    }

    /// Where, when and through whom it is to sell.
    pub fn reach(&self) -> Reach<'_> {
        reach(&self.partner_id, &self.terms)
    }

    /// What it keeps others from; none while it is not agreed.
    pub fn claim(&self) -> Option<Claim> {
        self.state.is_agreed().then(|| Claim {
            partner_id: self.partner_id,
            territories: self.terms.territories.clone(),
            window: self.terms.sale_window,
            is_exclusive: self.terms.exclusivity == Exclusivity::ThisPartner,
        })
    }

    /// Notes a change.
    pub fn touch(&mut self, now: Micros) {
        self.version = self.version.next();
        self.update_time = now;
        self.shown.time = now;
    }

    fn require_sellable(&self, standing: &Standing, now: Micros) -> Result<(), Refusal> {
        self.terms.require_not_over(now)?;
        standing.require_allowed(&self.reach(), now)?;
        standing.require_free(&self.reach(), now)
    }

    fn require_decidable(&self, by: &Actor, done: &str) -> Result<(), Refusal> {
        self.require(ListingState::Proposed, done)?;
        if by.party == self.proposer.party {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "Whoever proposes a listing does not decide on it; the other party does.",
            )
            .because("PROPOSER", "listing", self.proposer.party.word()));
        }
        if by.is_same_somebody(&self.proposer) {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "The same caller proposed this listing for the other party; somebody else has to decide on it.",
            )
            .because("PROPOSER", "listing", "SAME_SUBJECT"));
        }
        Ok(())
    }

    fn decide(&mut self, state: ListingState, by: &Actor, reason: &str) {
        self.decided_by = Some(by.party);
        self.decision_reason = reason.to_owned();
        self.enter(state, "");
    }

    pub(super) fn enter(&mut self, state: ListingState, reason: &str) {
        self.state = state;
        self.state_reason = reason.to_owned();
    }

    fn change_terms(
        &mut self,
        change: &TermsChange,
        by: &Actor,
        standing: &Standing,
        now: Micros,
    ) -> Result<bool, Refusal> {
        self.require_not_over("changed")?;
        let terms = self.terms.changed(change, self.state.is_agreed(), now)?;
        terms.require_fit(&self.variant.details, "")?;
        if terms == self.terms {
            return Ok(false);
        }
        if terms.sale_window != self.terms.sale_window {
            let reach = reach(&self.partner_id, &terms);
            standing.require_allowed(&reach, now)?;
            if self.state.is_agreed() {
                standing.require_free(&reach, now)?;
            }
        }
        self.terms = terms;
        self.terms_version += 1;
        if self.state == ListingState::Proposed {
            self.proposer = by.clone();
        }
        Ok(true)
    }

    fn require(&self, state: ListingState, done: &str) -> Result<(), Refusal> {
        if self.state == state {
            return Ok(());
        }
        let message = format!(
            "The listing is {}; only one that is {state} can be {done}.",
            self.state
        );
        Err(Refusal::wrong_state("listing", self.state, message))
    }

    fn require_not_over(&self, done: &str) -> Result<(), Refusal> {
        if !self.state.is_over() {
            return Ok(());
        }
        let message = format!(
            "The listing is {} for good and cannot be {done}; propose another.",
            self.state
        );
        Err(Refusal::wrong_state("listing", self.state, message))
    }
}

fn reach<'a>(partner_id: &'a PartnerId, terms: &'a Terms) -> Reach<'a> {
    Reach {
        partner_id,
        territories: &terms.territories,
        window: terms.sale_window,
        legal_entity_id: terms.legal_entity_id.as_ref(),
        is_exclusive: terms.exclusivity == Exclusivity::ThisPartner,
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
