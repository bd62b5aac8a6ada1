//! The whole configuration of a process: defaults in code, then a TOML file, then the environment, then flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kit::admin::AdminConfig;
use kit::auth::AuthConfig;
use kit::config::{ConfigError, Env};
use kit::lifecycle::DrainConfig;
use kit::server::ServerConfig;
use kit::telemetry::TelemetryConfig;
use kit::wire::RemoteConfig;
use serde::{Deserialize, Serialize};
use store::DbConfig;

use crate::audit::AuditConfig;
use crate::cli::Service;
use crate::sealing::SealingConfig;

/// Configuration of a process of the suite.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VitrineConfig {
    /// Folder for the SQLite files and the development keys of an embedded suite.
    pub data_dir: PathBuf,
    /// Whether tokens that `vitrine token` mints with the data folder's development key are accepted. For a
    /// laptop, never for production.
    pub development_tokens: bool,
    /// Whether gRPC reflection is served, without a token.
    pub reflection: bool,
    /// Whether a process migrates its databases when it starts. On PostgreSQL `vitrine migrate` does it, before.
    pub migrate_on_start: MigrateOnStart,
    /// Who may call.
    pub auth: AuthConfig,
    /// Where gRPC listens, and the limits of the server.
    pub server: ServerConfig,
    /// The plaintext port for probes and metrics.
    pub admin: AdminConfig,
    /// Logs, traces, metrics.
    pub telemetry: TelemetryConfig,
    /// How a process ends.
    pub drain: DrainConfig,
    /// Signed checkpoints of the audit trails.
    pub audit: AuditConfig,
    /// Keys of personal data.
    pub sealing: SealingConfig,
    /// Where each service's data is; an empty url means a SQLite file in the data folder.
    pub database: Databases,
    /// Where services that do not run in this process are.
    pub peers: Peers,
    /// The catalog service.
    pub catalog: catalog::Config,
    /// The room service.
    pub room: room::Config,
    /// The order service.
    pub order: order::Config,
    /// The fulfillment service.
    pub fulfillment: fulfillment::Config,
}

/// When a process migrates its own databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MigrateOnStart {
    /// SQLite files only.
    Embedded,
    /// Any database.
    Always,
    /// None.
    Never,
}

/// One database per service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Databases {
    /// Of the catalog service.
    pub catalog: DbConfig,
    /// Of the room service.
    pub room: DbConfig,
    /// Of the order service.
    pub order: DbConfig,
    /// Of the fulfillment service.
    pub fulfillment: DbConfig,
}

impl Databases {
    /// A service's database.
    pub fn of(&self, service: Service) -> &DbConfig {
        match service {
            Service::Catalog => &self.catalog,
            Service::Room => &self.room,
            Service::Order => &self.order,
            Service::Fulfillment => &self.fulfillment,
        }
    }

    /// Names another place for a service's data.
    pub fn set_url(&mut self, service: Service, url: &str) {
        let database = match service {
            Service::Catalog => &mut self.catalog,
            Service::Room => &mut self.room,
            Service::Order => &mut self.order,
            Service::Fulfillment => &mut self.fulfillment,
        };
        url.clone_into(&mut database.url);
        database.migrate_url = None;
    }
}

/// Addresses of the services that run elsewhere, such as `http://catalog:7700`; empty for those in this process.
/// Calls are balanced over all that the name resolves to; where replicas have no name in common, their addresses stand
/// beside each other: `http://10.0.0.1:7700,http://10.0.0.2:7700`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Of the catalog service.
    pub catalog: String,
    /// Of the room service.
    pub room: String,
    /// Of the order service.
    pub order: String,
    /// Of the fulfillment service.
    pub fulfillment: String,
    /// How connections to them behave.
    pub connection: RemoteConfig,
}

impl Peers {
    /// A service's address.
    pub fn of(&self, service: Service) -> &str {
        match service {
            Service::Catalog => &self.catalog,
            Service::Room => &self.room,
            Service::Order => &self.order,
            Service::Fulfillment => &self.fulfillment,
        }
    }
}

