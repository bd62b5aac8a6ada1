//! Who is the same person at several partners.

use std::sync::Arc;

use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;

use super::{Api, parse};

impl Api {
    pub(super) async fn set_person_limit(
        &self,
        _: &Arc<Caller>,
        _: pb::SetPersonLimitRequest,
    ) -> Result<pb::SetPersonLimitResponse, Fault> {
        Err(parse::not_offered("per_person_limit").into())
    }

    pub(super) async fn link_person(
        &self,
        _: &Arc<Caller>,
        _: pb::LinkPersonRequest,
    ) -> Result<pb::LinkPersonResponse, Fault> {
        Err(parse::not_offered("person_key").into())
    }

    pub(super) async fn unlink_person(
        &self,
        _: &Arc<Caller>,
        _: pb::UnlinkPersonRequest,
    ) -> Result<pb::UnlinkPersonResponse, Fault> {
        Err(parse::not_offered("person_key").into())
    }
}
