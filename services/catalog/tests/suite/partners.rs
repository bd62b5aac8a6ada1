//! Partners and outlets.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::PartnerId;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_partner_is_registered_once_for_its_key_and_its_code(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let request = RegisterPartnerRequest { request_id: "r".into(), partner: Some(profile("north")) };
        let first = call!(ops.partners.register_partner(request.clone())).expect("registered");
        let partner = first.partner.clone().expect("the partner");
        assert_eq!(partner.state(), PartnerState::Active);
        assert_eq!((partner.create_time, partner.etag.is_empty()), (partner.update_time, false));

        let again = call!(ops.partners.register_partner(request.clone())).expect("the same answer");
        assert_eq!(again, first);
        let other = RegisterPartnerRequest { partner: Some(profile("south")), ..request };
        assert_eq!(reason(call!(ops.partners.register_partner(other))), ErrorReason::KeyReused);
        let taken = RegisterPartnerRequest { request_id: key(), partner: Some(profile("north")) };
        let taken = refusal(call!(ops.partners.register_partner(taken)));
        assert_eq!(taken.reason, ErrorReason::AlreadyExists);
        assert_eq!(taken.metadata["field"], "partner.partner_code");

        let get = GetPartnerRequest { partner_id: partner.partner_id.clone() };
        let own = s.partner(&partner.partner_id);
        for hand in [ops, own] {
            let read = call!(hand.partners.get_partner(get.clone())).expect("readable");
            assert_eq!(read.partner.as_ref(), Some(&partner));
        }
    }

    async fn a_refusal_uses_up_no_key(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        s.register_partner("north").await;
        let mut request = RegisterPartnerRequest { request_id: "r".into(), partner: Some(profile("north")) };
        assert_eq!(reason(call!(ops.partners.register_partner(request.clone()))), ErrorReason::AlreadyExists);
        request.partner = Some(profile("south"));
        call!(ops.partners.register_partner(request)).expect("the key was never used");
    }

    async fn every_wrong_field_of_a_partner_is_named(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let nothing = RegisterPartnerRequest::default();
        assert_eq!(fields(call!(ops.partners.register_partner(nothing))), ["request_id", "partner"]);
        for code in ["n", "North", "n_1", "", "ñorth", &"n".repeat(33)] {
            let partner = Partner {
                partner_code: code.into(),
                display_name: "x".repeat(121),
                legal_entity: "a\nb".into(),
                ..Partner::default()
            };
            let request = RegisterPartnerRequest { request_id: "x".repeat(65), partner: Some(partner) };
            assert_eq!(
                fields(call!(ops.partners.register_partner(request))),
                ["request_id", "partner.partner_code", "partner.display_name", "partner.legal_entity"]
            );
        }
    }

    async fn a_partner_is_suspended_with_a_reason_and_resumed(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let request = SuspendPartnerRequest {
            request_id: "s".into(),
            partner_id: partner_id.clone(),
            reason: String::new(),
            etag: String::new(),
        };
        assert_eq!(fields(call!(ops.partners.suspend_partner(request.clone()))), ["reason"]);
        let request = SuspendPartnerRequest { reason: "late payments".into(), ..request };
        let stale = SuspendPartnerRequest { etag: "v9".into(), ..request.clone() };
        assert_eq!(reason(call!(ops.partners.suspend_partner(stale))), ErrorReason::EtagMismatch);

        let suspended = call!(ops.partners.suspend_partner(request.clone())).expect("suspended");
        let partner = suspended.partner.clone().expect("the partner");
        assert_eq!((partner.state(), partner.suspend_reason.as_str()), (PartnerState::Suspended, "late payments"));
        assert_eq!(call!(ops.partners.suspend_partner(request)).expect("replayed"), suspended);
        let refusal = refusal(s.suspend(&partner_id).await);
        assert_eq!((refusal.reason, refusal.preconditions.len()), (ErrorReason::WrongState, 1));

        let resume = ResumePartnerRequest { request_id: key(), partner_id: partner_id.clone(), etag: partner.etag };
        let resumed = call!(ops.partners.resume_partner(resume.clone())).expect("resumed").partner.expect("it");
        assert_eq!((resumed.state(), resumed.suspend_reason.as_str()), (PartnerState::Active, ""));
        let stale = ResumePartnerRequest { request_id: key(), ..resume };
        assert_eq!(reason(call!(ops.partners.resume_partner(stale.clone()))), ErrorReason::EtagMismatch);
        let again = ResumePartnerRequest { etag: String::new(), ..stale };
        assert_eq!(reason(call!(ops.partners.resume_partner(again))), ErrorReason::WrongState);
        let unknown = PartnerId::from_uuid(1).to_string();
        assert_eq!(reason(s.suspend(&unknown).await), ErrorReason::NotFound);
    }

    async fn outlets_are_registered_for_a_partner_that_exists(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let outlet = Outlet {
            partner_id: partner_id.clone(),
            surface: Surface::MiniProgram.into(),
            display_name: "North shop".into(),
            ..Outlet::default()
        };
        let request = RegisterOutletRequest { request_id: key(), outlet: Some(outlet.clone()) };
        let made = call!(ops.partners.register_outlet(request.clone())).expect("registered");
        assert_eq!(call!(ops.partners.register_outlet(request)).expect("replayed"), made);
        let made = made.outlet.expect("the outlet");
        assert_eq!((made.surface(), made.partner_id.as_str()), (Surface::MiniProgram, partner_id.as_str()));

        let own = s.partner(&partner_id);
        let list = call!(own.partners.list_outlets(ListOutletsRequest::default())).expect("a list");
        assert_eq!(list.outlets, [made]);

        let wrong = Outlet { partner_id: "x".into(), surface: 9, display_name: String::new(), ..outlet.clone() };
        let wrong = RegisterOutletRequest { request_id: key(), outlet: Some(wrong) };
        assert_eq!(
            fields(call!(ops.partners.register_outlet(wrong))),
            ["outlet.surface", "outlet.display_name", "outlet.partner_id"]
        );
        let unknown = Outlet { partner_id: PartnerId::from_uuid(1).to_string(), ..outlet };
        let unknown = RegisterOutletRequest { request_id: key(), outlet: Some(unknown) };
        assert_eq!(reason(call!(ops.partners.register_outlet(unknown))), ErrorReason::NotFound);
    }
}
