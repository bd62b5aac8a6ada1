//! Rules against plain counting, and the days on which clocks are changed.

use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone of the world")
}

fn utc(text: &str) -> Micros {
    let moment: Timestamp = text.parse().expect("a time in UTC");
    Micros(moment.as_microsecond())
}

fn weekly(zone_name: &str, start: &str, minutes: i64, rule: &str) -> Recurrence {
    Recurrence::new(zone(zone_name), start, minutes * 60, rule, &[]).expect("a rule")
}

fn starts(recurrence: &Recurrence, from: &str, until: &str) -> Vec<String> {
    recurrence
        .spans(utc(from), utc(until), 1_000)
        .iter()
        .map(|span| {
            Timestamp::from_microsecond(span.start.0)
                .expect("a time")
                .to_string()
        })
        .collect()
}

#[test]
fn zones_are_those_of_the_world() {
    for name in [
        "Europe/Paris",
        "UTC",
        "America/Argentina/Buenos_Aires",
        "Etc/GMT+5",
    ] {
        assert!(Zone::named(name).is_some(), "{name}");
    }
    for name in [
        "",
        "Paris",
        "Europe/Atlantis",
        "CET-1CEST",
        "../etc/localtime",
        "+02:00",
    ] {
        assert!(Zone::named(name).is_none(), "{name}");
    }
}

#[test]
fn a_weekly_evening_keeps_its_hour_when_the_clock_is_changed() {
    let evening = weekly(
        "Europe/Paris",
        "2026-10-19T20:00:00",
        60,
        "FREQ=WEEKLY;BYDAY=MO",
    );
    assert_eq!(
        starts(&evening, "2026-10-01T00:00:00Z", "2026-11-03T00:00:00Z"),
        [
            "2026-10-19T18:00:00Z",
            "2026-10-26T19:00:00Z",
            "2026-11-02T19:00:00Z"
        ]
    );
}

#[test]
fn what_a_clock_change_leaves_out_is_the_moment_of_the_change() {
    // On 29 March 2026 the clock of Paris goes from 02:00 to 03:00, which is 01:00 UTC.
    let spans = |start: &str, minutes| {
        let daily = weekly("Europe/Paris", start, minutes, "FREQ=DAILY");
        daily.spans(utc("2026-03-29T00:30:00Z"), utc("2026-03-29T03:00:00Z"), 10)
    };
    let around = Span {
        start: utc("2026-03-29T00:30:00Z"),
        end: utc("2026-03-29T01:00:00Z"),
    };
    assert_eq!(spans("2026-03-01T01:30:00", 60), [around]);
    let from_the_change = Span {
        start: utc("2026-03-29T01:00:00Z"),
        end: utc("2026-03-29T01:30:00Z"),
    };
    assert_eq!(spans("2026-03-01T02:30:00", 60), [from_the_change]);
    assert_eq!(
        spans("2026-03-01T02:15:00", 30),
        [],
        "nothing is left of it"
    );
}

#[test]
fn a_time_that_comes_twice_is_the_first() {
    // On 25 October 2026 the clock of Paris shows 02:00 to 03:00 twice: 00:00 to 02:00 UTC.
    let night = weekly("Europe/Paris", "2026-10-20T02:30:00", 60, "FREQ=DAILY");
    let found = night.spans(utc("2026-10-25T00:00:00Z"), utc("2026-10-25T03:00:00Z"), 10);
    assert_eq!(
        found,
        [Span {
            start: utc("2026-10-25T00:30:00Z"),
            end: utc("2026-10-25T02:30:00Z")
        }]
    );
}

