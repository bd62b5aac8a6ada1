//! The checker can fail: every kind of violation is made, in the journal, in what is read back, or in the tables
//! themselves, and must be seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use testkit::Engine;

use crate::check::{self, Facts, Kind, State, compare};
use crate::driver::Plan;
use crate::journal::{self, Answer, Call};
use crate::kills::place;
use crate::pause::pause_thread;
use crate::world::{Driver, World};

/// Looks whether there is enough, half a second apart.
const ROUNDS_MAX: u32 = 120;

/// Damages what the journal says, or what was read.
type Damage = fn(&mut Facts, &mut State);

/// Plays a few seconds on SQLite, and damages a copy of the outcome in every way.
pub fn run() -> anyhow::Result<()> {
    let Some(mut world) = World::lay_out(Engine::Sqlite, std::env::current_exe()?, false)? else {
        bail!("SQLite is always there");
    };
    world.move_on("suite")?;
    world.start_all()?;
    let facts = play(&world)?;
    let state = read(&world, &facts)?;
    let clean = compare(&facts, &state);
    if !clean.violations.is_empty() {
        bail!("nothing is damaged yet:\n{}", clean.summary().join("\n"));
    }
    let mut seen = BTreeSet::new();
    for (kind, damage) in damages() {
        let (mut facts, mut state) = (facts.clone(), state.clone());
        damage(&mut facts, &mut state);
        let found = compare(&facts, &state).kinds();
        if !found.contains(&kind) {
            bail!("{kind:?} was made and not seen; seen were {found:?}");
        }
        seen.insert(kind);
    }
    for kind in ALL {
        if !seen.contains(&kind) {
            bail!("nothing makes {kind:?}, so nobody knows whether it would be seen");
        }
    }
    tables(&mut world, &facts)
}

/// Every kind there is.
const ALL: [Kind; 23] = [
    Kind::OrderLost,
    Kind::OrderDoubled,
    Kind::AnswerChanged,
    Kind::PaymentLost,
    Kind::PaymentDoubled,
    Kind::MoneyNotConserved,
    Kind::UnitsNotConserved,
    Kind::MovementLost,
    Kind::ChangeLost,
    Kind::HoldBroken,
    Kind::StopIgnored,
    Kind::ParcelLost,
    Kind::ParcelDoubled,
    Kind::EffectMissedOrDoubled,
    Kind::ProductLost,
    Kind::MirrorWrong,
    Kind::ReturnLost,
    Kind::QuestionLost,
    Kind::LikesWrong,
    Kind::FeedGap,
    Kind::WatchWrong,
    Kind::ConsumerWrong,
    Kind::CallFailed,
];

fn play(world: &World) -> anyhow::Result<Facts> {
    let plan = Plan {
        addresses: world.addresses(),
        data_dir: world.data_dir(),
        journal: world.file("journal.jsonl"),
        seed: 5,
        partners: 2,
        buyers: 4,
        orders_per_s: 40.0,
        patience_s: 60,
    };
    let driver = Driver::start(&plan, &world.folder)?;
    let mut facts = Facts::default();
    for _ in 0..ROUNDS_MAX {
        pause_thread(Duration::from_millis(500));
        facts = Facts::of(journal::whole_lines(&plan.journal)?);
        if has_everything(&facts) {
            break;
        }
    }
    driver.finish()?;
    if !has_everything(&facts) {
        bail!("the driver did not come to every kind of call in time");
    }
    Ok(Facts::of(journal::read(&plan.journal)?))
}

/// Whether there is something of everything that is to be damaged.
fn has_everything(facts: &Facts) -> bool {
    let count = |wanted: fn(&Answer) -> bool| {
        let acknowledged = facts.acknowledged();
        acknowledged.filter(|(_, answer)| wanted(answer)).count()
    };
    // Among so many orders some are abandoned.
    count(|a| matches!(a, Answer::Placed { .. })) > 100
        && count(|a| matches!(a, Answer::Paid { paid: false, .. })) > 0
        && count(|a| matches!(a, Answer::Extended { .. })) > 0
        && count(|a| matches!(a, Answer::Contact { .. })) > 0
        && count(|a| matches!(a, Answer::Shipped { .. })) > 0
        && count(|a| matches!(a, Answer::Received)) > 0
        && count(|a| matches!(a, Answer::Refunded { .. })) > 0
        && count(|a| matches!(a, Answer::Moved { .. })) > 0
        && count(|a| matches!(a, Answer::Product { .. })) > 0
        && count(|a| matches!(a, Answer::Question { .. })) > 0
        && facts.watched.get("order").is_some_and(|w| w.len() > 10)
}

