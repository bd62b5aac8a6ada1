//! Who comes to the same case at the same moment.

use std::collections::BTreeSet;

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use fulfillment::config::CareConfig;
use fulfillment::ops::care::time::{AnyDue, FireTimers};
use futures::future::join_all;
use testkit::{TestDb, on_both_engines};

use crate::care::*;
use crate::common::*;
use crate::server::Server;

on_both_engines! {
    setup: setup().config(|config| config.max_connections = 16);

    async fn no_case_is_ever_given_to_two_agents(t: TestDb) {
        const AGENTS: usize = 12;
        const CASES: usize = 8;
        let server = Server::start(&t).await;
        for at in 0..CASES {
            opened(&server, open(&format!("k{at}"))).await;
        }
        let takes = (0..AGENTS).map(|at| {
            let mut agent = server.care_as(&format!("agent-{at}"), RetailerRole::Care);
            async move {
                let request = pb::TakeNextCaseRequest { request_id: "t".into(), level: 0 };
                agent.take_next_case(request).await.expect("an answer").into_inner().care_case
            }
        });
        let taken: Vec<pb::CareCase> = join_all(takes).await.into_iter().flatten().collect();
        let cases: BTreeSet<_> = taken.iter().map(|case| case.case_id.clone()).collect();
        let agents: BTreeSet<_> = taken.iter().map(|case| case.agent.clone()).collect();
        assert_eq!((taken.len(), cases.len(), agents.len()), (CASES, CASES, CASES));
        for case in &taken {
            assert_eq!(get(&server, &case.case_id).await.agent, case.agent, "it stayed theirs");
        }
    }

    async fn twins_take_one_case(t: TestDb) {
        let server = Server::start(&t).await;
        for at in 0..4 {
            opened(&server, open(&format!("k{at}"))).await;
        }
        let takes = (0..6).map(|_| {
            let mut agent = server.care_as("ana", RetailerRole::Care);
            async move {
                let request = pb::TakeNextCaseRequest { request_id: "t".into(), level: 0 };
                agent.take_next_case(request).await.expect("an answer").into_inner().care_case
            }
        });
        let taken: BTreeSet<_> = join_all(takes).await.into_iter().flatten().map(|case| case.case_id).collect();
        assert_eq!(taken.len(), 1, "one key, one case");
    }

    async fn however_many_sweep_a_timer_fires_once(t: TestDb) {
        let server = Server::start(&t).await;
        for at in 0..6 {
            opened(&server, open(&format!("k{at}"))).await;
        }
        t.clock.advance(std::time::Duration::from_secs(30 * 86_400));
        let sweeps = (0..6).map(|_| t.execute(FireTimers { rows_max: 5, rules: CareConfig::default().rules() }));
        for swept in join_all(sweeps).await {
            swept.expect("sweeps");
        }
        while t.execute(FireTimers { rows_max: 5, rules: CareConfig::default().rules() }).await.expect("sweeps") > 0 {}
        assert!(!t.read(AnyDue).await.expect("a look"));
        let breaches = told(&t).await.into_iter().filter(|(change, _)| *change == pb::CaseChange::Breached);
        assert_eq!(breaches.count(), 12, "both targets of six cases, once each");
    }

    async fn of_a_message_and_the_end_either_comes_first(t: TestDb) {
        let server = Server::start(&t).await;
        for round in 0..6 {
            let id = opened(&server, open(&format!("k{round}"))).await.case_id;
            let mut ana = server.care_as("ana", RetailerRole::Care);
            let request = resolve(&format!("r{round}"), &id, vec![plain(pb::CaseOutcomeKind::Answered)]);
            ana.resolve_case(request).await.expect("resolves");
            let (mut closer, mut speaker) = (server.care_of(1), server.care_of(1));
            let words = post(&format!("p{round}"), &id, shopper("Wait"));
            let (closed, said) =
                tokio::join!(closer.close_case(close(&format!("c{round}"), &id)), speaker.post_message(words));
            closed.expect("closes");
            let case = get(&server, &id).await;
            assert_eq!(case.message_count, if said.is_ok() { 2 } else { 1 });
            if let Err(status) = said {
                assert_eq!(testkit::house::refusal(&status).reason, contracts::ErrorReason::CaseClosed);
            }
        }
    }
}
