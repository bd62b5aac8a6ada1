//! What happens in a room, and how it is delivered.

use contracts::id::{QuestionId, ShowcaseItemId};
use kit::clock::Micros;
use serde::{Deserialize, Serialize};

use super::room::{NextRoom, RoomState};
use super::showcase::Item;

/// How an event is delivered. Each class has its own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Durable, ordered, never dropped.
    Ledger,
    /// Keyed, the latest wins.
    State,
    /// Absolute totals.
    Counter,
    /// Ordered, sampled above a cap.
    Chat,
    /// First to go.
    Ephemeral,
}

impl Class {
    /// Every class, in the order of the contract.
    pub const ALL: [Class; 5] = [
        Class::Ledger,
        Class::State,
        Class::Counter,
        Class::Chat,
        Class::Ephemeral,
    ];

    /// The word for it in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Class::Ledger => "ledger",
            Class::State => "state",
            Class::Counter => "counter",
            Class::Chat => "chat",
            Class::Ephemeral => "ephemeral",
        }
    }

    /// Its place in [`Class::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// An event of class LEDGER as the log keeps it. Offers are not in it: they are resolved for whoever looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerEvent {
    /// The room went live, paused, ended.
    State {
        /// After it.
        state: RoomState,
        /// Why.
        reason: String,
        /// Where the channel goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<NextRoom>,
    },
    /// An item was added, pinned, unpinned, or its explaining began or ended.
    Item(Item),
    /// An item was taken out.
    ItemRemoved(ShowcaseItemId),
}

/// An event of class CHAT as the log keeps it: it only names the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatEvent {
    /// A question was asked.
    Asked(QuestionId),
    /// A question was answered.
    Answered(QuestionId),
}

impl ChatEvent {
    /// The question.
    pub fn question_id(&self) -> QuestionId {
        match self {
            ChatEvent::Asked(id) | ChatEvent::Answered(id) => *id,
        }
    }
}

/// An event with its place in its class and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged<E> {
    /// From 1, without a gap, per room and class.
    pub position: i64,
    /// When it happened.
    pub time: Micros,
    /// What happened.
    pub event: E,
}

/// Absolute totals of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times somebody began to watch.
    pub views: i64,
    /// Watching now.
    pub viewers: i64,
    /// Likes.
    pub likes: i64,
    /// Questions asked.
    pub questions: i64,
}

impl Serialize for RoomState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for RoomState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        RoomState::named(&word).ok_or_else(|| serde::de::Error::custom("no state of a room"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_kept_in_a_form_that_stays_readable() {
        let ended = LedgerEvent::State {
            state: RoomState::Ended,
            reason: "over".into(),
            next: None,
        };
        let text = serde_json::to_string(&ended).expect("JSON");
        assert_eq!(text, r#"{"state":{"state":"ENDED","reason":"over"}}"#);
        assert_eq!(
            serde_json::from_str::<LedgerEvent>(&text).expect("the same"),
            ended
        );
        let asked = ChatEvent::Asked(QuestionId::from_uuid(1));
        let text = serde_json::to_string(&asked).expect("JSON");
        assert_eq!(text, format!(r#"{{"asked":"{}"}}"#, asked.question_id()));
        assert_eq!(
            serde_json::from_str::<ChatEvent>(&text).expect("the same"),
            asked
        );
    }
}
