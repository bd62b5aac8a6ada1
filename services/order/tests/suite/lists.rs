//! Looking at orders and refunds.

use contracts::order::v1 as pb;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{Clients, PRICE, World, fields, partner, refused, setup};

async fn keys(clients: &mut Clients, request: pb::ListOrdersRequest) -> Vec<String> {
    let (mut keys, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListOrdersRequest {
            page_token,
            page_size: 2,
            ..request.clone()
        };
        let page = clients
            .orders
            .list_orders(request)
            .await
            .expect("a page")
            .into_inner();
        assert!(page.orders.len() <= 2);
        keys.extend(page.orders.into_iter().map(|order| order.partner_order_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

on_both_engines! {
    setup: setup();

    async fn orders_by_partner_state_and_checkout(t: TestDb) {
        let world = World::start(t).await;
        world.stock(20).await;
        let mut one = world.partner(1);
        for at in 1..=5 {
            world.advance(std::time::Duration::from_millis(1));
            let checkout = if at % 2 == 0 { "even" } else { "" };
            let request = pb::PlaceOrderRequest {
                partner_checkout_id: checkout.into(), ..world.order(&format!("o-{at}"), &[(1, 1)])
            };
            one.orders.place_order(request).await.expect("placed");
        }
        world.advance(std::time::Duration::from_millis(1));
        world.partner(2).orders.place_order(world.order("other", &[(3, 1)])).await.expect("placed");
        world.advance(std::time::Duration::from_millis(1));
        world.paid("paid", &[(1, 1)]).await;

        let all = pb::ListOrdersRequest::default();
        assert_eq!(keys(&mut one, all.clone()).await, ["o-1", "o-2", "o-3", "o-4", "o-5", "paid"]);
        assert_eq!(keys(&mut world.partner(2), all.clone()).await, ["other"]);
        let mut ops = world.ops();
        assert_eq!(keys(&mut ops, all.clone()).await.len(), 7);
        let of_two = pb::ListOrdersRequest { partner_id: partner(2).into(), ..all.clone() };
        assert_eq!(keys(&mut ops, of_two).await, ["other"]);
        let confirmed = pb::ListOrdersRequest { state: pb::OrderState::Confirmed.into(), ..all.clone() };
        assert_eq!(keys(&mut one, confirmed).await, ["paid"]);
        let even = pb::ListOrdersRequest { partner_checkout_id: "even".into(), ..all.clone() };
        assert_eq!(keys(&mut one, even.clone()).await, ["o-2", "o-4"]);
        assert_eq!(keys(&mut ops, even).await, ["o-2", "o-4"]);
        assert!(keys(&mut ops, pb::ListOrdersRequest { partner_id: partner(9).into(), ..all.clone() }).await.is_empty());

        let wrong = pb::ListOrdersRequest { state: 99, partner_id: "x".into(), ..all.clone() };
        let status = refused(one.orders.list_orders(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["partner_id", "state"]);
        let garbage = pb::ListOrdersRequest { page_token: "garbage".into(), ..all.clone() };
        refused(one.orders.list_orders(garbage).await, "BAD_PAGE_TOKEN", Code::InvalidArgument);
        let first = pb::ListOrdersRequest { page_size: 1, ..all };
        let token = one.orders.list_orders(first.clone()).await.expect("a page").into_inner().next_page_token;
        let foreign = pb::ListOrdersRequest { page_token: token, ..first };
        refused(world.partner(2).orders.list_orders(foreign).await, "BAD_PAGE_TOKEN", Code::InvalidArgument);
    }

    async fn one_order_by_either_name(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let placed = world.place("o-1", &[(1, 2)]).await;
        let mut partner = world.partner(1);
        let named = pb::GetOrderRequest { partner_order_id: "o-1".into(), ..Default::default() };
        let order = partner.orders.get_order(named.clone()).await.expect("found").into_inner().order.expect("it");
        assert_eq!(order, world.get(&placed.order_id).await);
        assert_eq!((order.state(), order.lines[0].quantities.expect("counters").ordered), (pb::OrderState::PendingPayment, 2));
        assert_eq!(order.amount, placed.amount);
        assert_eq!(order.hold_expire_time, placed.hold_expire_time);
        for (wrong, field) in [
            (pb::GetOrderRequest::default(), "order_id"),
            (pb::GetOrderRequest { order_id: placed.order_id.clone(), ..named.clone() }, "partner_order_id"),
            (pb::GetOrderRequest { order_id: "x".into(), ..Default::default() }, "order_id"),
        ] {
            let status = refused(partner.orders.get_order(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), [field]);
        }
        let status = refused(world.ops().orders.get_order(named).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["partner_order_id"]);
    }

    async fn refunds_by_partner_order_and_state(t: TestDb) {
        let world = World::start(t).await;
        world.stock(9).await;
        let mut partner = world.partner(1);
        let mut orders = Vec::new();
        for at in 1..=3 {
            world.advance(std::time::Duration::from_millis(1));
            let placed = world.paid(&format!("o-{at}"), &[(1, 1)]).await;
            let twice = world.payment(1, &placed.order_id, "twice", PRICE);
            partner.orders.confirm_payment(twice).await.expect("recorded");
            orders.push(placed.order_id);
        }
        let list = |request: pb::ListRefundsRequest| {
            let mut partner = partner.clone();
            async move { partner.orders.list_refunds(request).await.expect("a page").into_inner() }
        };
        let all = list(pb::ListRefundsRequest::default()).await.refunds;
        assert_eq!(all.iter().map(|refund| refund.order_id.clone()).collect::<Vec<_>>(), orders);
        let first = list(pb::ListRefundsRequest { page_size: 2, ..Default::default() }).await;
        let token = first.next_page_token.clone();
        let second = list(pb::ListRefundsRequest { page_size: 2, page_token: token, ..Default::default() }).await;
        assert_eq!([first.refunds, second.refunds].concat(), all);
        let of_one = list(pb::ListRefundsRequest { order_id: orders[1].clone(), ..Default::default() }).await;
        assert_eq!(of_one.refunds, all[1..2]);
        let executed = pb::ListRefundsRequest { state: pb::RefundState::Executed.into(), ..Default::default() };
        assert!(list(executed).await.refunds.is_empty());
        let foreign = pb::ListRefundsRequest { order_id: orders[1].clone(), ..Default::default() };
        assert!(world.partner(2).orders.list_refunds(foreign).await.expect("a page").into_inner().refunds.is_empty());
    }
}
