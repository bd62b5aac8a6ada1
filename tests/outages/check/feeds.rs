//! Feeds and the audit have no gap; watchers and consumers got every entry once.

use super::{Facts, Findings, Kind, State};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    for (service, [head, entries, last]) in &state.tables.feeds {
        findings.that(Kind::FeedGap, head == entries && entries == last, || {
            format!("{service}: the head is at {head}, {entries} entries, the last is {last}")
        });
    }
    for ((service, partner), [entries, last]) in &state.tables.partner_feeds {
        findings.that(Kind::FeedGap, entries == last, || {
            format!("{service}, {partner}: {entries} entries, the last is {last}")
        });
    }
    for (service, [head, rows, last]) in &state.tables.audits {
        findings.that(Kind::FeedGap, head == rows && rows == last, || {
            format!("{service}: the audit's head is at {head}, {rows} rows, the last is {last}")
        });
    }
    for (name, feed) in &state.feeds {
        for (n, (position, _)) in (1..).zip(feed) {
            findings.that(Kind::FeedGap, *position == n, || {
                format!("{name}: entry {n} has position {position}")
            });
        }
    }
    watched(facts, state, findings);
    for ((consumer, producer), position) in &state.tables.cursors {
        let head = state.tables.feeds.get(producer).map_or(-1, |f| f[0]);
        findings.that(Kind::ConsumerWrong, *position == head, || {
            format!("{consumer} has read {position} of {producer}'s {head} entries")
        });
    }
    for (service, parked) in &state.tables.parked {
        findings.that(Kind::ConsumerWrong, *parked == 0, || {
            format!("{service} has parked {parked} entries")
        });
    }
}

/// What a watcher got is the beginning of the feed, each entry once and in order.
fn watched(facts: &Facts, state: &State, findings: &mut Findings) {
    for (name, feed) in &state.feeds {
        let Some(entries) = facts.watched.get(name) else {
            findings.that(Kind::WatchWrong, feed.is_empty(), || {
                format!("{name}: the watcher saw none of {} entries", feed.len())
            });
            continue;
        };
        for (n, entry) in entries.iter().enumerate() {
            let there = feed.get(n);
            let same = there.is_some_and(|(position, digest)| {
                *position == entry.position && *digest == entry.digest
            });
            findings.that(Kind::WatchWrong, same, || {
                format!(
                    "{name}: the watcher's entry {} is {}, the feed has {:?}",
                    n + 1,
                    entry.position,
                    there.map(|t| t.0)
                )
            });
            if !same {
                break;
            }
        }
    }
}
