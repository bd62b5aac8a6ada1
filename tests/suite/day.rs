//! The demo's day, small, with all its checks from outside, on every topology.

use vitrine::demo::{self, Options, Report, Scale};

use crate::security::strangers;
use crate::topology::Running;

const SMALL: Scale = Scale {
    drop_units: 300,
    room_shoppers: 40,
    viewers_per_outlet: 3,
};

async fn day(running: &Running, seed: u64) -> Report {
    let options = Options {
        seed,
        report: None,
        addresses: running.addresses.clone(),
        scale: SMALL,
        run: format!("t{seed}"),
        signer: running.signer(),
    };
    demo::run_at(options)
        .await
        .unwrap_or_else(|e| panic!("the day broke off: {e:#}"))
}

fn assert_clean(report: &Report) {
    assert_eq!(report.checks_failed, 0, "{:#?}", report.failures);
    assert_eq!(
        report.units_supplied,
        report.units_available + report.units_held + report.units_sold
    );
    assert_eq!((report.units_oversold, report.feed_gaps), (0, 0));
    assert!(
        report.orders_delivered > 100 && report.orders_refund_due > 10 && report.orders_expired > 0,
        "{report:#?}"
    );
    assert_eq!((report.handovers, report.conversions), (7, 9));
    assert!(
        report.returns_completed > 0 && report.refunds_failed_first > 0,
        "{report:#?}"
    );
    assert_eq!(report.refund_due_minor_units, report.refunded_minor_units);
    assert_eq!(
        (
            report.disputes_decided,
            report.offers_taken,
            report.exchanges_completed
        ),
        (1, 1, 1)
    );
    assert_eq!((report.goodwill_refunds, report.chargebacks_lost), (1, 1));
    assert_eq!(
        (report.compensations_paid, report.ledger_adjustments),
        (1, 1)
    );
    assert_eq!(
        (report.ledger_unbalanced, report.refunds_above_paid),
        (0, 0)
    );
    assert!(report.matters_open > 0 && report.second_act.len() == 8);
    assert_eq!(report.matters_without_next_action, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_with_local_wires_and_the_security_of_partners() {
    let running = Running::embedded().await;
    let first = day(&running, 1).await;
    assert_clean(&first);
    strangers::foreign_and_unknown_look_the_same(&running).await;
    running.stop().await;

    // The same seed in a new suite comes to the same figures.
    let again = Running::embedded().await;
    let second = day(&again, 1).await;
    again.stop().await;
    let figures = |r: &Report| {
        (
            r.orders_placed,
            r.orders_paid,
            r.drop_orders,
            r.orders_expired,
            r.orders_cancelled,
            r.units_sold,
            r.paid_minor_units.clone(),
            r.refund_due_minor_units.clone(),
        )
    };
    assert_eq!(figures(&first), figures(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_servers_over_tcp_on_sqlite() {
    let running = Running::four(|_| store::DbConfig::default()).await;
    assert_clean(&day(&running, 2).await);
    running.stop().await;
}

#[test]
fn four_servers_over_tcp_on_postgresql() {
    testkit::run(
        testkit::Engine::Postgres,
        testkit::Setup::new(),
        |database| async move {
            let place = database.config().clone();
            let running = Running::four(|_| place.clone()).await;
            assert_clean(&day(&running, 3).await);
            running.stop().await;
        },
    );
}
