//! Refusals that are made before anybody is refused. At ten times what a server can do, nine calls of ten end
//! here, so one costs no more than a copy of ready headers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tonic::body::Body;

use super::{REQUEST_ID, Request, Response, refuse, trace};
use crate::errors::{ErrorReason, Refusal};

/// Between two advices; fine enough that rounding does not bring callers together again.
const STEP: f64 = 1.1;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(60);

/// One refusal, with every advice when to try again.
pub(super) struct Refusals {
    ready: Vec<(Duration, HeaderMap)>,
    turn: AtomicU64,
}

impl Refusals {
    pub(super) fn new(reason: ErrorReason, message: &str) -> Self {
        let mut ready = Vec::new();
        let mut after = SHORTEST;
        while after <= LONGEST {
            let refusal = Refusal::new(reason, message).retry_after(after);
            ready.push((after, refuse(refusal).headers().clone()));
            let next = after.mul_f64(STEP).as_millis();
            let next = Duration::from_millis(u64::try_from(next).unwrap_or(u64::MAX));
            after = next.max(after + SHORTEST);
        }
        Refusals {
            ready,
            turn: AtomicU64::new(0),
        }
    }

    /// Says no, and to come back after at least so long and at most twice that, each caller at another time.
    pub(super) fn answer(&self, request: &HeaderMap, least: Duration) -> Response {
        let least = least.clamp(SHORTEST, LONGEST);
        let wanted = least.mul_f64(1.0 + self.spread());
        let steps = self.ready.partition_point(|(after, _)| *after <= wanted);
        let known = |index: usize| self.ready.get(index).filter(|(after, _)| *after >= least);
        let headers = known(steps.saturating_sub(1))
            .or_else(|| known(steps))
            .or(self.ready.last())
            .map(|(_, headers)| headers.clone())
            .unwrap_or_default();
        let mut answer = Response::new(Body::empty());
        *answer.headers_mut() = headers;
        if let Some(id) = own_id(request) {
            answer.headers_mut().insert(REQUEST_ID, id.clone());
        }
        answer
    }

    /// Evenly spread over 0 to 1 whatever the number of calls: multiples of the golden section.
    fn spread(&self) -> f64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (turn.wrapping_mul(GOLDEN) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The most that is read of what belongs to a refused call, and for how long.
const READ_MAX: usize = 65_536;
const READ_TIME: Duration = Duration::from_secs(1);

/// The answer, once its small request has come in whole. An answer before that resets the stream, and what still
/// comes for a stream that is gone counts against the connection, which HTTP/2 would in the end close for all.
pub(super) async fn after_request(request: Request, answer: Response) -> Response {
    let mut body = request.into_body();
    let mut left = READ_MAX;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Buf::remaining);
            let Some(less) = left.checked_sub(read) else {
                break;
            };
            left = less;
        }
    };
    let _ = tokio::time::timeout(READ_TIME, rest).await;
    answer
}

fn own_id(request: &HeaderMap) -> Option<&HeaderValue> {
    let sent = request.get(REQUEST_ID)?;
    sent.to_str().is_ok_and(trace::is_harmless).then_some(sent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;

    fn advice(answer: &Response) -> Duration {
        let status = Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_details_error_info().expect("a reason");
        assert_eq!(info.reason, "OVERLOADED");
        let retry = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        retry.expect("when to retry")
    }

    proptest! {
        #[test]
        fn nobody_is_told_to_come_back_too_early_or_too_late(least in 0u64..100_000) {
            let refusals = Refusals::new(ErrorReason::Overloaded, "Too much to do; try again.");
            for _ in 0..20 {
                let told = advice(&refusals.answer(&HeaderMap::new(), Duration::from_millis(least)));
                let least = Duration::from_millis(least.clamp(1, 60_000));
                prop_assert!(told >= least.min(LONGEST.mul_f64(0.9)), "{told:?} for {least:?}");
                prop_assert!(told <= least * 2 + SHORTEST, "{told:?} for {least:?}");
            }
        }
    }

    #[test]
    fn callers_do_not_come_back_together() {
        let refusals = Refusals::new(ErrorReason::Overloaded, "Too much to do; try again.");
        let mut told: Vec<_> = (0..100)
            .map(|_| advice(&refusals.answer(&HeaderMap::new(), Duration::from_millis(250))))
            .collect();
        told.sort();
        told.dedup();
        assert!(told.len() >= 5, "{told:?}");
    }

    #[test]
    fn a_harmless_id_comes_back() {
        let refusals = Refusals::new(ErrorReason::Overloaded, "Too much to do; try again.");
        for (sent, kept) in [("a-1", true), ("a b", false)] {
            let mut request = HeaderMap::new();
            request.insert(REQUEST_ID, HeaderValue::from_static(sent));
            let answer = refusals.answer(&request, Duration::from_millis(1));
            assert_eq!(answer.headers().contains_key(REQUEST_ID), kept);
        }
    }
}
