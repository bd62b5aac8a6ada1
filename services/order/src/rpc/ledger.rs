//! The ledger, to be read.

use std::sync::Arc;

use contracts::id::{OrderId, PartnerId};
use contracts::money::Money;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, after, bound_to, listed_partner, rate};
use crate::model::ledger::{self, Account, LedgerStep, LineType};
use crate::model::rate::Day;
use crate::ops::ledger::{BalanceLedger, LedgerItem, ListLedger};
use crate::store::ledger::LedgerRange;

/// What both reads ask for.
struct Asked<'a> {
    partner_id: &'a str,
    order_id: &'a str,
    start_date: &'a str,
    end_date: &'a str,
}

impl Api {
    pub(super) async fn list_ledger_lines(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListLedgerLinesRequest,
    ) -> Result<pb::ListLedgerLinesResponse, Fault> {
        let asked = Asked {
            partner_id: &request.partner_id,
            order_id: &request.order_id,
            start_date: &request.start_date,
            end_date: &request.end_date,
        };
        let range = self.ledger_range(caller, &asked)?;
        let query = format!(
            "ledger|{}|{}|{}|{}",
            range.partner_id.map(String::from).unwrap_or_default(),
            request.order_id,
            request.start_date,
            request.end_date
        );
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListLedger {
            range,
            after: after(&page)?,
            limit: page.limit(),
        };
        let entries = self.db.read(caller, list).await?;
        let (entries, next_page_token) =
            page.cut(entries, |entry| vec![entry.entry_id.to_string()]);
        let for_partner = bound_to(caller)?.is_some();
        Ok(pb::ListLedgerLinesResponse {
            lines: entries
                .iter()
                .flat_map(|entry| rendered(entry, for_partner))
                .collect(),
            next_page_token,
        })
    }

    pub(super) async fn get_ledger_balance(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetLedgerBalanceRequest,
    ) -> Result<pb::GetLedgerBalanceResponse, Fault> {
        let asked = Asked {
            partner_id: &request.partner_id,
            order_id: &request.order_id,
            start_date: &request.start_date,
            end_date: &request.end_date,
        };
        let balance = BalanceLedger {
            range: self.ledger_range(caller, &asked)?,
            for_partner: bound_to(caller)?.is_some(),
            rows_max: self.config.report_rows_max.into(),
        };
        let of_order = balance.range.order_id.is_some();
        let (balances, time) = self.db.read(caller, balance).await?;
        let money = |code: &str, minor_units| {
            Some(contracts::common::v1::Money {
                currency_code: code.to_owned(),
                minor_units,
            })
        };
        Ok(pb::GetLedgerBalanceResponse {
            balances: balances
                .iter()
                .map(|((day, code, at), moved)| pb::LedgerBalance {
                    date: match of_order {
                        true => String::new(),
                        false => Day(*day).to_string(),
                    },
                    account: account(*at).into(),
                    debit: money(code, moved.debit),
                    credit: money(code, moved.credit),
                    balance: money(code, moved.balance()),
                })
                .collect(),
            report_time: Some(time.to_proto()),
        })
    }

    /// One order, or a bounded range of days.
    fn ledger_range(&self, caller: &Caller, asked: &Asked<'_>) -> Result<LedgerRange, Fault> {
        let mut v = Violations::new();
        let partner: Option<PartnerId> = v.opt_id("partner_id", asked.partner_id);
        let order_id: Option<OrderId> = v.opt_id("order_id", asked.order_id);
        let (mut start, mut end) = (Micros(0), Micros(0));
        if asked.order_id.is_empty() {
            let first = rate::day(&mut v, "start_date", asked.start_date);
            let last = rate::day(&mut v, "end_date", asked.end_date);
            if let (Some(first), Some(last)) = (first, last) {
                let most = i64::from(self.config.report_days_max);
                if last < first {
                    v.add("end_date", "must not be before start_date.");
                } else if last.0 - first.0 >= most {
                    v.add("end_date", format!("must make {most} days at the most."));
                }
                (start, end) = (first.start(), last.plus(1).start());
            }
        } else if !asked.start_date.is_empty() || !asked.end_date.is_empty() {
            v.add(
                "start_date",
                "must be empty when order_id is set, and so must end_date.",
            );
        }
        v.finish()?;
        Ok(LedgerRange {
            partner_id: listed_partner(caller, partner)?,
            order_id,
            start,
            end,
        })
    }
}

