//! The gRPC ports of a process: one for everybody, or one for partners and an internal one.

use std::net::SocketAddr;

use anyhow::bail;
use kit::layers::LayeredService;
use kit::lifecycle::Lifecycle;
use kit::server::{ClientAuth, HardenedServer, ServerError};

use crate::config::VitrineConfig;

/// Ports that are taken and do not accept yet.
pub(crate) struct Ports {
    front: HardenedServer,
    internal: Option<HardenedServer>,
}

impl Ports {
    /// Takes the ports and reads their certificates.
    pub(crate) async fn open(config: &VitrineConfig) -> anyhow::Result<Ports> {
        check(config)?;
        let front = HardenedServer::bind(&config.server)
            .await
            .map_err(|error| mend(error, "--listen", "server.tls"))?;
        let internal = HardenedServer::bind_internal(&config.server)
            .await
            .map_err(|error| mend(error, "server.internal.address", "server.internal.tls"))?;
        Ok(Ports { front, internal })
    }

    /// Where partners call; everybody, when there is no other port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.front.local_addr()
    }

    /// Where the retailer and services call, when that is another port.
    pub(crate) fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().map(HardenedServer::local_addr)
    }

    /// Serves until the drain.
    pub(crate) fn serve(self, service: &LayeredService, lifecycle: &Lifecycle) {
        lifecycle.spawn("grpc", self.front.serve(service.clone(), lifecycle));
        if let Some(internal) = self.internal {
            lifecycle.spawn("grpc-internal", internal.serve(service.clone(), lifecycle));
        }
    }
}

fn mend(error: ServerError, address: &str, tls: &str) -> anyhow::Error {
    let mend = match &error {
        ServerError::Bind { .. } => {
            format!("choose another with {address}, or stop what listens there")
        }
        ServerError::Tls(_) => format!("see {tls} in the configuration"),
    };
    anyhow::anyhow!("{:#}; {mend}", anyhow::Error::new(error))
}

/// What asks for certificates that no port asks for would refuse everybody, or nobody.
fn check(config: &VitrineConfig) -> anyhow::Result<()> {
    if config.server.tls.client_auth != ClientAuth::Off {
        return Ok(());
    }
    if config.auth.require_certificate_binding {
        bail!(
            "auth.require_certificate_binding needs certificates of clients: set server.tls.client_auth to optional or required"
        );
    }
    for issuer in &config.auth.issuers {
        let names_some = !issuer.spiffe_ids.is_empty() || !issuer.certificate_sha256.is_empty();
        let retailer_elsewhere = config.server.internal.tls.client_auth != ClientAuth::Off
            && !issuer.may_mint.iter().any(|who| who == "partner");
        if names_some && !retailer_elsewhere {
            bail!(
                "auth.issuers names client certificates of {:?}: set server.tls.client_auth to optional or required",
                issuer.issuer
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kit::auth::IssuerConfig;

    use super::*;

    #[test]
    fn what_needs_certificates_needs_a_port_that_asks_for_them() {
        let mut config = VitrineConfig::default();
        assert!(check(&config).is_ok());
        config.auth.require_certificate_binding = true;
        let error = check(&config).expect_err("nobody is asked").to_string();
        assert!(error.contains("client_auth"), "{error}");
        config.auth.require_certificate_binding = false;
        config.auth.issuers.push(IssuerConfig {
            issuer: "acme".into(),
            may_mint: vec!["partner".into()],
            spiffe_ids: vec!["spiffe://acme.example/gateway".into()],
            ..IssuerConfig::default()
        });
        let error = check(&config).expect_err("nobody is asked").to_string();
        assert!(error.contains("acme"), "{error}");
        config.server.tls.client_auth = ClientAuth::Optional;
        assert!(check(&config).is_ok());
    }
}
