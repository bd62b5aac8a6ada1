//! RegulationService.

use contracts::catalog::v1::regulation_service_server::RegulationService;
use contracts::catalog::v1::{self, *};
use contracts::id::{LicenceId, PartnerId};
use kit::validate::Violations;
use tonic::Request;

use super::partner::partner_or_own;
use super::{Answer, Keys, Rpc, etag, given, open, parse, reason, render_rules, request_id};
use crate::model::regulation::RuleTerms;
use crate::ops::read;
use crate::ops::regulation::{RecordLicence, RevokeLicence, SetCategoryRule};

const NOTE_MAX: usize = 500;
const NUMBER_MAX: usize = 100;
const AGE_MAX: i64 = 99;

#[tonic::async_trait]
impl RegulationService for Rpc {
    async fn set_category_rule(
        &self,
        request: Request<SetCategoryRuleRequest>,
    ) -> Answer<SetCategoryRuleResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v.required("category_rule", &asked.category_rule);
        let parsed = sent.map(|sent| rule(&mut v.nested("category_rule"), sent));
        v.finish()?;
        let (terms, etag) = given(parsed)?;
        let keys = Keys {
            method: "vitrine.catalog.v1.RegulationService/SetCategoryRule",
            request_id,
            request: &asked,
        };
        let operation = SetCategoryRule { terms, etag };
        self.mutate(&caller, keys, operation, |rule| SetCategoryRuleResponse {
            category_rule: Some(render_rules::rule(rule)),
        })
        .await
    }

    async fn get_category_rule(
        &self,
        request: Request<GetCategoryRuleRequest>,
    ) -> Answer<GetCategoryRuleResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let category = parse::regulated_category(&mut v, &asked.regulated_category, false);
        v.finish()?;
        let rule = self
            .read(&caller, read::GetCategoryRule { category })
            .await?;
        Ok(GetCategoryRuleResponse {
            category_rule: Some(render_rules::rule(&rule)),
        }
        .into())
    }

    async fn list_category_rules(
        &self,
        request: Request<ListCategoryRulesRequest>,
    ) -> Answer<ListCategoryRulesResponse> {
        let (caller, asked) = open(request)?;
        let query = ["ListCategoryRules"];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let rules = self
            .read(&caller, read::ListCategoryRules { slice })
            .await?;
        let rules = rules.iter().map(render_rules::rule).collect();
        let (category_rules, next_page_token) =
            self.cut(&page, rules, |item| &item.regulated_category);
        Ok(ListCategoryRulesResponse {
            category_rules,
            next_page_token,
        }
        .into())
    }

    async fn record_licence(
        &self,
        request: Request<RecordLicenceRequest>,
    ) -> Answer<RecordLicenceResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let sent = v.required("licence", &asked.licence);
        let parsed = sent.and_then(|sent| licence(&mut v.nested("licence"), sent));
        v.finish()?;
        let operation = given(parsed)?;
        let keys = Keys {
            method: "vitrine.catalog.v1.RegulationService/RecordLicence",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |licence| RecordLicenceResponse {
            licence: Some(render_rules::licence(licence)),
        })
        .await
    }

    async fn revoke_licence(
        &self,
        request: Request<RevokeLicenceRequest>,
    ) -> Answer<RevokeLicenceResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let licence_id = v.id::<LicenceId>("licence_id", &asked.licence_id);
        let reason = reason(&mut v, &asked.reason);
        v.finish()?;
        let operation = RevokeLicence {
            licence_id: given(licence_id)?,
            reason,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.RegulationService/RevokeLicence",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |licence| RevokeLicenceResponse {
            licence: Some(render_rules::licence(licence)),
        })
        .await
    }

    async fn list_licences(
        &self,
        request: Request<ListLicencesRequest>,
    ) -> Answer<ListLicencesResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        let category = parse::regulated_category(&mut v, &asked.regulated_category, true);
        v.finish()?;
        let own = partner_id.as_ref().map_or("", |id| id.as_str());
        let query = ["ListLicences", own, &category];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = read::ListLicences {
            partner_id,
            category,
            slice,
        };
        let licences = self.read(&caller, operation).await?;
        let licences = licences.iter().map(render_rules::licence).collect();
        let (licences, next_page_token) = self.cut(&page, licences, |item| &item.licence_id);
        Ok(ListLicencesResponse {
            licences,
            next_page_token,
        }
        .into())
    }
}

fn rule(v: &mut Violations, sent: &v1::CategoryRule) -> (RuleTerms, Option<String>) {
    let terms = RuleTerms {
        regulated_category: parse::regulated_category(v, &sent.regulated_category, false),
        permitted_territories: parse::territories(
            v,
            "permitted_territories",
            &sent.permitted_territories,
            1,
        ),
        minimum_age_years: v.range("minimum_age_years", sent.minimum_age_years, 0..=AGE_MAX),
        licence_required: sent.licence_required,
        note: v.text("note", &sent.note, 0..=NOTE_MAX),
    };
    (terms, etag(v, &sent.etag))
}

fn licence(v: &mut Violations, sent: &v1::Licence) -> Option<RecordLicence> {
    let partner_id = v.id::<PartnerId>("partner_id", &sent.partner_id);
    let regulated_category = parse::regulated_category(v, &sent.regulated_category, false);
    let licence_number = v.text("licence_number", &sent.licence_number, 1..=NUMBER_MAX);
    let territories = parse::territories(v, "territories", &sent.territories, 0);
    let start_time = v.opt_time("start_time", &sent.start_time);
    let expire_time = v.time("expire_time", &sent.expire_time);
    if let Some((start, expire)) = start_time.zip(expire_time)
        && expire <= start
    {
        v.add("expire_time", "must be later than start_time.");
    }
    Some(RecordLicence {
        partner_id: partner_id?,
        regulated_category,
        licence_number,
        territories,
        start_time,
        expire_time: expire_time?,
    })
}
