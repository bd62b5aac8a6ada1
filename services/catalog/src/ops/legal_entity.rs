//! Registering and retiring legal entities.

use contracts::id::LegalEntityId;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, taken};
use crate::model::legal_entity::{LegalEntity, LegalEntityDetails, LegalEntityState};
use crate::store::legal_entity as rows;
use crate::store::rulebook::rulebook_turn;

/// Registers a legal entity.
pub(crate) struct RegisterLegalEntity {
    pub(crate) details: LegalEntityDetails,
}

impl Operation for RegisterLegalEntity {
    type Output = LegalEntity;

    fn name(&self) -> &'static str {
        "legal_entity.register"
    }

    async fn run(&self, tx: &mut Tx) -> Result<LegalEntity, Fault> {
        // From the first on, proposals have to name one.
        rulebook_turn(tx).await?;
        let entity = LegalEntity {
            legal_entity_id: LegalEntityId::from_uuid(tx.ids().next()),
            details: self.details.clone(),
            state: LegalEntityState::Active,
            create_time: tx.now(),
            retire_time: None,
        };
        if !rows::legal_entity_insert(tx, &entity).await? {
            let message = "A legal entity with this legal_entity_code exists; choose another.";
            return Err(taken("legal_entity.legal_entity_code", message).into());
        }
        tx.audit(self.name(), entity.legal_entity_id, "done");
        Ok(entity)
    }
}

/// Takes a legal entity out of use for new listings.
pub(crate) struct RetireLegalEntity {
    pub(crate) legal_entity_id: LegalEntityId,
}

impl Operation for RetireLegalEntity {
    type Output = LegalEntity;

    fn name(&self) -> &'static str {
        "legal_entity.retire"
    }

    async fn run(&self, tx: &mut Tx) -> Result<LegalEntity, Fault> {
        rulebook_turn(tx).await?;
        let found = rows::legal_entity_by_id(tx, &self.legal_entity_id).await?;
        let mut entity = found.ok_or_else(|| Refusal::not_found(kind::LEGAL_ENTITY))?;
        entity.retire(tx.now())?;
        rows::legal_entity_retire(tx, &entity).await?;
        tx.audit(self.name(), entity.legal_entity_id, entity.state.word());
        Ok(entity)
    }
}
