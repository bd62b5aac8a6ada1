//! When a slot takes place: RFC 5545 rules on the clock of a time zone.
//!
//! The rule's library gives dates and times on the clock, with no zone at all; what moment each is, is decided here for
//! starts and ends alike and keeps their order: a time that a clock change leaves out is the moment of the change, one
//! that comes twice is the first. So slots that do not overlap on the clock never overlap, and a day that is filled from
//! midnight to midnight stays filled on the days that are an hour shorter or longer.

use std::collections::BTreeSet;

use chrono::{DateTime as RuleTime, Datelike, TimeZone as _, Timelike};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span as JiffSpan, Timestamp};
use kit::clock::Micros;
use rrule::{RRule, RRuleSet, Tz, Unvalidated};

/// Times that are given for a rule at most before it counts as one that gives too many.
const TIMES_MAX: usize = 100_000;
/// The largest COUNT of a rule.
const COUNT_MAX: u32 = 10_000;
/// The largest INTERVAL of a rule.
const INTERVAL_MAX: u32 = 1_000;
const PARTS: [&str; 13] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYDAY",
    "BYMONTHDAY",
    "BYMONTH",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYSETPOS",
    "BYHOUR",
    "BYMINUTE",
];

/// A time zone of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of an IANA name.
    pub fn named(name: &str) -> Option<Self> {
        let known = name.contains('/') || name == "UTC";
        let zone = known.then(|| TimeZoneDatabase::bundled().get(name).ok());
        zone.flatten().map(Zone)
    }

    /// The moment at which the clock shows a time.
    fn moment(&self, clock: DateTime) -> Option<Micros> {
        let ambiguous = self.0.to_ambiguous_timestamp(clock);
        let moment = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                // On the later clock the time is before the change.
                let before = after.to_timestamp(clock).ok()?;
                self.0.following(before).next()?.timestamp()
            }
        };
        Some(Micros(moment.as_microsecond()))
    }

    /// What the clock shows at a moment.
    fn clock(&self, moment: Micros) -> Option<DateTime> {
        let moment = Timestamp::from_microsecond(moment.0).ok()?;
        Some(self.0.to_datetime(moment))
    }
}

/// A stretch of time, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First moment.
    pub start: Micros,
    /// First moment after.
    pub end: Micros,
}

impl Span {
    /// Whether they have a moment in common.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// What is wrong with a recurrence, and in which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurrenceError {
    /// The field of a slot.
    pub field: &'static str,
    /// What it must be.
    pub description: String,
}

fn wrong(field: &'static str, description: impl Into<String>) -> RecurrenceError {
    RecurrenceError {
        field,
        description: description.into(),
    }
}

const START: &str = "local_start_time";
const RULE: &str = "recurrence_rule";

/// When something takes place, on the clock of a zone.
#[derive(Clone, Debug)]
pub struct Recurrence {
    zone: Zone,
    start: DateTime,
    duration: JiffSpan,
    rule: Option<Rule>,
    exceptions: BTreeSet<Date>,
}

#[derive(Clone, Debug)]
struct Rule {
    rule: RRule,
    /// Seconds between times that look the same to the rule; none where it has to be counted from the beginning.
    stride_s: Option<i64>,
}

impl Recurrence {
    /// Reads one that somebody wants. An empty rule means once.
    pub fn new(
        zone: Zone,
        local_start: &str,
        duration_s: i64,
        rule: &str,
        exceptions: &[String],
    ) -> Result<Self, RecurrenceError> {
        let recurrence = Self::read(zone, local_start, duration_s, rule, exceptions)?;
        let start = recurrence.start;
        if recurrence.clocks(start).next() != Some(start) {
            let rule = "must give the first start itself: choose a start that the rule names.";
            return Err(wrong(RULE, rule));
        }
        if recurrence.span(start).is_none() && recurrence.rule.is_none() {
            return Err(wrong(
                START,
                "is left out by a clock change; choose another.",
            ));
        }
        recurrence.require_apart()?;
        Ok(recurrence)
    }

    /// Reads one that was accepted before, without looking again at what it gives.
    pub fn read(
        zone: Zone,
        local_start: &str,
        duration_s: i64,
        rule: &str,
        exceptions: &[String],
    ) -> Result<Self, RecurrenceError> {
        let start = local_time(local_start)
            .ok_or_else(|| wrong(START, "must be a time such as 2026-11-28T20:00:00."))?;
        let exceptions = exceptions
            .iter()
            .map(|text| {
                local_date(text)
                    .ok_or_else(|| wrong("exception_dates", "must be dates such as 2026-12-24."))
            })
            .collect::<Result<_, _>>()?;
        let rule = if rule.is_empty() {
            None
        } else {
            Some(Rule::read(rule, start, &zone)?)
        };
        Ok(Recurrence {
            zone,
            start,
            duration: JiffSpan::new().seconds(duration_s),
            rule,
            exceptions,
        })
    }

