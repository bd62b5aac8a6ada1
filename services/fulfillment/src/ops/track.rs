//! Carriers report.

use std::collections::{BTreeMap, BTreeSet};

use contracts::id::{FulfillmentId, ShipmentId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::events;
use crate::model::aftersale::{AftersaleReason, opens_matter};
use crate::model::shipment::EventLimits;
use crate::model::{Fulfillment, Recorded, Shipment, TrackingEvent};
use crate::ops::aftersale::open_for_parcel;
use crate::store::fulfillment::{Fulfillments, fulfillments_lock, fulfillments_save};
use crate::store::shipment::{Shipments, shipment_owners, shipments_read, shipments_save};
use crate::store::tracking::{EventKey, events_insert, events_known};

/// One event of one shipment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which shipment.
    pub shipment_id: ShipmentId,
    /// What the carrier said.
    pub event: TrackingEvent,
}

/// Records one event.
pub struct Track {
    /// The event.
    pub report: Report,
    /// How many events a shipment may have.
    pub limits: EventLimits,
}

impl Operation for Track {
    type Output = Shipment;

    fn name(&self) -> &'static str {
        "shipment.track"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Shipment, Fault> {
        let (verdicts, mut shipments) =
            track_all(tx, std::slice::from_ref(&self.report), self.limits).await?;
        verdicts.into_iter().collect::<Result<Vec<()>, Refusal>>()?;
        shipments
            .remove(&self.report.shipment_id)
            .ok_or_else(|| Fault::internal("a report without a shipment"))
    }
}

/// Records many events, in the order given; each is done or refused on its own.
pub struct TrackMany {
    /// The events.
    pub reports: Vec<Report>,
    /// How many events a shipment may have.
    pub limits: EventLimits,
}

impl Operation for TrackMany {
    type Output = Vec<Result<ShipmentId, Refusal>>;

    fn name(&self) -> &'static str {
        "shipment.track_many"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let (verdicts, _) = track_all(tx, &self.reports, self.limits).await?;
        let verdicts = verdicts.into_iter().zip(&self.reports);
        Ok(verdicts
            .map(|(verdict, report)| verdict.map(|()| report.shipment_id))
            .collect())
    }
}

/// However many events there are, the database is asked a handful of times: lock and load, fold, write.
async fn track_all(
    tx: &mut Tx,
    reports: &[Report],
    limits: EventLimits,
) -> Result<(Vec<Result<(), Refusal>>, Shipments), Fault> {
    let mut fold = Fold::load(tx, reports, limits).await?;
    let mut verdicts = Vec::with_capacity(reports.len());
    for report in reports {
        verdicts.push(fold.take(tx, report)?);
    }
    let shipments = fold.write(tx).await?;
    Ok((verdicts, shipments))
}

/// What the events of a batch touch, and what they have changed so far.
struct Fold {
    limits: EventLimits,
    fulfillments: Fulfillments,
    shipments: Shipments,
    known: BTreeMap<EventKey, TrackingEvent>,
    new: Vec<(ShipmentId, TrackingEvent)>,
    moved: BTreeSet<ShipmentId>,
    ended: BTreeSet<FulfillmentId>,
    /// Parcels that ended undelivered, and why that is a matter.
    failed: Vec<(ShipmentId, AftersaleReason)>,
}

impl Fold {
    async fn load(tx: &mut Tx, reports: &[Report], limits: EventLimits) -> Result<Self, Fault> {
        let ids: BTreeSet<ShipmentId> = reports.iter().map(|report| report.shipment_id).collect();
        let ids: Vec<ShipmentId> = ids.into_iter().collect();
        let owners: BTreeSet<FulfillmentId> =
            shipment_owners(tx, &ids).await?.into_values().collect();
        let owners: Vec<FulfillmentId> = owners.into_iter().collect();
        // Whatever is read of the shipments themselves is read under the locks of their fulfilments.
        let fulfillments = fulfillments_lock(tx, &owners).await?;
        let events_max = i64::try_from(limits.shown_max).unwrap_or(i64::MAX);
        let shipments = shipments_read(tx, &ids, events_max).await?;
        let keys: Vec<EventKey> = reports
            .iter()
            .filter(|report| {
                shipments
                    .get(&report.shipment_id)
                    .is_some_and(|shipment| shipment.event_count > 0)
            })
            .map(|report| (report.shipment_id, report.event.carrier_event_id.clone()))
            .collect();
        let known = events_known(tx, &keys).await?;
        Ok(Fold {
            limits,
            fulfillments,
            shipments,
            known,
            new: Vec::new(),
            moved: BTreeSet::new(),
            ended: BTreeSet::new(),
            failed: Vec::new(),
        })
    }

    fn take(&mut self, tx: &Tx, report: &Report) -> Result<Result<(), Refusal>, Fault> {
        let Some(shipment) = self.shipments.get_mut(&report.shipment_id) else {
            return Ok(Err(Refusal::not_found("shipment")));
        };
        let key = (report.shipment_id, report.event.carrier_event_id.clone());
        let recorded = shipment.record(
            report.event.clone(),
            self.known.get(&key),
            self.limits,
            tx.now(),
        );
        let recorded = match recorded {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(Recorded::Known) => return Ok(Ok(())),
            Ok(recorded) => recorded,
        };
        self.known.insert(key, report.event.clone());
        self.new.push((report.shipment_id, report.event.clone()));
        self.moved.insert(report.shipment_id);
        if let Recorded::Ended { delivered } = recorded {
            let owner = self.fulfillments.get_mut(&shipment.fulfillment_id);
            let owner =
                owner.ok_or_else(|| Fault::internal("a shipment without its fulfillment"))?;
            owner.end(&shipment.lines, delivered)?;
            self.ended.insert(owner.id);
            let reason = opens_matter(report.event.status);
            self.failed
                .extend(reason.map(|reason| (report.shipment_id, reason)));
        }
        Ok(Ok(()))
    }

    /// Writes and publishes what has changed; gives all shipments as they are now.
    async fn write(mut self, tx: &mut Tx) -> Result<Shipments, Fault> {
        let mut fulfillments: Vec<_> = self
            .ended
            .iter()
            .filter_map(|id| self.fulfillments.remove(id))
            .collect();
        let mut shipments: Vec<_> = self
            .moved
            .iter()
            .filter_map(|id| self.shipments.remove(id))
            .collect();
        fulfillments_save(tx, &mut fulfillments).await?;
        shipments_save(tx, &mut shipments).await?;
        events_insert(tx, &self.new).await?;
        for shipment in &shipments {
            tx.publish(events::shipment_changed(shipment));
            tx.audit("shipment.track", shipment.id, shipment.state.word());
        }
        for fulfillment in &fulfillments {
            tx.publish(events::fulfillment_changed(fulfillment));
        }
        for (id, reason) in &self.failed {
            let shipment = shipments.iter().find(|shipment| shipment.id == *id);
            let goods = shipment.and_then(|shipment| {
                let owner = |goods: &&Fulfillment| goods.id == shipment.fulfillment_id;
                fulfillments.iter().find(owner)
            });
            if let (Some(shipment), Some(goods)) = (shipment, goods) {
                open_for_parcel(tx, goods, shipment, *reason, self.limits).await?;
            }
        }
        self.shipments.extend(
            shipments
                .into_iter()
                .map(|shipment| (shipment.id, shipment)),
        );
        Ok(self.shipments)
    }
}
