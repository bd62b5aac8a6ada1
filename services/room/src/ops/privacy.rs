//! Erasing what a shopper asked. Nothing keeps it: the key goes at once, and the questions stay without words.

use ::store::erasure::{self, Deferral, Erases, Erasure};
use ::store::{Operation, Tx};
use contracts::id::PartnerId;
use kit::errors::Fault;

use crate::store::question::{QUESTION, questions_seal};

/// What is erased here.
#[derive(Clone, Debug)]
pub struct QuestionErasure;

impl Erases for QuestionErasure {
    fn kinds(&self) -> &'static [&'static str] {
        &[QUESTION]
    }

    async fn erase(&self, _: &mut Tx, _: &Erasure) -> Result<Option<Deferral>, Fault> {
        Ok(None)
    }

    async fn seal_plain(&self, tx: &mut Tx, rows_max: i64) -> Result<usize, Fault> {
        questions_seal(tx, rows_max).await
    }
}

/// Asks for a shopper's questions to be erased.
#[derive(Clone, Debug)]
pub struct EraseShopper {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Operation for EraseShopper {
    type Output = Vec<Erasure>;

    fn name(&self) -> &'static str {
        "privacy.request"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Erasure>, Fault> {
        erasure::erasure_request(tx, &self.partner_id, &self.shopper_ref, &[QUESTION]).await?;
        tx.audit(
            self.name(),
            self.partner_id,
            format!("shopper {}", self.shopper_ref),
        );
        erasure::erasures_of(tx, &self.partner_id, &self.shopper_ref).await
    }
}

/// Reads what has become of an erasure.
#[derive(Clone, Debug)]
pub struct ReadErasure {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Operation for ReadErasure {
    type Output = Vec<Erasure>;

    fn name(&self) -> &'static str {
        "privacy.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Erasure>, Fault> {
        erasure::erasures_of(tx, &self.partner_id, &self.shopper_ref).await
    }
}
