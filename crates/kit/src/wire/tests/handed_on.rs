use std::sync::Mutex;

use super::*;
use crate::auth::{AuthConfig, ServiceTokens};
use crate::caller::Caller;
use crate::clock::Clock;
use crate::layers::Deadline;
use crate::scope::Scope;

type Seen = Arc<Mutex<Vec<(Arc<Caller>, Deadline)>>>;

/// Routes that note who calls and until when.
fn noting(seen: &Seen) -> Routes {
    let seen = seen.clone();
    let handler = move |request: axum::extract::Request| {
        let extensions = request.extensions();
        let caller = extensions.get::<Arc<Caller>>().expect("a caller").clone();
        let deadline = *extensions.get::<Deadline>().expect("a deadline");
        seen.lock().expect("whole").push((caller, deadline));
        async {
            (
                [("grpc-status", "0"), ("content-type", "application/grpc")],
                (),
            )
        }
    };
    Routes::from(axum::Router::new().route("/{*path}", axum::routing::any(handler)))
}

struct Inside {
    bench: Bench,
    seen: Seen,
    wire: Wire,
    path: String,
}

fn inside() -> Inside {
    let bench = Bench::new();
    let seen = Seen::default();
    let for_services = |access: &Access| access.audience == Audience::Service;
    let method = bench.method(|method| method.is_unary() && method.access.iter().any(for_services));
    let access = method
        .access
        .iter()
        .find(|access| for_services(access))
        .expect("it has one");
    let scopes: Vec<&str> = access.scopes.iter().map(String::as_str).collect();
    let tokens = ServiceTokens::new(
        bench.suite.clone(),
        "order",
        &scopes,
        &AuthConfig::default(),
    );
    let wire = Wire::local(layered(noting(&seen), &bench.deps)).authorized(tokens);
    Inside {
        bench,
        seen,
        wire,
        path: method.path.clone(),
    }
}

impl Inside {
    async fn call(&self, request: Request) -> Status {
        match self.wire.clone().call(request).await {
            Ok(answer) => status_of(answer).await,
            Err(error) => Status::from_error(error),
        }
    }

    fn last(&self) -> (Arc<Caller>, Deadline) {
        self.seen
            .lock()
            .expect("whole")
            .last()
            .expect("a call")
            .clone()
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_service_calls_in_its_own_name_on_behalf_of_its_caller() {
    let inside = inside();
    let scope = Scope {
        request_id: "r-1".into(),
        traceparent: TRACE.into(),
        deadline: Some(inside.bench.clock.instant() + Duration::from_millis(1_500)),
        principal: Some("partner:acme".into()),
        ..Scope::default()
    };
    // A partner's own token, should anybody have put it there, must not get through.
    let request = request(&inside.path, Some("the partner's own token"));
    let status = scope.run(inside.call(request)).await;
    assert_eq!(status.code(), Code::Ok, "{status:?}");
    let (caller, deadline) = inside.last();
    assert_eq!(
        (caller.audience, caller.subject.as_str()),
        (Audience::Service, "order")
    );
    assert_eq!(caller.on_behalf_of.as_deref(), Some("partner:acme"));
    assert_eq!(caller.principal(), "partner:acme");
    assert_eq!(caller.request_id, "r-1");
    assert_eq!(caller.traceparent, TRACE);
    let left = deadline.remaining(&*inside.bench.clock);
    assert_eq!(left, Some(Duration::from_millis(1_500)));
}

#[tokio::test]
async fn background_work_calls_as_itself_and_with_the_methods_own_deadline() {
    let inside = inside();
    assert_eq!(
        inside.call(request(&inside.path, None)).await.code(),
        Code::Ok
    );
    let (caller, deadline) = inside.last();
    assert_eq!(caller.on_behalf_of, None);
    assert!(deadline.at.is_some());
}

#[tokio::test]
async fn the_shorter_deadline_counts_and_none_is_started_without_time() {
    let inside = inside();
    let scope = Scope {
        deadline: Some(inside.bench.clock.instant() + Duration::from_secs(2)),
        ..Scope::default()
    };
    for (own, left) in [("500m", 500), ("9S", 2_000)] {
        let mut request = request(&inside.path, None);
        request
            .headers_mut()
            .insert("grpc-timeout", own.parse().expect("plain"));
        assert_eq!(
            scope.clone().run(inside.call(request)).await.code(),
            Code::Ok
        );
        let (_, deadline) = inside.last();
        assert_eq!(
            deadline.remaining(&*inside.bench.clock),
            Some(Duration::from_millis(left))
        );
    }
    inside.bench.clock.advance(Duration::from_secs(2));
    let before = inside.seen.lock().expect("whole").len();
    let status = scope.run(inside.call(request(&inside.path, None))).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(inside.seen.lock().expect("whole").len(), before);
}
