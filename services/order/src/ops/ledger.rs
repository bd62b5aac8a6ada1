//! Writing the ledger beside every step that moves money, and knowing from it what is left of an order's money.
//!
//! Orders from before the ledger have entries as well before anything is decided on them: they are made from what was
//! recorded then (payments and refunds, which never change), at the times at which it happened. A task does the same for
//! all of them in its own time, a bounded number in each transaction; it may be stopped and begun again at any moment,
//! because an entry that is there is not made twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use ::store::{Operation, Tx};
use contracts::id::{LedgerEntryId, OrderId, OrderLineId, PartnerId};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::adjustment::Adjustment;
use crate::model::book::Book;
use crate::model::ledger::{self, Account, Booking, LedgerLine, LineType, Moved, NextId};
use crate::model::refund::PaidLine;
use crate::model::{LedgerEntry, LedgerStep, Order, Parts, Payment, Refund, RefundState};
use crate::store::adjustment::{AdjustedSum, adjusted_page, adjusted_sums};
use crate::store::ledger::{
    LedgerRange, LedgerSum, backlog_done, backlog_page, entries_insert, entries_of_orders,
    entry_page, entry_sums,
};
use crate::store::order::{orders_lock, placements_by_id};
use crate::store::payment::payments_of_order;
use crate::store::refund::{RefundFilter, refund_page};

/// More refunds than an order ever has: each is of a unit, a payment or a decision.
const REFUNDS_MAX: i64 = 100_000;

/// Writes the entries of a batch's payments: one statement for all of them.
pub async fn book_payments(tx: &mut Tx, book: &Book, payments: &[&Payment]) -> Result<(), Fault> {
    if payments.is_empty() {
        return Ok(());
    }
    let ids = tx.ids();
    let mut entries = Vec::with_capacity(payments.len());
    for payment in payments {
        let slot = book
            .orders
            .get(&payment.order_id)
            .ok_or_else(|| Fault::internal("a payment has no order"))?;
        entries.extend(ledger::of_payment(payment, &slot.order, &mut || ids.next()));
    }
    entries_insert(tx, &entries).await
}

/// The entries of a refund's step: line by line, or of the order as a whole when it is for a whole payment.
pub fn of_refund(
    refund: &Refund,
    order: &Order,
    step: LedgerStep,
    time: Micros,
    ids: NextId<'_>,
) -> Result<Vec<LedgerEntry>, Fault> {
    let parts: Vec<(Option<usize>, Parts)> = if refund.reason.is_of_lines() {
        let placed = |(id, parts): (&OrderLineId, Parts)| Ok((Some(order.line_at(id)?), parts));
        refund.parts().map(placed).collect::<Result<_, Refusal>>()?
    } else {
        let goods = refund.shopper_amount.minor_units;
        vec![(
            None,
            Parts {
                goods,
                ..Parts::default()
            },
        )]
    };
    let booking = Booking {
        order_id: refund.order_id,
        partner_id: refund.partner_id,
        step,
        cost_bearer: refund.cost_bearer,
        source_id: refund.refund_id.as_str(),
        currency: refund.shopper_amount.currency,
        time,
    };
    Ok(booking.entries(parts, ids))
}

/// Writes the entries of refunds that were authorised just now, with their orders.
pub async fn book_refunds(tx: &mut Tx, refunds: &[(&Refund, &Order)]) -> Result<(), Fault> {
    let (ids, now) = (tx.ids(), tx.now());
    let mut entries = Vec::with_capacity(refunds.len());
    for (refund, order) in refunds {
        let step = LedgerStep::RefundAuthorised;
        entries.extend(of_refund(refund, order, step, now, &mut || ids.next())?);
    }
    entries_insert(tx, &entries).await
}

/// Writes that a refund was executed: what was authorised of it, entry by entry.
pub async fn book_executed(tx: &mut Tx, refund: &Refund, order: &Order) -> Result<(), Fault> {
    let entries = authorised_of(tx, refund, order).await?;
    let (ids, now) = (tx.ids(), tx.now());
    let executed: Vec<LedgerEntry> = entries
        .iter()
        .map(|entry| LedgerEntry {
            entry_id: LedgerEntryId::from_uuid(ids.next()),
            step: LedgerStep::RefundExecuted,
            record_time: now,
            ..entry.clone()
        })
        .collect();
    entries_insert(tx, &executed).await
}

