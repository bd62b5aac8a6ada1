//! Innermost: hands the call to the server's routes, with what the layers found out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use super::{Call, Deadline, Handle, LayersConfig, Request, Response, Target, authorize, refuse};
use crate::errors::Refusal;

pub(super) struct Routed {
    routes: Routes,
    max_request_bytes: usize,
    handed_over: Arc<AtomicU64>,
}

impl Routed {
    pub(super) fn new(routes: Routes, config: &LayersConfig, handed_over: Arc<AtomicU64>) -> Self {
        // A method that the contracts have and this process does not serve is refused in our words.
        let router = routes
            .into_axum_router()
            .fallback(|| async { refuse(authorize::not_offered()) });
        Routed {
            routes: Routes::from(router).prepare(),
            max_request_bytes: config.max_request_bytes,
            handed_over,
        }
    }
}

impl Handle for Routed {
    async fn handle(&self, call: &mut Call, mut request: Request) -> Response {
        request
            .extensions_mut()
            .insert(Deadline { at: call.deadline });
        if let Some(caller) = &call.caller {
            request.extensions_mut().insert(caller.clone());
        }
        if !call.target.is_open() {
            self.handed_over.fetch_add(1, Ordering::Relaxed);
        }
        let client_streams = match &call.target {
            Target::Method(policy) => policy.client_streaming,
            Target::Reflection(_) => true,
            Target::Health(_) | Target::Unknown => false,
        };
        if !client_streams {
            request = request.map(|inner| {
                Body::new(LimitedBody {
                    inner,
                    left: self.max_request_bytes,
                    limit: self.max_request_bytes,
                    prefix: [0; PREFIX],
                    have: 0,
                })
            });
        }
        let mut routes = self.routes.clone();
        let answer = call
            .scope()
            .run_shared(async move { routes.call(request).await })
            .await;
        match answer {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}

/// What gRPC says before a message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// A request body that ends with a refusal when it is too large, before it is held in memory; also when it only
/// says so, because tonic makes room for what is announced.
struct LimitedBody {
    inner: Body,
    left: usize,
    limit: usize,
    prefix: [u8; PREFIX],
    have: usize,
}

impl LimitedBody {
    /// Whether the body keeps within its limit, as far as these bytes tell.
    fn admits(&mut self, data: &Bytes) -> bool {
        let Some(left) = self.left.checked_sub(data.remaining()) else {
            return false;
        };
        self.left = left;
        if self.have < PREFIX {
            let now = data.len().min(PREFIX - self.have);
            self.prefix[self.have..self.have + now].copy_from_slice(&data[..now]);
            self.have += now;
        }
        let [_, length @ ..] = self.prefix;
        self.have < PREFIX || (u32::from_be_bytes(length) as usize) < self.limit
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && !this.admits(data)
        {
            this.inner = Body::empty();
            let message = format!("must not be larger than {} bytes.", this.limit);
            return Poll::Ready(Some(Err(Refusal::invalid("request", message).into())));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
