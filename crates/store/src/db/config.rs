//! Where the database is and how hard it may be leaned on.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::StoreError;
use crate::tx::Engine;

/// One service's database. Every limit is here, its unit in its name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite:/path/to/file.db`, or `postgres://user:password@host/database`. Printed without the password.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// PostgreSQL: the same for the owner of the tables, which `vitrine migrate` works as; it then gives the role of
    /// `url` what services need, and no more. None: the role of `url` owns them, which the tables' policies hold for
    /// as well, but which could take them away.
    #[serde(serialize_with = "maybe_without_password")]
    pub migrate_url: Option<String>,
    /// PostgreSQL: whether units may run as a superuser or a role with BYPASSRLS, which nothing keeps from other
    /// partners' rows. Refused otherwise, before anything is done.
    pub allow_bypass_role: bool,
    /// PostgreSQL: the schema of this service, so that several may share a database. Created when the
    /// database is migrated. None: the role's own search path.
    pub schema: Option<String>,
    /// PostgreSQL: connections of this process for units of work. One more is kept for [`crate::Db::ping`], and one
    /// for each lane ([`crate::LaneConfig`]) of the service, so count with those above this for each process.
    pub max_connections: u32,
    /// SQLite: read-only connections beside the one writer, and beside the one kept for [`crate::Db::ping`].
    pub reader_connections: u32,
    /// How long a unit waits for a connection before it is refused as busy.
    pub acquire_timeout_ms: u64,
    /// PostgreSQL: how long one statement may run.
    pub statement_timeout_ms: u64,
    /// PostgreSQL: how long one statement may wait for a lock.
    pub lock_timeout_ms: u64,
    /// PostgreSQL: how long a transaction may do nothing before the server ends it.
    pub idle_in_transaction_timeout_ms: u64,
    /// PostgreSQL: how old a connection may get; lets replicas and failovers even out.
    pub connection_life_s: u64,
    /// PostgreSQL: how long an unused connection is kept.
    pub connection_idle_s: u64,
    /// Statements kept prepared on each connection.
    pub statement_cache_size: usize,
    /// SQLite: how long to wait for another process that holds the file.
    pub busy_timeout_ms: u64,
    /// SQLite: overwrite what is deleted, and empty the write-ahead log after each commit. For key stores, which write
    /// seldom; a database of orders would be slower for nothing, because what is personal in it is sealed.
    pub wipe_deleted: bool,
    /// Units that may wait or run at once; one more is refused as busy at once.
    pub queue_max: usize,
    /// SQLite: units that share one COMMIT.
    pub group_max: usize,
    /// How long the work of one unit may take: on SQLite it holds the writer, on PostgreSQL a connection. A
    /// COMMIT that PostgreSQL has not answered after as long counts as lost.
    pub unit_timeout_ms: u64,
    /// Runs of one unit, the first included, before a conflict or a lost connection is given up.
    pub attempts_max: u32,
    /// The longest pause before the second run; doubles with each run, and the pause is drawn below it.
    pub backoff_ms: u64,
    /// Where that doubling ends.
    pub backoff_max_ms: u64,
    /// For rehearsals: how long every COMMIT of a unit that writes is put off, as a slow disk would. 0 everywhere
    /// else; whatever is not 0 is told as a warning at the start.
    pub commit_delay_ms: u64,
}

impl Default for DbConfig {
    fn default() -> Self {
        DbConfig {
            url: String::new(),
            migrate_url: None,
            allow_bypass_role: false,
            schema: None,
            max_connections: 16,
            reader_connections: 4,
            acquire_timeout_ms: 5_000,
            statement_timeout_ms: 10_000,
            lock_timeout_ms: 5_000,
            idle_in_transaction_timeout_ms: 10_000,
            connection_life_s: 1_800,
            connection_idle_s: 600,
            statement_cache_size: 256,
            busy_timeout_ms: 5_000,
            wipe_deleted: false,
            queue_max: 4_096,
            group_max: 256,
            unit_timeout_ms: 30_000,
            attempts_max: 10,
            backoff_ms: 10,
            backoff_max_ms: 500,
            commit_delay_ms: 0,
        }
    }
}

impl DbConfig {
    /// The defaults with a URL.
    pub fn at(url: impl Into<String>) -> Self {
        DbConfig {
            url: url.into(),
            ..DbConfig::default()
        }
    }

    /// The engine that the URL names.
    pub fn engine(&self) -> Result<Engine, StoreError> {
        named_engine(&self.url).ok_or_else(|| {
            invalid("url must be sqlite:/path/to/file.db or postgres://user:password@host/database")
        })
    }

