//! Writing listings, many at a time, and the versions of their terms.

use std::time::Duration;

use contracts::id::ListingId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::listing_row::dated_modes_text;
use super::{Slice, word};
use crate::model::listing::{Listing, Party};
use crate::model::version::Version;

/// A listing to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    /// As it is to be.
    pub(crate) listing: Listing,
    /// When it is to be looked at again.
    pub(crate) due_time: Option<Micros>,
    /// Whether all dates that have passed are served by this. If not, one that waits for its look goes on waiting.
    pub(crate) looked: bool,
    /// The version at which it was read; of no meaning for a new one.
    pub(crate) before: Version,
    /// Who set new terms, with the message that is kept of them; none when they are those of before.
    pub(crate) new_terms: Option<(Party, Vec<u8>)>,
}

fn of<'a, T>(puts: &'a [Put], column: impl Fn(&'a Listing) -> T) -> Vec<T> {
    puts.iter().map(|put| column(&put.listing)).collect()
}

fn micros(duration: Duration) -> Result<i64, Fault> {
    i64::try_from(duration.as_micros()).map_err(Fault::internal)
}

/// Puts in new ones.
#[rustfmt::skip] // One line for a column.
pub(crate) async fn listing_insert(tx: &mut Tx, puts: &[Put]) -> Result<(), Fault> {
    let times = |time: fn(&Listing) -> Duration| {
        puts.iter().map(|put| micros(time(&put.listing))).collect::<Result<Vec<i64>, _>>()
    };
    let remorse = times(|listing| listing.terms.remorse_period)?;
    let ship_within = times(|listing| listing.terms.ship_within)?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, currency_code, \
                   tax_basis_points, tax_included, territories, exclusivity, legal_entity, legal_entity_id, \
                   ship_not_before, create_time, title, price, per_quantity, retailer_discount_basis_points, shipping, \
                   window_start_time, window_end_time, per_shopper_limit, commission_basis_points, \
                   next_commission_basis_points, commission_effective_time, purchase_mode, dated_purchase_modes, \
                   terms_version, state, proposed_by, proposer_issuer, proposer_subject, decided_by, decision_reason, \
                   state_reason, version, update_time, shown, remorse_us, ship_within_us, due_time) SELECT * FROM \
                   UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[], $7::BOOLEAN[], \
                   $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::BIGINT[], $13::BIGINT[], $14::TEXT[], \
                   $15::BIGINT[], $16::BIGINT[], $17::BIGINT[], $18::BIGINT[], $19::BIGINT[], $20::BIGINT[], \
                   $21::BIGINT[], $22::BIGINT[], $23::BIGINT[], $24::BIGINT[], $25::TEXT[], $26::TEXT[], $27::BIGINT[], \
                   $28::TEXT[], $29::TEXT[], $30::TEXT[], $31::TEXT[], $32::TEXT[], $33::TEXT[], $34::TEXT[], \
                   $35::BIGINT[], $36::BIGINT[], $37::TEXT[], $38::BIGINT[], $39::BIGINT[], $40::BIGINT[])",
        sqlite: "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, currency_code, \
                 tax_basis_points, tax_included, territories, exclusivity, legal_entity, legal_entity_id, \
                 ship_not_before, create_time, title, price, per_quantity, retailer_discount_basis_points, shipping, \
                 window_start_time, window_end_time, per_shopper_limit, commission_basis_points, \
                 next_commission_basis_points, commission_effective_time, purchase_mode, dated_purchase_modes, \
                 terms_version, state, proposed_by, proposer_issuer, proposer_subject, decided_by, decision_reason, \
                 state_reason, version, update_time, shown, remorse_us, ship_within_us, due_time) SELECT value->>0, \
                 value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9, \
                 value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, value->>16, value->>17, \
                 value->>18, value->>19, value->>20, value->>21, value->>22, value->>23, value->>24, value->>25, \
                 value->>26, value->>27, value->>28, value->>29, value->>30, value->>31, value->>32, value->>33, \
                 value->>34, value->>35, value->>36, value->>37, value->>38, value->>39 FROM json_each($1)",
        columns: [
            of(puts, |l| l.listing_id),
            of(puts, |l| l.partner_id),
            of(puts, |l| l.variant.variant_id),
            of(puts, |l| l.variant.product_id),
            of(puts, |l| l.terms.price.amount().currency.code()),
            of(puts, |l| l.terms.tax_basis_points),
            of(puts, |l| l.terms.tax_included),
            of(puts, |l| l.terms.territories.join(" ")),
            of(puts, |l| l.terms.exclusivity.word()),
            of(puts, |l| l.terms.legal_entity.as_str()),
            of(puts, |l| l.terms.legal_entity_id.as_ref().map_or("", |id| id.as_str())),
            of(puts, |l| l.terms.ship_not_before),
            of(puts, |l| l.create_time),
            of(puts, |l| l.title.as_str()),
            of(puts, |l| l.terms.price.amount().minor_units),
            of(puts, |l| l.terms.price.per_quantity()),
            of(puts, |l| l.terms.retailer_discount_basis_points),
            of(puts, |l| l.terms.shipping),
            of(puts, |l| l.terms.sale_window.start),
            of(puts, |l| l.terms.sale_window.end),
            of(puts, |l| l.terms.per_shopper_limit),
            of(puts, |l| l.terms.commission_basis_points),
            of(puts, |l| l.terms.next_commission.map(|next| next.basis_points)),
            of(puts, |l| l.terms.next_commission.map(|next| next.effective_time)),
            of(puts, |l| l.terms.purchase_modes.first.word()),
            of(puts, |l| dated_modes_text(&l.terms.purchase_modes.dated)),
            of(puts, |l| l.terms_version),
            of(puts, |l| l.state.word()),
            of(puts, |l| l.proposer.party.word()),
            of(puts, |l| l.proposer.issuer.as_str()),
            of(puts, |l| l.proposer.subject.as_str()),
            of(puts, |l| l.decided_by.map_or("", Party::word)),
            of(puts, |l| l.decision_reason.as_str()),
            of(puts, |l| l.state_reason.as_str()),
            of(puts, |l| l.version.0),
            of(puts, |l| l.update_time),
            of(puts, |l| l.shown_key()),
            remorse,
            ship_within,
            puts.iter().map(|put| put.due_time).collect::<Vec<_>>(),
        ]
    )?;
    terms_insert(tx, puts).await
}

