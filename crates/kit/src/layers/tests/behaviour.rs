use std::time::Instant;

use contracts::policy::Criticality;
use http_body_util::Full;

use super::*;

fn bench_with(change: impl FnOnce(&mut LayersConfig)) -> (Bench, Arc<AtomicUsize>, LayeredService) {
    let mut config = LayersConfig::default();
    change(&mut config);
    let bench = Bench::with(config);
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    (bench, hits, service)
}

fn call(bench: &Bench, method: &MethodPolicy, how: &str) -> Request {
    with(
        request(&method.path, Some(&bench.token_for(method))),
        "x-behave",
        how,
    )
}

#[tokio::test]
async fn a_panic_is_an_internal_error_of_one_call() {
    let (bench, _, service) = bench_with(|_| {});
    let method = bench.method(MethodPolicy::is_unary);
    for how in ["panic", "fail"] {
        let answer = service
            .answer(with(call(&bench, &method, how), "x-request-id", "r-7"))
            .await;
        assert_eq!(answer.headers()["x-request-id"], "r-7");
        let status = status_of(answer).await;
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::Internal, "INTERNAL")
        );
        assert!(
            status.message().contains("r-7"),
            "{how}: {}",
            status.message()
        );
        assert!(
            !format!("{status:?}").contains("secret"),
            "{how}: {status:?}"
        );
    }
    assert_eq!(
        status_of(service.answer(call(&bench, &method, "ok")).await)
            .await
            .code(),
        Code::Ok
    );
}