fn read(world: &World, facts: &Facts) -> anyhow::Result<State> {
    let place = place(world);
    crate::runtime()?.block_on(async {
        check::settle(&place.databases).await?;
        check::state(&place, &facts.world).await
    })
}

/// An acknowledged call of a kind, to be damaged.
fn answer(facts: &mut Facts, wanted: fn(&Answer) -> bool) -> &mut Answer {
    facts
        .calls
        .iter_mut()
        .filter_map(|made| made.acknowledged.as_mut())
        .map(|(_, answer)| answer)
        .find(|answer| wanted(answer))
        .expect("a few seconds of load make every kind of call")
}

fn forget(facts: &mut Facts, call: fn(&Call) -> bool) {
    let first = facts
        .calls
        .iter()
        .find(|made| made.acknowledged.is_some() && call(&made.call))
        .map(|made| made.call.clone());
    facts
        .calls
        .retain(|made| Some(&made.call) != first.as_ref());
}

fn watched(facts: &mut Facts) -> &mut Vec<journal::Entry> {
    facts
        .watched
        .get_mut("order")
        .expect("the order feed was watched")
}

/// Ways to damage the outcome, and what each must be seen as.
fn damages() -> Vec<(Kind, Damage)> {
    let mut all = damaged_journal();
    all.extend(damaged_state());
    all
}

fn damaged_journal() -> Vec<(Kind, Damage)> {
    vec![
        (Kind::OrderLost, |f, _| {
            if let Answer::Placed { order, .. } = answer(f, |a| matches!(a, Answer::Placed { .. }))
            {
                order.push('x');
            }
        }),
        (Kind::OrderDoubled, |f, _| {
            forget(f, |c| matches!(c, Call::Place { .. }))
        }),
        (Kind::AnswerChanged, |f, _| {
            let twin = f
                .calls
                .iter()
                .find(|made| matches!(made.acknowledged, Some((_, Answer::Placed { .. }))));
            let mut twin = twin.expect("an order was placed").clone();
            if let Some((_, Answer::Placed { order, .. })) = &mut twin.acknowledged {
                order.push('x');
            }
            f.calls.push(twin);
        }),
        (Kind::PaymentLost, |f, _| {
            if let Answer::Paid { payment, .. } = answer(f, |a| matches!(a, Answer::Paid { .. })) {
                payment.push('x');
            }
        }),
        (Kind::PaymentDoubled, |f, _| {
            forget(f, |c| matches!(c, Call::Pay { .. }))
        }),
        (Kind::MovementLost, |f, _| {
            if let Answer::Moved { movement } = answer(f, |a| matches!(a, Answer::Moved { .. })) {
                movement.push('x');
            }
        }),
        (Kind::MovementLost, |f, _| {
            forget(f, |c| matches!(c, Call::Move { .. }))
        }),
        (Kind::ParcelLost, |f, _| {
            if let Answer::Shipped { shipment, .. } =
                answer(f, |a| matches!(a, Answer::Shipped { .. }))
            {
                shipment.push('x');
            }
        }),
        (Kind::ProductLost, |f, _| {
            if let Answer::Product { product, .. } =
                answer(f, |a| matches!(a, Answer::Product { .. }))
            {
                product.push('x');
            }
        }),
        (Kind::QuestionLost, |f, _| {
            if let Answer::Question { question } =
                answer(f, |a| matches!(a, Answer::Question { .. }))
            {
                question.push('x');
            }
        }),
        (Kind::LikesWrong, |f, _| {
            forget(f, |c| matches!(c, Call::Like { .. }))
        }),
        (Kind::WatchWrong, |f, _| {
            // Missed.
            watched(f).remove(3);
        }),
        (Kind::WatchWrong, |f, _| {
            // Twice.
            let again = watched(f)[3].clone();
            watched(f).insert(4, again);
        }),
        (Kind::WatchWrong, |f, _| watched(f).swap(3, 4)),
        (Kind::WatchWrong, |f, _| watched(f)[3].digest.push('x')),
        (Kind::CallFailed, |f, _| {
            f.failed.push("a call had no answer".into())
        }),
    ]
}

