//! Throughput and latency over time, as an SVG that stands alone.

use std::fmt::Write;

use super::record::{SLOT, Slot, Step};
use super::report::{Phase, Report};

const WIDTH: f64 = 1_100.0;
const HEIGHT: f64 = 660.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 20.0;
/// Of the two panels, from the top.
const RATE: (f64, f64) = (78.0, 330.0);
const LATENCY: (f64, f64) = (388.0, 600.0);
/// Latency is drawn from a tenth of a millisecond to ten seconds, each tenfold as far apart.
const LATENCY_MS: (f64, f64) = (0.1, 10_000.0);
const BANDS: [&str; 2] = ["#f4f6f8", "#e9edf1"];

/// One line of a panel.
struct Curve {
    name: &'static str,
    colour: &'static str,
    dashed: bool,
    of: fn(&Phase) -> Vec<Option<f64>>,
}

const RATES: [Curve; 4] = [
    Curve {
        name: "placed",
        colour: "#1f6fb4",
        dashed: false,
        of: |phase| rates(phase.record.slots(Step::Place), |slot| slot.done),
    },
    Curve {
        name: "confirmed",
        colour: "#22863a",
        dashed: false,
        of: |phase| rates(phase.record.slots(Step::Confirm), |slot| slot.done),
    },
    Curve {
        name: "browsed, quoted",
        colour: "#8a63d2",
        dashed: false,
        of: |phase| {
            let browsed = rates(phase.record.slots(Step::Browse), |slot| slot.done);
            let quoted = rates(phase.record.slots(Step::Quote), |slot| slot.done);
            let at = |of: &[Option<f64>], n: usize| of.get(n).copied().flatten();
            (0..browsed.len().max(quoted.len()))
                .map(|n| match (at(&browsed, n), at(&quoted, n)) {
                    (None, None) => None,
                    (browsed, quoted) => Some(browsed.unwrap_or(0.0) + quoted.unwrap_or(0.0)),
                })
                .collect()
        },
    },
    Curve {
        name: "refused or broken",
        colour: "#c0392b",
        dashed: true,
        of: |phase| rates(phase.record.slots(Step::Place), |slot| slot.failed),
    },
];

const LATENCIES: [Curve; 4] = [
    Curve {
        name: "place, median",
        colour: "#1f6fb4",
        dashed: true,
        of: |phase| quantiles(phase.record.slots(Step::Place), 0.5),
    },
    Curve {
        name: "place, 99 %",
        colour: "#1f6fb4",
        dashed: false,
        of: |phase| quantiles(phase.record.slots(Step::Place), 0.99),
    },
    Curve {
        name: "confirm, 99 %",
        colour: "#22863a",
        dashed: false,
        of: |phase| quantiles(phase.record.slots(Step::Confirm), 0.99),
    },
    Curve {
        name: "to the feed, 99 %",
        colour: "#d68910",
        dashed: false,
        of: |phase| quantiles(phase.record.slots(Step::Feed), 0.99),
    },
];

fn rates(slots: &[Slot], count: fn(&Slot) -> u64) -> Vec<Option<f64>> {
    let any = slots.iter().any(|slot| count(slot) > 0);
    let rate = |slot: &Slot| any.then(|| count(slot) as f64 / SLOT.as_secs_f64());
    slots.iter().map(rate).collect()
}

fn quantiles(slots: &[Slot], quantile: f64) -> Vec<Option<f64>> {
    slots
        .iter()
        .map(|slot| slot.quantile_ms(quantile))
        .collect()
}

/// The chart of a report: phases stand beside each other in the order in which they ran, without the pauses between.
pub fn svg(report: &Report) -> String {
    let mut spans = Vec::new();
    let mut total = 0.0;
    for phase in &report.phases {
        let length = length_s(phase);
        spans.push((total, length));
        total += length;
    }
    let canvas = Canvas {
        seconds: f64::max(total, 1.0),
        most: most(report),
    };
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = canvas.draw(&mut out, report, &spans);
    out
}

fn length_s(phase: &Phase) -> f64 {
    let slots = Step::ALL.map(|step| phase.record.slots(step).len());
    let slots = slots.into_iter().max().unwrap_or(0).max(1);
    slots as f64 * SLOT.as_secs_f64()
}

