//! A client that was let in with a certificate, for as long as that is good.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use super::tls::{Certificate, Loaded};
use crate::auth::PeerCertificate;
use crate::clock::SharedClock;

/// A client's chain, and what says whether it is still good.
pub(super) struct Admitted {
    certificate: PeerCertificate,
    chain: Vec<CertificateDer<'static>>,
    trusted: watch::Receiver<Arc<Loaded>>,
    look_again: Duration,
}

impl Admitted {
    /// The client of a finished handshake, when it showed a certificate. `trusted` is from before the handshake, so
    /// that nothing that changed meanwhile is missed.
    pub(super) fn of(
        session: &rustls::ServerConnection,
        tls: &Certificate,
        trusted: watch::Receiver<Arc<Loaded>>,
    ) -> Option<Self> {
        let chain: Vec<_> = session
            .peer_certificates()?
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        Some(Admitted {
            certificate: PeerCertificate::of_der(chain.first()?),
            chain,
            trusted,
            look_again: tls.reload_interval(),
        })
    }

    pub(super) fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// Returns when the certificate is no longer good: revoked, over, or its authority given up. What is new is looked
    /// at when it comes; time passes unannounced.
    pub(super) async fn until_refused(&mut self, clock: &SharedClock) {
        loop {
            let again = tokio::time::sleep(self.look_again);
            tokio::select! {
                // Without a sender nothing new will come.
                Ok(()) = self.trusted.changed() => {}
                () = again => {}
            }
            let loaded = self.trusted.borrow_and_update().clone();
            if !loaded.still_trusts(&self.chain, clock.now()) {
                self.certificate.revoke();
                return;
            }
        }
    }
}
