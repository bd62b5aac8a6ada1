//! Does what `vitrine partner` was asked, call by call.

use anyhow::{Context, bail};
use contracts::catalog::v1::*;
use contracts::id::PartnerId;
use kit::ids::SharedIds;

use super::connect::said;
use super::show::{self, Shown};
use super::{Action, Prepared, Terms, in_seconds};
use crate::demo::client::Caller;

/// Things on a page of a list.
const PAGE: i32 = 200;

/// Somebody who does it.
pub(super) struct Hand {
    pub(super) caller: Caller,
    pub(super) ids: SharedIds,
    pub(super) json: bool,
    pub(super) about: show::About,
}

impl Hand {
    pub(super) async fn carry_out(
        &self,
        action: &Action,
        prepared: Prepared,
    ) -> anyhow::Result<String> {
        match action {
            Action::Add {
                code,
                name,
                legal_entity,
                terms,
                ..
            } => {
                let name = name.clone().unwrap_or_else(|| code.clone());
                let partner = Partner {
                    partner_code: code.clone(),
                    legal_entity: legal_entity.clone().unwrap_or_else(|| name.clone()),
                    display_name: name,
                    ..Partner::default()
                };
                self.add(partner, terms, prepared).await
            }
            Action::List => self.list().await,
            Action::Show { partner } => self.show(&self.named(partner).await?.partner_id).await,
            Action::Set { partner, terms } => {
                let partner_id = self.named(partner).await?.partner_id;
                if !self.set(&partner_id, terms).await? {
                    bail!("nothing to change was named: see vitrine partner set --help");
                }
                self.show(&partner_id).await
            }
            Action::Suspend { partner, reason } => {
                let partner = self.named(partner).await?;
                let request = SuspendPartnerRequest {
                    request_id: self.request_id(),
                    partner_id: partner.partner_id.clone(),
                    reason: reason.clone(),
                    etag: String::new(),
                };
                let answer = self.caller.partners().suspend_partner(request).await;
                answer.map_err(said("the partner was not suspended"))?;
                self.show(&partner.partner_id).await
            }
            Action::Resume { partner } => {
                let partner = self.named(partner).await?;
                let request = ResumePartnerRequest {
                    request_id: self.request_id(),
                    partner_id: partner.partner_id.clone(),
                    etag: String::new(),
                };
                let answer = self.caller.partners().resume_partner(request).await;
                answer.map_err(said("the partner was not resumed"))?;
                self.show(&partner.partner_id).await
            }
            Action::AddKey {
                partner,
                payment,
                retire_others,
                ..
            } => {
                let partner_id = self.named(partner).await?.partner_id;
                let others = self.access(&partner_id).await?.token_keys;
                for key in prepared.keys {
                    self.add_key(&partner_id, key, *payment).await?;
                }
                if let Some(seconds) = retire_others {
                    self.retire(&others, *seconds).await?;
                }
                self.show(&partner_id).await
            }
            Action::AddCertificate { partner, .. } => {
                let partner_id = self.named(partner).await?.partner_id;
                for certificate in prepared.certificates {
                    self.add_certificate(&partner_id, certificate).await?;
                }
                self.show(&partner_id).await
            }
            Action::Revoke { id, reason } => {
                let partner_id = self.revoke(id, reason).await?;
                self.show(&partner_id).await
            }
        }
    }

    async fn add(&self, partner: Partner, terms: &Terms, read: Prepared) -> anyhow::Result<String> {
        let request = RegisterPartnerRequest {
            request_id: self.request_id(),
            partner: Some(partner),
        };
        let answer = self.caller.partners().register_partner(request).await;
        let made = answer.map_err(said("the partner was not registered"))?;
        let made = made.into_inner().partner.unwrap_or_default();
        let done = async {
            self.set(&made.partner_id, terms).await?;
            for key in read.keys {
                self.add_key(&made.partner_id, key, false).await?;
            }
            for key in read.payment_keys {
                self.add_key(&made.partner_id, key, true).await?;
            }
            for certificate in read.certificates {
                self.add_certificate(&made.partner_id, certificate).await?;
            }
            self.show(&made.partner_id).await
        };
        // What failed is told together with how to go on: the partner is there already.
        let code = &made.partner_code;
        done.await.with_context(|| {
            format!(
                "{code} is registered ({}), but not all of the rest was done: go on with vitrine partner set, add-key and add-certificate {code}",
                made.partner_id
            )
        })
    }

    async fn set(&self, partner_id: &str, terms: &Terms) -> anyhow::Result<bool> {
        let before = self.access(partner_id).await?;
        let Some((access, mask)) = terms.change(&before) else {
            return Ok(false);
        };
        let request = UpdatePartnerAccessRequest {
            request_id: self.request_id(),
            etag: before.etag,
            access: Some(access),
            update_mask: Some(mask),
        };
        let answer = self.caller.partners().update_partner_access(request).await;
        answer.map_err(said("issuer, scopes and quotas were not changed"))?;
        Ok(true)
    }

    async fn add_key(
        &self,
        partner_id: &str,
        (kid, public_key_jwk): (String, String),
        payment: bool,
    ) -> anyhow::Result<()> {
        let what = format!("the key {kid} was not added");
        let (request_id, partner_id) = (self.request_id(), partner_id.to_owned());
        let mut partners = self.caller.partners();
        if payment {
            let request = AddPaymentKeyRequest {
                request_id,
                partner_id,
                kid,
                public_key_jwk,
            };
            let answer = partners.add_payment_key(request).await;
            answer.map(drop).map_err(said(what))
        } else {
            let request = AddTokenKeyRequest {
                request_id,
                partner_id,
                kid,
                public_key_jwk,
                etag: String::new(),
            };
            let answer = partners.add_token_key(request).await;
            answer.map(drop).map_err(said(what))
        }
    }