    /// Refuses a rule whose times overlap each other: the first year of them stands for all.
    fn require_apart(&self) -> Result<(), RecurrenceError> {
        let horizon = self.start.saturating_add(JiffSpan::new().days(366));
        let mut before: Option<DateTime> = None;
        for (count, clock) in self.clocks(self.start).enumerate() {
            if clock > horizon {
                break;
            }
            if count >= TIMES_MAX {
                return Err(wrong(RULE, "gives too many times; use a simpler rule."));
            }
            let overlaps = before.is_some_and(|it| it.saturating_add(self.duration) > clock);
            if overlaps {
                let text = format!(
                    "gives {clock} before the time before is over; shorten the duration or name fewer times."
                );
                return Err(wrong(RULE, text));
            }
            before = Some(clock);
        }
        Ok(())
    }

    /// All times that go on or begin between two moments, in order; `most` at most.
    pub fn spans(&self, from: Micros, until: Micros, most: usize) -> Vec<Span> {
        let Some(first) = self.zone.clock(from) else {
            return Vec::new();
        };
        // A time may have begun before, and the clock may have been changed meanwhile.
        let first = first.saturating_sub(self.duration).saturating_sub(DAY);
        self.clocks(first)
            .filter(|clock| !self.exceptions.contains(&clock.date()))
            .map_while(|clock| Some((self.zone.moment(clock)?, clock)))
            .take_while(|(start, _)| *start < until)
            .filter_map(|(_, clock)| self.span(clock))
            .filter(|span| span.end > from)
            .take(most)
            .collect()
    }

    /// The first time that begins after a moment, if one does within so many years.
    pub fn next_after(&self, after: Micros, years: i16) -> Option<Span> {
        let first = self.zone.clock(after)?;
        let last = first.saturating_add(JiffSpan::new().years(years));
        self.clocks(first.saturating_sub(DAY))
            .take_while(|clock| *clock <= last)
            .filter(|clock| !self.exceptions.contains(&clock.date()))
            .filter_map(|clock| self.span(clock))
            .find(|span| span.start > after)
    }

    /// Whether an occurrence begins at a moment, and how long it goes on.
    pub fn at(&self, start: Micros) -> Option<Span> {
        let until = Micros(start.0.saturating_add(1));
        let found = self.spans(start, until, 2);
        found.into_iter().find(|span| span.start == start)
    }

    /// A time that a clock change leaves nothing of is none.
    fn span(&self, clock: DateTime) -> Option<Span> {
        let start = self.zone.moment(clock)?;
        let end = self.zone.moment(clock.checked_add(self.duration).ok()?)?;
        (start < end).then_some(Span { start, end })
    }

    /// The times on the clock, from some time on; earlier ones may be left out.
    fn clocks(&self, from: DateTime) -> Box<dyn Iterator<Item = DateTime> + Send> {
        let Some(rule) = &self.rule else {
            return Box::new(std::iter::once(self.start));
        };
        let Some(start) = rule_time(rule.anchor(self.start, from)) else {
            return Box::new(std::iter::empty());
        };
        let set = RRuleSet::new(start).rrule(rule.rule.clone()).limit();
        let dates = set.into_iter().map_while(|date| clock_time(&date));
        Box::new(dates.skip_while(move |clock| *clock < from))
    }
}

