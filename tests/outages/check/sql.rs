//! What no API shows: consumers' places, parked entries, the positions as they stand in the tables. Read-only.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::pause::pause;

/// The services, and whose feeds each consumes.
pub const CONSUMERS: [(&str, &[&str]); 4] = [
    ("catalog", &[]),
    ("room", &["catalog"]),
    ("order", &["catalog", "fulfillment"]),
    ("fulfillment", &["order"]),
];
/// How long consumers may take to catch up on a busy machine.
const BOUND: Duration = Duration::from_secs(90);

/// What the tables say.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// By service: the head's position, the number of entries and the last position.
    pub feeds: BTreeMap<String, [i64; 3]>,
    /// By service and partner: the number of entries and the last position.
    pub partner_feeds: BTreeMap<(String, String), [i64; 2]>,
    /// By service: the audit's head, rows and last position.
    pub audits: BTreeMap<String, [i64; 3]>,
    /// By consuming service and producer: how far it has read.
    pub cursors: BTreeMap<(String, String), i64>,
    /// By service: parked entries.
    pub parked: BTreeMap<String, i64>,
    /// Payments and their sum, in minor units.
    pub payments: [i64; 2],
    /// By service that mirrors listings: listing and state.
    pub listings: BTreeMap<String, BTreeMap<String, String>>,
}

/// A connection to one service's tables.
enum Connected {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connected {
    async fn to(url: &str, service: &str) -> anyhow::Result<Connected> {
        if let Some(file) = url.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new()
                .filename(file)
                .read_only(true)
                .busy_timeout(Duration::from_secs(10));
            return Ok(Connected::Sqlite(
                SqliteConnection::connect_with(&options).await?,
            ));
        }
        let mut connection = PgConnection::connect(url).await?;
        let path = format!("SET search_path TO \"{service}\"");
        sqlx::query(AssertSqlSafe(path))
            .execute(&mut connection)
            .await?;
        Ok(Connected::Postgres(connection))
    }

    /// Rows of two texts and up to three numbers.
    async fn rows(&mut self, sql: &str) -> anyhow::Result<Vec<(String, String, i64, i64, i64)>> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Connected::Postgres(connection) => sqlx::query_as(sql).fetch_all(connection).await?,
            Connected::Sqlite(connection) => sqlx::query_as(sql).fetch_all(connection).await?,
        })
    }

    async fn number(&mut self, sql: &str) -> anyhow::Result<i64> {
        let rows = self
            .rows(&format!(
                "SELECT '', '', ({sql}), CAST(0 AS BIGINT), CAST(0 AS BIGINT)"
            ))
            .await?;
        Ok(rows.first().map_or(0, |row| row.2))
    }
}

const HEAD: &str = "SELECT scope, '', position, CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM feed_head WHERE scope IN ('', 'audit')";
const FEED: &str = "SELECT '', '', CAST(COUNT(*) AS BIGINT), COALESCE(MAX(position), 0), CAST(0 AS BIGINT) FROM feed";
const AUDIT: &str = "SELECT '', '', CAST(COUNT(*) AS BIGINT), COALESCE(MAX(position), 0), CAST(0 AS BIGINT) FROM audit";
const PARTNERS: &str = "SELECT partner_id, '', CAST(COUNT(*) AS BIGINT), MAX(partner_position), CAST(0 AS BIGINT) FROM feed WHERE partner_id <> '' GROUP BY partner_id";
const CURSORS: &str =
    "SELECT consumer, '', position, CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM feed_cursor";
const PAYMENTS: &str = "SELECT '', '', CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(amount), 0) AS BIGINT), CAST(0 AS BIGINT) FROM payment";
const LISTINGS: &str = "SELECT listing_id, state, CAST(0 AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM listing";
/// Holds that end while somebody reads would look like lost units.
const HOLDS_ABOUT_TO_END: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM orders WHERE state = 'PENDING_PAYMENT' AND hold_expire_time < place_time + 60000000";

/// Reads the tables.
pub async fn tables(databases: &BTreeMap<&'static str, String>) -> anyhow::Result<Tables> {
    let mut tables = Tables::default();
    for (service, producers) in CONSUMERS {
        let mut connected = Connected::to(&databases[service], service).await?;
        let heads: BTreeMap<String, i64> = connected
            .rows(HEAD)
            .await?
            .into_iter()
            .map(|row| (row.0, row.2))
            .collect();
        let head = |scope: &str| heads.get(scope).copied().unwrap_or(-1);
        let feed = connected.rows(FEED).await?;
        let audit = connected.rows(AUDIT).await?;
        tables
            .feeds
            .insert(service.into(), [head(""), feed[0].2, feed[0].3]);
        tables
            .audits
            .insert(service.into(), [head("audit"), audit[0].2, audit[0].3]);
        for row in connected.rows(PARTNERS).await? {
            tables
                .partner_feeds
                .insert((service.into(), row.0), [row.2, row.3]);
        }
        let cursors = connected.rows(CURSORS).await?;
        for producer in producers {
            let found = cursors.iter().find(|row| row.0.contains(producer));
            tables.cursors.insert(
                (service.into(), (*producer).into()),
                found.map_or(-1, |row| row.2),
            );
        }
        let parked = connected
            .number("SELECT CAST(COUNT(*) AS BIGINT) FROM feed_parked")
            .await?;
        tables.parked.insert(service.into(), parked);
        if service == "order" {
            let row = &connected.rows(PAYMENTS).await?[0];
            tables.payments = [row.2, row.3];
        }
        if matches!(service, "catalog" | "order" | "room") {
            let rows = connected.rows(LISTINGS).await?;
            tables.listings.insert(
                service.into(),
                rows.into_iter().map(|row| (row.0, row.1)).collect(),
            );
        }
    }
    Ok(tables)
}

/// Waits until every consumer has read all there is, twice in a row, and no short hold is open.
pub async fn settle(databases: &BTreeMap<&'static str, String>) -> anyhow::Result<()> {
    let clock = kit::clock::SystemClock;
    let began = kit::clock::Clock::instant(&clock);
    let mut settled = 0;
    loop {
        match behind(databases).await {
            Ok(None) => settled += 1,
            Ok(Some(what)) => {
                settled = 0;
                let waited = kit::clock::Clock::instant(&clock).saturating_duration_since(began);
                anyhow::ensure!(waited < BOUND, "the suite never came to rest: {what}");
            }
            Err(error) => return Err(error.context("the tables could not be read")),
        }
        if settled == 3 {
            return Ok(());
        }
        pause(Duration::from_millis(100)).await;
    }
}

async fn behind(databases: &BTreeMap<&'static str, String>) -> anyhow::Result<Option<String>> {
    let tables = tables(databases).await?;
    for ((consumer, producer), position) in &tables.cursors {
        let head = tables.feeds[producer][0];
        if *position != head {
            return Ok(Some(format!(
                "{consumer} has read {position} of {producer}'s {head} entries"
            )));
        }
    }
    let mut connected = Connected::to(&databases["order"], "order").await?;
    Ok(match connected.number(HOLDS_ABOUT_TO_END).await? {
        0 => None,
        open => Some(format!("{open} short holds are open")),
    })
}
