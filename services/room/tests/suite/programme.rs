//! What is planned: rooms in time, nothing at once, and one occurrence that is different.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};

use crate::catalog::outlet_id;
use crate::common::{Server, call, fields, key, reason, refusal, setup, until};
use crate::stage::{at, local, mask, unknown_channel, unknown_slot, whole_minute};

const DAY: i64 = 24 * 60;

on_both_engines! {
    setup: setup();

    async fn times_become_rooms_ahead_of_time_and_once(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11, 21], false).await;
        let host = server.host(true).await;
        let draft = ProgrammeSlot { recurrence_rule: "FREQ=DAILY".into(), theme: "vintage".into(), venue: "studio-1".into(), brand_rules: vec!["Acme".into()], ..server.slot_draft(&channel, &host, now, 30, 60) };
        let request = CreateSlotRequest { request_id: key(), slot: Some(draft.clone()) };
        let made = call!(ops.programme.create_slot(request.clone())).expect("a slot");
        assert_eq!(call!(ops.programme.create_slot(request.clone())).expect("the same"), made);
        let reused = CreateSlotRequest { slot: Some(ProgrammeSlot { title: "Other".into(), ..draft.clone() }), ..request };
        assert_eq!(reason(call!(ops.programme.create_slot(reused))), ErrorReason::KeyReused);
        let slot = made.slot.expect("the slot");
        let got = call!(ops.programme.get_slot(GetSlotRequest { slot_id: slot.slot_id.clone() })).expect("it").slot;
        assert_eq!(got, Some(slot.clone()));
        let programme = server.programme(&ops, &channel, now, 0, 5 * DAY).await;
        let there: Vec<bool> = programme.iter().map(|it| !it.room_id.is_empty()).collect();
        assert_eq!(there, [true, true, false, false, false], "rooms for two days, the rest by the rule");
        let room = server.get_room(&programme[0].room_id).await;
        assert_eq!((room.state(), room.theme.as_str(), room.venue.as_str(), room.slot_id.as_str()), (RoomState::Scheduled, "vintage", "studio-1", slot.slot_id.as_str()));
        assert_eq!((room.outlet_ids.len(), &room.brand_rules, room.slot_start_time), (2, &vec!["Acme".to_owned()], at(now, 30)));
        // A partner sees the same on its own outlets, without what is the retailer's own.
        let partner = server.partner(2);
        let seen = server.programme(&partner, &channel, now, 0, 5 * DAY).await;
        assert_eq!((seen.len(), &seen[4].outlet_ids, seen[4].venue.as_str()), (5, &vec![outlet_id(21).to_string()], ""));
        // The next one, also far beyond what has rooms.
        let far = GetNextSlotRequest { channel_id: channel.clone(), after_time: at(now, 700 * DAY) };
        let next = call!(partner.programme.get_next_slot(far)).expect("one").occurrence.expect("one");
        assert_eq!((next.start_time, next.room_id.as_str()), (at(now, 700 * DAY + 30), ""));
        // Time goes on, and two processes make each room once.
        let other = Server::start_on(&t, server.db.clone(), crate::common::brisk(), server.catalog.clone()).await;
        t.clock.advance(Duration::from_secs(86_400 * 2));
        let ops = server.ops();
        until("rooms for two more days", || async {
            let programme = server.programme(&ops, &channel, now, 2 * DAY, 5 * DAY).await;
            programme.iter().filter(|it| !it.room_id.is_empty()).count() >= 2
        }).await;
        let rooms = call!(ops.rooms.list_rooms(ListRoomsRequest { page_size: 200, ..Default::default() })).expect("rooms").rooms;
        let mut starts: Vec<_> = rooms.iter().map(|room| room.slot_start_time.map(|at| at.seconds)).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), rooms.len(), "each time has one room");
        until("what was missed is over", || async {
            server.get_room(&programme[0].room_id).await.state() == RoomState::Ended
        }).await;
        other.stop().await;
        server.stop().await;
    }

    async fn nothing_takes_place_at_once(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let (one, two) = (server.channel(&[11], false).await, server.channel(&[11], false).await);
        let (ana, bea) = (server.host(true).await, server.host(true).await);
        let weekly = ProgrammeSlot { recurrence_rule: "FREQ=WEEKLY".into(), venue: "studio-1".into(), ..server.slot_draft(&one, &ana, now, 60, 60) };
        let first = server.plan(weekly).await.expect("a slot").slot_id;
        let clash = |channel: &str, host: &str, from: i64, rule: &str, venue: &str| {
            let slot = ProgrammeSlot { recurrence_rule: rule.into(), venue: venue.into(), ..server.slot_draft(channel, host, now, from, 60) };
            async { refusal(server.plan(slot).await) }
        };
        let week = 7 * DAY;
        for (what, refused, starts) in [
            ("channel", clash(&one, &bea, 90, "", "").await, 60),
            ("host", clash(&two, &ana, 1, "", "").await, 60),
            ("venue", clash(&two, &bea, 119, "", "studio-1").await, 60),
            // A daily rule meets the weekly one, and the last week of a year too.
            ("channel", clash(&one, &bea, 60 + DAY, "FREQ=DAILY", "").await, 60 + week),
            ("host", clash(&two, &ana, 90 + 50 * week, "", "").await, 60 + 50 * week),
        ] {
            assert_eq!((refused.reason, refused.metadata["resource"].as_str()), (ErrorReason::ProgrammeClash, what));
            assert_eq!(refused.metadata["clash_start_time"], format!("{}Z", local(now, starts, "UTC")), "{what}");
            let by = refused.metadata.get("clash_slot_id").or(refused.metadata.get("clash_room_id"));
            assert!(by.is_some(), "{refused:?}");
        }
        // One after the other is no overlap; another host on another channel at the same time neither.
        server.plan(server.slot_draft(&one, &bea, now, 120, 60)).await.expect("right after");
        server.plan(server.slot_draft(&two, &server.host(true).await, now, 60, 60)).await.expect("elsewhere");
        // What is cancelled takes nothing.
        server.cancel_slot(&first).await.expect("cancelled");
        server.plan(server.slot_draft(&one, &ana, now, 60, 60)).await.expect("free again");
        assert_eq!(reason(server.cancel_slot(&first).await), ErrorReason::WrongState);
        assert_eq!(reason(server.cancel_slot(&unknown_slot()).await), ErrorReason::NotFound);
        // Rooms by themselves are part of it.
        let ops = server.ops();
        let guest = Room { channel_id: one.clone(), outlet_ids: vec![], ..server.draft(&bea, &[]) };
        let room = call!(ops.rooms.create_room(CreateRoomRequest { request_id: key(), room: Some(guest) })).expect("a room").room.expect("it");
        assert_eq!((room.outlet_ids.len(), room.channel_id.as_str()), (1, one.as_str()));
        let schedule = |from: i64| ScheduleRoomRequest { request_id: key(), room_id: room.room_id.clone(), schedule: Some(contracts::common::v1::Window { start_time: at(now, from), end_time: at(now, from + 60) }), etag: String::new() };
        let refused = refusal(call!(ops.rooms.schedule_room(schedule(100))));
        assert_eq!((refused.reason, refused.metadata["resource"].as_str()), (ErrorReason::ProgrammeClash, "channel"));
        call!(ops.rooms.schedule_room(schedule(200))).expect("planned");
        let refused = clash(&two, &bea, 210, "FREQ=DAILY", "").await;
        assert_eq!(refused.metadata["clash_room_id"], room.room_id);
        server.stop().await;
    }

    async fn of_slots_that_race_for_a_time_one_is_planned(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let mut plans = Vec::new();
        for n in 0..8 {
            // The venue is all that they have in common.
            let (channel, host) = (server.channel(&[11], false).await, server.host(true).await);
            plans.push(ProgrammeSlot { venue: "studio-1".into(), ..server.slot_draft(&channel, &host, now, 60 + n, 60) });
        }
        let answers = futures::future::join_all(plans.into_iter().map(|plan| server.plan(plan))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for refused in lost {
            assert_eq!(reason(refused), ErrorReason::ProgrammeClash);
        }
        server.stop().await;
    }

    async fn one_occurrence_may_be_different(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11, 21], false).await;
        let (ana, guest) = (server.host(true).await, server.host(true).await);
        let slot = ProgrammeSlot { recurrence_rule: "FREQ=DAILY".into(), ..server.slot_draft(&channel, &ana, now, 60, 60) };
        let slot = server.plan(slot).await.expect("a slot");
        let over = |day: i64, occurrence: Occurrence, paths: &[&str]| OverrideOccurrenceRequest {
            request_id: key(),
            slot_id: slot.slot_id.clone(),
            slot_start_time: at(now, 60 + day * DAY),
            occurrence: Some(occurrence),
            update_mask: mask(paths),
        };
        // Beyond what has rooms: it is made at once.
        let with_guest = Occurrence { title: "A guest".into(), host_ids: vec![guest.clone()], start_time: at(now, 90 + 10 * DAY), end_time: at(now, 150 + 10 * DAY), ..Default::default() };
        let request = over(10, with_guest, &["title", "host_ids", "start_time", "end_time"]);
        let room = call!(ops.programme.override_occurrence(request.clone())).expect("a room").room.expect("it");
        assert_eq!((room.title.as_str(), &room.host_ids, room.overridden), ("A guest", &vec![guest.clone()], true));
        assert_eq!(call!(ops.programme.override_occurrence(request)).expect("again").room.expect("it").room_id, room.room_id);
        let days = server.programme(&ops, &channel, now, 9 * DAY, 12 * DAY).await;
        let titles: Vec<&str> = days.iter().map(|it| it.title.as_str()).collect();
        assert_eq!(titles, ["At 60", "A guest", "At 60"]);
        assert_eq!((days[1].start_time, days[1].slot_start_time), (at(now, 90 + 10 * DAY), at(now, 60 + 10 * DAY)));
        // The guest is taken then, and free at the series' other times.
        let refused = refusal(server.plan(server.slot_draft(&server.channel(&[11], false).await, &guest, now, 100 + 10 * DAY, 10)).await);
        assert_eq!(refused.metadata["resource"], "host");
        // Changes of the series leave it alone and reach the others.
        let renamed = server.update_slot(ProgrammeSlot { title: "New".into(), ..slot.clone() }, &["title"]).await.expect("changed");
        assert_eq!(server.get_room(&room.room_id).await.title, "A guest");
        let first = &server.programme(&ops, &channel, now, 0, DAY).await[0];
        assert_eq!(server.get_room(&first.room_id).await.title, "New");
        assert_eq!(reason(server.update_slot(slot.clone(), &["title"]).await), ErrorReason::EtagMismatch);
        // It cannot be moved onto another of its own series.
        let moved = Occurrence { start_time: at(now, 90 + DAY), end_time: at(now, 120 + DAY), ..Default::default() };
        assert_eq!(reason(call!(ops.programme.override_occurrence(over(0, moved, &["start_time", "end_time"])))), ErrorReason::ProgrammeClash);
        let never = over(0, Occurrence { title: "x".into(), ..Default::default() }, &["title"]);
        let never = OverrideOccurrenceRequest { slot_start_time: at(now, 61), ..never };
        assert_eq!(reason(call!(ops.programme.override_occurrence(never))), ErrorReason::NotFound);
        // Another time for the series: what was planned for the old ones is over, the guest stays.
        let later = ProgrammeSlot { local_start_time: local(now, 180, "UTC"), etag: renamed.etag, ..slot.clone() };
        server.update_slot(later, &["local_start_time"]).await.expect("moved");
        let gone = server.get_room(&first.room_id).await;
        assert_eq!((gone.state(), gone.live_time), (RoomState::Ended, None));
        let starts: Vec<_> = server.programme(&ops, &channel, now, 0, 2 * DAY).await.into_iter().map(|it| it.start_time).collect();
        assert_eq!(starts, [at(now, 180), at(now, 180 + DAY)]);
        assert_eq!(server.get_room(&room.room_id).await.state(), RoomState::Scheduled);
        server.cancel_slot(&slot.slot_id).await.expect("cancelled");
        assert!(server.programme(&ops, &channel, now, 0, 20 * DAY).await.is_empty());
        assert_eq!(reason(call!(ops.programme.get_next_slot(GetNextSlotRequest { channel_id: channel.clone(), after_time: None }))), ErrorReason::NotFound);
        server.stop().await;
    }

    async fn what_is_wrong_with_a_slot_is_named(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let good = server.slot_draft(&channel, &host, now, 60, 60);
        let lasts = |seconds: i64, nanos: i32| Some(prost_types::Duration { seconds, nanos });
        let cases = [
            ("slot.title", ProgrammeSlot { title: String::new(), ..good.clone() }),
            ("slot.channel_id", ProgrammeSlot { channel_id: host.clone(), ..good.clone() }),
            ("slot.session_type", ProgrammeSlot { session_type: 77, ..good.clone() }),
            ("slot.host_ids", ProgrammeSlot { host_ids: vec![], ..good.clone() }),
            ("slot.venue", ProgrammeSlot { venue: "x".repeat(61), ..good.clone() }),
            ("slot.duration", ProgrammeSlot { duration: None, ..good.clone() }),
            ("slot.duration", ProgrammeSlot { duration: lasts(59, 0), ..good.clone() }),
            ("slot.duration", ProgrammeSlot { duration: lasts(60, 1), ..good.clone() }),
            ("slot.duration", ProgrammeSlot { duration: lasts(86_401, 0), ..good.clone() }),
            ("slot.local_start_time", ProgrammeSlot { local_start_time: String::new(), ..good.clone() }),
            ("slot.local_start_time", ProgrammeSlot { local_start_time: "tomorrow".into(), ..good.clone() }),
            ("slot.local_start_time", ProgrammeSlot { local_start_time: local(now, -300, "UTC"), ..good.clone() }),
            ("slot.recurrence_rule", ProgrammeSlot { recurrence_rule: "FREQ=SECONDLY".into(), ..good.clone() }),
            ("slot.recurrence_rule", ProgrammeSlot { recurrence_rule: "x".repeat(501), ..good.clone() }),
            ("slot.exception_dates", ProgrammeSlot { exception_dates: vec!["today".into()], ..good.clone() }),
        ];
        for (field, slot) in cases {
            assert_eq!(fields(server.plan(slot).await), [field]);
        }
        let elsewhere = ProgrammeSlot { outlet_ids: vec![outlet_id(21).into()], ..good.clone() };
        assert_eq!(reason(server.plan(elsewhere).await), ErrorReason::NotFound, "the channel is not shown there");
        assert_eq!(reason(server.plan(ProgrammeSlot { channel_id: unknown_channel(), ..good.clone() }).await), ErrorReason::NotFound);
        let window = |from: i64, until: i64| ListProgrammeRequest {
            channel_id: channel.clone(),
            window: Some(contracts::common::v1::Window { start_time: at(now, from), end_time: at(now, until) }),
            ..Default::default()
        };
        assert_eq!(fields(call!(ops.programme.list_programme(window(0, 63 * DAY)))), ["window.end_time"]);
        assert_eq!(fields(call!(ops.programme.list_programme(ListProgrammeRequest { channel_id: channel.clone(), ..Default::default() }))), ["window"]);
        // Pages of a programme neither skip nor repeat.
        server.plan(ProgrammeSlot { recurrence_rule: "FREQ=DAILY".into(), ..good }).await.expect("a slot");
        let (mut token, mut starts) = (String::new(), Vec::new());
        loop {
            let request = ListProgrammeRequest { page_size: 7, page_token: token, ..window(0, 31 * DAY) };
            let page = call!(ops.programme.list_programme(request)).expect("a page");
            starts.extend(page.occurrences.iter().map(|it| it.start_time.map(|at| at.seconds)));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(starts.len(), 31);
        assert!(starts.is_sorted());
        let slots = call!(ops.programme.list_slots(ListSlotsRequest { channel_id: channel.clone(), state: SlotState::Active.into(), ..Default::default() })).expect("slots").slots;
        assert_eq!(slots.len(), 1);
        // The zone stays while slots are written in it.
        let request = UpdateChannelRequest { request_id: key(), channel: Some(Channel { channel_id: channel.clone(), time_zone: "Asia/Tokyo".into(), ..Default::default() }), update_mask: mask(&["time_zone"]) };
        assert_eq!(reason(call!(ops.channels.update_channel(request))), ErrorReason::WrongState);
        server.stop().await;
    }

    async fn a_day_of_a_clock_change_is_filled_without_a_gap(t: TestDb) {
        // Noon in Paris, two days before the clock goes from 02:00 to 03:00 on 29 March 2026.
        let now: jiff::Timestamp = "2026-03-27T11:00:00Z".parse().expect("a time");
        let now = kit::clock::Micros(now.as_microsecond());
        t.clock.set(now);
        let server = Server::start(&t).await;
        let draft = Channel { time_zone: "Europe/Paris".into(), ..server.channel_draft(&[11], false) };
        let channel = server.create_channel(draft).await.expect("a channel").channel_id;
        let host = server.host(true).await;
        for (start, minutes) in [("00:00:00", 90), ("01:30:00", 60), ("02:30:00", 30), ("03:00:00", 21 * 60)] {
            let slot = ProgrammeSlot {
                local_start_time: format!("2026-03-27T{start}"),
                recurrence_rule: "FREQ=DAILY".into(),
                ..server.slot_draft(&channel, &host, now, 0, minutes)
            };
            server.plan(slot).await.expect("a slot");
        }
        let days = server.programme(&server.ops(), &channel, now, 14 * 60, 5 * DAY).await;
        let seconds = |moment: &Option<prost_types::Timestamp>| moment.as_ref().expect("a time").seconds;
        for pair in days.windows(2) {
            assert_eq!(seconds(&pair[0].end_time), seconds(&pair[1].start_time), "one after the other");
        }
        // From midnight to midnight in Paris: 23:00 UTC to 22:00 UTC.
        let (from, until) = (1_774_738_800, 1_774_738_800 + 23 * 3_600);
        let that_day = days.iter().filter(|it| (from..until).contains(&seconds(&it.start_time)));
        let minutes: Vec<i64> = that_day.map(|it| (seconds(&it.end_time) - seconds(&it.start_time)) / 60).collect();
        assert_eq!(minutes, [90, 30, 21 * 60], "an hour is missing, and what would have been in it");
        server.stop().await;
    }

    async fn a_room_of_a_slot_that_is_scheduled_anew_has_a_time_of_its_own(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let slot = server.plan(server.slot_draft(&channel, &host, now, 60, 60)).await.expect("a slot");
        let room = server.programme(&ops, &channel, now, 0, DAY).await[0].room_id.clone();
        let request = ScheduleRoomRequest {
            request_id: key(),
            room_id: room.clone(),
            schedule: Some(contracts::common::v1::Window { start_time: at(now, 90), end_time: at(now, 200) }),
            etag: String::new(),
        };
        let moved = call!(ops.rooms.schedule_room(request)).expect("moved").room.expect("it");
        assert!(moved.overridden);
        server.update_slot(ProgrammeSlot { title: "New".into(), etag: String::new(), ..slot }, &["title"]).await.expect("changed");
        let still = server.programme(&ops, &channel, now, 0, DAY).await;
        assert_eq!((still.len(), still[0].title.as_str(), still[0].start_time), (1, "At 60", at(now, 90)));
        server.stop().await;
    }

    async fn what_was_given_a_later_day_is_cancelled_with_its_slot(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let slot = server.plan(server.slot_draft(&channel, &host, now, 60, 60)).await.expect("a slot");
        let ops = server.ops();
        let request = OverrideOccurrenceRequest {
            request_id: key(),
            slot_id: slot.slot_id.clone(),
            slot_start_time: at(now, 60),
            occurrence: Some(Occurrence { start_time: at(now, 60 + 4 * DAY), end_time: at(now, 120 + 4 * DAY), ..Default::default() }),
            update_mask: mask(&["start_time", "end_time"]),
        };
        let room = call!(ops.programme.override_occurrence(request)).expect("moved").room.expect("it").room_id;
        // Its time by the rule is long over, its own is to come.
        t.clock.advance(Duration::from_secs(2 * 86_400));
        server.cancel_slot(&slot.slot_id).await.expect("cancelled");
        let over = server.get_room(&room).await;
        assert_eq!((over.state(), over.live_time), (RoomState::Ended, None));
        server.plan(server.slot_draft(&channel, &host, now, 60 + 4 * DAY, 60)).await.expect("free again");
        server.stop().await;
    }

    async fn a_time_that_comes_back_gets_a_room_anew(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let slot = ProgrammeSlot { recurrence_rule: "FREQ=DAILY".into(), ..server.slot_draft(&channel, &host, now, 60, 60) };
        let slot = ProgrammeSlot { etag: String::new(), ..server.plan(slot).await.expect("a slot") };
        let today = local(now, 60, "UTC")[..10].to_owned();
        let moved = ProgrammeSlot { local_start_time: local(now, 180, "UTC"), ..slot.clone() };
        let left_out = ProgrammeSlot { exception_dates: vec![today], ..slot.clone() };
        for (other, path) in [(moved, "local_start_time"), (left_out, "exception_dates")] {
            let before = server.programme(&ops, &channel, now, 0, 2 * DAY).await;
            server.update_slot(other, &[path]).await.expect("away");
            assert_eq!(server.get_room(&before[0].room_id).await.state(), RoomState::Ended);
            server.update_slot(slot.clone(), &[path]).await.expect("back");
            let after = server.programme(&ops, &channel, now, 0, 2 * DAY).await;
            let starts: Vec<_> = after.iter().map(|it| it.start_time).collect();
            assert_eq!(starts, [at(now, 60), at(now, 60 + DAY)], "{path}");
            assert_ne!(after[0].room_id, before[0].room_id);
            let room = server.get_room(&after[0].room_id).await;
            assert_eq!((room.state(), &room.slot_id), (RoomState::Scheduled, &slot.slot_id));
        }
        // What somebody ended stays as it is.
        let rooms = server.programme(&ops, &channel, now, 0, 2 * DAY).await;
        server.end(&rooms[0].room_id).await.expect("ended");
        server.update_slot(ProgrammeSlot { title: "New".into(), ..slot.clone() }, &["title"]).await.expect("changed");
        let left: Vec<_> = server.programme(&ops, &channel, now, 0, 2 * DAY).await.into_iter().map(|it| it.start_time).collect();
        assert_eq!(left, [at(now, 60 + DAY)]);
        server.stop().await;
    }
}
