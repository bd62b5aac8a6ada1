//! What is known of a caller before any token of its is looked at: the port it came in on, and its certificate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::common::v1::Audience;
use http::Extensions;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A longer SPIFFE id is none.
const MAX_SPIFFE_ID: usize = 2_048;
const SPIFFE: &str = "spiffe://";

/// Whom a port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listener {
    /// Everybody: the only port of a process, or a call inside it.
    #[default]
    Both,
    /// Partners and viewers, over the open internet.
    Partner,
    /// The retailer's own systems and the suite's services.
    Internal,
}

impl Listener {
    /// Whether a caller of this audience calls here.
    pub fn admits(self, audience: Audience, retailer_on_partner_port: bool) -> bool {
        match (self, audience) {
            (_, Audience::Unspecified) => false,
            (Listener::Both, _) => true,
            (Listener::Partner, Audience::Retailer) => retailer_on_partner_port,
            (Listener::Partner, audience) => audience != Audience::Service,
            (Listener::Internal, audience) => {
                matches!(audience, Audience::Retailer | Audience::Service)
            }
        }
    }
}

/// How a call came in. Every request from a socket has one in its extensions, as `Arc<Peer>`; calls inside a process
/// have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The port.
    pub listener: Listener,
    /// Whether the port asks clients for a certificate.
    pub asks_certificates: bool,
    /// The certificate whose key the client proved to hold.
    pub certificate: Option<PeerCertificate>,
}

impl Peer {
    /// How the request with these extensions came in; none for a call inside the process.
    pub fn of(extensions: &Extensions) -> Option<&Peer> {
        extensions.get::<Arc<Peer>>().map(|peer| &**peer)
    }

    /// The port of the request with these extensions.
    pub fn listener_of(extensions: &Extensions) -> Listener {
        Self::of(extensions)
            .map(|peer| peer.listener)
            .unwrap_or_default()
    }
}

/// A client's certificate, verified in the handshake. Cheap to clone.
#[derive(Clone)]
pub struct PeerCertificate {
    inner: Arc<Inner>,
}

struct Inner {
    sha256: [u8; 32],
    spiffe_id: Option<String>,
    revoked: AtomicBool,
}

impl PeerCertificate {
    /// Reads a certificate that was verified; DER.
    pub fn of_der(der: &[u8]) -> Self {
        PeerCertificate {
            inner: Arc::new(Inner {
                sha256: Sha256::digest(der).into(),
                spiffe_id: spiffe_id_of(der),
                revoked: AtomicBool::new(false),
            }),
        }
    }

    /// The SHA-256 of the whole certificate, by which it can be pinned.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.inner.sha256
    }

    /// The same as a token's `cnf` says it: `x5t#S256`.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.inner.sha256)
    }

    /// The SPIFFE id: the one URI among the subject's names.
    pub fn spiffe_id(&self) -> Option<&str> {
        self.inner.spiffe_id.as_deref()
    }

    /// Whether it was revoked, or its authority given up, since the handshake.
    pub fn is_revoked(&self) -> bool {
        self.inner.revoked.load(Ordering::Relaxed)
    }

    /// Nothing that came in with it is served any longer.
    pub(crate) fn revoke(&self) {
        self.inner.revoked.store(true, Ordering::Relaxed);
    }
}

impl PartialEq for PeerCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.inner.sha256 == other.inner.sha256
    }
}

impl Eq for PeerCertificate {}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("sha256", &hex::encode(self.inner.sha256))
            .field("spiffe_id", &self.inner.spiffe_id)
            .finish()
    }
}

/// The SPIFFE standard allows exactly one URI in a certificate; with several nobody can say whose it is.
fn spiffe_id_of(der: &[u8]) -> Option<String> {
    let der = CertificateDer::from(der);
    let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
    let mut names = certificate.valid_uri_names();
    let only = names.next().filter(|_| names.next().is_none())?;
    is_spiffe_id(only).then(|| only.to_owned())
}

/// `spiffe://trust-domain/path`, plain letters only.
pub(super) fn is_spiffe_id(text: &str) -> bool {
    let rest = text.strip_prefix(SPIFFE).unwrap_or_default();
    let (domain, path) = rest.split_once('/').unwrap_or((rest, "x"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let segment =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
    text.len() <= MAX_SPIFFE_ID
        && !domain.is_empty()
        && domain.chars().all(|c| plain(c) && !c.is_ascii_uppercase())
        && path.split('/').all(segment)
}

/// A SHA-256 as people write it: 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints it or without
/// the colons.
pub(super) fn sha256_of_text(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    hex::decode(digits).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_port_is_for() {
        use Audience::{Partner, Retailer, Service, Viewer};
        let admitted = |listener: Listener, retailer: bool| {
            [Partner, Viewer, Retailer, Service].map(|who| listener.admits(who, retailer))
        };
        assert_eq!(admitted(Listener::Both, false), [true; 4]);
        assert_eq!(
            admitted(Listener::Partner, false),
            [true, true, false, false]
        );
        assert_eq!(admitted(Listener::Partner, true), [true, true, true, false]);
        assert_eq!(
            admitted(Listener::Internal, true),
            [false, false, true, true]
        );
        assert!(!Listener::Both.admits(Audience::Unspecified, true));
    }

    #[test]
    fn what_is_a_spiffe_id_and_what_is_not() {
        for good in [
            "spiffe://acme.example",
            "spiffe://acme.example/gateway/eu-1",
            "spiffe://a/b_c",
        ] {
            assert!(is_spiffe_id(good), "{good}");
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe:///gateway",
            "https://acme.example",
            "spiffe://Acme.example",
            "spiffe://acme.example/",
            "spiffe://acme.example//x",
            "spiffe://acme.example/../x",
            "spiffe://acme.example/%2e",
            "spiffe://acme.example:443/x",
            "spiffe://user@acme.example/x",
        ] {
            assert!(!is_spiffe_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(sha256_of_text(&plain), Some([0xab; 32]));
        assert_eq!(sha256_of_text(&colons), Some([0xab; 32]));
        assert_eq!(sha256_of_text("ab"), None);
        assert_eq!(sha256_of_text(&"zz".repeat(32)), None);
    }

    #[test]
    fn what_is_no_certificate_has_a_hash_and_no_name() {
        let nothing = PeerCertificate::of_der(b"not a certificate");
        assert_eq!(nothing.spiffe_id(), None);
        assert!(!nothing.is_revoked());
        nothing.revoke();
        assert!(nothing.clone().is_revoked());
        assert_eq!(nothing.thumbprint().len(), 43);
    }
}
