//! Opening a matter, and what can be asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{AftersaleId, OrderLineId};
use contracts::money::{Currency, Money};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::super::LineQuantity;
use super::super::fulfillment::{Fulfillment, Line};
use super::super::returns::{Delivery, Eligibility};
use super::super::words::words;
use super::{
    Aftersale, AftersaleKind, AftersaleLimits, AftersaleReason, AftersaleState, CostBearer, Desk,
    Found, LineMoney, MatterLine, News, Party, Purse, StepKind,
};

/// A wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AftersaleAsk {
    /// What is to become of it.
    pub kind: AftersaleKind,
    /// Why.
    pub reason: AftersaleReason,
    /// At least one, each line once.
    pub lines: Vec<AskedLine>,
    /// How many pieces of evidence come with it.
    pub evidence: i64,
}

/// One line of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedLine {
    /// The line and its units.
    pub units: LineQuantity,
    /// The amount; none means all that was paid for the units.
    pub amount: Option<Money>,
}

impl Aftersale {
    /// A matter is opened; its units and amounts are set aside.
    pub fn open(
        desk: &mut Desk,
        id: AftersaleId,
        ask: &AftersaleAsk,
        deliveries: &[Delivery],
    ) -> Result<Self, Refusal> {
        check_reason(ask)?;
        let mut lines = Vec::with_capacity(ask.lines.len());
        for (at, asked) in ask.lines.iter().enumerate() {
            let line = desk.goods.line_asked(&asked.units, "", at)?;
            let window = window(ask.reason, desk.limits);
            let eligible = Eligibility::of(line, deliveries, window, desk.now);
            let bound = desk.who.party != Party::Retailer;
            check_units(&eligible, asked.units.quantity, bound)?;
            let (currency, amount) = amount_of(desk.purse, line, asked, ask.kind, at)?;
            lines.push(MatterLine {
                order_line_id: line.order_line_id,
                variant_id: line.variant_id,
                sku: line.sku.clone(),
                unit: line.unit,
                quantity: asked.units.quantity,
                currency: Some(currency),
                amount,
                offer_amount: 0,
                found: Found::default(),
            });
        }
        let total: i64 = lines.iter().map(|line| line.amount).sum();
        // Whoever got all of the money back gets no others for the goods either.
        let paid = |line: &MatterLine| {
            let money = desk.purse.get(&line.order_line_id);
            money.is_some_and(|money| money.payable > 0)
        };
        if total == 0 && (ask.kind == AftersaleKind::RefundOnly || lines.iter().any(paid)) {
            return Err(over_amount(&lines, 0));
        }
        let due = desk.now.plus(desk.limits.review);
        let mut matter = new(desk.goods, id, desk.who.party, desk.now);
        (matter.kind, matter.reason) = (ask.kind, ask.reason);
        matter.evidence_count = ask.evidence;
        desk_sets_aside(desk, &lines);
        matter.lines = lines;
        matter.due_time = Some(due);
        matter.note(desk, StepKind::Opened, "");
        Ok(matter)
    }
}

/// Units and money of a matter that begins REQUESTED.
fn desk_sets_aside(desk: &mut Desk, lines: &[MatterLine]) {
    for line in lines {
        let id = line.order_line_id;
        if let Some(own) = desk
            .goods
            .lines
            .iter_mut()
            .find(|own| own.order_line_id == id)
        {
            own.in_returns += line.quantity;
        }
        if let Some(money) = desk.purse.get_mut(&id) {
            money.promised += line.amount;
        }
    }
}

