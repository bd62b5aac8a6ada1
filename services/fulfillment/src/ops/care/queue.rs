//! Whose a case is.

use contracts::ErrorReason;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{Which, actor, keep};
use crate::model::care::{Case, CaseState, Level};
use crate::store::care::case::cases_lock;
use crate::store::care::list::{open_of_agent, queue_head, queue_lock};

/// Gives a case to an agent, or to none.
pub struct Assign {
    /// Which case.
    pub which: Which,
    /// To whom; empty for nobody.
    pub agent: String,
    /// Why.
    pub reason: String,
}

impl Operation for Assign {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.assign"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        case.assign(&self.agent, &actor, &self.reason, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

/// Takes the case that is due the soonest. Agents who take one at the same moment go one after another, because
/// each holds the queue until it has its case: the second looks when the first one's is gone from the queue.
pub struct TakeNext {
    /// Of one level only.
    pub level: Option<Level>,
    /// The most open cases that the agent may have.
    pub open_max: i64,
    /// The most cases that are looked at.
    pub looks_max: u32,
}

impl Operation for TakeNext {
    /// None when there is none to take.
    type Output = Option<Case>;

    fn name(&self) -> &'static str {
        "case.take_next"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Option<Case>, Fault> {
        queue_lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let open = open_of_agent(tx, &actor.subject, self.open_max).await?;
        if open >= self.open_max {
            let message = format!(
                "You have {open} open cases, the most that an agent may have; resolve one, or give one back."
            );
            return Err(Refusal::new(ErrorReason::LimitExceeded, message)
                .with("remaining", 0)
                .into());
        }
        let mut behind = None;
        for _ in 0..self.looks_max {
            let head = queue_head(tx, self.level, &actor.subject, behind.as_ref()).await?;
            let Some((time, id)) = head else {
                return Ok(None);
            };
            // Somebody may have changed it before it was locked: then the next one is looked at.
            let found = cases_lock(tx, &[id]).await?.remove(&id);
            if let Some(mut case) = found.filter(|case| self.is_free(case, &actor.subject)) {
                case.assign(&actor.subject, &actor, "", now)?;
                keep(tx, &mut case, None).await?;
                return Ok(Some(case));
            }
            behind = Some((time, id));
        }
        Ok(None)
    }
}

impl TakeNext {
    fn is_free(&self, case: &Case, agent: &str) -> bool {
        case.agent.is_empty()
            && matches!(case.state, CaseState::Open | CaseState::WaitingRetailer)
            && self.level.is_none_or(|level| case.level == level)
            && !case.is_arbiter(agent)
    }
}