/// The top of the rate axis.
fn most(report: &Report) -> f64 {
    let all = report
        .phases
        .iter()
        .flat_map(|phase| RATES.iter().flat_map(move |curve| (curve.of)(phase)));
    let most = all.flatten().fold(1.0, f64::max);
    let step = tick(most, 5.0);
    (most / step).ceil() * step
}

/// The distance between ticks, so that there are about so many: 1, 2 or 5 with noughts.
fn tick(most: f64, about: f64) -> f64 {
    let raw = (most / about).max(1e-9);
    let magnitude = 10_f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= raw);
    step.unwrap_or(10.0) * magnitude
}

struct Canvas {
    seconds: f64,
    most: f64,
}

impl Canvas {
    fn x(&self, second: f64) -> f64 {
        LEFT + second / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn rate_y(&self, rate: f64) -> f64 {
        RATE.1 - (rate / self.most).clamp(0.0, 1.0) * (RATE.1 - RATE.0)
    }

    fn latency_y(ms: f64) -> f64 {
        let (low, high) = (LATENCY_MS.0.log10(), LATENCY_MS.1.log10());
        let share = (ms.max(LATENCY_MS.0).log10() - low) / (high - low);
        LATENCY.1 - share.clamp(0.0, 1.0) * (LATENCY.1 - LATENCY.0)
    }

    fn draw(&self, out: &mut String, report: &Report, spans: &[(f64, f64)]) -> std::fmt::Result {
        writeln!(
            out,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#24292e">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{LEFT}" y="24" font-size="16" font-weight="600">vitrine bench {}</text>"##,
            escaped(report.title()),
        )?;
        for (n, ((start, length), phase)) in spans.iter().zip(&report.phases).enumerate() {
            self.band(out, n, *start, *length, phase)?;
        }
        self.axes(out)?;
        legend(out, report, &RATES, RATE.0 - 36.0)?;
        legend(out, report, &LATENCIES, LATENCY.0 - 16.0)?;
        for ((start, _), phase) in spans.iter().zip(&report.phases) {
            for curve in &RATES {
                self.line(out, curve, &(curve.of)(phase), *start, &|rate| {
                    self.rate_y(rate)
                })?;
            }
            for curve in &LATENCIES {
                self.line(out, curve, &(curve.of)(phase), *start, &Canvas::latency_y)?;
            }
        }
        out.push_str("</svg>\n");
        Ok(())
    }

    fn band(
        &self,
        out: &mut String,
        n: usize,
        start: f64,
        length: f64,
        phase: &Phase,
    ) -> std::fmt::Result {
        let (x, width) = (self.x(start), self.x(start + length) - self.x(start));
        let colour = BANDS[n % BANDS.len()];
        for (top, bottom) in [RATE, LATENCY] {
            let height = bottom - top;
            writeln!(
                out,
                r#"<rect x="{x:.1}" y="{top}" width="{width:.1}" height="{height}" fill="{colour}"/>"#
            )?;
        }
        let (middle, y) = (x + width / 2.0, RATE.0 - 6.0);
        writeln!(
            out,
            r##"<text x="{middle:.1}" y="{y}" text-anchor="middle" font-size="11" fill="#57606a">{}</text>"##,
            escaped(&phase.name)
        )
    }

    fn axes(&self, out: &mut String) -> std::fmt::Result {
        let right = WIDTH - RIGHT;
        let grid = |out: &mut String, y: f64, label: &str| {
            writeln!(
                out,
                r##"<line x1="{LEFT}" y1="{y:.1}" x2="{right}" y2="{y:.1}" stroke="#d0d7de" stroke-width="0.7"/>
<text x="{:.1}" y="{:.1}" text-anchor="end">{label}</text>"##,
                LEFT - 6.0,
                y + 4.0
            )
        };
        let step = tick(self.most, 5.0);
        for n in 0..=(self.most / step).round() as u32 {
            let rate = f64::from(n) * step;
            grid(out, self.rate_y(rate), &short(rate))?;
        }
        for power in -1..=4 {
            let ms = 10_f64.powi(power);
            grid(out, Canvas::latency_y(ms), &short(ms))?;
        }
        let step = tick(self.seconds, 12.0);
        for n in 0..=(self.seconds / step).floor() as u32 {
            let second = f64::from(n) * step;
            let (x, y) = (self.x(second), LATENCY.1 + 16.0);
            writeln!(
                out,
                r#"<text x="{x:.1}" y="{y}" text-anchor="middle">{}</text>"#,
                short(second)
            )?;
        }
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        for (text, (top, bottom)) in [("calls a second", RATE), ("latency, ms", LATENCY)] {
            let y = (top + bottom) / 2.0;
            writeln!(
                out,
                r#"<text transform="translate(18 {y}) rotate(-90)" text-anchor="middle">{text}</text>"#
            )?;
        }
        writeln!(
            out,
            r#"<text x="{middle}" y="{}" text-anchor="middle">seconds of load (pauses between the phases are left out)</text>"#,
            LATENCY.1 + 38.0
        )
    }

    fn line(
        &self,
        out: &mut String,
        curve: &Curve,
        values: &[Option<f64>],
        start: f64,
        y: &dyn Fn(f64) -> f64,
    ) -> std::fmt::Result {
        let mut path = String::new();
        let mut pen_down = false;
        for (n, value) in values.iter().enumerate() {
            let Some(value) = value else {
                pen_down = false;
                continue;
            };
            let x = self.x(start + (n as f64 + 0.5) * SLOT.as_secs_f64());
            let letter = if pen_down { 'L' } else { 'M' };
            write!(path, "{letter}{x:.1} {:.1}", y(*value))?;
            pen_down = true;
        }
        if path.is_empty() {
            return Ok(());
        }
        let dash = if curve.dashed {
            r#" stroke-dasharray="4 3""#
        } else {
            ""
        };
        writeln!(
            out,
            r#"<path d="{path}" fill="none" stroke="{}" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"{dash}/>"#,
            curve.colour
        )
    }
}

/// Names the curves of which there is something to see.
fn legend(out: &mut String, report: &Report, curves: &[Curve], y: f64) -> std::fmt::Result {
    let seen = |curve: &Curve| {
        let mut phases = report.phases.iter();
        phases.any(|phase| (curve.of)(phase).iter().any(Option::is_some))
    };
    let mut x = LEFT;
    for curve in curves.iter().filter(|curve| seen(curve)) {
        let dash = if curve.dashed {
            r#" stroke-dasharray="4 3""#
        } else {
            ""
        };
        writeln!(
            out,
            r#"<line x1="{x}" y1="{:.1}" x2="{}" y2="{:.1}" stroke="{}" stroke-width="2"{dash}/><text x="{}" y="{y}">{}</text>"#,
            y - 4.0,
            x + 22.0,
            y - 4.0,
            curve.colour,
            x + 28.0,
            escaped(curve.name),
        )?;
        x += 60.0 + curve.name.len() as f64 * 6.5;
    }
    Ok(())
}

/// 12000 as 12k, and no more digits than needed.
fn short(value: f64) -> String {
    if value >= 1_000.0 {
        let thousands = value / 1_000.0;
        return if thousands.fract().abs() < 1e-9 {
            format!("{thousands:.0}k")
        } else {
            format!("{thousands:.1}k")
        };
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_labels_short() {
        assert_eq!(tick(33_000.0, 5.0), 10_000.0);
        assert_eq!(tick(8.0, 12.0), 1.0);
        assert_eq!(tick(70.0, 12.0), 10.0);
        let labels = [0.0, 0.1, 1.0, 12_000.0, 2_500.0].map(short);
        assert_eq!(labels, ["0", "0.1", "1", "12k", "2.5k"]);
    }

    #[test]
    fn latency_is_drawn_between_the_edges_of_its_panel() {
        assert_eq!(Canvas::latency_y(0.01), LATENCY.1);
        assert_eq!(Canvas::latency_y(1e9), LATENCY.0);
        assert!(Canvas::latency_y(1.0) > Canvas::latency_y(10.0));
    }
}
