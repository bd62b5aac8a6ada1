//! From a name to addresses.

use std::io;
use std::net::SocketAddr;

use futures::future::BoxFuture;

/// Finds the addresses of a service.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses as of now. None at all, or an error, changes nothing.
    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver; a headless Kubernetes service has an address per pod.
#[derive(Clone, Debug)]
pub struct Dns {
    host: String,
    port: u16,
}

impl Dns {
    /// The addresses of `host`, all with this port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Dns {
            host: host.into(),
            port,
        }
    }
}

impl Resolve for Dns {
    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
            Ok(found.collect())
        })
    }
}

/// Several names, such as one for each machine where there is no name for all of them.
pub(super) struct Several(pub(super) Vec<Dns>);

impl Resolve for Several {
    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let asked = futures::future::join_all(self.0.iter().map(Dns::resolve)).await;
            let mut found = Vec::new();
            let mut failure = None;
            for answer in asked {
                match answer {
                    Ok(addresses) => found.extend(addresses),
                    Err(error) => failure = Some(error),
                }
            }
            // One machine whose name is gone takes nothing from the others.
            match failure {
                Some(error) if found.is_empty() => Err(error),
                _ => Ok(found),
            }
        })
    }
}
