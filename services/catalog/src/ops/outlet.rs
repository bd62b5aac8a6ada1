//! Registering outlets.

use contracts::id::{OutletId, PartnerId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::kind;
use crate::events;
use crate::model::outlet::{Outlet, Surface};
use crate::store::outlet as rows;
use crate::store::partner as partners;

/// Registers an outlet.
pub(crate) struct RegisterOutlet {
    pub(crate) partner_id: PartnerId,
    pub(crate) surface: Surface,
    pub(crate) display_name: String,
}

impl Operation for RegisterOutlet {
    type Output = Outlet;

    fn name(&self) -> &'static str {
        "outlet.register"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Outlet, Fault> {
        let partner = partners::partner_state(tx, &self.partner_id).await?;
        partner.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let outlet = Outlet {
            outlet_id: OutletId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            surface: self.surface,
            display_name: self.display_name.clone(),
            create_time: tx.now(),
        };
        rows::outlet_insert(tx, &outlet).await?;
        tx.publish(events::outlet(&outlet));
        tx.audit("outlet.register", outlet.outlet_id, "done");
        Ok(outlet)
    }
}
