//! Asking and answering.

use std::time::Duration;

use ::store::{Operation, Tx};
use contracts::id::{ProductId, QuestionId, RoomId};
use kit::errors::{ErrorReason, Fault, Refusal};

use crate::events;
use crate::model::room::wrong_room_state;
use crate::model::{ChatEvent, Place, Question, QuestionState, RoomState};
use crate::store::item::item_shows;
use crate::store::log::{chat_insert, chat_next};
use crate::store::question::{question_answer, question_by_id, question_insert, questions_open};
use crate::store::room::{room_is_shown_at, room_state};

/// When a shopper whose questions all wait may hope that one was answered.
const ASK_LATER: Duration = Duration::from_secs(60);

/// A shopper asks a question in a LIVE room.
pub struct AskQuestion {
    /// The room.
    pub room_id: RoomId,
    /// Where the shopper watches.
    pub place: Place,
    /// Who asks.
    pub shopper_ref: String,
    /// What.
    pub text: String,
    /// About which product.
    pub product_id: Option<ProductId>,
    /// The most questions of one shopper that may wait for an answer.
    pub open_max: i64,
}

impl Operation for AskQuestion {
    type Output = Question;

    fn name(&self) -> &'static str {
        "question.ask"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Question, Fault> {
        // Locks the room's log, so that the room cannot end in between.
        let position = chat_next(tx, &self.room_id, true)
            .await?
            .ok_or_else(|| Refusal::not_found("room"))?;
        self.check(tx).await?;
        let question = Question {
            id: QuestionId::from_uuid(tx.ids().next()),
            room_id: self.room_id,
            place: self.place,
            shopper_ref: self.shopper_ref.clone(),
            text: self.text.clone(),
            product_id: self.product_id,
            state: QuestionState::Open,
            answer: String::new(),
            ask_time: tx.now(),
            answer_time: None,
        };
        question_insert(tx, &question).await?;
        chat_insert(tx, &self.room_id, position, ChatEvent::Asked(question.id)).await?;
        tx.publish(events::question_changed(&question));
        tx.audit(self.name(), question.id, question.state.word());
        Ok(question)
    }
}

impl AskQuestion {
    async fn check(&self, tx: &mut Tx) -> Result<(), Fault> {
        let state = room_state(tx, &self.room_id).await?;
        if !room_is_shown_at(tx, &self.room_id, &self.place).await? {
            return Err(Refusal::not_found("room").into());
        }
        match state {
            Some(RoomState::Live) => {}
            Some(state) => {
                return Err(wrong_room_state(state, "take questions", "it has to be LIVE").into());
            }
            None => return Err(Refusal::not_found("room").into()),
        }
        if let Some(product) = &self.product_id
            && !item_shows(tx, &self.room_id, product).await?
        {
            return Err(Refusal::not_found("product in this room").into());
        }
        let Place { outlet_id, .. } = &self.place;
        let open = questions_open(
            tx,
            &self.room_id,
            outlet_id,
            &self.shopper_ref,
            self.open_max,
        )
        .await?;
        if open >= self.open_max {
            let message = format!(
                "{open} of your questions wait for an answer; ask again when one was answered."
            );
            return Err(Refusal::new(ErrorReason::RateLimited, message)
                .retry_after(ASK_LATER)
                .into());
        }
        Ok(())
    }
}

/// Answers a question.
pub struct AnswerQuestion {
    /// Which.
    pub question_id: QuestionId,
    /// The answer.
    pub answer: String,
}

impl Operation for AnswerQuestion {
    type Output = Question;

    fn name(&self) -> &'static str {
        "question.answer"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Question, Fault> {
        let not_found = || Refusal::not_found("question");
        let room = question_by_id(tx, &self.question_id)
            .await?
            .ok_or_else(not_found)?
            .room_id;
        let position = chat_next(tx, &room, false).await?.ok_or_else(not_found)?;
        // Read again under the lock of the log: somebody may have answered meanwhile.
        let mut question = question_by_id(tx, &self.question_id)
            .await?
            .ok_or_else(not_found)?;
        question.answer(self.answer.clone(), tx.now())?;
        question_answer(tx, &question).await?;
        chat_insert(tx, &room, position, ChatEvent::Answered(question.id)).await?;
        tx.publish(events::question_changed(&question));
        tx.audit(self.name(), question.id, question.state.word());
        Ok(question)
    }
}
