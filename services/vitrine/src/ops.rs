//! `vitrine feed`: what people who run the suite look at and mend, on the databases themselves, so that it works with the
//! services up or down. `vitrine audit` opens databases and speaks in the same way.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Table, presets};
use jiff::Timestamp;
use kit::caller::Caller;
use kit::clock::{Clock, Micros, SharedClock, SystemClock};
use kit::errors::Fault;
use kit::ids::{SharedIds, SystemIds};
use store::Db;
use store::consumer::{ParkedEntry, Standing, consumers, parked, retry_now, skip};

use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::migrate;

/// What `vitrine feed` does.
#[derive(Debug, Subcommand)]
pub enum Feed {
    /// Where the consumers of a service stand, and how much they have put aside.
    Consumers {
        /// Which service consumes.
        service: Service,
    },
    /// What a consumer has put aside because it could not be applied, and why.
    Parked {
        /// Which service consumes.
        service: Service,
        /// Which of its consumers; all of them when none is named.
        consumer: Option<String>,
        /// The most entries shown of each consumer, 1 to 10,000.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Try everything that a consumer has put aside again at once, after mending the cause.
    Retry {
        /// Which service consumes.
        service: Service,
        /// Which of its consumers.
        consumer: String,
        #[command(flatten)]
        by: By,
    },
    /// Give up one entry that was put aside, for good; what waited behind it goes on without it.
    Skip {
        /// Which service consumes.
        service: Service,
        /// Which of its consumers.
        consumer: String,
        /// The entry's position, as `feed parked` shows it.
        position: i64,
        /// Why; goes to the audit trail.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        by: By,
    },
}

/// Who asks for a change.
#[derive(Debug, Args)]
pub struct By {
    /// Who you are, for the audit trail.
    #[arg(long, value_name = "NAME")]
    by: String,
}

impl By {
    fn caller(&self) -> Caller {
        Caller {
            on_behalf_of: Some(self.by.clone()),
            ..Caller::system("operator")
        }
    }
}

/// What is printed, and whether all is well.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) well: bool,
}

/// Does what `vitrine feed` was asked.
pub async fn feed(config: &VitrineConfig, asked: &Feed) -> anyhow::Result<ExitCode> {
    let (Feed::Consumers { service }
    | Feed::Parked { service, .. }
    | Feed::Retry { service, .. }
    | Feed::Skip { service, .. }) = asked;
    let db = open(config, *service).await?;
    let found = followed(&db, *service, asked).await;
    db.close().await;
    say(found?)
}

pub(crate) fn say(found: Found) -> anyhow::Result<ExitCode> {
    println!("{}", found.text);
    Ok(if found.well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn followed(db: &Db, service: Service, asked: &Feed) -> anyhow::Result<Found> {
    let now = SystemClock.now();
    let known = consumers(db, &Caller::system("operator"))
        .await
        .map_err(spoken)
        .with_context(|| format!("the consumers of {} could not be read", service.name()))?;
    match asked {
        Feed::Consumers { .. } => Ok(standing(service, &known, now)),
        Feed::Parked {
            consumer, limit, ..
        } => {
            let named: Vec<&Standing> = match consumer {
                Some(consumer) => vec![known_as(&known, service, consumer)?],
                None => known.iter().collect(),
            };
            put_aside(db, service, &named, *limit, now).await
        }
        Feed::Retry { consumer, by, .. } => {
            known_as(&known, service, consumer)?;
            let due = retry_now(db, &by.caller(), consumer)
                .await
                .map_err(spoken)?;
            let text = match due {
                0 => format!("{consumer} has put nothing aside; nothing was done."),
                due => format!(
                    "{due} entries are due now. See what became of them: vitrine feed parked {} {consumer}",
                    service.name()
                ),
            };
            Ok(Found { text, well: true })
        }
        Feed::Skip {
            consumer,
            position,
            reason,
            by,
            ..
        } => {
            known_as(&known, service, consumer)?;
            if reason.trim().is_empty() || reason.chars().count() > 500 {
                bail!("--reason must have 1 to 500 characters: say why the entry may be given up");
            }
            let gone = skip(db, &by.caller(), consumer, *position, reason)
                .await
                .map_err(spoken)?;
            if !gone {
                bail!(
                    "{consumer} has put no entry of position {position} aside: see vitrine feed parked {} {consumer}",
                    service.name()
                );
            }
            let text = format!("Entry {position} is given up; what waited behind it is due now.");
            Ok(Found { text, well: true })
        }
    }
}

fn known_as<'a>(
    known: &'a [Standing],
    service: Service,
    consumer: &str,
) -> anyhow::Result<&'a Standing> {
    if let Some(found) = known.iter().find(|one| one.consumer == consumer) {
        return Ok(found);
    }
    let names: Vec<&str> = known.iter().map(|one| one.consumer.as_str()).collect();
    match names.join(", ") {
        none if none.is_empty() => {
            bail!(
                "{} has no consumer: it follows no feed, or never ran on this database",
                service.name()
            )
        }
        names => bail!(
            "{} has no consumer {consumer:?}: choose one of {names}",
            service.name()
        ),
    }
}

