//! Reading cases, what was said in them and what happened.

use contracts::fulfillment::v1 as pb;
use contracts::id::{CaseId, Id};
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;

use super::super::parse::{bad_token, readable};
use super::super::read::{after_id, partner_word};
use super::super::{Api, render};
use super::is_retailer;
use super::parse::no_case;
use crate::model::care::{Case, Level};
use crate::ops::care::read::{GetCase, ListActions, ListCases, ListMessages};
use crate::store::care::list::{CaseQuery, View};

impl Api {
    pub(super) async fn get_case(
        &self,
        caller: &Caller,
        request: pb::GetCaseRequest,
    ) -> Result<pb::GetCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let id = wrong.id("case_id", &request.case_id);
        wrong.finish()?;
        let operation = GetCase {
            id: id.ok_or_else(no_case)?,
            partner: readable(caller, None)?,
        };
        let case = self.db.read(caller, operation).await?;
        let for_retailer = is_retailer(caller);
        let arbiter = case.arbiter.as_ref();
        Ok(pb::GetCaseResponse {
            care_case: Some(render::care_case(&case, for_retailer)),
            arbiter: arbiter.map(|arbiter| render::arbiter(arbiter, for_retailer)),
            decision: case.decision.as_ref().map(render::decision),
        })
    }

    pub(super) async fn list_cases(
        &self,
        caller: &Caller,
        request: pb::ListCasesRequest,
    ) -> Result<pb::ListCasesResponse, Fault> {
        let mut wrong = Violations::new();
        let asked = wrong.opt_id("partner_id", &request.partner_id);
        let level: Option<pb::CaseLevel> = wrong.opt_enumeration("level", request.level);
        let level = level.and_then(render::case_level_of);
        let wanted = self.wanted(&mut wrong, caller, &request);
        wrong.finish()?;
        let partner = readable(caller, asked)?;
        let query = query_of(&request, partner_word(partner.as_ref()), level);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.care.page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let query = CaseQuery {
            partner,
            view: after(wanted, &page)?,
            level,
            limit: page.limit(),
        };
        let by_due = |case: &Case| match &query.view {
            View::Created { .. } => vec![case.id.as_str().to_owned()],
            View::Unassigned(_) | View::Mine(..) => key(case, case.queue_time()),
            // The bound of the first page goes with the token, so that all pages have the same.
            View::Breaching(before, _) => {
                let mut key = key(case, case.breach_time());
                key.push(before.0.to_string());
                key
            }
        };
        let rows = self.db.read(caller, ListCases(query.clone())).await?;
        let (rows, next_page_token) = page.cut(rows, by_due);
        let for_retailer = is_retailer(caller);
        let cases = rows
            .iter()
            .map(|case| render::care_case(case, for_retailer));
        Ok(pb::ListCasesResponse {
            cases: cases.collect(),
            next_page_token,
        })
    }

    /// Which part of the cases is asked for, from its beginning.
    fn wanted(
        &self,
        wrong: &mut Violations,
        caller: &Caller,
        request: &pb::ListCasesRequest,
    ) -> View {
        let view: Option<pb::CaseView> = wrong.opt_enumeration("view", request.view);
        let state: Option<pb::CaseState> = wrong.opt_enumeration("state", request.state);
        let before = wrong.opt_time("breach_before_time", &request.breach_before_time);
        let order = wrong.opt_id("order_id", &request.order_id);
        let topic = wrong.opt_id("topic_id", &request.topic_id);
        let shopper_ref = wrong.opt_text("shopper_ref", &request.shopper_ref, 1..=128);
        let for_retailer = is_retailer(caller);
        if !for_retailer && !request.topic_id.is_empty() {
            wrong.add("topic_id", "is for the retailer; leave it empty.");
        }
        if for_retailer && shopper_ref.is_some() && request.partner_id.is_empty() {
            wrong.add("partner_id", "must be set: say whose shopper it is.");
        }
        let filters = [
            ("state", request.state != 0),
            ("order_id", order.is_some()),
            ("shopper_ref", shopper_ref.is_some()),
            ("topic_id", topic.is_some()),
        ];
        for (field, is_set) in filters {
            if is_set && view.is_some() {
                wrong.add(field, "does not go with a view; leave one of them out.");
            }
        }
        match view {
            Some(pb::CaseView::Breaching) => {
                let ahead = std::time::Duration::from_secs(self.config.care.breach_ahead_s);
                let before = before.unwrap_or_else(|| self.db.clock().now().plus(ahead));
                View::Breaching(before, None)
            }
            Some(pb::CaseView::Unassigned | pb::CaseView::Mine) if !for_retailer => {
                wrong.add(
                    "view",
                    "is for the retailer; leave it out, or ask for BREACHING.",
                );
                View::Unassigned(None)
            }
            Some(pb::CaseView::Unassigned) => View::Unassigned(None),
            Some(pb::CaseView::Mine) => View::Mine(caller.subject.clone(), None),
            Some(pb::CaseView::Unspecified) | None => View::Created {
                state: state.and_then(render::case_state_of),
                order,
                shopper_ref: shopper_ref.unwrap_or_default(),
                topic,
                after: None,
            },
        }
    }

    pub(super) async fn list_messages(
        &self,
        caller: &Caller,
        request: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Fault> {
        let said = (request.page_size, request.page_token.as_str());
        let (id, page) = self.page_of_case("ListMessages", &request.case_id, said)?;
        let mut wrong = Violations::new();
        let purpose = wrong.opt_text("purpose", &request.purpose, 1..=200);
        wrong.finish()?;
        let purpose = purpose.unwrap_or_default();
        let operation = ListMessages {
            id,
            partner: readable(caller, None)?,
            after: after_number(&page)?,
            limit: page.limit(),
            purpose,
        };
        let for_retailer = is_retailer(caller);
        // What the retailer's people read goes to the audit, so it is a unit that writes.
        let rows = match for_retailer {
            true => self.db.execute(caller, operation).await?,
            false => self.db.read(caller, operation).await?,
        };
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.number.to_string()]);
        let messages = rows
            .iter()
            .map(|row| render::case_message(row, for_retailer));
        Ok(pb::ListMessagesResponse {
            messages: messages.collect(),
            next_page_token,
        })
    }

    pub(super) async fn list_case_actions(
        &self,
        caller: &Caller,
        request: pb::ListCaseActionsRequest,
    ) -> Result<pb::ListCaseActionsResponse, Fault> {
        let said = (request.page_size, request.page_token.as_str());
        let (id, page) = self.page_of_case("ListCaseActions", &request.case_id, said)?;
        let operation = ListActions {
            id,
            partner: readable(caller, None)?,
            after: after_number(&page)?,
            limit: page.limit(),
        };
        let rows = self.db.read(caller, operation).await?;
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.number.to_string()]);
        let for_retailer = is_retailer(caller);
        let actions = rows
            .iter()
            .map(|row| render::case_action(row, for_retailer));
        Ok(pb::ListCaseActionsResponse {
            actions: actions.collect(),
            next_page_token,
        })
    }

    fn page_of_case(
        &self,
        method: &str,
        case_id: &str,
        (size, token): (i32, &str),
    ) -> Result<(CaseId, Page), Refusal> {
        let mut wrong = Violations::new();
        let id = wrong.id("case_id", case_id);
        wrong.finish()?;
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.care.page_size_max,
        );
        let query = format!("{method}|{case_id}");
        let page = Page::parse(size, token, default, max, &query)?;
        Ok((id.ok_or_else(no_case)?, page))
    }
}

