//! Parcels leave.

use contracts::id::{FulfillmentId, ShipmentId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::carrier::Carriers;
use crate::events;
use crate::model::{Fulfillment, LineQuantity, Shipment};
use crate::store::fulfillment::{fulfillments_lock, fulfillments_save};
use crate::store::shipment::shipments_insert;

/// One parcel to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelDraft {
    /// How the caller's request names it, such as `drafts[3]`.
    pub field: String,
    /// Which fulfilment.
    pub fulfillment_id: FulfillmentId,
    /// What goes in, each line once; none means all that is left.
    pub lines: Vec<LineQuantity>,
    /// Which carrier; empty means the built-in one.
    pub carrier_code: String,
    /// The carrier's number; empty lets the carrier choose.
    pub tracking_number: String,
}

/// Ships one parcel.
pub struct Ship {
    /// The parcel.
    pub draft: ParcelDraft,
    /// Who may carry it.
    pub carriers: Carriers,
}

impl Operation for Ship {
    type Output = Shipment;

    fn name(&self) -> &'static str {
        "shipment.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Shipment, Fault> {
        let mut verdicts = ship_all(tx, std::slice::from_ref(&self.draft), &self.carriers).await?;
        let verdict = verdicts
            .pop()
            .ok_or_else(|| Fault::internal("a parcel without a verdict"))?;
        Ok(verdict?)
    }
}

/// Ships many parcels, each of its own fulfilment; each is done or refused on its own.
pub struct ShipMany {
    /// The parcels.
    pub drafts: Vec<ParcelDraft>,
    /// Who may carry them.
    pub carriers: Carriers,
}

impl Operation for ShipMany {
    type Output = Vec<Result<Shipment, Refusal>>;

    fn name(&self) -> &'static str {
        "shipment.create_many"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        ship_all(tx, &self.drafts, &self.carriers).await
    }
}

/// However many parcels there are, the database is asked a handful of times: lock and load, fold, write.
async fn ship_all(
    tx: &mut Tx,
    drafts: &[ParcelDraft],
    carriers: &Carriers,
) -> Result<Vec<Result<Shipment, Refusal>>, Fault> {
    let mut ids: Vec<FulfillmentId> = drafts.iter().map(|draft| draft.fulfillment_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut waiting = fulfillments_lock(tx, &ids).await?;
    let mut refusals: Vec<Option<Refusal>> = Vec::with_capacity(drafts.len());
    let (mut fulfillments, mut shipments) = (Vec::new(), Vec::new());
    for draft in drafts {
        // Taken out, so that a fulfilment named twice is not found the second time.
        let packed = match waiting.remove(&draft.fulfillment_id) {
            Some(fulfillment) => pack(tx, fulfillment, draft, carriers),
            None => Err(Refusal::not_found("fulfillment")),
        };
        refusals.push(match packed {
            Ok((fulfillment, shipment)) => {
                fulfillments.push(fulfillment);
                shipments.push(shipment);
                None
            }
            Err(refusal) => Some(refusal),
        });
    }
    fulfillments_save(tx, &mut fulfillments).await?;
    shipments_insert(tx, &mut shipments).await?;
    for (fulfillment, shipment) in fulfillments.iter().zip(&shipments) {
        tx.publish(events::shipment_changed(shipment));
        tx.publish(events::fulfillment_changed(fulfillment));
        tx.audit("shipment.create", shipment.id, shipment.state.word());
    }
    let mut shipped = shipments.into_iter();
    let verdicts = refusals.into_iter().map(|refusal| match refusal {
        Some(refusal) => Ok(Err(refusal)),
        None => shipped
            .next()
            .map(Ok)
            .ok_or_else(|| Fault::internal("a parcel without a shipment")),
    });
    verdicts.collect()
}

fn pack(
    tx: &Tx,
    mut fulfillment: Fulfillment,
    draft: &ParcelDraft,
    carriers: &Carriers,
) -> Result<(Fulfillment, Shipment), Refusal> {
    let carrier = carriers.named(&draft.carrier_code, &draft.field)?;
    let lines = fulfillment.ship(&draft.lines, &draft.field, tx.now())?;
    let id = ShipmentId::from_uuid(tx.ids().next());
    let number = match draft.tracking_number.as_str() {
        "" => carrier.tracking_number(&id),
        given => given.to_owned(),
    };
    let shipment = Shipment::leave(
        id,
        &fulfillment,
        lines,
        (carrier.code().to_owned(), number),
        tx.now(),
    );
    Ok((fulfillment, shipment))
}
