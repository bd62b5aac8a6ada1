//! What PostgreSQL lets our role do.

use std::sync::OnceLock;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::{Purpose, options};
use crate::db::Shared;
use crate::error::StoreError;

/// How long a process that starts waits to hear of its role: its database may come up after it.
const ASK_LIMIT: Duration = Duration::from_secs(2);

// Asked once by each process, with the BEGIN of its first unit.
pub(super) const ROLE: &str =
    "(SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user)";

/// What to do about a role that is above the policies.
const BYPASSES: &str = "the database's role is a superuser or has BYPASSRLS, so that nothing would keep partners apart \
    in the database; name an ordinary role in url and the owner of the tables in migrate_url, or set allow_bypass_role";

/// Whether the policies of tables hold for the role that units run as, once that is known.
#[derive(Default)]
pub(super) struct RoleCheck(OnceLock<bool>);

impl RoleCheck {
    pub(super) fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Asks by itself, before any unit does. A database that cannot be asked just now is no problem of the role.
    pub(super) async fn ask(&self, shared: &Shared) {
        let asked = async {
            let mut connection = options(shared, Purpose::Units).ok()?.connect().await.ok()?;
            let (above,): (bool,) = sqlx::query_as(AssertSqlSafe(format!("SELECT {ROLE}")))
                .fetch_one(&mut connection)
                .await
                .ok()?;
            let _ = connection.close().await;
            self.0.set(above).ok()
        };
        let _ = tokio::time::timeout(ASK_LIMIT, asked).await;
    }

    /// Takes what was answered, and refuses the unit of a role that policies do not hold for, unless that is wanted.
    pub(super) fn check(&self, shared: &Shared, above: Option<bool>) -> Result<(), StoreError> {
        if let Some(above) = above
            && self.0.set(above).is_ok()
            && above
            && shared.config.allow_bypass_role
        {
            tracing::warn!(
                service = shared.service,
                "the database's role is above row-level security, and allow_bypass_role permits it"
            );
        }
        match self.problem(shared) {
            Some(problem) => Err(StoreError::refused("BEGIN", problem)),
            None => Ok(()),
        }
    }

    pub(super) fn problem(&self, shared: &Shared) -> Option<&'static str> {
        let above = self.0.get().copied().unwrap_or(false);
        (above && !shared.config.allow_bypass_role).then_some(BYPASSES)
    }
}