/// A matter about nothing yet.
pub(super) fn new(
    goods: &Fulfillment,
    id: AftersaleId,
    opened_by: Party,
    now: Micros,
) -> Aftersale {
    Aftersale {
        id,
        order_id: goods.order_id,
        fulfillment_id: goods.id,
        partner_id: goods.partner_id,
        kind: AftersaleKind::RefundOnly,
        state: AftersaleState::Requested,
        reason: AftersaleReason::Other,
        opened_by,
        lines: Vec::new(),
        offer: None,
        message: String::new(),
        cost_bearer: CostBearer::Retailer,
        granted_by: String::new(),
        instructions: None,
        leg: None,
        shipment_id: None,
        reshipment: None,
        refund: None,
        due_time: None,
        create_time: now,
        settle_time: None,
        finish_time: None,
        step_count: 0,
        evidence_count: 0,
        version: 0,
        news: News::default(),
    }
}

fn check_reason(ask: &AftersaleAsk) -> Result<(), Refusal> {
    if ask.reason.is_carriers() {
        let description = "is the carrier's to say, through tracking; name the shopper's reason.";
        return Err(Refusal::invalid("reason", description));
    }
    if ask.reason.allows(ask.kind) {
        return Ok(());
    }
    let kinds: Vec<_> = AftersaleKind::ALL
        .iter()
        .filter(|kind| ask.reason.allows(**kind))
        .map(|kind| kind.word())
        .collect();
    let message = format!(
        "{} is not for reason {}; ask for {}.",
        ask.kind,
        ask.reason,
        kinds.join(" or ")
    );
    Err(Refusal::new(ErrorReason::NotAllowedHere, message).with("kinds", kinds.join(",")))
}

fn window(reason: AftersaleReason, limits: &AftersaleLimits) -> Duration {
    if reason.is_change_of_mind() {
        limits.return_window
    } else {
        limits.claim_window
    }
}

/// `bound`: whether windows bind who asks.
fn check_units(eligible: &Eligibility, quantity: i64, bound: bool) -> Result<(), Refusal> {
    let most = if bound {
        eligible.returnable()
    } else {
        eligible.free()
    };
    if quantity <= most {
        return Ok(());
    }
    let line = eligible.order_line_id;
    let (reason, message) = if quantity <= eligible.free() {
        let message = format!(
            "The time for this reason is over for all but {most} of the units of line {line}; ask for at most that, or ask the retailer's care."
        );
        (ErrorReason::OutsideWindow, message)
    } else {
        let message = format!(
            "Line {line} has {most} delivered units that are in no other matter; ask for at most that."
        );
        (ErrorReason::OverQuantity, message)
    };
    Err(Refusal::new(reason, message)
        .with("order_line_id", line)
        .with("most_quantity", most))
}

/// The most that can go back for so many units of a line.
pub(super) fn most(money: &LineMoney, line: &Line, quantity: i64) -> i64 {
    money.share(quantity, line.ordered).min(money.left())
}

fn amount_of(
    purse: &Purse,
    line: &Line,
    asked: &AskedLine,
    kind: AftersaleKind,
    at: usize,
) -> Result<(Currency, i64), Refusal> {
    let Some(money) = purse.get(&line.order_line_id) else {
        let message = "The amounts of this order are not known here; ask with RequestReturn.";
        return Err(Refusal::wrong_state("order", "AMOUNT_UNKNOWN", message));
    };
    let most = most(money, line, asked.units.quantity);
    let Some(wanted) = asked.amount else {
        return Ok((money.currency, most));
    };
    let field = format!("lines[{at}].amount");
    if !kind.pays_back() {
        let description = format!("must be left out: {kind} pays nothing back.");
        return Err(Refusal::invalid(field, description));
    }
    if wanted.currency != money.currency {
        let description = format!("must be in the order's currency, {}.", money.currency);
        return Err(Refusal::invalid(
            format!("{field}.currency_code"),
            description,
        ));
    }
    if wanted.minor_units > most {
        return Err(over_line(line.order_line_id, money.currency, most));
    }
    Ok((money.currency, wanted.minor_units))
}

/// More money is asked for than is left of a line.
pub(super) fn over_line(line: OrderLineId, currency: Currency, most: i64) -> Refusal {
    let left = Money::new(currency, most);
    let message = format!(
        "Of line {line} at most {left} can be paid back for these units; ask for at most that."
    );
    Refusal::new(ErrorReason::OverQuantity, message)
        .with("order_line_id", line)
        .with("most_minor_units", most)
        .with("currency_code", currency)
}

