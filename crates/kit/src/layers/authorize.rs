//! What the caller may do: decided by the method's own policy, refused when there is none.

use std::time::Duration;

use contracts::common::v1::Audience;
use contracts::policy::{Access, Criticality, MethodPolicy};

use super::{Call, Handle, LayerDeps, Request, Response, Target, refuse};
use crate::auth::Peer;
use crate::caller::{Caller, audience_word, role_word};
use crate::clock::{Micros, SharedClock};
use crate::errors::{ErrorReason, Refusal};
use crate::partners::{Access as KnownAccess, PartnerDirectory, Pinned};
use crate::telemetry::Metrics;

pub(super) struct Authorize<N> {
    next: N,
    partners: PartnerDirectory,
    clock: SharedClock,
    metrics: Metrics,
}

impl<N> Authorize<N> {
    pub(super) fn new(next: N, deps: &LayerDeps) -> Self {
        Authorize {
            next,
            partners: deps.verifier.partners().clone(),
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
        }
    }
}

impl<N: Handle> Handle for Authorize<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let verdict = match (&call.target, &call.caller) {
            (Target::Health(_) | Target::Reflection(_), _) => Ok(()),
            (Target::Method(policy), Some(caller)) => decide(policy, caller)
                .and_then(|()| self.decide_on_partner(policy, caller, &request)),
            (Target::Unknown, Some(_)) => Err(not_offered()),
            // Authentication refuses these before; should it ever not, nothing is let through here.
            (Target::Method(_) | Target::Unknown, None) => Err(denied("It needs a bearer token.")),
        };
        match verdict {
            Ok(()) => self.next.handle(call, request).await,
            Err(refusal) => {
                let why = match refusal.reason {
                    ErrorReason::NotOffered => "unknown_method",
                    ErrorReason::PartnerSuspended => "partner_suspended",
                    ErrorReason::Overloaded => "partners_unknown",
                    _ => "denied",
                };
                self.metrics.refused("authorize", why);
                refuse(refusal)
            }
        }
    }
}

impl<N> Authorize<N> {
    /// Whether what is known of the partner lets its token, or its viewer's, in. What reports money that was taken or
    /// paid back already is let in however the partner stands: that money has to be recorded.
    fn decide_on_partner(
        &self,
        policy: &MethodPolicy,
        caller: &Caller,
        request: &Request,
    ) -> Result<(), Refusal> {
        let (Audience::Partner | Audience::Viewer, Some(partner_id)) =
            (caller.audience, &caller.partner_id)
        else {
            return Ok(());
        };
        let stays_open = is_open_to_suspended(policy);
        if !stays_open && !self.partners.is_loaded() {
            return Err(not_known_yet());
        }
        let Some(known) = self.partners.of(partner_id) else {
            return Ok(());
        };
        if known.suspended && !stays_open {
            return Err(suspended());
        }
        if caller.audience == Audience::Viewer {
            // The scopes and certificates are those of the partner's servers; viewers' tokens say all they may.
            return Ok(());
        }
        if let Some(peer) = Peer::of(request.extensions()).filter(|peer| peer.asks_certificates) {
            certificate(&known.access, peer, self.clock.now())?;
        }
        within(&known.access, policy)
    }
}

/// Methods that a suspended partner may still call: money already taken or paid back, as their policy says it.
pub(super) fn is_open_to_suspended(policy: &MethodPolicy) -> bool {
    policy.criticality == Criticality::Critical
}

/// The refusal of whoever speaks for a suspended partner.
pub(super) fn suspended() -> Refusal {
    Refusal::new(
        ErrorReason::PartnerSuspended,
        "The partner is suspended and nothing was done; until the retailer resumes it only payments and refunds that were made already can be reported.",
    )
    .because("STATE", "partner", "SUSPENDED")
}

fn not_known_yet() -> Refusal {
    Refusal::new(
        ErrorReason::Overloaded,
        "The server has just started and does not know its partners yet; nothing was done, try again in a moment.",
    )
    .retry_after(Duration::from_millis(500))
}

/// A partner that has registered certificates comes with one of them, where certificates are asked for.
fn certificate(access: &KnownAccess, peer: &Peer, now: Micros) -> Result<(), Refusal> {
    let pinned = match &peer.certificate {
        Some(shown) => {
            let names: Vec<&str> = shown.spiffe_id().into_iter().collect();
            access.pinned(shown.sha256(), &names, now)
        }
        None if access.certificates.is_empty() => Pinned::Nothing,
        None => Pinned::No,
    };
    match pinned {
        Pinned::Nothing | Pinned::Yes => Ok(()),
        Pinned::No => Err(denied(
            "The connection shows none of the client certificates that are registered for the partner; use one of them, or have this one registered.",
        )),
    }
}

/// Whether the partner may use what the method needs, whatever its token says.
fn within(access: &KnownAccess, policy: &MethodPolicy) -> Result<(), Refusal> {
    let needed = policy
        .access
        .iter()
        .filter(|access| access.audience == Audience::Partner)
        .flat_map(|access| &access.scopes);
    match needed.into_iter().find(|scope| !access.allows(scope)) {
        None => Ok(()),
        Some(scope) => Err(denied(&format!(
            "The scope {scope} is not among those that the retailer allows the partner."
        ))),
    }
}

/// Whether the policy lets the caller in.
fn decide(policy: &MethodPolicy, caller: &Caller) -> Result<(), Refusal> {
    if policy.access.iter().any(|access| admits(access, caller)) {
        return Ok(());
    }
    // The policies are in the published contract, so naming what is missing gives nothing away.
    match policy
        .access
        .iter()
        .find(|access| access.audience == caller.audience)
    {
        None => Err(denied(&format!(
            "This method is not for {} tokens.",
            audience_word(caller.audience)
        ))),
        Some(access) => Err(denied(&needs(access))),
    }
}

fn admits(access: &Access, caller: &Caller) -> bool {
    let has_role =
        || access.roles.is_empty() || access.roles.iter().any(|role| caller.roles.contains(role));
    access.audience != Audience::Unspecified
        && access.audience == caller.audience
        && access
            .scopes
            .iter()
            .all(|scope| caller.scopes.contains(scope))
        && has_role()
}

fn needs(access: &Access) -> String {
    let mut text = String::from("The token needs");
    if !access.scopes.is_empty() {
        text.push_str(&format!(" the scope {}", access.scopes.join(" and ")));
    }
    if !access.roles.is_empty() {
        let roles: Vec<_> = access.roles.iter().map(|role| role_word(*role)).collect();
        let and = if access.scopes.is_empty() { "" } else { " and" };
        text.push_str(&format!("{and} the role {}", roles.join(" or ")));
    }
    text.push('.');
    text
}

fn denied(why: &str) -> Refusal {
    Refusal::new(
        ErrorReason::PermissionDenied,
        format!("The token does not allow this method. {why}"),
    )
}

/// The refusal for a method that this server does not have.
pub(super) fn not_offered() -> Refusal {
    Refusal::new(
        ErrorReason::NotOffered,
        "This server does not offer that method; check its name and the server's address.",
    )
}