#[tokio::test]
async fn a_harmless_request_id_is_kept_and_any_other_replaced() {
    let (bench, _, service) = bench_with(|_| {});
    let method = bench.method(MethodPolicy::is_unary);
    let long = "x".repeat(65);
    for (sent, kept) in [
        ("a-B_1.2:3", true),
        ("", false),
        ("a b", false),
        ("a\"b", false),
        (long.as_str(), false),
    ] {
        let answer = service
            .answer(with(
                call(&bench, &method, "deadline"),
                "x-request-id",
                sent,
            ))
            .await;
        let id = answer.headers()["x-request-id"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(id == sent, kept, "{sent:?} became {id:?}");
        assert_eq!(
            answer.headers()["x-seen"],
            id.as_str(),
            "the handler's scope has the same id"
        );
    }
}

fn deadline_seen(answer: &Response) -> Option<Instant> {
    answer
        .extensions()
        .get::<Deadline>()
        .expect("the handler ran")
        .at
}

#[tokio::test]
async fn the_deadline_is_the_callers_the_methods_or_the_servers() {
    let (bench, _, service) = bench_with(|config| config.deadline_cap_ms = 8_000);
    let unary = bench.method(|method| method.is_unary() && method.default_deadline.is_some());
    let default = unary
        .default_deadline
        .expect("it has one")
        .min(Duration::from_millis(8_000));
    let now = bench.clock.instant();
    let cases = [
        (None, default),
        (Some("1S"), Duration::from_secs(1)),
        (Some("1H"), Duration::from_secs(8)),
    ];
    for (asked, expected) in cases {
        let mut sent = call(&bench, &unary, "deadline");
        if let Some(asked) = asked {
            sent = with(sent, "grpc-timeout", asked);
        }
        let answer = service.answer(sent).await;
        assert_eq!(
            deadline_seen(&answer).map(|at| at - now),
            Some(expected),
            "asked for {asked:?}"
        );
    }
    let stream =
        bench.method(|method| method.server_streaming && method.default_deadline.is_none());
    let answer = service.answer(call(&bench, &stream, "deadline")).await;
    assert_eq!(deadline_seen(&answer), None);
    let answer = service
        .answer(with(
            call(&bench, &stream, "deadline"),
            "grpc-timeout",
            "1H",
        ))
        .await;
    assert_eq!(deadline_seen(&answer).map(|at| at - now), Some(HOUR));
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused() {
    let (bench, hits, service) = bench_with(|_| {});
    let method = bench.method(MethodPolicy::is_unary);
    for garbage in ["soon", "1", "S", "-1S", "123456789S", "1.5S", "\u{e9}S"] {
        let status = status_of(
            service
                .answer(with(call(&bench, &method, "ok"), "grpc-timeout", garbage))
                .await,
        )
        .await;
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
    }
    let twice = with(
        with(call(&bench, &method, "ok"), "grpc-timeout", "1S"),
        "grpc-timeout",
        "9S",
    );
    assert_eq!(
        status_of(service.answer(twice).await).await.code(),
        Code::InvalidArgument
    );
    let over = with(call(&bench, &method, "ok"), "grpc-timeout", "0m");
    assert_eq!(
        status_of(service.answer(over).await).await.code(),
        Code::DeadlineExceeded
    );
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_cut_with_a_reason() {
    let (bench, _, service) = bench_with(|_| {});
    let mutation = bench.method(|method| method.is_unary() && method.is_mutation());
    let started = tokio::time::Instant::now();
    let status = status_of(
        service
            .answer(with(
                call(&bench, &mutation, "hang"),
                "grpc-timeout",
                "700m",
            ))
            .await,
    )
    .await;
    assert_eq!(started.elapsed(), Duration::from_millis(700));
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE")
    );
    assert!(
        status.message().contains("same key"),
        "{}",
        status.message()
    );
    // Without the caller's word the method's own default applies, and never "for ever".
    let status = status_of(service.answer(call(&bench, &mutation, "hang")).await).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn under_load_the_least_important_are_refused_first() {
    let (bench, _, service) = bench_with(|config| {
        config.shed.max_calls = 4;
        config.shed.critical_calls = 4;
    });
    let of = |criticality| {
        bench
            .deps
            .policies
            .methods()
            .find(move |m| m.is_unary() && m.criticality == criticality)
    };
    let Some(critical) = of(Criticality::Critical).cloned() else {
        panic!("no critical method")
    };
    let sheddable = of(Criticality::Sheddable)
        .or_else(|| of(Criticality::Normal))
        .expect("a lesser one")
        .clone();
    let hang = || crate::spawn("call", service.answer(call(&bench, &critical, "hang")));
    // The shares of 4 are: 2 SHEDDABLE, 3 NORMAL, 4 CRITICAL.
    let mut held = vec![hang(), hang(), hang()];
    settle().await;
    let status = status_of(service.answer(call(&bench, &sheddable, "ok")).await).await;
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "OVERLOADED")
    );
    let retry = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .expect("when to retry");
    assert!(
        (Duration::from_millis(250)..=Duration::from_millis(500)).contains(&retry),
        "{retry:?}"
    );
    assert_eq!(
        status_of(service.answer(call(&bench, &critical, "ok")).await)
            .await
            .code(),
        Code::Ok
    );
    held.push(hang());
    settle().await;
    let status = status_of(service.answer(call(&bench, &critical, "ok")).await).await;
    assert_eq!(status.code(), Code::Unavailable, "the whole is the whole");
    let health = status_of(
        service
            .answer(request("/grpc.health.v1.Health/Check", None))
            .await,
    )
    .await;
    assert_eq!(health.code(), Code::Ok, "a busy server is not a sick one");
    for call in held {
        call.abort();
    }
    settle().await;
    assert_eq!(
        status_of(service.answer(call(&bench, &sheddable, "ok")).await)
            .await
            .code(),
        Code::Ok
    );
}

/// Lets spawned tasks run until they wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_partner_over_its_rate_does_not_slow_another() {
    let rate = Rate {
        per_second: 2,
        burst: 3,
    };
    let (bench, hits, service) = bench_with(|config| config.rate_limit.partner = rate);
    let method =
        bench.method(|m| m.is_unary() && m.access.iter().any(|a| a.audience == Audience::Partner));
    let access = method
        .access
        .iter()
        .find(|a| a.audience == Audience::Partner)
        .expect("for partners");
    let token = |id| {
        let claims = Claims::partner("x", &PartnerId::from_uuid(id)).scopes(&access.scopes);
        bench.suite.mint(claims, HOUR)
    };
    let call = async |id| {
        status_of(
            service
                .answer(request(&method.path, Some(&token(id))))
                .await,
        )
        .await
    };
    for _ in 0..3 {
        assert_eq!(call(1).await.code(), Code::Ok);
    }
    let status = call(1).await;
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    let retry = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .expect("when to retry");
    assert!(
        (Duration::from_millis(500)..=Duration::from_secs(1)).contains(&retry),
        "{retry:?}"
    );
    assert_eq!(call(2).await.code(), Code::Ok);
    bench.clock.advance(retry);
    assert_eq!(
        call(1).await.code(),
        Code::Ok,
        "after what it was told to wait"
    );
    assert_eq!(call(1).await.code(), Code::ResourceExhausted);
    assert_eq!(hits.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_partner_may_have_a_rate_of_its_own() {
    let (bench, _, service) = bench_with(|config| {
        config.rate_limit.partner = Rate {
            per_second: 1,
            burst: 1,
        };
        let unlimited = Rate {
            per_second: 0,
            burst: 0,
        };
        config
            .rate_limit
            .partners
            .insert(partner().to_string(), unlimited);
    });
    let method = bench.method(|m| m.is_unary() && m.access[0].audience == Audience::Partner);
    for _ in 0..20 {
        let answer = service.answer(call(&bench, &method, "ok")).await;
        assert_eq!(status_of(answer).await.code(), Code::Ok);
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_before_it_is_held() {
    let (bench, _, service) = bench_with(|config| config.max_request_bytes = 100);
    let method = bench.method(MethodPolicy::is_unary);
    for (size, code) in [(100, Code::Ok), (101, Code::InvalidArgument)] {
        let body = Body::new(Full::new(bytes::Bytes::from(vec![0; size])));
        let sent = call(&bench, &method, "read").map(|_| body);
        assert_eq!(
            status_of(service.answer(sent).await).await.code(),
            code,
            "{size} bytes"
        );
    }
}
