//! Who sees what of a question, and where its words are.

use contracts::ErrorReason;
use contracts::id::QuestionId;
use contracts::room::v1::room_event::Content;
use contracts::room::v1::*;
use kit::errors::Fault;
use room::Config;
use store::{Operation, Tx, sql};
use testkit::{TestDb, on_both_engines};

use crate::catalog::{outlet_id, product_id};
use crate::common::{Hand, Server, Watch, ask, brisk, call, fields, key, reason, setup};

type Blob = (Vec<u8>,);

/// Everything that is kept outside of the table of questions, as one long text.
struct EverythingElse;

impl Operation for EverythingElse {
    type Output = String;

    fn name(&self) -> &'static str {
        "test.everything"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        let mut all = String::new();
        let blobs = [
            sql!(tx, all Blob, "SELECT payload FROM room_event")?,
            sql!(tx, all Blob, "SELECT payload FROM feed")?,
            sql!(tx, all Blob, "SELECT response FROM idempotency")?,
        ];
        for (blob,) in blobs.iter().flatten() {
            all.push_str(&String::from_utf8_lossy(blob));
        }
        let rows = sql!(
            tx,
            all(String, String, String, String),
            "SELECT who, action, resource_id, outcome FROM audit"
        )?;
        for (who, action, resource_id, outcome) in rows {
            all.extend([who, action, resource_id, outcome]);
        }
        Ok(all)
    }
}

async fn listed(hand: &Hand, room: &str, state: QuestionState) -> Vec<Question> {
    let request = ListQuestionsRequest {
        room_id: room.into(),
        state: state.into(),
        ..Default::default()
    };
    call!(hand.audience.list_questions(request))
        .expect("questions")
        .questions
}

fn chat(watch: &Watch) -> Vec<Question> {
    let question = |content| match content {
        Content::QuestionAsked(question) | Content::QuestionAnswered(question) => question,
        other => panic!("no talk: {other:?}"),
    };
    watch
        .of(DeliveryClass::Chat)
        .into_iter()
        .map(question)
        .collect()
}

