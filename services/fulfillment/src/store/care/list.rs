//! Finding cases: lists, the queue, what is due.

use contracts::id::{CaseId, OrderId, PartnerId, TopicId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{StoreError, Tx, sql};

use super::super::id;
use crate::model::care::{CaseState, Level};

/// Which cases, and in which order.
#[derive(Clone, Debug)]
pub struct CaseQuery {
    /// Of one partner only.
    pub partner: Option<PartnerId>,
    /// Which part.
    pub view: View,
    /// Of one level only.
    pub level: Option<Level>,
    /// At most so many.
    pub limit: i64,
}

/// Which part of the cases.
#[derive(Clone, Debug)]
pub enum View {
    /// By creation, after one.
    Created {
        /// Of one state only.
        state: Option<CaseState>,
        /// About one order only.
        order: Option<OrderId>,
        /// Of one shopper only; empty for all.
        shopper_ref: String,
        /// Under one topic only.
        topic: Option<TopicId>,
        /// After this one.
        after: Option<CaseId>,
    },
    /// Open, the retailer's turn, nobody's; by what is due next.
    Unassigned(Option<(i64, CaseId)>),
    /// Open and of this agent; by what is due next.
    Mine(String, Option<(i64, CaseId)>),
    /// Open, with a target that is missed before a time; by that time.
    Breaching(Micros, Option<(i64, CaseId)>),
}

fn ids(rows: Vec<(String,)>) -> Result<Vec<CaseId>, Fault> {
    rows.iter().map(|(found,)| id(found)).collect()
}

/// The ids of a page of cases, in the order of the page.
pub async fn cases_list(tx: &mut Tx, query: &CaseQuery) -> Result<Vec<CaseId>, Fault> {
    let partner = query.partner.as_ref().map_or("", |id| id.as_str());
    let level = query.level.map_or("", Level::word);
    let rows = match &query.view {
        View::Created { .. } => created(tx, query, partner, level).await?,
        View::Unassigned(after) => {
            let (time, case) = key(after.as_ref());
            sql!(
                tx,
                all(String,),
                "SELECT case_id FROM care_case WHERE agent = '' AND state IN ('OPEN', 'WAITING_RETAILER') \
                 AND ($1 = '' OR partner_id = $1) AND ($2 = '' OR level = $2) AND (queue_time, case_id) > ($3, $4) \
                 ORDER BY queue_time, case_id LIMIT $5",
                partner,
                level,
                time,
                case,
                query.limit
            )?
        }
        View::Mine(agent, after) => {
            let (time, case) = key(after.as_ref());
            sql!(
                tx,
                all(String,),
                "SELECT case_id FROM care_case WHERE agent = $6 AND queue_time IS NOT NULL \
                 AND ($1 = '' OR partner_id = $1) AND ($2 = '' OR level = $2) AND (queue_time, case_id) > ($3, $4) \
                 ORDER BY queue_time, case_id LIMIT $5",
                partner,
                level,
                time,
                case,
                query.limit,
                agent.as_str()
            )?
        }
        View::Breaching(before, after) => {
            let (time, case) = key(after.as_ref());
            sql!(
                tx,
                all(String,),
                "SELECT case_id FROM care_case WHERE breach_time IS NOT NULL AND breach_time < $6 \
                 AND ($1 = '' OR partner_id = $1) AND ($2 = '' OR level = $2) AND (breach_time, case_id) > ($3, $4) \
                 ORDER BY breach_time, case_id LIMIT $5",
                partner,
                level,
                time,
                case,
                query.limit,
                *before
            )?
        }
    };
    ids(rows)
}

fn key(after: Option<&(i64, CaseId)>) -> (i64, &str) {
    after.map_or((i64::MIN, ""), |(time, case)| (*time, case.as_str()))
}

macro_rules! created {
    ($where:literal) => {
        concat!(
            "SELECT case_id FROM care_case WHERE ",
            $where,
            " AND ($1 = '' OR partner_id = $1) AND ($2 = '' OR level = $2) AND ($3 = '' OR state = $3) \
             AND case_id > $4 ORDER BY case_id LIMIT $5"
        )
    };
}

/// Each filter that narrows has a text of its own, so that each finds its index.
async fn created(
    tx: &mut Tx,
    query: &CaseQuery,
    partner: &str,
    level: &str,
) -> Result<Vec<(String,)>, StoreError> {
    let View::Created {
        state,
        order,
        shopper_ref,
        topic,
        after,
    } = &query.view
    else {
        return Ok(Vec::new());
    };
    let state = state.map_or("", CaseState::word);
    let after = after.as_ref().map_or("", |id| id.as_str());
    let limit = query.limit;
    if let Some(order) = order {
        let text = shopper_ref.as_str();
        return sql!(
            tx,
            all(String,),
            created!("order_id = $6 AND order_id <> '' AND ($7 = '' OR shopper_ref = $7)"),
            partner,
            level,
            state,
            after,
            limit,
            order,
            text
        );
    }
    if let Some(topic) = topic {
        return sql!(
            tx,
            all(String,),
            created!("topic_id = $6 AND topic_id <> ''"),
            partner,
            level,
            state,
            after,
            limit,
            topic
        );
    }
    if !shopper_ref.is_empty() {
        return sql!(
            tx,
            all(String,),
            created!("partner_id = $1 AND shopper_ref = $6"),
            partner,
            level,
            state,
            after,
            limit,
            shopper_ref.as_str()
        );
    }
    if !partner.is_empty() {
        return sql!(
            tx,
            all(String,),
            created!("partner_id = $1"),
            partner,
            level,
            state,
            after,
            limit
        );
    }
    sql!(
        tx,
        all(String,),
        created!("true"),
        partner,
        level,
        state,
        after,
        limit
    )
}

/// How many cases of a shopper are open, counted no further than `most`.
pub async fn open_of_shopper(
    tx: &mut Tx,
    partner: &PartnerId,
    shopper_ref: &str,
    most: i64,
) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT case_id FROM care_case WHERE partner_id = $1 \
         AND shopper_ref = $2 AND queue_time IS NOT NULL ORDER BY case_id LIMIT $3) AS c",
        partner,
        shopper_ref,
        most
    )?;
    Ok(count)
}

