//! Who is calling, as the token said it.

mod tenant;

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{OutletId, PartnerId, RoomId};
use tonic::{Request, Status};

use crate::errors::{ErrorReason, Fault, Refusal};

pub use tenant::Tenant;

/// The caller of an RPC, or the background work that acts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`.
    pub subject: String,
    /// The token's `iss`.
    pub issuer: String,
    /// Whom the token speaks for.
    pub audience: Audience,
    /// The partner, for PARTNER and for a VIEWER on a partner's outlet.
    pub partner_id: Option<PartnerId>,
    /// What a RETAILER token may do.
    pub roles: Vec<RetailerRole>,
    /// The token's scopes.
    pub scopes: Arc<BTreeSet<String>>,
    /// The room of a VIEWER.
    pub room_id: Option<RoomId>,
    /// The outlet of a VIEWER.
    pub outlet_id: Option<OutletId>,
    /// The shopper of a VIEWER: the partner's opaque id.
    pub shopper_ref: Option<String>,
    /// For SERVICE: whom the service acts for, as the audit names them.
    pub on_behalf_of: Option<String>,
    /// Names the call in logs and answers.
    pub request_id: String,
    /// W3C `traceparent` of the call; empty when there is none.
    pub traceparent: String,
}

impl Caller {
    /// The caller of a request that went through the layers.
    pub fn of<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
        // A request without a caller has gone round the layers: a fault of ours, not of the caller.
        request
            .extensions()
            .get::<Arc<Caller>>()
            .cloned()
            .ok_or_else(|| Fault::internal("a request without a caller reached a handler").into())
    }

    /// Background work of the suite, such as `expire-holds`.
    pub fn system(name: &str) -> Caller {
        Caller {
            subject: format!("system/{name}"),
            issuer: "vitrine".into(),
            audience: Audience::Service,
            partner_id: None,
            roles: Vec::new(),
            scopes: Arc::default(),
            room_id: None,
            outlet_id: None,
            shopper_ref: None,
            on_behalf_of: None,
            request_id: String::new(),
            traceparent: String::new(),
        }
    }

    /// The partner that calls, or for which a viewer calls.
    pub fn partner(&self) -> Result<PartnerId, Refusal> {
        self.partner_id.ok_or_else(|| {
            Refusal::new(
                ErrorReason::PermissionDenied,
                "This call is for partners; use a token that names a partner.",
            )
        })
    }

    /// Whether the caller may see what belongs to `owner`. The retailer and the suite's own services
    /// see everything; others only their own.
    pub fn sees(&self, owner: &PartnerId) -> bool {
        match self.audience {
            Audience::Retailer | Audience::Service => true,
            Audience::Partner | Audience::Viewer => self.partner_id.as_ref() == Some(owner),
            Audience::Unspecified => false,
        }
    }

    /// Refuses what belongs to another partner, in the words used for what does not exist.
    pub fn require_partner(&self, owner: &PartnerId, kind: &str) -> Result<(), Refusal> {
        if self.sees(owner) {
            Ok(())
        } else {
            Err(Refusal::not_found(kind))
        }
    }

    /// Whether a RETAILER token carries the role.
    pub fn has_role(&self, role: RetailerRole) -> bool {
        self.audience == Audience::Retailer && self.roles.contains(&role)
    }

    /// The scope within which the caller's idempotency keys are unique.
    ///
    /// A partner is one scope whatever issuer or subject its tokens name, so that a retry with another
    /// token is still the same call. The others are known only by issuer and subject.
    pub fn scope_key(&self) -> String {
        let issuer = plain(&self.issuer);
        let subject = plain(&self.subject);
        match (self.audience, &self.partner_id) {
            (Audience::Partner, Some(partner)) => format!("partner|{partner}"),
            (Audience::Viewer, partner) => format!(
                "viewer|{issuer}|{}|{}|{}",
                partner
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                self.outlet_id
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                plain(self.shopper_ref.as_deref().unwrap_or_default()),
            ),
            (Audience::Retailer, _) => format!("retailer|{issuer}|{subject}"),
            (Audience::Service, _) => format!("service|{subject}"),
            (Audience::Partner | Audience::Unspecified, _) => format!("other|{issuer}|{subject}"),
        }
    }

    /// How the audit and other services name the caller: for a service, the one it acts for.
    pub fn principal(&self) -> String {
        match &self.on_behalf_of {
            Some(principal) => principal.clone(),
            None => format!("{}:{}", audience_word(self.audience), self.subject),
        }
    }
}

