use std::sync::atomic::Ordering;

use super::*;
use crate::lifecycle::DrainConfig;

fn quick() -> DrainConfig {
    DrainConfig {
        drain_delay_s: 0,
        drain_deadline_s: 60,
        flush_reserve_s: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_streams_with_a_reason_and_is_clean() {
    let lifecycle = Lifecycle::new();
    let accepted = start_piped(&config(), &lifecycle);
    let mut client = piped_client(&accepted, &Arc::default());
    let mut stream = client.watch(ask()).await.expect("a stream").into_inner();
    assert!(stream.message().await.expect("a message").is_some());

    let config = quick();
    let (report, ended) = tokio::join!(lifecycle.drain(&config), stream.message());
    let status = ended.expect_err("the stream is ended");
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "DRAINING")
    );
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_does_not_hold_up_the_drain() {
    let lifecycle = Lifecycle::new();
    let bench = Bench::new();
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    let connections = Connections::new(service, Arc::new(config()), lifecycle.clone());
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let seat = connections.seats().take(None).await.expect("room");
    drop(lifecycle.track("connection", connections.serve(theirs, None, seat)));

    let (mut sender, connection) = h2::client::handshake(ours).await.expect("a handshake");
    drop(crate::spawn("client", connection));
    let method = bench.method(|method| method.is_unary());
    let request = http::Request::post(format!("http://piped{}", method.path))
        .header("content-type", "application/grpc")
        .header(
            "authorization",
            format!("Bearer {}", bench.token_for(&method)),
        )
        .header("grpc-timeout", "20S")
        .header("x-behave", "hang")
        .body(())
        .expect("a request");
    let (answer, _) = sender.send_request(request, true).expect("sent");
    while hits.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let started = tokio::time::Instant::now();
    let report = lifecycle.drain(&quick()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        started.elapsed(),
        Duration::from_millis(config().drain_close_ms)
    );
    assert!(answer.await.is_err(), "the connection was closed");
}

#[tokio::test]
async fn calls_under_way_are_answered_and_new_connections_are_not() {
    let lifecycle = Lifecycle::new();
    let address = start(&config(), &lifecycle).await;
    let mut client = connect(address).await;
    let mut stream = client.watch(ask()).await.expect("a stream").into_inner();
    assert!(stream.message().await.expect("a message").is_some());
    let report = lifecycle.drain(&quick()).await;
    assert!(report.is_clean(), "{report}");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    assert!(endpoint.connect().await.is_err());
    let late = client
        .check(Request::new(ask()))
        .await
        .expect_err("nobody is there");
    assert_eq!(late.code(), Code::Unavailable);
}
