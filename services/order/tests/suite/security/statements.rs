//! Whatever is not the partner's own word about exactly this payment is not believed; what is counts once, however late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use contracts::order::v1 as pb;
use futures::StreamExt;
use kit::caller::Caller;
use order::Config;
use order::ops::keys::{Asked, KeyRing};
use store::sql;
use testkit::{Engine, TestDb, on_both_engines, op};
use tonic::Code;

use super::forge::{Dice, Forged, Genuine, Key, Material, high_s};
use crate::world::{PRICE, World, confirm, nth, partner, reason, refused, retrying, setup};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How many are forged for the verification itself, and how many for the whole way through a socket.
const FORGED: usize = 100_000;
const SENT: usize = 2_000;

fn registered(at: u128, of: &PartnerId, key: &Key, active: bool) -> Content {
    let state = match active {
        true => catalog::PaymentKeyState::Active,
        false => catalog::PaymentKeyState::Revoked,
    };
    Content::PaymentKey(catalog::PaymentKey {
        payment_key_id: nth::<contracts::id::kind::PaymentKey>(at).into(),
        partner_id: of.to_string(),
        kid: key.kid.clone(),
        public_key_jwk: key.jwk.to_string(),
        state: state.into(),
        ..Default::default()
    })
}

/// Orders of partner 1 that wait for their payment, its keys, and what it states.
async fn material(world: &World) -> Material {
    world.stock(100).await;
    let mut material = Material::new();
    // The first key of each partner is there already.
    for (at, key) in material.own.iter().enumerate().skip(1) {
        let key = registered(100 + at as u128, &partner(1), key, true);
        world.enter(key).await.expect("a key");
    }
    let revoked = registered(110, &partner(1), &material.revoked, false);
    world.enter(revoked).await.expect("a key");
    let other = registered(111, &partner(2), &material.others[1], true);
    world.enter(other).await.expect("a key");
    for at in 0..6 {
        let placed = world.place(&format!("o-{at}"), &[(1, 1)]).await;
        let claims = world.claims(&placed.order_id, &format!("pay-{at}"), PRICE);
        material.state(&claims);
    }
    material
}

/// How much there is of everything that a statement could change.
async fn everything(t: &TestDb) -> Vec<i64> {
    macro_rules! numbers {
        ($($text:literal),+ $(,)?) => {
            op("count", |tx| Box::pin(async move {
                let mut numbers = Vec::new();
                $(
                    let (number,) = sql!(tx, one (i64,), $text)?;
                    numbers.push(number);
                )+
                Ok(numbers)
            }))
        };
    }
    let count = numbers![
        "SELECT COUNT(*) FROM payment",
        "SELECT COUNT(*) FROM refund",
        "SELECT COUNT(*) FROM refund_report",
        "SELECT COUNT(*) FROM compensation",
        "SELECT COUNT(*) FROM chargeback",
        "SELECT COUNT(*) FROM ledger_entry",
        "SELECT COUNT(*) FROM feed",
        "SELECT COUNT(*) FROM audit",
        "SELECT COUNT(*) FROM idempotency",
        "SELECT CAST(SUM(version) AS BIGINT) FROM orders",
        "SELECT CAST(SUM(sold) AS BIGINT) FROM allotment",
        "SELECT CAST(SUM(held) AS BIGINT) FROM allotment",
    ];
    t.read(count).await.expect("numbers")
}

/// What the partner says, as its program sends it.
fn asked(genuine: &Genuine) -> pb::ConfirmPaymentRequest {
    confirm(
        &genuine.order_id,
        &genuine.reference,
        genuine.statement.clone(),
    )
}

/// A hundred thousand forgeries before the verification that ConfirmPayment uses, with real keys and signatures.
#[test]
fn of_a_hundred_thousand_forged_none_is_believed() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let world = World::start(t).await;
        let material = Arc::new(material(&world).await);
        let ring = KeyRing::new(
            world.t.db.clone(),
            world.t.clock.clone(),
            &Config::default(),
        );
        let caller = Caller {
            audience: Audience::Partner,
            partner_id: Some(partner(1)),
            ..world.t.caller()
        };
        let before = everything(&world.t).await;
        let tasks = (0..4u64).map(|seed| {
            let (material, ring, caller) = (material.clone(), ring.clone(), caller.clone());
            kit::spawn("forger", async move {
                let mut dice = Dice::new(seed);
                let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
                for _ in 0..FORGED / 4 {
                    let forged = material.forge(&mut dice);
                    not_believed(&ring, &caller, &forged).await;
                    *kinds.entry(forged.what).or_default() += 1;
                }
                kinds
            })
        });
        let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
        for task in futures::future::join_all(tasks).await {
            for (kind, count) in task.expect("no panic") {
                *kinds.entry(kind).or_default() += count;
            }
        }
        assert_eq!(kinds.values().sum::<usize>(), FORGED);
        assert!(
            kinds.len() > 45 && kinds.values().all(|count| *count > 50),
            "{kinds:?}"
        );
        assert_eq!(everything(&world.t).await, before);
        // Not because nothing is believed.
        for genuine in &material.genuine {
            let order_id = genuine.order_id.parse().expect("an id");
            let asked = Asked {
                order_id: &order_id,
                payment_reference: &genuine.reference,
                statement: &genuine.statement,
            };
            ring.verify(&caller, &partner(1), &asked)
                .await
                .expect("genuine");
        }
    });
}

