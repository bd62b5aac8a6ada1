//! Setting rules of regulated categories, recording and revoking licences.

use contracts::id::{LicenceId, PartnerId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, taken};
use crate::model::look::RefreshKind;
use crate::model::regulation::{CategoryRule, Licence, LicenceState, RuleTerms};
use crate::store::partner::partner_state;
use crate::store::refresh::refresh_add;
use crate::store::regulation as rows;
use crate::store::rulebook::rulebook_turn;

/// Sets the rule of a category.
pub(crate) struct SetCategoryRule {
    pub(crate) terms: RuleTerms,
    pub(crate) etag: Option<String>,
}

impl Operation for SetCategoryRule {
    type Output = CategoryRule;

    fn name(&self) -> &'static str {
        "category_rule.set"
    }

    async fn run(&self, tx: &mut Tx) -> Result<CategoryRule, Fault> {
        rulebook_turn(tx).await?;
        let category = &self.terms.regulated_category;
        let now = tx.now();
        let rule = match rows::category_rule_by_key(tx, category).await? {
            Some(mut rule) => {
                let etag = self.etag.as_deref();
                rule.version.require(etag, kind::CATEGORY_RULE)?;
                if !rule.set(self.terms.clone(), now) {
                    tx.audit(self.name(), category.as_str(), "unchanged");
                    return Ok(rule);
                }
                rule
            }
            None if self.etag.is_some() => {
                return Err(Refusal::not_found(kind::CATEGORY_RULE).into());
            }
            None => CategoryRule::new(self.terms.clone(), now),
        };
        rows::category_rule_put(tx, &rule).await?;
        reach_all(tx, category).await?;
        tx.audit(self.name(), category.as_str(), "done");
        Ok(rule)
    }
}

/// Records a licence of a partner.
pub(crate) struct RecordLicence {
    pub(crate) partner_id: PartnerId,
    pub(crate) regulated_category: String,
    pub(crate) licence_number: String,
    pub(crate) territories: Vec<String>,
    pub(crate) start_time: Option<Micros>,
    pub(crate) expire_time: Micros,
}

impl Operation for RecordLicence {
    type Output = Licence;

    fn name(&self) -> &'static str {
        "licence.record"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Licence, Fault> {
        rulebook_turn(tx).await?;
        let partner = partner_state(tx, &self.partner_id).await?;
        partner.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let licence = Licence {
            licence_id: LicenceId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            regulated_category: self.regulated_category.clone(),
            licence_number: self.licence_number.clone(),
            territories: self.territories.clone(),
            start_time: self.start_time,
            expire_time: self.expire_time,
            state: LicenceState::Active,
            revoke_reason: String::new(),
            create_time: tx.now(),
            revoke_time: None,
        };
        if !rows::licence_insert(tx, &licence).await? {
            let message =
                "The partner has a licence of this number in the category; record another number.";
            return Err(taken("licence.licence_number", message).into());
        }
        // Listings learn of the new dates: until when they may go on.
        reach_all(tx, &licence.regulated_category).await?;
        tx.audit(self.name(), licence.licence_id, "done");
        Ok(licence)
    }
}

/// Takes a licence back.
pub(crate) struct RevokeLicence {
    pub(crate) licence_id: LicenceId,
    pub(crate) reason: String,
}

impl Operation for RevokeLicence {
    type Output = Licence;

    fn name(&self) -> &'static str {
        "licence.revoke"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Licence, Fault> {
        rulebook_turn(tx).await?;
        let found = rows::licence_for_update(tx, &self.licence_id).await?;
        let mut licence = found.ok_or_else(|| Refusal::not_found(kind::LICENCE))?;
        licence.revoke(&self.reason, tx.now())?;
        rows::licence_revoke(tx, &licence).await?;
        reach_all(tx, &licence.regulated_category).await?;
        tx.audit(self.name(), licence.licence_id, licence.state.word());
        Ok(licence)
    }
}

async fn reach_all(tx: &mut Tx, category: &str) -> Result<(), Fault> {
    refresh_add(tx, RefreshKind::Category, &[category.to_owned()], "").await
}
