use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn who_connects_and_says_nothing_is_sent_away() {
    let lifecycle = Lifecycle::new();
    let accepted = start_piped(&config(), &lifecycle);
    for said in [&b""[..], &b"PRI * HTTP/2.0"[..]] {
        let mut client = pipe(&accepted).await;
        client.write_all(said).await.expect("written");
        let started = Instant::now();
        let mut rest = Vec::new();
        client
            .read_to_end(&mut rest)
            .await
            .expect("the server closes");
        assert_eq!(
            started.elapsed(),
            Duration::from_millis(config().handshake_timeout_ms)
        );
        assert!(rest.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_no_longer_answers_is_noticed() {
    let lifecycle = Lifecycle::new();
    let accepted = start_piped(&config(), &lifecycle);
    let mut client = pipe(&accepted).await;
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("written");
    // Empty SETTINGS, and never again a word: no answer to a ping.
    client
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .expect("written");
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    let patience =
        Duration::from_secs(config().keepalive_interval_s + config().keepalive_timeout_s);
    assert!(
        started.elapsed() <= patience + Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn other_protocols_are_closed_at_once() {
    let lifecycle = Lifecycle::new();
    let address = start(&config(), &lifecycle).await;
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("written");
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn the_limits_are_announced_and_kept() {
    let lifecycle = Lifecycle::new();
    let config = ServerConfig {
        max_streams_per_connection: 3,
        max_header_list_bytes: 4_096,
        ..config()
    };
    let address = start(&config, &lifecycle).await;
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let connection = crate::spawn("client", connection);
    let mut sender = sender.ready().await.expect("ready");
    let request = |size: usize| {
        http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("x-large", "x".repeat(size))
            .body(())
            .expect("a request")
    };
    let (answer, _) = sender.send_request(request(8_192), true).expect("sent");
    let large = answer.await.map(|answer| answer.status());
    assert!(
        !matches!(large, Ok(status) if status.is_success()),
        "{large:?}"
    );
    assert_eq!(sender.current_max_send_streams(), 3);
    connection.abort();
}

#[tokio::test(start_paused = true)]
async fn the_accept_loop_backs_off_and_recovers() {
    let lifecycle = Lifecycle::new();
    let accepted = start_piped(&config(), &lifecycle);
    let started = Instant::now();
    // EMFILE, as a machine out of file descriptors says it, again and again.
    for _ in 0..12 {
        accepted
            .send(Err(io::Error::from_raw_os_error(24)))
            .await
            .expect("the loop goes on");
    }
    let opened = Arc::new(AtomicUsize::new(0));
    piped_client(&accepted, &opened)
        .check(ask())
        .await
        .expect("healthy again");
    // 10, 20, 40 … 640, then a second each.
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(6)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );

    let started = Instant::now();
    for _ in 0..1_000 {
        let aborted = io::Error::from(io::ErrorKind::ConnectionAborted);
        accepted.send(Err(aborted)).await.expect("the loop goes on");
    }
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "what concerns one connection holds up nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn an_aged_connection_ends_its_calls_and_the_client_opens_another() {
    let lifecycle = Lifecycle::new();
    let config = ServerConfig {
        connection_age_s: 600,
        connection_age_grace_s: 60,
        ..config()
    };
    let accepted = start_piped(&config, &lifecycle);
    let opened = Arc::new(AtomicUsize::new(0));
    let mut client = piped_client(&accepted, &opened);
    let mut stream = client.watch(ask()).await.expect("a stream").into_inner();
    assert!(stream.message().await.expect("a message").is_some());
    let started = Instant::now();
    let status = stream.message().await.expect_err("the stream is ended");
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "DRAINING")
    );
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(659)..Duration::from_secs(725)).contains(&took),
        "{took:?}"
    );
    client.check(ask()).await.expect("on another connection");
    assert_eq!(opened.load(Ordering::SeqCst), 2);
}
