//! The journal, sorted.

use std::collections::BTreeMap;

use crate::journal::{Answer, Call, Entry, Event, Line, World};

/// One call: what was meant, and every acknowledgement.
#[derive(Clone, Debug)]
pub struct Made {
    pub call: Call,
    pub intended_at: i64,
    pub acknowledged: Option<(i64, Answer)>,
    pub refused: Option<String>,
    pub tries: u32,
}

/// What the journal says.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub world: World,
    pub calls: Vec<Made>,
    /// By watcher, in the order in which they came.
    pub watched: BTreeMap<String, Vec<Entry>>,
    /// Calls that were never answered, and reads that did not show what was acknowledged.
    pub failed: Vec<String>,
    /// Streams that broke and went on.
    pub resumed: u64,
    /// When the process that counts likes was killed, in microseconds since 1970 UTC.
    pub room_kills: Vec<i64>,
    /// Likes acknowledged so long before such a kill may be lost.
    pub like_loss_micros: i64,
}

impl Facts {
    /// Sorts the lines.
    pub fn of(lines: Vec<Line>) -> Facts {
        let mut facts = Facts::default();
        let mut calls: BTreeMap<u64, Made> = BTreeMap::new();
        for line in lines {
            match line.event {
                Event::World(world) => facts.world = world,
                Event::Intent(call) => {
                    let made = Made {
                        call,
                        intended_at: line.at,
                        acknowledged: None,
                        refused: None,
                        tries: 0,
                    };
                    calls.insert(line.call, made);
                }
                Event::Ack { answer, tries, .. } => {
                    if let Some(made) = calls.get_mut(&line.call) {
                        made.acknowledged = Some((line.at, answer));
                        made.tries = tries;
                    }
                }
                Event::Refused { reason, tries } => {
                    if let Some(made) = calls.get_mut(&line.call) {
                        made.refused = Some(reason);
                        made.tries = tries;
                    }
                }
                Event::GaveUp { status, tries } => {
                    let call = calls.get(&line.call).map(|made| &made.call);
                    facts.failed.push(format!(
                        "{call:?} had no answer after {tries} tries: {status}"
                    ));
                }
                Event::Unseen { what } => facts.failed.push(what),
                Event::Entry(entry) => facts
                    .watched
                    .entry(entry.watcher.clone())
                    .or_default()
                    .push(entry),
                Event::Resumed { .. } => facts.resumed += 1,
            }
        }
        for made in calls.values() {
            if made.acknowledged.is_none() && made.refused.is_none() {
                facts.failed.push(format!("{:?} has no end", made.call));
            }
        }
        facts.calls = calls.into_values().collect();
        facts
    }

    /// Acknowledged calls with their answers.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Call, &Answer)> {
        self.calls.iter().filter_map(|made| {
            let (_, answer) = made.acknowledged.as_ref()?;
            Some((&made.call, answer))
        })
    }
}
