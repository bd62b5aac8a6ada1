//! How a partner is let in: the methods of PartnerService about issuers, scopes, quotas, keys and certificates.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use contracts::catalog::v1::{self, *};
use contracts::common::v1::Audience;
use contracts::id::{ClientCertificateId, PartnerId, TokenKeyId};
use contracts::policy::Policies;
use kit::validate::Violations;
use tonic::Request;

use super::partner::{JWK_MAX, KID_MAX, partner_or_own};
use super::{Answer, Keys, Rpc, etag, given, open, reason, render_access, request_id};
use crate::model::access::{AccessChange, Quotas, fingerprint, kid_problem, spiffe_problem};
use crate::model::payment_key::jwk_problem;
use crate::ops::access::{
    AddCertificate, AddTokenKey, RevokeCertificate, Turn, TurnTokenKey, UpdateAccess,
};
use crate::ops::read;

const ISSUER_MAX: usize = 200;
const SCOPES_MAX: usize = 32;
const SPIFFE_MAX: usize = 512;
const FINGERPRINT_MAX: usize = 100;

/// Every scope that some method asks of partners.
static PARTNER_SCOPES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let Ok(policies) = Policies::load() else {
        // A server with holes in its contracts does not start.
        return BTreeSet::new();
    };
    let accesses = policies.methods().flat_map(|method| &method.access);
    accesses
        .filter(|access| access.audience == Audience::Partner)
        .flat_map(|access| access.scopes.iter().cloned())
        .collect()
});

