//! What must hold after the sale: the ledger balances line by line and says what the platforms' books say, nothing goes
//! back that was not paid, and whatever is open says who is to do what.

use std::collections::{BTreeMap, BTreeSet};

use contracts::fulfillment::v1 as care;
use contracts::order::v1 as pb;

use super::books::date;
use super::{Checks, Day, line_amount, units, was_paid};
use crate::demo::client::Caller;
use crate::demo::goods::PARTNERS;
use crate::demo::now_proto;
use crate::demo::report::Report;
use crate::demo::world::ask;

/// Pages of a list that are read at most; more would be a loop.
const PAGES: usize = 100_000;

/// Order and line (empty for the order as a whole), and currency.
type LineKey = (String, String, String);

/// What the ledger moved of one order line in one currency.
#[derive(Default)]
struct Moved {
    accounts: BTreeMap<i32, i64>,
    entries: BTreeSet<String>,
}

impl Moved {
    fn on(&self, account: pb::LedgerAccount) -> i64 {
        self.accounts.get(&i32::from(account)).copied().unwrap_or(0)
    }

    fn add(&mut self, line: pb::LedgerLine) {
        let amount = units(line.amount.as_ref());
        *self.accounts.entry(line.credit_account).or_default() -= amount;
        *self.accounts.entry(line.debit_account).or_default() += amount;
        self.entries.insert(line.ledger_entry_id);
    }

    /// Whether it balances, and nothing is left that somebody is still to pay, return or decide.
    fn is_settled(&self) -> bool {
        let open = [
            pb::LedgerAccount::RefundsDue,
            pb::LedgerAccount::SubsidyDue,
            pb::LedgerAccount::ChargebacksOpen,
            pb::LedgerAccount::CompensationsDue,
        ];
        self.accounts.values().sum::<i64>() == 0 && open.iter().all(|at| self.on(*at) == 0)
    }
}

impl Day<'_> {
    /// Of each payment and of each partner's discount no more goes back than there was, whoever decided on it, and what
    /// a bank took is not refunded as well.
    pub(super) fn refunds_stay_within_payments(&self, checks: &mut Checks, report: &mut Report) {
        let mut left: BTreeMap<&str, i64> = BTreeMap::new();
        for payment in &self.facts.payments {
            left.insert(&payment.payment_id, units(payment.amount.as_ref()));
        }
        let mut subsidy: BTreeMap<&str, i64> = BTreeMap::new();
        for order in self.facts.orders.values().filter(|o| was_paid(o)) {
            let lines = order.lines.iter().map(line_amount);
            let funded = lines.map(|a| units(a.partner_discount.as_ref())).sum();
            subsidy.insert(&order.order_id, funded);
        }
        for refund in &self.facts.refunds {
            *left.entry(&refund.payment_id).or_default() -= units(refund.shopper_amount.as_ref());
            *subsidy.entry(&refund.order_id).or_default() -= units(refund.partner_amount.as_ref());
        }
        for taken in &self.done.charged_back {
            let paid =
                self.facts.payments.iter().find(|p| {
                    p.order_id == taken.order_id && p.outcome() == pb::PaymentOutcome::Paid
                });
            let payment = paid.map_or("", |p| p.payment_id.as_str());
            *left.entry(payment).or_default() -= taken.minor_units;
        }
        let below = |sums: &BTreeMap<&str, i64>| sums.values().filter(|n| **n < 0).count() as u64;
        report.refunds_above_paid = below(&left) + below(&subsidy);
        checks.that(report.refunds_above_paid == 0, || {
            format!(
                "{} times more went back than was paid",
                report.refunds_above_paid
            )
        });
    }

    /// The ledger of every platform, order line by order line, against its own books.
    pub(super) async fn the_ledger_agrees(
        &self,
        checks: &mut Checks,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut held = self.held_by_books();
        for partner in &self.world.partners {
            let mut lines = 0;
            let moved = ledger(&self.world.finance, &partner.partner_id, &mut lines).await?;
            report.ledger_lines += lines;
            for (key, moved) in moved {
                let ours = held.remove(&key).unwrap_or(0);
                let there = moved.on(pb::LedgerAccount::PartnerHeld);
                let agrees = moved.is_settled() && there == ours;
                report.ledger_unbalanced += u64::from(!agrees);
                checks.that(agrees, || {
                    format!(
                        "{} {} {}: the ledger has {:?} in {} entries, the platform's books {ours}",
                        key.0,
                        key.1,
                        key.2,
                        moved.accounts,
                        moved.entries.len()
                    )
                });
            }
        }
        held.retain(|_, amount| *amount != 0);
        report.ledger_unbalanced += held.len() as u64;
        checks.that(held.is_empty(), || {
            format!("the ledger has nothing of {held:?}")
        });
        Ok(())
    }

    /// What platforms hold of each order line, by what they charged, paid back, lost to banks and paid out.
    fn held_by_books(&self) -> BTreeMap<LineKey, i64> {
        let mut held: BTreeMap<LineKey, i64> = BTreeMap::new();
        let mut currency_of: BTreeMap<&str, &str> = BTreeMap::new();
        for (partner, plan) in self.world.partners.iter().zip(&PARTNERS) {
            currency_of.insert(&partner.partner_id, plan.currency);
        }
        let mut add = |order_id: &str, line_id: &str, amount: i64| {
            let order = self.facts.orders.get(order_id);
            let currency = order.and_then(|o| currency_of.get(o.partner_id.as_str()));
            let key = (
                order_id.to_owned(),
                line_id.to_owned(),
                currency.copied().unwrap_or_default().to_owned(),
            );
            *held.entry(key).or_default() += amount;
        };
        for order in self.facts.orders.values().filter(|o| was_paid(o)) {
            for line in &order.lines {
                let payable = units(line_amount(line).payable.as_ref());
                add(&order.order_id, &line.order_line_id, payable);
            }
        }
        for payment in &self.facts.payments {
            if payment.outcome() != pb::PaymentOutcome::Paid {
                add(&payment.order_id, "", units(payment.amount.as_ref()));
            }
        }
        for refund in &self.facts.refunds {
            if refund.line_amounts.is_empty() {
                let whole = units(refund.shopper_amount.as_ref());
                add(&refund.order_id, "", -whole);
            }
            for line in &refund.line_amounts {
                let part = units(line.shopper_amount.as_ref());
                add(&refund.order_id, &line.order_line_id, -part);
            }
        }
        for taken in self.done.taken() {
            add(&taken.order_id, &taken.order_line_id, -taken.minor_units);
        }
        held
    }

    /// Every matter and every case of the day that is not over says whose turn it is, for what and until when.
    pub(super) async fn open_matters_say_what_is_next(
        &self,
        checks: &mut Checks,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        for partner in &self.world.partners {
            for matter in matters(&partner.caller).await? {
                let over = matches!(
                    matter.state(),
                    care::AftersaleState::Resolved
                        | care::AftersaleState::Rejected
                        | care::AftersaleState::Withdrawn
                        | care::AftersaleState::Expired
                );
                let next = matter.next_action.is_some_and(|next| {
                    next.deadline.is_some()
                        && next.action() != care::AftersaleAction::Unspecified
                        && next.party() != care::AftersaleParty::Unspecified
                });
                one_matter(checks, report, &matter.aftersale_id, over, next);
            }
            for case in cases(&partner.caller).await? {
                let over = case.state() == care::CaseState::Closed;
                let next = case.next_action.is_some_and(|next| {
                    next.deadline.is_some()
                        && next.action() != care::CaseActionKind::Unspecified
                        && next.party() != care::CaseParty::Unspecified
                });
                one_matter(checks, report, &case.case_id, over, next);
            }
        }
        Ok(())
    }
}

