//! Assembles the services of one process and runs them: databases, wires, layers, ports, readiness.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use contracts::common::v1::Audience;
use contracts::policy::Policies;
use kit::admin::{Admin, AdminHandle, AdminState, HealthName};
use kit::auth::{ServiceTokens, SigningKey, TokenSigner, TokenVerifier};
use kit::clock::{SharedClock, SystemClock};
use kit::config::Secret;
use kit::ids::{SharedIds, SystemIds};
use kit::layers::{LayerDeps, LayeredService, layered_with};
use kit::lifecycle::Lifecycle;
use kit::partners::PartnerDirectory;
use kit::parts::Parts;
use kit::telemetry::Metrics;
use kit::wire::Wire;
use store::Db;
use tonic::service::Routes;

use crate::audit::Exporters;
use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::directory::Follower;
use crate::ports::Ports;
use crate::{keys, migrate, sealing, signers};

/// The scopes that services need of one another.
const SERVICE_SCOPES: [&str; 6] = [
    "catalog.read",
    "room.read",
    "order.read",
    "fulfillment.read",
    "fulfillment.write",
    "feed.read",
];

/// How long closing the databases may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A running process of the suite.
pub struct Suite {
    /// Where gRPC listens; for partners alone, when there is an internal port too.
    pub address: SocketAddr,
    /// Where gRPC listens for the retailer and the suite's services, when that is another port.
    pub internal_address: Option<SocketAddr>,
    /// Where health and metrics listen.
    pub admin_address: SocketAddr,
    /// The life of the process.
    pub lifecycle: Lifecycle,
    databases: Vec<Db>,
    front: LayeredService,
    checkpoints: Exporters,
    admin: AdminHandle,
}

/// What a process shares among its services.
struct Common {
    clock: SharedClock,
    ids: SharedIds,
    signer: TokenSigner,
    own_key: SigningKey,
    lifecycle: Lifecycle,
    partners: PartnerDirectory,
}

impl Suite {
    /// Starts the services named, or all of them. When this returns, the ports are open; readiness says when the
    /// databases can be used.
    pub async fn start(
        config: &VitrineConfig,
        services: &[Service],
        lifecycle: Lifecycle,
        registry: prometheus::Registry,
        metrics: Metrics,
    ) -> anyhow::Result<Suite> {
        let services = if services.is_empty() {
            &Service::ALL[..]
        } else {
            services
        };
        // The ports first: that they are taken is the commonest mistake, and nothing is done yet.
        let ports = Ports::open(config).await?;
        let admin = Admin::bind(&config.admin).await.map_err(|error| {
            anyhow::anyhow!("{error}; choose another with --admin, or stop what listens there")
        })?;
        let policies = policies()?;
        let partners = PartnerDirectory::to_be_loaded();
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        let own_key = keys::own(config)?;
        let signer = TokenSigner::new(own_key.clone(), &config.auth, clock.clone(), ids.clone());
        let common = Common {
            clock: clock.clone(),
            ids: ids.clone(),
            signer,
            own_key,
            lifecycle: lifecycle.clone(),
            partners: partners.clone(),
        };
        let databases = databases(config, services, &common).await?;
        let (late, local) = Wire::late();
        let wires = Wires {
            config,
            services,
            local,
            common: &common,
        };
        let mut builder = Routes::builder();
        let mut assembled = Vec::new();
        for &service in services {
            let mut parts = assemble(
                config,
                service,
                databases[&service].clone(),
                &common,
                &wires,
            )
            .await?;
            (std::mem::replace(&mut parts.routes, Box::new(|_| {})))(&mut builder);
            assembled.push(parts);
        }
        let health = health_names(&policies, services);
        builder.add_service(kit::admin::health_service(
            &lifecycle,
            health.clone(),
            &config.admin,
        ));
        if config.reflection {
            kit::admin::add_reflection(&mut builder, &contracts::reflection_sets())?;
        }
        let deps = layer_deps(config, &common, policies, metrics)?;
        let signed = &config.server.layers.signatures;
        let (partners_of, time) = (common.partners.clone(), common.clock.clone());
        let signed = signers::signatures(signed, partners_of, time, &lifecycle)?;
        let front = layered_with(builder.routes(), &deps, signed);
        late.tie(Wire::local(front.clone()));
        // Only now: background work calls the other services at once.
        for mut parts in assembled {
            lifecycle.adopt(&mut parts);
        }
        // Of several services that run here any may keep what is known of the partners.
        if let Some(&keeper) = services.first() {
            let catalog = wires.between(keeper, Service::Catalog)?;
            let follower = Follower::new(databases[&keeper].clone(), catalog, partners.clone());
            lifecycle.spawn("partners", follower.run(lifecycle.token()));
        }
        lifecycle.add_check("partners", move || {
            let is_loaded = partners.is_loaded();
            async move {
                let unknown = "what is known of the partners was not read yet";
                is_loaded.then_some(()).ok_or_else(|| unknown.into())
            }
        });
        let (clock, ids) = (&common.clock, &common.ids);
        let checkpoints = Exporters::start(config, databases.values(), clock, ids, &lifecycle)?;
        let (address, internal_address) = (ports.address(), ports.internal_address());
        keep_issuers_fresh(&deps.verifier, &lifecycle);
        ports.serve(&front, &lifecycle);
        let admin = admin.serve(AdminState {
            lifecycle: lifecycle.clone(),
            registry,
            health,
        })?;
        Ok(Suite {
            address,
            internal_address,
            admin_address: admin.local_addr(),
            lifecycle,
            databases: databases.into_values().collect(),
            front,
            checkpoints,
            admin,
        })
    }

