//! What the order service is asked for: orders that were never paid, refunds, compensations.

use contracts::id::{OrderId, OrderLineId};
use contracts::money::Money;
use contracts::order::v1 as order;
use contracts::order::v1::order_service_client::OrderServiceClient;
use contracts::order::v1::refund_service_client::RefundServiceClient;
use kit::errors::Fault;
use tonic::{Code, Status};

use super::super::Api;
use crate::model::care::Case;
use crate::ops::care::{Seen, SeenMoney, SeenOrder};

/// Entries on a page of the order service's lists.
const PAGE: i32 = 200;

/// What is not there is no fault.
fn found<T>(answer: Result<T, Status>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Fault::from_status(&status)),
    }
}

impl Api {
    /// An order as the order service has it.
    pub(super) async fn see_order(&self, order_id: &OrderId) -> Result<Seen, Fault> {
        let mut client = OrderServiceClient::new(self.order.clone());
        let request = order::GetOrderRequest {
            order_id: (*order_id).into(),
            ..order::GetOrderRequest::default()
        };
        let answer = found(client.get_order(request).await)?;
        let told = answer.and_then(|answer| answer.into_inner().order);
        let mut seen = Seen::default();
        if let Some(told) = told {
            seen.orders.extend(seen_order(&told)?);
        }
        Ok(seen)
    }

    /// A refund as the order service has it, looked for where the case's would be.
    pub(super) async fn see_refund(
        &self,
        case: &Case,
        what: &str,
    ) -> Result<Option<SeenMoney>, Fault> {
        let Some(order_id) = case.references.order_id else {
            let mut client = RefundServiceClient::new(self.order.clone());
            let request = order::GetRefundRequest {
                refund_id: what.to_owned(),
            };
            let answer = found(client.get_refund(request).await)?;
            let told = answer.and_then(|answer| answer.into_inner().refund);
            return told.as_ref().map(seen_refund).transpose();
        };
        let mut client = OrderServiceClient::new(self.order.clone());
        let mut page_token = String::new();
        for _ in 0..self.config.care.order_pages_max {
            let request = order::ListRefundsRequest {
                order_id: order_id.into(),
                page_size: PAGE,
                page_token,
                ..order::ListRefundsRequest::default()
            };
            let Some(page) = found(client.list_refunds(request).await)? else {
                return Ok(None);
            };
            let page = page.into_inner();
            if let Some(told) = page.refunds.iter().find(|told| told.refund_id == what) {
                return seen_refund(told).map(Some);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// A compensation as the order service has it, looked for where the case's would be.
    pub(super) async fn see_compensation(
        &self,
        case: &Case,
        what: &str,
    ) -> Result<Option<SeenMoney>, Fault> {
        let mut client = RefundServiceClient::new(self.order.clone());
        let order_id = case.references.order_id.map(String::from);
        let mut page_token = String::new();
        for _ in 0..self.config.care.order_pages_max {
            let request = order::ListCompensationsRequest {
                partner_id: case.partner_id.into(),
                order_id: order_id.clone().unwrap_or_default(),
                page_size: PAGE,
                page_token,
            };
            let Some(page) = found(client.list_compensations(request).await)? else {
                return Ok(None);
            };
            let page = page.into_inner();
            let told = page
                .compensations
                .iter()
                .find(|told| told.compensation_id == what);
            if let Some(told) = told {
                return seen_compensation(told).map(Some);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(None)
    }
}

impl Api {
    /// Who decided on an order's refunds and compensations.
    pub(super) async fn see_deciders(
        &self,
        order_id: &OrderId,
    ) -> Result<Vec<order::RefundDecider>, Fault> {
        let mut client = RefundServiceClient::new(self.order.clone());
        let (mut deciders, mut page_token) = (Vec::new(), String::new());
        for _ in 0..self.config.care.order_pages_max {
            let request = order::ListRefundDecidersRequest {
                order_id: (*order_id).into(),
                page_size: PAGE,
                page_token,
            };
            let Some(page) = found(client.list_refund_deciders(request).await)? else {
                break;
            };
            let page = page.into_inner();
            deciders.extend(page.deciders);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(deciders)
    }

    /// Adds who decided on what was seen, for a case that has an arbiter.
    pub(super) async fn see_who_decided(&self, seen: &mut Seen) -> Result<(), Fault> {
        for money in &mut seen.money {
            let told = self.see_deciders(&money.order_id).await?;
            let about = told
                .into_iter()
                .filter(|told| told.refund_id == money.what || told.compensation_id == money.what);
            money.deciders = about
                .flat_map(|told| [told.proposer, told.decider])
                .collect();
        }
        Ok(())
    }
}

fn seen_order(told: &order::Order) -> Result<Option<SeenOrder>, Fault> {
    let lines = told.lines.iter().map(|line| read(&line.order_line_id));
    Ok(Some(SeenOrder {
        order_id: read(&told.order_id)?,
        partner_id: read(&told.partner_id)?,
        lines: lines.collect::<Result<Vec<OrderLineId>, Fault>>()?,
    }))
}

fn seen_refund(told: &order::Refund) -> Result<SeenMoney, Fault> {
    Ok(SeenMoney {
        what: told.refund_id.clone(),
        order_id: read(&told.order_id)?,
        partner_id: read(&told.partner_id)?,
        amount: amount(told.shopper_amount.as_ref())?,
        is_withdrawn: told.state() == order::RefundState::Withdrawn,
        deciders: Vec::new(),
    })
}

fn seen_compensation(told: &order::Compensation) -> Result<SeenMoney, Fault> {
    Ok(SeenMoney {
        what: told.compensation_id.clone(),
        order_id: read(&told.order_id)?,
        partner_id: read(&told.partner_id)?,
        amount: amount(told.amount.as_ref())?,
        is_withdrawn: false,
        deciders: Vec::new(),
    })
}

fn read<I: std::str::FromStr>(text: &str) -> Result<I, Fault> {
    text.parse()
        .map_err(|_| Fault::internal(format!("the order service says `{text}` for an id")))
}

fn amount(told: Option<&contracts::common::v1::Money>) -> Result<Money, Fault> {
    let told = told.ok_or_else(|| Fault::internal("the order service told of no amount"))?;
    Money::try_from(told).map_err(Fault::internal)
}
