//! A network between a partner and the suite, whose connections break when told.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes everything through, until told to fail.
pub struct Network {
    address: SocketAddr,
    failures: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Network {
    /// Listens on a free port before the server at this address.
    pub async fn before(server: &str) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (failures, _) = watch::channel(0);
        let (teller, server) = (failures.clone(), server.to_owned());
        let task = kit::spawn("network", async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut told, server) = (teller.subscribe(), server.clone());
                kit::spawn("connection", async move {
                    let pass = async {
                        let mut client = client;
                        let mut server = TcpStream::connect(server).await?;
                        copy_bidirectional(&mut client, &mut server).await
                    };
                    tokio::select! {
                        // An error is an end like any other.
                        _ = pass => {}
                        _ = told.changed() => {}
                    }
                });
            }
        });
        Network {
            address,
            failures,
            task,
        }
    }

    /// Where partners connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection there is; new ones may be made at once.
    pub fn fail(&self) {
        self.failures.send_modify(|n| *n += 1);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}
