//! Viewers: likes all the time, a question now and then, and a host who answers.

use std::time::Duration;

use contracts::room::v1 as pb;

use super::Stage;
use crate::client::{Bearer, Caller};
use crate::journal::{Answer, Call};

/// Viewers get a new token after so many rounds: it lives an hour at most.
const ROUNDS_PER_TOKEN: u64 = 2_000;

/// One viewer of a partner.
pub async fn run(stage: Stage, partner: usize) {
    let mut n = 0_u64;
    while !stage.over() {
        let Some(viewer) = viewer(&stage, partner, n).await else {
            stage.rest(Duration::from_millis(500)).await;
            continue;
        };
        for _ in 0..ROUNDS_PER_TOKEN {
            if stage.over() {
                return;
            }
            n += 1;
            like(&stage, &viewer, partner, n).await;
            if n.is_multiple_of(10) {
                question(&stage, &viewer, partner, n).await;
            }
            stage.rest(Duration::from_millis(100)).await;
        }
    }
}

async fn viewer(stage: &Stage, partner: usize, n: u64) -> Option<Caller> {
    let partner = &stage.world.partners[partner];
    let request = pb::CreateViewerTokenRequest {
        room_id: stage.world.room.clone(),
        outlet_id: partner.outlet.clone(),
        shopper_ref: format!("viewer-{n}"),
    };
    let path = "/vitrine.room.v1.AudienceService/CreateViewerToken";
    let answered = partner
        .caller
        .ask::<_, pb::CreateViewerTokenResponse>(path, &request)
        .await
        .ok()?;
    let bearer = Bearer::fixed(answered.answer.token);
    Some(Caller::new(&stage.world.network, bearer))
}

async fn like(stage: &Stage, viewer: &Caller, partner: usize, n: u64) {
    let key = format!("{}-like-{partner}-{n}", stage.world.run);
    let count = 3;
    let request = pb::LikeRoomRequest {
        request_id: key.clone(),
        count,
    };
    let what = Call::Like {
        room: stage.world.room.clone(),
        key,
        count,
    };
    let answer = |answer: &pb::LikeRoomResponse| Answer::Liked {
        total: answer.likes,
    };
    let path = "/vitrine.room.v1.AudienceService/LikeRoom";
    stage.call(viewer, path, &request, what, answer).await;
}

async fn question(stage: &Stage, viewer: &Caller, partner: usize, n: u64) {
    let key = format!("{}-ask-{partner}-{n}", stage.world.run);
    let text = format!("Is it silk? ({key})");
    let request = pb::AskQuestionRequest {
        request_id: key.clone(),
        text: text.clone(),
        ..Default::default()
    };
    let what = Call::Question {
        room: stage.world.room.clone(),
        key: key.clone(),
        text,
    };
    let answer = |answer: &pb::AskQuestionResponse| Answer::Question {
        question: answer.question.clone().unwrap_or_default().question_id,
    };
    let path = "/vitrine.room.v1.AudienceService/AskQuestion";
    let asked = stage.call(viewer, path, &request, what, answer).await;
    let Some(question) = asked.and_then(|a| a.question) else {
        return;
    };
    // Answered, so that the viewer may ask again.
    let request = pb::AnswerQuestionRequest {
        request_id: format!("answer-{key}"),
        question_id: question.question_id,
        answer: "It is.".into(),
    };
    let path = "/vitrine.room.v1.AudienceService/AnswerQuestion";
    let _ = stage
        .world
        .host
        .ask::<_, pb::AnswerQuestionResponse>(path, &request)
        .await;
}
