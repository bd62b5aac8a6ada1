//! Every cent that a platform charged is kept for goods or on its way back.

use std::collections::HashMap;

use contracts::order::v1 as pb;

use super::{Checks, Evening, counters, line_amount, units, was_paid};
use crate::demo::report::Report;

impl Evening<'_> {
    pub(super) fn money_is_conserved(&self, checks: &mut Checks, report: &mut Report) {
        let mut recorded: HashMap<(&str, &str), i64> = HashMap::new();
        for payment in &self.facts.payments {
            let key = (
                payment.order_id.as_str(),
                payment.payment_reference.as_str(),
            );
            let first = recorded
                .insert(key, units(payment.amount.as_ref()))
                .is_none();
            checks.that(first, || {
                format!(
                    "{}: payment {} is recorded twice",
                    payment.order_id, payment.payment_reference
                )
            });
        }
        let mut charged = 0;
        for charge in self.charges.iter().flatten() {
            let found =
                recorded.get(&(charge.order_id.as_str(), charge.payment_reference.as_str()));
            checks.that(found == Some(&charge.minor_units), || {
                format!(
                    "{}: charged {} as {}, recorded {found:?}",
                    charge.order_id, charge.minor_units, charge.payment_reference
                )
            });
            *report
                .charged_minor_units
                .entry(charge.currency_code.clone())
                .or_default() += charge.minor_units;
            charged += 1;
        }
        checks.that(recorded.len() == charged, || {
            format!("{charged} charges, but {} payments", recorded.len())
        });
        let mut refunds: HashMap<&str, (i64, i64)> = HashMap::new();
        for refund in &self.facts.refunds {
            let sums = refunds.entry(&refund.order_id).or_default();
            sums.0 += units(refund.shopper_amount.as_ref());
            sums.1 += units(refund.partner_amount.as_ref());
            let currency = refund
                .shopper_amount
                .as_ref()
                .map(|m| m.currency_code.clone())
                .unwrap_or_default();
            *report.refund_due_minor_units.entry(currency).or_default() +=
                units(refund.shopper_amount.as_ref());
        }
        let mut paid_by_order: HashMap<&str, i64> = HashMap::new();
        for ((order_id, _), amount) in &recorded {
            *paid_by_order.entry(order_id).or_default() += amount;
        }
        for order in self.facts.orders.values() {
            self.one_orders_money(
                checks,
                report,
                order,
                paid_by_order
                    .get(order.order_id.as_str())
                    .copied()
                    .unwrap_or(0),
                refunds
                    .get(order.order_id.as_str())
                    .copied()
                    .unwrap_or_default(),
            );
        }
        for (currency, charged) in &report.charged_minor_units {
            let kept = report.paid_minor_units.get(currency).copied().unwrap_or(0);
            let back = report
                .refund_due_minor_units
                .get(currency)
                .copied()
                .unwrap_or(0);
            checks.that(kept + back == *charged, || {
                format!("{currency}: {charged} charged, but {kept} kept + {back} to be paid back")
            });
        }
    }

    /// What was paid for one order is what it keeps and what goes back. What it keeps is worked out from its lines:
    /// each line's payable in proportion to the units that were neither cancelled nor undelivered.
    fn one_orders_money(
        &self,
        checks: &mut Checks,
        report: &mut Report,
        order: &pb::Order,
        paid: i64,
        refunds: (i64, i64),
    ) {
        let kept_of = |amount: i64, line: &pb::OrderLine| {
            let q = counters(line);
            let gone = q.cancelled + q.undelivered;
            if q.ordered == 0 {
                0.0
            } else {
                amount as f64 * (q.ordered - gone) as f64 / q.ordered as f64
            }
        };
        let (mut kept, mut kept_subsidy, mut slack) = (0.0, 0.0, 0.0);
        for line in order.lines.iter().filter(|_| was_paid(order)) {
            let amount = line_amount(line);
            kept += kept_of(units(amount.payable.as_ref()), line);
            kept_subsidy += kept_of(units(amount.partner_discount.as_ref()), line);
            // A split line is off by less than one minor unit; a whole one by nothing.
            let q = counters(line);
            let gone = q.cancelled + q.undelivered;
            slack += if gone == 0 || gone == q.ordered {
                0.0
            } else {
                1.0
            };
        }
        let off = (paid - refunds.0) as f64 - kept;
        checks.that(off.abs() <= slack, || {
            format!(
                "{}: {paid} paid, {} to go back, but {kept} is kept",
                order.order_id, refunds.0
            )
        });
        let subsidy: i64 = order
            .lines
            .iter()
            .filter(|_| was_paid(order))
            .map(|l| units(line_amount(l).partner_discount.as_ref()))
            .sum();
        let off = (subsidy - refunds.1) as f64 - kept_subsidy;
        checks.that(off.abs() <= slack, || {
            format!(
                "{}: of the partner's {subsidy}, {} go back, but {kept_subsidy} is kept",
                order.order_id, refunds.1
            )
        });
        checks.that(refunds.0 <= paid, || {
            format!("{}: more goes back than was paid", order.order_id)
        });
        checks.that(units(order.refund_due.as_ref()) == refunds.0, || {
            format!(
                "{}: the order says {} is due back, its refunds say {}",
                order.order_id,
                units(order.refund_due.as_ref()),
                refunds.0
            )
        });
        let currency = order
            .amount
            .as_ref()
            .and_then(|a| a.payable.as_ref())
            .map(|m| m.currency_code.clone())
            .unwrap_or_default();
        *report.paid_minor_units.entry(currency).or_default() += paid - refunds.0;
    }
}
