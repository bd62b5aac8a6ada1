//! Attacks on HTTP/2 itself, in small: what the server does about each. What honest callers feel meanwhile is
//! measured by `tests/attacks`.

use std::net::IpAddr;
use std::time::Duration;

use contracts::policy::Policies;
use kit::auth::Claims;
use tonic::Code;
use tonic::transport::Channel;

use super::credentials::ROLES;
use super::wire::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, Raw, SETTINGS,
};
use crate::raw;
use crate::topology::Running;

const PATIENCE: Duration = Duration::from_secs(10);
const HEALTH: &[u8] = b"/grpc.health.v1.Health/Check";
const REFLECTION: &[u8] = b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// What the whole process may grow by while it is attacked.
const GROWTH_MAX_KIB: u64 = 128 * 1_024;

/// A suite that is attacked, and somebody honest who wants to be served meanwhile.
struct Victim {
    running: Running,
    honest: Channel,
    token: String,
    before_kib: u64,
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

impl Victim {
    async fn new(change: impl FnOnce(&mut kit::server::ServerConfig)) -> Victim {
        let running = Running::embedded_with(|config| change(&mut config.server)).await;
        let honest = raw::connect(&running.addresses.order).await;
        let token = running.token(Claims::retailer("ops", &ROLES));
        let victim = Victim {
            running,
            honest,
            token,
            before_kib: resident_kib(),
        };
        victim.serves().await;
        victim
    }

    async fn raw(&self, settings: &[(u16, u32)]) -> Raw {
        let attacker: IpAddr = [127, 0, 0, 66].into();
        Raw::greeted(self.running.socket(), Some(attacker), settings)
            .await
            .expect("a connection")
    }

    /// Somebody who was connected before, and somebody new.
    async fn serves(&self) {
        let new = raw::connect(&self.running.addresses.order).await;
        for channel in [&self.honest, &new] {
            let path = "/vitrine.catalog.v1.PartnerService/ListPartners";
            raw::call(channel, path, Some(&self.token), Vec::new())
                .await
                .expect("served");
        }
    }

