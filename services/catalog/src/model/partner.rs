//! Partners and their suspension.

use contracts::id::PartnerId;
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};

use super::version::Version;
use super::words::words;

words! {
    /// Whether a partner may sell.
    PartnerState {
        /// May sell.
        Active = "ACTIVE",
        /// May not sell; it reads its data and its orders go on.
        Suspended = "SUSPENDED",
    }
}

impl PartnerState {
    /// Refuses what a suspended partner may not have: new proposals, approvals, listings put on sale.
    pub fn require_active(self) -> Result<(), Refusal> {
        match self {
            PartnerState::Active => Ok(()),
            PartnerState::Suspended => Err(Refusal::new(
                ErrorReason::PartnerSuspended,
                "The partner is suspended; until it is resumed nothing can be proposed, approved or put on sale.",
            )
            .because("STATE", "partner", self.word())),
        }
    }
}

/// What a partner says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerProfile {
    /// Short code, unique.
    pub partner_code: String,
    /// Its name for people.
    pub display_name: String,
    /// Who settles with the retailer.
    pub legal_entity: String,
}

/// A partner platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The partner.
    pub partner_id: PartnerId,
    /// What it says of itself.
    pub profile: PartnerProfile,
    /// Whether it may sell.
    pub state: PartnerState,
    /// Why it was suspended; empty when it is not.
    pub suspend_reason: String,
    /// How often it was changed.
    pub version: Version,
    /// When it was registered.
    pub create_time: Micros,
    /// When it was last changed.
    pub update_time: Micros,
}

impl Partner {
    /// A new partner; it may sell at once.
    pub fn register(partner_id: PartnerId, profile: PartnerProfile, now: Micros) -> Self {
        Partner {
            partner_id,
            profile,
            state: PartnerState::Active,
            suspend_reason: String::new(),
            version: Version::FIRST,
            create_time: now,
            update_time: now,
        }
    }

    /// Stops it from selling.
    pub fn suspend(&mut self, reason: &str, now: Micros) -> Result<(), Refusal> {
        self.turn(PartnerState::Suspended, reason, now)
    }

    /// Lets it sell again.
    pub fn resume(&mut self, now: Micros) -> Result<(), Refusal> {
        self.turn(PartnerState::Active, "", now)
    }

    fn turn(&mut self, state: PartnerState, reason: &str, now: Micros) -> Result<(), Refusal> {
        if self.state == state {
            let message = format!("The partner is {state} already; nothing was changed.");
            return Err(Refusal::wrong_state("partner", self.state, message));
        }
        self.state = state;
        self.suspend_reason = reason.to_owned();
        self.version = self.version.next();
        self.update_time = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_suspended_and_resumed_in_turn() {
        let profile = PartnerProfile {
            partner_code: "north".into(),
            display_name: "North".into(),
            legal_entity: "North AB".into(),
        };
        let mut partner = Partner::register(PartnerId::from_uuid(1), profile, Micros(1));
        assert_eq!(partner.state.require_active(), Ok(()));
        assert_eq!(
            partner.resume(Micros(2)).expect_err("active").reason,
            ErrorReason::WrongState
        );

        assert_eq!(partner.suspend("late payments", Micros(3)), Ok(()));
        assert_eq!((partner.version.0, partner.update_time), (2, Micros(3)));
        let refusal = partner.state.require_active().expect_err("suspended");
        assert_eq!(refusal.reason, ErrorReason::PartnerSuspended);
        let before = partner.clone();
        assert!(partner.suspend("again", Micros(4)).is_err());
        assert_eq!(partner, before);

        assert_eq!(partner.resume(Micros(5)), Ok(()));
        assert_eq!(
            (partner.suspend_reason.as_str(), partner.version.0),
            ("", 3)
        );
    }
}