fn rendered(entry: &LedgerItem, for_partner: bool) -> Vec<pb::LedgerLine> {
    let mut lines = entry.lines.clone();
    if for_partner {
        lines = ledger::for_partner(lines);
    }
    lines
        .into_iter()
        .map(|moved| pb::LedgerLine {
            ledger_entry_id: entry.entry_id.into(),
            order_id: entry.order_id.into(),
            order_line_id: entry.line.map(String::from).unwrap_or_default(),
            partner_id: entry.partner_id.into(),
            step: entry.step.map_or(pb::LedgerStep::Adjusted, step).into(),
            r#type: line_type(moved.line_type).into(),
            credit_account: account(moved.credit).into(),
            debit_account: account(moved.debit).into(),
            amount: Some(Money::new(entry.currency, moved.amount).to_proto()),
            source_id: entry.source_id.clone(),
            reversed_entry_id: entry.reverses.map(String::from).unwrap_or_default(),
            record_time: Some(entry.record_time.to_proto()),
            adjusted_entry_id: entry.adjusts.map(String::from).unwrap_or_default(),
        })
        .collect()
}

fn step(step: LedgerStep) -> pb::LedgerStep {
    match step {
        LedgerStep::Sale => pb::LedgerStep::Sale,
        LedgerStep::Unapplied => pb::LedgerStep::Unapplied,
        LedgerStep::RefundAuthorised => pb::LedgerStep::RefundAuthorised,
        LedgerStep::RefundExecuted => pb::LedgerStep::RefundExecuted,
        LedgerStep::RefundWithdrawn => pb::LedgerStep::RefundWithdrawn,
        LedgerStep::ChargebackOpened => pb::LedgerStep::ChargebackOpened,
        LedgerStep::ChargebackWon => pb::LedgerStep::ChargebackWon,
        LedgerStep::ChargebackLost => pb::LedgerStep::ChargebackLost,
        LedgerStep::CompensationAuthorised => pb::LedgerStep::CompensationAuthorised,
        LedgerStep::CompensationPartnerPaid => pb::LedgerStep::CompensationPartnerPaid,
        LedgerStep::CompensationRetailerPaid => pb::LedgerStep::CompensationRetailerPaid,
    }
}

fn line_type(of: LineType) -> pb::LedgerLineType {
    match of {
        LineType::Gross => pb::LedgerLineType::Gross,
        LineType::RetailerDiscount => pb::LedgerLineType::RetailerDiscount,
        LineType::PartnerDiscount => pb::LedgerLineType::PartnerDiscount,
        LineType::Shipping => pb::LedgerLineType::Shipping,
        LineType::Tax => pb::LedgerLineType::Tax,
        LineType::Refund => pb::LedgerLineType::Refund,
        LineType::Compensation => pb::LedgerLineType::Compensation,
        LineType::Chargeback => pb::LedgerLineType::Chargeback,
        LineType::Adjustment => pb::LedgerLineType::Adjustment,
        LineType::Unapplied => pb::LedgerLineType::Unapplied,
    }
}

pub(super) fn account(account: Account) -> pb::LedgerAccount {
    match account {
        Account::PartnerHeld => pb::LedgerAccount::PartnerHeld,
        Account::PartnerSubsidy => pb::LedgerAccount::PartnerSubsidy,
        Account::PartnerClaim => pb::LedgerAccount::PartnerClaim,
        Account::CreatorClaim => pb::LedgerAccount::CreatorClaim,
        Account::CarrierClaim => pb::LedgerAccount::CarrierClaim,
        Account::Sales => pb::LedgerAccount::Sales,
        Account::Discounts => pb::LedgerAccount::Discounts,
        Account::Shipping => pb::LedgerAccount::Shipping,
        Account::Tax => pb::LedgerAccount::Tax,
        Account::Unapplied => pb::LedgerAccount::Unapplied,
        Account::RefundsDue => pb::LedgerAccount::RefundsDue,
        Account::SubsidyDue => pb::LedgerAccount::SubsidyDue,
        Account::ChargebacksOpen => pb::LedgerAccount::ChargebacksOpen,
        Account::ChargebacksLost => pb::LedgerAccount::ChargebacksLost,
        Account::Compensations => pb::LedgerAccount::Compensations,
        Account::CompensationsDue => pb::LedgerAccount::CompensationsDue,
        Account::RetailerPaid => pb::LedgerAccount::RetailerPaid,
        Account::RetailerBooks => pb::LedgerAccount::RetailerBooks,
    }
}
