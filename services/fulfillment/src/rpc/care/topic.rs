//! Topics.

use ::store::idempotency::Idempotent;
use contracts::fulfillment::v1 as pb;
use contracts::id::CaseId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;

use super::super::read::after_id;
use super::super::{Api, keyed, parse as requests, render};
use crate::ops::care::read::ListTopics;
use crate::ops::care::topic::{AddCases, AnswerTopic, Counted, CreateTopic};

const CREATE: &str = "vitrine.fulfillment.v1.CareService/CreateTopic";
const ADD: &str = "vitrine.fulfillment.v1.CareService/AddCasesToTopic";
const ANSWER: &str = "vitrine.fulfillment.v1.CareService/AnswerTopic";

fn no_topic() -> Refusal {
    Refusal::not_found("topic")
}

fn shown((topic, counts): &Counted) -> Option<pb::CaseTopic> {
    Some(render::topic(topic, *counts))
}

impl Api {
    pub(super) async fn create_topic(
        &self,
        caller: &Caller,
        request: pb::CreateTopicRequest,
    ) -> Result<pb::CreateTopicResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let operation = CreateTopic {
            title: wrong.text("title", &request.title, 1..=200),
            product_id: wrong.opt_id("product_id", &request.product_id),
            room_id: wrong.opt_id("room_id", &request.room_id),
        };
        wrong.finish()?;
        let keyed = keyed(caller, CREATE, &key, &request);
        let work = Idempotent::new(keyed, operation, |made| pb::CreateTopicResponse {
            topic: shown(made),
        });
        self.db.execute(caller, work).await
    }

    pub(super) async fn add_cases_to_topic(
        &self,
        caller: &Caller,
        request: pb::AddCasesToTopicRequest,
    ) -> Result<pb::AddCasesToTopicResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let topic_id = wrong.id("topic_id", &request.topic_id);
        let cases = self.named_cases(&mut wrong, &request.case_ids);
        wrong.finish()?;
        let operation = AddCases {
            topic_id: topic_id.ok_or_else(no_topic)?,
            cases,
            counted_max: self.config.care.topic_cases_counted_max.into(),
        };
        let keyed = keyed(caller, ADD, &key, &request);
        let work = Idempotent::new(keyed, operation, |grown| pb::AddCasesToTopicResponse {
            topic: shown(grown),
        });
        self.db.execute(caller, work).await
    }

    fn named_cases(&self, wrong: &mut Violations, said: &[String]) -> Vec<CaseId> {
        let mut cases = Vec::with_capacity(said.len());
        if !wrong.items("case_ids", said, 1..=self.config.care.group_cases_max) {
            return cases;
        }
        for (at, said) in said.iter().enumerate() {
            cases.extend(wrong.id::<CaseId>(&format!("case_ids[{at}]"), said));
        }
        cases.sort_unstable();
        let count = cases.len();
        cases.dedup();
        if cases.len() < count {
            wrong.add("case_ids", "names a case twice; name each once.");
        }
        cases
    }

    pub(super) async fn answer_topic(
        &self,
        caller: &Caller,
        request: pb::AnswerTopicRequest,
    ) -> Result<pb::AnswerTopicResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let topic_id = wrong.id("topic_id", &request.topic_id);
        let etag = wrong.opt_text("etag", &request.etag, 1..=64);
        let most = self.config.care.message_chars_max;
        let answer = wrong.long_text("answer", &request.answer, 1..=most);
        wrong.finish()?;
        let operation = AnswerTopic {
            topic_id: topic_id.ok_or_else(no_topic)?,
            etag,
            answer,
            counted_max: self.config.care.topic_cases_counted_max.into(),
        };
        let keyed = keyed(caller, ANSWER, &key, &request);
        let work = Idempotent::new(keyed, operation, |said| pb::AnswerTopicResponse {
            topic: shown(said),
        });
        self.db.execute(caller, work).await
    }

    pub(super) async fn list_topics(
        &self,
        caller: &Caller,
        request: pb::ListTopicsRequest,
    ) -> Result<pb::ListTopicsResponse, Fault> {
        let mut wrong = Violations::new();
        let product_id = wrong.opt_id("product_id", &request.product_id);
        wrong.finish()?;
        let query = format!("ListTopics|{}", request.product_id);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.care.page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let operation = ListTopics {
            product_id,
            after: after_id(&page)?,
            limit: page.limit(),
            counted_max: self.config.care.topic_cases_counted_max.into(),
        };
        let rows = self.db.read(caller, operation).await?;
        let (rows, next_page_token) =
            page.cut(rows, |(topic, _)| vec![topic.id.as_str().to_owned()]);
        Ok(pb::ListTopicsResponse {
            topics: rows.iter().filter_map(shown).collect(),
            next_page_token,
        })
    }
}