async fn not_believed(ring: &KeyRing, caller: &Caller, forged: &Forged) {
    let order_id = forged.order_id.parse().expect("an id");
    let asked = Asked {
        order_id: &order_id,
        payment_reference: &forged.reference,
        statement: &forged.statement,
    };
    let verdict = ring.verify(caller, &partner(1), &asked).await;
    assert!(
        matches!(&verdict, Err(kit::errors::Fault::Refused(_))),
        "{}: {verdict:?} for {}",
        forged.what,
        forged.statement
    );
}

/// Sends a forgery to one of the calls that take statements; gives the reason why it was refused.
async fn send(clients: &crate::world::Socket, at: usize, forged: &Forged) -> String {
    let (order_id, statement) = (forged.order_id.clone(), forged.statement.clone());
    let request_id = format!("forged-{at}");
    let (mut orders, mut refunds) = (clients.orders.clone(), clients.refunds.clone());
    let refused = match at % 8 {
        0 => {
            let request = pb::ReportRefundRequest {
                request_id,
                refund_id: nth::<contracts::id::kind::Refund>(1).into(),
                statement,
            };
            orders.report_refund(request).await.map(|_| ())
        }
        1 => {
            let request = pb::ReportPartnerRefundRequest {
                request_id,
                order_id,
                statement,
            };
            refunds.report_partner_refund(request).await.map(|_| ())
        }
        2 => {
            let request = pb::ReportChargebackRequest {
                request_id,
                order_id,
                statement,
            };
            refunds.report_chargeback(request).await.map(|_| ())
        }
        _ => {
            let request = confirm(&order_id, &forged.reference, statement);
            orders.confirm_payment(request).await.map(|_| ())
        }
    };
    let status = refused.expect_err(forged.what);
    let reason = reason(&status);
    assert!(
        ["BAD_STATEMENT", "INVALID_FIELD", "NOT_OFFERED"].contains(&reason.as_str()),
        "{}: {status:?}",
        forged.what
    );
    reason
}

