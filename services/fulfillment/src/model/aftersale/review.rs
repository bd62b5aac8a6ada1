//! From the review to what was agreed on: granted, refused, offered, answered, agreed to by finance.

use contracts::ErrorReason;
use contracts::id::OrderLineId;
use contracts::money::Money;
use kit::errors::Refusal;

use super::super::returns::{GoodsReturn, Instructions};
use super::open::{most, over_amount, over_line};
use super::{
    Aftersale, AftersaleKind, AftersaleReason, AftersaleState, CostBearer, Desk, LineMoney, Offer,
    Party, StepKind,
};

/// A yes to what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where the goods go and by when, where goods come back.
    pub instructions: Option<Instructions>,
    /// To the shopper.
    pub message: String,
    /// Who bears it.
    pub cost_bearer: CostBearer,
}

/// Something else than what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterOffer {
    /// What is to become of it.
    pub kind: AftersaleKind,
    /// Other amounts, each line at most once.
    pub amounts: Vec<(OrderLineId, Money)>,
    /// Why, to the shopper.
    pub message: String,
    /// Who bears it.
    pub cost_bearer: CostBearer,
    /// Where the goods would go and by when, where goods would come back.
    pub instructions: Option<Instructions>,
}

const REVIEWED_ONCE: &str = "The retailer decides on what is asked for, and only then";

impl Aftersale {
    /// The retailer grants what was asked for.
    pub fn grant(&mut self, desk: &mut Desk, grant: Grant) -> Result<(), Refusal> {
        self.require(&[AftersaleState::Requested], REVIEWED_ONCE)?;
        let needs = self.kind.needs_goods();
        let instructions = instructions(needs, grant.instructions, "grant.instructions")?;
        self.message = grant.message;
        self.cost_bearer = grant.cost_bearer;
        self.granted(desk, instructions);
        Ok(())
    }

    /// It is granted, by a person or by time.
    pub(super) fn granted(&mut self, desk: &mut Desk, instructions: Option<Instructions>) {
        self.granted_by = desk.who.principal.clone();
        self.instructions = instructions;
        let message = self.message.clone();
        self.note(desk, StepKind::Granted, &message);
        self.agreed(desk);
    }

    /// Retailer and shopper agree; a large amount needs a second person of the retailer.
    pub(super) fn agreed(&mut self, desk: &mut Desk) {
        let total: i64 = self.lines.iter().map(|line| line.amount).sum();
        let currency = self.lines.iter().find_map(|line| line.currency);
        let needs_second =
            currency.is_some_and(|currency| desk.limits.needs_second(currency, total));
        if !(self.kind.pays_back() && needs_second) {
            self.proceed(desk);
            return;
        }
        let due = desk.now.plus(desk.limits.approval);
        self.change(desk, |matter| {
            matter.state = AftersaleState::AwaitingApproval;
            matter.due_time = Some(due);
        });
        self.note(desk, StepKind::ApprovalAsked, "");
    }

    /// All that have to agree do.
    fn proceed(&mut self, desk: &mut Desk) {
        if self.kind.needs_goods() {
            self.goods_are_to_come(desk);
        } else {
            self.after_goods(desk);
        }
    }

    /// The leg takes over the units that the matter has set aside.
    fn goods_are_to_come(&mut self, desk: &mut Desk) {
        let mut instructions = self.instructions.clone().unwrap_or_default();
        // Finance may have taken longer than the goods were given.
        if instructions.return_by_time <= desk.now {
            instructions.return_by_time = desk.now.plus(desk.limits.goods);
        }
        let leg = GoodsReturn::of_matter(self, desk.return_id, instructions.clone(), desk.now);
        self.change(desk, |matter| {
            matter.state = AftersaleState::AwaitingGoods;
            matter.due_time = Some(instructions.return_by_time);
            matter.instructions = Some(instructions);
            matter.leg = Some(leg);
        });
    }

