//! Who may call: issuers and their keys, verification of bearer tokens, and the suite's own tokens.

mod claims;
mod identity;
mod issuer;
pub mod json;
pub mod jws;
mod key;
pub mod message;
mod signer;
mod verifier;

pub use claims::Claims;
pub use identity::Identity;
pub use issuer::{Issuer, IssuerConfig, IssuerError};
pub use key::{KeyError, SigningKey};
pub use signer::{ServiceTokens, TokenSigner};
pub use verifier::{AuthError, TokenVerifier};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that decides which tokens are good.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// What a token's `aud` must name.
    pub audience: String,
    /// How far clocks may differ, in seconds.
    pub leeway_s: u64,
    /// The longest life a token may have, in seconds.
    pub max_token_life_s: u64,
    /// The longest life a VIEWER token may have, in seconds.
    pub max_viewer_token_life_s: u64,
    /// The largest token, in bytes.
    pub max_token_bytes: usize,
    /// How many verified tokens are remembered until they expire.
    pub verified_tokens_cached: u64,
    /// Who may issue tokens, beside the suite itself.
    pub issuers: Vec<IssuerConfig>,
    /// The name under which the suite issues its own tokens.
    pub own_issuer: String,
    /// The suite's own Ed25519 key (PKCS#8, PEM); the same file for all of its processes. Without one,
    /// an embedded suite keeps a key in its data folder.
    pub own_key_file: Option<PathBuf>,
    /// The life of the suite's own SERVICE tokens, in seconds.
    pub service_token_life_s: u64,
    /// How many SERVICE tokens are kept for those on whose behalf services act.
    pub service_tokens_cached: u64,
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            audience: "vitrine".into(),
            leeway_s: 5,
            max_token_life_s: 86_400,
            max_viewer_token_life_s: 21_600,
            max_token_bytes: 8_192,
            verified_tokens_cached: 10_000,
            issuers: Vec::new(),
            own_issuer: "vitrine".into(),
            own_key_file: None,
            service_token_life_s: 300,
            service_tokens_cached: 1_000,
        }
    }
}
