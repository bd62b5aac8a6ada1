//! `vitrine audit verify`: the chain against itself, and against its checkpoints.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use kit::caller::Caller;
use kit::clock::Micros;
use serde::Serialize;
use store::Db;
use store::audit::{Verdict, head, links_at, verify_watched};

use super::checkpoint::{Checkpoint, Keys};
use super::folder::{self, Lines};
use super::{moment, spoken};
use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::ops::{Found, number, open, table};

/// Checkpoints compared with their rows in one statement.
const COMPARED: usize = 500;
/// Problems told of one service; more are counted.
const TOLD: usize = 50;

/// What is to be verified.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Which services; all when none is named.
    pub services: Vec<Service>,
    /// A database other than the configured one.
    pub database: Option<String>,
    /// Where the checkpoints are; the configured folder when none is named.
    pub checkpoints: Option<PathBuf>,
    /// Files of public keys; the configured key when none is named.
    pub keys: Vec<PathBuf>,
    /// Whether the answer is JSON.
    pub json: bool,
}

/// What was found out about one trail.
#[derive(Debug, Serialize)]
struct Report {
    service: &'static str,
    /// Whether nothing is wrong.
    intact: bool,
    /// Rows read up to the end or the first that does not hold.
    rows: i64,
    /// The last position of the trail, and its hash in hex.
    last_position: i64,
    last_hash: String,
    /// Checkpoints read, and those whose row is what it was when they were signed.
    checkpoints: u64,
    checkpoints_met: u64,
    /// Up to where the trail is vouched for by a checkpoint, and when that was signed.
    vouched_position: i64,
    vouched_time: Option<String>,
    problems: Vec<Problem>,
    problems_untold: u64,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Problem {
    /// Where in the trail, where that is known.
    position: Option<i64>,
    what: String,
}

impl Report {
    fn new(service: Service) -> Self {
        Report {
            service: service.name(),
            intact: true,
            rows: 0,
            last_position: 0,
            last_hash: String::new(),
            checkpoints: 0,
            checkpoints_met: 0,
            vouched_position: 0,
            vouched_time: None,
            problems: Vec::new(),
            problems_untold: 0,
        }
    }

    fn wrong(&mut self, position: Option<i64>, what: impl Into<String>) {
        self.intact = false;
        if self.problems.len() < TOLD {
            self.problems.push(Problem {
                position,
                what: what.into(),
            });
        } else {
            self.problems_untold += 1;
        }
    }
}

/// Verifies what was asked for, and says it as it was asked for.
pub(crate) async fn verified(config: &VitrineConfig, asked: &Asked) -> anyhow::Result<Found> {
    let reports = reports(config, asked).await?;
    let well = reports.iter().all(|report| report.intact);
    let with_checkpoints = folder_of(config, asked).is_some();
    let text = if asked.json {
        serde_json::to_string_pretty(&serde_json::json!({ "intact": well, "services": reports }))?
    } else {
        told(&reports, with_checkpoints)
    };
    Ok(Found { text, well })
}

/// The same as values.
async fn reports(config: &VitrineConfig, asked: &Asked) -> anyhow::Result<Vec<Report>> {
    let services = match asked.services.as_slice() {
        [] => &Service::ALL[..],
        named => named,
    };
    let mut config = config.clone();
    if let Some(url) = &asked.database {
        let [service] = services else {
            bail!(
                "--database is the database of one service: name it, such as vitrine audit verify order --database URL"
            );
        };
        config.database.set_url(*service, url);
    }
    let against = match folder_of(&config, asked) {
        Some(folder) => Some((folder, super::public_keys(&config, &asked.keys)?)),
        None => None,
    };
    let mut reports = Vec::new();
    for &service in services {
        let db = open(&config, service).await?;
        let report = report(&db, service, against.as_ref()).await;
        db.close().await;
        let failed = || format!("the audit trail of {} could not be read", service.name());
        reports.push(report.with_context(failed)?);
    }
    Ok(reports)
}

fn folder_of(config: &VitrineConfig, asked: &Asked) -> Option<PathBuf> {
    asked
        .checkpoints
        .clone()
        .or_else(|| config.audit.checkpoint_dir.clone())
}

async fn report(
    db: &Db,
    service: Service,
    against: Option<&(PathBuf, Keys)>,
) -> anyhow::Result<Report> {
    let caller = Caller::system("operator");
    let mut report = Report::new(service);
    let end = head(db, &caller).await.map_err(spoken)?;
    report.last_position = end.position;
    report.last_hash = hex::encode(&end.hash);
    let bar = progress(service, end.position);
    let verdict = verify_watched(db, &caller, 1, None, |position, _| {
        bar.set_position(position.unsigned_abs());
    })
    .await
    .map_err(spoken)?;
    bar.finish_and_clear();
    // What is vouched for ends before the first row that does not hold.
    let mut whole = i64::MAX;
    match verdict {
        Verdict::Intact { rows, .. } => report.rows = rows,
        Verdict::Broken { position, why } => {
            report.rows = position - 1;
            whole = position - 1;
            report.wrong(Some(position), why);
        }
    }
    if let Some((folder, keys)) = against {
        compare(db, service, folder, keys, whole, &mut report).await?;
    }
    Ok(report)
}

fn progress(service: Service, rows: i64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len} rows, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(rows.unsigned_abs())
        .with_style(style)
        .with_message(service.name())
}