/// The word for an audience in tokens, logs and metrics.
pub fn audience_word(audience: Audience) -> &'static str {
    match audience {
        Audience::Unspecified => "nobody",
        Audience::Partner => "partner",
        Audience::Retailer => "retailer",
        Audience::Viewer => "viewer",
        Audience::Service => "service",
    }
}

/// The audience of a word.
pub fn audience_named(word: &str) -> Option<Audience> {
    [
        Audience::Partner,
        Audience::Retailer,
        Audience::Viewer,
        Audience::Service,
    ]
    .into_iter()
    .find(|audience| audience_word(*audience) == word)
}

/// The word for a role in tokens and config: `ops`.
pub fn role_word(role: RetailerRole) -> &'static str {
    match role {
        RetailerRole::Unspecified => "none",
        RetailerRole::Ops => "ops",
        RetailerRole::Host => "host",
        RetailerRole::Moderator => "moderator",
        RetailerRole::Care => "care",
        RetailerRole::Warehouse => "warehouse",
        RetailerRole::Carrier => "carrier",
        RetailerRole::Finance => "finance",
        RetailerRole::Inspector => "inspector",
    }
}

/// Every role, in the order of the contract.
pub const ROLES: [RetailerRole; 8] = [
    RetailerRole::Ops,
    RetailerRole::Host,
    RetailerRole::Moderator,
    RetailerRole::Care,
    RetailerRole::Warehouse,
    RetailerRole::Carrier,
    RetailerRole::Finance,
    RetailerRole::Inspector,
];

/// The role of a word.
pub fn role_named(word: &str) -> Option<RetailerRole> {
    ROLES.into_iter().find(|role| role_word(*role) == word)
}

/// Makes a part of a key that cannot be mistaken for two parts.
fn plain(part: &str) -> String {
    part.replace('%', "%25").replace('|', "%7C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partner(issuer: &str, subject: &str, partner: u128) -> Caller {
        Caller {
            audience: Audience::Partner,
            issuer: issuer.into(),
            subject: subject.into(),
            partner_id: Some(PartnerId::from_uuid(partner)),
            ..Caller::system("x")
        }
    }

    #[test]
    fn another_partners_thing_is_refused_like_an_unknown_one() {
        let caller = partner("i", "s", 1);
        assert_eq!(
            caller.require_partner(&PartnerId::from_uuid(1), "order"),
            Ok(())
        );
        assert_eq!(
            caller.require_partner(&PartnerId::from_uuid(2), "order"),
            Err(Refusal::not_found("order"))
        );
        assert_eq!(
            Caller::system("x").require_partner(&PartnerId::from_uuid(2), "order"),
            Ok(())
        );
        assert!(Caller::system("x").partner().is_err());
    }

    #[test]
    fn a_partner_is_one_idempotency_scope_and_others_never_collide() {
        assert_eq!(
            partner("a", "x", 1).scope_key(),
            partner("b", "y", 1).scope_key()
        );
        assert_ne!(
            partner("a", "x", 1).scope_key(),
            partner("a", "x", 2).scope_key()
        );
        let retailer = |issuer: &str, subject: &str| Caller {
            audience: Audience::Retailer,
            partner_id: None,
            ..partner(issuer, subject, 1)
        };
        assert_ne!(
            retailer("a|b", "c").scope_key(),
            retailer("a", "b|c").scope_key()
        );
        assert_ne!(
            retailer("a", "%7C").scope_key(),
            retailer("a", "|").scope_key()
        );
    }

    #[test]
    fn a_service_is_named_by_whom_it_acts_for() {
        let mut caller = Caller::system("sweep");
        assert_eq!(caller.principal(), "service:system/sweep");
        caller.on_behalf_of = Some("partner:acme".into());
        assert_eq!(caller.principal(), "partner:acme");
    }

    #[test]
    fn words_name_roles_and_audiences_both_ways() {
        for role in ROLES {
            assert_eq!(role_named(role_word(role)), Some(role));
        }
        assert_eq!(role_named("none"), None);
        assert_eq!(audience_named("viewer"), Some(Audience::Viewer));
        assert_eq!(audience_named("nobody"), None);
    }
}