impl Default for VitrineConfig {
    fn default() -> Self {
        VitrineConfig {
            data_dir: PathBuf::from("vitrine-data"),
            development_tokens: true,
            reflection: true,
            migrate_on_start: MigrateOnStart::Embedded,
            auth: AuthConfig::default(),
            server: ServerConfig {
                address: SocketAddr::from(([127, 0, 0, 1], 7700)),
                ..ServerConfig::default()
            },
            admin: AdminConfig {
                address: SocketAddr::from(([127, 0, 0, 1], 7701)),
                ..AdminConfig::default()
            },
            // The SDK tells of its own set-up as information, which is none to whoever runs the suite.
            telemetry: TelemetryConfig {
                log_level: "info,opentelemetry=warn".into(),
                ..TelemetryConfig::default()
            },
            drain: DrainConfig::default(),
            audit: AuditConfig::default(),
            sealing: SealingConfig::default(),
            database: Databases::default(),
            peers: Peers::default(),
            catalog: catalog::Config::default(),
            room: room::Config::default(),
            order: order::Config::default(),
            fulfillment: fulfillment::Config::default(),
        }
    }
}

/// What the command line says about configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--set key=value`.
    pub set: Vec<String>,
}

impl VitrineConfig {
    /// The configuration from all its sources.
    pub fn load(
        file: Option<&Path>,
        env: &Env,
        flags: &Flags,
    ) -> Result<VitrineConfig, ConfigError> {
        let mut overrides = Vec::new();
        let named = [
            (
                "data_dir",
                flags.data_dir.as_ref().map(|p| p.display().to_string()),
            ),
            ("server.address", flags.listen.clone()),
            ("admin.address", flags.admin.clone()),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                overrides.push((key.to_owned(), value));
            }
        }
        for text in &flags.set {
            overrides.push(kit::config::parse_override(text)?);
        }
        kit::config::load(file, env, &overrides)
    }

    /// A service's database, with the data folder's file where none is configured.
    pub fn database_of(&self, service: Service) -> DbConfig {
        let mut database = self.database.of(service).clone();
        if database.url.is_empty() {
            let file = self.data_dir.join(format!("{}.db", service.name()));
            database.url = format!("sqlite:{}", file.display());
        } else if database.schema.is_none() && database.url.starts_with("postgres") {
            database.schema = Some(service.name().to_owned());
        }
        database
    }

    /// Whether this process may migrate a database when it starts.
    pub fn migrates(&self, database: &DbConfig) -> bool {
        match self.migrate_on_start {
            MigrateOnStart::Always => true,
            MigrateOnStart::Never => false,
            MigrateOnStart::Embedded => database.url.starts_with("sqlite:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(set: &[&str]) -> Result<VitrineConfig, String> {
        let flags = Flags {
            set: set.iter().map(|s| (*s).to_owned()).collect(),
            ..Flags::default()
        };
        VitrineConfig::load(None, &Env::empty(), &flags).map_err(|e| e.to_string())
    }

    #[test]
    fn embedded_is_only_a_mapping_of_config() {
        let config = load(&["data_dir=/data"]).expect("good configuration");
        assert_eq!(
            config.database_of(Service::Order).url,
            "sqlite:/data/order.db"
        );
        assert!(config.migrates(&config.database_of(Service::Order)));
        let config = load(&["database.order.url=postgres://u:p@h/d"]).expect("good configuration");
        let database = config.database_of(Service::Order);
        assert_eq!(database.schema.as_deref(), Some("order"));
        assert!(!config.migrates(&database));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load(&["order.hold_tll_s=5"]).expect_err("no such key");
        assert!(error.contains("hold_tll_s"), "{error}");
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        let text = kit::config::render(&VitrineConfig::default()).expect("configuration renders");
        toml::from_str::<VitrineConfig>(&text)
            .expect("the rendered configuration is configuration");
    }
}