/// Holds every checkpoint of the folder against the row that it is about. Reads a line at a time and keeps one
/// statement's worth of them, however many there are.
async fn compare(
    db: &Db,
    service: Service,
    folder: &Path,
    keys: &Keys,
    whole: i64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut unmet = i64::MAX;
    for path in folder::files(folder, service.name())? {
        let mut lines = Checked::open(&path, service, keys)?;
        loop {
            let some = lines.some(report)?;
            if some.is_empty() {
                break;
            }
            let positions = some.iter().map(|found| found.position).collect();
            let there = links_at(db, &Caller::system("operator"), positions)
                .await
                .map_err(spoken)?;
            for found in some {
                report.checkpoints += 1;
                let row = there
                    .iter()
                    .find(|(position, _)| *position == found.position);
                match row.map(|(_, hash)| hex::encode(hash) == found.hash) {
                    Some(true) => {
                        report.checkpoints_met += 1;
                        continue;
                    }
                    Some(false) => report.wrong(
                        Some(found.position),
                        not_met(
                            &found,
                            "the row has another hash: the trail was written anew",
                        ),
                    ),
                    None if found.position > report.last_position => {
                        report.wrong(
                            Some(found.position),
                            not_met(
                                &found,
                                &format!(
                                    "the trail ends at {}: its last rows were taken out",
                                    report.last_position
                                ),
                            ),
                        );
                    }
                    None => {
                        report.wrong(Some(found.position), not_met(&found, "the row is missing"))
                    }
                }
                unmet = unmet.min(found.position);
            }
        }
    }
    if report.checkpoints == 0 && report.last_position > 0 {
        report.wrong(
            None,
            format!(
                "no checkpoint of it is in {}: nothing vouches for it",
                folder.display()
            ),
        );
    }
    // A checkpoint behind an unmet one vouches for a trail that was written anew before it was signed.
    let bound = whole.min(unmet.saturating_sub(1));
    if let Some(last) = last_until(service, folder, keys, bound)? {
        report.vouched_position = last.position;
        report.vouched_time = Some(moment(Micros(last.time)));
    }
    Ok(())
}

/// The highest checkpoint that is not behind `bound`.
fn last_until(
    service: Service,
    folder: &Path,
    keys: &Keys,
    bound: i64,
) -> anyhow::Result<Option<Checkpoint>> {
    let (mut highest, mut told): (Option<Checkpoint>, _) = (None, Report::new(service));
    for path in folder::files(folder, service.name())? {
        let mut lines = Checked::open(&path, service, keys)?;
        loop {
            let some = lines.some(&mut told)?;
            if some.is_empty() {
                break;
            }
            let within = some.into_iter().filter(|found| found.position <= bound);
            highest = highest
                .into_iter()
                .chain(within)
                .max_by_key(|found| found.position);
        }
    }
    Ok(highest)
}

fn not_met(found: &Checkpoint, why: &str) -> String {
    format!(
        "the checkpoint of {} is not met: {why}",
        moment(Micros(found.time))
    )
}

