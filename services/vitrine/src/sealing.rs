//! Sealing of personal data: the key stores of the services, the wrapping key, and `vitrine keys`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use kit::auth::SigningKey;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::seal::{DataKey, FileKeys, KeyWrap};
use serde::{Deserialize, Serialize};
use store::db::Surroundings;
use store::keys::{KEYS, KeysConfig};
use store::{Db, DbConfig, ShopperKeys};
use zeroize::Zeroizing;

use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::keys;

/// Services that keep personal data of shoppers.
const SEALING: [Service; 3] = [Service::Room, Service::Order, Service::Fulfillment];

/// Connections of a process to a PostgreSQL key store: what is asked of it is mostly in memory.
const KEY_CONNECTIONS: u32 = 2;

/// Data keys wrapped anew in one turn.
const REWRAP_PAGE: i64 = 500;

/// Where keys of personal data are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SealingConfig {
    /// The file of wrapping keys, one a line, the newest last; `vitrine keys` keeps it. Every replica needs the same.
    /// None: one in the data folder, made when it is missing; or, where `auth.own_key_file` is set, a key that follows
    /// from that one and cannot be rotated.
    pub wrapping_key_file: Option<PathBuf>,
    /// The key stores; an empty url means a SQLite file in the data folder's `keys`, or where the service's data is on
    /// PostgreSQL a schema beside it. **A backup must never hold a key store together with the data**: give production
    /// databases of their own here, with backups of their own that are kept for `limits.backup_keep_days`.
    pub key_store: KeyStores,
    /// How keys are kept and erased.
    pub limits: KeysConfig,
}

/// One key store per service that keeps personal data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyStores {
    /// Of the room service.
    pub room: DbConfig,
    /// Of the order service.
    pub order: DbConfig,
    /// Of the fulfillment service.
    pub fulfillment: DbConfig,
}

/// What `vitrine keys` does. It works on the files and databases of the configuration; replicas that run see it.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Say which wrapping keys there are and how many data keys each wraps.
    List,
    /// Add a wrapping key, which wraps from now on.
    Rotate,
    /// Wrap all data keys anew with the newest wrapping key.
    Rewrap,
    /// Take a wrapping key away for good: backups of key stores from before the last rewrap are unreadable then.
    Retire {
        /// The key's name, as `vitrine keys list` says it.
        name: String,
    },
}

/// A service's key store, with the data folder's file or the schema beside its data where none is configured.
fn key_store(config: &VitrineConfig, service: Service) -> DbConfig {
    let stores = &config.sealing.key_store;
    let mut store = match service {
        Service::Room => stores.room.clone(),
        Service::Order => stores.order.clone(),
        Service::Fulfillment | Service::Catalog => stores.fulfillment.clone(),
    };
    let name = format!("{}_keys", service.name());
    if store.url.is_empty() {
        let data = config.database_of(service);
        if data.url.starts_with("postgres") {
            store = DbConfig {
                schema: Some(name),
                max_connections: KEY_CONNECTIONS,
                ..data
            };
        } else {
            let file = keys::folder(config).join(format!("{name}.db"));
            store.url = format!("sqlite:{}", file.display());
        }
    } else if store.schema.is_none() && store.url.starts_with("postgres") {
        store.schema = Some(name);
    }
    store.wipe_deleted = true;
    store
}

fn random(ids: &SharedIds) -> impl Fn(&mut [u8]) {
    let ids = ids.clone();
    move |into: &mut [u8]| ids.random_bytes(into)
}

/// The wrapping keys.
fn wrapping(
    config: &VitrineConfig,
    own_key: &SigningKey,
    ids: &SharedIds,
) -> anyhow::Result<FileKeys> {
    let bytes = Zeroizing::new(own_key.derive("wrapping"));
    let derived = DataKey::new("wrap-of-own-key", bytes);
    match (&config.sealing.wrapping_key_file, &config.auth.own_key_file) {
        // What was wrapped before there was a file stays readable until it is wrapped anew.
        (Some(file), _) => Ok(FileKeys::load(file)?.with_older(derived)),
        (None, Some(_)) => Ok(FileKeys::fixed(derived)),
        (None, None) => {
            let folder = keys::folder(config);
            std::fs::create_dir_all(&folder).with_context(|| {
                format!(
                    "the folder {} could not be made: choose another with --data-dir",
                    folder.display()
                )
            })?;
            Ok(FileKeys::load_or_create(
                &folder.join("wrapping.keys"),
                random(ids),
            )?)
        }
    }
}

