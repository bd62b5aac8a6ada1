//! Customer care.

use contracts::ErrorReason;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::care_service_server::CareService;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
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

fn not_offered<T>() -> Result<T, Fault> {
    Err(Refusal::new(ErrorReason::NotOffered, "Customer care is not offered yet.").into())
}

impl Api {
    async fn open_case(
        &self,
        _caller: &Caller,
        _request: pb::OpenCaseRequest,
    ) -> Result<pb::OpenCaseResponse, Fault> {
        not_offered()
    }
    async fn post_message(
        &self,
        _caller: &Caller,
        _request: pb::PostMessageRequest,
    ) -> Result<pb::PostMessageResponse, Fault> {
        not_offered()
    }
    async fn get_case(
        &self,
        _caller: &Caller,
        _request: pb::GetCaseRequest,
    ) -> Result<pb::GetCaseResponse, Fault> {
        not_offered()
    }
    async fn list_cases(
        &self,
        _caller: &Caller,
        _request: pb::ListCasesRequest,
    ) -> Result<pb::ListCasesResponse, Fault> {
        not_offered()
    }
    async fn list_messages(
        &self,
        _caller: &Caller,
        _request: pb::ListMessagesRequest,
    ) -> Result<pb::ListMessagesResponse, Fault> {
        not_offered()
    }
    async fn list_case_actions(
        &self,
        _caller: &Caller,
        _request: pb::ListCaseActionsRequest,
    ) -> Result<pb::ListCaseActionsResponse, Fault> {
        not_offered()
    }
    async fn assign_case(
        &self,
        _caller: &Caller,
        _request: pb::AssignCaseRequest,
    ) -> Result<pb::AssignCaseResponse, Fault> {
        not_offered()
    }
    async fn take_next_case(
        &self,
        _caller: &Caller,
        _request: pb::TakeNextCaseRequest,
    ) -> Result<pb::TakeNextCaseResponse, Fault> {
        not_offered()
    }
    async fn escalate_case(
        &self,
        _caller: &Caller,
        _request: pb::EscalateCaseRequest,
    ) -> Result<pb::EscalateCaseResponse, Fault> {
        not_offered()
    }
    async fn name_arbiter(
        &self,
        _caller: &Caller,
        _request: pb::NameArbiterRequest,
    ) -> Result<pb::NameArbiterResponse, Fault> {
        not_offered()
    }
    async fn decide_dispute(
        &self,
        _caller: &Caller,
        _request: pb::DecideDisputeRequest,
    ) -> Result<pb::DecideDisputeResponse, Fault> {
        not_offered()
    }
    async fn resolve_case(
        &self,
        _caller: &Caller,
        _request: pb::ResolveCaseRequest,
    ) -> Result<pb::ResolveCaseResponse, Fault> {
        not_offered()
    }
    async fn reopen_case(
        &self,
        _caller: &Caller,
        _request: pb::ReopenCaseRequest,
    ) -> Result<pb::ReopenCaseResponse, Fault> {
        not_offered()
    }
    async fn close_case(
        &self,
        _caller: &Caller,
        _request: pb::CloseCaseRequest,
    ) -> Result<pb::CloseCaseResponse, Fault> {
        not_offered()
    }
    async fn create_topic(
        &self,
        _caller: &Caller,
        _request: pb::CreateTopicRequest,
    ) -> Result<pb::CreateTopicResponse, Fault> {
        not_offered()
    }
    async fn add_cases_to_topic(
        &self,
        _caller: &Caller,
        _request: pb::AddCasesToTopicRequest,
    ) -> Result<pb::AddCasesToTopicResponse, Fault> {
        not_offered()
    }
    async fn answer_topic(
        &self,
        _caller: &Caller,
        _request: pb::AnswerTopicRequest,
    ) -> Result<pb::AnswerTopicResponse, Fault> {
        not_offered()
    }
    async fn list_topics(
        &self,
        _caller: &Caller,
        _request: pb::ListTopicsRequest,
    ) -> Result<pb::ListTopicsResponse, Fault> {
        not_offered()
    }
}
