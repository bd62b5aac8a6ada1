//! What time does to cases, and what a restart or a leap of the clock does not.

use std::time::Duration;

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use fulfillment::Config;
use fulfillment::config::CareConfig;
use fulfillment::ops::care::time::{FireTimers, ForgetWords};
use kit::wire::Wire;
use store::sql;
use testkit::{TestDb, eventually_async, on_both_engines, op};

use crate::care::*;
use crate::common::*;
use crate::server::{Server, house};

const BOUND: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

async fn sweep(t: &TestDb) -> usize {
    let rules = CareConfig::default().rules();
    t.execute(FireTimers {
        rows_max: 100,
        rules,
    })
    .await
    .expect("sweeps")
}

/// With its timers, and an order service that never answers.
async fn with_timers(t: &TestDb) -> Server {
    let (_never_tied, order) = Wire::late();
    let config = Config {
        lift_interval_ms: 5,
        ..Config::default()
    };
    Server::start_with(t, house(t), order, config, true).await
}

fn count(told: &[(pb::CaseChange, bool)], change: pb::CaseChange) -> usize {
    told.iter().filter(|(found, _)| *found == change).count()
}

on_both_engines! {
    setup: setup();

    async fn a_silent_case_goes_its_way_by_itself(t: TestDb) {
        let server = with_timers(&t).await;
        let id = opened(&server, open("k")).await.case_id;
        t.clock.advance(DAY);
        let breached = || async { get(&server, &id).await.breach_count == 1 };
        assert!(eventually_async(BOUND, breached).await, "the first answer is late");
        let mut ana = server.care_as("ana", RetailerRole::Care);
        ana.post_message(post("a", &id, retailer("Which one?"))).await.expect("answers");
        t.clock.advance(DAY * 5);
        let resolved = || async { get(&server, &id).await.state() == pb::CaseState::Resolved };
        assert!(eventually_async(BOUND, resolved).await, "the shopper is silent");
        let found = get(&server, &id).await;
        assert_eq!(found.outcomes[0].kind(), pb::CaseOutcomeKind::Unanswered);
        t.clock.advance(DAY * 7);
        let closed = || async { get(&server, &id).await.state() == pb::CaseState::Closed };
        assert!(eventually_async(BOUND, closed).await, "nobody opened it again");
        let told = told(&t).await;
        assert_eq!(count(&told, pb::CaseChange::Breached), 1);
        assert_eq!((count(&told, pb::CaseChange::Resolved), count(&told, pb::CaseChange::Closed)), (1, 1));
        assert!(told.iter().all(|(_, theirs)| *theirs), "a partner learns of targets that were missed");
        server.stop().await;
    }

    async fn no_timer_is_lost_or_fires_twice_however_the_clock_leaps(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let mut ids = Vec::new();
        for (at, step) in ["new", "asked", "resolved"].iter().enumerate() {
            let id = opened(&server, open(&format!("k{at}"))).await.case_id;
            if *step == "asked" {
                let ask = says(pb::CaseParty::Retailer, pb::MessageVisibility::PartnerAndRetailer, "Which one?");
                ana.post_message(post("a", &id, ask)).await.expect("asks");
            }
            if *step == "resolved" {
                let outcomes = vec![plain(pb::CaseOutcomeKind::Declined)];
                ana.resolve_case(resolve("r", &id, outcomes)).await.expect("resolves");
            }
            ids.push(id);
        }
        // Back, forward by years, back again: each fires once.
        let start = kit::clock::Clock::now(&*t.clock);
        t.clock.set(start.minus(DAY * 100));
        assert_eq!(sweep(&t).await, 0);
        t.clock.set(start.plus(DAY * 3_000));
        assert!(sweep(&t).await > 0);
        assert_eq!(sweep(&t).await, 0);
        t.clock.set(start.minus(DAY * 100));
        assert_eq!(sweep(&t).await, 0);
        t.clock.set(start.plus(DAY * 6_000));
        assert_eq!(sweep(&t).await, 0);
        let told = told(&t).await;
        // Both targets of the new one; the partner's silence and the resolution of the one that was asked about.
        assert_eq!(count(&told, pb::CaseChange::Breached), 4);
        assert_eq!(count(&told, pb::CaseChange::Closed), 1);
        assert_eq!(get(&server, &ids[1]).await.state(), pb::CaseState::WaitingRetailer);
        assert_eq!(get(&server, &ids[2]).await.state(), pb::CaseState::Closed);
    }

    async fn a_restart_finds_every_timer(t: TestDb) {
        let id = {
            let server = with_timers(&t).await;
            let id = opened(&server, open("k")).await.case_id;
            server.stop().await;
            id
        };
        t.clock.advance(DAY * 8);
        let server = with_timers(&t).await;
        let breached = || async { get(&server, &id).await.breach_count == 2 };
        assert!(eventually_async(BOUND, breached).await);
        server.stop().await;
        assert_eq!(count(&told(&t).await, pb::CaseChange::Breached), 2);
    }

    async fn what_was_said_is_forgotten_long_after_the_end(t: TestDb) {
        let server = Server::start(&t).await;
        let id = opened(&server, open("k")).await.case_id;
        let open_one = opened(&server, open("o")).await.case_id;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let outcomes = vec![plain(pb::CaseOutcomeKind::Answered)];
        ana.resolve_case(resolve("r", &id, outcomes)).await.expect("resolves");
        server.care_of(1).close_case(close("c", &id)).await.expect("closes");
        let forget = || ForgetWords { keep: DAY * 365, rows_max: 10 };
        t.clock.advance(DAY * 365);
        assert_eq!(t.execute(forget()).await.expect("looks"), 0);
        t.clock.advance(Duration::from_secs(1));
        assert_eq!(t.execute(forget()).await.expect("forgets"), 1);
        assert_eq!(t.execute(forget()).await.expect("looks"), 0);
        let mut partner = server.care_of(1);
        for (case_id, text) in [(id, ""), (open_one, WORDS)] {
            let request = pb::ListMessagesRequest { case_id, ..Default::default() };
            let listed = partner.list_messages(request).await.expect("messages").into_inner();
            assert_eq!((listed.messages[0].text.as_str(), listed.messages[0].is_forgotten), (text, text.is_empty()));
        }
        // No answer that is kept for a retry holds a word of it.
        let kept = op("kept", |tx| Box::pin(async move {
            let rows = sql!(tx, all(Vec<u8>,), "SELECT response FROM idempotency")?;
            Ok(rows)
        }));
        for (response,) in t.execute(kept).await.expect("rows") {
            assert!(!response.windows(5).any(|part| part == b"label"));
        }
    }
}
