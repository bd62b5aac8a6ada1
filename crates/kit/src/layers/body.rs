//! The end of an answer. A stream goes on long after its handler has returned, so what belongs to the
//! call (span, scope, timer, permit, deadline, panics, the drain) goes on with the body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::gate::{Held, Permit};
use super::{Call, LayerDeps, REQUEST_ID, Response, Target, authorize, catch_panic, deadline};
use crate::errors::{ErrorReason, Refusal};
use crate::scope::Scope;
use crate::server::OpenCall;
use crate::telemetry::{CallTimer, code_name};

const GRPC_STATUS: &str = "grpc-status";

/// Puts the request id on the answer and lets the call end when its body does.
pub(super) fn finish(mut call: Call, mut answer: Response, deps: &LayerDeps) -> Response {
    if let Ok(id) = HeaderValue::from_str(&call.request_id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    let mut end = End {
        span: call.span.clone(),
        timer: None,
        permit: None,
        held: None,
    };
    let scope = call.scope();
    let left = call
        .deadline
        .map(|at| at.saturating_duration_since(deps.clock.instant()));
    let suspended = suspension(&call, deps);
    let Call {
        request_id,
        target,
        timer,
        mut permit,
        connection,
        ..
    } = call;
    if !target.streams() {
        // The work is done. Whoever does not fetch the answer takes nobody else's room by that, only their own.
        end.held = permit.take().and_then(|mut done| done.held.take());
    }
    (end.timer, end.permit) = (timer, permit);
    if let Some(code) = code_in(answer.headers()) {
        end.finish(code);
        return answer;
    }
    let stream = target.streams().then(|| StreamLimits {
        deadline: left.map(|left| Box::pin(tokio::time::sleep(left))),
        drained: drained(deps, connection.as_ref()),
        suspended,
    });
    // Headers go at once; whatever follows waits until the client has room for it.
    if let Some(open) = &connection {
        open.wait();
    }
    answer.map(|inner| {
        Body::new(CallBody {
            inner,
            end: Some(end),
            stream,
            scope,
            request_id,
            target,
            connection,
            rest: Bytes::new(),
        })
    })
}

/// Resolves when the partner is suspended whose stream this is; none when it may go on all the same.
fn suspension(call: &Call, deps: &LayerDeps) -> Option<BoxFuture<'static, ()>> {
    let Target::Method(policy) = &call.target else {
        return None;
    };
    if !policy.server_streaming || authorize::is_open_to_suspended(policy) {
        return None;
    }
    let partner_id = call.caller.as_ref()?.partner_id?;
    Some(Box::pin(deps.verifier.partners().suspension(partner_id)))
}

/// Resolves when a stream has to end: at once when its connection is about to close, and some time after
/// the drain has told streams to end, for those that did not.
fn drained(deps: &LayerDeps, connection: Option<&OpenCall>) -> BoxFuture<'static, ()> {
    let drain = deps.drain.clone();
    let grace = Duration::from_millis(deps.config.stream_drain_grace_ms);
    let told = async move {
        drain.cancelled_owned().await;
        tokio::time::sleep(grace).await;
    };
    match connection.map(|open| open.connection().streams_end()) {
        None => Box::pin(told),
        Some(streams_end) => Box::pin(async move {
            tokio::select! {
                () = told => {}
                () = streams_end.cancelled_owned() => {}
            }
        }),
    }
}

/// What is done once, when the call is over. Dropped unfinished, the call counts as cancelled.
struct End {
    span: Span,
    timer: Option<CallTimer>,
    permit: Option<Permit>,
    held: Option<Held>,
}

impl End {
    fn finish(mut self, code: Code) {
        self.span
            .record("rpc.response.status_code", code_name(code));
        if let Some(timer) = self.timer.take() {
            timer.finish(code);
        }
        self.permit.take();
        self.held.take();
    }
}

struct StreamLimits {
    deadline: Option<Pin<Box<Sleep>>>,
    drained: BoxFuture<'static, ()>,
    suspended: Option<BoxFuture<'static, ()>>,
}

impl StreamLimits {
    /// Why the stream has to end now, if it has to.
    fn poll(&mut self, cx: &mut Context<'_>, target: &Target) -> Option<Refusal> {
        if let Some(sleep) = &mut self.deadline
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Some(deadline::exceeded(target));
        }
        if let Some(suspended) = &mut self.suspended
            && suspended.as_mut().poll(cx).is_ready()
        {
            return Some(authorize::suspended());
        }
        self.drained.as_mut().poll(cx).is_ready().then(|| {
            Refusal::new(
                ErrorReason::Draining,
                "The server is going away; connect again and go on from the last cursor.",
            )
            .retry_after(Duration::from_millis(1))
        })
    }
}

struct CallBody {
    inner: Body,
    end: Option<End>,
    stream: Option<StreamLimits>,
    scope: Arc<Scope>,
    request_id: String,
    target: Target,
    connection: Option<OpenCall>,
    /// What is left of the present message. HTTP/2 takes a whole chunk as soon as there is room for one byte of it, and
    /// keeps the rest; in pieces, a client that makes no room costs one piece.
    rest: Bytes,
}

/// What HTTP/2 is given at a time.
const PIECE: usize = 16_384;

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl CallBody {
    fn over(&mut self, code: Code) {
        if let Some(end) = self.end.take() {
            end.finish(code);
        }
    }

    /// Ends the answer with this status and lets go of whatever made the rest of it.
    fn cut(&mut self, status: &Status) -> Polled {
        self.inner = Body::empty();
        self.rest = Bytes::new();
        self.stream = None;
        self.connection = None;
        self.over(status.code());
        let mut trailers = HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(status) => Poll::Ready(Some(Err(status))),
        }
    }

    fn next_piece(&mut self) -> Polled {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        if let Some(open) = &self.connection {
            open.wait();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> std::thread::Result<Polled> {
        let span = self
            .end
            .as_ref()
            .map_or_else(Span::none, |end| end.span.clone());
        let (scope, inner) = (self.scope.clone(), &mut self.inner);
        span.in_scope(|| {
            catch_unwind(AssertUnwindSafe(|| {
                scope.run_sync(|| Pin::new(inner).poll_frame(cx))
            }))
        })
    }
}

impl HttpBody for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        // It is only asked for more when the client has room.
        if let Some(open) = &this.connection {
            open.go_on();
        }
        if this.end.is_none() {
            return Poll::Ready(None);
        }
        // A message that was begun is ended, whatever happens meanwhile.
        if !this.rest.is_empty() {
            return this.next_piece();
        }
        let limits = this.stream.as_mut();
        if let Some(refusal) = limits.and_then(|limits| limits.poll(cx, &this.target)) {
            return this.cut(&refusal.into());
        }
        match this.poll_inner(cx) {
            Err(panic) => {
                let status = catch_panic::log_panic(&this.request_id, this.target.label(), &*panic);
                this.cut(&status)
            }
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => match frame.into_data() {
                Ok(data) => {
                    this.rest = data;
                    this.next_piece()
                }
                Err(frame) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        this.over(code_in(trailers).unwrap_or(Code::Unknown));
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
            },
            Ok(Poll::Ready(ended)) => {
                match &ended {
                    Some(Err(status)) => this.over(status.code()),
                    _ => this.over(Code::Unknown),
                }
                Poll::Ready(ended)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(GRPC_STATUS)
        .map(|code| Code::from_bytes(code.as_bytes()))
}
