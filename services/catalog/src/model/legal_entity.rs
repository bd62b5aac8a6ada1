//! The legal entities through which the retailer sells.

use contracts::id::LegalEntityId;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::words::words;

words! {
    /// Whether new listings may name a legal entity.
    LegalEntityState {
        /// They may.
        Active = "ACTIVE",
        /// They may not; those that do go on.
        Retired = "RETIRED",
    }
}

/// What a legal entity is, apart from its id. It never changes, so that terms name the same one for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalEntityDetails {
    /// Unique for ever.
    pub legal_entity_code: String,
    /// The registered name.
    pub legal_name: String,
    /// Where it is registered.
    pub country_code: String,
    /// As invoices show it.
    pub tax_number: String,
    /// On one line; may be empty.
    pub registered_office: String,
}

/// A legal entity of the retailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalEntity {
    /// The legal entity.
    pub legal_entity_id: LegalEntityId,
    /// What it is.
    pub details: LegalEntityDetails,
    /// Whether new listings may name it.
    pub state: LegalEntityState,
    /// When it was registered.
    pub create_time: Micros,
    /// When it was retired.
    pub retire_time: Option<Micros>,
}

impl LegalEntity {
    /// Takes it out of use for new listings, for good.
    pub fn retire(&mut self, now: Micros) -> Result<(), Refusal> {
        self.require_active()?;
        self.state = LegalEntityState::Retired;
        self.retire_time = Some(now);
        Ok(())
    }

    /// Refuses what may be done with an active one only.
    pub fn require_active(&self) -> Result<(), Refusal> {
        match self.state {
            LegalEntityState::Active => Ok(()),
            LegalEntityState::Retired => Err(Refusal::wrong_state(
                "legal_entity",
                self.state,
                "The legal entity is retired; name one that is active.",
            )),
        }
    }
}

/// The seller that terms name, filled in from what is registered: answers the name that they carry.
/// `found` is the legal entity that `legal_entity_id` names, when there is such a one.
pub fn seller(
    legal_entity_id: Option<&LegalEntityId>,
    name: &str,
    found: Option<&LegalEntity>,
    any_registered: bool,
) -> Result<String, Refusal> {
    if legal_entity_id.is_none() {
        if any_registered {
            return Err(Refusal::invalid(
                "terms.legal_entity_id",
                "must name who sells, because legal entities are registered.",
            ));
        }
        return Ok(name.to_owned());
    }
    let entity = found.ok_or_else(|| Refusal::not_found("legal entity"))?;
    entity.require_active()?;
    if !name.is_empty() && name != entity.details.legal_name {
        return Err(Refusal::invalid(
            "terms.legal_entity",
            "must be empty or the registered name of legal_entity_id.",
        ));
    }
    Ok(entity.details.legal_name.clone())
}