/// The clock is changed by less than this.
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Rule {
    fn read(text: &str, start: DateTime, zone: &Zone) -> Result<Self, RecurrenceError> {
        let mut parts = Vec::new();
        let (mut freq, mut interval, mut counted) = ("", 1, false);
        let upper = text.to_ascii_uppercase();
        for part in upper.split(';') {
            let malformed = || wrong(RULE, format!("has `{part}`, which is no NAME=VALUE."));
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            if !PARTS.contains(&name) || parts.iter().any(|(known, _)| *known == name) {
                let text = format!("names {name}, which is not offered or was named before.");
                return Err(wrong(RULE, text));
            }
            let number = |most: u32| {
                let number = value.parse::<u32>().ok();
                number
                    .filter(|number| (1..=most).contains(number))
                    .ok_or_else(|| wrong(RULE, format!("must have {name} from 1 to {most}.")))
            };
            let mut given = value.to_owned();
            match name {
                "FREQ" => freq = value,
                "INTERVAL" => interval = number(INTERVAL_MAX)?,
                "COUNT" => counted = number(COUNT_MAX)? > 0,
                "UNTIL" => given = until(value, zone)?,
                _ => {}
            }
            parts.push((name, given));
        }
        let stride_s = match freq {
            "DAILY" => Some(86_400),
            "WEEKLY" => Some(7 * 86_400),
            "MONTHLY" | "YEARLY" => None,
            _ => {
                return Err(wrong(
                    RULE,
                    "must have FREQ DAILY, WEEKLY, MONTHLY or YEARLY.",
                ));
            }
        };
        let parts: Vec<String> = parts
            .iter()
            .map(|(name, it)| format!("{name}={it}"))
            .collect();
        let invalid = |error: rrule::RRuleError| wrong(RULE, format!("is not valid: {error}."));
        let rule: RRule<Unvalidated> = parts.join(";").parse().map_err(invalid)?;
        let start = rule_time(start).ok_or_else(|| wrong(START, "is out of range."))?;
        let rule = rule.validate(start).map_err(invalid)?;
        Ok(Rule {
            rule,
            stride_s: stride_s
                .filter(|_| !counted)
                .map(|stride| stride * i64::from(interval)),
        })
    }

    /// A start from which the rule gives the same times as from its own, near to where they are wanted.
    fn anchor(&self, start: DateTime, from: DateTime) -> DateTime {
        let Some(stride) = self.stride_s else {
            return start;
        };
        let ahead = start.duration_until(from).as_secs();
        // One stride is left, so that what a period had before the anchor is not missed.
        let strides = (ahead / stride - 1).max(0);
        start
            .checked_add(SignedDuration::from_secs(strides * stride))
            .unwrap_or(start)
    }
}

/// The last moment of a rule as the library wants it: everything here is on the clock and called UTC.
fn until(value: &str, zone: &Zone) -> Result<String, RecurrenceError> {
    let malformed = || wrong(RULE, "must have UNTIL such as 20271231T235959 or 20271231.");
    if !value.is_ascii() {
        return Err(malformed());
    }
    let (text, utc) = match value.strip_suffix('Z') {
        Some(text) => (text, true),
        None => (value, false),
    };
    let whole = match text.len() {
        8 => format!("{text}T235959"),
        _ => text.to_owned(),
    };
    let mut clock = DateTime::strptime("%Y%m%dT%H%M%S", &whole).map_err(|_| malformed())?;
    if utc {
        let moment = TimeZone::UTC.to_timestamp(clock).map_err(|_| malformed())?;
        clock = zone.0.to_datetime(moment);
    }
    Ok(format!("{}Z", clock.strftime("%Y%m%dT%H%M%S")))
}

/// Reads `2026-11-28T20:00:00`.
fn local_time(text: &str) -> Option<DateTime> {
    let read = DateTime::strptime("%Y-%m-%dT%H:%M:%S", text).ok()?;
    in_range(read.date()).then_some(read)
}

/// Reads `2026-12-24`.
fn local_date(text: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", text)
        .ok()
        .filter(|it| in_range(*it))
}

fn in_range(date: Date) -> bool {
    (2000..=2200).contains(&date.year())
}

/// A time on the clock as the rule's library has it.
fn rule_time(clock: DateTime) -> Option<RuleTime<Tz>> {
    let (date, time) = (clock.date(), clock.time());
    Tz::UTC
        .with_ymd_and_hms(
            date.year().into(),
            u32::try_from(date.month()).ok()?,
            u32::try_from(date.day()).ok()?,
            u32::try_from(time.hour()).ok()?,
            u32::try_from(time.minute()).ok()?,
            u32::try_from(time.second()).ok()?,
        )
        .single()
}

/// And back.
fn clock_time(date: &RuleTime<Tz>) -> Option<DateTime> {
    DateTime::new(
        i16::try_from(date.year()).ok()?,
        i8::try_from(date.month()).ok()?,
        i8::try_from(date.day()).ok()?,
        i8::try_from(date.hour()).ok()?,
        i8::try_from(date.minute()).ok()?,
        i8::try_from(date.second()).ok()?,
        0,
    )
    .ok()
}

#[cfg(test)]
#[path = "recurrence_tests.rs"]
mod tests;
