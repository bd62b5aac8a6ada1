//! Registering, suspending and resuming partners.

use contracts::id::PartnerId;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, taken};
use crate::events;
use crate::model::partner::{Partner, PartnerProfile};
use crate::store::partner as rows;

/// Registers a partner.
pub(crate) struct RegisterPartner {
    pub(crate) profile: PartnerProfile,
}

impl Operation for RegisterPartner {
    type Output = Partner;

    fn name(&self) -> &'static str {
        "partner.register"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Partner, Fault> {
        let partner_id = PartnerId::from_uuid(tx.ids().next());
        let partner = Partner::register(partner_id, self.profile.clone(), tx.now());
        if !rows::partner_insert(tx, &partner).await? {
            let message = "A partner with this partner_code exists; choose another.";
            return Err(taken("partner.partner_code", message).into());
        }
        tx.publish(events::partner(&partner));
        tx.audit("partner.register", partner.partner_id, "done");
        Ok(partner)
    }
}

/// Suspends a partner, or resumes it.
pub(crate) struct TurnPartner {
    pub(crate) partner_id: PartnerId,
    /// Why it is suspended; none resumes it.
    pub(crate) suspend_reason: Option<String>,
    pub(crate) etag: Option<String>,
}

impl Operation for TurnPartner {
    type Output = Partner;

    fn name(&self) -> &'static str {
        match self.suspend_reason {
            Some(_) => "partner.suspend",
            None => "partner.resume",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Partner, Fault> {
        let found = rows::partner_for_update(tx, &self.partner_id).await?;
        let mut partner = found.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let before = partner.version;
        before.require(self.etag.as_deref(), kind::PARTNER)?;
        match &self.suspend_reason {
            Some(reason) => partner.suspend(reason, tx.now())?,
            None => partner.resume(tx.now())?,
        }
        rows::partner_update(tx, &partner, before).await?;
        tx.publish(events::partner(&partner));
        tx.audit(self.name(), partner.partner_id, partner.state.word());
        Ok(partner)
    }
}
