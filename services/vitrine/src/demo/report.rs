//! What the day came to, for people and for machines.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use comfy_table::{Cell, CellAlignment, Table, presets};
use contracts::money::Currency;
use serde::Serialize;

/// The figures of one day, as `--report` writes them.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub shoppers: u64,
    pub duration_ms: u64,
    pub drop_duration_ms: u64,
    pub units_supplied: i64,
    pub units_available: i64,
    pub units_held: i64,
    pub units_sold: i64,
    pub units_oversold: i64,
    pub orders_placed: u64,
    pub orders_paid: u64,
    pub orders_delivered: u64,
    pub orders_refund_due: u64,
    pub orders_expired: u64,
    pub orders_cancelled: u64,
    /// Orders of the drop that were paid.
    pub drop_orders: u64,
    /// What was paid for orders that went through, by currency.
    pub paid_minor_units: BTreeMap<String, i64>,
    /// What was paid in all, with what is to be paid back, by currency.
    pub charged_minor_units: BTreeMap<String, i64>,
    /// What platforms were told to pay back, by currency.
    pub refund_due_minor_units: BTreeMap<String, i64>,
    /// What they did pay back, by currency.
    pub refunded_minor_units: BTreeMap<String, i64>,
    pub refunds_executed: u64,
    /// Refunds whose first attempt failed.
    pub refunds_failed_first: u64,
    pub returns_completed: u64,
    /// Sales in the retailer's own shop that a deep link led to, and those undone.
    pub conversions: u64,
    pub conversions_reversed: u64,
    /// Disputes that an arbiter decided, offers that were taken, exchanges, and what platforms gave first.
    pub disputes_decided: u64,
    pub offers_taken: u64,
    pub exchanges_completed: u64,
    pub goodwill_refunds: u64,
    pub chargebacks_lost: u64,
    pub compensations_paid: u64,
    /// Corrections of the ledger that finance proposed and somebody else approved.
    pub ledger_adjustments: u64,
    /// What banks took back, by currency.
    pub charged_back_minor_units: BTreeMap<String, i64>,
    /// What shoppers were compensated with, by currency.
    pub compensated_minor_units: BTreeMap<String, i64>,
    /// Lines of the ledger that were read, and order lines (in a currency) that they do not balance for.
    pub ledger_lines: u64,
    pub ledger_unbalanced: u64,
    /// Payments of which more went back than was paid, and orders of whose partner's discount more did.
    pub refunds_above_paid: u64,
    /// Matters and cases that are open, and those of them that do not say who is to do what until when.
    pub matters_open: u64,
    pub matters_without_next_action: u64,
    pub second_act_ms: u64,
    /// The second act, scene by scene.
    pub second_act: Vec<Scene>,
    /// Times the channel went on to its next room.
    pub handovers: u64,
    pub timeline_segments: u64,
    pub feed_entries: u64,
    pub feed_gaps: u64,
    pub checks_made: u64,
    pub checks_failed: u64,
    /// The checks that failed, in words.
    pub failures: Vec<String>,
    pub ledger: Vec<LedgerRow>,
}

/// One scene of the second act, as it is told.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Scene {
    pub title: String,
    /// Whose order it is about, of what.
    pub about: String,
    pub lines: Vec<String>,
}

/// One room at one partner.
#[derive(Debug, Default, Clone, Serialize)]
pub struct LedgerRow {
    pub room: String,
    pub partner: String,
    pub currency: String,
    pub orders_paid: u64,
    pub units: i64,
    pub price: i64,
    pub discounts: i64,
    pub shipping_and_added_tax: i64,
    pub paid: i64,
    pub paid_back: i64,
    pub commission: i64,
    pub partner_owes: i64,
    pub views: i64,
    pub likes: i64,
    pub questions: i64,
}

/// Minor units as people write them: 1299.00 EUR, 4800 JPY.
pub fn amount(minor_units: i64, currency_code: &str) -> String {
    let exponent = currency_code
        .parse::<Currency>()
        .map_or(0, |c| u32::from(c.exponent()));
    if exponent == 0 {
        return grouped(minor_units);
    }
    let scale = 10_i64.pow(exponent);
    let sign = if minor_units < 0 { "-" } else { "" };
    let (whole, part) = ((minor_units / scale).abs(), (minor_units % scale).abs());
    format!(
        "{sign}{}.{part:0width$}",
        grouped(whole),
        width = exponent as usize
    )
}

fn grouped(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    if n < 0 { format!("-{out}") } else { out }
}

