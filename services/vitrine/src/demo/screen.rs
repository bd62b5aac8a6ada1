//! What a person sees while the evening runs: a live table in a terminal, a line now and then in a log.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::plan::PARTNERS;

/// Figures of one room at one partner, counted by the players themselves.
#[derive(Default)]
pub struct Tally {
    pub placed: AtomicU64,
    pub paid: AtomicU64,
    pub refused: AtomicU64,
    pub refunds: AtomicU64,
}

/// Figures of one room.
#[derive(Default)]
pub struct RoomTally {
    pub title: String,
    pub partners: [Tally; PARTNERS.len()],
    pub viewers: AtomicI64,
    pub events: AtomicU64,
    pub likes: AtomicU64,
    pub questions: AtomicU64,
}

/// Figures of the evening.
#[derive(Default)]
pub struct Tallies {
    pub rooms: Vec<RoomTally>,
    pub shipped: AtomicU64,
    pub delivered: AtomicU64,
    /// What is going on, in words.
    phase: Mutex<String>,
    pub shoppers_done: AtomicU64,
    pub shoppers: u64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Tallies {
    pub fn new(titles: impl Iterator<Item = &'static str>, shoppers: u64) -> Tallies {
        let rooms = titles
            .map(|title| RoomTally {
                title: title.to_owned(),
                ..RoomTally::default()
            })
            .collect();
        Tallies {
            rooms,
            shoppers,
            ..Tallies::default()
        }
    }

    /// Says what is going on.
    pub fn phase(&self, text: impl Into<String>) {
        *self
            .phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = text.into();
    }

    fn phase_text(&self) -> String {
        self.phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn rows(&self) -> Vec<String> {
        let mut rows = vec![format!(
            "  {:<30} {:>7} {:>7} {:>8} {:>8} {:>8} {:>7} {:>6} {:>4}",
            "room · partner",
            "placed",
            "paid",
            "refused",
            "refunds",
            "viewers",
            "events",
            "likes",
            "q"
        )];
        for room in &self.rooms {
            for (partner, tally) in PARTNERS.iter().zip(&room.partners) {
                let first = partner.code == PARTNERS[0].code;
                let shared = if first {
                    format!(
                        "{:>8} {:>7} {:>6} {:>4}",
                        room.viewers.load(Ordering::Relaxed),
                        get(&room.events),
                        get(&room.likes),
                        get(&room.questions)
                    )
                } else {
                    String::new()
                };
                let name = if first {
                    format!("{} · {}", room.title, partner.name)
                } else {
                    format!(
                        "{:>width$}· {}",
                        "",
                        partner.name,
                        width = room.title.chars().count() + 1
                    )
                };
                rows.push(format!(
                    "  {name:<40} {:>7} {:>7} {:>8} {:>8} {shared}",
                    get(&tally.placed),
                    get(&tally.paid),
                    get(&tally.refused),
                    get(&tally.refunds)
                ));
            }
        }
        rows[0] = format!(
            "  {:<40} {:>7} {:>7} {:>8} {:>8} {:>8} {:>7} {:>6} {:>4}",
            "room · partner",
            "placed",
            "paid",
            "refused",
            "refunds",
            "viewers",
            "events",
            "likes",
            "q"
        );
        rows.push(format!(
            "  parcels: {} shipped, {} delivered",
            get(&self.shipped),
            get(&self.delivered)
        ));
        rows
    }

    fn log_line(&self) -> String {
        let sum = |f: fn(&Tally) -> &AtomicU64| -> u64 {
            self.rooms
                .iter()
                .flat_map(|r| &r.partners)
                .map(|t| get(f(t)))
                .sum()
        };
        format!(
            "{} | shoppers {}/{} placed {} paid {} refunds {} shipped {} delivered {}",
            self.phase_text(),
            get(&self.shoppers_done),
            self.shoppers,
            sum(|t| &t.placed),
            sum(|t| &t.paid),
            sum(|t| &t.refunds),
            get(&self.shipped),
            get(&self.delivered)
        )
    }
}

/// Shows the figures until the token is cancelled.
pub async fn show(tallies: Arc<Tallies>, started: Instant, over: CancellationToken) {
    if std::io::stderr().is_terminal() {
        show_table(&tallies, &over).await;
    } else {
        show_lines(&tallies, started, &over).await;
    }
}

async fn show_table(tallies: &Tallies, over: &CancellationToken) {
    let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    let bar = screen.add(ProgressBar::new(tallies.shoppers));
    let style = ProgressStyle::with_template(
        "  {spinner} {msg:<44} {bar:28} {pos}/{len} shoppers {elapsed}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let lines: Vec<ProgressBar> = tallies
        .rows()
        .iter()
        .map(|_| {
            let line = screen.add(ProgressBar::new_spinner());
            line.set_style(
                ProgressStyle::with_template("{msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            line
        })
        .collect();
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    loop {
        bar.set_position(get(&tallies.shoppers_done));
        bar.set_message(tallies.phase_text());
        for (line, text) in lines.iter().zip(tallies.rows()) {
            line.set_message(text);
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.cancelled() => break,
        }
    }
    let _ = screen.clear();
}

async fn show_lines(tallies: &Tallies, started: Instant, over: &CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            _ = ticks.tick() => eprintln!("{:5.1} s  {}", started.elapsed().as_secs_f32(), tallies.log_line()),
            () = over.cancelled() => break,
        }
    }
}
