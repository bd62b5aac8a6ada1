//! PartnerService.

use contracts::catalog::v1::partner_service_server::PartnerService;
use contracts::catalog::v1::{self, *};
use contracts::id::{PartnerId, PaymentKeyId};
use kit::caller::Caller;
use kit::partners::News;
use kit::validate::Violations;
use tonic::Request;

use super::{Answer, Keys, Rpc, etag, given, open, reason, render, request_id};
use crate::model::outlet::Surface;
use crate::model::partner::{Partner, PartnerProfile};
use crate::model::payment_key::jwk_problem;
use crate::ops::outlet::RegisterOutlet;
use crate::ops::partner::{RegisterPartner, TurnPartner};
use crate::ops::payment_key::{AddPaymentKey, RevokePaymentKey};
use crate::ops::read;

const NAME_MAX: usize = 120;
const LEGAL_ENTITY_MAX: usize = 200;
pub(super) const KID_MAX: usize = 64;
pub(super) const JWK_MAX: usize = 4_096;

#[tonic::async_trait]
impl PartnerService for Rpc {
    async fn register_partner(
        &self,
        request: Request<RegisterPartnerRequest>,
    ) -> Answer<RegisterPartnerResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner = v.required("partner", &asked.partner);
        let profile = partner.map(|partner| profile(&mut v.nested("partner"), partner));
        v.finish()?;
        let operation = RegisterPartner {
            profile: given(profile)?,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RegisterPartner",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |partner| {
            RegisterPartnerResponse {
                partner: Some(render::partner(partner)),
            }
        })
        .await
    }

    async fn get_partner(&self, request: Request<GetPartnerRequest>) -> Answer<GetPartnerResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        v.finish()?;
        let operation = read::GetPartner {
            partner_id: given(partner_id)?,
        };
        let partner = self.read(&caller, operation).await?;
        Ok(GetPartnerResponse {
            partner: Some(render::partner(&partner)),
        }
        .into())
    }

    async fn list_partners(
        &self,
        request: Request<ListPartnersRequest>,
    ) -> Answer<ListPartnersResponse> {
        let (caller, asked) = open(request)?;
        let (page, slice) = self.page(
            &caller,
            asked.page_size,
            &asked.page_token,
            &["ListPartners"],
        )?;
        let partners = self.read(&caller, read::ListPartners { slice }).await?;
        let partners = partners.iter().map(render::partner).collect();
        let (partners, next_page_token) = self.cut(&page, partners, |item| &item.partner_id);
        Ok(ListPartnersResponse {
            partners,
            next_page_token,
        }
        .into())
    }

    async fn suspend_partner(
        &self,
        request: Request<SuspendPartnerRequest>,
    ) -> Answer<SuspendPartnerResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        let suspend_reason = Some(reason(&mut v, &asked.reason));
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = TurnPartner {
            partner_id: given(partner_id)?,
            suspend_reason,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/SuspendPartner",
            request_id,
            request: &asked,
        };
        let answer = self
            .mutate(&caller, keys, operation, |partner: &Partner| {
                SuspendPartnerResponse {
                    partner: Some(render::partner(partner)),
                }
            })
            .await?;
        // Here at once; whoever else is there hears of it from the feed.
        let partner = answer.get_ref().partner.as_ref();
        self.partners
            .learn(partner.map(News::of_partner).transpose()?);
        Ok(answer)
    }

    async fn resume_partner(
        &self,
        request: Request<ResumePartnerRequest>,
    ) -> Answer<ResumePartnerResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = TurnPartner {
            partner_id: given(partner_id)?,
            suspend_reason: None,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/ResumePartner",
            request_id,
            request: &asked,
        };
        let answer = self
            .mutate(&caller, keys, operation, |partner: &Partner| {
                ResumePartnerResponse {
                    partner: Some(render::partner(partner)),
                }
            })
            .await?;
        // Here at once; whoever else is there hears of it from the feed.
        let partner = answer.get_ref().partner.as_ref();
        self.partners
            .learn(partner.map(News::of_partner).transpose()?);
        Ok(answer)
    }

    async fn add_payment_key(
        &self,
        request: Request<AddPaymentKeyRequest>,
    ) -> Answer<AddPaymentKeyResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        let kid = v.text("kid", &asked.kid, 1..=KID_MAX);
        let public_key_jwk = v.long_text("public_key_jwk", &asked.public_key_jwk, 1..=JWK_MAX);
        if let Some(problem) = Some(&public_key_jwk)
            .filter(|jwk| !jwk.is_empty())
            .and_then(|jwk| jwk_problem(jwk, &kid))
        {
            v.add("public_key_jwk", problem);
        }
        v.finish()?;
        let operation = AddPaymentKey {
            partner_id: given(partner_id)?,
            kid,
            public_key_jwk,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/AddPaymentKey",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |key| AddPaymentKeyResponse {
            payment_key: Some(render::payment_key(key)),
        })
        .await
    }

    async fn revoke_payment_key(
        &self,
        request: Request<RevokePaymentKeyRequest>,
    ) -> Answer<RevokePaymentKeyResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let payment_key_id = v.id::<PaymentKeyId>("payment_key_id", &asked.payment_key_id);
        let reason = reason(&mut v, &asked.reason);
        v.finish()?;
        let operation = RevokePaymentKey {
            payment_key_id: given(payment_key_id)?,
            reason,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RevokePaymentKey",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |key| RevokePaymentKeyResponse {
            payment_key: Some(render::payment_key(key)),
        })
        .await
    }

    async fn list_payment_keys(
        &self,
        request: Request<ListPaymentKeysRequest>,
    ) -> Answer<ListPaymentKeysResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        if partner_id.is_none() && asked.partner_id.is_empty() {
            v.add("partner_id", "must not be empty.");
        }
        v.finish()?;
        let partner_id = given(partner_id)?;
        let query = ["ListPaymentKeys", partner_id.as_str()];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = read::ListPaymentKeys { partner_id, slice };
        let keys = self.read(&caller, operation).await?;
        let keys = keys.iter().map(render::payment_key).collect();
        let (payment_keys, next_page_token) = self.cut(&page, keys, |item| &item.payment_key_id);
        Ok(ListPaymentKeysResponse {
            payment_keys,
            next_page_token,
        }
        .into())
    }

    async fn register_outlet(
        &self,
        request: Request<RegisterOutletRequest>,
    ) -> Answer<RegisterOutletResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let outlet = v.required("outlet", &asked.outlet);
        let operation = outlet.and_then(|outlet| register_outlet(&mut v.nested("outlet"), outlet));
        v.finish()?;
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RegisterOutlet",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, given(operation)?, |outlet| {
            RegisterOutletResponse {
                outlet: Some(render::outlet(outlet)),
            }
        })
        .await
    }

    async fn list_outlets(
        &self,
        request: Request<ListOutletsRequest>,
    ) -> Answer<ListOutletsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        v.finish()?;
        let query = [
            "ListOutlets",
            partner_id.as_ref().map_or("", |id| id.as_str()),
        ];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let outlets = self
            .read(&caller, read::ListOutlets { partner_id, slice })
            .await?;
        let outlets = outlets.iter().map(render::outlet).collect();
        let (outlets, next_page_token) = self.cut(&page, outlets, |item| &item.outlet_id);
        Ok(ListOutletsResponse {
            outlets,
            next_page_token,
        }
        .into())
    }

    async fn update_partner_access(
        &self,
        request: Request<UpdatePartnerAccessRequest>,
    ) -> Answer<UpdatePartnerAccessResponse> {
        self.change_access(request).await
    }

    async fn get_partner_access(
        &self,
        request: Request<GetPartnerAccessRequest>,
    ) -> Answer<GetPartnerAccessResponse> {
        self.read_access(request).await
    }

    async fn list_partner_access(
        &self,
        request: Request<ListPartnerAccessRequest>,
    ) -> Answer<ListPartnerAccessResponse> {
        self.all_access(request).await
    }

    async fn add_token_key(
        &self,
        request: Request<AddTokenKeyRequest>,
    ) -> Answer<AddTokenKeyResponse> {
        self.add_key(request).await
    }

    async fn retire_token_key(
        &self,
        request: Request<RetireTokenKeyRequest>,
    ) -> Answer<RetireTokenKeyResponse> {
        self.retire_key(request).await
    }

    async fn revoke_token_key(
        &self,
        request: Request<RevokeTokenKeyRequest>,
    ) -> Answer<RevokeTokenKeyResponse> {
        self.revoke_key(request).await
    }

    async fn list_token_keys(
        &self,
        request: Request<ListTokenKeysRequest>,
    ) -> Answer<ListTokenKeysResponse> {
        self.keys_of(request).await
    }

    async fn add_client_certificate(
        &self,
        request: Request<AddClientCertificateRequest>,
    ) -> Answer<AddClientCertificateResponse> {
        self.add_certificate(request).await
    }

    async fn revoke_client_certificate(
        &self,
        request: Request<RevokeClientCertificateRequest>,
    ) -> Answer<RevokeClientCertificateResponse> {
        self.revoke_certificate(request).await
    }

    async fn list_client_certificates(
        &self,
        request: Request<ListClientCertificatesRequest>,
    ) -> Answer<ListClientCertificatesResponse> {
        self.certificates_of(request).await
    }
}

