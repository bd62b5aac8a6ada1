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

use super::partner::PartnerState;
use super::product::{ProductState, Variant};
use super::terms::{Terms, TermsChange};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether its partner may sell.
    pub partner: PartnerState,
    /// Whether its product can be listed.
    pub product: ProductState,
}

impl Standing {
    fn require_listable(self) -> Result<(), Refusal> {
        self.partner.require_active()?;
        self.product.require_active()
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
    /// The product's title.
    pub title: String,
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
    pub fn propose(proposal: Proposal, standing: Standing, now: Micros) -> Result<Self, Refusal> {
        standing.require_listable()?;
        let Proposal {
            listing_id,
            partner_id,
            variant,
            title,
            terms,
            proposer,
        } = proposal;
        terms.require_fit(&variant.details, "terms.")?;
        terms.require_not_over(now)?;
        Ok(Listing {
            listing_id,
            partner_id,
            variant,
            title,
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
        standing: Standing,
        now: Micros,
    ) -> Result<bool, Refusal> {
        match action {
            Action::Approve { reason } => {
                self.require_decidable(by, "approved")?;
                standing.require_listable()?;
                self.decide(ListingState::Approved, by, reason);
            }
            Action::Reject { reason } => {
                self.require_decidable(by, "rejected")?;
                self.decide(ListingState::Rejected, by, reason);
            }
            Action::Publish => {
                self.require(ListingState::Approved, "published")?;
                standing.require_listable()?;
                self.terms.require_not_over(now)?;
                self.enter(ListingState::Live, "");
            }
            Action::ChangeTerms(change) => {
                if !self.change_terms(change, by)? {
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
                self.terms.require_not_over(now)?;
                self.enter(ListingState::Live, "");
            }
            Action::End { reason } => {
                self.require_not_over("ended")?;
                self.enter(ListingState::Ended, reason);
            }
        }
        self.version = self.version.next();
        self.update_time = now;
        Ok(true)
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

    fn enter(&mut self, state: ListingState, reason: &str) {
        self.state = state;
        self.state_reason = reason.to_owned();
    }

    fn change_terms(&mut self, change: &TermsChange, by: &Actor) -> Result<bool, Refusal> {
        self.require_not_over("changed")?;
        let terms = self.terms.changed(change)?;
        terms.require_fit(&self.variant.details, "")?;
        if terms == self.terms {
            return Ok(false);
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

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
