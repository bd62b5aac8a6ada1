//! ImportProducts: bytes in, verdicts out, one unit of work after the other.
//!
//! Nothing runs ahead: the next bytes are asked for when the answers so far were taken, so that neither a fast
//! sender nor a slow reader fills memory.

use std::collections::VecDeque;
use std::sync::Arc;

use contracts::ErrorReason;
use contracts::catalog::v1::{
    ImportFormat, ImportHeader, ImportOutcome, ImportProblem, ImportProductsRequest,
    ImportProductsResponse, ImportProgress, ImportReason, ImportRow, ImportSummary, Product,
    ProductSource, VariantSource, import_products_request::Part,
};
use contracts::money::{Currency, Money};
use futures::stream::{BoxStream, StreamExt, unfold};
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use store::Operation;
use tonic::{Request, Status, Streaming};

use super::{Answer, Rpc};
use crate::model::import::plan::Verdict;
use crate::model::import::reader::{Next, Reader};
use crate::model::import::{Expect, Format, Outcome, Piece, Problem, ReadProduct, Reason};
use crate::ops::import::{CheckImport, ImportProducts, Imported};
use crate::store::import::Sources;

pub(super) type Answers = BoxStream<'static, Result<ImportProductsResponse, Status>>;

/// The most verdicts of one response.
const ROWS_PER_RESPONSE: usize = 200;