on_both_engines! {
    setup: setup();

    async fn a_question_is_seen_by_those_it_is_for(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 12, 21]).await;
        let asker = server.viewer(&room, 11, "s-1").await;
        let hands = [
            ("asker", asker.clone(), None),
            ("same outlet", server.viewer(&room, 11, "s-2").await, None),
            ("same partner", server.viewer(&room, 12, "s-1").await, None),
            ("other partner's shopper", server.viewer(&room, 21, "s-1").await, None),
            ("partner", server.partner(1), Some(11)),
            ("partner elsewhere", server.partner(1), Some(12)),
            ("other partner", server.partner(2), Some(21)),
            ("retailer", server.ops(), None),
        ];
        let mut watches = Vec::new();
        for (name, hand, outlet) in &hands {
            watches.push((*name, Watch::begin(hand, &room, *outlet, "").await.expect("a watch")));
        }
        let question = ask(&asker, "Is it warm?").await.expect("asked");
        assert_eq!((question.state(), question.shopper_ref.as_str()), (QuestionState::Open, ""));
        let answered = server.answer(&question.question_id, "Very.").await.expect("answered");
        assert_eq!((answered.state(), answered.shopper_ref.as_str()), (QuestionState::Answered, "s-1"));
        for (name, watch) in &mut watches {
            watch.until("the answer", |watch| watch.talk().last().is_some_and(|last| last == "! Very.")).await;
            let sees_asked = matches!(*name, "asker" | "same outlet" | "partner" | "retailer");
            let sees_asker = matches!(*name, "partner" | "partner elsewhere" | "retailer");
            let sees_place = !name.starts_with("other");
            assert_eq!(watch.talk().len(), if sees_asked { 2 } else { 1 }, "{name}");
            for seen in chat(watch) {
                assert_eq!(seen.text, "Is it warm?", "{name}");
                assert_eq!(!seen.shopper_ref.is_empty(), sees_asker, "{name}");
                assert_eq!(!seen.outlet_id.is_empty(), sees_place, "{name}");
            }
        }
        let later = Watch::begin(&hands[3].1, &room, None, "").await.expect("a watch");
        let [shown] = &later.snapshot().questions[..] else { panic!("one question") };
        assert_eq!((shown.answer.as_str(), shown.shopper_ref.as_str(), shown.outlet_id.as_str()), ("Very.", "", ""));
        let own = listed(&server.partner(1), &room, QuestionState::Answered).await;
        assert_eq!((own.len(), own[0].shopper_ref.as_str()), (1, "s-1"));
        assert_eq!(own[0].outlet_id, outlet_id(11).to_string());
        assert_eq!(listed(&server.partner(2), &room, QuestionState::Unspecified).await, []);
        assert_eq!(listed(&server.ops(), &room, QuestionState::Open).await, []);
        server.stop().await;
    }

    async fn its_words_are_in_one_table_only(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let question = ask(&viewer, "My number is 5551234?").await.expect("asked");
        server.answer(&question.question_id, "I call 5551234.").await.expect("answered");
        let kept = t.read(EverythingElse).await.expect("everything");
        assert!(kept.contains(&question.question_id) && kept.contains("question.answer"), "it was looked at");
        assert!(!kept.contains("5551234"), "{kept}");
        server.stop().await;
    }

    async fn asking_and_answering_once_per_key(t: TestDb) {
        let server = Server::start_with(&t, Config { open_questions_per_viewer_max: 2, ..brisk() }).await;
        let room = server.live_room(&[11]).await;
        server.add(&room, 1).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let request = AskQuestionRequest { request_id: key(), text: "Warm?\nReally?".into(), product_id: product_id(1).into() };
        let asked = call!(viewer.audience.ask_question(request.clone())).expect("asked");
        let id = asked.question.as_ref().expect("the question").question_id.clone();
        assert_eq!(asked.question.as_ref().map(|question| question.product_id.clone()), Some(product_id(1).to_string()));
        let ops = server.ops();
        let answer = AnswerQuestionRequest { request_id: key(), question_id: id.clone(), answer: "Yes.".into() };
        let answered = call!(ops.audience.answer_question(answer.clone())).expect("answered");
        assert_eq!(call!(viewer.audience.ask_question(request.clone())).expect("the same"), asked, "as it was asked");
        assert_eq!(call!(ops.audience.answer_question(answer.clone())).expect("the same"), answered);
        let other = AskQuestionRequest { text: "Cold?".into(), ..request };
        assert_eq!(reason(call!(viewer.audience.ask_question(other))), ErrorReason::KeyReused);
        assert_eq!(reason(server.answer(&id, "No.").await), ErrorReason::WrongState, "it has its answer");
        let unknown = server.answer(QuestionId::from_uuid(9).as_str(), "No.").await;
        assert_eq!(reason(unknown), ErrorReason::NotFound);
        assert_eq!(server.counters(&room).await.questions, 1);
        for text in ["One?", "Two?"] {
            ask(&viewer, text).await.expect("asked");
        }
        assert_eq!(reason(ask(&viewer, "Three?").await), ErrorReason::RateLimited, "two wait already");
        server.stop().await;
    }

    async fn what_is_wrong_is_named(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11]).await;
        server.schedule(&room).await.expect("scheduled");
        let viewer = server.viewer(&room, 11, "s-1").await;
        assert_eq!(reason(ask(&viewer, "Already?").await), ErrorReason::WrongState);
        server.go_live(&room).await.expect("live");
        for text in ["", "  ", &"x".repeat(501), "a\0b"] {
            assert_eq!(fields(ask(&viewer, text).await), ["text"], "{text:?}");
        }
        let about = |product_id: String| AskQuestionRequest { request_id: key(), text: "This?".into(), product_id };
        let elsewhere = call!(viewer.audience.ask_question(about(product_id(2).into())));
        assert_eq!(reason(elsewhere), ErrorReason::NotFound, "it is not shown here");
        assert_eq!(fields(call!(viewer.audience.ask_question(about("x".into())))), ["product_id"]);
        let id = ask(&viewer, "This?").await.expect("asked").question_id;
        assert_eq!(fields(server.answer(&id, "").await), ["answer"]);
        assert_eq!(server.counters(&room).await.questions, 1, "refusals count for nothing");
        server.pause(&room).await.expect("paused");
        assert_eq!(reason(ask(&viewer, "Now?").await), ErrorReason::WrongState);
        server.end(&room).await.expect("ended");
        server.answer(&id, "Yes.").await.expect("late, but answered");
        server.stop().await;
    }

    async fn questions_are_listed_oldest_first(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 21]).await;
        let (one, two) = (server.viewer(&room, 11, "s-1").await, server.viewer(&room, 21, "s-1").await);
        for n in 0..6 {
            t.clock.advance(std::time::Duration::from_millis(5));
            ask(if n % 2 == 0 { &one } else { &two }, &format!("{n}?")).await.expect("asked");
        }
        let ops = server.ops();
        let (mut texts, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListQuestionsRequest { room_id: room.clone(), page_size: 4, page_token, ..Default::default() };
            let page = call!(ops.audience.list_questions(request)).expect("a page");
            texts.extend(page.questions.into_iter().map(|question| question.text));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(texts, ["0?", "1?", "2?", "3?", "4?", "5?"]);
        let own = listed(&server.partner(2), &room, QuestionState::Open).await;
        assert_eq!(own.into_iter().map(|question| question.text).collect::<Vec<_>>(), ["1?", "3?", "5?"]);
        server.stop().await;
    }
}