    /// No goods are to come any more: money goes back, or others go out.
    pub(super) fn after_goods(&mut self, desk: &mut Desk) {
        if self.kind.pays_back() {
            self.settle(desk);
            return;
        }
        let due = desk.now.plus(desk.limits.reshipment);
        self.change(desk, |matter| {
            matter.state = AftersaleState::AwaitingReshipment;
            matter.due_time = Some(due);
        });
    }

    /// The retailer does not grant it.
    pub fn reject(&mut self, desk: &mut Desk, message: &str) -> Result<(), Refusal> {
        self.require(&[AftersaleState::Requested], REVIEWED_ONCE)?;
        message.clone_into(&mut self.message);
        self.end(desk, AftersaleState::Rejected, StepKind::Rejected, message);
        Ok(())
    }

    /// The retailer offers something else.
    pub fn counter_offer(&mut self, desk: &mut Desk, offer: CounterOffer) -> Result<(), Refusal> {
        self.require(&[AftersaleState::Requested], REVIEWED_ONCE)?;
        let number = self.offer.as_ref().map_or(0, |last| last.number) + 1;
        if number > desk.limits.offers_max {
            let message = format!(
                "This matter has had {} offers, the most there may be; grant it or refuse it.",
                number - 1
            );
            return Err(Refusal::wrong_state("aftersale", "MOST_OFFERS", message));
        }
        if self.reason == AftersaleReason::NeverArrived && offer.kind.needs_goods() {
            let message = format!("{} is not for goods that never arrived.", offer.kind);
            return Err(Refusal::new(ErrorReason::NotAllowedHere, message));
        }
        let amounts = self.offered_amounts(desk, &offer)?;
        let field = "counter_offer.instructions";
        let instructions = instructions(offer.kind.needs_goods(), offer.instructions, field)?;
        let due = desk.now.plus(desk.limits.offer);
        let message = offer.message.clone();
        self.instructions = instructions;
        self.cost_bearer = offer.cost_bearer;
        self.message.clone_from(&offer.message);
        self.granted_by = desk.who.principal.clone();
        self.change(desk, |matter| {
            for (line, amount) in matter.lines.iter_mut().zip(amounts) {
                line.offer_amount = amount;
            }
            matter.offer = Some(Offer {
                kind: offer.kind,
                message: offer.message,
                number,
            });
            matter.state = AftersaleState::CounterOffered;
            matter.due_time = Some(due);
        });
        self.note(desk, StepKind::Offered, &message);
        Ok(())
    }

    /// What the offer gives back for each line: what is named, else what was asked for.
    fn offered_amounts(&self, desk: &Desk, offer: &CounterOffer) -> Result<Vec<i64>, Refusal> {
        let mut amounts: Vec<i64> = self.lines.iter().map(|line| line.amount).collect();
        for (at, (id, amount)) in offer.amounts.iter().enumerate() {
            let field = format!("counter_offer.amounts[{at}]");
            let index = self.line_at(*id, || format!("{field}.order_line_id"))?;
            if !offer.kind.pays_back() {
                let description = format!("must be left out: {} pays nothing back.", offer.kind);
                return Err(Refusal::invalid(field, description));
            }
            let line = &self.lines[index];
            let goods = desk.goods.lines.iter().find(|own| own.order_line_id == *id);
            let (Some(money), Some(goods)) = (desk.purse.get(id), goods) else {
                return Err(Refusal::invalid(field, "names a line without an amount."));
            };
            if amount.currency != money.currency {
                let description = format!("must be in the order's currency, {}.", money.currency);
                return Err(Refusal::invalid(
                    format!("{field}.amount.currency_code"),
                    description,
                ));
            }
            // What the matter has promised itself may be offered again.
            let own = LineMoney {
                promised: money.promised - line.amount,
                ..*money
            };
            let most = most(&own, goods, line.quantity);
            if amount.minor_units > most {
                return Err(over_line(*id, money.currency, most));
            }
            amounts[index] = amount.minor_units;
        }
        if offer.kind == AftersaleKind::RefundOnly && amounts.iter().sum::<i64>() == 0 {
            return Err(over_amount(&self.lines, 0));
        }
        Ok(amounts)
    }