#[test]
fn a_rule_may_end_by_count_or_by_a_last_moment_and_leaves_out_exceptions() {
    let counted = weekly("UTC", "2026-11-01T10:00:00", 60, "FREQ=DAILY;COUNT=3");
    assert_eq!(
        starts(&counted, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        3
    );
    assert_eq!(counted.next_after(utc("2026-11-03T10:00:00Z"), 20), None);
    for (until, times) in [
        ("20261103T100000", 3),
        ("20261103T095959", 2),
        ("20261103", 3),
        ("20261103T100000Z", 3),
    ] {
        let ends = weekly(
            "UTC",
            "2026-11-01T10:00:00",
            60,
            &format!("FREQ=DAILY;UNTIL={until}"),
        );
        assert_eq!(
            starts(&ends, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
            times,
            "{until}"
        );
    }
    // 10:00 in Tokyo is 01:00 UTC.
    let tokyo = weekly(
        "Asia/Tokyo",
        "2026-11-01T10:00:00",
        60,
        "FREQ=DAILY;UNTIL=20261103T010000Z",
    );
    assert_eq!(
        starts(&tokyo, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z").len(),
        3
    );
    let without = Recurrence::new(
        zone("UTC"),
        "2026-11-01T10:00:00",
        60,
        "FREQ=DAILY",
        &["2026-11-02".into()],
    )
    .expect("right");
    let next = without
        .next_after(utc("2026-11-01T10:00:00Z"), 1)
        .expect("one");
    assert_eq!(next.start, utc("2026-11-03T10:00:00Z"));
}

#[test]
fn what_is_wrong_names_the_field() {
    let read = |start: &str, rule: &str, exceptions: &[String]| {
        Recurrence::new(zone("Europe/Paris"), start, 3_600, rule, exceptions)
            .map(|_| ())
            .map_err(|error| error.field)
    };
    let start = "2026-11-02T10:00:00";
    for (rule, why) in [
        ("FREQ=SECONDLY", "too often"),
        ("FREQ=HOURLY", "not offered"),
        ("INTERVAL=2", "no FREQ"),
        ("FREQ=DAILY;INTERVAL=0", "stands still"),
        ("FREQ=DAILY;COUNT=0", "never"),
        ("FREQ=DAILY;COUNT=99999999", "too many"),
        ("FREQ=DAILY;FREQ=WEEKLY", "twice"),
        ("FREQ=DAILY;BYSECOND=1", "not offered"),
        ("FREQ=DAILY\nRRULE:FREQ=DAILY", "two rules"),
        ("FREQ=DAILY;UNTIL=tomorrow", "no time"),
        ("FREQ=DAILY;UNTIL=20200101", "over before it begins"),
        ("FREQ=WEEKLY;BYDAY=TU", "the start is a Monday"),
        ("FREQ=WEEKLY;BYDAY=XX", "no day"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "not together"),
        ("FREQ=DAILY;BYHOUR=10;BYMINUTE=0,30", "overlap"),
        ("nonsense", "no rule"),
        ("FREQ=DAILY;COUNT=3;UNTIL=２０２７1231", "no digits"),
    ] {
        assert_eq!(read(start, rule, &[]), Err(RULE), "{rule}: {why}");
    }
    for start in [
        "",
        "2026-11-02",
        "2026-11-02T10:00",
        "2026-11-02T10:00:00Z",
        "2026-11-02T10:00:00+01:00",
        "1026-11-02T10:00:00",
        "2026-02-30T10:00:00",
    ] {
        assert_eq!(read(start, "FREQ=DAILY", &[]), Err(START), "{start}");
    }
    assert_eq!(
        read(start, "FREQ=DAILY", &["today".into()]),
        Err("exception_dates")
    );
    assert_eq!(
        read("2026-03-29T02:30:00", "", &[]),
        Ok(()),
        "it ends after the change"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Daily and weekly rules against counting days.
    #[test]
    fn rules_give_what_counting_days_gives(
        interval in 1i64..5,
        is_weekly: bool,
        hour in 0i8..24,
        offset_days in -400i64..4_000,
        window_days in 1i64..40,
        zone_name in prop::sample::select(vec!["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca"]),
    ) {
        let first = jiff::civil::date(2026, 1, 5).at(hour, 15, 0, 0);
        let rule = if is_weekly { format!("FREQ=WEEKLY;INTERVAL={interval}") } else { format!("FREQ=DAILY;INTERVAL={interval}") };
        let it = Recurrence::new(zone(zone_name), &first.to_string(), 45 * 60, &rule, &[]).expect("right");
        let from = Micros(utc("2026-01-05T00:00:00Z").0 + offset_days * 86_400_000_000);
        let until = Micros(from.0 + window_days * 86_400_000_000);
        let stride = if is_weekly { 7 * interval } else { interval };
        let counted: Vec<Span> = (0..6_000 / stride)
            .filter_map(|n| it.span(first.saturating_add(JiffSpan::new().days(n * stride))))
            .filter(|span| span.end > from && span.start < until)
            .collect();
        prop_assert_eq!(it.spans(from, until, 10_000), counted);
    }

    /// What is apart on the clock is apart in time, whatever becomes of the clock.
    #[test]
    fn a_filled_day_stays_filled_and_never_overlaps(
        cuts in prop::collection::btree_set(1i64..95, 0..12),
        zone_name in prop::sample::select(vec!["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago"]),
    ) {
        let mut edges = vec![0];
        edges.extend(cuts);
        edges.push(96);
        let slots: Vec<Recurrence> = edges
            .windows(2)
            .map(|edge| {
                let first = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0).saturating_add(JiffSpan::new().minutes(edge[0] * 15));
                let length = (edge[1] - edge[0]) * 15 * 60;
                Recurrence::new(zone(zone_name), &first.to_string(), length, "FREQ=DAILY", &[]).expect("right")
            })
            .collect();
        let (from, until) = (utc("2026-01-03T00:00:00Z"), utc("2026-12-31T00:00:00Z"));
        let mut all: Vec<Span> = slots.iter().flat_map(|slot| slot.spans(from, until, 1_000)).collect();
        all.sort();
        for pair in all.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
        }
    }

    /// The next time is the first of those that a window gives.
    #[test]
    fn the_next_time_is_the_first_there_is(minutes in 0i64..600_000, rule in prop::sample::select(vec![
        "", "FREQ=DAILY;COUNT=40", "FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20261001T000000", "FREQ=MONTHLY;BYMONTHDAY=5,31",
        "FREQ=MONTHLY;BYDAY=1MO,-1FR", "FREQ=YEARLY;BYMONTH=1,7;BYMONTHDAY=5", "FREQ=DAILY;BYHOUR=9,18;INTERVAL=3",
    ])) {
        let it = Recurrence::new(zone("Europe/Paris"), "2026-01-05T09:00:00", 3_600, rule, &["2026-03-05".into()]).expect("right");
        let after = Micros(utc("2025-12-31T00:00:00Z").0 + minutes * 60_000_000);
        let brute = it.spans(after, utc("2028-01-01T00:00:00Z"), 10_000).into_iter().find(|span| span.start > after);
        prop_assert_eq!(it.next_after(after, 20), brute);
    }

    /// Whatever is sent as a rule is answered.
    #[test]
    fn no_text_makes_it_fall_over(rule in "[A-Z=;,:0-9+-]{0,60}", tail in ".{0,20}") {
        let _ = Recurrence::new(zone("UTC"), "2026-01-05T09:00:00", 3_600, &format!("FREQ=DAILY;{rule}{tail}"), &[]);
    }
}