    async fn stop(self) {
        self.serves().await;
        let grown = resident_kib().saturating_sub(self.before_kib);
        assert!(grown < GROWTH_MAX_KIB, "{grown} KiB more");
        self.running.stop().await;
    }
}

/// Sends it until the server closes the connection.
async fn flood(raw: &mut Raw, bytes: &[u8], times: usize) -> bool {
    for _ in 0..times {
        if raw.send(bytes).await.is_err() {
            return true;
        }
    }
    raw.is_closed_within(PATIENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_end_the_connection_and_nothing_else() {
    let victim = Victim::new(|_| {}).await;
    let ping = wire::frame(PING, 0, 0, &[7; 8]);
    let settings = wire::frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    let priority = wire::frame(wire::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    let update = wire::frame(wire::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let unknown = wire::frame(200, 0, 0, b"?");
    for (what, frame) in [
        ("PING", &ping),
        ("SETTINGS", &settings),
        ("PRIORITY", &priority),
        ("WINDOW_UPDATE", &update),
        ("unknown", &unknown),
    ] {
        let mut raw = victim.raw(&[]).await;
        assert!(flood(&mut raw, &frame.repeat(500), 200).await, "{what}");
        victim.serves().await;
    }
    let mut raw = victim.raw(&[]).await;
    let block = wire::call(HEALTH, &victim.token);
    raw.send(&wire::frame(HEADERS, END_HEADERS, 1, &block))
        .await
        .expect("sent");
    let empty = wire::frame(DATA, 0, 1, b"").repeat(500);
    assert!(flood(&mut raw, &empty, 200).await, "empty DATA");
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection_with_a_reason() {
    let victim = Victim::new(|_| {}).await;
    for path in [HEALTH, b"/vitrine.catalog.v1.PartnerService/ListPartners"] {
        let mut raw = victim.raw(&[]).await;
        let block = wire::call(path, &victim.token);
        let mut told = None;
        'attack: for round in 0..200_u32 {
            let mut burst = Vec::new();
            for call in 0..200_u32 {
                let stream = (round * 200 + call) * 2 + 1;
                burst.extend(wire::frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    &block,
                ));
                burst.extend(wire::frame(
                    wire::RST_STREAM,
                    0,
                    stream,
                    &8_u32.to_be_bytes(),
                ));
            }
            if raw.send(&burst).await.is_err() {
                break 'attack;
            }
        }
        while let Some(frame) = raw.frame(PATIENCE).await {
            if frame.kind == wire::GOAWAY {
                told = frame.error_code();
            }
        }
        // ENHANCE_YOUR_CALM, where the client reads it at all; a connection that is reset loses it.
        assert!(told.is_none_or(|code| code == 11 || code == 0), "{told:?}");
        assert!(raw.is_closed_within(PATIENCE).await);
        victim.serves().await;
    }
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_bounded_in_size_number_and_time() {
    let victim = Victim::new(|server| {
        server.keepalive_interval_s = 1;
        server.keepalive_timeout_s = 1;
    })
    .await;
    // A flood of CONTINUATION, full and empty.
    let block = wire::block(&[("x-much", &[b'a'; 8_000])]);
    for more in [
        wire::frame(CONTINUATION, 0, 1, &block),
        wire::frame(CONTINUATION, 0, 1, b""),
    ] {
        let mut raw = victim.raw(&[]).await;
        let start = wire::call(HEALTH, &victim.token);
        raw.send(&wire::frame(HEADERS, 0, 1, &start))
            .await
            .expect("sent");
        assert!(flood(&mut raw, &more.repeat(20), 2_000).await);
        victim.serves().await;
    }
    // Headers that begin and do not end: there is no answer to a ping inside them.
    let mut slow = victim.raw(&[]).await;
    let start = wire::call(HEALTH, &victim.token);
    slow.send(&wire::frame(HEADERS, 0, 1, &start))
        .await
        .expect("sent");
    assert!(slow.is_closed_within(PATIENCE).await, "slow headers");
    // Half a frame.
    let mut half = victim.raw(&[]).await;
    let frame = wire::frame(HEADERS, END_HEADERS, 1, &start);
    half.send(&frame[..frame.len() / 2]).await.expect("sent");
    assert!(half.is_closed_within(PATIENCE).await, "half a frame");
    // Huge headers of one call cost that call.
    let mut huge = victim.raw(&[]).await;
    let big = vec![b'a'; 60_000];
    let headers = [
        wire::call(HEALTH, &victim.token),
        wire::block(&[("x-much", &big)]),
    ]
    .concat();
    let (first, rest) = headers.split_at(16_000);
    let mut frames = wire::frame(HEADERS, END_STREAM, 1, first);
    for (at, part) in rest.chunks(16_000).enumerate() {
        let last = (at + 1) * 16_000 >= rest.len();
        frames.extend(wire::frame(
            CONTINUATION,
            if last { END_HEADERS } else { 0 },
            1,
            part,
        ));
    }
    huge.send(&frames).await.expect("sent");
    let _ = huge.ended(1, PATIENCE).await;
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_bounded_and_end() {
    let victim = Victim::new(|server| server.stalled_answer_timeout_s = 1).await;
    let mut stalled = victim.raw(&[(wire::INITIAL_WINDOW, 0)]).await;
    for call in 0..200_u32 {
        let (stream, path) = (
            call * 2 + 1,
            if call % 2 == 0 { REFLECTION } else { HEALTH },
        );
        let block = wire::call(path, &victim.token);
        let mut frames = wire::frame(HEADERS, END_HEADERS, stream, &block);
        frames.extend(wire::frame(DATA, END_STREAM, stream, &[0; 5]));
        stalled.send(&frames).await.expect("sent");
    }
    let list = "/vitrine.catalog.v1.PartnerService/ListPartners";
    for call in 200..240_u32 {
        let block = wire::call(list.as_bytes(), &victim.token);
        let mut frames = wire::frame(HEADERS, END_HEADERS, call * 2 + 1, &block);
        frames.extend(wire::frame(DATA, END_STREAM, call * 2 + 1, &[0; 5]));
        stalled.send(&frames).await.expect("sent");
    }
    // All of them end: those beyond the limit at once, the others when their time is over.
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < 240
        && let Some(frame) = stalled.frame(PATIENCE).await
    {
        let ends = frame.kind == wire::RST_STREAM || frame.flags & END_STREAM != 0;
        if ends && matches!(frame.kind, HEADERS | DATA | wire::RST_STREAM) {
            ended.insert(frame.stream);
        }
    }
    assert_eq!(ended.len(), 240, "some answers still wait");
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_are_sent_away_and_keep_nobody_out() {
    let victim = Victim::new(|server| {
        server.max_connections = 64;
        server.max_connections_per_address = 48;
        server.max_handshakes = 32;
        server.handshake_timeout_ms = 60_000;
    })
    .await;
    let mut silent = Vec::new();
    for number in 0..400_u32 {
        let from: IpAddr = [127, 0, 1, u8::try_from(number % 5 + 1).expect("small")].into();
        let mut raw = Raw::bare(victim.running.socket(), Some(from))
            .await
            .expect("accepted");
        // Some of them begin.
        if number % 3 == 0 {
            let _ = raw.send(&wire::PREFACE[..10]).await;
        }
        if number % 3 == 1 {
            let _ = raw
                .send(&[wire::PREFACE, &wire::frame(SETTINGS, 0, 0, b"")].concat())
                .await;
        }
        silent.push(raw);
        if number % 50 == 0 {
            victim.serves().await;
        }
    }
    victim.serves().await;
    let mut closed = 0;
    for raw in &mut silent {
        if raw.is_closed_within(Duration::from_millis(5)).await {
            closed += 1;
        }
    }
    assert!(closed >= 400 - 64, "only {closed} were sent away");
    victim.stop().await;
}

/// A group in a group in a group …, of a field that no message has.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = [0xfb, 0x3f].repeat(depth);
    bytes.extend([0xfc, 0x3f].repeat(depth));
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_huge_messages_are_refused_by_every_method() {
    let victim = Victim::new(|_| {}).await;
    let policies = Policies::load().expect("whole contracts");
    let deep = nested(200_000);
    let huge = vec![0; 1_100_000];
    for method in policies.methods() {
        let retailer = method.access.iter().any(|access| !access.roles.is_empty());
        if !retailer || !method.is_unary() {
            continue;
        }
        for (what, body) in [("deep", &deep), ("huge", &huge)] {
            let status = raw::call(
                &victim.honest,
                &method.path,
                Some(&victim.token),
                body.clone(),
            )
            .await
            .expect_err(what);
            let refused = matches!(
                status.code(),
                Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted | Code::Internal
            );
            assert!(refused, "{} with a {what} message: {status:?}", method.path);
            assert!(
                !(what == "huge" && status.code() == Code::Internal),
                "{} with a {what} message: {status:?}",
                method.path
            );
        }
    }
    victim.stop().await;
}
