//! Statements of money beside refunds that were asked for: what a partner paid back first, compensations, chargebacks.
//!
//! The same keys sign them as payments; `typ`, `kind` and `aud` keep each apart from every other.

use contracts::id::OrderLineId;
use contracts::money::{Currency, Money};
use kit::clock::Micros;
use kit::errors::Refusal;
use serde::Deserialize;

use super::refund::REFUND_STATEMENT_TYPE;
use super::{Claims, OneOrMany, bad, currency, named, reference};
use crate::model::money::{ChargebackState, ChargebackStatement, CompensationStatement};
use crate::model::refund::RefundShares;
use crate::model::{CostBearer, RefundFailure, RefundReason};

/// The `typ` header of a compensation's statement.
pub const COMPENSATION_STATEMENT_TYPE: &str = "vitrine-compensation+jwt";
/// The `typ` header of a chargeback's statement.
pub const CHARGEBACK_STATEMENT_TYPE: &str = "vitrine-chargeback+jwt";
/// The most lines that a statement names.
const LINES_MAX: usize = 50;

/// What a partner stated that it paid back first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerRefund {
    /// The order.
    pub order_id: contracts::id::OrderId,
    /// How much, by who got it; something.
    pub amounts: RefundShares,
    /// In which currency.
    pub currency: Currency,
    /// The partner's own reference of it; once per order.
    pub refund_reference: String,
    /// Why.
    pub reason: RefundReason,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// The shopper's money line by line; empty to be spread.
    pub lines: Vec<(OrderLineId, i64)>,
    /// When, by the partner's clock.
    pub report_time: Micros,
}

/// A refund that was paid first, as it is signed.
#[derive(Deserialize)]
pub struct PartnerRefundClaims {
    aud: OneOrMany,
    kind: String,
    order_id: String,
    shopper_minor_units: i64,
    partner_minor_units: i64,
    currency_code: String,
    refund_reference: String,
    reason: String,
    cost_bearer: String,
    #[serde(default)]
    lines: Vec<LineClaims>,
    reported_at: i64,
}

#[derive(Deserialize)]
struct LineClaims {
    order_line_id: String,
    minor_units: i64,
}

/// A compensation as it is signed.
#[derive(Deserialize)]
pub struct CompensationClaims {
    aud: OneOrMany,
    kind: String,
    order_id: String,
    compensation_id: String,
    minor_units: i64,
    currency_code: String,
    compensation_reference: String,
    reported_at: i64,
    failure: Option<String>,
}

/// A chargeback as it is signed.
#[derive(Deserialize)]
pub struct ChargebackClaims {
    aud: OneOrMany,
    kind: String,
    order_id: String,
    payment_reference: String,
    chargeback_reference: String,
    minor_units: i64,
    currency_code: String,
    reported_at: i64,
}

impl Claims for PartnerRefundClaims {
    const TYPE: &'static str = REFUND_STATEMENT_TYPE;
    const MEMBERS: &'static str = "aud, kind, order_id, shopper_minor_units, partner_minor_units, \
                                   currency_code, refund_reference, reason, cost_bearer and reported_at";
    const TIME: &'static str = "reported_at";
    type Stated = PartnerRefund;

    fn audience(&self) -> Option<&OneOrMany> {
        Some(&self.aud)
    }

    fn time(&self) -> i64 {
        self.reported_at
    }

    fn read(self, time: Micros) -> Result<PartnerRefund, Refusal> {
        if self.kind != "PARTNER_REFUND" {
            return Err(bad("The statement's kind must be PARTNER_REFUND."));
        }
        let reason = RefundReason::parse(&self.reason).filter(|reason| reason.is_decided());
        let Some(reason) = reason else {
            return Err(bad(
                "The statement's reason must be GOODWILL, NEVER_ARRIVED, NOT_AS_DESCRIBED or PRICE_ADJUSTMENT.",
            ));
        };
        let Some(cost_bearer) = CostBearer::parse(&self.cost_bearer) else {
            return Err(bad(
                "The statement's cost_bearer must be RETAILER, PARTNER, CREATOR or CARRIER.",
            ));
        };
        let amounts = RefundShares {
            shopper: self.shopper_minor_units,
            partner: self.partner_minor_units,
        };
        if amounts.shopper < 0 || amounts.partner < 0 || amounts.is_zero() {
            return Err(bad(
                "The statement's amounts must not be negative, and one of them positive.",
            ));
        }
        Ok(PartnerRefund {
            order_id: named(&self.order_id, "order_id")?,
            amounts,
            currency: currency(&self.currency_code)?,
            lines: lines(&self.lines, amounts.shopper)?,
            refund_reference: reference(self.refund_reference, "refund_reference")?,
            reason,
            cost_bearer,
            report_time: time,
        })
    }
}

