//! Cases and what hangs on them.

use std::collections::BTreeMap;

use contracts::id::{CaseId, Id, Kind, PartnerId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;
use store::sealed::{open_text, seal_text};
use store::{Tx, bulk, sql};

use super::super::{expect_rows, id, number, word};
use super::sealed::{arbiter_place, care_owner};
use crate::model::care::{
    Arbiter, Attachment, Case, CaseState, Category, Decision, Level, Outcome, OutcomeKind, Party,
    Priority, References, Required, Ruling, Timer,
};

/// Cases by id.
pub type Cases = BTreeMap<CaseId, Case>;

/// The columns of a [`Row`].
macro_rules! columns {
    () => {
        "c.case_id, c.partner_id, c.shopper_ref, c.category, c.priority, c.level, c.state, c.opened_by, \
         c.order_id, c.order_line_id, c.return_id, c.aftersale_id, c.shipment_id, c.listing_id, c.product_id, \
         c.room_id, c.topic_id, c.topic_answer, c.agent, c.response_due, c.response_time, c.resolution_due, \
         c.wait_until, c.reopen_count, c.breach_count, c.message_count, c.shown_count, c.action_count, \
         c.create_time, c.resolve_time, c.reopen_until, c.close_time, c.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    case_id: String,
    partner_id: String,
    shopper_ref: String,
    category: String,
    priority: String,
    level: String,
    state: String,
    opened_by: String,
    order_id: String,
    order_line_id: String,
    return_id: String,
    aftersale_id: String,
    shipment_id: String,
    listing_id: String,
    product_id: String,
    room_id: String,
    topic_id: String,
    topic_answer: i64,
    agent: String,
    response_due: i64,
    response_time: Option<i64>,
    resolution_due: i64,
    wait_until: Option<i64>,
    reopen_count: i64,
    breach_count: i64,
    message_count: i64,
    shown_count: i64,
    action_count: i64,
    create_time: i64,
    resolve_time: Option<i64>,
    reopen_until: Option<i64>,
    close_time: Option<i64>,
    version: i64,
}

fn opt_id<K: Kind>(text: &str) -> Result<Option<Id<K>>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    id(text).map(Some)
}

fn text<K: Kind>(found: Option<&Id<K>>) -> &str {
    found.map_or("", Id::as_str)
}

impl Row {
    fn references(&self) -> Result<References, Fault> {
        Ok(References {
            order_id: opt_id(&self.order_id)?,
            order_line_id: opt_id(&self.order_line_id)?,
            return_id: opt_id(&self.return_id)?,
            aftersale_id: opt_id(&self.aftersale_id)?,
            shipment_id: opt_id(&self.shipment_id)?,
            listing_id: opt_id(&self.listing_id)?,
            product_id: opt_id(&self.product_id)?,
            room_id: opt_id(&self.room_id)?,
        })
    }

    /// The case without what hangs on it.
    fn into_model(self) -> Result<Case, Fault> {
        Ok(Case {
            references: self.references()?,
            id: id(&self.case_id)?,
            partner_id: id(&self.partner_id)?,
            shopper_ref: self.shopper_ref,
            category: word("category", &self.category, Category::named)?,
            priority: word("priority", &self.priority, Priority::named)?,
            level: word("level", &self.level, Level::named)?,
            state: word("state", &self.state, CaseState::named)?,
            opened_by: word("opened_by", &self.opened_by, Party::named)?,
            topic_id: opt_id(&self.topic_id)?,
            topic_answer: self.topic_answer,
            agent: self.agent,
            response_due: Micros(self.response_due),
            response_time: self.response_time.map(Micros),
            resolution_due: Micros(self.resolution_due),
            wait_until: self.wait_until.map(Micros),
            outcomes: Vec::new(),
            arbiter: None,
            decision: None,
            reopen_count: self.reopen_count,
            breach_count: self.breach_count,
            message_count: self.message_count,
            shown_count: self.shown_count,
            action_count: self.action_count,
            create_time: Micros(self.create_time),
            resolve_time: self.resolve_time.map(Micros),
            reopen_until: self.reopen_until.map(Micros),
            close_time: self.close_time.map(Micros),
            timers: BTreeMap::new(),
            log: Vec::new(),
            version: self.version,
        })
    }
}

/// Whose case it is; of one partner only when one is named.
pub async fn case_is_of(
    tx: &mut Tx,
    case_id: &CaseId,
    partner: Option<&PartnerId>,
) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT case_id FROM care_case WHERE case_id = $1 AND ($2 = '' OR partner_id = $2)",
        case_id,
        text(partner)
    )?;
    Ok(row.is_some())
}