fn one_matter(checks: &mut Checks, report: &mut Report, id: &str, over: bool, next: bool) {
    report.matters_open += u64::from(!over);
    report.matters_without_next_action += u64::from(!over && !next);
    checks.that(over != next, || {
        format!("{id}: over is {over}, and whether somebody is to do something is {next}")
    });
}

/// All that the ledger moved of a partner's orders, yesterday and today.
async fn ledger(
    finance: &Caller,
    partner_id: &str,
    lines: &mut u64,
) -> anyhow::Result<BTreeMap<LineKey, Moved>> {
    let today = now_proto().seconds;
    let mut moved: BTreeMap<LineKey, Moved> = BTreeMap::new();
    let mut page_token = String::new();
    for _ in 0..PAGES {
        let request = pb::ListLedgerLinesRequest {
            partner_id: partner_id.to_owned(),
            start_date: date(today - 86_400),
            end_date: date(today),
            page_size: 200,
            page_token,
            ..Default::default()
        };
        let page = ask!(
            "the ledger could not be read",
            finance,
            ledger.list_ledger_lines(request)
        )?;
        *lines += page.lines.len() as u64;
        for line in page.lines {
            let currency = line.amount.as_ref().map(|m| m.currency_code.clone());
            let key = (
                line.order_id.clone(),
                line.order_line_id.clone(),
                currency.unwrap_or_default(),
            );
            moved.entry(key).or_default().add(line);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(moved)
}

async fn matters(partner: &Caller) -> anyhow::Result<Vec<care::Aftersale>> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let request = care::ListAftersalesRequest {
            page_size: 200,
            page_token,
            ..Default::default()
        };
        let page = ask!(
            "matters could not be read",
            partner,
            aftersales.list_aftersales(request)
        )?;
        found.extend(page.aftersales);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

async fn cases(partner: &Caller) -> anyhow::Result<Vec<care::CareCase>> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let request = care::ListCasesRequest {
            page_size: 200,
            page_token,
            ..Default::default()
        };
        let page = ask!("cases could not be read", partner, care.list_cases(request))?;
        found.extend(page.cases);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}
