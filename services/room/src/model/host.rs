//! Who presents rooms.

use contracts::id::{CreatorId, HostId};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};

use super::version;
use super::words::words;

words! {
    /// Whether a host may go on air.
    HostState {
        /// Waits for approval.
        Pending = "PENDING",
        /// May go on air.
        Approved = "APPROVED",
        /// May not.
        Rejected = "REJECTED",
    }
}

/// Somebody who presents rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Which.
    pub id: HostId,
    /// Stage name.
    pub display_name: String,
    /// Who is paid when the host presents.
    pub creator_id: Option<CreatorId>,
    /// Whether they may go on air.
    pub state: HostState,
    /// The reason given with the last decision.
    pub decision_reason: String,
    /// When they were registered.
    pub create_time: Micros,
    /// How often they were changed.
    pub version: i64,
}

impl Host {
    /// A host who waits for approval.
    pub fn register(
        id: HostId,
        display_name: String,
        creator_id: Option<CreatorId>,
        now: Micros,
    ) -> Self {
        Host {
            id,
            display_name,
            creator_id,
            state: HostState::Pending,
            decision_reason: String::new(),
            create_time: now,
            version: 1,
        }
    }

    /// The etag of this version.
    pub fn etag(&self) -> String {
        version::etag(self.version)
    }

    /// Approves or rejects, from any state.
    pub fn decide(&mut self, approve: bool, reason: String) {
        self.state = if approve {
            HostState::Approved
        } else {
            HostState::Rejected
        };
        self.decision_reason = reason;
        self.version += 1;
    }

    /// Refuses a host who may not go on air.
    pub fn require_approved(&self) -> Result<(), Refusal> {
        if self.state == HostState::Approved {
            return Ok(());
        }
        let message = format!(
            "Host {} is {} and may not go on air; have ops approve the host with DecideHost first.",
            self.id, self.state
        );
        Err(Refusal::new(ErrorReason::HostNotApproved, message)
            .because("STATE", self.id, self.state.word())
            .with("host_id", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_approved_go_on_air_and_the_refusal_names_the_host() {
        let mut host = Host::register(HostId::from_uuid(1), "Ana".into(), None, Micros(0));
        let refusal = host.require_approved().expect_err("pending");
        assert_eq!(refusal.reason, ErrorReason::HostNotApproved);
        assert_eq!(refusal.metadata["host_id"], host.id.as_str());
        host.decide(true, String::new());
        assert_eq!(host.require_approved(), Ok(()));
        host.decide(false, "no licence".into());
        assert!(host.require_approved().is_err());
        assert_eq!(
            (host.version, host.decision_reason.as_str()),
            (3, "no licence")
        );
    }
}
