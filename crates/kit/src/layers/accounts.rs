//! What each caller has under way and how fast it calls.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use http::{HeaderMap, header};
use moka::sync::Cache;

use super::gate::{Class, Gate, Held, Kind, Permit};
use super::rate_limit::{Rate, RateLimitConfig};
use crate::caller::Caller;
use crate::clock::SharedClock;
use crate::partners::{PartnerDirectory, Quotas};

/// Why a caller has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It calls too fast; the time until it may again.
    Rate(Duration),
    /// It has as much under way as it may.
    Calls,
    /// It has its share of what the server can do under way.
    Share,
}

/// A bucket of calls that fills at a steady rate, as the one moment at which it will be full again.
pub(super) struct Bucket {
    interval_ns: u64,
    tolerance_ns: u64,
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// None for a rate without a limit.
    pub(super) fn new(rate: Rate) -> Option<Self> {
        let interval_ns = 1_000_000_000u64
            .checked_div(u64::from(rate.per_second))?
            .max(1);
        Some(Bucket {
            interval_ns,
            tolerance_ns: interval_ns.saturating_mul(u64::from(rate.burst.max(1)) - 1),
            full_at_ns: AtomicU64::new(0),
        })
    }

    /// How long until there is one to take.
    pub(super) fn wait(&self, now_ns: u64) -> Option<Duration> {
        let full_at = self.full_at_ns.load(Ordering::Relaxed).max(now_ns);
        let over = (full_at - now_ns).saturating_sub(self.tolerance_ns);
        (over > 0).then(|| Duration::from_nanos(over))
    }

    /// Takes one, or says how long until there is one.
    pub(super) fn take(&self, now_ns: u64) -> Result<(), Duration> {
        let one_less = |full_at: u64| {
            let full_at = full_at.max(now_ns);
            (full_at - now_ns <= self.tolerance_ns).then(|| full_at + self.interval_ns)
        };
        self.full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .map(|_| ())
            .map_err(|full_at| {
                Duration::from_nanos(
                    (full_at.max(now_ns) - now_ns).saturating_sub(self.tolerance_ns),
                )
            })
    }

    /// Gives one back.
    pub(super) fn give_back(&self) {
        let one_more = |full_at: u64| Some(full_at.saturating_sub(self.interval_ns));
        let _ = self
            .full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Whether more than half of it is gone.
    pub(super) fn is_half_empty(&self, now_ns: u64) -> bool {
        let full_at = self.full_at_ns.load(Ordering::Relaxed);
        full_at.saturating_sub(now_ns) > self.tolerance_ns / 2
    }
}

/// How much one caller may ask for.
struct Limits {
    /// What the directory said when they were made.
    quotas: Quotas,
    rate: Option<Bucket>,
    /// Money that was taken is not held up by how fast its partner calls otherwise.
    critical_rate: Option<Bucket>,
    placements: Option<Bucket>,
    calls_max: usize,
}

/// One caller.
pub(super) struct Account {
    pub(super) audience: Audience,
    limits: ArcSwap<Limits>,
    calls: AtomicUsize,
    critical: AtomicUsize,
    streams: AtomicUsize,
}

impl Account {
    pub(super) fn under_way(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Call => &self.calls,
            Kind::Critical => &self.critical,
            Kind::Stream => &self.streams,
        }
    }

    /// What stands in the way of one call more. A caller may have under way a multiple of what is still free: the
    /// more callers want much, the less each gets, and there is always something left for the next.
    fn obstacle(&self, kind: Kind, free: usize, factor: usize) -> Option<Wait> {
        let held = self.under_way(kind).load(Ordering::Acquire);
        if kind == Kind::Call && held >= self.limits.load().calls_max {
            return Some(Wait::Calls);
        }
        // Who has nothing under way has had no share yet; whether there is room is the gate's to say.
        (held > 0 && held >= free.saturating_mul(factor)).then_some(Wait::Share)
    }
}

impl Limits {
    fn bucket(&self, class: Class) -> Option<&Bucket> {
        if class == Class::Critical {
            self.critical_rate.as_ref()
        } else {
            self.rate.as_ref()
        }
    }

