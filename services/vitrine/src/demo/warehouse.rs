//! The retailer's warehouse and its carrier: works off the queue in waves, delivers every parcel but the lost ones.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::fulfillment::v1 as pb;
use tokio_util::sync::CancellationToken;

use super::client::{Caller, retrying, told};
use super::screen::Tallies;

/// Parcels in one wave: the largest batch the contract takes.
const WAVE: i32 = 500;

pub struct Warehouse {
    pub caller: Caller,
    pub tallies: Arc<Tallies>,
    pub run: String,
    /// Orders whose parcel gets lost.
    pub lost: Arc<Mutex<HashSet<String>>>,
    /// Orders that this day made: the queue of a running suite may hold others'.
    pub ours: Arc<Mutex<HashSet<String>>>,
}

impl Warehouse {
    /// Ships and delivers until the token is cancelled.
    pub async fn work(self, over: CancellationToken) -> anyhow::Result<()> {
        let mut wave = 0_u64;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = over.cancelled() => return Ok(()),
            }
            while self.wave(wave).await? {
                wave += 1;
            }
            wave += 1;
        }
    }

    /// One wave; whether there may be more to do at once.
    async fn wave(&self, number: u64) -> anyhow::Result<bool> {
        let mut drafts = Vec::new();
        let mut page_token = String::new();
        let mut full = false;
        // The queue can begin with others' work, so look a few pages deep.
        for _ in 0..20 {
            let page = retrying(|| {
                let request = pb::ListWorkRequest {
                    page_size: WAVE,
                    page_token: page_token.clone(),
                };
                let mut client = self.caller.fulfillment();
                async move { client.list_work(request).await }
            })
            .await
            .map_err(|s| told("the warehouse could not read its queue", &s))?;
            {
                let ours = lock(&self.ours);
                drafts.extend(
                    page.fulfillments
                        .iter()
                        .filter(|f| ours.contains(&f.order_id))
                        .map(|f| pb::ShipmentDraft {
                            fulfillment_id: f.fulfillment_id.clone(),
                            ..Default::default()
                        }),
                );
            }
            page_token = page.next_page_token;
            if drafts.len() >= WAVE as usize || page_token.is_empty() {
                full = drafts.len() >= WAVE as usize;
                break;
            }
        }
        drafts.truncate(WAVE as usize);
        if drafts.is_empty() {
            return Ok(false);
        }
        let request = pb::BatchCreateShipmentsRequest {
            request_id: format!("{}-wave-{number}", self.run),
            drafts,
        };
        let shipped = retrying(|| {
            let (request, mut client) = (request.clone(), self.caller.fulfillment());
            async move { client.batch_create_shipments(request).await }
        })
        .await
        .map_err(|s| told("the warehouse could not ship a wave", &s))?;
        let ids: Vec<String> = shipped
            .verdicts
            .into_iter()
            .map(|v| v.shipment_id)
            .filter(|id| !id.is_empty())
            .collect();
        self.tallies
            .shipped
            .fetch_add(ids.len() as u64, Ordering::Relaxed);
        if !ids.is_empty() {
            self.deliver(number, &ids).await?;
        }
        Ok(full)
    }

    async fn deliver(&self, number: u64, shipment_ids: &[String]) -> anyhow::Result<()> {
        let lost_shipments = self.lost_among(shipment_ids).await?;
        let event = |n: usize, status: pb::TrackingStatus| pb::TrackingEvent {
            carrier_event_id: format!("{}-{number}-{n}-{}", self.run, status as i32),
            status: status.into(),
            event_time: Some(super::now_proto()),
            description: String::new(),
        };
        let records = shipment_ids
            .iter()
            .enumerate()
            .map(|(n, id)| {
                let status = if lost_shipments.contains(id) {
                    pb::TrackingStatus::Lost
                } else {
                    pb::TrackingStatus::Delivered
                };
                pb::TrackingRecord {
                    shipment_id: id.clone(),
                    event: Some(event(n, status)),
                }
            })
            .collect();
        let request = pb::BatchRecordTrackingRequest {
            request_id: format!("{}-carrier-{number}", self.run),
            records,
        };
        let done = retrying(|| {
            let (request, mut client) = (request.clone(), self.caller.fulfillment());
            async move { client.batch_record_tracking(request).await }
        })
        .await
        .map_err(|s| told("the carrier could not report a wave", &s))?;
        if let Some(refused) = done.verdicts.iter().find(|v| !v.refusal_reason.is_empty()) {
            anyhow::bail!(
                "the carrier's report was refused: {}",
                refused.refusal_message
            );
        }
        self.tallies.delivered.fetch_add(
            (shipment_ids.len() - lost_shipments.len()) as u64,
            Ordering::Relaxed,
        );
        Ok(())
    }

    /// Which of the shipments are to be lost.
    async fn lost_among(&self, shipment_ids: &[String]) -> anyhow::Result<HashSet<String>> {
        let orders: Vec<String> = lock(&self.lost).iter().cloned().collect();
        let mut found = HashSet::new();
        for order_id in orders {
            let page = retrying(|| {
                let request = pb::ListShipmentsRequest {
                    order_id: order_id.clone(),
                    ..Default::default()
                };
                let mut client = self.caller.fulfillment();
                async move { client.list_shipments(request).await }
            })
            .await
            .map_err(|s| told("the carrier could not look up a parcel", &s))?;
            found.extend(
                page.shipments
                    .into_iter()
                    .map(|s| s.shipment_id)
                    .filter(|id| shipment_ids.contains(id)),
            );
        }
        Ok(found)
    }
}

/// A lock whose content stays right whatever a panicking holder did.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
