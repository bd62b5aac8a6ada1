//! Erasing what a shopper said: each case and each return as soon as it has ended and the law needs it no longer, and
//! the keys after the last.

use std::time::Duration;

use ::store::erasure::{
    self, AFTERSALE_OPEN, CASE_OPEN, Deferral, Erases, Erasure, LEGAL_RETENTION, QUEUED,
};
use ::store::{Operation, Tx};
use contracts::id::PartnerId;
use kit::clock::Micros;
use kit::errors::Fault;

use crate::store::care::sealed::CARE_MESSAGE;
use crate::store::privacy::{
    RETURN_NOTE, case_forget, cases_with_words, note_forget, returns_with_note, words_seal,
};

/// The most cases or returns of a shopper that one turn looks at.
const PER_TURN: i64 = 1_000;

/// What is erased here.
#[derive(Clone, Debug)]
pub struct WordsErasure {
    /// How long after the end of a case or a return the law asks for what was said.
    pub retention: Duration,
}

impl Erases for WordsErasure {
    fn kinds(&self) -> &'static [&'static str] {
        &[CARE_MESSAGE, RETURN_NOTE]
    }

    async fn erase(&self, tx: &mut Tx, of: &Erasure) -> Result<Option<Deferral>, Fault> {
        let is_care = of.kind == CARE_MESSAGE;
        let (words, open) = if is_care {
            let cases = cases_with_words(tx, &of.partner_id, &of.shopper_ref, PER_TURN).await?;
            (cases, CASE_OPEN)
        } else {
            let returns = returns_with_note(tx, &of.partner_id, &of.shopper_ref, PER_TURN).await?;
            (returns, AFTERSALE_OPEN)
        };
        let now = tx.now();
        let (mut is_open, mut last): (bool, Option<Micros>) = (false, None);
        for (what, ended) in &words {
            match ended.map(|ended| Micros(ended).plus(self.retention)) {
                None => is_open = true,
                Some(until) if until > now => last = last.max(Some(until)),
                Some(_) if is_care => case_forget(tx, what).await?,
                Some(_) => note_forget(tx, what).await?,
            }
        }
        Ok(if is_open {
            Some(Deferral {
                why: open,
                until: None,
            })
        } else if last.is_some() {
            Some(Deferral {
                why: LEGAL_RETENTION,
                until: last,
            })
        } else if words.len() as i64 == PER_TURN {
            Some(Deferral {
                why: QUEUED,
                until: Some(now),
            })
        } else {
            None
        })
    }

    async fn seal_plain(&self, tx: &mut Tx, rows_max: i64) -> Result<usize, Fault> {
        words_seal(tx, rows_max).await
    }
}

/// The order service was asked to have a shopper's data erased.
pub async fn erasure_told(
    tx: &mut Tx,
    partner_id: &PartnerId,
    shopper_ref: &str,
) -> Result<(), Fault> {
    erasure::erasure_request(tx, partner_id, shopper_ref, &[CARE_MESSAGE, RETURN_NOTE]).await?;
    tx.audit(
        "privacy.request",
        *partner_id,
        format!("shopper {shopper_ref}"),
    );
    Ok(())
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
