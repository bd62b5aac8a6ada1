//! Setting agreements with brands.

use contracts::id::BrandAgreementId;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::kind;
use crate::model::brand::{BrandAgreement, BrandTerms, brand_key};
use crate::model::look::RefreshKind;
use crate::store::brand as rows;
use crate::store::legal_entity::legal_entity_by_ids;
use crate::store::partner::partner_states;
use crate::store::refresh::refresh_add;
use crate::store::rulebook::rulebook_turn;

/// Sets the agreement with a brand.
pub(crate) struct SetBrandAgreement {
    pub(crate) terms: BrandTerms,
    pub(crate) etag: Option<String>,
}

impl Operation for SetBrandAgreement {
    type Output = BrandAgreement;

    fn name(&self) -> &'static str {
        "brand_agreement.set"
    }

    async fn run(&self, tx: &mut Tx) -> Result<BrandAgreement, Fault> {
        rulebook_turn(tx).await?;
        self.require_known(tx).await?;
        let key = brand_key(&self.terms.brand);
        let now = tx.now();
        let agreement = match rows::brand_agreement_by_key(tx, &key).await? {
            Some(mut agreement) => {
                let etag = self.etag.as_deref();
                agreement.version.require(etag, kind::BRAND_AGREEMENT)?;
                if !agreement.set(self.terms.clone(), now) {
                    tx.audit(self.name(), agreement.brand_agreement_id, "unchanged");
                    return Ok(agreement);
                }
                agreement
            }
            None if self.etag.is_some() => {
                return Err(Refusal::not_found(kind::BRAND_AGREEMENT).into());
            }
            None => {
                let brand_agreement_id = BrandAgreementId::from_uuid(tx.ids().next());
                BrandAgreement::new(brand_agreement_id, self.terms.clone(), now)
            }
        };
        rows::brand_agreement_put(tx, &agreement).await?;
        refresh_add(tx, RefreshKind::Brand, &[key], "").await?;
        tx.audit(self.name(), agreement.brand_agreement_id, "done");
        Ok(agreement)
    }
}

impl SetBrandAgreement {
    async fn require_known(&self, tx: &mut Tx) -> Result<(), Fault> {
        if let Some(id) = self.terms.legal_entity_id {
            let found = legal_entity_by_ids(tx, &[id]).await?;
            let entity = found.first();
            entity
                .ok_or_else(|| Refusal::not_found(kind::LEGAL_ENTITY))?
                .require_active()?;
        }
        let asked = &self.terms.allowed_partner_ids;
        if partner_states(tx, asked).await?.len() < asked.len() {
            return Err(Refusal::not_found(kind::PARTNER).into());
        }
        Ok(())
    }
}