impl Rpc {
    pub(super) async fn change_access(
        &self,
        request: Request<UpdatePartnerAccessRequest>,
    ) -> Answer<UpdatePartnerAccessResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let unset = v1::PartnerAccess::default();
        let sent = v.required("access", &asked.access).unwrap_or(&unset);
        let partner_id = v
            .nested("access")
            .id::<PartnerId>("partner_id", &sent.partner_id);
        let change = access_change(&mut v, sent, asked.update_mask.as_ref());
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = UpdateAccess {
            partner_id: given(partner_id)?,
            change,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/UpdatePartnerAccess",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |access| {
            UpdatePartnerAccessResponse {
                access: Some(render_access::access(access)),
            }
        })
        .await
    }

    pub(super) async fn read_access(
        &self,
        request: Request<GetPartnerAccessRequest>,
    ) -> Answer<GetPartnerAccessResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        v.finish()?;
        let operation = read::GetAccess {
            partner_id: given(partner_id)?,
        };
        let access = self.read(&caller, operation).await?;
        Ok(GetPartnerAccessResponse {
            access: Some(render_access::access(&access)),
        }
        .into())
    }

    pub(super) async fn all_access(
        &self,
        request: Request<ListPartnerAccessRequest>,
    ) -> Answer<ListPartnerAccessResponse> {
        let (caller, asked) = open(request)?;
        let query = ["ListPartnerAccess"];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let list = self.read(&caller, read::ListAccess { slice }).await?;
        let list = list.iter().map(render_access::access).collect();
        let (access, next_page_token) = self.cut(&page, list, |item| &item.partner_id);
        Ok(ListPartnerAccessResponse {
            access,
            next_page_token,
        }
        .into())
    }

    pub(super) async fn add_key(
        &self,
        request: Request<AddTokenKeyRequest>,
    ) -> Answer<AddTokenKeyResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let partner_id = v.id::<PartnerId>("partner_id", &asked.partner_id);
        let kid = v.text("kid", &asked.kid, 1..=KID_MAX);
        if let Some(problem) = kid_problem(&kid) {
            v.add("kid", problem);
        }
        let public_key_jwk = v.long_text("public_key_jwk", &asked.public_key_jwk, 1..=JWK_MAX);
        if let Some(problem) = Some(&public_key_jwk)
            .filter(|jwk| !jwk.is_empty())
            .and_then(|jwk| jwk_problem(jwk, &kid))
        {
            v.add("public_key_jwk", problem);
        }
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = AddTokenKey {
            partner_id: given(partner_id)?,
            kid,
            public_key_jwk,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/AddTokenKey",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |key| AddTokenKeyResponse {
            token_key: Some(render_access::token_key(key)),
        })
        .await
    }

    pub(super) async fn retire_key(
        &self,
        request: Request<RetireTokenKeyRequest>,
    ) -> Answer<RetireTokenKeyResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let token_key_id = v.id::<TokenKeyId>("token_key_id", &asked.token_key_id);
        let retire_time = v.time("retire_time", &asked.retire_time);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = TurnTokenKey {
            token_key_id: given(token_key_id)?,
            turn: Turn::Retire(given(retire_time)?),
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RetireTokenKey",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |key| RetireTokenKeyResponse {
            token_key: Some(render_access::token_key(key)),
        })
        .await
    }

    pub(super) async fn revoke_key(
        &self,
        request: Request<RevokeTokenKeyRequest>,
    ) -> Answer<RevokeTokenKeyResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let token_key_id = v.id::<TokenKeyId>("token_key_id", &asked.token_key_id);
        let reason = reason(&mut v, &asked.reason);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = TurnTokenKey {
            token_key_id: given(token_key_id)?,
            turn: Turn::Revoke(reason),
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RevokeTokenKey",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |key| RevokeTokenKeyResponse {
            token_key: Some(render_access::token_key(key)),
        })
        .await
    }

    pub(super) async fn keys_of(
        &self,
        request: Request<ListTokenKeysRequest>,
    ) -> Answer<ListTokenKeysResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        if partner_id.is_none() && asked.partner_id.is_empty() {
            v.add("partner_id", "must not be empty.");
        }
        v.finish()?;
        let partner_id = given(partner_id)?;
        let query = ["ListTokenKeys", partner_id.as_str()];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = read::ListTokenKeys { partner_id, slice };
        let keys = self.read(&caller, operation).await?;
        let keys = keys.iter().map(render_access::token_key).collect();
        let (token_keys, next_page_token) = self.cut(&page, keys, |item| &item.token_key_id);
        Ok(ListTokenKeysResponse {
            token_keys,
            next_page_token,
        }
        .into())
    }

    pub(super) async fn add_certificate(
        &self,
        request: Request<AddClientCertificateRequest>,
    ) -> Answer<AddClientCertificateResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let certificate = v.required("client_certificate", &asked.client_certificate);
        let operation = certificate
            .and_then(|sent| certificate_to_add(&mut v.nested("client_certificate"), sent));
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/AddClientCertificate",
            request_id,
            request: &asked,
        };
        let operation = AddCertificate {
            etag,
            ..given(operation)?
        };
        self.mutate(&caller, keys, operation, |certificate| {
            AddClientCertificateResponse {
                client_certificate: Some(render_access::certificate(certificate)),
            }
        })
        .await
    }

    pub(super) async fn revoke_certificate(
        &self,
        request: Request<RevokeClientCertificateRequest>,
    ) -> Answer<RevokeClientCertificateResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let certificate_id =
            v.id::<ClientCertificateId>("client_certificate_id", &asked.client_certificate_id);
        let reason = reason(&mut v, &asked.reason);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = RevokeCertificate {
            client_certificate_id: given(certificate_id)?,
            reason,
            etag,
        };
        let keys = Keys {
            method: "vitrine.catalog.v1.PartnerService/RevokeClientCertificate",
            request_id,
            request: &asked,
        };
        self.mutate(&caller, keys, operation, |certificate| {
            RevokeClientCertificateResponse {
                client_certificate: Some(render_access::certificate(certificate)),
            }
        })
        .await
    }

    pub(super) async fn certificates_of(
        &self,
        request: Request<ListClientCertificatesRequest>,
    ) -> Answer<ListClientCertificatesResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let partner_id = partner_or_own(&mut v, &caller, &asked.partner_id);
        if partner_id.is_none() && asked.partner_id.is_empty() {
            v.add("partner_id", "must not be empty.");
        }
        v.finish()?;
        let partner_id = given(partner_id)?;
        let query = ["ListClientCertificates", partner_id.as_str()];
        let (page, slice) = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let operation = read::ListCertificates { partner_id, slice };
        let list = self.read(&caller, operation).await?;
        let list = list.iter().map(render_access::certificate).collect();
        let (client_certificates, next_page_token) =
            self.cut(&page, list, |item| &item.client_certificate_id);
        Ok(ListClientCertificatesResponse {
            client_certificates,
            next_page_token,
        }
        .into())
    }
}

