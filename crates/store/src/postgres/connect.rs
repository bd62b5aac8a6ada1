//! How connections are made.

use std::str::FromStr;

use kit::caller::Tenant;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::db::{Shared, invalid};
use crate::error::StoreError;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Units,
    Migration,
}

/// The name of a schema as it is written in SQL. It was checked when the database was opened: lower-case
/// letters, digits, underscores.
pub(crate) fn quoted(schema: &str) -> String {
    format!("\"{schema}\"")
}

/// How to connect. The limits travel with the connection request and cost no round trip.
pub(crate) fn options(shared: &Shared, purpose: Purpose) -> Result<PgConnectOptions, StoreError> {
    let config = &shared.config;
    let owner = config.migrate_url.as_ref();
    let url = match (purpose, owner) {
        (Purpose::Migration, Some(owner)) => owner,
        _ => &config.url,
    };
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| invalid("url must be postgres://user:password@host/database"))?
        .application_name(&format!("vitrine-{}", shared.service))
        .statement_cache_capacity(config.statement_cache_size)
        .disable_statement_logging();
    let options = match &config.schema {
        // In quotes, for names that are words of SQL as well.
        Some(schema) => options.options([("search_path", quoted(schema))]),
        None => options,
    };
    // A migration may take as long as it takes, but waits for locks no longer than anybody.
    let (statement_ms, idle_ms) = match purpose {
        Purpose::Units => (
            config.statement_timeout_ms,
            config.idle_in_transaction_timeout_ms,
        ),
        Purpose::Migration => (0, 0),
    };
    // A migration is about everybody's rows, and the policies hold for the owner of the tables as well.
    let options = match purpose {
        Purpose::Units => options,
        Purpose::Migration => options.options([("vitrine.partners", Tenant::ALL)]),
    };
    Ok(options
        .options([
            ("statement_timeout", statement_ms),
            ("lock_timeout", config.lock_timeout_ms),
            ("idle_in_transaction_session_timeout", idle_ms),
        ])
        .options(PLANS.map(|setting| (setting, "off"))))
}

/// How statements are planned: each row by its index. A prepared statement keeps the plan that was made while
/// its tables were nearly empty, and reading those from one end to the other was right then. Joins of whole
/// tables have no place in units of work, so nothing is lost. Compiling a plan costs more than running it. What a
/// page skips for want of its tenant is guessed at, and a bitmap then reads all that there is for a page of fifty.
const PLANS: [&str; 6] = [
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_material",
    "jit",
];
