//! How a partner is let in: the methods of PartnerService about issuers, scopes, quotas, keys and certificates.

use contracts::catalog::v1::*;
use kit::errors::{ErrorReason, Refusal};
use tonic::{Request, Status};

use super::{Answer, Rpc};

fn later() -> Status {
    Refusal::new(ErrorReason::NotOffered, "This server does not offer that method yet.").into()
}

impl Rpc {
    pub(super) async fn change_access(&self, _: Request<UpdatePartnerAccessRequest>) -> Answer<UpdatePartnerAccessResponse> {
        Err(later())
    }

    pub(super) async fn read_access(&self, _: Request<GetPartnerAccessRequest>) -> Answer<GetPartnerAccessResponse> {
        Err(later())
    }

    pub(super) async fn all_access(&self, _: Request<ListPartnerAccessRequest>) -> Answer<ListPartnerAccessResponse> {
        Err(later())
    }

    pub(super) async fn add_key(&self, _: Request<AddTokenKeyRequest>) -> Answer<AddTokenKeyResponse> {
        Err(later())
    }

    pub(super) async fn retire_key(&self, _: Request<RetireTokenKeyRequest>) -> Answer<RetireTokenKeyResponse> {
        Err(later())
    }

    pub(super) async fn revoke_key(&self, _: Request<RevokeTokenKeyRequest>) -> Answer<RevokeTokenKeyResponse> {
        Err(later())
    }

    pub(super) async fn keys_of(&self, _: Request<ListTokenKeysRequest>) -> Answer<ListTokenKeysResponse> {
        Err(later())
    }

    pub(super) async fn add_certificate(&self, _: Request<AddClientCertificateRequest>) -> Answer<AddClientCertificateResponse> {
        Err(later())
    }

    pub(super) async fn revoke_certificate(&self, _: Request<RevokeClientCertificateRequest>) -> Answer<RevokeClientCertificateResponse> {
        Err(later())
    }

    pub(super) async fn certificates_of(&self, _: Request<ListClientCertificatesRequest>) -> Answer<ListClientCertificatesResponse> {
        Err(later())
    }
}