/// Everything but the page that decides which cases there are.
fn query_of(request: &pb::ListCasesRequest, partner: &str, level: Option<Level>) -> String {
    let level = level.map_or("", Level::word);
    format!(
        "ListCases|{partner}|{}|{}|{level}|{}|{}|{}",
        request.view, request.state, request.order_id, request.topic_id, request.shopper_ref
    )
}

fn after(wanted: View, page: &Page) -> Result<View, Refusal> {
    Ok(match wanted {
        View::Created {
            state,
            order,
            shopper_ref,
            topic,
            ..
        } => View::Created {
            state,
            order,
            shopper_ref,
            topic,
            after: after_id(page)?,
        },
        View::Unassigned(_) => View::Unassigned(after_due(page)?),
        View::Mine(agent, _) => View::Mine(agent, after_due(page)?),
        View::Breaching(before, _) => match page.after_key(3)? {
            None => View::Breaching(before, None),
            Some(key) => {
                let before = key[2].parse().map_err(|_| bad_token())?;
                View::Breaching(kit::clock::Micros(before), Some(due(&key[..2])?))
            }
        },
    })
}

fn key(case: &Case, due: Option<kit::clock::Micros>) -> Vec<String> {
    let due = due.map_or(i64::MAX, |due| due.0);
    vec![due.to_string(), case.id.as_str().to_owned()]
}

fn after_due(page: &Page) -> Result<Option<(i64, CaseId)>, Refusal> {
    page.after_key(2)?.map(due).transpose()
}

/// The time and the case of a key.
fn due(key: &[String]) -> Result<(i64, CaseId), Refusal> {
    let time = key[0].parse().map_err(|_| bad_token())?;
    Ok((time, Id::parse(&key[1]).map_err(|_| bad_token())?))
}

fn after_number(page: &Page) -> Result<i64, Refusal> {
    let Some(key) = page.after_key(1)? else {
        return Ok(0);
    };
    key[0].parse().map_err(|_| bad_token())
}
