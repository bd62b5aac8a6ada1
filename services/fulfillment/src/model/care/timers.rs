//! What time does to a case.

use kit::clock::Micros;

use super::machine::unanswered;
use super::{Actor, Case, CaseState, Change, Level, Rules, Target, Timer};

impl Case {
    /// Fires what is due `now`, in the order of its time. Says whether anything was.
    pub fn fire(&mut self, rules: &Rules, now: Micros) -> bool {
        let mut fired = false;
        while let Some((timer, due)) = self.first_due(now) {
            // It is gone before it does anything, so nothing can fire it again.
            self.timers.remove(&timer);
            fired = true;
            match timer {
                Timer::Response => self.missed(Target::FirstResponse, due, now),
                Timer::Resolution => self.missed(Target::Resolution, due, now),
                Timer::Wait => self.silent(due, rules, now),
                Timer::Close => {
                    let before = self.state;
                    self.state = CaseState::Closed;
                    self.close_time = Some(now);
                    self.timers.clear();
                    self.act(Some(before), Change::Closed, &Actor::system(), now, |_| {});
                }
            }
        }
        fired
    }

    fn first_due(&self, now: Micros) -> Option<(Timer, Micros)> {
        let due = self.timers.iter().filter(|(_, due)| **due <= now);
        due.map(|(timer, due)| (*timer, *due))
            .min_by_key(|(timer, due)| (*due, *timer))
    }

    fn missed(&mut self, target: Target, due: Micros, now: Micros) {
        self.breach_count += 1;
        let state = Some(self.state);
        self.act(state, Change::Breached, &Actor::system(), now, |action| {
            action.missed = Some((target, due));
        });
    }

    /// The partner or the shopper has not answered.
    fn silent(&mut self, due: Micros, rules: &Rules, now: Micros) {
        let before = self.state;
        match before {
            CaseState::WaitingShopper if self.level != Level::Dispute => {
                self.outcomes.push(unanswered(now));
                self.resolved(rules, now);
                self.act(Some(before), Change::Resolved, &Actor::system(), now, |a| {
                    a.reason = "the shopper did not answer in time".to_owned();
                });
            }
            CaseState::WaitingShopper => {
                self.retailers_turn();
                self.act(
                    Some(before),
                    Change::Unanswered,
                    &Actor::system(),
                    now,
                    |_| {},
                );
            }
            CaseState::WaitingPartner => {
                self.retailers_turn();
                self.breach_count += 1;
                self.act(Some(before), Change::Breached, &Actor::system(), now, |a| {
                    a.missed = Some((Target::PartnerAnswer, due));
                });
            }
            CaseState::Open
            | CaseState::WaitingRetailer
            | CaseState::WaitingArbiter
            | CaseState::Resolved
            | CaseState::Closed => {}
        }
    }
}
