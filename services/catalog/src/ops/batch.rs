//! Proposing and deciding on many listings at a time.

use std::collections::{BTreeSet, HashMap};

use contracts::id::{LegalEntityId, ListingId, PartnerId, VariantId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::around::{Around, around};
use super::listing::{Draft, Step, act, new, told};
use super::{actor, kind, scope};
use crate::model::legal_entity::{LegalEntity, seller};
use crate::model::listing::{Action, Actor, Listing, Proposal};
use crate::model::product::Variant;
use crate::model::rules::Rules;
use crate::store::legal_entity::{legal_entity_any, legal_entity_by_ids};
use crate::store::listing::{self as rows, Parents};
use crate::store::listing_write::{self as writes, Put};
use crate::store::product::variant_by_ids;
use crate::store::rulebook::rulebook_hold;

/// What became of one of many.
pub(crate) type Verdict<T> = Result<T, Refusal>;

/// What drafts name, read once for all of them.
struct Named {
    variants: HashMap<VariantId, Variant>,
    entities: HashMap<LegalEntityId, LegalEntity>,
    any_entity: bool,
    around: Around,
    proposer: Actor,
}

impl Named {
    async fn load(tx: &mut Tx, drafts: &[&Draft]) -> Result<Self, Fault> {
        let proposer = actor(tx.caller())?;
        rulebook_hold(tx).await?;
        let variant_ids: BTreeSet<VariantId> = drafts.iter().map(|own| own.variant_id).collect();
        let variant_ids: Vec<VariantId> = variant_ids.into_iter().collect();
        let variants = variant_by_ids(tx, &variant_ids).await?;
        let variants: HashMap<VariantId, Variant> = variants
            .into_iter()
            .map(|variant| (variant.variant_id, variant))
            .collect();
        let entity_ids = drafts.iter().filter_map(|own| own.terms.legal_entity_id);
        let entity_ids: BTreeSet<LegalEntityId> = entity_ids.collect();
        let entity_ids: Vec<LegalEntityId> = entity_ids.into_iter().collect();
        let entities = legal_entity_by_ids(tx, &entity_ids).await?;
        let any_entity = !entities.is_empty() || legal_entity_any(tx).await?;
        // A partner whose variant is unknown is looked up too: unknown partners are told of first.
        let mut pairs = BTreeSet::new();
        let mut lone: BTreeSet<PartnerId> = BTreeSet::new();
        let own = drafts
            .iter()
            .filter(|draft| tx.caller().sees(&draft.partner_id));
        for draft in own {
            match variants.get(&draft.variant_id) {
                Some(variant) => {
                    pairs.insert((draft.partner_id, variant.product_id));
                }
                None => {
                    lone.insert(draft.partner_id);
                }
            }
        }
        let around = Around::load(tx, &pairs, &lone).await?;
        Ok(Named {
            variants,
            entities: entities
                .into_iter()
                .map(|entity| (entity.legal_entity_id, entity))
                .collect(),
            any_entity,
            around,
            proposer,
        })
    }

    fn propose(&self, tx: &Tx, draft: &Draft) -> Result<(Listing, Rules), Fault> {
        tx.caller()
            .require_partner(&draft.partner_id, kind::PARTNER)?;
        self.around.partner(&draft.partner_id)?;
        let variant = self.variants.get(&draft.variant_id);
        let variant = variant.ok_or_else(|| Refusal::not_found(kind::VARIANT))?;
        let mut terms = draft.terms.clone();
        let entity_id = terms.legal_entity_id.as_ref();
        let entity = entity_id.and_then(|id| self.entities.get(id));
        terms.legal_entity = seller(entity_id, &terms.legal_entity, entity, self.any_entity)?;
        let product_id = &variant.product_id;
        let standing = self
            .around
            .standing(&draft.partner_id, product_id, &draft.variant_id)?;
        let proposal = Proposal {
            listing_id: ListingId::from_uuid(tx.ids().next()),
            partner_id: draft.partner_id,
            variant: variant.clone(),
            product: self.around.face(product_id)?.clone(),
            terms,
            proposer: self.proposer.clone(),
        };
        let listing = Listing::propose(proposal, &standing, tx.now())?;
        Ok((listing, standing.rules))
    }
}

/// The listings as they would be, one verdict per draft in their order, each with the rules around it. Works
/// in a unit that only reads, too.
pub(super) async fn proposals(
    tx: &mut Tx,
    drafts: &[Verdict<Draft>],
) -> Result<Vec<Verdict<(Listing, Rules)>>, Fault> {
    let good: Vec<&Draft> = drafts.iter().flatten().collect();
    let named = Named::load(tx, &good).await?;
    let verdicts = drafts.iter().map(|draft| match draft {
        Ok(draft) => verdict(named.propose(tx, draft)),
        Err(refusal) => Ok(Err(refusal.clone())),
    });
    verdicts.collect()
}

/// Tells a refusal, which is an answer, from a fault, which ends the whole.
fn verdict<T>(result: Result<T, Fault>) -> Result<Verdict<T>, Fault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Refused(refusal)) => Ok(Err(refusal)),
        Err(fault) => Err(fault),
    }
}

