//! Rules of regulated categories, and licences.

use contracts::id::{LicenceId, PartnerId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::{Slice, codes, id, locked, met, word};
use crate::model::regulation::{CategoryRule, Licence, LicenceState, RuleTerms};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct RuleRow {
    regulated_category: String,
    permitted_territories: String,
    minimum_age_years: i64,
    licence_required: bool,
    note: String,
    version: i64,
    create_time: i64,
    update_time: i64,
}

impl RuleRow {
    fn rule(self) -> CategoryRule {
        CategoryRule {
            terms: RuleTerms {
                regulated_category: self.regulated_category,
                permitted_territories: codes(&self.permitted_territories),
                minimum_age_years: self.minimum_age_years,
                licence_required: self.licence_required,
                note: self.note,
            },
            version: Version(self.version),
            create_time: Micros(self.create_time),
            update_time: Micros(self.update_time),
        }
    }
}

macro_rules! select_rule {
    ($rest:literal) => {
        concat!(
            "SELECT regulated_category, permitted_territories, minimum_age_years, licence_required, note, version, \
             create_time, update_time FROM category_rule ",
            $rest
        )
    };
}

/// Writes one, new or changed. The rulebook is turned, so that nobody else does.
pub(crate) async fn category_rule_put(tx: &mut Tx, rule: &CategoryRule) -> Result<(), Fault> {
    let terms = &rule.terms;
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO category_rule (regulated_category, permitted_territories, minimum_age_years, \
         licence_required, note, version, create_time, update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (regulated_category) DO UPDATE SET permitted_territories = excluded.permitted_territories, \
         minimum_age_years = excluded.minimum_age_years, licence_required = excluded.licence_required, \
         note = excluded.note, version = excluded.version, update_time = excluded.update_time \
         WHERE category_rule.version = excluded.version - 1",
        &terms.regulated_category,
        terms.permitted_territories.join(" "),
        terms.minimum_age_years,
        terms.licence_required,
        &terms.note,
        rule.version.0,
        rule.create_time,
        rule.update_time
    )?;
    met(rows, "category_rule")
}

/// The rule of a category.
pub(crate) async fn category_rule_by_key(
    tx: &mut Tx,
    category: &str,
) -> Result<Option<CategoryRule>, Fault> {
    let row = sql!(tx, optional RuleRow, select_rule!("WHERE regulated_category = $1"), category)?;
    Ok(row.map(RuleRow::rule))
}

/// The rules of some categories.
pub(crate) async fn category_rule_by_keys(
    tx: &mut Tx,
    categories: &[&str],
) -> Result<Vec<CategoryRule>, Fault> {
    let rows: Vec<RuleRow> = bulk!(
        tx,
        all RuleRow,
        postgres: select_rule!("WHERE regulated_category = ANY($1::TEXT[])"),
        sqlite: select_rule!("WHERE regulated_category IN (SELECT value->>0 FROM json_each($1))"),
        columns: [categories]
    )?;
    Ok(rows.into_iter().map(RuleRow::rule).collect())
}

/// All of them, by category.
pub(crate) async fn category_rule_list(
    tx: &mut Tx,
    slice: &Slice,
) -> Result<Vec<CategoryRule>, Fault> {
    let rows = sql!(
        tx,
        all RuleRow,
        select_rule!("WHERE regulated_category > $1 ORDER BY regulated_category LIMIT $2"),
        &slice.after,
        slice.limit
    )?;
    Ok(rows.into_iter().map(RuleRow::rule).collect())
}

#[derive(sqlx::FromRow)]
struct LicenceRow {
    licence_id: String,
    partner_id: String,
    regulated_category: String,
    licence_number: String,
    territories: String,
    start_time: Option<i64>,
    expire_time: i64,
    state: String,
    revoke_reason: String,
    create_time: i64,
    revoke_time: Option<i64>,
}

impl LicenceRow {
    fn licence(self) -> Result<Licence, Fault> {
        Ok(Licence {
            licence_id: id(&self.licence_id)?,
            partner_id: id(&self.partner_id)?,
            regulated_category: self.regulated_category,
            licence_number: self.licence_number,
            territories: codes(&self.territories),
            start_time: self.start_time.map(Micros),
            expire_time: Micros(self.expire_time),
            state: word(LicenceState::named, "licence.state", &self.state)?,
            revoke_reason: self.revoke_reason,
            create_time: Micros(self.create_time),
            revoke_time: self.revoke_time.map(Micros),
        })
    }
}

macro_rules! select_licence {
    ($rest:literal) => {
        concat!(
            "SELECT licence_id, partner_id, regulated_category, licence_number, territories, start_time, \
             expire_time, state, revoke_reason, create_time, revoke_time FROM licence ",
            $rest
        )
    };
}

/// Puts in a new one; false when the partner has one of this number in the category.
pub(crate) async fn licence_insert(tx: &mut Tx, licence: &Licence) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO licence (licence_id, partner_id, regulated_category, licence_number, territories, start_time, \
         expire_time, state, revoke_reason, create_time, revoke_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (partner_id, regulated_category, licence_number) DO NOTHING",
        licence.licence_id,
        licence.partner_id,
        &licence.regulated_category,
        &licence.licence_number,
        licence.territories.join(" "),
        licence.start_time,
        licence.expire_time,
        licence.state.word(),
        &licence.revoke_reason,
        licence.create_time,
        licence.revoke_time
    )?;
    Ok(rows == 1)
}

