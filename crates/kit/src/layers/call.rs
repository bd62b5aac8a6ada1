//! One call on its way through the layers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::policy::{Criticality, MethodPolicy};
use http::HeaderValue;
use tracing::Span;

use super::gate::Permit;
use super::{LayerDeps, Request, trace};
use crate::auth::Listener;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::scope::Scope;
use crate::server::OpenCall;
use crate::telemetry::CallTimer;

const HEALTH: [&str; 2] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A method of the contracts; its policy decides.
    Method(Arc<MethodPolicy>),
    /// Health, open to everybody.
    Health(&'static str),
    /// Reflection, open to everybody because config says so.
    Reflection(&'static str),
    /// Nothing that anybody may call.
    Unknown,
}

impl Target {
    pub(super) fn of(path: &str, listener: Listener, deps: &LayerDeps) -> Target {
        let config = &deps.config;
        let reflects = config.open_reflection
            && (listener != Listener::Partner || config.reflection_on_partner_port);
        let known = |paths: [&'static str; 2]| paths.into_iter().find(|known| *known == path);
        if let Some(policy) = deps.policies.method(path) {
            Target::Method(policy.clone())
        } else if let Some(path) = known(HEALTH) {
            Target::Health(path)
        } else if let Some(path) = known(REFLECTION).filter(|_| reflects) {
            Target::Reflection(path)
        } else {
            Target::Unknown
        }
    }

    /// A name from a fixed set, for logs and metrics.
    pub fn label(&self) -> &str {
        match self {
            Target::Method(policy) => &policy.path,
            Target::Health(path) | Target::Reflection(path) => path,
            Target::Unknown => "unknown",
        }
    }

    /// Whether the call's answer is a stream.
    pub fn streams(&self) -> bool {
        match self {
            Target::Method(policy) => policy.server_streaming,
            Target::Health(path) => *path == HEALTH[1],
            Target::Reflection(_) => true,
            Target::Unknown => false,
        }
    }

    /// Whether it places an order, as its idempotency key tells.
    pub(super) fn places_orders(&self) -> bool {
        match self {
            Target::Method(policy) => policy.idempotency_key == ["partner_order_id"],
            Target::Health(_) | Target::Reflection(_) | Target::Unknown => false,
        }
    }

    /// Whether anybody may call it, without a token.
    pub fn is_open(&self) -> bool {
        matches!(self, Target::Health(_) | Target::Reflection(_))
    }

    /// How it is treated under load.
    pub fn criticality(&self) -> Criticality {
        match self {
            Target::Method(policy) => policy.criticality,
            Target::Health(_) => Criticality::Critical,
            Target::Reflection(_) | Target::Unknown => Criticality::Sheddable,
        }
    }
}

/// One call and what the layers have found out about it.
pub struct Call {
    /// Names the call in logs and answers.
    pub request_id: String,
    /// W3C `traceparent` of the call; empty when there is none.
    pub traceparent: String,
    /// What is called.
    pub target: Target,
    /// When its caller stops waiting.
    pub deadline: Option<Instant>,
    /// Who calls, once authenticated.
    pub caller: Option<Arc<Caller>>,
    pub(super) span: Span,
    pub(super) timer: Option<CallTimer>,
    pub(super) permit: Option<Permit>,
    pub(super) connection: Option<OpenCall>,
    /// The token of a request that is signed, until that was looked at.
    pub(super) authorization: Option<HeaderValue>,
    scope: Option<Arc<Scope>>,
}

impl Call {
    pub(super) fn begin(
        request: &Request,
        target: Target,
        permit: Option<Permit>,
        connection: Option<OpenCall>,
        deps: &LayerDeps,
    ) -> Call {
        Call {
            request_id: trace::request_id(request.headers(), &*deps.ids),
            traceparent: String::new(),
            target,
            deadline: None,
            caller: None,
            span: Span::none(),
            timer: None,
            permit,
            connection,
            authorization: None,
            scope: None,
        }
    }

    /// What goes along with the call into its handler and with its stream; as it was when first asked for,
    /// which is when the layers are done.
    pub(super) fn scope(&mut self) -> Arc<Scope> {
        let scope = self.scope.take().unwrap_or_else(|| {
            Arc::new(Scope {
                request_id: self.request_id.clone(),
                traceparent: self.traceparent.clone(),
                deadline: self.deadline,
                principal: self.caller.as_ref().map(|caller| caller.principal()),
                queue: self
                    .permit
                    .as_ref()
                    .map(|permit| permit.queue.clone())
                    .unwrap_or_default(),
            })
        });
        self.scope.insert(scope).clone()
    }
}

/// When the caller of a request stops waiting; found in the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment; none for streams that live until either side ends them.
    pub at: Option<Instant>,
}

impl Deadline {
    /// The deadline of a request that went through the layers.
    pub fn of<T>(request: &tonic::Request<T>) -> Deadline {
        let found = request.extensions().get::<Deadline>().copied();
        found.unwrap_or(Deadline { at: None })
    }

    /// What is left of it; none when there is no deadline.
    pub fn remaining(&self, clock: &dyn Clock) -> Option<Duration> {
        Some(self.at?.saturating_duration_since(clock.instant()))
    }
}
