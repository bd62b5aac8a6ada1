//! One transaction on either engine.

use std::sync::Arc;

use kit::caller::{Caller, Tenant};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::ids::{IdSource, SharedIds};

use crate::audit::NewAudit;
use crate::error::{Class, StoreError};
use crate::head::{NewEntry, Pending};
use crate::keys::ShopperKeys;
use crate::postgres::PgUnit;
use crate::sqlite::SqliteUnit;

/// The database behind a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL, or a database that speaks its protocol.
    Postgres,
    /// The embedded engine.
    Sqlite,
}

impl Engine {
    /// The engine's name as metrics and logs say it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        }
    }
}

/// The connection inside a transaction; only the macros look inside.
pub enum Conn {
    /// A pooled PostgreSQL connection with an open transaction.
    Postgres(PgUnit),
    /// SQLite's one writer, or one of its readers.
    Sqlite(SqliteUnit),
}

/// One open transaction: the connection, the one time it decides by, and what it will publish.
///
/// An [`crate::Operation`] gets it, uses it through [`crate::sql!`] and [`crate::bulk!`], and never
/// commits: whoever runs the operation does.
pub struct Tx {
    pub(crate) conn: Conn,
    pub(crate) outbox: Vec<Pending>,
    pub(crate) audits: Vec<NewAudit>,
    scope: UnitScope,
    failure: Option<StoreError>,
}

/// What a transaction knows about the unit of work that it runs.
pub(crate) struct UnitScope {
    pub(crate) operation: &'static str,
    pub(crate) caller: Arc<Caller>,
    pub(crate) tenant: Tenant,
    pub(crate) now: Micros,
    pub(crate) ids: SharedIds,
    pub(crate) keys: Option<ShopperKeys>,
    pub(crate) write: bool,
}

/// A place inside a transaction that it can go back to; see [`Tx::savepoint`].
#[must_use = "a savepoint ends with release or rollback_to"]
pub struct Savepoint {
    entries: usize,
    audits: usize,
    tenant: Tenant,
}

/// That a unit looks beyond its tenant; see [`Tx::widen`].
#[must_use = "a look beyond the tenant ends with narrow"]
pub struct Widened {
    before: Tenant,
}

impl Tx {
    pub(crate) fn new(conn: Conn, scope: UnitScope) -> Self {
        Tx {
            conn,
            outbox: Vec::new(),
            audits: Vec::new(),
            scope,
            failure: None,
        }
    }

    /// Gives the same connection to the next unit of work.
    pub(crate) fn reuse(&mut self, scope: UnitScope) {
        self.outbox.clear();
        self.audits.clear();
        self.failure = None;
        self.scope = scope;
    }

    /// The only time that a decision in this transaction uses; the same for its whole length.
    pub fn now(&self) -> Micros {
        self.scope.now
    }

    /// Where new identifiers and randomness come from.
    pub fn ids(&self) -> &dyn IdSource {
        &*self.scope.ids
    }

    /// The keys that personal data is sealed with.
    pub fn keys(&self) -> Result<ShopperKeys, Fault> {
        let keys = self.scope.keys.clone();
        keys.ok_or_else(|| Fault::internal("this database was opened without a key store"))
    }

    /// On whose word the work is done.
    pub fn caller(&self) -> &Caller {
        &self.scope.caller
    }

    /// From here on the work is done on this caller's word: a batch carries out the commands of many. Somebody
    /// whose rows are not within the unit's reach fails it.
    pub fn act_for(&mut self, caller: Arc<Caller>) {
        if !self.scope.tenant.covers(&caller.tenant()) {
            let message = format!(
                "operation {} acts for {} beyond its tenant",
                self.scope.operation, caller.subject
            );
            self.note(StoreError::refused("", message));
        }
        self.scope.caller = caller;
    }

    /// Whose rows it may see and change. On PostgreSQL the tables' policies know it too; on SQLite rows that say
    /// `partner_id` are looked through as they are read.
    pub fn tenant(&self) -> &Tenant {
        &self.scope.tenant
    }

    /// Looks beyond the tenant, at what one partner's step needs to know of others' rows and does not tell. `why` is
    /// for whoever reads the source; a test lists every use. A round trip on PostgreSQL, and another to narrow.
    pub async fn widen(&mut self, why: &'static str) -> Result<Widened, StoreError> {
        let before = self.scope.tenant.clone();
        if !before.is_all() {
            tracing::trace!(
                operation = self.scope.operation,
                why,
                "looks beyond the tenant"
            );
            self.reach(Tenant::of([&Caller::system("widen")])).await?;
        }
        Ok(Widened { before })
    }