/// Writes that one was revoked.
pub(crate) async fn licence_revoke(tx: &mut Tx, licence: &Licence) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE licence SET state = $1, revoke_reason = $2, revoke_time = $3 \
         WHERE licence_id = $4 AND state = 'ACTIVE'",
        licence.state.word(),
        &licence.revoke_reason,
        licence.revoke_time,
        licence.licence_id
    )?;
    met(rows, "licence")
}

/// One of them, to be changed.
pub(crate) async fn licence_for_update(
    tx: &mut Tx,
    licence_id: &LicenceId,
) -> Result<Option<Licence>, Fault> {
    let row = locked!(
        tx,
        "FOR UPDATE",
        optional LicenceRow,
        select_licence!("WHERE licence_id = $1"),
        licence_id
    )?;
    row.map(LicenceRow::licence).transpose()
}

/// Those that count now or will, of partners and categories that belong together by their places.
pub(crate) async fn licence_of(
    tx: &mut Tx,
    partner_ids: Vec<PartnerId>,
    categories: Vec<&str>,
) -> Result<Vec<Licence>, Fault> {
    let now = tx.now();
    let rows: Vec<LicenceRow> = bulk!(
        tx,
        all LicenceRow,
        postgres: select_licence!(
            "WHERE (partner_id, regulated_category) IN (SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[])) \
             AND state = 'ACTIVE' AND expire_time > $3"
        ),
        sqlite: select_licence!(
            "WHERE (partner_id, regulated_category) IN (SELECT value->>0, value->>1 FROM json_each($1)) \
             AND state = 'ACTIVE' AND expire_time > $2"
        ),
        columns: [partner_ids, categories],
        also: [now]
    )?;
    rows.into_iter().map(LicenceRow::licence).collect()
}

/// All of them by creation, or one partner's, or one category's.
pub(crate) async fn licence_list(
    tx: &mut Tx,
    partner_id: Option<&PartnerId>,
    category: &str,
    slice: &Slice,
) -> Result<Vec<Licence>, Fault> {
    let rows = match partner_id {
        Some(partner_id) => sql!(
            tx,
            all LicenceRow,
            select_licence!(
                "WHERE partner_id = $1 AND ($2 = '' OR regulated_category = $2) AND licence_id > $3 \
                 ORDER BY licence_id LIMIT $4"
            ),
            partner_id,
            category,
            &slice.after,
            slice.limit
        )?,
        None => sql!(
            tx,
            all LicenceRow,
            select_licence!(
                "WHERE ($1 = '' OR regulated_category = $1) AND licence_id > $2 ORDER BY licence_id LIMIT $3"
            ),
            category,
            &slice.after,
            slice.limit
        )?,
    };
    rows.into_iter().map(LicenceRow::licence).collect()
}
