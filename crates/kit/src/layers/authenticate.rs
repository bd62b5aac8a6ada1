//! Who calls. Whatever is wrong with a token, callers get one and the same answer; our log says what.

use std::sync::Arc;

use contracts::common::v1::Audience;
use http::{HeaderMap, header};

use super::signatures::authorization_of;
use super::{Call, Handle, LayerDeps, Request, Response, refuse};
use crate::auth::{AuthError, TokenVerifier};
use crate::caller::{Caller, audience_word};
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

pub(super) struct Authenticate<N> {
    next: N,
    verifier: TokenVerifier,
    metrics: Metrics,
}

impl<N> Authenticate<N> {
    pub(super) fn new(next: N, deps: &LayerDeps) -> Self {
        Authenticate {
            next,
            verifier: deps.verifier.clone(),
            metrics: deps.metrics.clone(),
        }
    }

    fn caller(&self, call: &Call, headers: &HeaderMap) -> Result<Caller, Problem> {
        let identity = self.verifier.verify(bearer(headers)?)?;
        Ok(identity.caller(&call.request_id, &call.traceparent))
    }
}

impl<N: Handle> Handle for Authenticate<N> {
    async fn handle(&self, call: &mut Call, mut request: Request) -> Response {
        if !call.target.is_open() {
            match self.caller(call, request.headers()) {
                Ok(caller) => {
                    call.span.record("caller", name_for_logs(&caller));
                    call.caller = Some(Arc::new(caller));
                }
                Err(problem) => {
                    self.metrics.refused("authenticate", problem.word());
                    tracing::info!(%problem, "a call without a valid token");
                    return refuse(unauthenticated());
                }
            }
        }
        call.authorization = authorization_of(request.headers());
        // From here on nobody else needs the token, and nobody can log it or hand it on.
        request.headers_mut().remove(header::AUTHORIZATION);
        self.next.handle(call, request).await
    }
}

fn unauthenticated() -> Refusal {
    Refusal::new(
        ErrorReason::Unauthenticated,
        "There is no valid bearer token; send a current one as `authorization: Bearer …`.",
    )
}

/// A shopper's reference stays out of logs; whose viewer it is says enough.
fn name_for_logs(caller: &Caller) -> String {
    match (caller.audience, &caller.outlet_id) {
        (Audience::Viewer, Some(outlet)) => format!("{}:{outlet}", audience_word(caller.audience)),
        _ => caller.principal(),
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("no authorization header")]
    Missing,
    #[error("the authorization header is no single bearer token")]
    Malformed,
    #[error("{0}")]
    Token(#[from] AuthError),
}

impl Problem {
    /// From a fixed set, for metrics.
    fn word(&self) -> &'static str {
        match self {
            Problem::Missing => "missing",
            Problem::Malformed => "malformed",
            Problem::Token(AuthError::Expired) => "expired",
            Problem::Token(_) => "invalid",
        }
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let value = sent.next().ok_or(Problem::Missing)?;
    if sent.next().is_some() {
        return Err(Problem::Malformed);
    }
    let text = value.to_str().map_err(|_| Problem::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(token.trim_start_matches(' '))
        }
        _ => Err(Problem::Malformed),
    }
}
