//! BrandService.

use contracts::catalog::v1::brand_service_server::BrandService;
use contracts::catalog::v1::{self, *};
use contracts::id::{LegalEntityId, PartnerId};
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Keys, Rpc, etag, given, open, parse, render_rules, request_id};
use crate::model::brand::{BrandTerms, brand_key};
use crate::ops::brand::SetBrandAgreement as SetOperation;
use crate::ops::read;

const BRAND_MAX: usize = 120;
const NOTE_MAX: usize = 500;
const PARTNERS_MAX: usize = 200;

#[tonic::async_trait]
impl BrandService for Rpc {
    async fn set_brand_agreement(
        &self,
        request: Request<SetBrandAgreementRequest>,
    ) -> Answer<SetBrandAgreementResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v.required("brand_agreement", &asked.brand_agreement);
        let parsed = sent.map(|sent| agreement(&mut v.nested("brand_agreement"), sent));
        v.finish()?;
        let (terms, etag) = given(parsed)?;
        let keys = Keys {
            method: "vitrine.catalog.v1.BrandService/SetBrandAgreement",
            request_id,
            request: &asked,
        };
        let operation = SetOperation { terms, etag };
        self.mutate(&caller, keys, operation, |agreement| {
            SetBrandAgreementResponse {
                brand_agreement: Some(render_rules::agreement(agreement)),
            }
        })
        .await
    }

    async fn get_brand_agreement(
        &self,
        request: Request<GetBrandAgreementRequest>,
    ) -> Answer<GetBrandAgreementResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let key = brand(&mut v, &asked.brand);
        v.finish()?;
        let operation = read::GetBrandAgreement {
            key: brand_key(&key),
        };
        let agreement = self.read(&caller, operation).await?;
        Ok(GetBrandAgreementResponse {
            brand_agreement: Some(render_rules::agreement(&agreement)),
        }
        .into())
    }

    async fn list_brand_agreements(
        &self,
        request: Request<ListBrandAgreementsRequest>,
    ) -> Answer<ListBrandAgreementsResponse> {
        let (caller, asked) = open(request)?;
        let query = ["ListBrandAgreements"];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let agreements = self
            .read(&caller, read::ListBrandAgreements { slice })
            .await?;
        let agreements = agreements.iter().map(render_rules::agreement).collect();
        let (brand_agreements, next_page_token) =
            self.cut(&page, agreements, |item| &item.brand_agreement_id);
        Ok(ListBrandAgreementsResponse {
            brand_agreements,
            next_page_token,
        }
        .into())
    }
}

fn brand(v: &mut Violations, text: &str) -> String {
    let brand = v.text("brand", text, 1..=BRAND_MAX);
    if !brand.is_empty() && brand_key(&brand).is_empty() {
        v.add("brand", "must have more than spaces.");
    }
    brand
}

fn agreement(v: &mut Violations, sent: &v1::BrandAgreement) -> (BrandTerms, Option<String>) {
    let legal_entity_id = v.opt_id::<LegalEntityId>("legal_entity_id", &sent.legal_entity_id);
    let mut allowed_partner_ids = Vec::new();
    if v.items(
        "allowed_partner_ids",
        &sent.allowed_partner_ids,
        0..=PARTNERS_MAX,
    ) {
        for (place, text) in sent.allowed_partner_ids.iter().enumerate() {
            let field = format!("allowed_partner_ids[{place}]");
            let Some(id) = v.id::<PartnerId>(&field, text) else {
                continue;
            };
            if allowed_partner_ids.contains(&id) {
                v.add(&field, "is there already; name every partner once.");
            }
            allowed_partner_ids.push(id);
        }
    }
    let terms = BrandTerms {
        brand: brand(v, &sent.brand),
        retailer_exclusive: sent.retailer_exclusive,
        territories: parse::territories(v, "territories", &sent.territories, 0),
        window: v.window("window", &sent.window),
        legal_entity_id,
        allowed_partner_ids,
        note: v.text("note", &sent.note, 0..=NOTE_MAX),
    };
    (terms, etag(v, &sent.etag))
}