/// Locks cases, which are sorted by id, and reads them whole.
pub async fn cases_lock(tx: &mut Tx, ids: &[CaseId]) -> Result<Cases, Fault> {
    debug_assert!(ids.is_sorted(), "locks are taken in the order of ids");
    if ids.is_empty() {
        return Ok(Cases::new());
    }
    // SQLite has one writer, which needs no lock.
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM care_case WHERE case_id = k.id LIMIT 1 FOR UPDATE) AS c"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN care_case AS c ON c.case_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    whole(tx, rows).await
}

/// Reads cases whole.
pub async fn cases_read(tx: &mut Tx, ids: &[CaseId]) -> Result<Cases, Fault> {
    if ids.is_empty() {
        return Ok(Cases::new());
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM care_case WHERE case_id = k.id LIMIT 1) AS c"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN care_case AS c ON c.case_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    whole(tx, rows).await
}

async fn whole(tx: &mut Tx, rows: Vec<Row>) -> Result<Cases, Fault> {
    let mut found = Cases::new();
    for row in rows {
        let case = row.into_model()?;
        found.insert(case.id, case);
    }
    let ids: Vec<CaseId> = found.keys().copied().collect();
    if ids.is_empty() {
        return Ok(found);
    }
    read_timers(tx, &ids, &mut found).await?;
    read_outcomes(tx, &ids, &mut found).await?;
    read_arbiters(tx, &ids, &mut found).await?;
    read_required(tx, &ids, &mut found).await?;
    Ok(found)
}

async fn read_timers(tx: &mut Tx, ids: &[CaseId], found: &mut Cases) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all(String, String, i64),
        postgres: "SELECT t.case_id, t.kind, t.due_time FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM care_timer WHERE case_id = k.id OFFSET 0) AS t",
        sqlite: "SELECT t.case_id, t.kind, t.due_time FROM json_each($1) AS k CROSS JOIN care_timer AS t \
                 ON t.case_id = k.value->>0",
        columns: [ids]
    )?;
    for (case_id, kind, due) in rows {
        if let Some(case) = found.get_mut(&id(&case_id)?) {
            let timer = word("kind", &kind, Timer::named)?;
            case.timers.insert(timer, Micros(due));
        }
    }
    Ok(())
}

async fn read_outcomes(tx: &mut Tx, ids: &[CaseId], found: &mut Cases) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all(String, String, String, String, i64, i64),
        postgres: "SELECT o.case_id, o.kind, o.what, o.currency_code, o.minor_units, o.link_time \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM care_outcome WHERE case_id = k.id OFFSET 0) AS o ORDER BY o.case_id, o.outcome_no",
        sqlite: "SELECT o.case_id, o.kind, o.what, o.currency_code, o.minor_units, o.link_time \
                 FROM json_each($1) AS k CROSS JOIN care_outcome AS o ON o.case_id = k.value->>0 \
                 ORDER BY o.case_id, o.outcome_no",
        columns: [ids]
    )?;
    for (case_id, kind, what, currency, minor_units, link_time) in rows {
        if let Some(case) = found.get_mut(&id(&case_id)?) {
            case.outcomes.push(Outcome {
                kind: word("kind", &kind, OutcomeKind::named)?,
                what,
                amount: money(&currency, minor_units)?,
                link_time: Micros(link_time),
            });
        }
    }
    Ok(())
}

async fn read_required(tx: &mut Tx, ids: &[CaseId], found: &mut Cases) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all(String, String, String, i64),
        postgres: "SELECT q.case_id, q.kind, q.currency_code, q.minor_units FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM care_required WHERE case_id = k.id OFFSET 0) AS q \
                   ORDER BY q.case_id, q.required_no",
        sqlite: "SELECT q.case_id, q.kind, q.currency_code, q.minor_units FROM json_each($1) AS k \
                 CROSS JOIN care_required AS q ON q.case_id = k.value->>0 ORDER BY q.case_id, q.required_no",
        columns: [ids]
    )?;
    for (case_id, kind, currency, minor_units) in rows {
        let case = found.get_mut(&id(&case_id)?);
        if let Some(decision) = case.and_then(|case| case.decision.as_mut()) {
            decision.required.push(Required {
                kind: word("kind", &kind, OutcomeKind::named)?,
                least: money(&currency, minor_units)?,
            });
        }
    }
    Ok(())
}

