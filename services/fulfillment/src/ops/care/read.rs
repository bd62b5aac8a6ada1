//! What can be read of customer care.

use contracts::id::{CaseId, PartnerId, ProductId, TopicId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::topic::Counted;
use crate::model::care::{Action, Case, Message};
use crate::store::care::case::{case_is_of, cases_read};
use crate::store::care::list::{CaseQuery, cases_list};
use crate::store::care::talk::{actions_list, messages_list};
use crate::store::care::topic::{topic_counts, topics_list};

async fn own(tx: &mut Tx, id: &CaseId, partner: Option<&PartnerId>) -> Result<(), Fault> {
    if case_is_of(tx, id, partner).await? {
        return Ok(());
    }
    Err(Refusal::not_found("case").into())
}

/// Reads one case, of one partner only when one is named.
pub struct GetCase {
    /// Which.
    pub id: CaseId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
}

impl Operation for GetCase {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        own(tx, &self.id, self.partner.as_ref()).await?;
        let found = cases_read(tx, &[self.id]).await?.remove(&self.id);
        Ok(found.ok_or_else(|| Refusal::not_found("case"))?)
    }
}

/// Reads a page of cases.
pub struct ListCases(pub CaseQuery);

impl Operation for ListCases {
    type Output = Vec<Case>;

    fn name(&self) -> &'static str {
        "case.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Case>, Fault> {
        let ids = cases_list(tx, &self.0).await?;
        let mut found = cases_read(tx, &ids).await?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

/// Reads a page of messages.
pub struct ListMessages {
    /// Of which case.
    pub id: CaseId,
    /// Whose it has to be; a partner reads no notes.
    pub partner: Option<PartnerId>,
    /// After this place.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
    /// What the retailer's people read them for.
    pub purpose: String,
}

impl Operation for ListMessages {
    type Output = Vec<Message>;

    fn name(&self) -> &'static str {
        "case.list_messages"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Message>, Fault> {
        own(tx, &self.id, self.partner.as_ref()).await?;
        let with_notes = self.partner.is_none();
        if tx.is_write() {
            let purpose = if self.purpose.is_empty() {
                "care"
            } else {
                &self.purpose
            };
            tx.audit("care.read", self.id, format!("read for: {purpose}"));
        }
        messages_list(tx, &self.id, with_notes, self.after, self.limit).await
    }
}

/// Reads a page of the action log.
pub struct ListActions {
    /// Of which case.
    pub id: CaseId,
    /// Whose it has to be; a partner reads nothing that is the retailer's alone.
    pub partner: Option<PartnerId>,
    /// After this place.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ListActions {
    type Output = Vec<Action>;

    fn name(&self) -> &'static str {
        "case.list_actions"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Action>, Fault> {
        own(tx, &self.id, self.partner.as_ref()).await?;
        let shown_only = self.partner.is_some();
        actions_list(tx, &self.id, shown_only, self.after, self.limit).await
    }
}

/// Reads a page of topics.
pub struct ListTopics {
    /// About one product only.
    pub product_id: Option<ProductId>,
    /// After this one.
    pub after: Option<TopicId>,
    /// At most so many.
    pub limit: i64,
    /// The most cases of each that are counted.
    pub counted_max: i64,
}

impl Operation for ListTopics {
    type Output = Vec<Counted>;

    fn name(&self) -> &'static str {
        "topic.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Counted>, Fault> {
        let (product, after) = (self.product_id.as_ref(), self.after.as_ref());
        let topics = topics_list(tx, product, after, self.limit).await?;
        let mut counted = Vec::with_capacity(topics.len());
        for topic in topics {
            let counts = topic_counts(tx, &topic, self.counted_max).await?;
            counted.push((topic, counts));
        }
        Ok(counted)
    }
}
