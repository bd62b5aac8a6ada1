//! AudienceService, but for the frames of WatchRoom; see [`super::watch`].

use std::time::Duration;

use contracts::common::v1::Audience;
use contracts::id::{OutletId, ProductId, QuestionId, RoomId};
use contracts::room::v1::audience_service_server::AudienceService;
use contracts::room::v1::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::auth::Claims;
use kit::errors::Refusal;
use kit::validate::Violations;
use tonic::{Request, Status};

use super::{
    Answer, Api, Keys, after, eyes, given, no_viewer, open, render, request_id, viewers_outlet,
    viewers_place,
};
use crate::live::{Watcher, Who};
use crate::model::{Eyes, View};
use crate::ops::questions::{AnswerQuestion, AskQuestion};
use crate::ops::read::{Outlet, ReadQuestion, ReadQuestions, Stand};
use crate::store::question::{QuestionQuery, question_owner};

const SHOPPER_REF_MAX: usize = 128;
const TEXT_MAX: usize = 500;
const ANSWER_MAX: usize = 1_000;
const LIKES_MAX: i64 = 100;
const VIEWER_SCOPE: &str = "room.view";

#[tonic::async_trait]
impl AudienceService for Api {
    type WatchRoomStream = BoxStream<'static, Result<WatchRoomResponse, Status>>;

    async fn create_viewer_token(
        &self,
        request: Request<CreateViewerTokenRequest>,
    ) -> Answer<CreateViewerTokenResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        let outlet_id = v.id::<OutletId>("outlet_id", &asked.outlet_id);
        let shopper_ref = v.text("shopper_ref", &asked.shopper_ref, 1..=SHOPPER_REF_MAX);
        if shopper_ref.len() > SHOPPER_REF_MAX {
            v.add(
                "shopper_ref",
                format!("must have at most {SHOPPER_REF_MAX} bytes in UTF-8."),
            );
        }
        v.finish()?;
        let (room_id, outlet_id) = (given(room_id)?, given(outlet_id)?);
        let partner = caller.partner()?;
        let stand = Stand {
            room_id,
            eyes: Eyes::Partner(partner),
            outlet: Outlet::Named(outlet_id),
        };
        self.read(&caller, stand).await?;
        let life_s = self.config.viewer_token_life_s;
        let claims =
            Claims::viewer(&partner, &outlet_id, &room_id, shopper_ref).scopes([VIEWER_SCOPE]);
        let token = self.signer.mint(claims, Duration::from_secs(life_s));
        let expires_in_s = i64::try_from(life_s).unwrap_or(i64::MAX);
        Ok(CreateViewerTokenResponse {
            token,
            expires_in_s,
        }
        .into())
    }

    async fn watch_room(
        &self,
        request: Request<WatchRoomRequest>,
    ) -> Answer<Self::WatchRoomStream> {
        let watcher = self.watcher(request).await?;
        let frames = super::watch::frames(watcher);
        Ok(frames
            .map(|frame| frame.map(|frame| frame.to_message()))
            .boxed()
            .into())
    }

    async fn like_room(&self, request: Request<LikeRoomRequest>) -> Answer<LikeRoomResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let count = v.range("count", asked.count, 1..=LIKES_MAX);
        v.finish()?;
        let room_id = caller.room_id.ok_or_else(no_viewer)?;
        let key = format!("{}|{room_id}|{request_id}", caller.scope_key());
        let likes = self
            .rooms
            .like(room_id, viewers_place(&caller)?, &key, count)
            .await?;
        Ok(LikeRoomResponse { likes }.into())
    }

    async fn ask_question(
        &self,
        request: Request<AskQuestionRequest>,
    ) -> Answer<AskQuestionResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let text = v.long_text("text", &asked.text, 1..=TEXT_MAX);
        let product_id = v.opt_id::<ProductId>("product_id", &asked.product_id);
        v.finish()?;
        let operation = AskQuestion {
            room_id: caller.room_id.ok_or_else(no_viewer)?,
            place: viewers_place(&caller)?,
            shopper_ref: caller.shopper_ref.clone().ok_or_else(no_viewer)?,
            text,
            product_id,
            open_max: i64::from(self.config.open_questions_per_viewer_max),
        };
        // The key store is asked now, and not while the room's log is locked.
        let owner = question_owner(operation.place.partner_id, &operation.shopper_ref);
        self.db.keys()?.of(&owner).await?;
        let keys = Keys {
            method: "vitrine.room.v1.AudienceService/AskQuestion",
            request_id,
            request: &asked,
        };
        // What is kept with the key only names the question: its text stands in its own table and nowhere else.
        let name = |question: &crate::model::Question| AskQuestionResponse {
            question: Some(named(question.id)),
        };
        let answer = self.mutate(&caller, keys, operation, name).await?;
        let question = self.read(&caller, known(answer.question)?).await?;
        let question = render::question(&question.as_asked(), &eyes(&caller)?);
        Ok(AskQuestionResponse {
            question: Some(question),
        }
        .into())
    }

    async fn answer_question(
        &self,
        request: Request<AnswerQuestionRequest>,
    ) -> Answer<AnswerQuestionResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let question_id = v.id::<QuestionId>("question_id", &asked.question_id);
        let answer = v.long_text("answer", &asked.answer, 1..=ANSWER_MAX);
        v.finish()?;
        let operation = AnswerQuestion {
            question_id: given(question_id)?,
            answer,
        };
        let keys = Keys {
            method: "vitrine.room.v1.AudienceService/AnswerQuestion",
            request_id,
            request: &asked,
        };
        let name = |question: &crate::model::Question| AnswerQuestionResponse {
            question: Some(named(question.id)),
        };
        let answer = self.mutate(&caller, keys, operation, name).await?;
        let question = self.read(&caller, known(answer.question)?).await?;
        let question = render::question(&question, &eyes(&caller)?);
        Ok(AnswerQuestionResponse {
            question: Some(question),
        }
        .into())
    }

    async fn list_questions(
        &self,
        request: Request<ListQuestionsRequest>,
    ) -> Answer<ListQuestionsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        let state = v.opt_enumeration::<QuestionState>("state", asked.state);
        v.finish()?;
        let eyes = eyes(&caller)?;
        let query = [
            "ListQuestions",
            &asked.room_id,
            state.map_or("", |state| state.as_str_name()),
        ];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let query = QuestionQuery {
            room_id: given(room_id)?,
            partner: match eyes {
                Eyes::Retailer => None,
                Eyes::Partner(partner) | Eyes::Viewer(partner) => Some(partner),
            },
            state: state.and_then(render::question_state_of),
            after: after(&page)?,
            limit: page.limit(),
        };
        let questions = self.read(&caller, ReadQuestions { eyes, query }).await?;
        let (questions, next_page_token) =
            page.cut(questions, |question| vec![question.id.to_string()]);
        let questions = questions
            .iter()
            .map(|question| render::question(question, &eyes))
            .collect();
        Ok(ListQuestionsResponse {
            questions,
            next_page_token,
        }
        .into())
    }
}