fn damaged_state() -> Vec<(Kind, Damage)> {
    vec![
        (Kind::OrderLost, |_, s| {
            s.orders.remove(0);
        }),
        (Kind::OrderDoubled, |_, s| {
            let twin = s.orders[0].clone();
            s.orders.push(twin);
        }),
        (Kind::PaymentLost, |_, s| {
            s.payments.remove(0);
        }),
        (Kind::PaymentDoubled, |_, s| {
            let twin = s.payments[0].clone();
            s.payments.push(twin);
        }),
        (Kind::PaymentDoubled, |_, s| s.tables.payments[1] += 1),
        (Kind::PaymentLost, |_, s| s.refunds.clear()),
        (Kind::MoneyNotConserved, |_, s| {
            let amount = s.refunds[0].shopper_amount.as_mut();
            amount.expect("a refund has an amount").minor_units += 1;
        }),
        (Kind::UnitsNotConserved, |_, s| s.allotments[0].held += 1),
        (Kind::UnitsNotConserved, |_, s| {
            s.allotments[0].available += 1;
            s.allotments[0].supplied += 1;
        }),
        (Kind::UnitsNotConserved, |_, s| {
            s.allotments[0].available -= 1;
            s.allotments[0].sold += 1;
        }),
        (Kind::MovementLost, |_, s| {
            let top_up = contracts::order::v1::MovementKind::TopUp as i32;
            let last = s.movements.iter().rposition(|m| m.kind == top_up);
            s.movements.remove(last.expect("something was topped up"));
        }),
        (Kind::StopIgnored, |f, _| {
            // As if the last that was sold had been stopped all the time.
            let sold = f.calls.iter().rev().find_map(|made| match &made.call {
                Call::Place { lines, .. } if made.acknowledged.is_some() => {
                    Some(lines[0].0.clone())
                }
                _ => None,
            });
            let answer = Answer::Stopped {
                stop: "stop".into(),
            };
            f.calls.push(check::Made {
                call: Call::Stop {
                    listing: sold.expect("something was sold"),
                    key: "stop".into(),
                },
                intended_at: 0,
                acknowledged: Some((0, answer)),
                refused: None,
                tries: 1,
            });
        }),
        (Kind::HoldBroken, |_, s| {
            s.expired.values_mut().for_each(|at| *at -= 60_000_000);
        }),
        (Kind::ChangeLost, |_, s| {
            for order in &mut s.orders {
                order.has_contact = false;
            }
        }),
        (Kind::ChangeLost, |_, s| {
            let extended = contracts::order::v1::OrderChange::HoldExtended as i32;
            s.changes.retain(|(_, change)| *change != extended);
        }),
        (Kind::ParcelDoubled, |_, s| {
            let twin = s.shipments[0].clone();
            s.shipments.push(twin);
        }),
        (Kind::ParcelLost, |_, s| s.shipments[0].events.clear()),
        (Kind::EffectMissedOrDoubled, |_, s| {
            s.fulfillments.pop();
        }),
        (Kind::EffectMissedOrDoubled, |_, s| {
            let twin = s.fulfillments[0].clone();
            s.fulfillments.push(twin);
        }),
        (Kind::EffectMissedOrDoubled, |_, s| {
            let line = s.fulfillments.iter_mut().flat_map(|f| &mut f.lines).next();
            let counted = line.and_then(|l| l.quantities.as_mut());
            counted.expect("a fulfilment has lines").shipped += 1;
        }),
        (Kind::ReturnLost, |_, s| {
            s.returns.clear();
        }),
        (Kind::ReturnLost, |_, s| {
            let restock = contracts::order::v1::MovementKind::Restock as i32;
            let twin = s.movements.iter().find(|m| m.kind == restock);
            let twin = twin.expect("something came back").clone();
            s.movements.push(twin);
        }),
        (Kind::ProductLost, |_, s| {
            s.products.pop();
        }),
        (Kind::MirrorWrong, |_, s| {
            let mirror = s.tables.listings.get_mut("order").expect("a mirror");
            mirror.values_mut().for_each(|state| state.push('x'));
        }),
        (Kind::QuestionLost, |_, s| {
            let twin = s.questions[0].clone();
            s.questions.push(twin);
        }),
        (Kind::LikesWrong, |_, s| {
            s.likes.values_mut().for_each(|likes| *likes -= 1)
        }),
        (Kind::FeedGap, |_, s| {
            s.feeds.get_mut("room").expect("a feed").remove(0);
        }),
        (Kind::FeedGap, |_, s| {
            s.tables.feeds.get_mut("catalog").expect("a feed")[1] -= 1
        }),
        (Kind::FeedGap, |_, s| {
            s.tables.audits.get_mut("order").expect("an audit")[1] -= 1
        }),
        (Kind::FeedGap, |_, s| {
            s.tables
                .partner_feeds
                .values_mut()
                .for_each(|feed| feed[0] -= 1);
        }),
        (Kind::ConsumerWrong, |_, s| {
            s.tables.cursors.values_mut().for_each(|at| *at -= 1)
        }),
        (Kind::ConsumerWrong, |_, s| {
            s.tables.parked.values_mut().for_each(|n| *n += 1)
        }),
    ]
}