fn standing(service: Service, known: &[Standing], now: Micros) -> Found {
    if known.is_empty() {
        let text = format!(
            "{} follows no feed, or never ran on this database.",
            service.name()
        );
        return Found { text, well: true };
    }
    let mut table = table(&["consumer", "position", "moved", "put aside"]);
    for one in known {
        let position = match one.position {
            position if position < 0 => Cell::new("from lists"),
            position => number(position),
        };
        table.add_row([
            Cell::new(&one.consumer),
            position,
            Cell::new(ago(Micros(one.moved_time), now)),
            number(one.parked),
        ]);
    }
    Found {
        text: table.to_string(),
        well: true,
    }
}

async fn put_aside(
    db: &Db,
    service: Service,
    named: &[&Standing],
    limit: u32,
    now: Micros,
) -> anyhow::Result<Found> {
    let (mut text, mut any) = (String::new(), false);
    for one in named {
        let entries = parked(db, &Caller::system("operator"), &one.consumer, limit)
            .await
            .map_err(spoken)?;
        if entries.is_empty() {
            text.push_str(&format!("{} has put nothing aside.\n", one.consumer));
            continue;
        }
        any = true;
        let shown = entries.len();
        text.push_str(&format!(
            "{}\n{}\n",
            one.consumer,
            entries_table(&entries, now)
        ));
        if i64::try_from(shown).unwrap_or(i64::MAX) < one.parked {
            text.push_str(&format!(
                "{shown} of {} are shown; --limit shows more.\n",
                one.parked
            ));
        }
    }
    if any {
        text.push_str(&format!(
            "Mend the cause, then try again: vitrine feed retry {} CONSUMER --by YOU",
            service.name()
        ));
    } else if named.is_empty() {
        text.push_str(&format!(
            "{} follows no feed, or never ran on this database.",
            service.name()
        ));
    }
    Ok(Found {
        text: text.trim_end().to_owned(),
        well: true,
    })
}

fn entries_table(entries: &[ParkedEntry], now: Micros) -> Table {
    let mut table = table(&["position", "about", "tries", "since", "next try", "why"]);
    for entry in entries {
        // What waits behind another is not tried by itself.
        let next = match (entry.attempts, Micros(entry.next_time)) {
            (0, _) => "behind another".to_owned(),
            (_, next) if next <= now => "now".to_owned(),
            (_, next) => format!("in {} s", next.since(now).as_secs()),
        };
        table.add_row([
            number(entry.position),
            Cell::new(&entry.aggregate_id),
            number(entry.attempts),
            Cell::new(ago(Micros(entry.first_time), now)),
            Cell::new(next),
            Cell::new(&entry.error),
        ]);
    }
    table
}

/// A service's database as it is: nothing is made and nothing is migrated.
pub(crate) async fn open(config: &VitrineConfig, service: Service) -> anyhow::Result<Db> {
    let database = config.database_of(service);
    let file = database.url.strip_prefix("sqlite:");
    if let Some(file) = file.map(|rest| rest.split('?').next().unwrap_or(rest))
        && !Path::new(file.trim_start_matches("//")).exists()
    {
        bail!(
            "there is no database of {} at {file}: name the suite's folder with --data-dir, or its database with \
             --set database.{}.url=…",
            service.name(),
            service.name()
        );
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let db = migrate::open(config, service, &clock, &ids).await?;
    let pending = db
        .pending(&migrate::migrations(service))
        .await
        .with_context(|| {
            format!(
                "the database of {} could not be read: check database.{}.url",
                service.name(),
                service.name()
            )
        })?;
    if !pending.is_empty() {
        db.close().await;
        bail!(
            "the tables of {} are of another version of vitrine: use that one, or run vitrine migrate {}",
            service.name(),
            service.name()
        );
    }
    Ok(db)
}

/// A refusal or fault in one sentence.
pub(crate) fn spoken(fault: Fault) -> anyhow::Error {
    match fault {
        Fault::Refused(refusal) => anyhow::anyhow!("{}", refusal.message),
        other => anyhow::Error::new(other),
    }
}

pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_header(columns);
    table
}

pub(crate) fn number(number: i64) -> Cell {
    Cell::new(number).set_alignment(CellAlignment::Right)
}

/// When it was, and how long ago.
fn ago(time: Micros, now: Micros) -> String {
    let when =
        Timestamp::from_second(time.seconds()).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let seconds = now.since(time).as_secs();
    let length = match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{when} ({length} ago)")
}

#[cfg(test)]
mod tests;