/// The partner that a list is asked for; a partner that names none means itself.
pub(super) fn partner_or_own(v: &mut Violations, caller: &Caller, text: &str) -> Option<PartnerId> {
    v.opt_id("partner_id", text).or(caller.partner_id)
}

/// A short code that people choose.
pub(super) fn code(v: &mut Violations, field: &str, code: &str) -> String {
    let is_plain = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !(2..=32).contains(&code.len()) || !code.bytes().all(is_plain) {
        v.add(field, "must have 2 to 32 of a-z, 0-9 and -.");
    }
    code.to_owned()
}

fn profile(v: &mut Violations, partner: &v1::Partner) -> PartnerProfile {
    PartnerProfile {
        partner_code: code(v, "partner_code", &partner.partner_code),
        display_name: v.text("display_name", &partner.display_name, 1..=NAME_MAX),
        legal_entity: v.text("legal_entity", &partner.legal_entity, 1..=LEGAL_ENTITY_MAX),
    }
}

fn register_outlet(v: &mut Violations, outlet: &v1::Outlet) -> Option<RegisterOutlet> {
    let surface = match v.enumeration::<v1::Surface>("surface", outlet.surface) {
        v1::Surface::App => Some(Surface::App),
        v1::Surface::MiniProgram => Some(Surface::MiniProgram),
        v1::Surface::Web => Some(Surface::Web),
        v1::Surface::Unspecified => None,
    };
    let display_name = v.text("display_name", &outlet.display_name, 1..=NAME_MAX);
    Some(RegisterOutlet {
        partner_id: v.id("partner_id", &outlet.partner_id)?,
        surface: surface?,
        display_name,
    })
}