/// Rows that cases are opened under.
const OPENINGS: u64 = 64;

/// Holds, until the end of the transaction, whoever else opens a case for the same shopper.
pub async fn opening_lock(
    tx: &mut Tx,
    partner: &PartnerId,
    shopper_ref: &str,
) -> Result<(), Fault> {
    // FNV-1a: the same in every build of every replica.
    let bytes = partner.as_str().bytes().chain(shopper_ref.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let bucket = i64::try_from(hash % OPENINGS).unwrap_or(0);
    let held = sql!(
        tx,
        execute,
        "UPDATE care_opening SET turn = turn + 1 WHERE bucket = $1",
        bucket
    )?;
    super::super::expect_rows("care_opening", held, 1)
}

/// How many open cases an agent has, counted no further than `most`.
pub async fn open_of_agent(tx: &mut Tx, agent: &str, most: i64) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT case_id FROM care_case WHERE agent = $1 \
         AND queue_time IS NOT NULL ORDER BY queue_time, case_id LIMIT $2) AS c",
        agent,
        most
    )?;
    Ok(count)
}

/// Holds the queue until the end of the transaction: whoever takes a case waits for whoever takes one now.
pub async fn queue_lock(tx: &mut Tx) -> Result<(), Fault> {
    let held = sql!(
        tx,
        execute,
        "UPDATE care_queue SET turn = turn + 1 WHERE queue_id = 'care'"
    )?;
    super::super::expect_rows("care_queue", held, 1)
}

/// The head of the queue behind a place, of one level when one is named; not one that `arbiter` decides.
pub async fn queue_head(
    tx: &mut Tx,
    level: Option<Level>,
    arbiter: &str,
    after: Option<&(i64, CaseId)>,
) -> Result<Option<(i64, CaseId)>, Fault> {
    let (time, case) = key(after);
    let row = sql!(
        tx,
        optional(i64, String),
        "SELECT queue_time, case_id FROM care_case WHERE agent = '' AND state IN ('OPEN', 'WAITING_RETAILER') \
         AND ($1 = '' OR level = $1) AND (arbiter_subject = '' OR arbiter_subject <> $2) \
         AND (queue_time, case_id) > ($3, $4) ORDER BY queue_time, case_id LIMIT 1",
        level.map_or("", Level::word),
        arbiter,
        time,
        case
    )?;
    row.map(|(time, case)| Ok((time, id(&case)?))).transpose()
}

/// Cases with a timer that is due, the longest due first, and at most so many.
pub async fn cases_due(tx: &mut Tx, now: Micros, limit: i64) -> Result<Vec<CaseId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT case_id FROM care_timer WHERE due_time <= $1 ORDER BY due_time, case_id LIMIT $2",
        now,
        limit
    )?;
    ids(rows)
}
