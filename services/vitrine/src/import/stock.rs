//! Reported stock becomes allotments of the order service.
//!
//! Each variant has one allotment that imports made, with a key that follows from the source and the SKU, so
//! that a broken import that is begun again makes none twice. A later import adds what the source has more, or
//! takes out what it has less, than imports have brought in before; what people moved by hand stays theirs.

use std::collections::HashMap;
use std::time::Duration;

use contracts::id::VariantId;
use contracts::order::v1::{
    Allotment, CreateAllotmentRequest, ListAllotmentsRequest, ListMovementsRequest, MovementKind,
    RecordMovementRequest,
};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use super::screen::Screen;
use super::tally::Units;
use super::{ImportArgs, Stock};
use crate::demo::client::{Caller, retrying, told};

/// Calls at the same time.
const LANES: usize = 32;

/// How long a variant may take to come from the catalogue to the order service.
const LEARN_TRIES: u32 = 240;
const LEARN_PAUSE: Duration = Duration::from_millis(500);

/// How the reasons of movements begin that imports made.
const REASON: &str = "import of ";

/// What became of the stock.
#[derive(Debug, Default)]
pub struct Stocked {
    /// Allotments that were made.
    pub created: u64,
    /// Units in them.
    pub units: i64,
    /// Allotments whose units were changed.
    pub changed: u64,
    /// Allotments that were left.
    pub unchanged: u64,
    /// SKUs whose stock could not be brought in, and why.
    pub failed: Vec<(String, String)>,
}

enum Done {
    Created(i64),
    Changed,
    Unchanged,
}

/// Brings the stock of many rows in.
pub async fn bring(
    caller: &Caller,
    args: &ImportArgs,
    rows: &[Units],
    screen: &Screen,
) -> anyhow::Result<Stocked> {
    let known = allotments(caller).await?;
    let bar = screen.stock_bar(rows.len());
    let mut stocked = Stocked::default();
    let mut calls = stream::iter(rows)
        .map(|row| {
            let known = known.get(&row.variant_id);
            async move { (row, one(caller, args, row, known.map(String::as_str)).await) }
        })
        .buffer_unordered(LANES);
    while let Some((row, done)) = calls.next().await {
        bar.inc(1);
        match done {
            Ok(Done::Created(units)) => {
                stocked.created += 1;
                stocked.units += units;
            }
            Ok(Done::Changed) => stocked.changed += 1,
            Ok(Done::Unchanged) => stocked.unchanged += 1,
            Err(status) => {
                let message = format!("line {}: {}", row.line, status.message());
                stocked.failed.push((row.sku.to_string(), message));
            }
        }
    }
    bar.finish_and_clear();
    stocked.failed.sort();
    Ok(stocked)
}

async fn one(
    caller: &Caller,
    args: &ImportArgs,
    row: &Units,
    known: Option<&str>,
) -> Result<Done, Status> {
    match (known, args.stock) {
        // Nothing to sell; an allotment is made when there is.
        (None, _) if row.units == 0 => Ok(Done::Unchanged),
        (None, _) => create(caller, args, row).await,
        (Some(allotment_id), Stock::Sync) => level(caller, args, row, allotment_id).await,
        (Some(_), _) => Ok(Done::Unchanged),
    }
}

/// The allotments that there are, by variant. The oldest of a variant is the one that imports made, if any did.
async fn allotments(caller: &Caller) -> anyhow::Result<HashMap<VariantId, String>> {
    let mut known = HashMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListAllotmentsRequest {
            page_size: 200,
            page_token,
        };
        let page = retrying(|| {
            let (mut client, request) = (caller.allotments(), request.clone());
            async move { client.list_allotments(request).await }
        })
        .await
        .map_err(|status| told("the allotments can not be listed", &status))?;
        for Allotment {
            variant_id,
            allotment_id,
            ..
        } in page.allotments
        {
            if let Ok(variant_id) = variant_id.parse() {
                known.entry(variant_id).or_insert(allotment_id);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(known);
        }
    }
}

/// A key that follows from what it is for.
fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("import-{}", hex::encode(&hash.finalize()[..20]))
}

/// Makes an allotment. The order service may have to hear of the variant first.
async fn create(caller: &Caller, args: &ImportArgs, row: &Units) -> Result<Done, Status> {
    let request = CreateAllotmentRequest {
        request_id: key(&["allotment", &args.source, row.variant_id.as_str()]),
        variant_id: row.variant_id.to_string(),
        display_name: row.sku.to_string(),
        initial_quantity: row.units,
        ..Default::default()
    };
    for _ in 0..LEARN_TRIES {
        let answer = retrying(|| {
            let (mut client, request) = (caller.allotments(), request.clone());
            async move { client.create_allotment(request).await }
        })
        .await;
        match answer {
            Ok(_) => return Ok(Done::Created(row.units)),
            // Made before, with another quantity.
            Err(status) if status.code() == Code::AlreadyExists => return Ok(Done::Unchanged),
            Err(status) if status.code() == Code::NotFound => {
                tokio::time::sleep(LEARN_PAUSE).await;
            }
            Err(status) => return Err(status),
        }
    }
    let message = "the order service has not heard of the variant; import the file again later";
    Err(Status::not_found(message))
}

/// Makes what imports have brought in what the source has now.
async fn level(
    caller: &Caller,
    args: &ImportArgs,
    row: &Units,
    allotment_id: &str,
) -> Result<Done, Status> {
    let (mut brought, mut movements) = (0_i64, 0_u64);
    let mut page_token = String::new();
    loop {
        let request = ListMovementsRequest {
            allotment_id: allotment_id.to_owned(),
            page_size: 200,
            page_token,
        };
        let page = retrying(|| {
            let (mut client, request) = (caller.allotments(), request.clone());
            async move { client.list_movements(request).await }
        })
        .await?;
        for movement in &page.movements {
            movements += 1;
            if movement.kind() == MovementKind::Initial || movement.reason.starts_with(REASON) {
                brought = brought.saturating_add(movement.quantity);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let more = row.units - brought;
    if more == 0 {
        return Ok(Done::Unchanged);
    }
    let kind = if more > 0 {
        MovementKind::TopUp
    } else {
        MovementKind::Shrinkage
    };
    let request = RecordMovementRequest {
        request_id: key(&[
            "movement",
            allotment_id,
            &movements.to_string(),
            &more.to_string(),
        ]),
        allotment_id: allotment_id.to_owned(),
        kind: kind.into(),
        quantity: more,
        reason: format!("{REASON}{}", args.source),
    };
    retrying(|| {
        let (mut client, request) = (caller.allotments(), request.clone());
        async move { client.record_movement(request).await }
    })
    .await?;
    Ok(Done::Changed)
}
