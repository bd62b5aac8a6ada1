//! A whole programme in memory, built by any sequence of slots that the rule accepts.

use proptest::prelude::*;

use super::*;
use crate::model::recurrence::{Recurrence, Zone};

const DAY: i64 = 86_400_000_000;

#[derive(Clone, Debug)]
struct Wanted {
    channel: u128,
    host: u128,
    venue: u8,
    day: i8,
    quarter: i64,
    length: i64,
    rule: &'static str,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let rule = prop::sample::select(vec![
        "",
        "FREQ=DAILY",
        "FREQ=WEEKLY",
        "FREQ=DAILY;INTERVAL=2;COUNT=20",
        "FREQ=MONTHLY",
    ]);
    (0u128..2, 0u128..3, 0u8..3, 1i8..8, 0i64..96, 1i64..20, rule).prop_map(
        |(channel, host, venue, day, quarter, length, rule)| Wanted {
            channel,
            host,
            venue,
            day,
            quarter,
            length,
            rule,
        },
    )
}

fn start() -> Micros {
    Micros(
        Timestamp::new(1_772_323_200, 0)
            .expect("1 March 2026")
            .as_microsecond(),
    )
}

struct Planned {
    resources: Vec<Resource>,
    recurrence: Recurrence,
    id: SlotId,
}

impl Planned {
    fn read(wanted: &Wanted, id: u128) -> Planned {
        let zones = ["Europe/Paris", "America/New_York"];
        let zone = Zone::named(zones[wanted.channel as usize]).expect("a zone");
        let first = jiff::civil::date(2026, 3, wanted.day)
            .at(0, 0, 0, 0)
            .saturating_add(jiff::Span::new().minutes(wanted.quarter * 15));
        let venue = ["", "studio-1", "studio-2"][usize::from(wanted.venue)];
        let hosts = [HostId::from_uuid(wanted.host)];
        let channel = Some(ChannelId::from_uuid(wanted.channel));
        Planned {
            resources: Resource::of(channel, &hosts, venue),
            recurrence: Recurrence::new(
                zone,
                &first.to_string(),
                wanted.length * 900,
                wanted.rule,
                &[],
            )
            .expect("right"),
            id: SlotId::from_uuid(id),
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.recurrence
            .spans(start(), Micros(start().0 + 60 * DAY), 10_000)
    }

    fn occupied(&self) -> Vec<Occupied> {
        let of = |span: Span| {
            self.resources.iter().map(move |resource| Occupied {
                resource: resource.clone(),
                span,
                taker: Taker::Slot(self.id),
            })
        };
        self.spans().into_iter().flat_map(of).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// After any sequence of accepted slots nothing overlaps, and what was refused would have.
    #[test]
    fn nothing_that_is_accepted_overlaps(all in prop::collection::vec(wanted(), 1..14)) {
        let mut accepted: Vec<Planned> = Vec::new();
        for (n, wanted) in (1u128..).zip(&all) {
            let plan = Planned::read(wanted, n);
            let taken: Vec<Occupied> = accepted
                .iter()
                .flat_map(Planned::occupied)
                .filter(|taken| plan.resources.contains(&taken.resource))
                .collect();
            let spans = plan.spans();
            let brute = taken.iter().any(|taken| spans.iter().any(|span| span.overlaps(&taken.span)));
            let found = clash(&spans, &taken);
            prop_assert_eq!(found.is_some(), brute);
            if let Some(found) = found {
                prop_assert!(spans.iter().any(|span| span.overlaps(&found.span)));
                let first = taken.iter().filter(|taken| spans.iter().any(|span| span.overlaps(&taken.span))).map(|taken| taken.span).min();
                prop_assert_eq!(Some(found.span), first);
            } else {
                accepted.push(plan);
            }
        }
        let all: Vec<Occupied> = accepted.iter().flat_map(Planned::occupied).collect();
        for (n, one) in all.iter().enumerate() {
            for other in &all[n + 1..] {
                prop_assert!(one.resource != other.resource || !one.span.overlaps(&other.span), "{one:?} {other:?}");
            }
        }
    }

    /// The next time of a channel is the first that is planned after a moment.
    #[test]
    fn the_next_slot_is_the_first_there_is(all in prop::collection::vec(wanted(), 1..8), hours in 0i64..1_000) {
        let slots: Vec<Planned> = (1u128..).zip(&all).map(|(n, wanted)| Planned::read(wanted, n)).collect();
        let after = Micros(start().0 + hours * DAY / 24);
        let next = slots.iter().filter_map(|slot| slot.recurrence.next_after(after, 20)).min();
        let brute = slots.iter().flat_map(|slot| slot.recurrence.spans(after, Micros(after.0 + 400 * DAY), 10_000)).filter(|span| span.start > after).min();
        prop_assert_eq!(next, brute);
    }
}

#[test]
fn the_refusal_says_what_is_taken_and_when() {
    let span = Span {
        start: Micros(0),
        end: Micros(3_600_000_000),
    };
    let taken = Occupied {
        resource: Resource::Venue("studio-2".into()),
        span,
        taker: Taker::Room(RoomId::from_uuid(7)),
    };
    assert_eq!(
        clash(
            &[Span {
                start: Micros(3_600_000_000),
                end: Micros(7_200_000_000)
            }],
            [&taken]
        ),
        None,
        "one after the other"
    );
    let refusal = refuse(clash(&[span], [&taken]).expect("a clash"));
    assert_eq!(refusal.reason, ErrorReason::ProgrammeClash);
    assert_eq!(refusal.metadata["resource"], "venue");
    assert_eq!(refusal.metadata["resource_id"], "studio-2");
    assert_eq!(refusal.metadata["clash_start_time"], "1970-01-01T00:00:00Z");
    assert_eq!(refusal.metadata["clash_end_time"], "1970-01-01T01:00:00Z");
    assert_eq!(
        refusal.metadata["clash_room_id"],
        RoomId::from_uuid(7).as_str()
    );
}
