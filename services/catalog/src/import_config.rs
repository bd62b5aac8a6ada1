//! Limits of imports, with their units in their names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::import::Limits;

/// How much of a file of products is taken at once, and in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportConfig {
    /// The most bytes of one request.
    pub chunk_bytes_max: usize,
    /// The most bytes of a file, unpacked.
    pub file_bytes_max: u64,
    /// The most rows of a file. Each costs about fifty bytes of memory while the import runs.
    pub rows_max: u64,
    /// The most rows of one product, variants and images together.
    pub product_rows_max: usize,
    /// The largest row, in bytes.
    pub record_bytes_max: usize,
    /// How many bytes the end of a quoted cell is looked for before its row counts as damaged.
    pub scan_bytes_max: usize,
    /// How many bytes a row may have at which reading goes on after damage.
    pub resync_bytes_max: usize,
    /// How many bytes of a file may be looked at again after damage; from then on no row has line ends inside.
    pub rescan_bytes_max: usize,
    /// The most columns.
    pub columns_max: usize,
    /// The most products of one unit of work.
    pub batch_products_max: usize,
    /// Rows after which a unit of work begins, however few products they are.
    pub batch_rows_max: usize,
    /// How often a unit of work is tried again when the database was busy.
    pub retries_max: u32,
    /// Milliseconds before the first of these tries; each further pause is twice the last.
    pub retry_pause_ms: u64,
}

impl Default for ImportConfig {
    fn default() -> Self {
        ImportConfig {
            chunk_bytes_max: 1_048_576,
            file_bytes_max: 4 << 30,
            rows_max: 2_000_000,
            product_rows_max: 1_000,
            record_bytes_max: 1_048_576,
            scan_bytes_max: 12 << 20,
            resync_bytes_max: 64 << 10,
            rescan_bytes_max: 64 << 20,
            columns_max: 512,
            batch_products_max: 64,
            batch_rows_max: 500,
            retries_max: 6,
            retry_pause_ms: 50,
        }
    }
}

impl ImportConfig {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            record_bytes: self.record_bytes_max,
            scan_bytes: self.scan_bytes_max,
            resync_bytes: self.resync_bytes_max,
            rescan_bytes: self.rescan_bytes_max,
            columns: self.columns_max,
            product_rows: self.product_rows_max,
            rows: self.rows_max,
            bytes: self.file_bytes_max,
        }
    }

    pub(crate) fn retry_pause(&self) -> Duration {
        Duration::from_millis(self.retry_pause_ms)
    }
}