    /// How far calls have come: those that were let through to a handler, and the units of work that they asked
    /// databases for. Neither counts calls that were refused, health, nor background work.
    pub fn let_in(&self) -> (u64, u64) {
        let asked = self.databases.iter().map(Db::asked_by_calls).sum();
        (self.front.handed_over(), asked)
    }

    /// Drains, closes the databases and lets go of the admin port.
    pub async fn stop(self, config: &VitrineConfig) -> kit::lifecycle::DrainReport {
        let report = self.lifecycle.drain(&config.drain).await;
        self.close().await;
        report
    }

    /// Closes the databases and the admin port, after a drain.
    pub async fn close(self) {
        let closing = async {
            self.checkpoints.finish().await;
            for db in &self.databases {
                db.close().await;
                if let Ok(keys) = db.keys() {
                    keys.db().close().await;
                }
            }
        };
        // A database that does not answer must not keep the process: its own timeouts end what is left open.
        drop(tokio::time::timeout(CLOSE_LIMIT, closing).await);
        drop(self.admin);
    }
}

fn policies() -> anyhow::Result<Policies> {
    Policies::load().map_err(|errors| {
        let list: Vec<String> = errors.iter().map(|e| format!("  {e}")).collect();
        anyhow::anyhow!(
            "the contracts have holes, so nothing is served:\n{}",
            list.join("\n")
        )
    })
}

/// Keys that have to be asked for are not there at once. Whoever has them may be down, which must not keep us down.
fn keep_issuers_fresh(verifier: &TokenVerifier, lifecycle: &Lifecycle) {
    lifecycle.spawn("issuers", verifier.keep_fresh(lifecycle.token()));
    let verifier = verifier.clone();
    lifecycle.add_check("issuers", move || {
        let has_looked = verifier.has_looked_for_keys();
        async move {
            let early = "the issuers' keys were not looked for yet";
            has_looked.then_some(()).ok_or_else(|| early.into())
        }
    });
}

fn layer_deps(
    config: &VitrineConfig,
    common: &Common,
    policies: Policies,
    metrics: Metrics,
) -> anyhow::Result<LayerDeps> {
    let mut auth = config.auth.clone();
    if config.development_tokens {
        auth.issuers.push(keys::development_issuer(config)?);
    }
    let own = common.signer.issuer(&[Audience::Service, Audience::Viewer]);
    let verifier = TokenVerifier::from_config(&auth, own, common.clock.clone())
        .context("auth.issuers")?
        .with_partners(common.partners.clone());
    let mut layers = config.server.layers.clone();
    layers.open_reflection &= config.reflection;
    Ok(LayerDeps {
        verifier,
        policies,
        config: layers,
        clock: common.clock.clone(),
        ids: common.ids.clone(),
        metrics,
        drain: common.lifecycle.token(),
    })
}

async fn databases(
    config: &VitrineConfig,
    services: &[Service],
    common: &Common,
) -> anyhow::Result<BTreeMap<Service, Db>> {
    let mut databases = BTreeMap::new();
    for &service in services {
        let around = (&common.clock, &common.ids);
        let db = sealing::open(config, service, &common.own_key, around).await?;
        if config.migrates(&config.database_of(service)) {
            db.migrate(&migrate::migrations(service))
                .await
                .with_context(|| {
                    format!(
                        "the tables of {} could not be brought up to date",
                        service.name()
                    )
                })?;
        } else {
            // A schema that is behind keeps the service not ready, so that a rollout waits for its migration.
            let check = db.clone();
            common.lifecycle.add_check("schema", move || {
                let db = check.clone();
                async move {
                    let pending = db.pending(&migrate::migrations(service)).await?;
                    if pending.is_empty() {
                        Ok(())
                    } else {
                        Err(format!(
                            "run `vitrine migrate`: {} wants {}",
                            service.name(),
                            pending.join(", ")
                        )
                        .into())
                    }
                }
            });
        }
        if let Some(problem) = db.role_problem().await {
            anyhow::bail!("{} does not start: {problem}", service.name());
        }
        databases.insert(service, db);
    }
    Ok(databases)
}