/// New values, as the mask chooses them.
fn access_change(
    v: &mut Violations,
    access: &v1::PartnerAccess,
    mask: Option<&prost_types::FieldMask>,
) -> AccessChange {
    let mut change = AccessChange::default();
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        v.add("update_mask", "must name at least one field to change.");
        return change;
    }
    let mut inside = v.nested("access");
    let mut unknown = false;
    for path in paths.iter().collect::<BTreeSet<_>>() {
        match path.as_str() {
            "issuer_name" => {
                let name = inside.text("issuer_name", &access.issuer_name, 0..=ISSUER_MAX);
                if name.contains(char::is_whitespace) {
                    inside.add(
                        "issuer_name",
                        "must have no spaces: it is the iss of the tokens, letter for letter.",
                    );
                }
                change.issuer_name = Some(name);
            }
            "allowed_scopes" => {
                change.allowed_scopes = Some(scopes(&mut inside, &access.allowed_scopes));
            }
            "quotas" => {
                let sent = access.quotas.unwrap_or_default();
                change.quotas = Some(quotas(&mut inside.nested("quotas"), &sent));
            }
            _ => unknown = true,
        }
    }
    drop(inside);
    if unknown {
        v.add(
            "update_mask",
            "may name issuer_name, allowed_scopes and quotas only.",
        );
    }
    change
}

fn scopes(v: &mut Violations, sent: &[String]) -> Vec<String> {
    if sent.len() > SCOPES_MAX {
        v.add(
            "allowed_scopes",
            format!("must have at most {SCOPES_MAX} scopes."),
        );
        return Vec::new();
    }
    for (index, scope) in sent.iter().enumerate() {
        if !PARTNER_SCOPES.contains(scope) {
            let known: Vec<&str> = PARTNER_SCOPES.iter().map(String::as_str).collect();
            let problem = format!("must be one of {}.", known.join(", "));
            v.add(&format!("allowed_scopes[{index}]"), problem);
        }
    }
    let scopes: BTreeSet<String> = sent.iter().cloned().collect();
    scopes.into_iter().collect()
}

fn quotas(v: &mut Violations, sent: &v1::PartnerQuotas) -> Quotas {
    Quotas {
        calls_per_second: v.range("calls_per_second", sent.calls_per_second, 0..=1_000_000),
        concurrent_calls: v.range("concurrent_calls", sent.concurrent_calls, 0..=100_000),
        placements_per_second: v.range(
            "placements_per_second",
            sent.placements_per_second,
            0..=1_000_000,
        ),
    }
}

fn certificate_to_add(v: &mut Violations, sent: &v1::ClientCertificate) -> Option<AddCertificate> {
    let partner_id = v.id("partner_id", &sent.partner_id);
    let printed = v.text(
        "sha256_fingerprint",
        &sent.sha256_fingerprint,
        0..=FINGERPRINT_MAX,
    );
    let sha256_fingerprint = fingerprint(&printed).unwrap_or_default();
    if sha256_fingerprint.is_empty() && !printed.is_empty() {
        let problem = "must be the SHA-256 of the certificate, 64 hexadecimal digits; openssl x509 -noout -fingerprint -sha256 prints it.";
        v.add("sha256_fingerprint", problem);
    }
    let spiffe_id = v.text("spiffe_id", &sent.spiffe_id, 0..=SPIFFE_MAX);
    if let Some(problem) = Some(&spiffe_id)
        .filter(|name| !name.is_empty())
        .and_then(|name| spiffe_problem(name))
    {
        v.add("spiffe_id", problem);
    }
    if printed.is_empty() && spiffe_id.is_empty() {
        v.add("sha256_fingerprint", "must be set, or spiffe_id, or both.");
    }
    let start_time = v.opt_time("start_time", &sent.start_time);
    let expire_time = v.opt_time("expire_time", &sent.expire_time);
    if let (Some(start), Some(end)) = (start_time, expire_time)
        && end <= start
    {
        v.add("expire_time", "must be after start_time.");
    }
    Some(AddCertificate {
        partner_id: partner_id?,
        sha256_fingerprint,
        spiffe_id,
        start_time,
        expire_time,
        etag: None,
    })
}
