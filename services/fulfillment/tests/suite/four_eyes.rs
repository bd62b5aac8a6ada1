//! Who proposes never approves, pair by pair: large amounts of a matter after the sale, and the arbiter of a dispute.
//!
//! A principal is known by what its token says it is: the audience and the subject. Another token of the same subject is
//! the same principal, whatever its roles. That one person has two subjects nobody can tell here.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use kit::auth::Claims;
use testkit::{TestDb, on_both_engines};

use crate::aftersales::{decide, delivered_and_priced, granted, reason, wish};
use crate::common::*;
use crate::server::Server;

mod security {
    use super::*;

    on_both_engines! {
        setup: setup();

        async fn who_grants_a_large_amount_does_not_agree_to_it(t: TestDb) {
            let (_never_tied, order) = kit::wire::Wire::late();
            let config = fulfillment::Config { aftersale_alone_default_minor_units: 100, ..fulfillment::Config::default() };
            let server = Server::start_with(&t, crate::server::house(&t), order, config, false).await;
            delivered_and_priced(&t, 1, &[1]).await;
            let open = wish("k1", 1, pb::AftersaleKind::RefundOnly, pb::AftersaleReason::NeverArrived, 1, None);
            let id = server.open(open).await.aftersale_id;
            let mut ana = server.matters(Claims::retailer("ana", &[RetailerRole::Care]));
            ana.decide_aftersale(decide("k2", &id, granted(false))).await.expect("granted");
            let agree = |key: String, approve: bool| pb::ApproveAftersaleRefundRequest {
                request_id: key,
                aftersale_id: id.clone(),
                approve,
                message: if approve { String::new() } else { "by myself".into() },
                ..Default::default()
            };
            let tokens: [&[RetailerRole]; 3] =
                [&[RetailerRole::Finance], &[RetailerRole::Care, RetailerRole::Finance], &kit::caller::ROLES];
            for (n, roles) in tokens.into_iter().enumerate() {
                let mut same = server.matters(Claims::retailer("ana", roles));
                for approve in [true, false] {
                    let own = agree(format!("a-{n}-{approve}"), approve);
                    assert_eq!(reason(same.approve_aftersale_refund(own).await), ErrorReason::SelfApproval);
                }
            }
            let mut other = server.matters(Claims::retailer("bea", &[RetailerRole::Finance]));
            let agreed = other.approve_aftersale_refund(agree("b".into(), true)).await.expect("somebody else");
            let agreed = agreed.into_inner().aftersale.expect("it");
            assert_eq!(agreed.state(), pb::AftersaleState::Refunding);
        }
    }
}
