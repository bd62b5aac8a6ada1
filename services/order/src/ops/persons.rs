//! Who is the same person at several partners. Only the retailer says it, and later orders count by it; what was
//! bought before goes on counting for the shopper it was bought by. Nothing of it is published.

use ::store::{Operation, Tx};
use contracts::id::PartnerId;
use kit::errors::{Fault, Refusal};

use crate::store::{mirrors, persons};

/// Says who a partner's shopper is.
#[derive(Clone, Debug)]
pub struct LinkPerson {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
    /// The person's hash.
    pub person: String,
}

impl Operation for LinkPerson {
    type Output = ();

    fn name(&self) -> &'static str {
        "person.link"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        if !mirrors::partner_is_known(tx, &self.partner_id).await? {
            return Err(Refusal::not_found("partner").into());
        }
        let shopper = (self.partner_id, self.shopper_ref.as_str());
        persons::person_put(tx, shopper, &self.person).await?;
        tx.audit(self.name(), self.partner_id, "linked");
        Ok(())
    }
}

/// Forgets who a partner's shopper is.
#[derive(Clone, Debug)]
pub struct UnlinkPerson {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Operation for UnlinkPerson {
    type Output = ();

    fn name(&self) -> &'static str {
        "person.unlink"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let shopper = (self.partner_id, self.shopper_ref.as_str());
        if !persons::person_delete(tx, shopper).await? {
            return Err(Refusal::not_found("person").into());
        }
        tx.audit(self.name(), self.partner_id, "unlinked");
        Ok(())
    }
}