/// Nothing of all lines can be paid back.
pub(super) fn over_amount(lines: &[MatterLine], most: i64) -> Refusal {
    let currency = lines.iter().find_map(|line| line.currency);
    let message = "Nothing is left to be paid back for these units.";
    Refusal::new(ErrorReason::OverQuantity, message)
        .with("most_minor_units", most)
        .with("currency_code", currency.map_or("", Currency::code))
}

words! {
    /// Why nothing can be asked for.
    Unable {
        /// Nothing was delivered.
        NotDelivered = "NOT_DELIVERED",
        /// All units are returned or in open matters.
        AllInMatters = "ALL_IN_MATTERS",
        /// The time is over.
        WindowOver = "WINDOW_OVER",
        /// All that was paid is paid back or promised.
        AllPaidBack = "ALL_PAID_BACK",
        /// The amounts of this order are not known here.
        AmountUnknown = "AMOUNT_UNKNOWN",
    }
}

/// A kind that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The kind.
    pub kind: AftersaleKind,
    /// For these reasons.
    pub reasons: Vec<AftersaleReason>,
    /// For so many units.
    pub quantity: i64,
    /// At most so much for them, where money goes back.
    pub most: Option<Money>,
    /// For all of them to be asked for before this.
    pub until: Micros,
}

/// What can be asked for about one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChoices {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// Delivered so far.
    pub delivered: i64,
    /// In open matters or returns.
    pub open: i64,
    /// Kinds that can be asked for.
    pub choices: Vec<Choice>,
    /// Why there is none.
    pub unable: Option<Unable>,
}

/// What a shopper can ask for about a line now.
pub fn choices(
    line: &Line,
    money: Option<&LineMoney>,
    deliveries: &[Delivery],
    limits: &AftersaleLimits,
    now: Micros,
) -> LineChoices {
    let mut found: BTreeMap<(AftersaleKind, bool), Choice> = BTreeMap::new();
    let claims = Eligibility::of(line, deliveries, limits.claim_window, now);
    let minds = Eligibility::of(line, deliveries, limits.return_window, now);
    let reasons = AftersaleReason::ALL.iter().copied();
    for reason in reasons.filter(|reason| !reason.is_carriers()) {
        let change = reason.is_change_of_mind();
        let eligible = if change { &minds } else { &claims };
        let Some(until) = eligible.windows.iter().map(|units| units.until).min() else {
            continue;
        };
        let (quantity, Some(money)) = (eligible.returnable(), money) else {
            continue;
        };
        for kind in AftersaleKind::ALL
            .iter()
            .copied()
            .filter(|kind| reason.allows(*kind))
        {
            let most = most(money, line, quantity);
            if kind == AftersaleKind::RefundOnly && most == 0 {
                continue;
            }
            let choice = found.entry((kind, change)).or_insert_with(|| Choice {
                kind,
                reasons: Vec::new(),
                quantity,
                most: kind.pays_back().then(|| Money::new(money.currency, most)),
                until,
            });
            choice.reasons.push(reason);
        }
    }
    let choices: Vec<Choice> = found.into_values().collect();
    LineChoices {
        order_line_id: line.order_line_id,
        delivered: line.delivered,
        open: line.in_returns,
        unable: unable(&choices, &claims, money),
        choices,
    }
}

fn unable(choices: &[Choice], claims: &Eligibility, money: Option<&LineMoney>) -> Option<Unable> {
    if !choices.is_empty() {
        None
    } else if claims.delivered == 0 {
        Some(Unable::NotDelivered)
    } else if money.is_none() {
        Some(Unable::AmountUnknown)
    } else if claims.free() == 0 {
        Some(Unable::AllInMatters)
    } else if claims.returnable() == 0 {
        Some(Unable::WindowOver)
    } else {
        Some(Unable::AllPaidBack)
    }
}
