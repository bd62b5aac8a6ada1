//! The checker: holds what was acknowledged against what the suite says afterwards.

mod facts;
mod feeds;
mod goods;
mod money;
mod orders;
mod read;
mod returns;
mod rooms;
mod sql;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use facts::{Facts, Made};
pub use read::{Place, State, state};
pub use sql::settle;

/// What can be wrong.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An acknowledged order is missing or another.
    OrderLost,
    /// A key has two orders, or an order has no intent.
    OrderDoubled,
    /// A repeated key got another answer.
    AnswerChanged,
    /// An acknowledged payment is missing or another.
    PaymentLost,
    /// A payment was recorded twice, or without an intent.
    PaymentDoubled,
    /// What was paid is neither kept nor due back.
    MoneyNotConserved,
    /// Units are not what movements and orders make of them.
    UnitsNotConserved,
    /// An acknowledged movement is missing or doubled.
    MovementLost,
    /// An acknowledged extension, cancellation or contact left no trace.
    ChangeLost,
    /// A hold ended before the time that was promised.
    HoldBroken,
    /// Something was sold while its sale was stopped.
    StopIgnored,
    /// An acknowledged shipment or tracking event is missing.
    ParcelLost,
    /// Shipments hold more than one for a key.
    ParcelDoubled,
    /// Orders and fulfilments do not match one to one, or their counters differ.
    EffectMissedOrDoubled,
    /// An acknowledged product is missing or doubled.
    ProductLost,
    /// A mirror of the catalogue is not what the catalogue says.
    MirrorWrong,
    /// An acknowledged return is missing, doubled or another, or was not restocked and paid back once.
    ReturnLost,
    /// An acknowledged question is missing or doubled.
    QuestionLost,
    /// More likes were lost than a second's, or some were made up.
    LikesWrong,
    /// A feed or the audit has a gap.
    FeedGap,
    /// A watcher missed an entry, got one twice, or got another than stands in the feed.
    WatchWrong,
    /// A consumer is behind, or parked an entry.
    ConsumerWrong,
    /// A call was never answered, or a read did not show what was acknowledged.
    CallFailed,
}

/// One thing that is wrong.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// What was found, and how much was looked at.
#[derive(Default)]
pub struct Findings {
    pub violations: Vec<Violation>,
    pub checked: u64,
}

impl Findings {
    pub fn that(&mut self, kind: Kind, holds: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violations.push(Violation { kind, what: what() });
        }
    }

    /// How often each kind was found.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.violations.iter().map(|v| v.kind).collect()
    }

    /// A few of each kind, for people.
    pub fn summary(&self) -> Vec<String> {
        let mut by_kind: BTreeMap<Kind, Vec<&Violation>> = BTreeMap::new();
        for violation in &self.violations {
            by_kind.entry(violation.kind).or_default().push(violation);
        }
        let mut lines = Vec::new();
        for (kind, found) in by_kind {
            lines.push(format!("{kind:?}: {} times, such as", found.len()));
            lines.extend(found.iter().take(5).map(|v| format!("    {}", v.what)));
        }
        lines
    }
}

/// Makes every check.
pub fn compare(facts: &Facts, state: &State) -> Findings {
    let mut findings = Findings::default();
    orders::check(facts, state, &mut findings);
    money::check(facts, state, &mut findings);
    units::check(facts, state, &mut findings);
    goods::check(facts, state, &mut findings);
    returns::check(facts, state, &mut findings);
    rooms::check(facts, state, &mut findings);
    feeds::check(facts, state, &mut findings);
    for what in &facts.failed {
        findings.that(Kind::CallFailed, false, || what.clone());
    }
    findings
}
