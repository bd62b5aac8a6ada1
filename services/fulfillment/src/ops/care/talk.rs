//! Messages, and the steps that are words alone: escalation, reopening, closing.

use contracts::id::CaseMessageId;
use kit::errors::Fault;
use store::{Operation, Tx};

use super::{Which, actor, keep};
use crate::model::care::{Case, Draft, Level, Party, Rules};

/// Adds a message.
pub struct PostMessage {
    /// Which case.
    pub which: Which,
    /// What is said.
    pub draft: Draft,
    /// Whose turn it is then.
    pub wait_for: Option<Party>,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for PostMessage {
    /// The case and the message.
    type Output = (Case, CaseMessageId);

    fn name(&self) -> &'static str {
        "case.post"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let id = CaseMessageId::from_uuid(tx.ids().next());
        let by = (&actor, &self.rules);
        let message = case.post(id, self.draft.clone(), self.wait_for, by, now)?;
        keep(tx, &mut case, Some(&message)).await?;
        Ok((case, id))
    }
}

/// Raises a case.
pub struct Escalate {
    /// Which case.
    pub which: Which,
    /// To where.
    pub level: Level,
    /// Why.
    pub reason: String,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for Escalate {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.escalate"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        case.escalate(self.level, &actor, &self.reason, &self.rules, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

/// Opens a resolved case again.
pub struct Reopen {
    /// Which case.
    pub which: Which,
    /// Why.
    pub reason: String,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for Reopen {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.reopen"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        case.reopen(&actor, &self.reason, &self.rules, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

/// Closes a resolved case.
pub struct Close {
    /// Which case.
    pub which: Which,
    /// Why.
    pub reason: String,
}

impl Operation for Close {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.close"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        case.close(&actor, &self.reason, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}