fn lines(claimed: &[LineClaims], shopper: i64) -> Result<Vec<(OrderLineId, i64)>, Refusal> {
    let wrong = || {
        bad(
            "The statement's lines must be at most 50, each once, not negative, and sum to shopper_minor_units.",
        )
    };
    if claimed.len() > LINES_MAX {
        return Err(wrong());
    }
    let mut lines: Vec<(OrderLineId, i64)> = Vec::with_capacity(claimed.len());
    let mut sum: i64 = 0;
    for line in claimed {
        let order_line_id = named(&line.order_line_id, "order_line_id")?;
        let known = lines.iter().any(|(known, _)| *known == order_line_id);
        if known || line.minor_units < 0 {
            return Err(wrong());
        }
        sum = sum.checked_add(line.minor_units).ok_or_else(wrong)?;
        lines.push((order_line_id, line.minor_units));
    }
    if !lines.is_empty() && sum != shopper {
        return Err(wrong());
    }
    Ok(lines)
}

impl Claims for CompensationClaims {
    const TYPE: &'static str = COMPENSATION_STATEMENT_TYPE;
    const MEMBERS: &'static str = "aud, kind, order_id, compensation_id, minor_units, currency_code, \
                                   compensation_reference and reported_at, and with failure if it failed";
    const TIME: &'static str = "reported_at";
    type Stated = CompensationStatement;

    fn audience(&self) -> Option<&OneOrMany> {
        Some(&self.aud)
    }

    fn time(&self) -> i64 {
        self.reported_at
    }

    fn read(self, _: Micros) -> Result<CompensationStatement, Refusal> {
        let failure = match (self.kind.as_str(), self.failure.as_deref()) {
            ("COMPENSATION_EXECUTED", None) => None,
            ("COMPENSATION_FAILED", Some(word)) if RefundFailure::parse(word).is_some() => {
                RefundFailure::parse(word)
            }
            _ => {
                return Err(bad(
                    "The statement's kind must be COMPENSATION_EXECUTED without failure, or COMPENSATION_FAILED with it.",
                ));
            }
        };
        Ok(CompensationStatement {
            order_id: named(&self.order_id, "order_id")?,
            compensation_id: named(&self.compensation_id, "compensation_id")?,
            amount: amount(&self.currency_code, self.minor_units)?,
            compensation_reference: reference(
                self.compensation_reference,
                "compensation_reference",
            )?,
            failure,
        })
    }
}

impl Claims for ChargebackClaims {
    const TYPE: &'static str = CHARGEBACK_STATEMENT_TYPE;
    const MEMBERS: &'static str = "aud, kind, order_id, payment_reference, chargeback_reference, minor_units, \
                                   currency_code and reported_at";
    const TIME: &'static str = "reported_at";
    type Stated = ChargebackStatement;

    fn audience(&self) -> Option<&OneOrMany> {
        Some(&self.aud)
    }

    fn time(&self) -> i64 {
        self.reported_at
    }

    fn read(self, time: Micros) -> Result<ChargebackStatement, Refusal> {
        let state = match self.kind.as_str() {
            "CHARGEBACK_OPENED" => ChargebackState::Opened,
            "CHARGEBACK_WON" => ChargebackState::Won,
            "CHARGEBACK_LOST" => ChargebackState::Lost,
            _ => {
                return Err(bad(
                    "The statement's kind must be CHARGEBACK_OPENED, CHARGEBACK_WON or CHARGEBACK_LOST.",
                ));
            }
        };
        Ok(ChargebackStatement {
            state,
            order_id: named(&self.order_id, "order_id")?,
            payment_reference: reference(self.payment_reference, "payment_reference")?,
            chargeback_reference: reference(self.chargeback_reference, "chargeback_reference")?,
            amount: amount(&self.currency_code, self.minor_units)?,
            report_time: time,
        })
    }
}

fn amount(code: &str, minor_units: i64) -> Result<Money, Refusal> {
    if minor_units < 1 {
        return Err(bad("The statement's minor_units must be positive."));
    }
    Ok(Money::new(currency(code)?, minor_units))
}