    fn answered(&self, number: i64) -> Result<AftersaleKind, Refusal> {
        self.require(
            &[AftersaleState::CounterOffered],
            "An offer is answered once, while it stands",
        )?;
        match &self.offer {
            Some(offer) if offer.number == number => Ok(offer.kind),
            offer => {
                let now = offer.as_ref().map_or(0, |offer| offer.number);
                let message = format!("Offer {now} stands, not {number}; read it, then answer it.");
                Err(Refusal::wrong_state(
                    "aftersale",
                    format!("OFFER_{now}"),
                    message,
                ))
            }
        }
    }

    /// The shopper takes the offer of that number.
    pub fn accept(&mut self, desk: &mut Desk, number: i64) -> Result<(), Refusal> {
        let kind = self.answered(number)?;
        self.change(desk, |matter| {
            matter.kind = kind;
            for line in &mut matter.lines {
                line.amount = line.offer_amount;
            }
        });
        self.note(desk, StepKind::OfferAccepted, "");
        self.agreed(desk);
        Ok(())
    }

    /// The shopper declines it: the retailer's turn again.
    pub fn decline(&mut self, desk: &mut Desk, number: i64) -> Result<(), Refusal> {
        self.answered(number)?;
        let due = desk.now.plus(desk.limits.review);
        self.instructions = None;
        self.granted_by.clear();
        self.change(desk, |matter| {
            matter.state = AftersaleState::Requested;
            matter.due_time = Some(due);
        });
        self.note(desk, StepKind::OfferDeclined, "");
        Ok(())
    }

    /// Finance agrees to the amount or does not.
    pub fn approve(&mut self, desk: &mut Desk, yes: bool, message: &str) -> Result<(), Refusal> {
        self.require(
            &[AftersaleState::AwaitingApproval],
            "Finance agrees once, to what was granted above the limit",
        )?;
        if self.granted_by == desk.who.principal {
            let message = "Who has granted an amount above the limit does not agree to it as well; ask somebody else.";
            return Err(Refusal::new(ErrorReason::SelfApproval, message));
        }
        if yes {
            self.note(desk, StepKind::Approved, "");
            self.proceed(desk);
        } else {
            message.clone_into(&mut self.message);
            self.end(desk, AftersaleState::Rejected, StepKind::Rejected, message);
        }
        Ok(())
    }

    /// The shopper does not pursue it any more.
    pub fn withdraw(&mut self, desk: &mut Desk) -> Result<(), Refusal> {
        let rule = "A matter is withdrawn before its goods came and before it is settled";
        self.require(
            &[
                AftersaleState::Requested,
                AftersaleState::CounterOffered,
                AftersaleState::AwaitingApproval,
                AftersaleState::AwaitingGoods,
                AftersaleState::AwaitingReshipment,
            ],
            rule,
        )?;
        let came = self.lines.iter().any(|line| line.found.accepted() > 0);
        if came || self.opened_by == Party::Carrier {
            let message = format!("{rule}; this one is {}.", self.state);
            return Err(Refusal::wrong_state("aftersale", self.state, message));
        }
        if let Some(leg) = self.leg.as_mut() {
            leg.cancel(desk.goods, desk.now)?;
        }
        self.end(desk, AftersaleState::Withdrawn, StepKind::Withdrawn, "");
        Ok(())
    }
}

/// Where goods come back, it has to be said where they go.
fn instructions(
    needed: bool,
    said: Option<Instructions>,
    field: &str,
) -> Result<Option<Instructions>, Refusal> {
    match (needed, said) {
        (true, None) => Err(Refusal::invalid(
            field,
            "must be set, because goods come back.",
        )),
        (true, said) => Ok(said),
        (false, Some(_)) => Err(Refusal::invalid(
            field,
            "must be left out, because no goods come back.",
        )),
        (false, None) => Ok(None),
    }
}
