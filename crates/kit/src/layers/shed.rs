//! Who comes in.
//!
//! This is asked before a call is given a name, a span or a timer, and says no with an answer that lies ready,
//! so that what cannot be served takes next to nothing from what can.
//!
//! | who | room |
//! |---|---|
//! | CRITICAL: money already taken | its own, and all that is free beside it |
//! | IMPORTANT, NORMAL work, NORMAL reading, SHEDDABLE | a share of the limit each, smaller from class to class |
//! | one caller | a multiple of what is still free, so that there is always some left for another |
//! | a token that never proved good | while many fail: so many a second, whatever method it names |
//!
//! The limit is found from how long calls wait inside, see [`super::limit`]. Streams stay, so they have a fixed
//! bound of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::common::v1::Audience;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::accounts::{Account, Accounts, Bucket, Wait};
use super::authenticate::bearer;
use super::gate::{Class, Gate, Permit, Shares};
use super::limit::{Bounds, Limit, Seen};
use super::rate_limit::Rate;
use super::refusals::Refusals;
use super::{Call, LayerDeps, LayersConfig, Response, Target};
use crate::auth::TokenVerifier;
use crate::caller::audience_word;
use crate::errors::ErrorReason;
use crate::telemetry::Metrics;

/// How much work a server takes on, and who may use how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShedConfig {
    /// Unary calls at the same time at most. How many it may be just now is found out from how long calls wait
    /// inside, between `min_calls` and this.
    pub max_calls: usize,
    /// Unary calls at the same time that are always let in.
    pub min_calls: usize,
    /// Room for CRITICAL calls that no other class can take; they may also use all that is free of `max_calls`.
    pub critical_calls: usize,
    /// Streams at the same time. CRITICAL streams may use all of it.
    pub max_streams: usize,
    /// The share of the limit that IMPORTANT calls may fill, in per cent.
    pub important_percent: u8,
    /// The share that NORMAL calls that change something may fill, in per cent.
    pub normal_percent: u8,
    /// The share that NORMAL calls that only read may fill, in per cent; streams may fill that of all NORMAL ones.
    pub reading_percent: u8,
    /// The share that SHEDDABLE calls may fill, in per cent.
    pub sheddable_percent: u8,
    /// How long calls may wait inside for their turn, on average, in milliseconds. Longer, and fewer are let in.
    pub queue_target_ms: u64,
    /// How often the limit is looked at, in milliseconds.
    pub adjust_interval_ms: u64,
    /// How many times what is still free one caller may have under way. 4 leaves a fifth to others however much
    /// one caller asks for.
    pub caller_room_factor: u32,
    /// While many tokens turn out bad: how many calls with a token that never proved good are looked at. 0 a
    /// second for no limit.
    pub unproven: Rate,
    /// When refused callers are told to try again, in milliseconds; up to twice as long, each at another time, so
    /// that they do not all come back at once.
    pub retry_after_ms: u64,
}

impl Default for ShedConfig {
    fn default() -> Self {
        ShedConfig {
            max_calls: 4_096,
            min_calls: 64,
            critical_calls: 1_024,
            max_streams: 16_384,
            important_percent: 90,
            normal_percent: 75,
            reading_percent: 60,
            sheddable_percent: 50,
            queue_target_ms: 50,
            adjust_interval_ms: 100,
            caller_room_factor: 4,
            unproven: Rate {
                per_second: 1_000,
                burst: 2_000,
            },
            retry_after_ms: 250,
        }
    }
}

impl ShedConfig {
    pub(super) fn shares(&self, critical: usize) -> Shares {
        Shares {
            critical,
            percent: [
                self.important_percent,
                self.normal_percent,
                self.reading_percent,
                self.sheddable_percent,
            ],
        }
    }

    /// A stream that reads is what somebody watches: it does not give way to others of its class.
    fn of_streams(&self) -> Shares {
        let mut shares = self.shares(0);
        shares.percent[2] = self.normal_percent;
        shares
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            min: self.min_calls,
            max: self.max_calls,
            target: Duration::from_millis(self.queue_target_ms),
        }
    }
}

/// Why a call was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Limit,
    Share,
    Unproven,
    Rate,
    Calls,
}

const CAUSES: [(Cause, &str); 5] = [
    (Cause::Limit, "limit"),
    (Cause::Share, "share"),
    (Cause::Unproven, "unproven"),
    (Cause::Rate, "rate"),
    (Cause::Calls, "calls"),
];

pub(super) struct Shed {
    calls: Arc<Gate>,
    streams: Arc<Gate>,
    accounts: Accounts,
    verifier: TokenVerifier,
    unproven: Option<Bucket>,
    /// Until when callers are recognised at the door, because some were over their rate, in nanoseconds.
    wary_until_ns: AtomicU64,
    retry_after: Duration,
    overloaded: Refusals,
    share_taken: Refusals,
    too_fast: Refusals,
    too_many: Refusals,
    counts: Arc<Counts>,
}