    /// Takes one call, and one order where it places one; or nothing.
    fn take(&self, class: Class, places: bool, now_ns: u64) -> Result<(), Wait> {
        let bucket = self.bucket(class);
        if let Some(bucket) = bucket {
            bucket.take(now_ns).map_err(Wait::Rate)?;
        }
        if let Some(placements) = self.placements.as_ref().filter(|_| places) {
            placements.take(now_ns).map_err(|wait| {
                if let Some(bucket) = bucket {
                    bucket.give_back();
                }
                Wait::Rate(wait)
            })?;
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Partner(PartnerId),
    Other(String),
}

/// The accounts of all callers that were seen of late.
pub(super) struct Accounts {
    config: RateLimitConfig,
    room_factor: usize,
    partners: PartnerDirectory,
    clock: SharedClock,
    origin: Instant,
    // Behind bounded caches, or whoever makes up callers could fill the memory.
    accounts: Cache<Key, Arc<Account>>,
    prints: Cache<u64, Option<Arc<Account>>>,
    hasher: RandomState,
}

impl Accounts {
    pub(super) fn new(
        config: &RateLimitConfig,
        room_factor: u32,
        partners: &PartnerDirectory,
        clock: &SharedClock,
    ) -> Self {
        let forget_after = Duration::from_secs(config.forget_after_s.max(1));
        Accounts {
            config: config.clone(),
            room_factor: room_factor.max(1) as usize,
            partners: partners.clone(),
            clock: clock.clone(),
            origin: clock.instant(),
            accounts: Cache::builder()
                .max_capacity(config.max_counted_callers)
                .time_to_idle(forget_after)
                .build(),
            prints: Cache::builder()
                .max_capacity(config.max_counted_callers)
                .time_to_idle(forget_after)
                .build(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn now_ns(&self) -> u64 {
        let since = self.clock.instant().saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The account of a caller; none for the suite's own services, which the server's limit holds back.
    pub(super) fn of(&self, caller: &Caller) -> Option<Arc<Account>> {
        let key = match (caller.audience, caller.partner_id) {
            (Audience::Service | Audience::Unspecified, _) => return None,
            (Audience::Partner, Some(partner)) => Key::Partner(partner),
            _ => Key::Other(caller.scope_key()),
        };
        let quotas = self.quotas(&key);
        if let Some(account) = self.accounts.get(&key) {
            if account.limits.load().quotas != quotas {
                // What is under way stays counted; only the limits are others.
                account.limits.store(Arc::new(self.limits(caller, quotas)));
            }
            return Some(account);
        }
        let open = || Account {
            audience: caller.audience,
            limits: ArcSwap::from_pointee(self.limits(caller, quotas)),
            calls: AtomicUsize::new(0),
            critical: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
        };
        Some(self.accounts.get_with(key, || Arc::new(open())))
    }

    fn quotas(&self, key: &Key) -> Quotas {
        match key {
            Key::Partner(partner_id) => self
                .partners
                .of(partner_id)
                .map(|known| known.access.quotas)
                .unwrap_or_default(),
            Key::Other(_) => Quotas::default(),
        }
    }

    /// The limits of a caller: a server's own word for one partner goes before the quotas that the catalogue knows, and
    /// these before what every partner may.
    fn limits(&self, caller: &Caller, quotas: Quotas) -> Limits {
        let config = &self.config;
        let id = caller
            .partner_id
            .map(|id| id.to_string())
            .unwrap_or_default();
        fn own<T: Copy>(map: &BTreeMap<String, T>, id: &str, usual: T) -> T {
            map.get(id).copied().unwrap_or(usual)
        }
        let agreed = |number: u32, usual: u32| if number == 0 { usual } else { number };
        let (rate, critical, calls_max) = match caller.audience {
            Audience::Partner => (
                own(
                    &config.partners,
                    &id,
                    Rate::agreed(quotas.calls_per_second, config.partner),
                ),
                own(&config.partners_critical, &id, config.partner_critical),
                own(
                    &config.partners_calls_max,
                    &id,
                    agreed(quotas.concurrent_calls, config.partner_calls_max),
                ),
            ),
            Audience::Viewer => (config.viewer, config.viewer, 0),
            _ => (config.retailer, config.retailer, 0),
        };
        Limits {
            quotas,
            rate: Bucket::new(rate),
            critical_rate: Bucket::new(critical),
            placements: Bucket::new(Rate::agreed(quotas.placements_per_second, Rate::NONE)),
            calls_max: if calls_max == 0 {
                usize::MAX
            } else {
                calls_max as usize
            },
        }
    }

    /// Counts a call on its caller's account, or says what stands in the way.
    pub(super) fn charge(
        &self,
        account: &Arc<Account>,
        permit: &mut Permit,
        streams: bool,
        places: bool,
    ) -> Result<(), Wait> {
        let class = permit.class;
        let kind = kind_of(class, streams);
        // The call itself is counted at the gate already.
        let free = permit.gate().free(class) + 1;
        if let Some(wait) = account.obstacle(kind, free, self.room_factor) {
            return Err(wait);
        }
        account.limits.load().take(class, places, self.now_ns())?;
        account.under_way(kind).fetch_add(1, Ordering::AcqRel);
        permit.held = Some(Held {
            account: account.clone(),
            kind,
        });
        Ok(())
    }

    /// What stands in the way of a call whose caller was recognised by the print of its token. It takes nothing.
    pub(super) fn foresee(
        &self,
        account: &Account,
        class: Class,
        streams: bool,
        gate: &Gate,
    ) -> Option<Wait> {
        let kind = kind_of(class, streams);
        let limits = account.limits.load();
        let bucket = limits.bucket(class);
        account
            .obstacle(kind, gate.free(class), self.room_factor)
            .or_else(|| {
                bucket
                    .and_then(|bucket| bucket.wait(self.now_ns()))
                    .map(Wait::Rate)
            })
    }

    /// The print of a call's token. Keyed at random, so nobody can make another's; and it never lets anybody in,
    /// it only tells early who will be refused.
    pub(super) fn print(&self, headers: &HeaderMap) -> u64 {
        let token = headers.get(header::AUTHORIZATION);
        self.hasher.hash_one(token.map(|token| token.as_bytes()))
    }

    /// The account behind a print that is known, if it has one.
    pub(super) fn recognise(&self, print: u64) -> Option<Option<Arc<Account>>> {
        self.prints.get(&print)
    }

    pub(super) fn remember(&self, print: u64, account: Option<Arc<Account>>) {
        self.prints.insert(print, account);
    }
}

fn kind_of(class: Class, streams: bool) -> Kind {
    match (streams, class) {
        (true, _) => Kind::Stream,
        (false, Class::Critical) => Kind::Critical,
        (false, _) => Kind::Call,
    }
}