fn money(currency: &str, minor_units: i64) -> Result<Option<Money>, Fault> {
    if currency.is_empty() {
        return Ok(None);
    }
    let currency = currency
        .parse()
        .map_err(|_| Fault::internal(format!("a table holds `{currency}` as a currency")))?;
    Ok(Some(Money::new(currency, minor_units)))
}

#[derive(sqlx::FromRow)]
struct ArbiterRow {
    case_id: String,
    display_name: String,
    organisation: String,
    subject: String,
    ruling: String,
    reason: String,
    document_reference: String,
    document_digest: String,
    document_type: String,
    document_size: i64,
    decide_time: Option<i64>,
}

async fn read_arbiters(tx: &mut Tx, ids: &[CaseId], found: &mut Cases) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all ArbiterRow,
        postgres: "SELECT a.* FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM care_arbiter WHERE case_id = k.id LIMIT 1) AS a",
        sqlite: "SELECT a.* FROM json_each($1) AS k CROSS JOIN care_arbiter AS a ON a.case_id = k.value->>0",
        columns: [ids]
    )?;
    if rows.is_empty() {
        return Ok(());
    }
    let keys = tx.keys()?;
    for row in rows {
        let Some(case) = found.get_mut(&id(&row.case_id)?) else {
            continue;
        };
        let name = open_text(
            &keys,
            arbiter_place(&row.case_id, "display_name"),
            &row.display_name,
        );
        let name = name.await?.unwrap_or_default();
        let reason = open_text(&keys, arbiter_place(&row.case_id, "reason"), &row.reason);
        let reason = reason.await?.unwrap_or_default();
        case.arbiter = Some(Arbiter {
            display_name: name,
            organisation: row.organisation,
            subject: row.subject,
        });
        let document = (!row.document_reference.is_empty()).then_some(Attachment {
            reference: row.document_reference,
            digest: row.document_digest,
            media_type: row.document_type,
            size_bytes: row.document_size,
        });
        case.decision = match row.decide_time {
            None => None,
            Some(time) => Some(Decision {
                ruling: word("ruling", &row.ruling, Ruling::named)?,
                required: Vec::new(),
                reason,
                document,
                time: Micros(time),
            }),
        };
    }
    Ok(())
}

/// Writes a new case, or a changed one whose version grows by one from what was read, with all that hangs on it
/// but messages and the log.
pub async fn case_save(tx: &mut Tx, case: &mut Case) -> Result<(), Fault> {
    case.version += 1;
    row_save(tx, case).await?;
    timers_save(tx, case).await?;
    outcomes_save(tx, case).await?;
    arbiter_save(tx, case).await
}

async fn row_save(tx: &mut Tx, case: &Case) -> Result<(), Fault> {
    let references = &case.references;
    let arbiter = case.arbiter.as_ref();
    let ruling = case.decision.as_ref().map_or("", |d| d.ruling.word());
    let written = sql!(
        tx,
        execute,
        "INSERT INTO care_case (case_id, partner_id, shopper_ref, category, priority, level, state, opened_by, \
         order_id, order_line_id, return_id, aftersale_id, shipment_id, listing_id, product_id, room_id, topic_id, \
         topic_answer, agent, response_due, response_time, resolution_due, wait_until, queue_time, breach_time, \
         has_arbiter, arbiter_subject, ruling, outcome_count, reopen_count, breach_count, message_count, shown_count, \
         action_count, create_time, resolve_time, reopen_until, close_time, version, has_words) VALUES ($1, $2, $3, \
         $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, \
         $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, true) ON CONFLICT (case_id) DO \
         UPDATE SET level = excluded.level, state = excluded.state, topic_id = excluded.topic_id, \
         topic_answer = excluded.topic_answer, agent = excluded.agent, response_due = excluded.response_due, \
         response_time = excluded.response_time, resolution_due = excluded.resolution_due, \
         wait_until = excluded.wait_until, queue_time = excluded.queue_time, breach_time = excluded.breach_time, \
         has_arbiter = excluded.has_arbiter, arbiter_subject = excluded.arbiter_subject, ruling = excluded.ruling, \
         outcome_count = excluded.outcome_count, reopen_count = excluded.reopen_count, \
         breach_count = excluded.breach_count, message_count = excluded.message_count, \
         shown_count = excluded.shown_count, action_count = excluded.action_count, \
         resolve_time = excluded.resolve_time, reopen_until = excluded.reopen_until, \
         close_time = excluded.close_time, version = excluded.version \
         WHERE care_case.version = excluded.version - 1",
        &case.id,
        &case.partner_id,
        case.shopper_ref.as_str(),
        case.category.word(),
        case.priority.word(),
        case.level.word(),
        case.state.word(),
        case.opened_by.word(),
        text(references.order_id.as_ref()),
        text(references.order_line_id.as_ref()),
        text(references.return_id.as_ref()),
        text(references.aftersale_id.as_ref()),
        text(references.shipment_id.as_ref()),
        text(references.listing_id.as_ref()),
        text(references.product_id.as_ref()),
        text(references.room_id.as_ref()),
        text(case.topic_id.as_ref()),
        case.topic_answer,
        case.agent.as_str(),
        case.response_due,
        case.response_time,
        case.resolution_due,
        case.wait_until,
        case.queue_time(),
        case.breach_time(),
        arbiter.is_some(),
        arbiter.map_or("", |arbiter| arbiter.subject.as_str()),
        ruling,
        number(case.outcomes.len()),
        case.reopen_count,
        case.breach_count,
        case.message_count,
        case.shown_count,
        case.action_count,
        case.create_time,
        case.resolve_time,
        case.reopen_until,
        case.close_time,
        case.version
    )?;
    expect_rows("care_case", written, 1)
}