on_both_engines! {
    setup: setup();

    async fn forgeries_through_a_socket_change_nothing(t: TestDb) {
        let world = World::start(t).await;
        let material = material(&world).await;
        let clients = world.socket(1).await;
        let before = everything(&world.t).await;
        let mut dice = Dice::new(77);
        let forgeries: Vec<Forged> = (0..SENT).map(|_| material.forge(&mut dice)).collect();
        let clients = &clients;
        let sent = futures::stream::iter(forgeries.iter().enumerate())
            .map(|(at, forged)| send(clients, at, forged))
            .buffer_unordered(16);
        let reasons: Vec<String> = sent.collect().await;
        let bad = reasons.iter().filter(|reason| *reason == "BAD_STATEMENT").count();
        assert!(reasons.len() == SENT && bad > SENT * 9 / 10, "{bad} of {}", reasons.len());
        assert_eq!(everything(&world.t).await, before);
        // Nor does what the partner itself stated of a payment pass for anything else.
        for genuine in &material.genuine[..4] {
            for at in 0..3 {
                let shown = Forged {
                    what: "a payment for something else",
                    order_id: genuine.order_id.clone(),
                    reference: genuine.reference.clone(),
                    statement: genuine.statement.clone(),
                };
                send(clients, 10_000_000 + 8 * at + at, &shown).await;
            }
        }
        assert_eq!(everything(&world.t).await, before);
        let paid = clients.orders.clone().confirm_payment(asked(&material.genuine[0])).await;
        assert_eq!(paid.expect("genuine").into_inner().outcome(), pb::PaymentOutcome::Paid);
    }

    async fn a_genuine_statement_counts_once_however_late_and_whoever_asks(t: TestDb) {
        let world = World::start(t).await;
        let material = material(&world).await;
        // At once, three days, ninety days, most of a year; the holds are long over.
        for (at, late) in [Duration::ZERO, 3 * DAY, 87 * DAY, 200 * DAY].into_iter().enumerate() {
            world.advance(late);
            let before = everything(&world.t).await;
            // Of each key one, all in the same words, each asked for by two at a time.
            let own = &material.genuine[4 * at..4 * at + 4];
            let calls = own.iter().chain(own).map(|genuine| {
                let (clients, request) = (world.partner(1), asked(genuine));
                retrying(move || {
                    let (mut clients, request) = (clients.clone(), request.clone());
                    async move { clients.orders.confirm_payment(request).await }
                })
            });
            let answers = futures::future::join_all(calls).await;
            let first = answers[0].as_ref().expect("recorded");
            assert_eq!(first.outcome(), pb::PaymentOutcome::Paid);
            for answer in &answers {
                assert_eq!(answer.as_ref().expect("the same"), first);
            }
            let after = everything(&world.t).await;
            assert_eq!((after[0] - before[0], after[1] - before[1], after[10] - before[10]), (1, 0, 1));
            // And nothing else is made of it.
            let other = &material.genuine[20];
            let moved = confirm(&other.order_id, &own[0].reference, own[0].statement.clone());
            refused(world.partner(1).orders.confirm_payment(moved).await, "BAD_STATEMENT", Code::Unauthenticated);
        }
    }

    async fn the_request_is_fresh_even_where_the_statement_is_late(t: TestDb) {
        let world = World::start(t).await;
        let material = material(&world).await;
        let mut clients = world.partner(1);
        // Longer than its token lives.
        world.advance(301 * DAY);
        let before = everything(&world.t).await;
        let stale = clients.orders.confirm_payment(asked(&material.genuine[0])).await;
        refused(stale, "UNAUTHENTICATED", Code::Unauthenticated);
        assert_eq!(everything(&world.t).await, before);
        let paid = world.pay(&asked(&material.genuine[0])).await;
        assert_eq!(paid.outcome(), pb::PaymentOutcome::Paid);
    }

    /// ECDSA has two signatures of the same words, `s` and `n - s`; standards know both as genuine. They are one payment.
    async fn both_signatures_of_es256_are_one_payment(t: TestDb) {
        let world = World::start(t).await;
        let material = material(&world).await;
        for (at, twin_first) in [(0, false), (1, true)] {
            let genuine = &material.genuine[4 * at + 2];
            let twin = confirm(&genuine.order_id, &genuine.reference, high_s(&genuine.statement));
            assert_ne!(twin, asked(genuine));
            let (first, second) = if twin_first { (twin, asked(genuine)) } else { (asked(genuine), twin) };
            let before = everything(&world.t).await;
            let paid = world.pay(&first).await;
            assert_eq!(world.pay(&second).await, paid);
            assert_eq!(everything(&world.t).await[0] - before[0], 1);
        }
    }

    async fn keys_overlap_and_a_revoked_one_is_refused_at_once(t: TestDb) {
        let world = World::start(t).await;
        let material = material(&world).await;
        let of_order = |order: usize, key: usize| asked(&material.genuine[4 * order + key]);
        // The old one and its successor, side by side.
        let first = world.pay(&of_order(0, 0)).await;
        world.pay(&of_order(1, 1)).await;
        world.enter(Content::PaymentKey(crate::world::key_of(1, false))).await.expect("revoked");
        // Another replica's word is believed for a second at most; here it is over.
        world.advance(Duration::from_secs(2));
        let mut clients = world.partner(1);
        let late = clients.orders.confirm_payment(of_order(2, 0)).await;
        refused(late, "BAD_STATEMENT", Code::Unauthenticated);
        // What was recorded is answered as it was, and the successor's word counts.
        assert_eq!(world.pay(&of_order(0, 0)).await, first);
        assert_eq!(world.pay(&of_order(2, 1)).await.outcome(), pb::PaymentOutcome::Paid);
    }

    async fn the_audience_is_asked_for_where_that_is_configured(t: TestDb) {
        let config = Config { statement_audience_required_of: vec![partner(1)], ..Config::default() };
        let world = World::start_with(t, config, false).await;
        let material = material(&world).await;
        let mut clients = world.partner(1);
        let without = clients.orders.confirm_payment(asked(&material.genuine[0])).await;
        let status = refused(without, "BAD_STATEMENT", Code::Unauthenticated);
        assert!(status.message().contains("\"vitrine\""), "{status:?}");
        let (key, genuine) = (&material.own[0], &material.genuine[0]);
        let mut claims = genuine.claims.clone();
        claims["aud"] = "vitrine".into();
        let statement = key.sign(key.header().to_string().as_bytes(), claims.to_string().as_bytes());
        let paid = world.pay(&confirm(&genuine.order_id, &genuine.reference, statement)).await;
        assert_eq!(paid.outcome(), pb::PaymentOutcome::Paid);
    }
}
