//! Registering hosts and deciding on them.

use ::store::{Operation, Tx};
use contracts::id::{CreatorId, HostId};
use kit::errors::{Fault, Refusal};

use super::follows::known_creator;
use crate::events;
use crate::model::{Host, version};
use crate::store::host::{host_insert, host_save, hosts_lock};

/// Registers a host, PENDING.
pub struct RegisterHost {
    /// Stage name.
    pub display_name: String,
    /// Who is paid when the host presents.
    pub creator_id: Option<CreatorId>,
}

impl Operation for RegisterHost {
    type Output = Host;

    fn name(&self) -> &'static str {
        "host.register"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Host, Fault> {
        if let Some(creator) = &self.creator_id {
            known_creator(tx, creator).await?;
        }
        let id = HostId::from_uuid(tx.ids().next());
        let host = Host::register(id, self.display_name.clone(), self.creator_id, tx.now());
        host_insert(tx, &host).await?;
        tx.publish(events::host_changed(&host));
        tx.audit(self.name(), host.id, host.state.word());
        Ok(host)
    }
}

/// Approves or rejects a host. Rooms that are on air are not touched.
pub struct DecideHost {
    /// Which.
    pub host_id: HostId,
    /// Whether they may go on air.
    pub approve: bool,
    /// Why.
    pub reason: String,
    /// The version that was decided on.
    pub etag: Option<String>,
}

impl Operation for DecideHost {
    type Output = Host;

    fn name(&self) -> &'static str {
        "host.decide"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Host, Fault> {
        let found = hosts_lock(tx, &[self.host_id]).await?.pop();
        let mut host = found.ok_or_else(|| Refusal::not_found("host"))?;
        version::require_etag(host.version, self.etag.as_deref(), "host")?;
        host.decide(self.approve, self.reason.clone());
        host_save(tx, &host).await?;
        tx.publish(events::host_changed(&host));
        tx.audit(self.name(), host.id, host.state.word());
        Ok(host)
    }
}
