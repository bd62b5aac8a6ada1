//! Customer care.

mod dispute;
mod parse;
mod read;
mod seen;
mod talk;
mod topic;

use contracts::common::v1::Audience;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::care_service_server::CareService;
use kit::caller::Caller;
use tonic::{Request, Response, Status};

use super::{Api, answer};

answer! {
    CareService:
    open_case: OpenCaseRequest => OpenCaseResponse;
    post_message: PostMessageRequest => PostMessageResponse;
    get_case: GetCaseRequest => GetCaseResponse;
    list_cases: ListCasesRequest => ListCasesResponse;
    list_messages: ListMessagesRequest => ListMessagesResponse;
    list_case_actions: ListCaseActionsRequest => ListCaseActionsResponse;
    assign_case: AssignCaseRequest => AssignCaseResponse;
    take_next_case: TakeNextCaseRequest => TakeNextCaseResponse;
    escalate_case: EscalateCaseRequest => EscalateCaseResponse;
    name_arbiter: NameArbiterRequest => NameArbiterResponse;
    decide_dispute: DecideDisputeRequest => DecideDisputeResponse;
    resolve_case: ResolveCaseRequest => ResolveCaseResponse;
    reopen_case: ReopenCaseRequest => ReopenCaseResponse;
    close_case: CloseCaseRequest => CloseCaseResponse;
    create_topic: CreateTopicRequest => CreateTopicResponse;
    add_cases_to_topic: AddCasesToTopicRequest => AddCasesToTopicResponse;
    answer_topic: AnswerTopicRequest => AnswerTopicResponse;
    list_topics: ListTopicsRequest => ListTopicsResponse;
}

/// Whether what is the retailer's alone may be told.
fn is_retailer(caller: &Caller) -> bool {
    caller.audience == Audience::Retailer
}
