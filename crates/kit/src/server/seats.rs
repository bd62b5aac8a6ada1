//! Room for connections, and who leaves first when there is none.
//!
//! Whoever made a call with a good credential stays. The others (handshakes under way, connections that only asked
//! for health, or for nothing) are strangers: when there is no room for somebody new, the stranger that has been
//! there longest goes. So thousands of connections that were opened to keep others out keep out nobody.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::ServerConfig;
use crate::auth::Listener;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Connections in all.
    pub(super) total: usize,
    /// Connections from one address.
    pub(super) per_address: usize,
    /// Handshakes under way.
    pub(super) greeting: usize,
}

impl Room {
    /// The configured room, or less where the process may open too few files. Of two ports each has a part of these
    /// for itself, so that nobody on the open internet can take those of the suite's own services.
    pub(super) fn of(config: &ServerConfig, listener: Listener) -> Room {
        Self::within(config, listener, open_files())
    }

    fn within(config: &ServerConfig, listener: Listener, open_files: Option<usize>) -> Room {
        let some = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let configured = Room {
            total: config.max_connections.max(1),
            per_address: some(config.max_connections_per_address),
            greeting: some(config.max_handshakes),
        };
        let Some(files) = open_files else {
            return configured;
        };
        // At least half of what there is, so that a server with a large reserve and a small limit still serves.
        let left = files.saturating_sub(config.reserved_files).max(files / 2);
        let left = match listener {
            Listener::Both => left,
            Listener::Partner => left - left / 4,
            Listener::Internal => left / 4,
        };
        if left >= configured.total {
            return configured;
        }
        tracing::warn!(
            open_files = files,
            reserved = config.reserved_files,
            max_connections = left,
            "the process may open fewer files than connections are configured; raise the limit (nofile)"
        );
        Room {
            total: left.max(1),
            per_address: configured.per_address.min((left / 2).max(1)),
            ..configured
        }
    }
}

/// How many files the process may have open; none where that cannot be told.
fn open_files() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The address has as many connections as one may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// All room there is. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seats {
    inner: Arc<Inner>,
}

struct Inner {
    room: Room,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_address: HashMap<IpAddr, usize>,
    /// Handshakes under way, the oldest first.
    greeting: BTreeMap<u64, CancellationToken>,
    /// Those after the handshake that have proved nothing yet, the oldest first.
    strangers: BTreeMap<u64, CancellationToken>,
}

impl Seats {
    pub(super) fn new(room: Room) -> Self {
        Seats {
            inner: Arc::new(Inner {
                room,
                free: Arc::new(Semaphore::new(room.total.min(Semaphore::MAX_PERMITS))),
                taken: Mutex::default(),
            }),
        }
    }

    /// A seat for a connection from there. When all are taken a stranger has to leave; when there is none, it waits.
    pub(super) async fn take(&self, from: Option<IpAddr>) -> Result<Seat, TooMany> {
        let mut seat = self.count(from)?;
        let free = self.inner.free.clone();
        seat.permit = match free.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.push_out();
                free.acquire_owned().await.ok()
            }
        };
        let mut taken = self.inner.lock();
        if taken.greeting.len() >= self.inner.room.greeting
            && let Some((_, oldest)) = taken.greeting.pop_first()
        {
            oldest.cancel();
        }
        taken.greeting.insert(seat.standing.id, seat.leave.clone());
        drop(taken);
        Ok(seat)
    }

    fn count(&self, from: Option<IpAddr>) -> Result<Seat, TooMany> {
        let from = from.map(network);
        let mut taken = self.inner.lock();
        if let Some(from) = from {
            let count = taken.by_address.entry(from).or_insert(0);
            if *count >= self.inner.room.per_address {
                return Err(TooMany);
            }
            *count += 1;
        }
        taken.next += 1;
        Ok(Seat {
            standing: Standing {
                id: taken.next,
                inner: self.inner.clone(),
            },
            from,
            leave: CancellationToken::new(),
            permit: None,
        })
    }

    /// Sends away the stranger that has been here longest; whether there was one.
    pub(super) fn push_out(&self) -> bool {
        let mut taken = self.inner.lock();
        let first = |of: &BTreeMap<u64, CancellationToken>| of.keys().next().copied();
        let oldest = match (first(&taken.greeting), first(&taken.strangers)) {
            (Some(greeting), Some(stranger)) if greeting < stranger => taken.greeting.pop_first(),
            (Some(_), None) => taken.greeting.pop_first(),
            _ => taken.strangers.pop_first(),
        };
        drop(taken);
        oldest.map(|(_, leave)| leave.cancel()).is_some()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: of IPv6 whoever has one has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

/// One connection's room, until it is dropped.
pub(super) struct Seat {
    standing: Standing,
    from: Option<IpAddr>,
    leave: CancellationToken,
    permit: Option<OwnedSemaphorePermit>,
}

impl Seat {
    /// Resolves when the connection has to make room for another.
    pub(super) async fn pushed_out(&self) {
        self.leave.cancelled().await;
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.standing.inner.lock();
        taken.greeting.remove(&self.standing.id);
        taken.strangers.remove(&self.standing.id);
        if let Some(from) = self.from
            && let Some(count) = taken.by_address.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&from);
            }
        }
        drop(taken);
        self.permit.take();
    }
}

