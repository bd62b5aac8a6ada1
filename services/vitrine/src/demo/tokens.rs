//! Tokens for the players: minted with the development key of a data folder.

use std::time::Duration;

use contracts::id::PartnerId;
use kit::auth::{Claims, TokenSigner};

use super::client::{Bearer, Caller, Connections};
use crate::token::{Role, partner_claims, retailer_claims};

/// Longer than any played day.
const LIFE: Duration = Duration::from_secs(3_600);

/// Mints tokens and hands out callers that carry them.
pub struct Tokens {
    pub signer: TokenSigner,
    pub connections: Connections,
}

impl Tokens {
    /// A caller of the retailer with these roles.
    pub fn retailer(&self, subject: &str, roles: &[Role]) -> anyhow::Result<Caller> {
        self.caller(retailer_claims(subject, roles))
    }

    /// A caller of a partner.
    pub fn partner(&self, partner_id: &str) -> anyhow::Result<Caller> {
        let partner_id: PartnerId = partner_id.parse()?;
        self.caller(partner_claims(&partner_id))
    }

    fn caller(&self, claims: Claims) -> anyhow::Result<Caller> {
        Ok(self
            .connections
            .with(&Bearer::new(&self.signer.mint(claims, LIFE))?))
    }
}
