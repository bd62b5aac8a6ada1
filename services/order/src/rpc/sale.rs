//! Stopping sales at once, and letting them go on.

use std::sync::Arc;

use contracts::id::StopId;
use contracts::order::v1 as pb;
use contracts::order::v1::stop_target::Target;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;
use prost::Message;

use super::{Api, answered, keyed, parse, request_key};
use crate::model::command::{Answer, Command, Resume, Stop, StopTarget};

const STOP_SALE: &str = "vitrine.order.v1.OrderService/StopSale";
const RESUME_SALE: &str = "vitrine.order.v1.OrderService/ResumeSale";

impl Api {
    pub(super) async fn stop_sale(
        &self,
        caller: &Arc<Caller>,
        request: pb::StopSaleRequest,
    ) -> Result<pb::StopSaleResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let target = target(&mut v, &request.target);
        let reason = v.text("reason", &request.reason, 1..=500);
        v.finish()?;
        let Some(target) = target else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let key = request_key(keyed(caller, STOP_SALE, &request_id, &request), stopped);
        let stop_id = StopId::from_uuid(self.ids.next());
        let stop = Stop {
            key,
            stop_id,
            target,
            reason,
            actor: caller.subject.clone(),
        };
        let answer = self.desk.submit(caller, Command::Stop(stop)).await?;
        answered(&answer, stopped)
    }

    pub(super) async fn resume_sale(
        &self,
        caller: &Arc<Caller>,
        request: pb::ResumeSaleRequest,
    ) -> Result<pb::ResumeSaleResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let stop_id = v.id("stop_id", &request.stop_id);
        v.finish()?;
        let Some(stop_id) = stop_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let key = request_key(keyed(caller, RESUME_SALE, &request_id, &request), resumed);
        let resume = Resume {
            key,
            stop_id,
            actor: caller.subject.clone(),
        };
        let answer = self.desk.submit(caller, Command::Resume(resume)).await?;
        answered(&answer, resumed)
    }
}

fn target(v: &mut Violations, value: &Option<pb::StopTarget>) -> Option<StopTarget> {
    let target = v.required("target", value)?;
    let mut v = v.nested("target");
    match &target.target {
        Some(Target::ListingId(id)) => v.id("listing_id", id).map(StopTarget::Listing),
        Some(Target::AllotmentId(id)) => v.id("allotment_id", id).map(StopTarget::Allotment),
        Some(Target::ProductId(id)) => v.id("product_id", id).map(StopTarget::Product),
        None => {
            v.add("target", "must be a listing, an allotment or a product.");
            None
        }
    }
}

fn stopped(answer: &Answer) -> Vec<u8> {
    let stop_id = match answer {
        Answer::Stopped { stop_id } => String::from(stop_id),
        _ => String::new(),
    };
    pb::StopSaleResponse { stop_id }.encode_to_vec()
}

fn resumed(_: &Answer) -> Vec<u8> {
    pb::ResumeSaleResponse {}.encode_to_vec()
}
