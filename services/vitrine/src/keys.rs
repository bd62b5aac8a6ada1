//! Keys of the data folder: the suite's own, and two for development.

use std::path::PathBuf;

use anyhow::Context;
use contracts::common::v1::Audience;
use kit::auth::{IssuerConfig, SigningKey, TokenSigner};
use kit::clock::SharedClock;
use kit::ids::SharedIds;

use crate::config::VitrineConfig;

/// The issuer of tokens minted by `vitrine token`.
pub const DEVELOPMENT_ISSUER: &str = "vitrine-development";

/// Whom development tokens may speak for.
pub const DEVELOPMENT_AUDIENCES: [Audience; 3] =
    [Audience::Partner, Audience::Retailer, Audience::Viewer];

fn key(config: &VitrineConfig, name: &str) -> anyhow::Result<SigningKey> {
    let folder = config.data_dir.join("keys");
    std::fs::create_dir_all(&folder).with_context(|| {
        format!(
            "the folder {} could not be made: choose another with --data-dir",
            folder.display()
        )
    })?;
    Ok(SigningKey::load_or_create(&folder.join(name))?)
}

/// The suite's own key, that SERVICE and VIEWER tokens and quotes are signed with.
pub fn own(config: &VitrineConfig) -> anyhow::Result<SigningKey> {
    match &config.auth.own_key_file {
        Some(file) => Ok(SigningKey::load(file)?),
        None => key(config, "vitrine.pem"),
    }
}

/// The key of development tokens.
pub fn development(config: &VitrineConfig) -> anyhow::Result<SigningKey> {
    key(config, "development.pem")
}

/// A key to play a partner with, for payment statements.
pub fn payment(config: &VitrineConfig) -> anyhow::Result<SigningKey> {
    key(config, "payment.pem")
}

/// The folder where keys are.
pub fn folder(config: &VitrineConfig) -> PathBuf {
    config.data_dir.join("keys")
}

/// Mints development tokens.
pub fn development_signer(
    config: &VitrineConfig,
    clock: SharedClock,
    ids: SharedIds,
) -> anyhow::Result<TokenSigner> {
    Ok(TokenSigner::new(development(config)?, &config.auth, clock, ids).named(DEVELOPMENT_ISSUER))
}

/// The issuer entry under which a process accepts development tokens.
pub fn development_issuer(config: &VitrineConfig) -> anyhow::Result<IssuerConfig> {
    let jwk = development(config)?.public_jwk();
    Ok(IssuerConfig {
        issuer: DEVELOPMENT_ISSUER.into(),
        algorithms: vec![kit::auth::jws::Algorithm::EdDsa],
        jwks: Some(serde_json::json!({ "keys": [jwk] }).to_string()),
        may_mint: vec!["partner".into(), "retailer".into(), "viewer".into()],
        ..IssuerConfig::default()
    })
}
