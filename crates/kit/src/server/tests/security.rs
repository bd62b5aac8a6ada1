//! What a connection may cost, and who has to leave.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// Calls whose token is good, to routes that count.
struct Callers {
    bench: Bench,
    hits: Arc<AtomicUsize>,
    connections: Connections,
    lifecycle: Lifecycle,
}

impl Callers {
    fn new(config: &ServerConfig) -> Callers {
        let bench = Bench::with(config.layers.clone());
        let hits = Arc::new(AtomicUsize::new(0));
        let service = layered(counting(&hits), &bench.deps);
        let lifecycle = Lifecycle::new();
        let connections = Connections::new(service, Arc::new(config.clone()), lifecycle.clone());
        Callers {
            bench,
            hits,
            connections,
            lifecycle,
        }
    }

    /// A connection by hand; nothing has been said on it.
    async fn pipe(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let seat = self.connections.seats().take(None).await;
        let seat = seat.expect("room");
        let served = self.connections.serve(theirs, None, seat);
        drop(self.lifecycle.track("connection", served));
        ours
    }

    async fn client(&self) -> SendRequest<Bytes> {
        client(self.pipe().await, h2::client::Builder::new()).await
    }

    fn request(&self, how: &str) -> http::Request<()> {
        let method = self.bench.method(|method| method.is_unary());
        http::Request::post(format!("http://piped{}", method.path))
            .header("content-type", "application/grpc")
            .header(
                "authorization",
                format!("Bearer {}", self.bench.token_for(&method)),
            )
            .header("x-behave", how)
            .body(())
            .expect("a request")
    }

    async fn call(
        &self,
        sender: &SendRequest<Bytes>,
        how: &str,
    ) -> Result<http::HeaderMap, h2::Error> {
        let mut sender = sender.clone().ready().await?;
        let (answer, _) = sender.send_request(self.request(how), true)?;
        Ok(answer.await?.headers().clone())
    }
}

async fn client(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    builder: h2::client::Builder,
) -> SendRequest<Bytes> {
    let (sender, connection) = builder.handshake(stream).await.expect("a handshake");
    drop(crate::spawn("client", connection));
    sender
}

fn watch() -> http::Request<()> {
    http::Request::post("http://piped/grpc.health.v1.Health/Watch")
        .header("content-type", "application/grpc")
        .body(())
        .expect("a request")
}

/// Writes until the other side closes; whether it did.
async fn is_closed_after(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    frames: &[u8],
    times: usize,
) -> bool {
    for _ in 0..times {
        if stream.write_all(frames).await.is_err() {
            return true;
        }
        // What is answered has to be read, or a pipe is full some time.
        let mut answered = [0; 4_096];
        let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut answered)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return true;
        }
    }
    false
}

