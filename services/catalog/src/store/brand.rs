//! Agreements with brands.

use contracts::id::PartnerId;
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Window;
use store::{Tx, bulk, sql};

use super::{Slice, codes, id, met};
use crate::model::brand::{BrandAgreement, BrandTerms, brand_key};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct Row {
    brand_agreement_id: String,
    brand: String,
    retailer_exclusive: bool,
    territories: String,
    window_start_time: Option<i64>,
    window_end_time: Option<i64>,
    legal_entity_id: String,
    allowed_partner_ids: String,
    note: String,
    version: i64,
    create_time: i64,
    update_time: i64,
}

impl Row {
    fn agreement(self) -> Result<BrandAgreement, Fault> {
        let partner_ids = codes(&self.allowed_partner_ids);
        let partner_ids = partner_ids.iter().map(|text| id(text));
        Ok(BrandAgreement {
            brand_agreement_id: id(&self.brand_agreement_id)?,
            terms: BrandTerms {
                brand: self.brand,
                retailer_exclusive: self.retailer_exclusive,
                territories: codes(&self.territories),
                window: Window {
                    start: self.window_start_time.map(Micros),
                    end: self.window_end_time.map(Micros),
                },
                legal_entity_id: match self.legal_entity_id.as_str() {
                    "" => None,
                    text => Some(id(text)?),
                },
                allowed_partner_ids: partner_ids.collect::<Result<_, _>>()?,
                note: self.note,
            },
            version: Version(self.version),
            create_time: Micros(self.create_time),
            update_time: Micros(self.update_time),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT brand_agreement_id, brand, retailer_exclusive, territories, window_start_time, window_end_time, \
             legal_entity_id, allowed_partner_ids, note, version, create_time, update_time FROM brand_agreement ",
            $rest
        )
    };
}

/// Writes one, new or changed. The rulebook is turned, so that nobody else does.
pub(crate) async fn brand_agreement_put(
    tx: &mut Tx,
    agreement: &BrandAgreement,
) -> Result<(), Fault> {
    let terms = &agreement.terms;
    let partner_ids: Vec<&str> = terms
        .allowed_partner_ids
        .iter()
        .map(PartnerId::as_str)
        .collect();
    let legal_entity_id = terms.legal_entity_id.as_ref().map_or("", |id| id.as_str());
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO brand_agreement (brand_agreement_id, brand, brand_key, retailer_exclusive, territories, \
         window_start_time, window_end_time, legal_entity_id, allowed_partner_ids, note, version, create_time, \
         update_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (brand_key) DO UPDATE SET brand = excluded.brand, \
         retailer_exclusive = excluded.retailer_exclusive, territories = excluded.territories, \
         window_start_time = excluded.window_start_time, window_end_time = excluded.window_end_time, \
         legal_entity_id = excluded.legal_entity_id, allowed_partner_ids = excluded.allowed_partner_ids, \
         note = excluded.note, version = excluded.version, update_time = excluded.update_time \
         WHERE brand_agreement.version = excluded.version - 1",
        agreement.brand_agreement_id,
        &terms.brand,
        brand_key(&terms.brand),
        terms.retailer_exclusive,
        terms.territories.join(" "),
        terms.window.start,
        terms.window.end,
        legal_entity_id,
        partner_ids.join(" "),
        &terms.note,
        agreement.version.0,
        agreement.create_time,
        agreement.update_time
    )?;
    met(rows, "brand_agreement")
}

/// The agreement with a brand.
pub(crate) async fn brand_agreement_by_key(
    tx: &mut Tx,
    key: &str,
) -> Result<Option<BrandAgreement>, Fault> {
    let row = sql!(tx, optional Row, select!("WHERE brand_key = $1"), key)?;
    row.map(Row::agreement).transpose()
}

/// The agreements with some brands.
pub(crate) async fn brand_agreement_by_keys(
    tx: &mut Tx,
    keys: &[&str],
) -> Result<Vec<BrandAgreement>, Fault> {
    let rows: Vec<Row> = bulk!(
        tx,
        all Row,
        postgres: select!("WHERE brand_key = ANY($1::TEXT[])"),
        sqlite: select!("WHERE brand_key IN (SELECT value->>0 FROM json_each($1))"),
        columns: [keys]
    )?;
    rows.into_iter().map(Row::agreement).collect()
}

/// All of them, by creation.
pub(crate) async fn brand_agreement_list(
    tx: &mut Tx,
    slice: &Slice,
) -> Result<Vec<BrandAgreement>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        select!("WHERE brand_agreement_id > $1 ORDER BY brand_agreement_id LIMIT $2"),
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(Row::agreement).collect()
}
