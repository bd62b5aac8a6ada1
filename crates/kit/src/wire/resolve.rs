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