    /// Refuses what could not work, naming the field.
    pub(crate) fn check(&self) -> Result<Engine, StoreError> {
        let engine = self.engine()?;
        let at_least_one = [
            ("max_connections", u64::from(self.max_connections)),
            ("reader_connections", u64::from(self.reader_connections)),
            ("acquire_timeout_ms", self.acquire_timeout_ms),
            ("queue_max", self.queue_max as u64),
            ("group_max", self.group_max as u64),
            ("unit_timeout_ms", self.unit_timeout_ms),
            ("attempts_max", u64::from(self.attempts_max)),
        ];
        if let Some((field, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(invalid(format!("{field} must be at least 1")));
        }
        if self
            .migrate_url
            .as_ref()
            .is_some_and(|owner| Engine::Postgres != engine || named_engine(owner) != Some(engine))
        {
            return Err(invalid(
                "migrate_url is for PostgreSQL: postgres://user:password@host/database, like url",
            ));
        }
        match &self.schema {
            Some(name) if !is_plain_name(name) => Err(invalid(
                "schema must start with a lower-case letter and have at most 63 lower-case letters, digits and underscores",
            )),
            _ => Ok(engine),
        }
    }

    /// The file of a SQLite URL.
    pub(crate) fn file(&self) -> &str {
        let rest = self.url.strip_prefix("sqlite:").unwrap_or(&self.url);
        rest.strip_prefix("//").unwrap_or(rest)
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    pub(crate) fn commit_delay(&self) -> Option<Duration> {
        (self.commit_delay_ms > 0).then(|| Duration::from_millis(self.commit_delay_ms))
    }

    /// How long to wait after run number `run` (from 1): drawn evenly below a bound that doubles.
    pub(crate) fn backoff(&self, run: u32, random: u64) -> Duration {
        let bound = self
            .backoff_ms
            .saturating_mul(1 << run.saturating_sub(1).min(20))
            .min(self.backoff_max_ms);
        let bound_us = bound.saturating_mul(1_000);
        Duration::from_micros(if bound_us == 0 { 0 } else { random % bound_us })
    }
}

impl fmt::Debug for DbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbConfig")
            .field("url", &hide_password(&self.url))
            .field(
                "migrate_url",
                &self.migrate_url.as_deref().map(hide_password),
            )
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

fn named_engine(url: &str) -> Option<Engine> {
    match url.split_once(':') {
        Some(("sqlite", rest)) if !rest.trim_start_matches('/').is_empty() => Some(Engine::Sqlite),
        Some(("postgres" | "postgresql", _)) => Some(Engine::Postgres),
        _ => None,
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::refused("", format!("database configuration: {}", message.into()))
}

fn is_plain_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn maybe_without_password<S: Serializer>(
    url: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => serializer.serialize_some(&hide_password(url)),
        None => serializer.serialize_none(),
    }
}

fn without_password<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hide_password(url))
}

/// The URL with `***` for a password, wherever one may stand in it.
fn hide_password(url: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (url, None),
    };
    let mut shown = match base.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => {
                let user = user
                    .split_once(':')
                    .map_or(user.to_owned(), |(name, _)| format!("{name}:***"));
                format!("{scheme}://{user}@{host}")
            }
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    if let Some(query) = query {
        let pairs: Vec<_> = query
            .split('&')
            .map(|pair| {
                if pair.starts_with("password=") {
                    "password=***"
                } else {
                    pair
                }
            })
            .collect();
        shown = format!("{shown}?{}", pairs.join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_a_password() {
        for (url, shown) in [
            ("sqlite:/a/b.db", "sqlite:/a/b.db"),
            ("postgres://host/db", "postgres://host/db"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("postgres://me:s3cret@host/db", "postgres://me:***@host/db"),
            (
                "postgres://me:s3:c@ret@host/db",
                "postgres://me:***@host/db",
            ),
            (
                "postgres:///db?user=me&password=s3cret&host=/run",
                "postgres:///db?user=me&password=***&host=/run",
            ),
        ] {
            assert_eq!(hide_password(url), shown);
            let config = DbConfig::at(url);
            assert!(!format!("{config:?}").contains("s3"));
            assert!(!serde_json::to_string(&config).expect("json").contains("s3"));
        }
    }

    #[test]
    fn names_the_field_at_fault() {
        let fine = DbConfig::at("sqlite:/a.db");
        assert_eq!(fine.check(), Ok(Engine::Sqlite));
        assert_eq!(DbConfig::at("postgres://h/d").check(), Ok(Engine::Postgres));
        for (config, word) in [
            (DbConfig::at(""), "url"),
            (DbConfig::at("sqlite:"), "url"),
            (DbConfig::at("mysql://h/d"), "url"),
            (
                DbConfig {
                    queue_max: 0,
                    ..fine.clone()
                },
                "queue_max",
            ),
            (
                DbConfig {
                    group_max: 0,
                    ..fine.clone()
                },
                "group_max",
            ),
            (
                DbConfig {
                    attempts_max: 0,
                    ..fine.clone()
                },
                "attempts_max",
            ),
            (
                DbConfig {
                    schema: Some("a; DROP".into()),
                    ..fine.clone()
                },
                "schema",
            ),
            (
                DbConfig {
                    schema: Some("1a".into()),
                    ..fine.clone()
                },
                "schema",
            ),
        ] {
            let error = config.check().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn backoff_doubles_and_stops() {
        let config = DbConfig {
            backoff_ms: 10,
            backoff_max_ms: 100,
            ..DbConfig::default()
        };
        let longest = |run| config.backoff(run, u64::MAX - 5);
        assert!(longest(1) < Duration::from_millis(10));
        assert!(longest(3) < Duration::from_millis(40));
        assert!(longest(60) < Duration::from_millis(100));
        let none = DbConfig {
            backoff_ms: 0,
            ..config
        };
        assert_eq!(none.backoff(5, 77), Duration::ZERO);
    }
}
