//! Where a scenario runs: one process with local wires, or four servers that meet over TCP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use contracts::policy::Policies;
use kit::auth::Claims;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::telemetry::Metrics;
use store::DbConfig;
use vitrine::cli::Service;
use vitrine::config::{MigrateOnStart, VitrineConfig};
use vitrine::demo::Addresses;
use vitrine::keys;
use vitrine::suite::Suite;

/// A running suite that is drained when the test ends it.
pub struct Running {
    pub addresses: Addresses,
    pub config: VitrineConfig,
    suites: Vec<(VitrineConfig, Suite)>,
    _folder: tempfile::TempDir,
}

/// Configuration for a test: a folder of its own, free ports, a quick end.
fn config(folder: &tempfile::TempDir) -> VitrineConfig {
    let mut config = VitrineConfig {
        data_dir: PathBuf::from(folder.path()),
        drain: DrainConfig::quick(),
        ..VitrineConfig::default()
    };
    config.server.address.set_port(0);
    config.admin.address.set_port(0);
    config
}

async fn start(config: &VitrineConfig, services: &[Service]) -> Suite {
    Suite::start(
        config,
        services,
        Lifecycle::new(),
        prometheus::Registry::new(),
        Metrics::global(),
    )
    .await
    .unwrap_or_else(|e| panic!("{services:?} could not start: {e:#}"))
}

impl Running {
    /// All services in one process on SQLite, as `vitrine serve` runs them.
    pub async fn embedded() -> Running {
        Self::embedded_with(|_| {}).await
    }

    /// The same with a changed configuration.
    pub async fn embedded_with(change: impl FnOnce(&mut VitrineConfig)) -> Running {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(&folder);
        change(&mut config);
        let suite = start(&config, &[]).await;
        let addresses = Addresses::one(&format!("http://{}", suite.address));
        Running {
            addresses,
            suites: vec![(config.clone(), suite)],
            config,
            _folder: folder,
        }
    }

    /// Four servers that know each other by address, each with its own database; `database` gives where a service's is,
    /// and the default is a SQLite file.
    pub async fn four(database: impl Fn(Service) -> DbConfig) -> Running {
        Self::four_with(database, |_| {}).await
    }

    /// The same with a changed configuration.
    pub async fn four_with(
        database: impl Fn(Service) -> DbConfig,
        change: impl Fn(&mut VitrineConfig),
    ) -> Running {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut common = config(&folder);
        common.migrate_on_start = MigrateOnStart::Always;
        // Services need each other's addresses before they listen, so ports are chosen first.
        let ports: Vec<SocketAddr> = free_addresses(Service::ALL.len());
        common.peers.catalog = format!("http://{}", ports[0]);
        common.peers.room = format!("http://{}", ports[1]);
        common.peers.order = format!("http://{}", ports[2]);
        common.peers.fulfillment = format!("http://{}", ports[3]);
        let mut suites = Vec::new();
        for (service, port) in Service::ALL.into_iter().zip(&ports) {
            let mut config = common.clone();
            config.server.address = *port;
            let databases = &mut config.database;
            for (service, own) in [
                (Service::Catalog, &mut databases.catalog),
                (Service::Room, &mut databases.room),
                (Service::Order, &mut databases.order),
                (Service::Fulfillment, &mut databases.fulfillment),
            ] {
                let place = database(service);
                (own.url, own.migrate_url) = (place.url, place.migrate_url);
            }
            change(&mut config);
            let suite = start(&config, &[service]).await;
            suites.push((config, suite));
        }
        let address = |n: usize| vec![format!("http://{}", ports[n])];
        let addresses = Addresses {
            catalog: address(0),
            room: address(1),
            order: address(2),
            fulfillment: address(3),
        };
        Running {
            addresses,
            suites,
            config: common,
            _folder: folder,
        }
    }

    /// Mints tokens that this suite accepts.
    pub fn signer(&self) -> kit::auth::TokenSigner {
        self.signer_at(Arc::new(SystemClock))
    }

    /// The same, by another clock.
    pub fn signer_at(&self, clock: SharedClock) -> kit::auth::TokenSigner {
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        keys::development_signer(&self.config, clock, ids).expect("the folder's development key")
    }

    /// A token with every scope there is, which the claims' audience and roles narrow.
    pub fn token(&self, claims: Claims) -> String {
        let policies = Policies::load().expect("whole contracts");
        let scopes: BTreeSet<&String> = policies
            .methods()
            .flat_map(|m| m.access.iter().flat_map(|a| &a.scopes))
            .collect();
        self.signer()
            .mint(claims.scopes(scopes), Duration::from_secs(3_600))
    }

    /// How far calls have come in all processes: to handlers, and to databases.
    pub fn let_in(&self) -> (u64, u64) {
        (self.suites.iter().map(|(_, suite)| suite.let_in()))
            .fold((0, 0), |(handlers, units), one| {
                (handlers + one.0, units + one.1)
            })
    }

    /// Where the first process listens.
    pub fn socket(&self) -> SocketAddr {
        self.suites[0].1.address
    }

    /// Its port for the retailer and the suite's services.
    pub fn internal_socket(&self) -> SocketAddr {
        let address = self.suites[0].1.internal_address;
        address.expect("a port of its own")
    }

    /// Drains every server; nothing may be left unfinished.
    pub async fn stop(self) {
        for (config, suite) in self.suites {
            let report = suite.stop(&config).await;
            assert!(report.is_clean(), "a server did not end cleanly: {report}");
        }
    }
}

/// Addresses that were free a moment ago.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let held: Vec<std::net::TcpListener> = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    held.iter()
        .map(|l| l.local_addr().expect("a bound address"))
        .collect()
}
