//! What services talk to each other over.
//!
//! A [`Wire`] goes under any generated client: `OrderServiceClient::new(wire.clone())`. Inside a process
//! it hands the request to the other service's layered server; across the network it balances over the
//! addresses behind a name. Encoding, layers, deadlines, tokens and traces are the same on both.

mod authorized;
mod credentials;
mod remote;
mod resolve;
mod target;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tonic::Status;

pub use resolve::{Dns, Resolve};
pub use target::{RemoteConfig, WireError};

use crate::auth::ServiceTokens;
use crate::clock::SharedClock;
use crate::errors::{BoxError, Fault};
use crate::ids::SharedIds;
use crate::layers::{LayeredService, Request, Response};

/// Carries calls to one service. Cheap to clone.
#[derive(Clone)]
pub struct Wire {
    carrier: Arc<dyn Carrier>,
}

trait Carrier: Send + Sync + 'static {
    fn carry(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, BoxError>>;
}

impl Wire {
    /// To a server in this process.
    pub fn local(server: LayeredService) -> Wire {
        Self::over(Local(server))
    }

    /// To a service at `http://name:port` or `https://name:port`, balanced over all addresses that the
    /// name has, now and later. Where there is no name for all replicas, their addresses stand beside each
    /// other: `http://10.0.0.1:7700,http://10.0.0.2:7700`; with `https` all must show the first one's
    /// certificate. Nothing is retried here.
    pub fn remote(
        uri: &str,
        config: &RemoteConfig,
        clock: &SharedClock,
        ids: &SharedIds,
    ) -> Result<Wire, WireError> {
        let (target, names) = target::Target::parse_all(uri, config)?;
        let names: Arc<dyn Resolve> = Arc::new(resolve::Several(names));
        Ok(Self::over(remote::Remote::start(
            target, names, config, clock, ids,
        )))
    }

    /// The same with another way to find the addresses.
    pub fn remote_with(
        uri: &str,
        names: Arc<dyn Resolve>,
        config: &RemoteConfig,
        clock: &SharedClock,
        ids: &SharedIds,
    ) -> Result<Wire, WireError> {
        let target = target::Target::parse(uri, config)?;
        Ok(Self::over(remote::Remote::start(
            target, names, config, clock, ids,
        )))
    }

    /// A wire whose other end is tied later, for services in one process that call each other in a
    /// circle. Calls before that are refused.
    pub fn late() -> (LateWire, Wire) {
        let end = Arc::new(OnceLock::new());
        (LateWire(end.clone()), Self::over(Late(end)))
    }

    /// The same wire for the calls of one service: each carries its own token, on behalf of the caller
    /// of the call in progress, and that call's trace, request id and what is left of its deadline.
    pub fn authorized(&self, tokens: ServiceTokens) -> Wire {
        Self::over(authorized::Authorized::new(self.clone(), tokens))
    }

    fn over(carrier: impl Carrier) -> Wire {
        Wire {
            carrier: Arc::new(carrier),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl tower::Service<Request> for Wire {
    type Response = Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.carrier.clone().carry(request)
    }
}

struct Local(LayeredService);

impl Carrier for Local {
    fn carry(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, BoxError>> {
        let answer = self.0.answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// The open end of a wire made by [`Wire::late`].
#[derive(Debug)]
pub struct LateWire(Arc<OnceLock<Wire>>);

impl LateWire {
    /// Ties the end.
    pub fn tie(self, to: Wire) {
        // The only holder of the end gives it up here, so it cannot have been tied before.
        let _ = self.0.set(to);
    }
}

struct Late(Arc<OnceLock<Wire>>);

impl Carrier for Late {
    fn carry(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, BoxError>> {
        match self.0.get() {
            Some(wire) => wire.carrier.clone().carry(request),
            None => refused(Fault::busy(
                "The service that this needs is still starting and nothing was done; try again.",
                std::time::Duration::from_secs(1),
            )),
        }
    }
}

/// An answer that generated clients take for the server's: they find the status in the error.
fn refused(fault: impl Into<Status>) -> BoxFuture<'static, Result<Response, BoxError>> {
    let status: Status = fault.into();
    Box::pin(async move { Err(status.into()) })
}

#[cfg(test)]
mod tests;
