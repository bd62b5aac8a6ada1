//! Erasures as the contracts tell them: the same in every service.

use contracts::common::v1::{
    ErasureDeferral, ErasureState, FieldErasure, PersonalField, ShopperErasure,
};
use contracts::id::PartnerId;
use kit::clock::Micros;
use prost_types::Timestamp;

use super::{Erasure, Progress, backups_until};

/// What was asked to be erased of a shopper; none when nothing was.
pub fn rendered(
    partner_id: &PartnerId,
    shopper_ref: &str,
    erasures: &[Erasure],
    backup_keep_days: u32,
) -> Option<ShopperErasure> {
    let last = erasures.iter().map(|one| one.request_time).max()?;
    Some(ShopperErasure {
        partner_id: (*partner_id).into(),
        shopper_ref: shopper_ref.to_owned(),
        request_time: Some(timestamp(last)),
        fields: erasures
            .iter()
            .map(|one| field(one, backup_keep_days))
            .collect(),
    })
}

fn field(one: &Erasure, backup_keep_days: u32) -> FieldErasure {
    let kind = format!("PERSONAL_FIELD_{}", one.kind);
    let state = match one.progress {
        Progress::Pending | Progress::Destroying => ErasureState::Deferred,
        Progress::Erased => ErasureState::Erased,
    };
    let deferral = match (one.progress, one.deferral.as_str()) {
        (Progress::Erased, _) => ErasureDeferral::Unspecified,
        (_, "") => ErasureDeferral::Queued,
        (_, why) => ErasureDeferral::from_str_name(&format!("ERASURE_DEFERRAL_{why}"))
            .unwrap_or(ErasureDeferral::Queued),
    };
    let backups = one
        .erase_time
        .map(|time| backups_until(time, backup_keep_days));
    FieldErasure {
        field: PersonalField::from_str_name(&kind)
            .unwrap_or_default()
            .into(),
        state: state.into(),
        deferral: deferral.into(),
        until_time: one.until.map(timestamp),
        erase_time: one.erase_time.map(timestamp),
        backups_until_time: backups.map(timestamp),
    }
}

fn timestamp(at: Micros) -> Timestamp {
    Timestamp {
        seconds: at.0.div_euclid(1_000_000),
        nanos: i32::try_from(at.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}