/// Damage in the tables themselves, and what all of it together must be seen as.
const TABLES: [(&str, &str, Kind); 9] = [
    (
        "order",
        "DELETE FROM orders WHERE order_id = (SELECT order_id FROM orders ORDER BY order_id LIMIT 1)",
        Kind::OrderLost,
    ),
    (
        "order",
        "DELETE FROM payment WHERE payment_id = (SELECT payment_id FROM payment ORDER BY payment_id LIMIT 1)",
        Kind::PaymentDoubled,
    ),
    (
        "order",
        "UPDATE allotment SET available = available + 1, supplied = supplied + 1",
        Kind::UnitsNotConserved,
    ),
    (
        "order",
        "UPDATE orders SET refund_due = refund_due + 1",
        Kind::MoneyNotConserved,
    ),
    (
        "fulfillment",
        "DELETE FROM fulfillment WHERE order_id = (SELECT order_id FROM fulfillment ORDER BY order_id DESC LIMIT 1)",
        Kind::EffectMissedOrDoubled,
    ),
    (
        "fulfillment",
        "DELETE FROM tracking_event",
        Kind::ParcelLost,
    ),
    (
        "catalog",
        "DELETE FROM feed WHERE position = 3",
        Kind::FeedGap,
    ),
    ("room", "DELETE FROM question", Kind::QuestionLost),
    (
        "room",
        "UPDATE listing SET state = 'ENDED'",
        Kind::MirrorWrong,
    ),
];

/// Damages the files of the stopped suite, starts it again and checks.
fn tables(world: &mut World, facts: &Facts) -> anyhow::Result<()> {
    world.kill(0)?;
    let data_dir = world.data_dir();
    crate::runtime()?.block_on(async {
        for (service, statement, _) in TABLES {
            damage(&file(&data_dir, service), statement)
                .await
                .with_context(|| format!("{service}: {statement}"))?;
        }
        anyhow::Ok(())
    })?;
    world.start(0)?;
    world.until_ready(0)?;
    let place = place(world);
    // Not settled first: what is damaged may never come to rest.
    let state = crate::runtime()?.block_on(check::state(&place, &facts.world))?;
    let found = compare(facts, &state).kinds();
    for (service, statement, kind) in TABLES {
        if !found.contains(&kind) {
            bail!("{service}: {statement}: not seen as {kind:?}; seen were {found:?}");
        }
    }
    Ok(())
}

fn file(data_dir: &Path, service: &str) -> PathBuf {
    data_dir.join(format!("{service}.db"))
}

async fn damage(file: &Path, statement: &'static str) -> anyhow::Result<()> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(false);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    // The tables themselves refuse most of this.
    connection
        .execute("PRAGMA ignore_check_constraints = ON")
        .await?;
    let done = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
        .await?;
    if done.rows_affected() == 0 {
        bail!("there was nothing to damage");
    }
    Ok(connection.close().await?)
}