/// Begins an import.
pub(super) async fn import(
    rpc: &Rpc,
    request: Request<Streaming<ImportProductsRequest>>,
) -> Answer<Answers> {
    let caller = Caller::of(&request)?;
    let mut requests = request.into_inner();
    let first = requests.message().await?.and_then(|request| request.part);
    let Some(Part::Header(header)) = first else {
        let message = "must be the first request; send the file's bytes after it.";
        return Err(Refusal::invalid("header", message).into());
    };
    let import = Import::new(rpc, caller, requests, &header)?;
    let answers = unfold(Some(import), |import| async move {
        let mut import = import?;
        match import.next().await {
            Ok(Some(response)) => Some((Ok(response), Some(import))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    let stream: Answers = answers.boxed();
    Ok(stream.into())
}

struct Import {
    rpc: Rpc,
    caller: Arc<Caller>,
    requests: Streaming<ImportProductsRequest>,
    source: String,
    validate_only: bool,
    reader: Reader,
    batch: Vec<ReadProduct>,
    /// Verdicts that want no unit of work.
    refused: Vec<Verdict>,
    batch_rows: usize,
    ready: VecDeque<ImportProductsResponse>,
    summary: ImportSummary,
    progress: ImportProgress,
    is_done: bool,
}

impl Import {
    fn new(
        rpc: &Rpc,
        caller: Arc<Caller>,
        requests: Streaming<ImportProductsRequest>,
        header: &ImportHeader,
    ) -> Result<Self, Refusal> {
        let mut v = Violations::new();
        let mut inside = v.nested("header");
        let source = inside.text("source", &header.source, 1..=64);
        let is_plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if !source.bytes().all(is_plain) {
            inside.add("source", "must hold a-z, 0-9, hyphen and underscore only.");
        }
        let format = inside.opt_enumeration::<ImportFormat>("format", header.format);
        let currency = match header.currency_code.as_str() {
            "" => None,
            code => {
                let currency = code.parse::<Currency>().ok();
                if currency.is_none() {
                    let message = "must be an ISO 4217 code in capitals, such as EUR.";
                    inside.add("currency_code", message);
                }
                currency
            }
        };
        drop(inside);
        v.finish()?;
        let format = match format {
            None | Some(ImportFormat::Unspecified) => None,
            Some(ImportFormat::ShopifyCsv) => Some(Format::ShopifyCsv),
            Some(ImportFormat::MerchantTsv) => Some(Format::MerchantTsv),
            Some(ImportFormat::MerchantXml) => Some(Format::MerchantXml),
        };
        let limits = rpc.config.import.limits();
        Ok(Import {
            reader: Reader::new(Expect { format, currency }, limits),
            rpc: rpc.clone(),
            caller,
            requests,
            source,
            validate_only: header.validate_only,
            batch: Vec::new(),
            refused: Vec::new(),
            batch_rows: 0,
            ready: VecDeque::new(),
            summary: ImportSummary::default(),
            progress: ImportProgress::default(),
            is_done: false,
        })
    }

    /// The next response; none behind the summary.
    async fn next(&mut self) -> Result<Option<ImportProductsResponse>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(Some(response));
            }
            if self.is_done {
                return Ok(None);
            }
            if self.rpc.lifecycle.token().is_cancelled() {
                let message =
                    "The server is going away; what has a verdict is kept. Import the file again.";
                return Err(Refusal::new(ErrorReason::Draining, message).into());
            }
            match self.reader.step() {
                Next::Piece(Piece::Product(product)) => {
                    // It adds to a product that may be in this batch.
                    if product.continues {
                        self.apply().await?;
                    }
                    self.batch_rows += product.rows.len() + product.refused.len();
                    self.batch.push(*product);
                }
                Next::Piece(Piece::Refused(refused)) => {
                    self.batch_rows += 1;
                    self.refused.push(refused.into());
                }
                Next::More => self.more().await?,
                Next::End => {
                    self.apply().await?;
                    self.end();
                }
            }
            let limits = &self.rpc.config.import;
            if self.batch.len() >= limits.batch_products_max.max(1)
                || self.batch_rows >= limits.batch_rows_max.max(1)
            {
                self.apply().await?;
            }
        }
    }

    /// Takes the next bytes from the caller.
    async fn more(&mut self) -> Result<(), Status> {
        let Some(request) = self.requests.message().await? else {
            self.reader.end();
            return Ok(());
        };
        let chunk = match request.part {
            Some(Part::Chunk(chunk)) => chunk,
            Some(Part::Header(_)) => {
                let message =
                    "must be the first request only; begin another import for another file.";
                return Err(Refusal::invalid("header", message).into());
            }
            None => Vec::new(),
        };
        let most = self.rpc.config.import.chunk_bytes_max;
        if chunk.len() > most {
            let message = format!("must have at most {most} bytes; send more of them.");
            return Err(Refusal::invalid("chunk", message).into());
        }
        self.progress.bytes_read += count(chunk.len());
        self.reader.push(&chunk);
        Ok(())
    }

    /// Brings the products at hand into the catalogue, and tells what became of their rows.
    async fn apply(&mut self) -> Result<(), Status> {
        self.batch_rows = 0;
        let mut verdicts = std::mem::take(&mut self.refused);
        if !self.batch.is_empty() {
            let operation = ImportProducts {
                source: self.source.clone(),
                products: std::mem::take(&mut self.batch),
            };
            let imported = if self.validate_only {
                self.rpc.read(&self.caller, CheckImport(operation)).await?
            } else {
                self.execute(operation).await?
            };
            let summary = &mut self.summary;
            for outcome in imported.products {
                *match outcome {
                    Outcome::Created => &mut summary.products_created,
                    Outcome::Updated => &mut summary.products_updated,
                    Outcome::Unchanged => &mut summary.products_unchanged,
                    Outcome::Rejected => &mut summary.products_rejected,
                } += 1;
            }
            verdicts.extend(imported.rows);
            verdicts.sort_by_key(|row| row.line);
        }
        for row in &verdicts {
            self.count(row);
        }
        let mut rows = verdicts.iter().map(row_of).peekable();
        while rows.peek().is_some() {
            self.ready.push_back(ImportProductsResponse {
                rows: rows.by_ref().take(ROWS_PER_RESPONSE).collect(),
                progress: Some(self.progress),
                summary: None,
            });
        }
        Ok(())
    }

    /// Runs a unit of work, again when the database was busy: it changes nothing twice.
    async fn execute(&self, operation: ImportProducts) -> Result<Imported, Fault> {
        let operation = Arc::new(operation);
        let mut pause = self.rpc.config.import.retry_pause();
        let mut left = self.rpc.config.import.retries_max;
        loop {
            match self.rpc.db.execute(&self.caller, operation.clone()).await {
                Err(fault) if fault.is_transient() && left > 0 => {
                    tracing::debug!(error = %fault.chain(), operation = operation.name(), "importing again");
                    tokio::time::sleep(pause).await;
                    (left, pause) = (left - 1, pause * 2);
                }
                answer => return answer,
            }
        }
    }

    fn count(&mut self, row: &Verdict) {
        self.progress.rows += 1;
        let summary = &mut self.summary;
        match row.outcome {
            Outcome::Created => summary.rows_created += 1,
            Outcome::Updated => summary.rows_updated += 1,
            Outcome::Unchanged => summary.rows_unchanged += 1,
            Outcome::Rejected => self.progress.rows_rejected += 1,
        }
        if row.outcome != Outcome::Rejected {
            summary.variants += i64::from(!row.sku.is_empty());
            summary.units = summary
                .units
                .saturating_add(row.reported_stock.unwrap_or(0));
        }
    }

    /// The summary.
    fn end(&mut self) {
        self.is_done = true;
        let mut summary = std::mem::take(&mut self.summary);
        summary.set_format(match self.reader.format() {
            None => ImportFormat::Unspecified,
            Some(Format::ShopifyCsv) => ImportFormat::ShopifyCsv,
            Some(Format::MerchantTsv) => ImportFormat::MerchantTsv,
            Some(Format::MerchantXml) => ImportFormat::MerchantXml,
        });
        summary.progress = Some(self.progress);
        summary.file_problems = self.reader.problems().iter().map(problem_of).collect();
        self.ready.push_back(ImportProductsResponse {
            rows: Vec::new(),
            progress: Some(self.progress),
            summary: Some(summary),
        });
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn line(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

fn row_of(row: &Verdict) -> ImportRow {
    let outcome = match row.outcome {
        Outcome::Created => ImportOutcome::Created,
        Outcome::Updated => ImportOutcome::Updated,
        Outcome::Unchanged => ImportOutcome::Unchanged,
        Outcome::Rejected => ImportOutcome::Rejected,
    };
    ImportRow {
        line: line(row.line),
        last_line: line(row.last_line),
        outcome: outcome.into(),
        external_key: row.external_key.clone(),
        sku: row.sku.clone(),
        product_id: row.product_id.map(|id| id.to_string()).unwrap_or_default(),
        variant_id: row.variant_id.map(|id| id.to_string()).unwrap_or_default(),
        reported_stock: row.reported_stock,
        problems: row.problems.iter().map(problem_of).collect(),
        notes: row.notes.iter().map(problem_of).collect(),
    }
}

fn problem_of(problem: &Problem) -> ImportProblem {
    ImportProblem {
        line: line(problem.line),
        column: problem.column.chars().take(120).collect(),
        column_number: i32::try_from(problem.column_number).unwrap_or(i32::MAX),
        reason: reason_of(problem.reason).into(),
        message: problem.message.clone(),
        fix: problem.fix.clone(),
        value: problem.value.clone(),
    }
}

fn reason_of(reason: Reason) -> ImportReason {
    match reason {
        Reason::BadQuote => ImportReason::BadQuote,
        Reason::BadCellCount => ImportReason::BadCellCount,
        Reason::BadEncoding => ImportReason::BadEncoding,
        Reason::TooLarge => ImportReason::TooLarge,
        Reason::BadHeader => ImportReason::BadHeader,
        Reason::MissingValue => ImportReason::MissingValue,
        Reason::BadValue => ImportReason::BadValue,
        Reason::BadPrice => ImportReason::BadPrice,
        Reason::BadStock => ImportReason::BadStock,
        Reason::Duplicate => ImportReason::Duplicate,
        Reason::Conflict => ImportReason::Conflict,
        Reason::Depends => ImportReason::Depends,
        Reason::Truncated => ImportReason::Truncated,
        Reason::BadXml => ImportReason::BadXml,
        Reason::Cut => ImportReason::Cut,
        Reason::LeftOut => ImportReason::LeftOut,
        Reason::Empty => ImportReason::Empty,
    }
}

/// Adds what imports said to a product as it is answered.
pub(super) fn add_sources(
    product: &mut Product,
    known: &crate::model::product::Product,
    sources: &Sources,
) {
    let source = sources.products.get(&known.product_id);
    product.source = source.map(|source| ProductSource {
        source: source.source.clone(),
        status: source.status.clone(),
        tags: source.tags.clone(),
    });
    for (variant, known) in product.variants.iter_mut().zip(&known.variants) {
        let source = sources.variants.get(&known.variant_id);
        variant.source = source.map(|source| VariantSource {
            reference_price: source.reference_price.map(Money::to_proto),
            compare_at_price: source.compare_at_price.map(Money::to_proto),
            reported_stock: source.reported_stock,
        });
    }
}
