//! The ledger: what is in it, who sees what of it, that it never changes, and orders that are older than it.

use std::collections::BTreeMap;

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use kit::errors::Fault;
use order::model::rate::Day;
use order::ops::ledger::CatchUpLedger;
use store::{Engine, sql};
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::money::{authorise, care};
use crate::progress::{Apply, Line, entry};
use crate::refunds::{claims, refunds, report, reported};
use crate::world::{Clients, PRICE, World, fields, refused, setup};

pub type Accounts = BTreeMap<i32, i64>;

/// What is on an account.
pub fn moved(accounts: &Accounts, account: pb::LedgerAccount) -> i64 {
    accounts.get(&i32::from(account)).copied().unwrap_or(0)
}

async fn balances(clients: &mut Clients, order_id: &str) -> Vec<pb::LedgerBalance> {
    let request = pb::GetLedgerBalanceRequest {
        order_id: order_id.into(),
        ..Default::default()
    };
    let found = clients.ledger.get_ledger_balance(request).await;
    found.expect("balances").into_inner().balances
}

pub async fn lines(clients: &mut Clients, order_id: &str) -> Vec<pb::LedgerLine> {
    let request = pb::ListLedgerLinesRequest {
        order_id: order_id.into(),
        page_size: 200,
        ..Default::default()
    };
    let found = clients.ledger.list_ledger_lines(request).await;
    found.expect("lines").into_inner().lines
}

fn minor(amount: &Option<contracts::common::v1::Money>) -> i64 {
    amount.as_ref().expect("an amount").minor_units
}

/// What is on an order's accounts, after a look that all of it makes sense: every line moves something, accounts sum to
/// zero, and the order counts what the ledger says.
pub async fn balanced(world: &World, order_id: &str) -> Accounts {
    let mut finance = world.retailer(RetailerRole::Finance);
    let mut accounts = Accounts::new();
    for balance in balances(&mut finance, order_id).await {
        assert_eq!(
            minor(&balance.debit) - minor(&balance.credit),
            minor(&balance.balance)
        );
        accounts.insert(balance.account, minor(&balance.balance));
    }
    assert_eq!(accounts.values().sum::<i64>(), 0);
    let mut from_lines = Accounts::new();
    let mut executed = 0;
    for line in lines(&mut finance, order_id).await {
        let amount = minor(&line.amount);
        assert!(amount > 0);
        *from_lines.entry(line.credit_account).or_default() -= amount;
        *from_lines.entry(line.debit_account).or_default() += amount;
        let to_shopper = line.credit_account() == pb::LedgerAccount::PartnerHeld;
        if line.step() == pb::LedgerStep::RefundExecuted && to_shopper {
            executed += amount;
        }
    }
    assert_eq!(from_lines, accounts);
    let order = world.get(order_id).await;
    assert_eq!(
        -moved(&accounts, pb::LedgerAccount::RefundsDue),
        minor(&order.refund_due)
    );
    assert_eq!(executed, minor(&order.refunded));
    accounts
}

/// Everything of an order's entries but when their ids were made.
fn content(lines: &[pb::LedgerLine]) -> Vec<String> {
    let mut content: Vec<String> = lines
        .iter()
        .map(|line| {
            let line = pb::LedgerLine {
                ledger_entry_id: String::new(),
                ..line.clone()
            };
            format!("{line:?}")
        })
        .collect();
    content.sort();
    content
}