/// How long callers are recognised at the door after one was over its rate.
const WARY_NS: u64 = 1_000_000_000;

impl Shed {
    pub(super) fn new(config: &LayersConfig, deps: &LayerDeps) -> Self {
        let (shed, clock) = (&config.shed, &deps.clock);
        let counts = Arc::new(Counts::default());
        let (watched, metrics) = (counts.clone(), deps.metrics.clone());
        let watch = move |seen: &Seen, limit: usize, used: usize| {
            watched.flush(&metrics);
            let wait = (seen.queued > 0).then_some(seen.wait);
            metrics.admission(limit, used, wait);
        };
        Shed {
            calls: Arc::new(Gate::adaptive(
                Limit::new(shed.bounds()),
                Duration::from_millis(shed.adjust_interval_ms),
                shed.shares(shed.critical_calls),
                clock.clone(),
                Box::new(watch),
            )),
            streams: Arc::new(Gate::fixed(
                shed.max_streams,
                shed.of_streams(),
                clock.clone(),
            )),
            accounts: Accounts::new(
                &config.rate_limit,
                shed.caller_room_factor,
                deps.verifier.partners(),
                clock,
            ),
            verifier: deps.verifier.clone(),
            unproven: Bucket::new(shed.unproven),
            wary_until_ns: AtomicU64::new(0),
            retry_after: Duration::from_millis(shed.retry_after_ms.max(1)),
            overloaded: Refusals::new(
                ErrorReason::Overloaded,
                "The server has more work than it can finish in time and nothing was done; try again later.",
            ),
            share_taken: Refusals::new(
                ErrorReason::Overloaded,
                "The server is busy, this caller has its share of it under way and nothing was done; try again later.",
            ),
            too_fast: Refusals::new(
                ErrorReason::RateLimited,
                "This caller makes calls faster than its limit and nothing was done; slow down and try again.",
            ),
            too_many: Refusals::new(
                ErrorReason::RateLimited,
                "This caller has as many calls under way as it may and nothing was done; wait for some to end.",
            ),
            counts,
        }
    }