/// Writes that a refund was withdrawn, which undoes what was authorised of it.
pub async fn book_withdrawn(tx: &mut Tx, refund: &Refund, order: &Order) -> Result<(), Fault> {
    let entries = authorised_of(tx, refund, order).await?;
    let entries: Vec<&LedgerEntry> = entries.iter().collect();
    let (ids, now) = (tx.ids(), tx.now());
    let undone = ledger::reversed(&entries, LedgerStep::RefundWithdrawn, now, &mut || {
        ids.next()
    });
    entries_insert(tx, &undone).await
}

async fn authorised_of(
    tx: &mut Tx,
    refund: &Refund,
    order: &Order,
) -> Result<Vec<LedgerEntry>, Fault> {
    let mut entries = entries_of(tx, order).await?;
    entries.retain(|entry| {
        entry.step == LedgerStep::RefundAuthorised && entry.source_id == refund.refund_id.as_str()
    });
    Ok(entries)
}

/// The entries of an order whose row is locked; those from before the ledger are made first.
pub async fn entries_of(tx: &mut Tx, order: &Order) -> Result<Vec<LedgerEntry>, Fault> {
    let entries = entries_of_orders(tx, &[*order.order_id()]).await?;
    complete(tx, order, entries).await
}

/// What is given of the lines of these orders, whose rows are locked.
pub async fn given_of(
    tx: &mut Tx,
    orders: &[Order],
) -> Result<HashMap<OrderId, Vec<Parts>>, Fault> {
    let wanted: Vec<OrderId> = orders.iter().map(|order| *order.order_id()).collect();
    let mut found: HashMap<OrderId, Vec<LedgerEntry>> = HashMap::new();
    for entry in entries_of_orders(tx, &wanted).await? {
        found.entry(entry.order_id).or_default().push(entry);
    }
    let mut given = HashMap::with_capacity(orders.len());
    for order in orders {
        let entries = found.remove(order.order_id()).unwrap_or_default();
        let entries = complete(tx, order, entries).await?;
        let lines = order.placement.lines.len();
        given.insert(*order.order_id(), ledger::given(&entries, lines));
    }
    Ok(given)
}

/// Loads what is given of an order's lines into it; its row is locked.
pub async fn look(tx: &mut Tx, order: &mut Order) -> Result<(), Fault> {
    let entries = entries_of(tx, order).await?;
    order.balance.given = ledger::given(&entries, order.placement.lines.len());
    Ok(())
}

/// A paid order without its sale is older than the ledger.
async fn complete(
    tx: &mut Tx,
    order: &Order,
    mut entries: Vec<LedgerEntry>,
) -> Result<Vec<LedgerEntry>, Fault> {
    let is_sale = |entry: &LedgerEntry| entry.step == LedgerStep::Sale;
    if order.was_paid() && !entries.iter().any(is_sale) {
        entries.extend(catch_up(tx, order, &entries).await?);
    }
    Ok(entries)
}

/// Makes and writes the entries that are missing of an order's past.
async fn catch_up(
    tx: &mut Tx,
    order: &Order,
    known: &[LedgerEntry],
) -> Result<Vec<LedgerEntry>, Fault> {
    let payments = payments_of_order(tx, order.order_id()).await?;
    let filter = RefundFilter {
        order_id: order.order_id().to_string(),
        ..RefundFilter::default()
    };
    let refunds = refund_page(tx, &filter, "", REFUNDS_MAX).await?;
    let ids = tx.ids();
    let mut missing = past(order, &payments, refunds, &mut || ids.next())?;
    let name = |entry: &LedgerEntry| (entry.source_id.clone(), entry.step, entry.line);
    let known: HashSet<_> = known.iter().map(name).collect();
    missing.retain(|entry| !known.contains(&name(entry)));
    entries_insert(tx, &missing).await?;
    Ok(missing)
}

/// The entries of everything that was recorded of an order, at the times at which it was.
fn past(
    order: &Order,
    payments: &[Payment],
    refunds: Vec<Refund>,
    ids: NextId<'_>,
) -> Result<Vec<LedgerEntry>, Fault> {
    let mut entries = Vec::new();
    for payment in payments {
        // What was authorised with a payment follows with the refunds.
        let own = ledger::of_payment(payment, order, &mut || dated(ids(), payment.record_time));
        entries.extend(
            own.into_iter()
                .filter(|entry| entry.step != LedgerStep::RefundAuthorised),
        );
    }
    let (mut units, mut gone) = (order.clone(), vec![0; order.placement.lines.len()]);
    units.balance.given = Vec::new();
    for mut refund in refunds {
        if refund.reason.is_of_lines() && refund.lines.iter().any(|line| line.parts.is_none()) {
            compose(&mut units, &mut gone, &mut refund)?;
        }
        let made = refund.create_time;
        let mut dated_ids = || dated(ids(), made);
        let step = LedgerStep::RefundAuthorised;
        entries.extend(of_refund(&refund, order, step, made, &mut dated_ids)?);
        if let (RefundState::Executed, Some(time)) = (refund.state, refund.finish_time) {
            let mut dated_ids = || dated(ids(), time);
            let step = LedgerStep::RefundExecuted;
            entries.extend(of_refund(&refund, order, step, time, &mut dated_ids)?);
        }
    }
    Ok(entries)
}