on_both_engines! {
    setup: setup();

    async fn every_movement_is_in_it_and_partners_see_their_side(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2), (2, 1)]).await;
        let accounts = balanced(&world, &placed.order_id).await;
        // A tax of 20 % is included: 663 of two, 332 of one.
        assert_eq!((moved(&accounts, pb::LedgerAccount::PartnerHeld), moved(&accounts, pb::LedgerAccount::Tax)), (3 * PRICE, -995));
        assert_eq!(moved(&accounts, pb::LedgerAccount::Sales), 995 - 3 * PRICE);
        // A second payment paid nothing.
        let again = world.payment(1, &placed.order_id, "again", 70);
        world.pay(&again).await;
        let accounts = balanced(&world, &placed.order_id).await;
        assert_eq!((moved(&accounts, pb::LedgerAccount::Unapplied), moved(&accounts, pb::LedgerAccount::RefundsDue)), (0, -70));
        let mut partner = world.partner(1);
        let seen = balances(&mut partner, &placed.order_id).await;
        let seen: Vec<(pb::LedgerAccount, i64)> = seen.iter().map(|seen| (seen.account(), minor(&seen.balance))).collect();
        assert_eq!(seen, [
            (pb::LedgerAccount::PartnerHeld, 3 * PRICE + 70),
            (pb::LedgerAccount::RefundsDue, -70),
            (pb::LedgerAccount::RetailerBooks, -3 * PRICE),
        ]);
        let own = lines(&mut partner, &placed.order_id).await;
        assert_eq!(own.iter().filter(|line| line.r#type() == pb::LedgerLineType::Gross).count(), 2);
        assert!(own.iter().all(|line| line.r#type() != pb::LedgerLineType::Tax));
        assert_eq!(own[0].order_line_id, placed.lines[0].order_line_id);
        let theirs = pb::ListLedgerLinesRequest { order_id: placed.order_id.clone(), ..Default::default() };
        refused(world.partner(2).ledger.list_ledger_lines(theirs).await, "NOT_FOUND", Code::NotFound);
        let theirs = pb::GetLedgerBalanceRequest { order_id: placed.order_id.clone(), ..Default::default() };
        refused(world.partner(2).ledger.get_ledger_balance(theirs).await, "NOT_FOUND", Code::NotFound);
        let none = pb::ListLedgerLinesRequest::default();
        let status = refused(partner.ledger.list_ledger_lines(none).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["start_date", "end_date"]);

        // Page by page it is the same.
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListLedgerLinesRequest {
                order_id: placed.order_id.clone(), page_size: 1, page_token: token, ..Default::default()
            };
            let page = partner.ledger.list_ledger_lines(request).await.expect("a page").into_inner();
            paged.extend(page.lines);
            token = page.next_page_token;
            if token.is_empty() { break; }
        }
        assert_eq!(paged, own);
    }

    async fn its_days_agree_with_the_report_of_sales(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let midnight = Day::of(world.now()).plus(1).start();
        world.advance(midnight - world.now());
        let paid = world.paid("o-1", &[(1, 2)]).await;
        world.paid("o-2", &[(2, 3)]).await;
        world.advance(std::time::Duration::from_secs(86_400));
        world.t.execute(Apply(entry(&paid, &[Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        care(&world).refunds.authorise_refund(authorise("a-1", &paid.order_id, 100)).await.expect("made");
        let refund = refunds(&world, &paid.order_id).await.remove(0);
        let said = claims(&world, &refund, "ref");
        reported(&world, report("r-1", &refund, &said)).await;
        let (start_date, end_date) = (Day::of(midnight).to_string(), Day::of(world.now()).to_string());
        let mut finance = world.retailer(RetailerRole::Finance);
        let sales = finance.reports.summarize_sales(pb::SummarizeSalesRequest {
            start_date: start_date.clone(), end_date: end_date.clone(), ..Default::default()
        }).await.expect("a report").into_inner();
        let ledger = finance.ledger.get_ledger_balance(pb::GetLedgerBalanceRequest {
            start_date, end_date, ..Default::default()
        }).await.expect("balances").into_inner().balances;
        for row in &sales.rows {
            let amounts = row.amounts.as_ref().expect("amounts");
            let of = |account: pb::LedgerAccount| {
                let own = ledger.iter().find(|own| own.date == row.date && own.account() == account);
                own.map_or((0, 0), |own| (minor(&own.debit), minor(&own.credit)))
            };
            assert_eq!(of(pb::LedgerAccount::PartnerHeld), (minor(&amounts.payable), minor(&amounts.refund_executed_shopper)));
            let due = of(pb::LedgerAccount::RefundsDue);
            assert_eq!(due, (minor(&amounts.refund_executed_shopper), minor(&amounts.refund_due_shopper)));
        }
        assert_eq!(sales.rows.len(), 2);
        let sum: i64 = ledger.iter().map(|own| minor(&own.balance)).sum();
        assert_eq!(sum, 0);
        // A partner's days are its own.
        let date = Day::of(world.now()).to_string();
        let own = pb::GetLedgerBalanceRequest { start_date: date.clone(), end_date: date.clone(), ..Default::default() };
        assert_eq!(world.partner(1).ledger.get_ledger_balance(own.clone()).await.expect("its own").into_inner().balances.len(), 3);
        assert!(world.partner(2).ledger.get_ledger_balance(own).await.expect("nothing").into_inner().balances.is_empty());
        let listed = pb::ListLedgerLinesRequest { start_date: date.clone(), end_date: date, ..Default::default() };
        let listed = finance.ledger.list_ledger_lines(listed).await.expect("lines").into_inner().lines;
        assert!(!listed.is_empty() && listed.iter().all(|line| line.order_id == paid.order_id));
    }

    async fn it_never_changes(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        world.paid("o-1", &[(1, 1)]).await;
        macro_rules! refuses {
            ($text:literal) => {{
                let broken = op("break", |tx| Box::pin(async move {
                    sql!(tx, execute, $text)?;
                    Ok(())
                }));
                let fault = world.t.execute(broken).await.expect_err($text);
                assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            }};
        }
        refuses!("UPDATE ledger_entry SET goods = goods + 1");
        refuses!("DELETE FROM ledger_entry");
        refuses!("UPDATE payment SET charged_back = amount + 1");
        refuses!("UPDATE payment SET charged_back = 1, refunded = amount");
    }

    async fn orders_older_than_it_get_their_entries(t: TestDb) {
        let world = World::start(t).await;
        world.stock(30).await;
        let placed = world.paid("o-1", &[(1, 3), (2, 2)]).await;
        let pending = world.place("o-2", &[(1, 1)]).await;
        world.pay(&world.payment(1, &pending.order_id, "short", 5)).await;
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, ..Line::default() }, Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 2, ..Line::default() }, Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        let refund = refunds(&world, &placed.order_id).await.remove(0);
        let said = claims(&world, &refund, "ref");
        reported(&world, report("r-1", &refund, &said)).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let before = [lines(&mut finance, &placed.order_id).await, lines(&mut finance, &pending.order_id).await];

        // As it was before there was a ledger: no entries, refunds without parts, and the orders in the backlog.
        let forget = op("forget", |tx| Box::pin(async move {
            match tx.engine() {
                Engine::Sqlite => {
                    sql!(tx, execute, "DROP TRIGGER ledger_entry_never_goes")?;
                    sql!(tx, execute, "DELETE FROM ledger_entry")?;
                    sql!(tx, execute, "UPDATE refund SET lines = (SELECT COALESCE(json_group_array(json_remove(value, '$.parts')), '[]') FROM json_each(refund.lines))")?;
                }
                Engine::Postgres => {
                    sql!(tx, execute, "TRUNCATE ledger_entry")?;
                    sql!(tx, execute, "UPDATE refund SET lines = COALESCE((SELECT json_agg(value::jsonb - 'parts')::TEXT FROM json_array_elements(lines::json)), '[]')")?;
                }
            }
            sql!(tx, execute, "INSERT INTO ledger_backlog (order_id) SELECT DISTINCT order_id FROM payment")?;
            Ok(())
        }));
        // No service may empty a table.
        let owner = world.t.as_owner().await;
        owner.execute(&world.t.caller(), forget).await.expect("forgotten");
        assert!(lines(&mut finance, &placed.order_id).await.is_empty());
        // The task may be cut off after any page, and begin again.
        assert_eq!(world.t.execute(CatchUpLedger { orders_max: 1 }).await.expect("one"), 1);
        assert_eq!(world.t.execute(CatchUpLedger { orders_max: 10 }).await.expect("the rest"), 1);
        assert_eq!(world.t.execute(CatchUpLedger { orders_max: 10 }).await.expect("none"), 0);
        let after = [lines(&mut finance, &placed.order_id).await, lines(&mut finance, &pending.order_id).await];
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(content(before), content(after));
        }
        // And whoever is faster than the task finds them as well.
        let third = world.paid("o-3", &[(1, 2)]).await;
        owner.execute(&world.t.caller(), op("forget", |tx| Box::pin(async move {
            match tx.engine() {
                Engine::Sqlite => sql!(tx, execute, "DELETE FROM ledger_entry")?,
                Engine::Postgres => sql!(tx, execute, "TRUNCATE ledger_entry")?,
            };
            Ok(())
        }))).await.expect("forgotten");
        care(&world).refunds.authorise_refund(authorise("a-1", &third.order_id, 2 * PRICE)).await.expect("made");
        balanced(&world, &third.order_id).await;
        let more = care(&world).refunds.authorise_refund(authorise("a-2", &placed.order_id, 4 * PRICE)).await;
        refused(more, "OVER_QUANTITY", Code::FailedPrecondition);
    }
}
