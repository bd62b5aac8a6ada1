//! What can go wrong with a statement, and what it means for the unit of work around it.

use std::fmt;
use std::time::Duration;

use kit::errors::Fault;

/// How long a caller should wait before it tries a busy database again.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_millis(250);

/// Why a unit whose caller no longer waits is not begun.
pub(crate) const TOO_LATE: &str =
    "the call's time was up before the database came to it; try again";

/// read_only_sql_transaction: the server was made a standby behind the connection's back, or the unit was
/// begun as one that only reads.
pub(crate) const READ_ONLY: &str = "25006";

/// What a failed statement means for the unit of work around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Lost against another transaction; the whole unit must run again.
    Conflict,
    /// The connection is gone; the unit did not happen unless COMMIT had been sent.
    ConnectionLost,
    /// Not done for want of room or time; a later try may succeed.
    Busy,
    /// The connection knows an older state of affairs: a prepared statement an older table, or a server
    /// that was the primary. A fresh connection mends it.
    Stale,
    /// Anything else: a mistake of ours, or a constraint.
    Other,
}

/// The kind of constraint that refused a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A unique or primary key.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// NOT NULL.
    NotNull,
    /// CHECK.
    Check,
}

/// A failed statement.
///
/// It prints the statement and the engine's message but never the engine's detail, which may quote a
/// whole row and with it personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreError {
    statement: &'static str,
    message: String,
    code: String,
    class: Class,
    violation: Option<Violation>,
    constraint: Option<String>,
}

impl StoreError {
    /// A statement that was refused before it reached the engine.
    pub(crate) fn refused(statement: &'static str, message: impl Into<String>) -> Self {
        StoreError {
            statement,
            message: message.into(),
            code: String::new(),
            class: Class::Other,
            violation: None,
            constraint: None,
        }
    }

    pub(crate) fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Reads the engine's answer. `statement` is the text, or a few words where there is none.
    pub(crate) fn from_sqlx(statement: &'static str, error: &sqlx::Error) -> Self {
        let mut found =
            StoreError::refused(statement, error.to_string()).with_class(class_of(error));
        if let sqlx::Error::Database(database) = error {
            found.message = database.message().to_owned();
            found.code = database
                .code()
                .map(|code| code.into_owned())
                .unwrap_or_default();
            found.violation = match database.kind() {
                sqlx::error::ErrorKind::UniqueViolation => Some(Violation::Unique),
                sqlx::error::ErrorKind::ForeignKeyViolation => Some(Violation::ForeignKey),
                sqlx::error::ErrorKind::NotNullViolation => Some(Violation::NotNull),
                sqlx::error::ErrorKind::CheckViolation => Some(Violation::Check),
                _ => None,
            };
            // SQLite names the constraint, or the columns of a key, behind the colon of its message.
            found.constraint = match database.constraint() {
                Some(name) => Some(name.to_owned()),
                None if found.violation.is_some() => database
                    .message()
                    .split_once("constraint failed: ")
                    .map(|(_, name)| name.to_owned()),
                None => None,
            };
        }
        found
    }

    /// What it means for the unit of work.
    pub fn class(&self) -> Class {
        self.class
    }

    /// SQLSTATE on PostgreSQL, the extended result code on SQLite; empty when no engine answered.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The kind of constraint that refused the row, if one did.
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// The constraint that refused the row. PostgreSQL names every constraint; SQLite names a CHECK
    /// (`CONSTRAINT name CHECK ..`) and lists the columns of a key (`table.a, table.b`).
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// Whether a unique or primary key refused the row.
    pub fn is_unique(&self) -> bool {
        self.violation == Some(Violation::Unique)
    }

    /// Whether a foreign key refused the row.
    pub fn is_foreign_key(&self) -> bool {
        self.violation == Some(Violation::ForeignKey)
    }

    /// Whether SQLite could not read or write its file.
    pub(crate) fn is_sqlite_io(&self) -> bool {
        primary_code(&self.code) == Some(10)
    }

    /// Whether a CHECK refused the row.
    pub fn is_check(&self) -> bool {
        self.violation == Some(Violation::Check)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.code.is_empty() {
            write!(f, " (code {})", self.code)?;
        }
        let mut words = self.statement.split_whitespace();
        if let Some(first) = words.next() {
            write!(f, " in: {first}")?;
            words.try_for_each(|word| write!(f, " {word}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreError({self}, {:?})", self.class)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error.class {
            Class::Conflict => Fault::Conflict(error.into()),
            Class::ConnectionLost | Class::Stale => Fault::ConnectionLost(error.into()),
            Class::Busy => busy("the database is busy; try again"),
            Class::Other => Fault::Internal(error.into()),
        }
    }
}

/// The connection went away while it did `what`.
pub(crate) fn lost(what: &'static str) -> StoreError {
    StoreError::refused(what, "the connection was lost").with_class(Class::ConnectionLost)
}

/// Not done, and a later try may succeed.
pub(crate) fn busy(message: &str) -> Fault {
    Fault::Busy {
        message: message.to_owned(),
        retry_after: BUSY_RETRY_AFTER,
    }
}

/// Neither yes nor no: the answer to COMMIT was lost and running again did not settle it.
pub(crate) fn unknown(message: &str) -> Fault {
    Fault::Unknown {
        message: message.to_owned(),
    }
}

fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database
                .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
                .is_some()
            {
                class_of_sqlstate(&code, database.message())
            } else {
                class_of_sqlite(&code)
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => Class::ConnectionLost,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Busy,
        _ => Class::Other,
    }
}

fn class_of_sqlstate(code: &str, message: &str) -> Class {
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Class::Conflict,
        // statement_completion_unknown, and the server going away or not there yet
        "40003" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Class::ConnectionLost,
        // lock_not_available, query_canceled (statement_timeout)
        "55P03" | "57014" => Class::Busy,
        // too_many_connections and the rest of "insufficient resources"
        _ if code.starts_with("53") => Class::Busy,
        _ if code.starts_with("08") => Class::ConnectionLost,
        "0A000" if message.contains("cached plan") => Class::Stale,
        // invalid_sql_statement_name: a pooler lost the prepared statement
        "26000" => Class::Stale,
        READ_ONLY => Class::Stale,
        _ => Class::Other,
    }
}

fn class_of_sqlite(code: &str) -> Class {
    match primary_code(code) {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL
        Some(5 | 6 | 13) => Class::Busy,
        _ => Class::Other,
    }
}

/// The low byte of an extended result code is the primary one.
fn primary_code(code: &str) -> Option<i32> {
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
