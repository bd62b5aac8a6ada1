//! What shoppers ask.

use std::fmt;

use contracts::id::{ProductId, QuestionId, RoomId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::room::Place;
use super::words::words;

words! {
    /// Where a question is.
    QuestionState {
        /// Waits for an answer.
        Open = "OPEN",
        /// Was answered.
        Answered = "ANSWERED",
    }
}

/// A shopper's question. What people wrote never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub id: QuestionId,
    /// The room.
    pub room_id: RoomId,
    /// Where it was asked.
    pub place: Place,
    /// Who asked: the partner's opaque id.
    pub shopper_ref: String,
    /// What they asked.
    pub text: String,
    /// The product it is about.
    pub product_id: Option<ProductId>,
    /// Where it is.
    pub state: QuestionState,
    /// The answer; empty until there is one.
    pub answer: String,
    /// When it was asked.
    pub ask_time: Micros,
    /// When it was answered.
    pub answer_time: Option<Micros>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Question {
    /// Answers it, once.
    pub fn answer(&mut self, answer: String, now: Micros) -> Result<(), Refusal> {
        if self.state == QuestionState::Answered {
            let message = "The question was answered already and an answer cannot be changed.";
            return Err(Refusal::wrong_state("question", self.state, message));
        }
        self.state = QuestionState::Answered;
        self.answer = answer;
        self.answer_time = Some(now);
        Ok(())
    }

    /// The same question as it was when it was asked.
    pub fn as_asked(mut self) -> Self {
        self.state = QuestionState::Open;
        self.answer = String::new();
        self.answer_time = None;
        self
    }
}

#[cfg(test)]
mod tests {
    use contracts::id::{OutletId, PartnerId};

    use super::*;
    use crate::model::view::{Eyes, View};

    fn question() -> Question {
        Question {
            id: QuestionId::from_uuid(1),
            room_id: RoomId::from_uuid(1),
            place: Place {
                outlet_id: OutletId::from_uuid(1),
                partner_id: PartnerId::from_uuid(1),
            },
            shopper_ref: "s-1".into(),
            text: "my number is 5551234".into(),
            product_id: None,
            state: QuestionState::Open,
            answer: String::new(),
            ask_time: Micros(1),
            answer_time: None,
        }
    }

    #[test]
    fn is_answered_once() {
        let mut question = question();
        question.answer("Yes.".into(), Micros(2)).expect("open");
        assert!(question.answer("No.".into(), Micros(3)).is_err());
        assert_eq!(
            (question.answer.as_str(), question.answer_time),
            ("Yes.", Some(Micros(2)))
        );
        assert_eq!(question.as_asked(), super::tests::question());
    }

    #[test]
    fn what_people_wrote_is_not_in_debug() {
        assert!(!format!("{:?}", question()).contains("555"));
        assert!(!format!("{:?}", question()).contains("s-1"));
    }

    #[test]
    fn who_sees_what_of_a_question() {
        let question = question();
        let at = |outlet, partner| Place {
            outlet_id: OutletId::from_uuid(outlet),
            partner_id: PartnerId::from_uuid(partner),
        };
        let (own, other) = (PartnerId::from_uuid(1), PartnerId::from_uuid(2));
        let cases = [
            // eyes, outlet, asked, asker, place
            (Eyes::Retailer, None, true, true, true),
            (Eyes::Retailer, Some(at(2, 2)), true, true, true),
            (Eyes::Partner(own), Some(at(1, 1)), true, true, true),
            (Eyes::Partner(own), Some(at(3, 1)), false, true, true),
            (Eyes::Partner(other), Some(at(2, 2)), false, false, false),
            (Eyes::Viewer(own), Some(at(1, 1)), true, false, true),
            (Eyes::Viewer(other), Some(at(2, 2)), false, false, false),
        ];
        for (eyes, place, asked, asker, where_asked) in cases {
            let view = View { eyes, place };
            let seen = (
                view.sees_asked(&question),
                eyes.see_asker(&question),
                eyes.see_place(&question),
            );
            assert_eq!(seen, (asked, asker, where_asked), "{view:?}");
        }
    }
}