/// Every gRPC service of the services that run here, with the service whose readiness decides.
fn health_names(policies: &Policies, services: &[Service]) -> Vec<HealthName> {
    let mut names: BTreeMap<String, &'static str> = BTreeMap::new();
    for method in policies.methods() {
        let owner = services.iter().find(|s| {
            method
                .service
                .starts_with(&format!("vitrine.{}.", s.name()))
        });
        if let Some(service) = owner {
            names.insert(method.service.clone(), service.name());
        }
    }
    for service in services {
        names.insert(service.name().to_owned(), service.name());
    }
    names
        .into_iter()
        .map(|(grpc, service)| HealthName::new(grpc, service))
        .collect()
}

/// Wires to other services: inside the process where they run here, over the network where they do not.
struct Wires<'a> {
    config: &'a VitrineConfig,
    services: &'a [Service],
    local: Wire,
    common: &'a Common,
}

impl Wires<'_> {
    /// The wire from one service to another, with the first one's tokens.
    fn between(&self, from: Service, to: Service) -> anyhow::Result<Wire> {
        let wire = if self.services.contains(&to) {
            self.local.clone()
        } else {
            let address = self.config.peers.of(to);
            if address.is_empty() {
                bail!(
                    "{} needs {}, which does not run in this process: set peers.{} to its address, such as http://{}:7700",
                    from.name(),
                    to.name(),
                    to.name(),
                    to.name()
                );
            }
            Wire::remote(
                address,
                &self.config.peers.connection,
                &self.common.clock,
                &self.common.ids,
            )
            .with_context(|| format!("peers.{}", to.name()))?
        };
        let tokens = ServiceTokens::new(
            self.common.signer.clone(),
            from.name(),
            &SERVICE_SCOPES,
            &self.config.auth,
        );
        Ok(wire.authorized(tokens))
    }
}

async fn assemble(
    config: &VitrineConfig,
    service: Service,
    db: Db,
    common: &Common,
    wires: &Wires<'_>,
) -> anyhow::Result<Parts> {
    let Common {
        clock,
        ids,
        lifecycle,
        signer,
        own_key,
        partners,
    } = common;
    let (clock, ids, lifecycle) = (clock.clone(), ids.clone(), lifecycle.clone());
    let parts = match service {
        Service::Catalog => {
            catalog::assemble(
                config.catalog.clone(),
                catalog::Deps {
                    db,
                    clock,
                    ids,
                    lifecycle,
                    partners: partners.clone(),
                },
            )
            .await
        }
        Service::Room => {
            let catalog = wires.between(service, Service::Catalog)?;
            let deps = room::Deps {
                db,
                clock,
                ids,
                lifecycle,
                catalog,
                signer: signer.clone(),
            };
            room::assemble(config.room.clone(), deps).await
        }
        Service::Order => {
            let catalog = wires.between(service, Service::Catalog)?;
            let fulfillment = wires.between(service, Service::Fulfillment)?;
            let mut settings = config.order.clone();
            if settings.quote_secret.expose().is_empty() {
                // All replicas share the suite's key, so they honour each other's quotes, across restarts too.
                settings.quote_secret = Secret::new(hex::encode(own_key.derive("quote")));
            }
            if settings.link_secret.expose().is_empty() {
                // The same for deep links, which live for weeks.
                settings.link_secret = Secret::new(hex::encode(own_key.derive("link")));
            }
            if settings.person_secret.expose().is_empty() {
                // And for who is the same person, for good.
                settings.person_secret = Secret::new(hex::encode(own_key.derive("person")));
            }
            if config.development_tokens && settings.link_base_url.is_empty() {
                // A laptop has no shop; a reserved name lets deep links be tried all the same.
                settings.link_base_url = "https://shop.example/from-partner".into();
            }
            order::assemble(
                settings,
                order::Deps {
                    db,
                    clock,
                    ids,
                    lifecycle,
                    catalog,
                    fulfillment,
                },
            )
            .await
        }
        Service::Fulfillment => {
            let order = wires.between(service, Service::Order)?;
            fulfillment::assemble(
                config.fulfillment.clone(),
                fulfillment::Deps {
                    db,
                    clock,
                    ids,
                    lifecycle,
                    order,
                },
            )
            .await
        }
    };
    parts.with_context(|| format!("{} could not be assembled", service.name()))
}
