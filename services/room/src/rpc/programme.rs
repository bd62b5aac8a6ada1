//! ProgrammeService.

use contracts::room::v1::programme_service_server::ProgrammeService;
use contracts::room::v1::*;
use tonic::Request;

use super::{Answer, Api};

#[tonic::async_trait]
impl ProgrammeService for Api {
    async fn create_slot(
        &self,
        _request: Request<CreateSlotRequest>,
    ) -> Answer<CreateSlotResponse> {
        Err(super::not_offered("CreateSlot", "soon").into())
    }

    async fn update_slot(
        &self,
        _request: Request<UpdateSlotRequest>,
    ) -> Answer<UpdateSlotResponse> {
        Err(super::not_offered("UpdateSlot", "soon").into())
    }

    async fn cancel_slot(
        &self,
        _request: Request<CancelSlotRequest>,
    ) -> Answer<CancelSlotResponse> {
        Err(super::not_offered("CancelSlot", "soon").into())
    }

    async fn override_occurrence(
        &self,
        _request: Request<OverrideOccurrenceRequest>,
    ) -> Answer<OverrideOccurrenceResponse> {
        Err(super::not_offered("OverrideOccurrence", "soon").into())
    }

    async fn get_slot(&self, _request: Request<GetSlotRequest>) -> Answer<GetSlotResponse> {
        Err(super::not_offered("GetSlot", "soon").into())
    }

    async fn list_slots(&self, _request: Request<ListSlotsRequest>) -> Answer<ListSlotsResponse> {
        Err(super::not_offered("ListSlots", "soon").into())
    }

    async fn list_programme(
        &self,
        _request: Request<ListProgrammeRequest>,
    ) -> Answer<ListProgrammeResponse> {
        Err(super::not_offered("ListProgramme", "soon").into())
    }

    async fn get_next_slot(
        &self,
        _request: Request<GetNextSlotRequest>,
    ) -> Answer<GetNextSlotResponse> {
        Err(super::not_offered("GetNextSlot", "soon").into())
    }
}