/// The checkpoints of one file; what is wrong with the file goes to the report.
struct Checked<'a> {
    lines: Lines,
    name: String,
    series: String,
    service: Service,
    keys: &'a Keys,
    number: u64,
    position: i64,
}

impl<'a> Checked<'a> {
    fn open(path: &Path, service: Service, keys: &'a Keys) -> anyhow::Result<Self> {
        Ok(Checked {
            lines: Lines::open(path)?,
            name: path.display().to_string(),
            series: folder::series_of(path),
            service,
            keys,
            number: 0,
            position: 0,
        })
    }

    /// The next ones, none at the end.
    fn some(&mut self, report: &mut Report) -> anyhow::Result<Vec<Checkpoint>> {
        let mut some = Vec::new();
        while some.len() < COMPARED {
            let Some(line) = self.lines.next()? else {
                break;
            };
            match Checkpoint::open(&line.text, self.keys) {
                Ok(found) => {
                    if let Some(why) = self.out_of_place(&found) {
                        report.wrong(
                            Some(found.position),
                            format!("{}, line {}: {why}", self.name, line.number),
                        );
                    }
                    (self.number, self.position) = (found.number, found.position);
                    if found.service == self.service.name() {
                        some.push(found);
                    }
                }
                // A process that died while it wrote leaves half a line at the end, which says nothing.
                Err(_) if !line.ended => {}
                Err(why) => {
                    report.wrong(None, format!("{}, line {}: {why}", self.name, line.number))
                }
            }
        }
        Ok(some)
    }

    fn out_of_place(&self, found: &Checkpoint) -> Option<String> {
        if found.service != self.service.name() {
            Some(format!("the checkpoint is one of {}", found.service))
        } else if found.series != self.series {
            Some(format!("the checkpoint belongs to {}", found.series))
        } else if found.number != self.number + 1 {
            Some(format!(
                "checkpoint {} follows checkpoint {}: lines were taken out or put in",
                found.number, self.number
            ))
        } else if found.position <= self.position {
            Some(format!(
                "it is about position {}, which is not behind the one before it",
                found.position
            ))
        } else {
            None
        }
    }
}

fn told(reports: &[Report], with_checkpoints: bool) -> String {
    let mut table = table(&[
        "service",
        "rows",
        "verdict",
        "checkpoints met",
        "vouched for",
        "last link",
    ]);
    for report in reports {
        let verdict = match report.problems.first() {
            None => "intact".to_owned(),
            Some(Problem {
                position: Some(position),
                what,
            }) => format!("BROKEN at position {position}: {what}"),
            Some(Problem {
                position: None,
                what,
            }) => format!("BROKEN: {what}"),
        };
        let (met, vouched) = if with_checkpoints {
            let vouched = match &report.vouched_time {
                Some(time) => format!("up to {}, at {time}", report.vouched_position),
                None => "nothing".to_owned(),
            };
            (
                format!("{} of {}", report.checkpoints_met, report.checkpoints),
                vouched,
            )
        } else {
            ("none looked for".to_owned(), "nothing".to_owned())
        };
        table.add_row([
            Cell::new(report.service),
            number(report.rows),
            Cell::new(verdict),
            Cell::new(met),
            Cell::new(vouched),
            Cell::new(&report.last_hash),
        ]);
    }
    let mut text = table.to_string();
    for report in reports {
        for problem in report.problems.iter().skip(1) {
            let at = problem
                .position
                .map(|position| format!("position {position}: "))
                .unwrap_or_default();
            text.push_str(&format!("\n{}: {at}{}", report.service, problem.what));
        }
        if report.problems_untold > 0 {
            text.push_str(&format!(
                "\n{}: and {} more",
                report.service, report.problems_untold
            ));
        }
    }
    text.push_str(if reports.iter().any(|report| !report.intact) {
        "\nThe trail or its checkpoints were changed outside the suite. Keep both as they are, compare the database with a \
         backup from before, and find out who could write to it."
    } else if with_checkpoints {
        "\nWhat was written behind the last checkpoint is vouched for by the chain alone."
    } else {
        "\nKeep the last links elsewhere, or set audit.checkpoint_dir: a chain that was rewritten as a whole has others."
    });
    text
}