/// Composes a refund from before refunds were composed: units had their shares then, one refund after the other. What was
/// recorded of it as a whole counts, to the minor unit: the last line takes the rest.
fn compose(units: &mut Order, gone: &mut [i64], refund: &mut Refund) -> Result<(), Fault> {
    let mut rest = refund.amounts();
    let last = refund.lines.len().saturating_sub(1);
    for (number, line) in refund.lines.iter_mut().enumerate() {
        let at = units.line_at(&line.order_line_id)?;
        let placed = &units.placement.lines[at];
        let mut share = PaidLine {
            ordered: placed.quantity,
            shopper: placed.amount.payable,
            partner: placed.amount.partner_discount,
        }
        .refund(gone[at], line.quantity);
        gone[at] += line.quantity;
        if number == last {
            share = rest;
        }
        let parts = units.left()[at].take_up_to(share.shopper, share.partner);
        rest.shopper -= parts.shopper();
        rest.partner -= parts.partner;
        units.give(at, parts);
        line.parts = Some(parts);
    }
    Ok(())
}

/// The id of an entry that was made at `time`: ids begin with it, and days are found by that.
fn dated(id: u128, time: Micros) -> u128 {
    let millis = u128::try_from(time.millis()).unwrap_or(0) & ((1 << 48) - 1);
    (millis << 80) | (id & ((1 << 80) - 1))
}

/// Makes the entries of some orders from before the ledger; says how many orders that were.
#[derive(Clone, Copy, Debug)]
pub struct CatchUpLedger {
    /// The most orders.
    pub orders_max: i64,
}

impl Operation for CatchUpLedger {
    type Output = usize;

    fn name(&self) -> &'static str {
        "ledger.catch_up"
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let wanted = backlog_page(tx, self.orders_max).await?;
        let mut placements = placements_by_id(tx, &wanted).await?;
        placements.sort_unstable_by_key(|placement| placement.order_id);
        let orders = orders_lock(tx, placements).await?;
        for order in &orders {
            let known = entries_of_orders(tx, &[*order.order_id()]).await?;
            catch_up(tx, order, &known).await?;
        }
        backlog_done(tx, &wanted).await?;
        tx.audit(self.name(), "", format!("{} orders", wanted.len()));
        Ok(wanted.len())
    }
}

/// Whether an order waits for its entries.
#[derive(Clone, Copy, Debug)]
pub struct AnyBacklog;

impl Operation for AnyBacklog {
    type Output = bool;

    fn name(&self) -> &'static str {
        "ledger.any_backlog"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(!backlog_page(tx, 1).await?.is_empty())
    }
}

/// Entries after an id.
#[derive(Clone, Debug)]
pub struct ListLedger {
    /// Which.
    pub range: LedgerRange,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

/// Something that was moved: an entry, or an adjustment that was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerItem {
    /// Its entry.
    pub entry_id: LedgerEntryId,
    /// The order.
    pub order_id: OrderId,
    /// The line; none for the order as a whole.
    pub line: Option<OrderLineId>,
    /// Its partner.
    pub partner_id: PartnerId,
    /// What happened; none for an adjustment.
    pub step: Option<LedgerStep>,
    /// The payment, refund, chargeback, compensation or adjustment.
    pub source_id: String,
    /// What it undoes.
    pub reverses: Option<LedgerEntryId>,
    /// What it adjusts.
    pub adjusts: Option<LedgerEntryId>,
    /// Of every amount.
    pub currency: Currency,
    /// What it moved.
    pub lines: Vec<LedgerLine>,
    /// When.
    pub record_time: Micros,
}

impl LedgerItem {
    fn of_entry((entry, line): (LedgerEntry, Option<OrderLineId>)) -> Self {
        LedgerItem {
            entry_id: entry.entry_id,
            order_id: entry.order_id,
            line,
            partner_id: entry.partner_id,
            step: Some(entry.step),
            lines: entry.lines(),
            source_id: entry.source_id,
            reverses: entry.reverses,
            adjusts: None,
            currency: entry.currency,
            record_time: entry.record_time,
        }
    }