fn few_frames() -> ServerConfig {
    let few = Rate {
        per_second: 1,
        burst: 40,
    };
    ServerConfig {
        control_frames_per_connection: few,
        resets_per_connection: few,
        ..config()
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_carry_no_call_are_bounded() {
    let callers = Callers::new(&few_frames());
    let empty_data = [0, 0, 0, 0, 0, 0, 0, 0, 1];
    let unknown = [0, 0, 1, 77, 0, 0, 0, 0, 0, 9];
    let priority = [0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for flood in [
        &SETTINGS[..],
        &PING,
        &unknown,
        &priority,
        &update,
        &empty_data,
    ] {
        let mut stream = callers.pipe().await;
        let hello = [PREFACE, &SETTINGS].concat();
        stream.write_all(&hello).await.expect("written");
        assert!(is_closed_after(stream, flood, 100).await, "{flood:?}");
    }
    let honest = callers.client().await;
    callers.call(&honest, "ok").await.expect("the others go on");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_reset_at_once_are_bounded() {
    let callers = Callers::new(&few_frames());
    let sender = callers.client().await;
    let mut ended = None;
    for made in 0..200 {
        let Ok(mut ready) = sender.clone().ready().await else {
            ended = Some(made);
            break;
        };
        let Ok((answer, mut body)) = ready.send_request(callers.request("hang"), true) else {
            ended = Some(made);
            break;
        };
        body.send_reset(h2::Reason::CANCEL);
        drop(answer);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ended = ended.expect("the connection is closed");
    assert!((40..=60).contains(&ended), "after {ended} resets");
}

#[tokio::test(start_paused = true)]
async fn many_calls_pay_for_the_frames_that_they_need() {
    let callers = Callers::new(&few_frames());
    let mut stream = callers.pipe().await;
    let sender = {
        // Half of the calls are followed by a ping, as some clients do to measure.
        let (sender, mut connection) = h2::client::handshake(&mut stream)
            .await
            .expect("a handshake");
        let mut pings = connection.ping_pong().expect("pings");
        let calls = async {
            for _ in 0..300 {
                callers.call(&sender, "ok").await.expect("answered");
                pings.ping(h2::Ping::opaque()).await.expect("answered");
            }
        };
        tokio::select! {
            ended = &mut connection => panic!("closed: {ended:?}"),
            () = calls => {}
        }
        callers.hits.load(Ordering::SeqCst)
    };
    assert_eq!(sender, 300);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_told_to_go() {
    let config = ServerConfig {
        keepalive_interval_s: 10_000,
        ..config()
    };
    let callers = Callers::new(&config);
    let took = |since: Instant, seconds: u64| {
        let limit = Duration::from_secs(seconds);
        let took = since.elapsed();
        assert!(took >= limit && took <= limit * 2, "{took:?}");
    };
    let ended = |stream: DuplexStream| async {
        let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        (sender, crate::spawn("client", connection))
    };
    let since = Instant::now();
    let (_sender, connection) = ended(callers.pipe().await).await;
    connection.await.expect("no panic").expect("a clean end");
    took(since, config.first_call_timeout_s);

    let (sender, connection) = ended(callers.pipe().await).await;
    let since = Instant::now();
    callers.call(&sender, "ok").await.expect("answered");
    connection.await.expect("no panic").expect("a clean end");
    took(since, config.idle_timeout_s);

    let (sender, connection) = ended(callers.pipe().await).await;
    let mut ready = sender.clone().ready().await.expect("ready");
    let _hanging = ready
        .send_request(callers.request("stream"), false)
        .expect("sent");
    tokio::time::sleep(Duration::from_secs(3 * config.idle_timeout_s)).await;
    assert!(!connection.is_finished(), "a call is under way");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_its_client_does_not_take_is_ended_alone() {
    let lifecycle = Lifecycle::new();
    let accepted = start_piped(&config(), &lifecycle);
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let sender = client(pipe(&accepted).await, builder).await;
    let mut ready = sender.clone().ready().await.expect("ready");
    let (stalled, mut body) = ready.send_request(watch(), false).expect("sent");
    body.send_data(Bytes::from_static(&[0; 5]), true)
        .expect("sent");
    let mut stalled = stalled.await.expect("headers").into_body();
    let since = Instant::now();
    let end = stalled
        .data()
        .await
        .expect("an end")
        .expect_err("no data without room");
    assert!(end.is_reset(), "{end}");
    let (took, limit) = (
        since.elapsed(),
        Duration::from_secs(config().stalled_answer_timeout_s),
    );
    assert!(took >= limit && took <= limit * 2, "{took:?}");

    // The same connection goes on, and an answer that is taken may last.
    let mut ready = sender
        .clone()
        .ready()
        .await
        .expect("the connection goes on");
    let (taken, mut body) = ready.send_request(watch(), false).expect("sent");
    body.send_data(Bytes::from_static(&[0; 5]), true)
        .expect("sent");
    let mut taken = taken.await.expect("headers").into_body();
    let _ = body;
    taken
        .flow_control()
        .release_capacity(0)
        .expect("nothing to release");
    drop(stalled);
    let waited = tokio::time::timeout(Duration::from_secs(1), taken.data()).await;
    assert!(waited.is_err(), "nothing comes without room");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_say_is_no_stalled_one() {
    let callers = Callers::new(&config());
    let sender = callers.client().await;
    let mut ready = sender.clone().ready().await.expect("ready");
    let (answer, _body) = ready
        .send_request(callers.request("stream"), true)
        .expect("sent");
    let mut body = answer.await.expect("headers").into_body();
    let long = Duration::from_secs(5 * config().stalled_answer_timeout_s);
    let waited = tokio::time::timeout(long, body.data()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn calls_without_a_credential_are_bounded_on_a_connection() {
    let mut config = config();
    config.layers.max_open_calls_per_connection = 3;
    let lifecycle = Lifecycle::new();
    let address = start(&config, &lifecycle).await;
    let mut client = connect(address).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(client.watch(ask()).await.expect("within the limit"));
    }
    let status = client.watch(ask()).await.expect_err("one too many");
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::ResourceExhausted, "RATE_LIMITED")
    );
    connect(address)
        .await
        .check(ask())
        .await
        .expect("another connection has room");
    streams.clear();
    let mut again = false;
    for _ in 0..1_000 {
        again = client.check(ask()).await.is_ok();
        if again {
            break;
        }
    }
    assert!(again, "there is room again");
}

#[tokio::test]
async fn beyond_the_cap_strangers_leave_and_who_proved_good_stays() {
    let config = ServerConfig {
        max_connections: 2,
        ..config()
    };
    let callers = Callers::new(&config);
    let good = callers.client().await;
    callers.call(&good, "ok").await.expect("answered");
    let mut silent = callers.pipe().await;
    let other = callers.client().await;
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    callers.call(&other, "ok").await.expect("answered");
    // Now nobody is left who could be sent away: whoever comes waits.
    let (mut waits, leave) = (
        Box::pin(callers.pipe()),
        std::mem::drop::<SendRequest<Bytes>>,
    );
    tokio::select! {
        biased;
        _ = &mut waits => panic!("there was no room"),
        called = callers.call(&good, "ok") => drop(called.expect("still answered")),
    }
    leave(other);
    drop(waits.await);
}

#[tokio::test]
async fn one_address_has_a_share_of_the_connections() {
    let config = ServerConfig {
        max_connections_per_address: 2,
        ..config()
    };
    let lifecycle = Lifecycle::new();
    let address = start(&config, &lifecycle).await;
    let _first = TcpStream::connect(address).await.expect("a connection");
    let _second = TcpStream::connect(address).await.expect("a connection");
    let mut third = TcpStream::connect(address)
        .await
        .expect("accepted by the kernel");
    let mut rest = Vec::new();
    let _ = third.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_message_that_says_it_is_huge_is_refused_before_there_is_room_for_it() {
    let mut config = config();
    config.layers.max_request_bytes = 1_000;
    let callers = Callers::new(&config);
    let sender = callers.client().await;
    for (length, code) in [(900_u32, "0"), (995, "0"), (1_000, "3"), (u32::MAX, "3")] {
        let mut ready = sender.clone().ready().await.expect("ready");
        let (answer, mut body) = ready
            .send_request(callers.request("read"), false)
            .expect("sent");
        let prefix = [&[0][..], &length.to_be_bytes()].concat();
        body.send_data(Bytes::from(prefix), true).expect("sent");
        let answer = answer.await.expect("answered");
        let status = answer.headers().get("grpc-status").cloned();
        assert_eq!(status.expect("a status"), code, "{length} bytes announced");
    }
}