/// Writes changes. One that was changed since it was read makes the whole a conflict.
#[rustfmt::skip] // One line for a column.
pub(crate) async fn listing_update(tx: &mut Tx, puts: &[Put]) -> Result<(), Fault> {
    let rows: u64 = bulk!(
        tx,
        execute,
        postgres: "UPDATE listing SET title = u.title, price = u.price, per_quantity = u.per_quantity, \
                   retailer_discount_basis_points = u.retailer_discount_basis_points, shipping = u.shipping, \
                   window_start_time = u.window_start_time, window_end_time = u.window_end_time, per_shopper_limit = \
                   u.per_shopper_limit, commission_basis_points = u.commission_basis_points, \
                   next_commission_basis_points = u.next_commission_basis_points, commission_effective_time = \
                   u.commission_effective_time, purchase_mode = u.purchase_mode, dated_purchase_modes = \
                   u.dated_purchase_modes, terms_version = u.terms_version, state = u.state, proposed_by = \
                   u.proposed_by, proposer_issuer = u.proposer_issuer, proposer_subject = u.proposer_subject, \
                   decided_by = u.decided_by, decision_reason = u.decision_reason, state_reason = u.state_reason, \
                   version = u.version, update_time = u.update_time, shown = u.shown, due_time = \
                   CASE WHEN NOT u.looked AND listing.due_time <= u.update_time THEN listing.due_time \
                   ELSE u.due_time END FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], \
                   $5::BIGINT[], $6::BIGINT[], $7::BIGINT[], \
                   $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::TEXT[], $14::TEXT[], \
                   $15::BIGINT[], $16::TEXT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::TEXT[], $21::TEXT[], \
                   $22::TEXT[], $23::BIGINT[], $24::BIGINT[], $25::TEXT[], $26::BIGINT[], $27::BIGINT[], \
                   $28::BOOLEAN[]) AS \
                   u(listing_id, title, price, per_quantity, retailer_discount_basis_points, shipping, \
                   window_start_time, window_end_time, per_shopper_limit, commission_basis_points, \
                   next_commission_basis_points, commission_effective_time, purchase_mode, dated_purchase_modes, \
                   terms_version, state, proposed_by, proposer_issuer, proposer_subject, decided_by, decision_reason, \
                   state_reason, version, update_time, shown, due_time, before, looked) \
                   WHERE listing.listing_id = u.listing_id AND listing.version = u.before",
        sqlite: "UPDATE listing SET title = u.value->>1, price = u.value->>2, per_quantity = u.value->>3, \
                 retailer_discount_basis_points = u.value->>4, shipping = u.value->>5, window_start_time = \
                 u.value->>6, window_end_time = u.value->>7, per_shopper_limit = u.value->>8, commission_basis_points \
                 = u.value->>9, next_commission_basis_points = u.value->>10, commission_effective_time = \
                 u.value->>11, purchase_mode = u.value->>12, dated_purchase_modes = u.value->>13, terms_version = \
                 u.value->>14, state = u.value->>15, proposed_by = u.value->>16, proposer_issuer = u.value->>17, \
                 proposer_subject = u.value->>18, decided_by = u.value->>19, decision_reason = u.value->>20, \
                 state_reason = u.value->>21, version = u.value->>22, update_time = u.value->>23, shown = \
                 u.value->>24, due_time = CASE WHEN NOT u.value->>27 AND listing.due_time <= u.value->>23 \
                 THEN listing.due_time ELSE u.value->>25 END FROM json_each($1) AS u \
                 WHERE listing.listing_id = u.value->>0 AND listing.version = u.value->>26",
        columns: [
            of(puts, |l| l.listing_id),
            of(puts, |l| l.title.as_str()),
            of(puts, |l| l.terms.price.amount().minor_units),
            of(puts, |l| l.terms.price.per_quantity()),
            of(puts, |l| l.terms.retailer_discount_basis_points),
            of(puts, |l| l.terms.shipping),
            of(puts, |l| l.terms.sale_window.start),
            of(puts, |l| l.terms.sale_window.end),
            of(puts, |l| l.terms.per_shopper_limit),
            of(puts, |l| l.terms.commission_basis_points),
            of(puts, |l| l.terms.next_commission.map(|next| next.basis_points)),
            of(puts, |l| l.terms.next_commission.map(|next| next.effective_time)),
            of(puts, |l| l.terms.purchase_modes.first.word()),
            of(puts, |l| dated_modes_text(&l.terms.purchase_modes.dated)),
            of(puts, |l| l.terms_version),
            of(puts, |l| l.state.word()),
            of(puts, |l| l.proposer.party.word()),
            of(puts, |l| l.proposer.issuer.as_str()),
            of(puts, |l| l.proposer.subject.as_str()),
            of(puts, |l| l.decided_by.map_or("", Party::word)),
            of(puts, |l| l.decision_reason.as_str()),
            of(puts, |l| l.state_reason.as_str()),
            of(puts, |l| l.version.0),
            of(puts, |l| l.update_time),
            of(puts, |l| l.shown_key()),
            puts.iter().map(|put| put.due_time).collect::<Vec<_>>(),
            puts.iter().map(|put| put.before.0).collect::<Vec<_>>(),
            puts.iter().map(|put| put.looked).collect::<Vec<_>>(),
        ]
    )?;
    if usize::try_from(rows) != Ok(puts.len()) {
        let message = "a row of listing was changed meanwhile";
        return Err(Fault::Conflict(message.into()));
    }
    terms_insert(tx, puts).await
}