    /// Ends what [`Tx::widen`] began.
    pub async fn narrow(&mut self, widened: Widened) -> Result<(), StoreError> {
        if self.scope.tenant == widened.before {
            return Ok(());
        }
        self.reach(widened.before).await
    }

    async fn reach(&mut self, tenant: Tenant) -> Result<(), StoreError> {
        if self.engine() == Engine::Postgres {
            let setting = tenant.to_string();
            let _: (String,) = crate::sql!(
                self,
                one(String,),
                "SELECT set_config('vitrine.partners', $1, true)",
                setting
            )?;
        }
        self.scope.tenant = tenant;
        Ok(())
    }

    /// The name of the operation that runs.
    pub fn operation(&self) -> &'static str {
        self.scope.operation
    }

    /// The database behind it.
    pub fn engine(&self) -> Engine {
        match self.conn {
            Conn::Postgres(_) => Engine::Postgres,
            Conn::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Whether it may write; [`crate::Db::read`] gives one that may not.
    pub fn is_write(&self) -> bool {
        self.scope.write
    }

    /// Adds an entry to the service's feed. It is written last, and seen when the transaction commits.
    pub fn publish(&mut self, entry: NewEntry) {
        if self.may_write("published a feed entry") {
            let owner = &entry.partner_id;
            if !owner.is_empty() && !self.scope.tenant.sees(owner) {
                let message = format!(
                    "operation {} published an entry of a partner beyond its tenant",
                    self.scope.operation
                );
                self.note(StoreError::refused("", message));
            }
            let traceparent = self.scope.caller.traceparent.clone();
            self.outbox.push(Pending { entry, traceparent });
        }
    }

    /// Adds a row to the audit trail: what was done, to which resource, with what outcome.
    pub fn audit(
        &mut self,
        action: &'static str,
        resource_id: impl Into<String>,
        outcome: impl Into<String>,
    ) {
        if self.may_write("wrote to the audit trail") {
            self.audits.push(NewAudit::of(
                &self.scope.caller,
                action,
                resource_id,
                outcome,
            ));
        }
    }

    fn may_write(&mut self, what: &str) -> bool {
        if !self.scope.write {
            let message = format!(
                "operation {} {what} in a read-only transaction",
                self.scope.operation
            );
            self.note(StoreError::refused("", message));
        }
        self.scope.write
    }

    /// Marks a place to go back to, for a step that may fail without losing the transaction.
    pub async fn savepoint(&mut self) -> Result<Savepoint, StoreError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        crate::macros::control(self, "SAVEPOINT step").await?;
        Ok(Savepoint {
            entries: self.outbox.len(),
            audits: self.audits.len(),
            tenant: self.scope.tenant.clone(),
        })
    }

    /// Keeps what was done since the savepoint.
    pub async fn release(&mut self, _savepoint: Savepoint) -> Result<(), StoreError> {
        crate::macros::control(self, "RELEASE SAVEPOINT step").await
    }

    /// Undoes what was done since the savepoint, a failed statement included. A transaction that lost
    /// against another, or its connection, stays lost.
    pub async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<(), StoreError> {
        if let Some(failure) = self.failure.take_if(|failure| must_rerun(failure.class())) {
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        self.failure = None;
        self.outbox.truncate(savepoint.entries);
        self.audits.truncate(savepoint.audits);
        // PostgreSQL takes the setting back with everything else.
        self.scope.tenant = savepoint.tenant;
        crate::macros::control(self, "ROLLBACK TO SAVEPOINT step").await?;
        crate::macros::control(self, "RELEASE SAVEPOINT step").await
    }

    /// The failure that this transaction cannot be committed for.
    pub(crate) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// Remembers the first failure: from here on the transaction cannot be committed.
    pub(crate) fn note(&mut self, error: StoreError) {
        if self.failure.is_none() {
            self.failure = Some(error);
        }
    }

    /// What the unit's answer really is: a lost transaction stays lost whatever the operation made of it.
    pub(crate) fn verdict<T>(&mut self, answer: Result<T, Fault>) -> Result<T, Fault> {
        match (answer, self.failure.take()) {
            (answer, None) => answer,
            (_, Some(failure)) if must_rerun(failure.class()) => Err(failure.into()),
            (Err(fault), Some(_)) => Err(fault),
            (Ok(_), Some(failure)) => Err(failure.into()),
        }
    }
}

fn must_rerun(class: Class) -> bool {
    matches!(
        class,
        Class::Conflict | Class::ConnectionLost | Class::Stale
    )
}
