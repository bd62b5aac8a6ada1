//! How much is read to list what is on air, when much is.

use std::time::Duration;

use ::store::{Operation, bulk};
use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::clock::{Clock, SystemClock};
use testkit::{Engine, Setup, TestDb, on_both_engines};

use super::*;

const ROOMS: i64 = 30_000;
const CHUNK: i64 = 5_000;
const PAGE: i64 = 51;

fn room(n: i64) -> RoomId {
    RoomId::from_uuid(u128::try_from(n).expect("a count"))
}

fn partner(n: i64) -> PartnerId {
    PartnerId::from_uuid(u128::try_from(n % 3).expect("a count"))
}

fn theme(n: i64) -> &'static str {
    ["vintage", "shoes", "bags", ""][usize::try_from(n % 4).expect("a count")]
}

/// Rooms that are on air on two outlets of a partner.
struct Fill(i64);

impl Operation for Fill {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.fill"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let numbers: Vec<i64> = (self.0..self.0 + CHUNK).collect();
        let rooms: Vec<String> = numbers.iter().map(|n| room(*n).to_string()).collect();
        bulk!(
            tx,
            execute,
            postgres: "INSERT INTO room (room_id, title, theme, drop_id, session_type, channel_id, venue, slot_id, slot_start, \
                       overridden, next_room_id, state, announced, state_reason, schedule_start, schedule_end, live_time, \
                       create_time, version) SELECT u.id, '', '', '', 'SHOPPING', '', '', '', 0, $3, '', 'LIVE', $4, '', 0, 1, \
                       u.n, 0, 1 FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(id, n)",
            sqlite: "INSERT INTO room (room_id, title, theme, drop_id, session_type, channel_id, venue, slot_id, slot_start, \
                     overridden, next_room_id, state, announced, state_reason, schedule_start, schedule_end, live_time, \
                     create_time, version) SELECT value->>0, '', '', '', 'SHOPPING', '', '', '', 0, $2, '', 'LIVE', $3, '', 0, \
                     1, value->>1, 0, 1 FROM json_each($1)",
            columns: [&rooms, &numbers],
            also: [false, true]
        )?;
        for outlet in ["outlet_a", "outlet_b"] {
            let partners: Vec<String> = numbers.iter().map(|n| partner(*n).to_string()).collect();
            let outlets: Vec<String> = partners
                .iter()
                .map(|partner| format!("{outlet}_{partner}"))
                .collect();
            let themes: Vec<&str> = numbers.iter().map(|n| theme(*n)).collect();
            bulk!(
                tx,
                execute,
                postgres: "INSERT INTO on_air (room_id, live_time, partner_id, outlet_id, theme, channel_id) \
                           SELECT u.*, '' FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[]) AS u",
                sqlite: "INSERT INTO on_air (room_id, live_time, partner_id, outlet_id, theme, channel_id) \
                         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, '' FROM json_each($1)",
                columns: [&rooms, &numbers, partners, outlets, themes]
            )?;
        }
        Ok(())
    }
}

/// What the engine does for a page, as it tells it.
struct Plans;

macro_rules! plan {
    ($tx:ident, $plans:ident, [$($which:tt)+] $(, $bind:expr)*) => {
        match $tx.engine() {
            Engine::Sqlite => {
                let rows = sql!(
                    $tx, all (i64, i64, i64, String), concat!("EXPLAIN QUERY PLAN ", latest!($($which)+)),
                    i64::MAX, "", PAGE $(, $bind)*
                )?;
                $plans.push((stringify!($($which)+), rows.into_iter().map(|row| row.3).collect::<Vec<_>>()));
            }
            Engine::Postgres => {
                let rows = sql!(
                    $tx, all (String,),
                    concat!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ", latest!($($which)+)),
                    i64::MAX, "", PAGE $(, $bind)*
                )?;
                $plans.push((stringify!($($which)+), rows.into_iter().map(|row| row.0).collect::<Vec<_>>()));
            }
        }
    };
}

impl Operation for Plans {
    type Output = Vec<(&'static str, Vec<String>)>;

    fn name(&self) -> &'static str {
        "test.plans"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let mut plans = Vec::new();
        let partner = partner(1);
        let outlet = format!("outlet_a_{partner}");
        plan!(tx, plans, [all]);
        plan!(tx, plans, [theme], "shoes");
        plan!(tx, plans, [partner], partner);
        plan!(tx, plans, [partner theme], partner, "shoes");
        plan!(tx, plans, [outlet], &outlet);
        plan!(tx, plans, [outlet theme], &outlet, "shoes");
        plan!(tx, plans, [channel], "channel_x", "", "", "");
        Ok(plans)
    }
}

/// The largest number of rows that a step of a plan gave or threw away.
fn rows_visited(plan: &[String]) -> i64 {
    let numbers = plan.iter().flat_map(|line| {
        let given = line
            .split("rows=")
            .skip(1)
            .filter_map(|rest| rest.split([' ', ')']).next());
        let thrown = line.split("Removed by Filter: ").skip(1);
        given
            .chain(thrown)
            .filter_map(|number| number.trim().parse::<f64>().ok())
    });
    #[allow(clippy::cast_possible_truncation, reason = "counts of a test")]
    let most = numbers.fold(0.0, f64::max) as i64;
    most
}

/// A page of one partner's.
struct Page(OnAirQuery);

impl Operation for Page {
    type Output = Vec<OnAir>;

    fn name(&self) -> &'static str {
        "test.page"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<OnAir>, Fault> {
        on_air_list(tx, &self.0).await
    }
}

on_both_engines! {
    setup: Setup::new().migrations(crate::migrations());

    async fn a_page_reads_little_however_many_rooms_are_on_air(t: TestDb) {
        let caller = Caller::system("test");
        for from in (0..ROOMS).step_by(usize::try_from(CHUNK).expect("a count")) {
            t.db.execute(&caller, Fill(from)).await.expect("rooms");
        }
        for (which, plan) in t.db.read(&caller, Plans).await.expect("plans") {
            match t.db.engine() {
                Engine::Sqlite => {
                    assert!(plan.iter().any(|line| line.contains("USING") && line.contains("INDEX on_air_")), "{which}: {plan:?}");
                    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE") || line.starts_with("SCAN a")) || which == "all", "{which}: {plan:?}");
                    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE FOR ORDER BY")), "{which}: {plan:?}");
                }
                Engine::Postgres => {
                    assert!(rows_visited(&plan) <= 4 * PAGE, "{which}: {plan:#?}");
                }
            }
        }
        // The pages are right too, and quick.
        let mut query = OnAirQuery {
            partner: Some(partner(1)),
            outlet: None,
            theme: String::new(),
            channel: None,
            before: (Micros(i64::MAX), String::new()),
            limit: PAGE,
        };
        let began = SystemClock.instant();
        let mut expected = (0..ROOMS).rev().filter(|n| n % 3 == 1);
        for _ in 0..20 {
            let page = t.db.read(&caller, Page(query.clone())).await.expect("a page");
            for (time, id) in &page {
                let n = expected.next().expect("another");
                assert_eq!((*time, id.as_str()), (n, room(n).as_str()));
            }
            let (time, id) = page.last().cloned().expect("a full page");
            query.before = (Micros(time), id);
        }
        let took = SystemClock.instant().saturating_duration_since(began);
        assert!(took < Duration::from_secs(5), "twenty pages took {took:?}");
    }
}