/// Notes when to look at listings again that are otherwise as they were.
pub(crate) async fn listing_due_set(
    tx: &mut Tx,
    due: &[(ListingId, Option<Micros>)],
) -> Result<(), Fault> {
    bulk!(
        tx,
        execute,
        postgres: "UPDATE listing SET due_time = u.due_time \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(listing_id, due_time) \
                   WHERE listing.listing_id = u.listing_id",
        sqlite: "UPDATE listing SET due_time = u.value->>1 FROM json_each($1) AS u \
                 WHERE listing.listing_id = u.value->>0",
        columns: [
            due.iter().map(|(listing_id, _)| *listing_id).collect::<Vec<_>>(),
            due.iter().map(|(_, time)| *time).collect::<Vec<_>>(),
        ]
    )?;
    Ok(())
}

async fn terms_insert(tx: &mut Tx, puts: &[Put]) -> Result<(), Fault> {
    let new: Vec<(&Listing, Party, Vec<u8>)> = puts
        .iter()
        .filter_map(|put| {
            let (party, terms) = put.new_terms.as_ref()?;
            Some((&put.listing, *party, terms.clone()))
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO listing_terms (listing_id, terms_version, terms, set_by, create_time) \
                   SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BYTEA[], $4::TEXT[], $5::BIGINT[])",
        sqlite: "INSERT INTO listing_terms (listing_id, terms_version, terms, set_by, create_time) \
                 SELECT value->>0, value->>1, unhex(value->>2), value->>3, value->>4 FROM json_each($1)",
        columns: [
            new.iter().map(|new| new.0.listing_id).collect::<Vec<_>>(),
            new.iter().map(|new| new.0.terms_version).collect::<Vec<_>>(),
            new.iter().map(|new| new.2.clone()).collect::<Vec<_>>(),
            new.iter().map(|new| new.1.word()).collect::<Vec<_>>(),
            new.iter().map(|new| new.0.update_time).collect::<Vec<_>>(),
        ]
    )?;
    Ok(())
}

/// Terms as they were set once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TermsVersion {
    /// From 1.
    pub(crate) terms_version: i64,
    /// The message that was kept of them.
    pub(crate) terms: Vec<u8>,
    /// Who set them.
    pub(crate) set_by: Party,
    /// When.
    pub(crate) create_time: Micros,
}

/// The versions of a listing's terms.
pub(crate) async fn terms_list(
    tx: &mut Tx,
    listing_id: &ListingId,
    after: i64,
    slice: &Slice,
) -> Result<Vec<TermsVersion>, Fault> {
    let rows = sql!(
        tx,
        all(i64, Vec<u8>, String, i64),
        "SELECT terms_version, terms, set_by, create_time FROM listing_terms \
         WHERE listing_id = $1 AND terms_version > $2 ORDER BY terms_version LIMIT $3",
        listing_id,
        after,
        slice.limit
    )?;
    let versions = rows
        .into_iter()
        .map(|(terms_version, terms, set_by, create_time)| {
            Ok(TermsVersion {
                terms_version,
                terms,
                set_by: word(Party::named, "listing_terms.set_by", &set_by)?,
                create_time: Micros(create_time),
            })
        });
    versions.collect()
}