    fn of_adjustment(made: Adjustment) -> Option<Self> {
        Some(LedgerItem {
            entry_id: made.entry_id?,
            order_id: made.order_id,
            line: made.line.map(|(_, line)| line),
            partner_id: made.partner_id,
            step: None,
            lines: vec![made.moved()],
            source_id: made.adjustment_id.to_string(),
            reverses: made.reverses(),
            adjusts: Some(made.adjusted_entry_id),
            currency: made.amount.currency,
            record_time: made.decide_time?,
        })
    }
}

impl Operation for ListLedger {
    type Output = Vec<LedgerItem>;

    fn name(&self) -> &'static str {
        "ledger.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        seen(tx, &self.range).await?;
        let entries = entry_page(tx, &self.range, &self.after, self.limit).await?;
        let adjusted = adjusted_page(tx, &self.range, &self.after, self.limit).await?;
        let mut items: Vec<LedgerItem> = entries.into_iter().map(LedgerItem::of_entry).collect();
        items.extend(adjusted.into_iter().filter_map(LedgerItem::of_adjustment));
        // Both came in the order of their entries, so what comes first of the two together is complete.
        items.sort_unstable_by_key(|item| item.entry_id);
        items.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        Ok(items)
    }
}

/// What was moved on an account on a day: day, currency code, account.
pub type BalanceKey = (i64, &'static str, Account);

/// What was moved on every account.
#[derive(Clone, Debug)]
pub struct BalanceLedger {
    /// Of what.
    pub range: LedgerRange,
    /// Whether a partner looks.
    pub for_partner: bool,
    /// The most sums that are read.
    pub rows_max: i64,
}

impl Operation for BalanceLedger {
    type Output = (BTreeMap<BalanceKey, Moved>, Micros);

    fn name(&self) -> &'static str {
        "ledger.balance"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        seen(tx, &self.range).await?;
        let sums = entry_sums(tx, &self.range, self.rows_max + 1).await?;
        let adjusted = adjusted_sums(tx, &self.range, self.rows_max + 1).await?;
        let rows = sums.len().saturating_add(adjusted.len());
        if i64::try_from(rows).unwrap_or(i64::MAX) > self.rows_max {
            return Err(
                Refusal::invalid("end_date", "makes too many rows; ask for fewer days").into(),
            );
        }
        let balances = balances(&sums, &adjusted, self.for_partner)
            .ok_or_else(|| Fault::internal("the ledger's sums do not fit 64 bits"))?;
        Ok((balances, tx.now()))
    }
}

fn balances(
    sums: &[LedgerSum],
    adjusted: &[AdjustedSum],
    for_partner: bool,
) -> Option<BTreeMap<BalanceKey, Moved>> {
    let entries = sums
        .iter()
        .map(|sum| (sum.day, sum.currency, sum.terms.lines(&sum.amounts)));
    let adjusted = adjusted.iter().map(|sum| {
        let moved = LedgerLine {
            line_type: LineType::Adjustment,
            credit: sum.credit,
            debit: sum.debit,
            amount: sum.amount,
        };
        (sum.day, sum.currency, vec![moved])
    });
    let mut balances: BTreeMap<BalanceKey, Moved> = BTreeMap::new();
    for (day, currency, mut lines) in entries.chain(adjusted) {
        if for_partner {
            lines = ledger::for_partner(lines);
        }
        let mut moved = BTreeMap::new();
        ledger::post(&mut moved, &lines)?;
        for (account, more) in moved {
            let into = balances.entry((day, currency.code(), account)).or_default();
            into.debit = into.debit.checked_add(more.debit)?;
            into.credit = into.credit.checked_add(more.credit)?;
        }
    }
    Some(balances)
}

async fn seen(tx: &mut Tx, range: &LedgerRange) -> Result<(), Fault> {
    match &range.order_id {
        Some(order_id) => visible(tx, order_id, range.partner_id.as_ref()).await,
        None => Ok(()),
    }
}

/// To a partner another's order is one that does not exist.
pub(super) async fn visible(
    tx: &mut Tx,
    order_id: &OrderId,
    partner_id: Option<&PartnerId>,
) -> Result<(), Fault> {
    let placements = placements_by_id(tx, &[*order_id]).await?;
    match placements.first() {
        Some(placed) if partner_id.is_none_or(|own| *own == placed.partner_id) => Ok(()),
        _ => Err(Refusal::not_found("order").into()),
    }
}