    /// Lets a call in, or answers it. Health has no permit: a busy server is not a sick one, and refusing its
    /// checks would have it restarted under load.
    #[allow(
        clippy::result_large_err,
        reason = "it is handed on once; a box would cost more"
    )]
    pub(super) fn admit(
        &self,
        target: &Target,
        headers: &HeaderMap,
    ) -> Result<Option<Permit>, Response> {
        if matches!(target, Target::Health(_)) {
            // Whoever asks regularly keeps what is watched up to date while nobody else comes.
            self.calls.passed_by();
            return Ok(None);
        }
        let class = Class::of(target);
        let gate = self.gate(target);
        let unproven = if target.is_open() {
            None
        } else {
            self.recognise(class, target.streams(), gate, headers)?
        };
        match gate.enter(class) {
            Some(mut permit) => {
                permit.unproven = unproven;
                Ok(Some(permit))
            }
            None => {
                self.give_back(unproven);
                self.counts.shed(class, Cause::Limit);
                Err(self.overloaded.answer(headers, self.retry_after))
            }
        }
    }

    fn gate(&self, target: &Target) -> &Arc<Gate> {
        if target.streams() {
            &self.streams
        } else {
            &self.calls
        }
    }

    /// When there is reason to, looks who calls by the print of the token: known callers that will be refused are
    /// refused now, and strangers are let through at a bounded rate. Answers the print of a stranger.
    #[allow(
        clippy::result_large_err,
        reason = "it is handed on once; a box would cost more"
    )]
    fn recognise(
        &self,
        class: Class,
        streams: bool,
        gate: &Gate,
        headers: &HeaderMap,
    ) -> Result<Option<u64>, Response> {
        let now_ns = self.accounts.now_ns();
        let is_half_empty = |bucket: &Bucket| bucket.is_half_empty(now_ns);
        let forged = self.unproven.as_ref().is_some_and(is_half_empty);
        let wary = now_ns < self.wary_until_ns.load(Ordering::Relaxed);
        if !forged && !wary && !gate.is_strained() {
            return Ok(None);
        }
        let print = self.accounts.print(headers);
        if let Some(known) = self.known(print, headers) {
            let Some(account) = known else {
                return Ok(None);
            };
            return match self.accounts.foresee(&account, class, streams, gate) {
                None => Ok(None),
                Some(wait) => Err(self.told_to_wait(&account, class, wait, gate, headers)),
            };
        }
        let Some(bucket) = &self.unproven else {
            return Ok(Some(print));
        };
        if bucket.take(now_ns).is_ok() {
            return Ok(Some(print));
        }
        self.counts.shed(class, Cause::Unproven);
        Err(self.overloaded.answer(headers, self.retry_after))
    }

    /// The account of a token that proved good before, if it has one.
    fn known(&self, print: u64, headers: &HeaderMap) -> Option<Option<Arc<Account>>> {
        if let Some(known) = self.accounts.recognise(print) {
            return Some(known);
        }
        let identity = self.verifier.recall(bearer(headers).ok()?)?;
        let account = self.accounts.of(&identity.caller("", ""));
        self.accounts.remember(print, account.clone());
        Some(account)
    }

    fn give_back(&self, unproven: Option<u64>) {
        if unproven.is_some()
            && let Some(bucket) = &self.unproven
        {
            bucket.give_back();
        }
    }

    /// Counts a call on its caller's account, now that the caller is known.
    #[allow(
        clippy::result_large_err,
        reason = "it is handed on once; a box would cost more"
    )]
    pub(super) fn charge(&self, call: &mut Call, headers: &HeaderMap) -> Result<(), Response> {
        let (Some(caller), Some(permit)) = (&call.caller, &mut call.permit) else {
            return Ok(());
        };
        let unproven = permit.unproven.take();
        self.give_back(unproven);
        let account = self.accounts.of(caller);
        if let Some(print) = unproven {
            self.accounts.remember(print, account.clone());
        }
        let Some(account) = account else {
            return Ok(());
        };
        let class = permit.class;
        let (streams, places) = (call.target.streams(), call.target.places_orders());
        self.accounts
            .charge(&account, permit, streams, places)
            .map_err(|wait| self.told_to_wait(&account, class, wait, permit.gate(), headers))
    }

    /// After a call: a token that did not prove good is counted, so that many of them are noticed.
    pub(super) fn ended(&self, call: &Call) {
        let was_counted = call
            .permit
            .as_ref()
            .is_some_and(|permit| permit.unproven.is_some());
        if call.caller.is_none()
            && !call.target.is_open()
            && !was_counted
            && let Some(bucket) = &self.unproven
        {
            let _ = bucket.take(self.accounts.now_ns());
        }
    }

    fn told_to_wait(
        &self,
        account: &Account,
        class: Class,
        wait: Wait,
        gate: &Gate,
        headers: &HeaderMap,
    ) -> Response {
        let until = self.accounts.now_ns().saturating_add(WARY_NS);
        self.wary_until_ns.store(until, Ordering::Relaxed);
        match wait {
            Wait::Share => {
                gate.missed();
                self.counts.shed(class, Cause::Share);
                self.share_taken.answer(headers, self.retry_after)
            }
            Wait::Calls => {
                self.counts.limited(account.audience, Cause::Calls);
                self.too_many.answer(headers, self.retry_after)
            }
            Wait::Rate(time) => {
                self.counts.limited(account.audience, Cause::Rate);
                self.too_fast.answer(headers, time)
            }
        }
    }
}

/// Refusals since they were last told; counted without labels, because there may be very many.
#[derive(Default)]
struct Counts {
    shed: [[AtomicU64; CAUSES.len()]; Class::ALL.len()],
    limited: [[AtomicU64; CAUSES.len()]; AUDIENCES.len()],
}

const AUDIENCES: [Audience; 5] = [
    Audience::Unspecified,
    Audience::Partner,
    Audience::Retailer,
    Audience::Viewer,
    Audience::Service,
];

impl Counts {
    fn shed(&self, class: Class, cause: Cause) {
        self.shed[class as usize][cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn limited(&self, audience: Audience, cause: Cause) {
        let index = AUDIENCES.iter().position(|known| *known == audience);
        self.limited[index.unwrap_or(0)][cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn flush(&self, metrics: &Metrics) {
        let tell = |layer, why, counts: &[AtomicU64; CAUSES.len()]| {
            for ((_, cause), count) in CAUSES.iter().zip(counts) {
                match count.swap(0, Ordering::Relaxed) {
                    0 => {}
                    number => metrics.refused_many(layer, why, cause, number),
                }
            }
        };
        for (class, counts) in Class::ALL.into_iter().zip(&self.shed) {
            tell("shed", class.word(), counts);
        }
        for (audience, counts) in AUDIENCES.into_iter().zip(&self.limited) {
            tell("rate_limit", audience_word(audience), counts);
        }
    }
}

impl Class {
    /// The word in metrics.
    fn word(self) -> &'static str {
        match self {
            Class::Critical => "CRITICALITY_CRITICAL",
            Class::Important => "CRITICALITY_IMPORTANT",
            Class::Work => "CRITICALITY_NORMAL",
            Class::Reading => "CRITICALITY_NORMAL_READ",
            Class::Sheddable => "CRITICALITY_SHEDDABLE",
        }
    }
}
