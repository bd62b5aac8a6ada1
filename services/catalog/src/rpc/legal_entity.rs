//! LegalEntityService.

use contracts::catalog::v1::legal_entity_service_server::LegalEntityService;
use contracts::catalog::v1::{self, *};
use contracts::id::LegalEntityId;
use kit::validate::Violations;
use tonic::Request;

use super::partner::code;
use super::{Answer, Keys, Rpc, given, open, parse, render_rules, request_id};
use crate::model::legal_entity::LegalEntityDetails;
use crate::ops::legal_entity::{RegisterLegalEntity, RetireLegalEntity};
use crate::ops::read;

const NAME_MAX: usize = 200;
const TAX_NUMBER_MAX: usize = 64;
const OFFICE_MAX: usize = 300;

#[tonic::async_trait]
impl LegalEntityService for Rpc {
    async fn register_legal_entity(
        &self,
        request: Request<RegisterLegalEntityRequest>,
    ) -> Answer<RegisterLegalEntityResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v.required("legal_entity", &asked.legal_entity);
        let details = sent.map(|sent| details(&mut v.nested("legal_entity"), sent));
        v.finish()?;
        let operation = RegisterLegalEntity {
            details: given(details)?,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.LegalEntityService/RegisterLegalEntity",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |entity| {
            RegisterLegalEntityResponse {
                legal_entity: Some(render_rules::legal_entity(entity)),
            }
        })
        .await
    }

    async fn retire_legal_entity(
        &self,
        request: Request<RetireLegalEntityRequest>,
    ) -> Answer<RetireLegalEntityResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let legal_entity_id = v.id::<LegalEntityId>("legal_entity_id", &asked.legal_entity_id);
        v.finish()?;
        let operation = RetireLegalEntity {
            legal_entity_id: given(legal_entity_id)?,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.LegalEntityService/RetireLegalEntity",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |entity| {
            RetireLegalEntityResponse {
                legal_entity: Some(render_rules::legal_entity(entity)),
            }
        })
        .await
    }

    async fn get_legal_entity(
        &self,
        request: Request<GetLegalEntityRequest>,
    ) -> Answer<GetLegalEntityResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let legal_entity_id = v.id::<LegalEntityId>("legal_entity_id", &asked.legal_entity_id);
        v.finish()?;
        let operation = read::GetLegalEntity {
            legal_entity_id: given(legal_entity_id)?,
        };
        let entity = self.read(&caller, operation).await?;
        Ok(GetLegalEntityResponse {
            legal_entity: Some(render_rules::legal_entity(&entity)),
        }
        .into())
    }

    async fn list_legal_entities(
        &self,
        request: Request<ListLegalEntitiesRequest>,
    ) -> Answer<ListLegalEntitiesResponse> {
        let (caller, asked) = open(request)?;
        let query = ["ListLegalEntities"];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let entities = self
            .read(&caller, read::ListLegalEntities { slice })
            .await?;
        let entities = entities.iter().map(render_rules::legal_entity).collect();
        let (legal_entities, next_page_token) =
            self.cut(&page, entities, |item| &item.legal_entity_id);
        Ok(ListLegalEntitiesResponse {
            legal_entities,
            next_page_token,
        }
        .into())
    }
}

fn details(v: &mut Violations, sent: &v1::LegalEntity) -> LegalEntityDetails {
    LegalEntityDetails {
        legal_entity_code: code(v, "legal_entity_code", &sent.legal_entity_code),
        legal_name: v.text("legal_name", &sent.legal_name, 1..=NAME_MAX),
        country_code: parse::territory(v, "country_code", &sent.country_code),
        tax_number: v.text("tax_number", &sent.tax_number, 1..=TAX_NUMBER_MAX),
        registered_office: v.text("registered_office", &sent.registered_office, 0..=OFFICE_MAX),
    }
}