    async fn retire(&self, others: &[TokenKey], seconds: u64) -> anyhow::Result<()> {
        let active = |key: &&TokenKey| key.state() == TokenKeyState::Active;
        for key in others.iter().filter(active) {
            let request = RetireTokenKeyRequest {
                request_id: self.request_id(),
                token_key_id: key.token_key_id.clone(),
                retire_time: Some(in_seconds(seconds)),
                etag: key.etag.clone(),
            };
            let answer = self.caller.partners().retire_token_key(request).await;
            answer.map_err(said(format!(
                "the new key is added, but the key {} does not retire",
                key.kid
            )))?;
        }
        Ok(())
    }

    async fn add_certificate(
        &self,
        partner_id: &str,
        certificate: ClientCertificate,
    ) -> anyhow::Result<()> {
        let request = AddClientCertificateRequest {
            request_id: self.request_id(),
            client_certificate: Some(ClientCertificate {
                partner_id: partner_id.to_owned(),
                ..certificate
            }),
            etag: String::new(),
        };
        let answer = self.caller.partners().add_client_certificate(request).await;
        answer
            .map(drop)
            .map_err(said("the client certificate was not added"))
    }

    /// Revokes whatever the id names; answers whose it was.
    async fn revoke(&self, id: &str, reason: &str) -> anyhow::Result<String> {
        let (request_id, reason) = (self.request_id(), reason.to_owned());
        let (mut partners, etag) = (self.caller.partners(), String::new());
        let failed = said(format!("{id} was not revoked"));
        match id.split_once('_').map(|(kind, _)| kind) {
            Some("tkey") => {
                let request = RevokeTokenKeyRequest {
                    request_id,
                    token_key_id: id.to_owned(),
                    reason,
                    etag,
                };
                let answer = partners.revoke_token_key(request).await.map_err(failed)?;
                Ok(answer.into_inner().token_key.unwrap_or_default().partner_id)
            }
            Some("pkey") => {
                let request = RevokePaymentKeyRequest {
                    request_id,
                    payment_key_id: id.to_owned(),
                    reason,
                };
                let answer = partners.revoke_payment_key(request).await.map_err(failed)?;
                Ok(answer
                    .into_inner()
                    .payment_key
                    .unwrap_or_default()
                    .partner_id)
            }
            Some("cert") => {
                let request = RevokeClientCertificateRequest {
                    request_id,
                    client_certificate_id: id.to_owned(),
                    reason,
                    etag,
                };
                let answer = partners
                    .revoke_client_certificate(request)
                    .await
                    .map_err(failed)?;
                let certificate = answer.into_inner().client_certificate;
                Ok(certificate.unwrap_or_default().partner_id)
            }
            _ => bail!(
                "{id} names no key or certificate: ids of them begin with tkey_, pkey_ or cert_, see vitrine partner show"
            ),
        }
    }

    /// The partner of a code or an id.
    async fn named(&self, text: &str) -> anyhow::Result<Partner> {
        if let Ok(partner_id) = text.parse::<PartnerId>() {
            let request = GetPartnerRequest {
                partner_id: partner_id.to_string(),
            };
            let answer = self.caller.partners().get_partner(request).await;
            let answer = answer.map_err(said("the partner could not be read"))?;
            return Ok(answer.into_inner().partner.unwrap_or_default());
        }
        let all = self.all().await?;
        let codes: Vec<&str> = all.iter().map(|it| it.partner_code.as_str()).collect();
        let known = match codes.len() {
            0 => "there is none yet; make one with vitrine partner add".to_owned(),
            1..=20 => format!("there are {}", codes.join(", ")),
            _ => "see vitrine partner list".to_owned(),
        };
        let found = all.iter().find(|it| it.partner_code == text).cloned();
        found.with_context(|| format!("no partner has the code or id {text:?}: {known}"))
    }

    async fn all(&self) -> anyhow::Result<Vec<Partner>> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListPartnersRequest {
                page_size: PAGE,
                page_token,
            };
            let page = self.caller.partners().list_partners(request).await;
            let page = page
                .map_err(said("the partners could not be read"))?
                .into_inner();
            all.extend(page.partners);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    async fn access(&self, partner_id: &str) -> anyhow::Result<PartnerAccess> {
        let request = GetPartnerAccessRequest {
            partner_id: partner_id.to_owned(),
        };
        let answer = self.caller.partners().get_partner_access(request).await;
        let answer = answer.map_err(said("how the partner is let in could not be read"))?;
        Ok(answer.into_inner().access.unwrap_or_default())
    }

    async fn list(&self) -> anyhow::Result<String> {
        let all = self.all().await?;
        Ok(show::list(&all, self.json))
    }

    async fn show(&self, partner_id: &str) -> anyhow::Result<String> {
        let partner = self.named(partner_id).await?;
        let access = self.access(partner_id).await?;
        let request = ListPaymentKeysRequest {
            partner_id: partner_id.to_owned(),
            page_size: PAGE,
            page_token: String::new(),
        };
        let keys = self.caller.partners().list_payment_keys(request).await;
        let keys = keys.map_err(said("the payment keys could not be read"))?;
        let shown = Shown {
            partner,
            access,
            payment_keys: keys.into_inner().payment_keys,
        };
        Ok(shown.render(&self.about, self.json))
    }

    fn request_id(&self) -> String {
        format!("cli-{:032x}", self.ids.next())
    }
}