async fn open_keys(
    config: &VitrineConfig,
    service: Service,
    own_key: &SigningKey,
    (clock, ids): (&SharedClock, &SharedIds),
) -> anyhow::Result<ShopperKeys> {
    let wrap: Arc<dyn KeyWrap> = Arc::new(wrapping(config, own_key, ids)?);
    let at = key_store(config, service);
    if at.url.starts_with("sqlite:") {
        std::fs::create_dir_all(keys::folder(config)).with_context(|| {
            format!(
                "the folder {} could not be made",
                keys::folder(config).display()
            )
        })?;
    }
    let name = match service {
        Service::Room => "room-keys",
        Service::Order => "order-keys",
        Service::Fulfillment | Service::Catalog => "fulfillment-keys",
    };
    let db = Db::open(&at, name, clock.clone(), ids.clone())
        .await
        .with_context(|| {
            format!(
                "the key store of {} could not be opened: check sealing.key_store.{}.url",
                service.name(),
                service.name()
            )
        })?;
    Ok(ShopperKeys::new(db, wrap, config.sealing.limits.clone()))
}

/// Opens a service's database, with its key store where it keeps personal data; brings the key store up to date where
/// that is this process's to do.
pub async fn open(
    config: &VitrineConfig,
    service: Service,
    own_key: &SigningKey,
    (clock, ids): (&SharedClock, &SharedIds),
) -> anyhow::Result<Db> {
    let mut around = Surroundings::new(clock.clone(), ids.clone());
    if SEALING.contains(&service) {
        let shopper_keys = open_keys(config, service, own_key, (clock, ids)).await?;
        if config.migrates(&key_store(config, service)) {
            migrate(service, &shopper_keys).await?;
        }
        around.keys = Some(shopper_keys);
    }
    crate::migrate::open_with(config, service, around).await
}

async fn migrate(service: Service, shopper_keys: &ShopperKeys) -> anyhow::Result<()> {
    let done = shopper_keys.db().migrate(&KEYS).await;
    done.with_context(|| format!("the key store of {} could not be migrated", service.name()))
}

/// Brings a service's key store up to date, where it has one.
pub async fn migrate_keys(
    config: &VitrineConfig,
    service: Service,
    around: (&SharedClock, &SharedIds),
) -> anyhow::Result<()> {
    if !SEALING.contains(&service) {
        return Ok(());
    }
    let shopper_keys = open_keys(config, service, &keys::own(config)?, around).await?;
    migrate(service, &shopper_keys).await?;
    shopper_keys.db().close().await;
    Ok(())
}

/// `vitrine keys`.
pub async fn run(config: &VitrineConfig, asked: Keys) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let own_key = keys::own(config)?;
    let wrap = wrapping(config, &own_key, &ids)?;
    match asked {
        Keys::Rotate => println!(
            "{} wraps from now on; run `vitrine keys rewrap` next",
            wrap.rotate(random(&ids))?
        ),
        Keys::List => {
            for (service, name, count) in wraps(config, &own_key, (&clock, &ids)).await? {
                println!("{:<12} {name} wraps {count}", service.name());
            }
            println!(
                "{:<12} {}",
                "newest",
                wrap.names().pop().unwrap_or_default()
            );
        }
        Keys::Rewrap => {
            for service in SEALING {
                let shopper_keys = open_keys(config, service, &own_key, (&clock, &ids)).await?;
                let mut all = 0;
                loop {
                    let done = shopper_keys.rewrap(REWRAP_PAGE).await?;
                    all += done;
                    if (done as i64) < REWRAP_PAGE {
                        break;
                    }
                }
                shopper_keys.db().close().await;
                println!("{:<12} {all} wrapped anew", service.name());
            }
        }
        Keys::Retire { name } => {
            for (service, wrapped, count) in wraps(config, &own_key, (&clock, &ids)).await? {
                if wrapped == name && count > 0 {
                    bail!(
                        "{name} still wraps {count} data keys of {}; run `vitrine keys rewrap` first",
                        service.name()
                    );
                }
            }
            wrap.retire(&name)?;
            println!("{name} is gone; destroy its copies and backups too");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn wraps(
    config: &VitrineConfig,
    own_key: &SigningKey,
    around: (&SharedClock, &SharedIds),
) -> anyhow::Result<Vec<(Service, String, i64)>> {
    let mut all = Vec::new();
    for service in SEALING {
        let shopper_keys = open_keys(config, service, own_key, around).await?;
        let found = shopper_keys.wraps().await?;
        all.extend(
            found
                .into_iter()
                .map(|(name, count)| (service, name, count)),
        );
        shopper_keys.db().close().await;
    }
    Ok(all)
}