impl Report {
    /// The report as a JSON file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text =
            serde_json::to_string_pretty(self).context("the report could not be put into JSON")?;
        std::fs::write(path, text + "\n").with_context(|| {
            format!(
                "could not write the report to {}: choose a file in a folder that exists",
                path.display()
            )
        })
    }

    /// The second act, for people.
    fn told(&self) -> String {
        let mut out = String::new();
        for scene in &self.second_act {
            out.push_str(&format!("  {} — {}\n", scene.title, scene.about));
            for line in &scene.lines {
                out.push_str(&format!("    · {line}\n"));
            }
            out.push('\n');
        }
        out
    }

    /// The report as text for a terminal or a log.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
            "room",
            "partner",
            "orders",
            "units",
            "paid",
            "paid back",
            "commission",
            "partner owes",
            "views",
            "likes",
            "asked",
        ]);
        for row in &self.ledger {
            let money = |n: i64| amount(n, &row.currency);
            // The audience is one for all partners and stands in the room's first row.
            let shared = |n: i64| if n == 0 { String::new() } else { n.to_string() };
            let cells = [
                row.room.clone(),
                format!("{} {}", row.partner, row.currency)
                    .trim()
                    .to_owned(),
                row.orders_paid.to_string(),
                grouped(row.units),
                money(row.paid),
                money(row.paid_back),
                money(row.commission),
                money(row.partner_owes),
                shared(row.views),
                shared(row.likes),
                shared(row.questions),
            ];
            table.add_row(cells.map(Cell::new));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let money = |by_currency: &BTreeMap<String, i64>| {
            let parts: Vec<String> = by_currency
                .iter()
                .map(|(c, n)| format!("{} {c}", amount(*n, c)))
                .collect();
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(" + ")
            }
        };
        let mut out = format!("{table}\n\n");
        out.push_str(&self.told());
        let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<12} {value}\n"));
        line(
            "units",
            format!(
                "{} supplied = {} available + {} held + {} sold; {} oversold",
                grouped(self.units_supplied),
                grouped(self.units_available),
                grouped(self.units_held),
                grouped(self.units_sold),
                self.units_oversold
            ),
        );
        line(
            "orders",
            format!(
                "{} placed: {} paid ({} in the drop), {} expired, {} cancelled; {} delivered, {} with a refund due",
                self.orders_placed,
                self.orders_paid,
                self.drop_orders,
                self.orders_expired,
                self.orders_cancelled,
                self.orders_delivered,
                self.orders_refund_due
            ),
        );
        line("charged", money(&self.charged_minor_units));
        line("paid back", money(&self.refunded_minor_units));
        line("kept", money(&self.paid_minor_units));
        line(
            "after sale",
            format!(
                "{} returns completed, {} refunds executed, {} of them at the second attempt",
                self.returns_completed, self.refunds_executed, self.refunds_failed_first
            ),
        );
        line(
            "",
            format!(
                "{} decided disputes, {} offers taken, {} exchanges, {} refunds of goodwill",
                self.disputes_decided,
                self.offers_taken,
                self.exchanges_completed,
                self.goodwill_refunds
            ),
        );
        line(
            "bank",
            format!(
                "{} lost to {} chargebacks",
                money(&self.charged_back_minor_units),
                self.chargebacks_lost
            ),
        );
        line(
            "compensated",
            format!(
                "{} in {} compensations",
                money(&self.compensated_minor_units),
                self.compensations_paid
            ),
        );
        line(
            "ledger",
            format!(
                "{} lines, {} order lines out of balance, {} adjusted by finance",
                self.ledger_lines, self.ledger_unbalanced, self.ledger_adjustments
            ),
        );
        line(
            "open",
            format!(
                "{} matters and cases, {} without a next action",
                self.matters_open, self.matters_without_next_action
            ),
        );
        line(
            "own shop",
            format!(
                "{} sales by deep links, {} undone",
                self.conversions, self.conversions_reversed
            ),
        );
        line(
            "channel",
            format!(
                "{} hand-overs without a gap, {} segments in the timelines",
                self.handovers, self.timeline_segments
            ),
        );
        line(
            "feeds",
            format!(
                "{} entries read, {} gaps",
                self.feed_entries, self.feed_gaps
            ),
        );
        line(
            "time",
            format!(
                "{:.1} s, the drop {:.1} s, the second act {:.1} s",
                self.duration_ms as f64 / 1e3,
                self.drop_duration_ms as f64 / 1e3,
                self.second_act_ms as f64 / 1e3
            ),
        );
        line(
            "checks",
            format!("{} made, {} failed", self.checks_made, self.checks_failed),
        );
        for failure in &self.failures {
            out.push_str(&format!("  ✗ {failure}\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_the_currency() {
        assert_eq!(amount(2_305, "KWD"), "2.305");
        assert_eq!(amount(129_000, "EUR"), "1 290.00");
        assert_eq!(amount(-5, "EUR"), "-0.05");
        assert_eq!(amount(4_800, "JPY"), "4 800");
    }
}
