//! Every cent that a platform charged is kept for goods or on its way back.

use std::collections::HashMap;

use contracts::order::v1 as pb;

use super::{Checks, Day, counters, line_amount, units, was_paid};
use crate::demo::platform::PaidBack;
use crate::demo::report::Report;

impl Day<'_> {
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
        self.paid_back_is_executed(checks, report);
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

    /// The platforms' books and the suite's refunds say the same, and nothing is left to pay back.
    fn paid_back_is_executed(&self, checks: &mut Checks, report: &mut Report) {
        let said: HashMap<&str, &PaidBack> = self
            .paid_back
            .iter()
            .flatten()
            .map(|p| (p.refund_id.as_str(), p))
            .collect();
        // What came back for an exchange is paid for in kind: a refund of nothing, which nobody pays.
        let in_kind = |refund: &&pb::Refund| {
            units(refund.shopper_amount.as_ref()) == 0
                && units(refund.partner_amount.as_ref()) == 0
                && refund.state() == pb::RefundState::Executed
        };
        let paid: Vec<&pb::Refund> = self
            .facts
            .refunds
            .iter()
            .filter(|refund| !in_kind(refund))
            .collect();
        checks.that(said.len() == paid.len(), || {
            format!(
                "{} refunds, but the platforms paid back {}",
                paid.len(),
                said.len()
            )
        });
        for refund in paid {
            let same = said.get(refund.refund_id.as_str()).is_some_and(|p| {
                p.order_id == refund.order_id
                    && p.shopper_minor_units == units(refund.shopper_amount.as_ref())
                    && p.partner_minor_units == units(refund.partner_amount.as_ref())
            });
            checks.that(same && refund.state() == pb::RefundState::Executed, || {
                format!(
                    "{}: {:?}, and the platform's book says otherwise",
                    refund.refund_id,
                    refund.state()
                )
            });
            let currency = refund
                .shopper_amount
                .as_ref()
                .map(|m| m.currency_code.clone())
                .unwrap_or_default();
            *report.refunded_minor_units.entry(currency).or_default() +=
                units(refund.shopper_amount.as_ref());
        }
    }

    /// What was paid for one order is what it keeps and what goes back. What it keeps is worked out from its lines:
    /// each line's payable in proportion to the units that were neither cancelled, undelivered nor sent back.
    fn one_orders_money(
        &self,
        checks: &mut Checks,
        report: &mut Report,
        order: &pb::Order,
        paid: i64,
        refunds: (i64, i64),
    ) {
        let (mut kept, mut kept_subsidy, mut subsidy) = (Share::default(), Share::default(), 0);
        for line in order.lines.iter().filter(|_| was_paid(order)) {
            let (amount, q) = (line_amount(line), counters(line));
            let stays = q.ordered - q.cancelled - q.undelivered - q.returned;
            let funded = units(amount.partner_discount.as_ref());
            kept.add(units(amount.payable.as_ref()), stays, q.ordered);
            kept_subsidy.add(funded, stays, q.ordered);
            subsidy += funded;
        }
        // What the second act's orders keep was agreed on or decided; the ledger is what they are held against.
        let by_units = !self.done.orders.contains(&order.order_id);
        checks.that(!by_units || kept.is(paid - refunds.0), || {
            format!(
                "{}: {paid} paid, {} to go back, but {kept:?} is kept",
                order.order_id, refunds.0
            )
        });
        checks.that(!by_units || kept_subsidy.is(subsidy - refunds.1), || {
            format!(
                "{}: of the partner's {subsidy}, {} go back, but {kept_subsidy:?} is kept",
                order.order_id, refunds.1
            )
        });
        checks.that(refunds.0 <= paid, || {
            format!("{}: more goes back than was paid", order.order_id)
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

/// A sum of lines' shares, as the range of whole minor units it may be rounded to.
#[derive(Debug, Default)]
struct Share {
    least: i64,
    most: i64,
}

impl Share {
    /// Adds `part` of `whole` units of an amount: exact when nothing or all of it stays.
    fn add(&mut self, amount: i64, part: i64, whole: i64) {
        let (amount, part, whole) = (i128::from(amount), i128::from(part), i128::from(whole));
        let product = amount * part;
        let least = product.div_euclid(whole.max(1));
        let most = least + i128::from(product.rem_euclid(whole.max(1)) > 0);
        self.least += i64::try_from(least).unwrap_or(i64::MAX);
        self.most += i64::try_from(most).unwrap_or(i64::MAX);
    }

    fn is(&self, amount: i64) -> bool {
        (self.least..=self.most).contains(&amount)
    }
}
