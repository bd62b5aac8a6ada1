//! What is another's looks like what is not there, byte for byte.

use contracts::id::kind;
use contracts::order::v1 as pb;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{World, france, line, nth, refused, setup};

on_both_engines! {
    setup: setup();

    async fn another_partners_things_look_like_unknown_ones(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let own = world.paid("o-1", &[(1, 1)]).await;
        let foreign = own.order_id.clone();
        let unknown = nth::<kind::Order>(4_242).to_string();
        let mut other = world.partner(2);

        macro_rules! same {
            ($service:ident . $method:ident($request:expr)) => {{
                let request = $request;
                let mut seen = Vec::new();
                for id in [&foreign, &unknown] {
                    let answer = other.$service.$method(request(id.clone())).await;
                    let status = refused(answer, "NOT_FOUND", Code::NotFound);
                    // The request id differs from call to call and is no part of it.
                    seen.push((status.message().to_owned(), status.details().to_vec()));
                }
                assert_eq!(seen[0], seen[1]);
            }};
        }
        same!(orders.get_order(|order_id| pb::GetOrderRequest { order_id, ..Default::default() }));
        same!(orders.extend_hold(|order_id| pb::ExtendHoldRequest {
            request_id: "e".into(), order_id, extension: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        }));
        same!(orders.cancel_order(|order_id| pb::CancelOrderRequest {
            request_id: "c".into(), order_id, lines: Vec::new(), reason: pb::CancelReason::PartnerRequest.into(),
        }));
        same!(orders.confirm_payment(|order_id: String| world.payment(2, &order_id, "p", 1_990)));
        let mine = refused(
            other.orders.get_order(pb::GetOrderRequest { partner_order_id: "o-1".into(), ..Default::default() }).await,
            "NOT_FOUND", Code::NotFound,
        );
        let none = refused(
            other.orders.get_order(pb::GetOrderRequest { partner_order_id: "o-9".into(), ..Default::default() }).await,
            "NOT_FOUND", Code::NotFound,
        );
        assert_eq!(mine.details(), none.details());

        // Another's listing, in a quote and in an order.
        for listing in [1, 99] {
            let quote = pb::QuoteOrderRequest {
                lines: vec![line(listing, 1)], destination: france(), shopper_ref: String::new(),
            };
            let quote = refused(other.orders.quote_order(quote).await, "NOT_FOUND", Code::NotFound);
            let place = other.orders.place_order(world.order("o-5", &[(listing, 1)])).await;
            let place = refused(place, "NOT_FOUND", Code::NotFound);
            assert_eq!((quote.message(), quote.details()), (place.message(), place.details()));
        }
        // Another's list is refused like an unknown partner's.
        for at in [1, 99] {
            let partner_id = crate::world::partner(at).to_string();
            let request = pb::ListOrdersRequest { partner_id: partner_id.clone(), ..Default::default() };
            refused(other.orders.list_orders(request).await, "NOT_FOUND", Code::NotFound);
            let request = pb::ListRefundsRequest { partner_id, ..Default::default() };
            refused(other.orders.list_refunds(request).await, "NOT_FOUND", Code::NotFound);
        }
        assert_eq!(world.get(&foreign).await.state(), pb::OrderState::Confirmed);
    }
}
