//! Rate, errors and duration of every method, as one histogram, and the calls in flight.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, StringValue};
use tonic::Code;

use crate::clock::SharedClock;

/// From half a millisecond to ten seconds: the span between a call served from memory and one that has
/// outlived every deadline.
const DURATION_BOUNDS_S: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// The instruments that every server records into. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Instruments>,
}

struct Instruments {
    duration: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
    refused: Counter<u64>,
    limit: Gauge<u64>,
    admitted: Gauge<u64>,
    queue: Histogram<f64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Instruments of this meter.
    pub fn new(meter: &Meter) -> Self {
        Metrics {
            inner: Arc::new(Instruments {
                duration: meter
                    .f64_histogram("rpc.server.call.duration")
                    .with_description("how long calls took, by method and outcome")
                    .with_unit("s")
                    .with_boundaries(DURATION_BOUNDS_S.to_vec())
                    .build(),
                in_flight: meter
                    .i64_up_down_counter("rpc.server.active_calls")
                    .with_description("calls being served, streams included")
                    .with_unit("{call}")
                    .build(),
                refused: meter
                    .u64_counter("vitrine.server.refused")
                    .with_description("calls that a layer refused before the handler, by layer")
                    .with_unit("{call}")
                    .build(),
                limit: meter
                    .u64_gauge("vitrine.server.limit")
                    .with_description("unary calls that may be under way just now")
                    .with_unit("{call}")
                    .build(),
                admitted: meter
                    .u64_gauge("vitrine.server.admitted")
                    .with_description("unary calls that are under way and count towards the limit")
                    .with_unit("{call}")
                    .build(),
                queue: meter
                    .f64_histogram("vitrine.server.queue.duration")
                    .with_description(
                        "how long calls waited inside for their turn, averaged between two looks",
                    )
                    .with_unit("s")
                    .with_boundaries(DURATION_BOUNDS_S.to_vec())
                    .build(),
            }),
        }
    }

    /// Instruments of the process-wide meter; they record nothing unless telemetry was started before.
    pub fn global() -> Self {
        Self::new(&super::meter())
    }

    /// A call begins. `method` must come from the known methods, never from the caller, or a caller
    /// could make up as many time series as it likes.
    pub fn call(&self, method: impl Into<StringValue>, clock: &SharedClock) -> CallTimer {
        let method = KeyValue::new("rpc.method", method.into());
        self.inner.in_flight.add(1, std::slice::from_ref(&method));
        CallTimer {
            metrics: self.clone(),
            method,
            clock: clock.clone(),
            started: clock.instant(),
            code: None,
        }
    }

    /// A layer refused a call: `layer` and `why` are words of the code, never of the caller.
    pub fn refused(&self, layer: &'static str, why: &'static str) {
        let attributes = [KeyValue::new("layer", layer), KeyValue::new("why", why)];
        self.inner.refused.add(1, &attributes);
    }

    /// As [`Metrics::refused`], for many at once and with the cause.
    pub fn refused_many(
        &self,
        layer: &'static str,
        why: &'static str,
        cause: &'static str,
        calls: u64,
    ) {
        let attributes = [
            KeyValue::new("layer", layer),
            KeyValue::new("why", why),
            KeyValue::new("cause", cause),
        ];
        self.inner.refused.add(calls, &attributes);
    }

    /// How many calls may be under way and how many are; and how long they waited for their turn, if any did.
    pub fn admission(&self, limit: usize, used: usize, wait: Option<Duration>) {
        self.inner.limit.record(limit as u64, &[]);
        self.inner.admitted.record(used as u64, &[]);
        if let Some(wait) = wait {
            self.inner.queue.record(wait.as_secs_f64(), &[]);
        }
    }
}

/// One call in flight. Dropped unfinished it counts as cancelled, because that is what drops it.
pub struct CallTimer {
    metrics: Metrics,
    method: KeyValue,
    clock: SharedClock,
    started: Instant,
    code: Option<Code>,
}

impl fmt::Debug for CallTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTimer")
            .field("method", &self.method.value)
            .finish_non_exhaustive()
    }
}

impl CallTimer {
    /// The call ended with this code.
    pub fn finish(mut self, code: Code) {
        self.code = Some(code);
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        let took = self.clock.instant().saturating_duration_since(self.started);
        let code = code_name(self.code.unwrap_or(Code::Cancelled));
        let inner = &self.metrics.inner;
        inner.in_flight.add(-1, std::slice::from_ref(&self.method));
        let attributes = [
            self.method.clone(),
            KeyValue::new("rpc.response.status_code", code),
        ];
        inner.duration.record(took.as_secs_f64(), &attributes);
    }
}

/// The name of a code as the gRPC specification writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
