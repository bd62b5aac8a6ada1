//! Rate, errors and duration per method. The timer goes with the call and stops when its answer, streams
//! included, has ended.

use super::{Call, Handle, Request, Response};
use crate::clock::SharedClock;
use crate::telemetry::Metrics;

pub(super) struct Meter<N> {
    next: N,
    metrics: Metrics,
    clock: SharedClock,
}

impl<N> Meter<N> {
    pub(super) fn new(next: N, metrics: Metrics, clock: SharedClock) -> Self {
        Meter {
            next,
            metrics,
            clock,
        }
    }
}

impl<N: Handle> Handle for Meter<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let label = call.target.label().to_owned();
        call.timer = Some(self.metrics.call(label, &self.clock));
        self.next.handle(call, request).await
    }
}
