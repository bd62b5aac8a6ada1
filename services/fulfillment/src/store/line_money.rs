//! What was paid for lines, and what of it matters have promised.

use std::collections::BTreeMap;

use contracts::id::{FulfillmentId, OrderLineId};
use contracts::money::{Currency, Money};
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::{expect_rows, id};
use crate::model::aftersale::{LineMoney, Purse};

/// A currency as a table has it.
pub(super) fn currency(code: &str) -> Result<Currency, Fault> {
    code.parse()
        .map_err(|_| Fault::internal(format!("a table holds `{code}` as a currency")))
}

/// An order has arrived: what was paid for its lines.
pub async fn line_money_insert(
    tx: &mut Tx,
    fulfillment: &FulfillmentId,
    paid: &[(OrderLineId, Money)],
) -> Result<(), Fault> {
    if paid.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = paid.iter().map(|_| *fulfillment).collect();
    let lines: Vec<_> = paid.iter().map(|(line, _)| *line).collect();
    let currencies: Vec<_> = paid.iter().map(|(_, paid)| paid.currency.code()).collect();
    let payable: Vec<_> = paid
        .iter()
        .map(|(_, paid)| paid.minor_units.max(0))
        .collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO line_money (fulfillment_id, order_line_id, currency_code, payable, promised) \
                   SELECT u.*, CAST(0 AS BIGINT) FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) AS u",
        sqlite: "INSERT INTO line_money (fulfillment_id, order_line_id, currency_code, payable, promised) \
                 SELECT value->>0, value->>1, value->>2, value->>3, 0 FROM json_each($1) WHERE true",
        columns: [ids, lines, currencies, payable]
    )?;
    Ok(())
}

/// The money of an order's lines. Whoever is to change it holds the lock of the fulfilment.
pub async fn line_money_read(tx: &mut Tx, fulfillment: &FulfillmentId) -> Result<Purse, Fault> {
    let rows = sql!(
        tx,
        all(String, String, i64, i64),
        "SELECT order_line_id, currency_code, payable, promised FROM line_money WHERE fulfillment_id = $1",
        fulfillment
    )?;
    let mut purse = BTreeMap::new();
    for (line, code, payable, promised) in rows {
        let money = LineMoney {
            currency: currency(&code)?,
            payable,
            promised,
        };
        purse.insert(id(&line)?, money);
    }
    Ok(purse)
}

/// Writes what is promised now.
pub async fn line_money_save(
    tx: &mut Tx,
    fulfillment: &FulfillmentId,
    purse: &Purse,
) -> Result<(), Fault> {
    if purse.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = purse.iter().map(|_| *fulfillment).collect();
    let lines: Vec<_> = purse.keys().copied().collect();
    let promised: Vec<_> = purse.values().map(|money| money.promised).collect();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE line_money AS m SET promised = u.promised \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(id, line, promised) \
                   WHERE m.fulfillment_id = u.id AND m.order_line_id = u.line",
        sqlite: "UPDATE line_money SET promised = u.value->>2 FROM json_each($1) AS u \
                 WHERE line_money.fulfillment_id = u.value->>0 AND line_money.order_line_id = u.value->>1",
        columns: [ids, lines, promised]
    )?;
    expect_rows("line_money", written, purse.len())
}
