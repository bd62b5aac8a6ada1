//! What the caller may do: decided by the method's own policy, refused when there is none.

use contracts::common::v1::Audience;
use contracts::policy::{Access, MethodPolicy};

use super::{Call, Handle, Request, Response, Target, refuse};
use crate::caller::{Caller, audience_word, role_word};
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

pub(super) struct Authorize<N> {
    next: N,
    metrics: Metrics,
}

impl<N> Authorize<N> {
    pub(super) fn new(next: N, metrics: Metrics) -> Self {
        Authorize { next, metrics }
    }
}

impl<N: Handle> Handle for Authorize<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let verdict = match (&call.target, &call.caller) {
            (Target::Health(_) | Target::Reflection(_), _) => Ok(()),
            (Target::Method(policy), Some(caller)) => decide(policy, caller),
            (Target::Unknown, Some(_)) => Err(not_offered()),
            // Authentication refuses these before; should it ever not, nothing is let through here.
            (Target::Method(_) | Target::Unknown, None) => Err(denied("It needs a bearer token.")),
        };
        match verdict {
            Ok(()) => self.next.handle(call, request).await,
            Err(refusal) => {
                let why = if refusal.reason == ErrorReason::NotOffered {
                    "unknown_method"
                } else {
                    "denied"
                };
                self.metrics.refused("authorize", why);
                refuse(refusal)
            }
        }
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
