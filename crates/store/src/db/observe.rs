//! What a unit of work leaves in metrics.

use std::time::Duration;

use kit::errors::Fault;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};

use crate::tx::Engine;

/// From a tenth of a millisecond, a read from memory, to ten seconds, the longest statement.
const DURATION_BOUNDS_S: [f64; 15] = [
    0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0,
];

/// One unit of work that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The service whose database it is.
    pub service: &'static str,
    /// The engine.
    pub engine: Engine,
    /// [`crate::Operation::name`].
    pub operation: &'static str,
    /// Whether it could write.
    pub write: bool,
    /// `done`, or the kind of fault.
    pub outcome: &'static str,
    /// How often it ran.
    pub runs: u32,
    /// From the call to the answer, waiting included.
    pub duration: Duration,
}

/// Told about every unit of work that ended.
pub trait Observer: Send + Sync + 'static {
    /// A unit ended.
    fn ended(&self, observation: &Observation);
}

/// Records into the process-wide OpenTelemetry meter; nothing unless telemetry was started before.
pub struct Meter {
    duration: Histogram<f64>,
    reruns: Counter<u64>,
}

impl Meter {
    /// Instruments of the process-wide meter.
    pub fn global() -> Self {
        let meter = opentelemetry::global::meter("store");
        Meter {
            duration: meter
                .f64_histogram("vitrine.store.operation.duration")
                .with_description(
                    "how long units of work took, waiting included, by operation and outcome",
                )
                .with_unit("s")
                .with_boundaries(DURATION_BOUNDS_S.to_vec())
                .build(),
            reruns: meter
                .u64_counter("vitrine.store.operation.reruns")
                .with_description("runs of units of work beyond the first")
                .with_unit("{run}")
                .build(),
        }
    }
}

impl Observer for Meter {
    fn ended(&self, observation: &Observation) {
        let labels = [
            KeyValue::new("service", observation.service),
            KeyValue::new("engine", observation.engine.name()),
            KeyValue::new("operation", observation.operation),
            KeyValue::new("outcome", observation.outcome),
        ];
        self.duration
            .record(observation.duration.as_secs_f64(), &labels);
        if observation.runs > 1 {
            self.reruns
                .add(u64::from(observation.runs - 1), &labels[..3]);
        }
    }
}

/// The word for how a unit ended.
pub(crate) fn outcome<T>(answer: &Result<T, Fault>) -> &'static str {
    match answer {
        Ok(_) => "done",
        Err(Fault::Refused(_)) => "refused",
        Err(Fault::Busy { .. }) => "busy",
        Err(Fault::Unknown { .. }) => "unknown",
        Err(Fault::Conflict(_)) => "conflict",
        Err(Fault::ConnectionLost(_)) => "connection_lost",
        Err(Fault::Internal(_)) => "internal",
    }
}
