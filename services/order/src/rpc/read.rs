//! Looking at orders and refunds.

use std::sync::Arc;

use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, after, bound_to, listed_partner, render};
use crate::ops::read::{GetOrder, ListOrders, ListRefunds, OrderName};
use crate::store::order_list::OrderFilter;
use crate::store::refund::RefundFilter;

impl Api {
    pub(super) async fn get_order(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetOrderRequest,
    ) -> Result<pb::GetOrderResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let order_id = v.opt_id("order_id", &request.order_id);
        let partner_order_id = v.opt_text("partner_order_id", &request.partner_order_id, 1..=64);
        let name = match (request.order_id.is_empty(), partner_order_id, partner_id) {
            (false, None, _) => order_id.map(OrderName::Id),
            (true, Some(named), Some(partner_id)) => Some(OrderName::Partners(partner_id, named)),
            (true, Some(_), None) => {
                v.add("partner_order_id", "is for partners; send order_id.");
                None
            }
            (false, Some(_), _) => {
                v.add("partner_order_id", "must be empty when order_id is sent.");
                None
            }
            (true, None, _) => {
                v.add("order_id", "must be set, or partner_order_id.");
                None
            }
        };
        v.finish()?;
        let Some(name) = name else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let (order, now) = self.db.read(caller, GetOrder { partner_id, name }).await?;
        Ok(pb::GetOrderResponse {
            order: Some(render::order(&order, now)),
        })
    }

    pub(super) async fn list_orders(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListOrdersRequest,
    ) -> Result<pb::ListOrdersResponse, Fault> {
        let mut v = Violations::new();
        let asked = v.opt_id("partner_id", &request.partner_id);
        let state = v.opt_enumeration::<pb::OrderState>("state", request.state);
        let partner_checkout_id =
            v.text("partner_checkout_id", &request.partner_checkout_id, 0..=64);
        v.finish()?;
        let filter = OrderFilter {
            partner_id: listed_partner(caller, asked)?
                .map(String::from)
                .unwrap_or_default(),
            state: state
                .map(|state| word(state.as_str_name(), "ORDER_STATE_"))
                .unwrap_or_default(),
            partner_checkout_id,
        };
        let query = format!(
            "orders|{}|{}|{}",
            filter.partner_id, filter.state, filter.partner_checkout_id
        );
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListOrders {
            filter,
            after: after(&page)?,
            limit: page.limit(),
        };
        let (orders, now) = self.db.read(caller, list).await?;
        let (orders, next_page_token) =
            page.cut(orders, |order| vec![order.order_id().to_string()]);
        let orders = orders
            .iter()
            .map(|order| render::order(order, now))
            .collect();
        Ok(pb::ListOrdersResponse {
            orders,
            next_page_token,
        })
    }

    pub(super) async fn list_refunds(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListRefundsRequest,
    ) -> Result<pb::ListRefundsResponse, Fault> {
        let mut v = Violations::new();
        let asked = v.opt_id("partner_id", &request.partner_id);
        let order_id = v.opt_id::<contracts::id::OrderId>("order_id", &request.order_id);
        let state = v.opt_enumeration::<pb::RefundState>("state", request.state);
        v.finish()?;
        let filter = RefundFilter {
            partner_id: listed_partner(caller, asked)?
                .map(String::from)
                .unwrap_or_default(),
            order_id: order_id.map(String::from).unwrap_or_default(),
            state: state
                .map(|state| word(state.as_str_name(), "REFUND_STATE_"))
                .unwrap_or_default(),
        };
        let query = format!(
            "refunds|{}|{}|{}",
            filter.partner_id, filter.order_id, filter.state
        );
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListRefunds {
            filter,
            after: after(&page)?,
            limit: page.limit(),
        };
        let refunds = self.db.read(caller, list).await?;
        let (refunds, next_page_token) =
            page.cut(refunds, |refund| vec![refund.refund_id.to_string()]);
        Ok(pb::ListRefundsResponse {
            refunds: refunds.iter().map(render::refund).collect(),
            next_page_token,
        })
    }
}

/// The word for a state in the tables: the contract's name without its prefix.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}
