//! The retailer's people, played: the host explains one item after the other, the warehouse ships what can be shipped,
//! the carrier delivers it, care says yes to every return and its goods arrive at once, and answers cases (see `care`). Only for the sandbox's partner; whatever else the suite holds is left alone.

use std::time::Duration;

use contracts::fulfillment::v1 as pb;
use contracts::room::v1 as room;
use kit::clock::{Clock, SystemClock};
use kit::ids::SharedIds;
use tokio_util::sync::CancellationToken;

use crate::demo::client::Caller;
use crate::demo::tokens::Tokens;
use crate::token::Role;

/// Between looks at the queue. A parcel is delivered at the look after the one that shipped it.
const ROUND: Duration = Duration::from_millis(500);
/// How long an item is explained, in rounds.
const EXPLAINED_ROUNDS: usize = 10;
/// The most parcels handled in one round.
const PARCELS_MAX: i32 = 100;

pub struct House {
    pub(super) partner_id: String,
    room_id: String,
    pub(super) tokens: Tokens,
    ids: SharedIds,
}

impl House {
    pub fn new(partner_id: String, room_id: String, tokens: Tokens, ids: SharedIds) -> House {
        House {
            partner_id,
            room_id,
            tokens,
            ids,
        }
    }

    /// Works until the token is cancelled.
    pub async fn work(&self, over: CancellationToken) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0.. {
            tokio::select! {
                _ = rounds.tick() => {}
                () = over.cancelled() => return,
            }
            let done = tokio::select! {
                done = self.round(round) => done,
                () = over.cancelled() => return,
            };
            if let Err(error) = done {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the sandbox's house tries again in its next round"
                );
            }
        }
    }

    async fn round(&self, round: usize) -> anyhow::Result<()> {
        // A token of its own for every round: nothing to renew.
        let staff = [Role::Ops, Role::Host, Role::Warehouse, Role::Carrier];
        let caller = self.tokens.retailer("sandbox", &staff)?;
        self.deliver(&caller).await?;
        self.ship(&caller).await?;
        self.receive(&caller).await?;
        self.approve(&caller).await?;
        self.care().await?;
        if round.is_multiple_of(EXPLAINED_ROUNDS) {
            self.explain(&caller, round / EXPLAINED_ROUNDS).await?;
        }
        Ok(())
    }

    /// Keys follow from what is done, so that nothing is done twice, whenever the sandbox was stopped.
    async fn ship(&self, caller: &Caller) -> anyhow::Result<()> {
        let request = pb::ListWorkRequest {
            page_size: PARCELS_MAX,
            page_token: String::new(),
        };
        let work = ask!("the queue", caller.fulfillment().list_work(request))?;
        let ours = work
            .fulfillments
            .into_iter()
            .filter(|f| f.partner_id == self.partner_id);
        for fulfillment in ours {
            let request = pb::CreateShipmentRequest {
                request_id: format!("ship-{}", fulfillment.fulfillment_id),
                draft: Some(pb::ShipmentDraft {
                    fulfillment_id: fulfillment.fulfillment_id,
                    ..Default::default()
                }),
            };
            ask!("a shipment", caller.fulfillment().create_shipment(request))?;
        }
        Ok(())
    }

    async fn deliver(&self, caller: &Caller) -> anyhow::Result<()> {
        let request = pb::ListShipmentsRequest {
            partner_id: self.partner_id.clone(),
            state: pb::ShipmentState::Shipped.into(),
            page_size: PARCELS_MAX,
            ..Default::default()
        };
        let page = ask!("the parcels", caller.fulfillment().list_shipments(request))?;
        for shipment in page.shipments {
            let request = pb::RecordTrackingRequest {
                request_id: format!("deliver-{}", shipment.shipment_id),
                shipment_id: shipment.shipment_id,
                event: Some(pb::TrackingEvent {
                    carrier_event_id: "delivered".into(),
                    status: pb::TrackingStatus::Delivered.into(),
                    event_time: Some(SystemClock.now().to_proto()),
                    description: String::new(),
                }),
            };
            ask!("a delivery", caller.fulfillment().record_tracking(request))?;
        }
        Ok(())
    }

    /// Approved returns arrive whole and as new, a round after they were approved.
    async fn receive(&self, caller: &Caller) -> anyhow::Result<()> {
        for goods in self.returns(caller, pb::ReturnState::Approved).await? {
            let units = goods.lines.into_iter().filter(|l| l.approved_quantity > 0);
            let request = pb::RecordReturnReceivedRequest {
                request_id: format!("receive-{}", goods.return_id),
                return_id: goods.return_id,
                units: units
                    .map(|line| pb::ReceivedUnits {
                        order_line_id: line.order_line_id,
                        quantity: line.approved_quantity,
                        condition: pb::GoodsCondition::AsNew.into(),
                        restock: true,
                        unit_ids: Vec::new(),
                    })
                    .collect(),
                etag: String::new(),
            };
            ask!(
                "goods back",
                caller.returns().record_return_received(request)
            )?;
        }
        Ok(())
    }

    async fn approve(&self, caller: &Caller) -> anyhow::Result<()> {
        for goods in self.returns(caller, pb::ReturnState::Requested).await? {
            let approval = pb::ReturnApproval {
                instructions: Some(pb::ReturnInstructions {
                    return_site_reference: "sandbox".into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let request = pb::DecideReturnRequest {
                request_id: format!("approve-{}", goods.return_id),
                return_id: goods.return_id,
                decision: Some(pb::decide_return_request::Decision::Approve(approval)),
                etag: String::new(),
            };
            ask!(
                "an approved return",
                caller.returns().decide_return(request)
            )?;
        }
        Ok(())
    }

    async fn returns(
        &self,
        caller: &Caller,
        state: pb::ReturnState,
    ) -> anyhow::Result<Vec<pb::GoodsReturn>> {
        let request = pb::ListReturnsRequest {
            partner_id: self.partner_id.clone(),
            state: state.into(),
            page_size: PARCELS_MAX,
            ..Default::default()
        };
        let page = ask!("the returns", caller.returns().list_returns(request))?;
        Ok(page.goods_returns)
    }

    async fn explain(&self, caller: &Caller, turn: usize) -> anyhow::Result<()> {
        let request = room::ListItemsRequest {
            room_id: self.room_id.clone(),
            ..Default::default()
        };
        let items = ask!("the showcase", caller.showcase().list_items(request))?.items;
        if items.is_empty() {
            return Ok(());
        }
        let request = room::StartExplainingRequest {
            request_id: format!("explain-{:032x}", self.ids.next()),
            showcase_item_id: items[turn % items.len()].showcase_item_id.clone(),
        };
        ask!(
            "an explained item",
            caller.showcase().start_explaining(request)
        )?;
        Ok(())
    }
}