/// Proposes listings; what is refused hinders no other.
pub(crate) struct ProposeListings {
    pub(crate) drafts: Vec<Verdict<Draft>>,
}

impl Operation for ProposeListings {
    type Output = Vec<Verdict<Listing>>;

    fn name(&self) -> &'static str {
        "listing.propose_batch"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Verdict<Listing>>, Fault> {
        let proposed = proposals(tx, &self.drafts).await?;
        let puts: Vec<Put> = proposed
            .iter()
            .flatten()
            .map(|(listing, rules)| new(listing.clone(), rules))
            .collect();
        if !puts.is_empty() {
            writes::listing_insert(tx, &puts).await?;
        }
        for put in &puts {
            told(tx, "listing.propose", put);
        }
        tx.audit(
            self.name(),
            "batch",
            format!("{} of {}", puts.len(), proposed.len()),
        );
        Ok(listings(proposed))
    }
}

/// Checks whether listings could be proposed; nothing is.
pub(crate) struct CheckListings(pub(crate) ProposeListings);

impl Operation for CheckListings {
    type Output = Vec<Verdict<Listing>>;

    fn name(&self) -> &'static str {
        "listing.check_batch"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Verdict<Listing>>, Fault> {
        Ok(listings(proposals(tx, &self.0.drafts).await?))
    }
}

fn listings(proposed: Vec<Verdict<(Listing, Rules)>>) -> Vec<Verdict<Listing>> {
    let each = proposed.into_iter();
    each.map(|verdict| verdict.map(|(listing, _)| listing))
        .collect()
}

/// A decision on a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) listing_id: ListingId,
    pub(crate) etag: Option<String>,
    pub(crate) action: Action,
}

/// Decides on proposals, one after the other; what is refused hinders no other.
pub(crate) struct DecideListings {
    pub(crate) rulings: Vec<Verdict<Ruling>>,
}

impl DecideListings {
    async fn parents(&self, tx: &mut Tx) -> Result<Vec<Parents>, Fault> {
        let visible = scope(tx.caller())?;
        let ids = self.rulings.iter().flatten().map(|own| own.listing_id);
        let ids: BTreeSet<ListingId> = ids.collect();
        let ids: Vec<ListingId> = ids.into_iter().collect();
        rows::listing_parents(tx, &ids, visible.as_ref()).await
    }
}

impl Operation for DecideListings {
    type Output = Vec<Verdict<Listing>>;

    fn name(&self) -> &'static str {
        "listing.decide_batch"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Verdict<Listing>>, Fault> {
        let by = actor(tx.caller())?;
        let parents = self.parents(tx).await?;
        let mut around = around(tx, &parents).await?;
        around.hold_claims(tx, &parents).await?;
        let ids: Vec<ListingId> = parents.iter().map(|own| own.listing_id).collect();
        let found = rows::listing_for_update(tx, &ids).await?.into_iter();
        let mut found: HashMap<ListingId, Listing> = found
            .map(|(listing, _)| (listing.listing_id, listing))
            .collect();
        let parents: HashMap<ListingId, Parents> = parents
            .into_iter()
            .map(|own| (own.listing_id, own))
            .collect();
        let (mut verdicts, mut puts) = (Vec::new(), Vec::new());
        for ruling in &self.rulings {
            let made = match ruling {
                Ok(ruling) => verdict(decide(tx, &around, &parents, &mut found, (ruling, &by)))?,
                Err(refusal) => Err(refusal.clone()),
            };
            if let Ok(put) = &made
                && let Some(claim) = put.listing.claim()
            {
                around.claim(put.listing.variant.variant_id, claim);
            }
            verdicts.push(
                made.as_ref()
                    .map(|put| put.listing.clone())
                    .map_err(Refusal::clone),
            );
            puts.extend(made);
        }
        if !puts.is_empty() {
            writes::listing_update(tx, &puts).await?;
        }
        for put in &puts {
            told(tx, "listing.decide", put);
        }
        tx.audit(
            self.name(),
            "batch",
            format!("{} of {}", puts.len(), verdicts.len()),
        );
        Ok(verdicts)
    }
}

fn decide(
    tx: &Tx,
    around: &Around,
    parents: &HashMap<ListingId, Parents>,
    found: &mut HashMap<ListingId, Listing>,
    (ruling, by): (&Ruling, &Actor),
) -> Result<Put, Fault> {
    let known = parents
        .get(&ruling.listing_id)
        .zip(found.get_mut(&ruling.listing_id));
    let (own, listing) = known.ok_or_else(|| Refusal::not_found(kind::LISTING))?;
    let step = Step {
        action: &ruling.action,
        etag: ruling.etag.as_deref(),
        by,
    };
    let put = act(tx, around, own, listing, &step)?;
    put.ok_or_else(|| Fault::internal("a decision that changed nothing"))
}