/// What is known of a connection.
#[derive(Clone)]
pub(super) struct Standing {
    id: u64,
    inner: Arc<Inner>,
}

impl Standing {
    /// The handshake is over.
    pub(super) fn greeted(&self) {
        let mut taken = self.inner.lock();
        if let Some(leave) = taken.greeting.remove(&self.id) {
            taken.strangers.insert(self.id, leave);
        }
    }

    /// A call on it had a good credential: from now on it is not pushed out.
    pub(super) fn proved(&self) {
        self.inner.lock().strangers.remove(&self.id);
    }
}

#[cfg(test)]
mod security {
    use super::*;

    fn room(total: usize, per_address: usize, greeting: usize) -> Seats {
        Seats::new(Room {
            total,
            per_address,
            greeting,
        })
    }

    fn left(seat: &Seat) -> bool {
        seat.leave.is_cancelled()
    }

    #[tokio::test]
    async fn when_all_is_taken_the_oldest_stranger_leaves_and_nobody_who_proved_good() {
        let seats = room(3, 9, 9);
        let proven = seats.take(None).await.expect("room");
        proven.standing().greeted();
        proven.standing().proved();
        let older = seats.take(None).await.expect("room");
        older.standing().greeted();
        let newer = seats.take(None).await.expect("room");
        // The one pushed out lets go of its seat, as its connection does.
        let (taken, ()) = tokio::join!(seats.take(None), async {
            older.pushed_out().await;
            drop(older);
        });
        assert!(!left(&newer) && !left(&proven));
        assert!(seats.push_out(), "the handshake under way");
        assert!(left(&newer));
        drop((taken, newer));
        assert!(!seats.push_out(), "who proved good stays");
        assert!(!left(&proven));
    }

    #[tokio::test]
    async fn one_address_has_a_share_and_gets_it_back() {
        let seats = room(10, 2, 9);
        let from = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let first = seats.take(from("2001:db8::1")).await.expect("room");
        let _second = seats.take(from("2001:db8::2")).await.expect("room");
        assert_eq!(seats.take(from("2001:db8::3")).await.err(), Some(TooMany));
        let _other = seats
            .take(from("2001:db8:0:1::1"))
            .await
            .expect("another network");
        drop(first);
        let _again = seats.take(from("2001:db8::3")).await.expect("room again");
        let _mapped = seats.take(from("::ffff:10.0.0.1")).await.expect("room");
        let _plain = seats.take(from("10.0.0.1")).await.expect("room");
        assert_eq!(seats.take(from("10.0.0.1")).await.err(), Some(TooMany));
    }

    #[tokio::test]
    async fn of_too_many_handshakes_the_oldest_ends() {
        let seats = room(10, 10, 2);
        let first = seats.take(None).await.expect("room");
        let second = seats.take(None).await.expect("room");
        let third = seats.take(None).await.expect("room");
        assert!(left(&first) && !left(&second) && !left(&third));
        second.standing().greeted();
        let fourth = seats.take(None).await.expect("room");
        assert!(!left(&second) && !left(&third) && !left(&fourth));
    }

    #[test]
    fn room_is_never_more_than_the_process_may_open() {
        let config = ServerConfig {
            max_connections: 10_000,
            max_connections_per_address: 2_048,
            reserved_files: 128,
            ..ServerConfig::default()
        };
        let room = |files| Room::within(&config, Listener::Both, files);
        assert_eq!(room(None).total, 10_000);
        assert_eq!(room(Some(1_048_576)).total, 10_000);
        assert_eq!(
            (room(Some(256)).total, room(Some(256)).per_address),
            (128, 64)
        );
        assert_eq!(room(Some(100)).total, 50);
        let part = |listener| Room::within(&config, listener, Some(256)).total;
        assert_eq!(part(Listener::Partner) + part(Listener::Internal), 128);
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            256                  1048576              files     \n";
        assert_eq!(soft_limit(limits), Some(256));
        assert_eq!(
            soft_limit("Max open files  unlimited unlimited files"),
            None
        );
    }
}
