//! Outermost: a panic in one call is an answer of that call and nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tonic::Status;

use super::{Call, Handle, Request, Response};
use crate::errors::internal_status;

pub(super) struct CatchPanic<N> {
    next: N,
}

impl<N> CatchPanic<N> {
    pub(super) fn new(next: N) -> Self {
        CatchPanic { next }
    }
}

impl<N: Handle> Handle for CatchPanic<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let answer = AssertUnwindSafe(self.next.handle(call, request))
            .catch_unwind()
            .await;
        answer.unwrap_or_else(|panic| panicked(call, &*panic).into_http())
    }
}

/// Logs a panic under the call's id; callers learn nothing but the id.
pub(super) fn panicked(call: &Call, panic: &(dyn Any + Send)) -> Status {
    log_panic(&call.request_id, call.target.label(), panic)
}

pub(super) fn log_panic(request_id: &str, method: &str, panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text");
    tracing::error!(request_id, method, panic = text, "a handler panicked");
    internal_status(request_id)
}
