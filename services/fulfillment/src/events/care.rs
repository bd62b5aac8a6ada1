//! What the feed tells of customer care: that something happened, never what was said.

use ::store::feed::NewEntry;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;

use crate::model::care::{Action, Case};
use crate::rpc::render;

/// A case was opened or changed; this is it after the change. What is the retailer's alone is no partner's entry.
pub fn case_changed(case: &Case, action: &Action) -> NewEntry {
    let event = pb::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::CaseEvent(render::case_event(case, action))),
    };
    let entry = NewEntry::new("case", case.id, &event).etag(case.etag());
    if action.is_private {
        return entry;
    }
    entry.partner(case.partner_id)
}
