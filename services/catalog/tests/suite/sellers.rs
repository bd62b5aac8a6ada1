//! Legal entities, and the terms that name them.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::LegalEntityId;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn maison() -> LegalEntity {
    LegalEntity {
        legal_entity_code: "maison-fr".into(),
        legal_name: "Maison SA".into(),
        country_code: "FR".into(),
        tax_number: "FR12345678901".into(),
        registered_office: "1 rue du Port, Nantes".into(),
        ..LegalEntity::default()
    }
}

async fn register(s: &Server, entity: LegalEntity) -> Result<LegalEntity, tonic::Status> {
    let ops = s.ops();
    let request = RegisterLegalEntityRequest {
        request_id: key(),
        legal_entity: Some(entity),
    };
    call!(ops.entities.register_legal_entity(request))
        .map(|answer| answer.legal_entity.expect("it"))
}

async fn retire(s: &Server, id: &str) -> Result<LegalEntity, tonic::Status> {
    let ops = s.ops();
    let request = RetireLegalEntityRequest {
        request_id: key(),
        legal_entity_id: id.into(),
    };
    call!(ops.entities.retire_legal_entity(request)).map(|answer| answer.legal_entity.expect("it"))
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn terms_name_who_sells_for_ever(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        s.propose(&north, variant).await;
        let entity = register(&s, maison()).await.expect("registered");
        assert_eq!(entity.state(), LegalEntityState::Active);
        let id = entity.legal_entity_id.as_str();
        let with = |id: &str, name: &str| {
            let terms = ListingTerms { legal_entity_id: id.into(), legal_entity: name.into(), ..terms() };
            s.propose_on(&north, variant, terms)
        };
        assert_eq!(fields(with("", "Anybody").await), ["terms.legal_entity_id"], "one is registered now");
        assert_eq!(fields(with(id, "Somebody else").await), ["terms.legal_entity"]);
        let unknown = LegalEntityId::from_uuid(1).to_string();
        assert_eq!(reason(with(&unknown, "").await), ErrorReason::NotFound);
        for name in ["", "Maison SA"] {
            let terms = with(id, name).await.expect("proposed").terms.expect("terms");
            assert_eq!((terms.legal_entity.as_str(), terms.legal_entity_id.as_str()), ("Maison SA", id));
        }
        let listing = with(id, "").await.expect("proposed");
        let retired = retire(&s, id).await.expect("retired");
        assert_eq!((retired.state(), retired.retire_time.is_some()), (LegalEntityState::Retired, true));
        assert_eq!(reason(retire(&s, id).await), ErrorReason::WrongState);
        assert_eq!(reason(with(id, "").await), ErrorReason::WrongState);
        s.approve(&listing).await.expect("what names it goes on");

        // Partners read them; the old one stays readable.
        let (partner, ops) = (s.partner(&north), s.ops());
        let get = GetLegalEntityRequest { legal_entity_id: id.into() };
        let got = call!(partner.entities.get_legal_entity(get)).expect("there").legal_entity;
        assert_eq!(got.as_ref(), Some(&retired));
        let list = call!(ops.entities.list_legal_entities(ListLegalEntitiesRequest::default())).expect("a list");
        assert_eq!(list.legal_entities, [retired]);
    }

    async fn an_agreement_with_a_brand_may_name_who_sells(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let one = register(&s, maison()).await.expect("registered").legal_entity_id;
        let other = LegalEntity { legal_entity_code: "maison-de".into(), ..maison() };
        let other = register(&s, other).await.expect("registered").legal_entity_id;
        let agreement = BrandAgreement { brand: "Lund".into(), legal_entity_id: one.clone(), ..Default::default() };
        s.set_brand(agreement).await.expect("set");
        let with = |id: &str| {
            let terms = ListingTerms { legal_entity_id: id.into(), legal_entity: String::new(), ..terms() };
            s.propose_on(&north, &product.variants[0].variant_id, terms)
        };
        assert_eq!(rule(with(&other).await), "BRAND_AGREEMENT");
        with(&one).await.expect("proposed");
    }

    async fn what_is_wrong_with_a_legal_entity_is_said(t: TestDb) {
        let s = Server::start(&t).await;
        let wrong = LegalEntity {
            legal_entity_code: "M".into(), legal_name: String::new(), country_code: "fr".into(),
            tax_number: "x".repeat(65), registered_office: "x".repeat(301), ..LegalEntity::default()
        };
        assert_eq!(
            fields(register(&s, wrong).await),
            [
                "legal_entity.legal_entity_code", "legal_entity.legal_name", "legal_entity.country_code",
                "legal_entity.tax_number", "legal_entity.registered_office",
            ]
        );
        let ops = s.ops();
        let request = RegisterLegalEntityRequest { request_id: "once".into(), legal_entity: Some(maison()) };
        let first = call!(ops.entities.register_legal_entity(request.clone())).expect("registered");
        assert_eq!(call!(ops.entities.register_legal_entity(request)).expect("the same answer"), first);
        let other = LegalEntity { legal_name: "Other".into(), ..maison() };
        let reused = RegisterLegalEntityRequest { request_id: "once".into(), legal_entity: Some(other) };
        assert_eq!(reason(call!(ops.entities.register_legal_entity(reused))), ErrorReason::KeyReused);
        assert_eq!(reason(register(&s, maison()).await), ErrorReason::AlreadyExists);
        assert_eq!(reason(retire(&s, LegalEntityId::from_uuid(1).as_str()).await), ErrorReason::NotFound);
        let partner = s.register_partner("north").await;
        let partner = s.partner(&partner);
        let request = RegisterLegalEntityRequest { request_id: key(), legal_entity: Some(maison()) };
        assert_eq!(bytes_of(call!(partner.entities.register_legal_entity(request))).0, tonic::Code::PermissionDenied);
    }
}
