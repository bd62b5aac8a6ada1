//! What a person sees while the day runs: a live programme in a terminal, the same in lines in a log.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::goods::PARTNERS;
use super::plan::RoomPlan;

/// Figures of one slot at one partner, counted by the players themselves.
#[derive(Default)]
pub struct Tally {
    pub placed: AtomicU64,
    pub paid: AtomicU64,
    pub refused: AtomicU64,
    pub refunds: AtomicU64,
}

/// Figures of one slot.
#[derive(Default)]
pub struct RoomTally {
    pub hour: u32,
    pub title: String,
    pub host: String,
    pub partners: [Tally; PARTNERS.len()],
    pub viewers: AtomicI64,
    pub most_viewers: AtomicI64,
    pub events: AtomicU64,
    pub likes: AtomicU64,
    pub questions: AtomicU64,
    air: AtomicU8,
}

/// Whether a slot was on air.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Air {
    ToCome = 0,
    On = 1,
    Over = 2,
}

/// Figures of the day.
#[derive(Default)]
pub struct Tallies {
    pub rooms: Vec<RoomTally>,
    pub shipped: AtomicU64,
    pub delivered: AtomicU64,
    pub returned: AtomicU64,
    /// Refunds that a platform has paid back.
    pub paid_back: AtomicU64,
    pub conversions: AtomicU64,
    /// What is going on, in words, and what was said before and is not in the log yet.
    phase: Mutex<(String, Vec<String>)>,
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

impl RoomTally {
    fn sum(&self, figure: fn(&Tally) -> &AtomicU64) -> u64 {
        self.partners.iter().map(|t| get(figure(t))).sum()
    }

    fn air(&self) -> Air {
        match self.air.load(Ordering::Relaxed) {
            0 => Air::ToCome,
            1 => Air::On,
            _ => Air::Over,
        }
    }

    /// Says whether it is on air.
    pub fn set_air(&self, air: Air) {
        self.air.store(air as u8, Ordering::Relaxed);
    }

    /// A viewer came.
    pub fn enter(&self) {
        let now = self.viewers.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_viewers.fetch_max(now, Ordering::Relaxed);
    }

    fn row(&self) -> String {
        let text = format!(
            "{:02}:00  {:<30} {:<15} {:>7} {:>6} {:>4} {:>7} {:>7} {:>8} {:>7}",
            self.hour,
            self.title,
            self.host,
            self.most_viewers.load(Ordering::Relaxed),
            get(&self.likes),
            get(&self.questions),
            self.sum(|t| &t.placed),
            self.sum(|t| &t.paid),
            self.sum(|t| &t.refused),
            self.sum(|t| &t.refunds),
        );
        match self.air() {
            Air::ToCome => format!("    {}", style(text).for_stderr().dim()),
            Air::On => format!(
                "  {} {}",
                style("●").for_stderr().red().bold(),
                style(text).for_stderr().bold()
            ),
            Air::Over => format!("  {} {text}", style("✓").for_stderr().green()),
        }
    }
}

const HEAD: &str = "    on air title                          host            viewers  likes   q?  placed    paid  refused refunds";

impl Tallies {
    pub fn new(plans: &[RoomPlan], shoppers: u64) -> Tallies {
        let rooms = plans
            .iter()
            .map(|plan| RoomTally {
                hour: plan.hour,
                title: plan.title.to_owned(),
                host: plan.host.to_owned(),
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
        let mut phase = self
            .phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        phase.0 = text.into();
        let said = phase.0.clone();
        phase.1.push(said);
    }

    fn phase_text(&self) -> String {
        self.phase
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .0
            .clone()
    }

    /// What was said since the last time this was asked.
    fn said(&self) -> Vec<String> {
        std::mem::take(
            &mut self
                .phase
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .1,
        )
    }

    fn rows(&self) -> Vec<String> {
        let mut rows = vec![style(HEAD).for_stderr().dim().to_string()];
        rows.extend(self.rooms.iter().map(RoomTally::row));
        rows.push(String::new());
        let partners: Vec<String> = PARTNERS
            .iter()
            .enumerate()
            .map(|(n, partner)| {
                let sum = |f: fn(&Tally) -> &AtomicU64| -> u64 {
                    self.rooms.iter().map(|r| get(f(&r.partners[n]))).sum()
                };
                format!(
                    "{} {}: {} placed, {} paid",
                    partner.name,
                    partner.currency,
                    sum(|t| &t.placed),
                    sum(|t| &t.paid)
                )
            })
            .collect();
        rows.push(format!("    {}", partners.join(" · ")));
        rows.push(format!("    {}", self.after_sale()));
        rows
    }

    fn after_sale(&self) -> String {
        format!(
            "parcels: {} shipped, {} delivered · {} returned · {} refunds paid back · {} sales in the own shop",
            get(&self.shipped),
            get(&self.delivered),
            get(&self.returned),
            get(&self.paid_back),
            get(&self.conversions)
        )
    }

    fn log_line(&self) -> String {
        let sum =
            |f: fn(&Tally) -> &AtomicU64| -> u64 { self.rooms.iter().map(|r| r.sum(f)).sum() };
        format!(
            "{}/{} shoppers, {} placed, {} paid; {}",
            get(&self.shoppers_done),
            self.shoppers,
            sum(|t| &t.placed),
            sum(|t| &t.paid),
            self.after_sale()
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

fn line_of(screen: &MultiProgress) -> ProgressBar {
    let line = screen.add(ProgressBar::new_spinner());
    line.set_style(
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    line
}

async fn show_table(tallies: &Tallies, over: &CancellationToken) {
    let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
    let title = line_of(&screen);
    title.set_message(format!(
        "\n  {}  24 hours of live commerce, in about a minute",
        style("THE CHANNEL").for_stderr().bold()
    ));
    let bar = screen.add(ProgressBar::new(tallies.shoppers));
    let look = ProgressStyle::with_template(
        "  {spinner:.red} {msg:<56.bold} {bar:24.red/dim} {pos}/{len} shoppers {elapsed}\n",
    );
    bar.set_style(look.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let lines: Vec<ProgressBar> = tallies.rows().iter().map(|_| line_of(&screen)).collect();
    let mut ticks = tokio::time::interval(Duration::from_millis(150));
    loop {
        bar.set_position(get(&tallies.shoppers_done));
        bar.set_message(tallies.phase_text());
        bar.tick();
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
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let mut quiet = 0;
    loop {
        let stamp = started.elapsed().as_secs_f32();
        let said = tallies.said();
        for text in &said {
            eprintln!("{stamp:6.1} s  {text}");
        }
        quiet = if said.is_empty() { quiet + 1 } else { 0 };
        // Where nothing is said for a while, the figures tell that it goes on.
        if quiet == 12 {
            quiet = 0;
            eprintln!("{stamp:6.1} s    {}", tallies.log_line());
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.cancelled() => break,
        }
    }
    for text in tallies.said() {
        eprintln!("{:6.1} s  {text}", started.elapsed().as_secs_f32());
    }
}