/// Timers are few: they are written anew, under the lock of their case.
async fn timers_save(tx: &mut Tx, case: &Case) -> Result<(), Fault> {
    if case.version > 1 {
        sql!(
            tx,
            execute,
            "DELETE FROM care_timer WHERE case_id = $1",
            &case.id
        )?;
    }
    for (timer, due) in &case.timers {
        sql!(
            tx,
            execute,
            "INSERT INTO care_timer (case_id, kind, due_time) VALUES ($1, $2, $3)",
            &case.id,
            timer.word(),
            *due
        )?;
    }
    Ok(())
}

/// Outcomes are only ever added.
async fn outcomes_save(tx: &mut Tx, case: &Case) -> Result<(), Fault> {
    for (at, outcome) in (0..).zip(&case.outcomes) {
        let amount = outcome.amount;
        sql!(
            tx,
            execute,
            "INSERT INTO care_outcome (case_id, outcome_no, kind, what, currency_code, minor_units, link_time) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (case_id, outcome_no) DO NOTHING",
            &case.id,
            number(at),
            outcome.kind.word(),
            outcome.what.as_str(),
            amount.map_or("", |amount| amount.currency.code()),
            amount.map_or(0, |amount| amount.minor_units),
            outcome.link_time
        )?;
    }
    Ok(())
}

async fn arbiter_save(tx: &mut Tx, case: &Case) -> Result<(), Fault> {
    let Some(arbiter) = &case.arbiter else {
        return Ok(());
    };
    let decision = case.decision.as_ref();
    let document = decision.and_then(|decision| decision.document.as_ref());
    let owner = care_owner(case.partner_id, &case.shopper_ref);
    let place = |field| arbiter_place(case.id.as_str(), field);
    let name = seal_text(tx, &owner, place("display_name"), &arbiter.display_name).await?;
    let reason = decision.map_or("", |decision| decision.reason.as_str());
    let reason = seal_text(tx, &owner, place("reason"), reason).await?;
    sql!(
        tx,
        execute,
        "INSERT INTO care_arbiter (case_id, display_name, organisation, subject, ruling, reason, \
         document_reference, document_digest, document_type, document_size, decide_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (case_id) DO UPDATE SET \
         display_name = excluded.display_name, organisation = excluded.organisation, subject = excluded.subject, \
         ruling = excluded.ruling, reason = excluded.reason, document_reference = excluded.document_reference, \
         document_digest = excluded.document_digest, document_type = excluded.document_type, \
         document_size = excluded.document_size, decide_time = excluded.decide_time \
         WHERE care_arbiter.ruling = ''",
        &case.id,
        name,
        arbiter.organisation.as_str(),
        arbiter.subject.as_str(),
        decision.map_or("", |decision| decision.ruling.word()),
        reason,
        document.map_or("", |document| document.reference.as_str()),
        document.map_or("", |document| document.digest.as_str()),
        document.map_or("", |document| document.media_type.as_str()),
        document.map_or(0, |document| document.size_bytes),
        decision.map(|decision| decision.time)
    )?;
    for (at, required) in (0..).zip(decision.iter().flat_map(|decision| &decision.required)) {
        sql!(
            tx,
            execute,
            "INSERT INTO care_required (case_id, required_no, kind, currency_code, minor_units) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (case_id, required_no) DO NOTHING",
            &case.id,
            number(at),
            required.kind.word(),
            required.least.map_or("", |least| least.currency.code()),
            required.least.map_or(0, |least| least.minor_units)
        )?;
    }
    Ok(())
}
