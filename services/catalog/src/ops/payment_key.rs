//! Adding and revoking payment keys.

use contracts::id::{PartnerId, PaymentKeyId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, taken};
use crate::events;
use crate::model::payment_key::{PaymentKey, PaymentKeyState};
use crate::store::partner as partners;
use crate::store::payment_key as rows;

/// Adds a key. A suspended partner gets keys too, because its orders go on and are paid.
pub(crate) struct AddPaymentKey {
    pub(crate) partner_id: PartnerId,
    pub(crate) kid: String,
    pub(crate) public_key_jwk: String,
}

impl Operation for AddPaymentKey {
    type Output = PaymentKey;

    fn name(&self) -> &'static str {
        "payment_key.add"
    }

    async fn run(&self, tx: &mut Tx) -> Result<PaymentKey, Fault> {
        let partner = partners::partner_state(tx, &self.partner_id).await?;
        partner.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
        let key = PaymentKey {
            payment_key_id: PaymentKeyId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            kid: self.kid.clone(),
            public_key_jwk: self.public_key_jwk.clone(),
            state: PaymentKeyState::Active,
            revoke_reason: String::new(),
            create_time: tx.now(),
            revoke_time: None,
        };
        if !rows::payment_key_insert(tx, &key).await? {
            let message = "The partner has a key of this kid, maybe a revoked one; name the new key otherwise.";
            return Err(taken("kid", message).into());
        }
        tx.publish(events::payment_key(&key));
        tx.audit("payment_key.add", key.payment_key_id, "done");
        Ok(key)
    }
}

/// Revokes a key.
pub(crate) struct RevokePaymentKey {
    pub(crate) payment_key_id: PaymentKeyId,
    pub(crate) reason: String,
}

impl Operation for RevokePaymentKey {
    type Output = PaymentKey;

    fn name(&self) -> &'static str {
        "payment_key.revoke"
    }

    async fn run(&self, tx: &mut Tx) -> Result<PaymentKey, Fault> {
        let found = rows::payment_key_for_update(tx, &self.payment_key_id).await?;
        let mut key = found.ok_or_else(|| Refusal::not_found(kind::PAYMENT_KEY))?;
        key.revoke(&self.reason, tx.now())?;
        rows::payment_key_revoke(tx, &key).await?;
        tx.publish(events::payment_key(&key));
        tx.audit("payment_key.revoke", key.payment_key_id, key.state.word());
        Ok(key)
    }
}
