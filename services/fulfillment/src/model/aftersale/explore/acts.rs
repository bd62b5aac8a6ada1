//! What may be tried on a matter, what the rules say of it, and how it is done.

use contracts::ErrorReason;
use contracts::id::{ReturnId, VariantId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::super::*;
use super::order::{CARE, DAY, Order, PAID, eur, limits};
use super::world::Menu;
use crate::model::returns::Instructions;

/// What may be tried on a matter.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Grant,
    GrantBare,
    Reject,
    Offer(AftersaleKind, Option<i64>),
    OfferTooMuch,
    Approve(&'static str, bool),
    Answer(bool, i64),
    Received,
    Inspect(InspectedCondition, bool, i64),
    Reship,
    Withdraw,
    Time,
}

impl Act {
    pub(super) fn all(menu: &Menu) -> Vec<Act> {
        if menu.short {
            return vec![
                Act::Grant,
                Act::Received,
                Act::Inspect(InspectedCondition::Sellable, true, 1),
                Act::Inspect(InspectedCondition::NotOurs, false, 1),
                Act::Time,
            ];
        }
        let mut acts = vec![
            Act::Grant,
            Act::GrantBare,
            Act::Reject,
            Act::OfferTooMuch,
            Act::Approve(CARE, true),
            Act::Approve("retailer:finance", true),
            Act::Approve("retailer:finance", false),
            Act::Answer(true, 1),
            Act::Answer(true, 2),
            Act::Answer(false, 1),
            Act::Received,
            Act::Inspect(InspectedCondition::Sellable, true, 1),
            Act::Inspect(InspectedCondition::Damaged, false, 1),
            Act::Inspect(InspectedCondition::Damaged, true, 1),
            Act::Inspect(InspectedCondition::Counterfeit, false, 2),
            Act::Inspect(InspectedCondition::NotOurs, false, 1),
            Act::Reship,
            Act::Withdraw,
            Act::Time,
        ];
        let offers = menu.offers.iter();
        acts.extend(offers.map(|(kind, amount)| Act::Offer(*kind, *amount)));
        acts
    }

    /// What the rules say, in a few words of their own.
    pub(super) fn allowed(&self, m: &Aftersale, left: i64) -> bool {
        use AftersaleState as S;
        let bare = !m.kind.needs_goods();
        match self {
            Act::Grant => m.state == S::Requested,
            Act::GrantBare => m.state == S::Requested && bare,
            Act::Reject => m.state == S::Requested,
            Act::Offer(kind, amount) => {
                let own = m.lines[0].amount;
                let there = amount.is_none_or(|amount| amount <= left + own);
                let arrived = m.reason != AftersaleReason::NeverArrived || !kind.needs_goods();
                m.state == S::Requested && m.offer.is_none() && arrived && there
            }
            Act::OfferTooMuch => false,
            Act::Approve(who, _) => m.state == S::AwaitingApproval && m.granted_by != *who,
            Act::Answer(_, number) => m.state == S::CounterOffered && *number == 1,
            Act::Received => m.state == S::AwaitingGoods,
            Act::Inspect(condition, restock, quantity) => {
                let wrong =
                    (*restock && *condition != InspectedCondition::Sellable) || *quantity > 1;
                m.state == S::GoodsReceived && !wrong
            }
            Act::Reship => m.state == S::AwaitingReshipment,
            Act::Withdraw => {
                let before = matches!(
                    m.state,
                    S::Requested | S::CounterOffered | S::AwaitingApproval | S::AwaitingGoods
                );
                let unsent = m.state == S::AwaitingReshipment && m.leg.is_none();
                (before || unsent) && m.opened_by != Party::Carrier
            }
            Act::Time => !m.state.is_over(),
        }
    }
}

/// One error with a reason of the contract's.
pub(super) fn is_typed(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        ErrorReason::WrongState
            | ErrorReason::InvalidField
            | ErrorReason::OverQuantity
            | ErrorReason::SelfApproval
            | ErrorReason::NotAllowedHere
    )
}

pub(super) fn desk<'a>(
    order: &'a mut Order,
    limits: &'a AftersaleLimits,
    party: Party,
    principal: &str,
    now: Micros,
) -> Desk<'a> {
    Desk {
        return_id: ReturnId::from_uuid(order.goods.order_id.uuid() * 100),
        goods: &mut order.goods,
        purse: &mut order.purse,
        limits,
        who: Who {
            party,
            principal: principal.to_owned(),
        },
        now,
    }
}

pub(super) fn do_it(
    order: &mut Order,
    m: &mut Aftersale,
    act: &Act,
    now: Micros,
) -> Result<(), Refusal> {
    let limits = limits();
    let (party, who) = match act {
        Act::Approve(who, _) => (Party::Retailer, *who),
        Act::Answer(..) | Act::Withdraw => (Party::Shopper, "partner:app"),
        Act::Time => (Party::Time, ""),
        _ => (Party::Retailer, CARE),
    };
    let line = m.lines[0].order_line_id;
    let site = Instructions {
        return_site_reference: "lyon-2".into(),
        return_by_time: now.plus(DAY),
        ..Instructions::default()
    };
    let mut desk = desk(order, &limits, party, who, now);
    let offer = |kind: AftersaleKind, amount: Option<i64>| CounterOffer {
        kind,
        amounts: amount
            .map(|amount| (line, Money::new(eur(), amount)))
            .into_iter()
            .collect(),
        message: "Keep it".into(),
        cost_bearer: CostBearer::Retailer,
        instructions: kind.needs_goods().then(|| site.clone()),
    };
    let grant = |instructions| Grant {
        instructions,
        message: String::new(),
        cost_bearer: CostBearer::Retailer,
    };
    match act {
        Act::Grant => {
            let instructions = m.kind.needs_goods().then(|| site.clone());
            m.grant(&mut desk, grant(instructions))
        }
        Act::GrantBare => m.grant(&mut desk, grant(None)),
        Act::Reject => m.reject(&mut desk, "No"),
        Act::Offer(kind, amount) => m.counter_offer(&mut desk, offer(*kind, *amount)),
        Act::OfferTooMuch => {
            m.counter_offer(&mut desk, offer(AftersaleKind::RefundOnly, Some(PAID + 1)))
        }
        Act::Approve(_, yes) => m.approve(&mut desk, *yes, "Too much"),
        Act::Answer(true, number) => m.accept(&mut desk, *number),
        Act::Answer(false, number) => m.decline(&mut desk, *number),
        Act::Received => m.received(&mut desk),
        Act::Inspect(condition, restock, quantity) => {
            let units = [Inspected {
                order_line_id: line,
                quantity: *quantity,
                condition: *condition,
                restock: *restock,
            }];
            m.inspect(&mut desk, &units, "")
        }
        Act::Reship => m.reshipped(
            &mut desk,
            Reshipment {
                carrier_code: "manual".into(),
                tracking_number: String::new(),
                units: vec![Reshipped {
                    order_line_id: line,
                    variant_id: VariantId::from_uuid(1),
                    quantity: 1,
                }],
                ship_time: now,
            },
        ),
        Act::Withdraw => m.withdraw(&mut desk),
        Act::Time => match m.time_passed(&mut desk) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::wrong_state("aftersale", m.state, "has no timer")),
            Err(refusal) => Err(refusal),
        },
    }
}
