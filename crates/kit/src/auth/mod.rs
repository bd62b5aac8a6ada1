//! Who may call: issuers and their keys, verification of bearer tokens, client certificates, and the suite's own tokens.

mod claims;
mod fetch;
mod identity;
mod issuer;
pub mod json;
mod jwks;
pub mod jws;
mod key;
pub mod message;
mod peer;
mod refresh;
mod signer;
mod verifier;

pub use claims::{Claims, Confirmation};
pub use identity::Identity;
pub use issuer::{Issuer, IssuerConfig, IssuerError};
pub use key::{KeyError, SigningKey};
pub use peer::{Listener, Peer, PeerCertificate};
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
    /// Whether partners' tokens must be bound to their client certificate (RFC 8705: `cnf` with `x5t#S256`) on ports
    /// that ask for one. A token that is bound is refused with any other certificate, whatever this says.
    pub require_certificate_binding: bool,
    /// Who may issue tokens, beside the suite itself.
    pub issuers: Vec<IssuerConfig>,
    /// How often key sets are read or asked for again, in seconds; how soon a key that a set no longer has is refused.
    pub jwks_refresh_s: u64,
    /// How long an answer with a key set may take, in milliseconds.
    pub jwks_timeout_ms: u64,
    /// The largest key set, in bytes.
    pub jwks_max_bytes: usize,
    /// How long keys are good while their set cannot be read, in seconds.
    pub jwks_max_stale_s: u64,
    /// The least time between two early looks for a key that nobody knows, over all issuers, in seconds.
    pub jwks_unknown_key_pause_s: u64,
    /// The authorities to trust when asking for key sets, PEM; the system's without one.
    pub jwks_ca_file: Option<PathBuf>,
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
            require_certificate_binding: false,
            issuers: Vec::new(),
            jwks_refresh_s: 30,
            jwks_timeout_ms: 2_000,
            jwks_max_bytes: 65_536,
            jwks_max_stale_s: 86_400,
            jwks_unknown_key_pause_s: 30,
            jwks_ca_file: None,
            own_issuer: "vitrine".into(),
            own_key_file: None,
            service_token_life_s: 300,
            service_tokens_cached: 1_000,
        }
    }
}

#[cfg(test)]
mod tests;
