use futures::FutureExt;

use super::*;

fn bench_with(change: impl FnOnce(&mut LayersConfig)) -> (Bench, LayeredService) {
    let mut config = LayersConfig::default();
    change(&mut config);
    let bench = Bench::with(config);
    let service = layered(counting(&Arc::new(AtomicUsize::new(0))), &bench.deps);
    (bench, service)
}

fn watch(bench: &Bench, how: &str) -> Request {
    let method =
        bench.method(|method| method.server_streaming && method.default_deadline.is_none());
    with(
        request(&method.path, Some(&bench.token_for(&method))),
        "x-behave",
        how,
    )
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_deadline_is_not_cut() {
    let (bench, service) = bench_with(|_| {});
    let mut body = service.answer(watch(&bench, "stream")).await.into_body();
    assert!(
        tokio::time::timeout(HOUR * 24, body.frame()).await.is_err(),
        "the stream ended by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_callers_deadline() {
    let (bench, service) = bench_with(|_| {});
    let answer = service
        .answer(with(watch(&bench, "stream"), "grpc-timeout", "90S"))
        .await;
    let started = tokio::time::Instant::now();
    let status = status_of(answer).await;
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE")
    );
    assert!(started.elapsed() >= Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_hear_the_drain_is_ended_with_a_reason() {
    let (bench, service) = bench_with(|config| config.stream_drain_grace_ms = 3_000);
    let answer = service.answer(watch(&bench, "stream")).await;
    let mut ended = Box::pin(status_of(answer));
    assert!((&mut ended).now_or_never().is_none());
    bench.deps.drain.cancel();
    let started = tokio::time::Instant::now();
    let status = ended.await;
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "DRAINING")
    );
    assert!(started.elapsed() >= Duration::from_millis(3_000));
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_that_stream_alone() {
    let (bench, service) = bench_with(|_| {});
    let answer = service
        .answer(with(watch(&bench, "stream-panic"), "x-request-id", "r-9"))
        .await;
    let status = status_of(answer).await;
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Internal, "INTERNAL")
    );
    assert!(
        status.message().contains("r-9") && !status.message().contains("secret"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn a_stream_keeps_its_place_until_it_ends() {
    let (bench, service) = bench_with(|config| config.shed.max_streams = 1);
    let first = service.answer(watch(&bench, "stream")).await;
    let refused = status_of(service.answer(watch(&bench, "stream")).await).await;
    assert_eq!(
        (refused.code(), reason_of(&refused).as_str()),
        (Code::Unavailable, "OVERLOADED")
    );
    drop(first);
    let again = service.answer(watch(&bench, "stream")).await;
    assert!(
        again.headers().get("grpc-status").is_none(),
        "there is room again"
    );
}
