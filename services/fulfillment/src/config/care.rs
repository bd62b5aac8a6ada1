//! Limits of customer care.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::care::{Rules, Targets};

const HOUR_S: u64 = 60 * 60;
const DAY_S: u64 = 24 * HOUR_S;

/// How long a case may take, from the moment it reached a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelTargets {
    /// Seconds to the retailer's first answer.
    pub first_response_s: u64,
    /// Seconds to the resolution.
    pub resolution_s: u64,
}

/// Targets of one priority, by level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityTargets {
    /// Of an ISSUE.
    pub issue: LevelTargets,
    /// Of a GRIEVANCE.
    pub grievance: LevelTargets,
    /// Of a DISPUTE.
    pub dispute: LevelTargets,
}

/// Limits and rhythms of customer care; every unit is in the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CareConfig {
    /// Targets of cases of priority LOW.
    pub low: PriorityTargets,
    /// Targets of cases of priority NORMAL.
    pub normal: PriorityTargets,
    /// Targets of cases of priority HIGH.
    pub high: PriorityTargets,
    /// Targets of cases of priority URGENT.
    pub urgent: PriorityTargets,
    /// Seconds that a shopper may be silent before a case is resolved as UNANSWERED.
    pub shopper_wait_s: u64,
    /// Seconds that a partner may be silent before it is the retailer's turn again.
    pub partner_wait_s: u64,
    /// Seconds after its resolution during which a case may be reopened; then it is closed.
    pub reopen_window_s: u64,
    /// How often a case may be reopened.
    pub reopens_max: u32,
    /// The most messages of one case.
    pub messages_per_case_max: u32,
    /// The most characters of a message or a topic's answer.
    pub message_chars_max: usize,
    /// The most attachments of a message.
    pub attachments_max: usize,
    /// The most outcomes of one resolution, and the most that a decision may ask for.
    pub outcomes_max: usize,
    /// The most cases of one shopper that are open at once.
    pub open_per_shopper_max: u32,
    /// The most cases that an agent who takes the next may have open.
    pub open_per_agent_max: u32,
    /// The most cases of the queue that are looked at to find one to take.
    pub queue_looks_max: u32,
    /// The most people of the retailer that are looked at to see whether an arbiter has a part in a case.
    pub involved_max: u32,
    /// The most cases put under a topic in one call.
    pub group_cases_max: usize,
    /// The most cases of a topic that are counted.
    pub topic_cases_counted_max: u32,
    /// Seconds ahead that the view of cases about to miss a target looks when the caller names no time.
    pub breach_ahead_s: u64,
    /// Pages of a list of the order service that are read to find what an outcome names.
    pub order_pages_max: u32,
    /// Days after a case was closed before what was said in it is forgotten.
    pub words_keep_days: u32,
    /// The most cases, messages, actions or topics on a page of their lists.
    pub page_size_max: u32,
}

/// Targets in hours: first answer and resolution, of an issue, a grievance and a dispute.
const fn hours(hours: [(u64, u64); 3]) -> PriorityTargets {
    const fn level(hours: (u64, u64)) -> LevelTargets {
        LevelTargets {
            first_response_s: hours.0 * HOUR_S,
            resolution_s: hours.1 * HOUR_S,
        }
    }
    PriorityTargets {
        issue: level(hours[0]),
        grievance: level(hours[1]),
        dispute: level(hours[2]),
    }
}

impl Default for CareConfig {
    fn default() -> Self {
        CareConfig {
            low: hours([(48, 240), (24, 120), (24, 240)]),
            normal: hours([(24, 168), (12, 72), (24, 240)]),
            high: hours([(4, 72), (4, 48), (12, 168)]),
            urgent: hours([(1, 24), (1, 24), (4, 72)]),
            shopper_wait_s: 5 * DAY_S,
            partner_wait_s: 2 * DAY_S,
            reopen_window_s: 7 * DAY_S,
            reopens_max: 3,
            messages_per_case_max: 500,
            message_chars_max: 4_000,
            attachments_max: 10,
            outcomes_max: 10,
            open_per_shopper_max: 20,
            open_per_agent_max: 50,
            queue_looks_max: 100,
            involved_max: 1_000,
            group_cases_max: 100,
            topic_cases_counted_max: 100_000,
            breach_ahead_s: HOUR_S,
            order_pages_max: 20,
            words_keep_days: 365,
            page_size_max: 200,
        }
    }
}

impl CareConfig {
    /// What the steps of a case obey.
    pub fn rules(&self) -> Rules {
        let level = |level: LevelTargets| Targets {
            response: Duration::from_secs(level.first_response_s),
            resolution: Duration::from_secs(level.resolution_s),
        };
        let all =
            |all: PriorityTargets| [level(all.issue), level(all.grievance), level(all.dispute)];
        Rules {
            targets: [self.low, self.normal, self.high, self.urgent].map(all),
            shopper_wait: Duration::from_secs(self.shopper_wait_s),
            partner_wait: Duration::from_secs(self.partner_wait_s),
            reopen_window: Duration::from_secs(self.reopen_window_s),
            reopens_max: self.reopens_max.into(),
            messages_max: self.messages_per_case_max.into(),
        }
    }
}
