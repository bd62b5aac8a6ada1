//! `vitrine migrate`: brings the databases' tables up to date, and says what it did.

use std::sync::Arc;

use anyhow::Context;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::SystemIds;
use store::db::Surroundings;
use store::{Db, Migrations};

use crate::cli::Service;
use crate::config::VitrineConfig;

/// The migrations of a service.
pub fn migrations(service: Service) -> Migrations {
    match service {
        Service::Catalog => catalog::migrations(),
        Service::Room => room::migrations(),
        Service::Order => order::migrations(),
        Service::Fulfillment => fulfillment::migrations(),
    }
}

/// Opens a service's database; a SQLite file's folder is made when it is missing.
pub async fn open(
    config: &VitrineConfig,
    service: Service,
    clock: &SharedClock,
    ids: &kit::ids::SharedIds,
) -> anyhow::Result<Db> {
    let around = Surroundings::new(clock.clone(), ids.clone());
    open_with(config, service, around).await
}

/// The same, with everything that can be given.
pub async fn open_with(
    config: &VitrineConfig,
    service: Service,
    around: Surroundings,
) -> anyhow::Result<Db> {
    let database = config.database_of(service);
    if database.url.starts_with("sqlite:") {
        std::fs::create_dir_all(&config.data_dir).with_context(|| {
            format!(
                "the folder {} could not be made: choose another with --data-dir",
                config.data_dir.display()
            )
        })?;
    }
    Db::open_with(&database, service.name(), around)
        .await
        .with_context(|| {
            format!(
                "the database of {} could not be opened: check database.{}.url",
                service.name(),
                service.name()
            )
        })
}

/// Migrates the services named, or all.
pub async fn run(config: &VitrineConfig, services: &[Service]) -> anyhow::Result<()> {
    let services = if services.is_empty() {
        &Service::ALL[..]
    } else {
        services
    };
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: kit::ids::SharedIds = Arc::new(SystemIds::new(clock.clone()));
    for &service in services {
        let db = open(config, service, &clock, &ids).await?;
        let migrations = migrations(service);
        let pending = db.pending(&migrations).await.with_context(|| {
            format!(
                "the database of {} could not be read: check database.{}.url",
                service.name(),
                service.name()
            )
        })?;
        db.migrate(&migrations).await.with_context(|| {
            format!(
                "the database of {} could not be migrated; nothing was half done",
                service.name()
            )
        })?;
        crate::sealing::migrate_keys(config, service, (&clock, &ids)).await?;
        match pending.len() {
            0 => println!("{:<12} up to date", service.name()),
            n => println!("{:<12} {n} applied: {}", service.name(), pending.join(", ")),
        }
        db.close().await;
    }
    Ok(())
}
