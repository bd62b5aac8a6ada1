//! Who calls. Whatever is wrong with a token, callers get one and the same answer; our log says what.

use std::sync::Arc;

use contracts::common::v1::Audience;
use http::{HeaderMap, header};

use super::signatures::authorization_of;
use super::{Call, Handle, LayerDeps, Request, Response, refuse};
use crate::auth::{AuthError, Identity, Listener, Peer, TokenVerifier};
use crate::caller::{Caller, audience_word};
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

pub(super) struct Authenticate<N> {
    next: N,
    verifier: TokenVerifier,
    metrics: Metrics,
    retailer_on_partner_port: bool,
}

impl<N> Authenticate<N> {
    pub(super) fn new(next: N, deps: &LayerDeps) -> Self {
        Authenticate {
            next,
            verifier: deps.verifier.clone(),
            metrics: deps.metrics.clone(),
            retailer_on_partner_port: deps.config.retailer_on_partner_port,
        }
    }

    async fn identity(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Arc<Identity>, Problem> {
        let identity = self.verifier.verify_with_new_keys(bearer(headers)?).await?;
        let listener = peer.map(|peer| peer.listener).unwrap_or_default();
        if !listener.admits(identity.audience, self.retailer_on_partner_port) {
            return Err(Problem::WrongListener(listener, identity.audience));
        }
        self.verifier.check_peer(&identity, peer)?;
        Ok(identity)
    }
}

impl<N: Handle> Handle for Authenticate<N> {
    async fn handle(&self, call: &mut Call, mut request: Request) -> Response {
        if !call.target.is_open() {
            let peer = Peer::of(request.extensions());
            match self.identity(request.headers(), peer).await {
                Ok(identity) => {
                    let caller = identity.caller(&call.request_id, &call.traceparent);
                    call.span.record("caller", name_for_logs(&caller));
                    call.caller = Some(Arc::new(caller));
                }
                Err(problem) => {
                    self.metrics.refused("authenticate", problem.word());
                    tracing::info!(%problem, "a call without a valid token");
                    return refuse(problem.refusal());
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
    #[error("a {word} token on the port for others: {0:?}", word = audience_word(*.1))]
    WrongListener(Listener, Audience),
}

impl Problem {
    /// One and the same for all bad tokens. Who has a genuine one is told what else it takes.
    fn refusal(&self) -> Refusal {
        match self {
            Problem::Token(error) if error.is_about_certificate() => Refusal::new(
                ErrorReason::Unauthenticated,
                "The token is not good on this connection; connect with the client certificate that it is issued for.",
            ),
            Problem::WrongListener(_, audience) => Refusal::new(
                ErrorReason::WrongListener,
                format!(
                    "This port is not for {} tokens; call on the other port of this server.",
                    audience_word(*audience)
                ),
            ),
            _ => unauthenticated(),
        }
    }

    /// From a fixed set, for metrics.
    fn word(&self) -> &'static str {
        match self {
            Problem::Missing => "missing",
            Problem::Malformed => "malformed",
            Problem::Token(AuthError::Expired) => "expired",
            Problem::Token(error) if error.is_about_certificate() => "certificate",
            Problem::WrongListener(..) => "wrong_listener",
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
