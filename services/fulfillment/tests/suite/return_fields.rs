//! Wrong fields of calls about returns: each is named, all at once, and nothing is done.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::decide_return_request::Decision;
use contracts::order::v1::LineQuantity;
use testkit::house::refused;
use testkit::{TestDb, on_both_engines};
use tonic::Status;

use crate::common::*;
use crate::returns::*;
use crate::server::Server;

fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let refusal = refused(answer);
    assert_eq!(refusal.reason, ErrorReason::InvalidField, "{refusal:?}");
    refusal
        .violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn not_offered<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let refusal = refused(answer);
    assert_eq!(refusal.reason, ErrorReason::NotOffered, "{refusal:?}");
    refusal.metadata["field"].clone()
}

on_both_engines! {
    setup: setup();

    async fn wishes(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2]).await;
        let before = story(&t).await;
        let mut partner = server.returns_of(1);
        let nothing = pb::RequestReturnRequest::default();
        assert_eq!(fields(partner.request_return(nothing).await), ["request_id", "order_id", "kind", "lines"]);
        let mut wrong = ask("k", 1, &[(1, 0), (1, 1)]);
        wrong.order_id = "fulfil_x".into();
        wrong.kind = 99;
        wrong.shopper_note = "n".repeat(1_001);
        wrong.lines[0].reason = 0;
        wrong.lines[1].reason = 99;
        assert_eq!(
            fields(partner.request_return(wrong).await),
            [
                "order_id", "kind", "lines[0].quantity", "lines[1].order_line_id", "lines[0].reason", "lines[1].reason",
                "shopper_note",
            ]
        );
        let mut many = ask("k", 1, &[(1, 1)]);
        many.lines = vec![many.lines[0].clone(); 101];
        assert_eq!(fields(partner.request_return(many).await), ["lines"]);
        assert_eq!(fields(partner.request_return(ask("k", 1, &[(7, 1)])).await), ["lines[0].order_line_id"]);
        for kind in [pb::ReturnKind::RefundOnly, pb::ReturnKind::Exchange, pb::ReturnKind::Replacement] {
            let request = pb::RequestReturnRequest { kind: kind.into(), ..ask("k", 1, &[(1, 1)]) };
            assert_eq!(not_offered(partner.request_return(request).await), "kind");
        }
        let mut serial = ask("k", 1, &[(1, 1)]);
        serial.lines[0].unit_ids = vec!["unit_1".into()];
        assert_eq!(not_offered(partner.request_return(serial).await), "lines[0].unit_ids");
        let check = pb::CheckReturnEligibilityRequest::default();
        assert_eq!(fields(partner.check_return_eligibility(check).await), ["order_id"]);
        assert_eq!(story(&t).await, before, "nothing was done");
    }

    async fn decisions(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2, 1]).await;
        let id = requested(&server, "k", 1, &[(1, 2)]).await.return_id;
        let before = story(&t).await;
        let mut care = server.returns_as(RetailerRole::Care);
        let nothing = pb::DecideReturnRequest::default();
        assert_eq!(fields(care.decide_return(nothing).await), ["request_id", "return_id", "approve"]);
        let mut no = reject("k", &id);
        no.decision = Some(Decision::Reject(pb::ReturnRejection::default()));
        no.etag = "e".repeat(65);
        assert_eq!(fields(care.decide_return(no).await), ["etag", "reject.message"]);
        let yes = |change: &dyn Fn(&mut pb::ReturnApproval)| {
            let mut request = approve("k", &id, vec![]);
            if let Some(Decision::Approve(approval)) = &mut request.decision {
                change(approval);
            }
            request
        };
        let empty = yes(&|approval| *approval = pb::ReturnApproval::default());
        assert_eq!(fields(care.decide_return(empty).await), ["approve.instructions"]);
        let mut no_time = kit::clock::Micros(0).to_proto();
        no_time.nanos = -1;
        let wrong = yes(&|approval| {
            let line = LineQuantity { order_line_id: "x".into(), quantity: 0 };
            approval.lines = vec![line];
            approval.message = "m".repeat(501);
            approval.instructions = Some(pb::ReturnInstructions {
                return_site_reference: String::new(),
                carrier_code: "c".repeat(41),
                tracking_number: "t".repeat(81),
                return_by_time: Some(no_time),
            });
        });
        assert_eq!(
            fields(care.decide_return(wrong).await),
            [
                "approve.lines[0].order_line_id",
                "approve.lines[0].quantity",
                "approve.message",
                "approve.instructions.return_site_reference",
                "approve.instructions.carrier_code",
                "approve.instructions.tracking_number",
                "approve.instructions.return_by_time",
            ]
        );
        for seconds in [0, -1, 91 * 86_400] {
            let at = yes(&|approval| {
                let mut by = kit::clock::Clock::now(&*t.clock).to_proto();
                by.seconds += seconds;
                approval.instructions.as_mut().expect("where to").return_by_time = Some(by);
            });
            assert_eq!(fields(care.decide_return(at).await), ["approve.instructions.return_by_time"]);
        }
        let other_line = LineQuantity { order_line_id: line_id(1, 2).into(), quantity: 1 };
        let request = approve("k", &id, vec![other_line]);
        assert_eq!(fields(care.decide_return(request).await), ["approve.lines[0].order_line_id"]);
        let too_many = LineQuantity { order_line_id: line_id(1, 1).into(), quantity: 3 };
        assert_eq!(reason(care.decide_return(approve("k", &id, vec![too_many])).await), ErrorReason::OverQuantity);
        assert_eq!(fields(care.cancel_return(pb::CancelReturnRequest::default()).await), ["request_id", "return_id"]);
        assert_eq!(story(&t).await, before, "nothing was done");
    }

    async fn receipts_and_reads(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2, 1]).await;
        let id = approved(&server, "k", 1, &[(1, 2)]).await.return_id;
        let before = story(&t).await;
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        let nothing = pb::RecordReturnReceivedRequest::default();
        assert_eq!(fields(warehouse.record_return_received(nothing).await), ["request_id", "return_id", "units"]);
        let good = came(1, 1, 1, pb::GoodsCondition::AsNew, true);
        let wrong = vec![
            pb::ReceivedUnits::default(),
            good.clone(),
            good.clone(),
            pb::ReceivedUnits { condition: 99, quantity: -1, ..good.clone() },
        ];
        assert_eq!(
            fields(warehouse.record_return_received(receive("k", &id, wrong)).await),
            [
                "units[0].order_line_id",
                "units[0].quantity",
                "units[0].condition",
                "units[2].order_line_id",
                "units[3].quantity",
                "units[3].condition",
            ]
        );
        let many = receive("k", &id, vec![good.clone(); 501]);
        assert_eq!(fields(warehouse.record_return_received(many).await), ["units"]);
        let other = receive("k", &id, vec![came(1, 2, 1, pb::GoodsCondition::AsNew, true)]);
        assert_eq!(fields(warehouse.record_return_received(other).await), ["units[0].order_line_id"]);
        for condition in [pb::GoodsCondition::Damaged, pb::GoodsCondition::Defective] {
            let back = receive("k", &id, vec![came(1, 1, 1, condition, true)]);
            assert_eq!(fields(warehouse.record_return_received(back).await), ["units[0].restock"]);
        }
        let over = receive("k", &id, vec![good.clone(), came(1, 1, 2, pb::GoodsCondition::Used, false)]);
        assert_eq!(reason(warehouse.record_return_received(over).await), ErrorReason::OverQuantity);
        let serial = pb::ReceivedUnits { unit_ids: vec!["unit_1".into()], ..good };
        let serial = warehouse.record_return_received(receive("k", &id, vec![serial])).await;
        assert_eq!(not_offered(serial), "units[0].unit_ids");
        assert_eq!(fields(warehouse.get_return(pb::GetReturnRequest::default()).await), ["return_id"]);
        let list = pb::ListReturnsRequest {
            partner_id: "x".into(),
            order_id: "x".into(),
            state: 99,
            ..Default::default()
        };
        assert_eq!(fields(warehouse.list_returns(list).await), ["partner_id", "order_id", "state"]);
        let list = pb::ListReturnsRequest { page_token: "AAAA".into(), ..Default::default() };
        assert_eq!(reason(warehouse.list_returns(list).await), ErrorReason::BadPageToken);
        assert_eq!(story(&t).await, before, "nothing was done");
    }
}