impl Api {
    /// Begins to watch, as the caller may.
    pub(super) async fn watcher(
        &self,
        request: Request<WatchRoomRequest>,
    ) -> Result<Watcher, Status> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        let outlet = v.opt_id::<OutletId>("outlet_id", &asked.outlet_id);
        if caller.audience == Audience::Partner && asked.outlet_id.is_empty() {
            v.add("outlet_id", "must name one of your outlets.");
        }
        v.finish()?;
        let room_id = given(room_id)?;
        let outlet = match caller.audience {
            Audience::Viewer if caller.room_id != Some(room_id) => {
                return Err(Refusal::not_found("room").into());
            }
            Audience::Viewer => viewers_outlet(&caller, outlet)?,
            _ => outlet.map_or(Outlet::First, Outlet::Named),
        };
        let stand = Stand {
            room_id,
            eyes: eyes(&caller)?,
            outlet,
        };
        let (view, _): (View, _) = self.read(&caller, stand).await?;
        let viewer = match caller.audience {
            Audience::Viewer => Some(caller.shopper_ref.as_deref().ok_or_else(no_viewer)?.into()),
            _ => None,
        };
        Ok(self
            .rooms
            .watch(
                Who {
                    room_id,
                    view,
                    viewer,
                },
                &asked.cursor,
            )
            .await?)
    }
}

/// A question by its name alone.
fn named(id: QuestionId) -> Question {
    Question {
        question_id: id.into(),
        ..Question::default()
    }
}

fn known(question: Option<Question>) -> Result<ReadQuestion, Status> {
    let id = question.and_then(|question| question.question_id.parse().ok());
    Ok(ReadQuestion {
        question_id: given(id)?,
    })
}
