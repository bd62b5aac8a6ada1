//! The rules around listings, as the contract says them.

use contracts::catalog::v1;
use contracts::common::v1 as common;
use kit::clock::Micros;
use kit::errors::Refusal;
use kit::validate::Window;

use crate::model::brand::BrandAgreement;
use crate::model::legal_entity::{LegalEntity, LegalEntityState};
use crate::model::regulation::{CategoryRule, Licence, LicenceState};

fn time(time: Micros) -> Option<prost_types::Timestamp> {
    Some(time.to_proto())
}

/// A period; nothing when it is open on both sides.
pub(crate) fn window(window: Window) -> Option<common::Window> {
    let is_open = window.start.is_none() && window.end.is_none();
    (!is_open).then(|| common::Window {
        start_time: window.start.map(Micros::to_proto),
        end_time: window.end.map(Micros::to_proto),
    })
}

pub(super) fn agreement(agreement: &BrandAgreement) -> v1::BrandAgreement {
    let terms = &agreement.terms;
    v1::BrandAgreement {
        brand_agreement_id: agreement.brand_agreement_id.to_string(),
        brand: terms.brand.clone(),
        retailer_exclusive: terms.retailer_exclusive,
        territories: terms.territories.clone(),
        window: window(terms.window),
        legal_entity_id: terms
            .legal_entity_id
            .map_or_else(String::new, |id| id.to_string()),
        allowed_partner_ids: terms
            .allowed_partner_ids
            .iter()
            .map(ToString::to_string)
            .collect(),
        note: terms.note.clone(),
        create_time: time(agreement.create_time),
        update_time: time(agreement.update_time),
        etag: agreement.version.etag(),
    }
}

pub(super) fn rule(rule: &CategoryRule) -> v1::CategoryRule {
    let terms = &rule.terms;
    v1::CategoryRule {
        regulated_category: terms.regulated_category.clone(),
        permitted_territories: terms.permitted_territories.clone(),
        minimum_age_years: i32::try_from(terms.minimum_age_years).unwrap_or(0),
        licence_required: terms.licence_required,
        note: terms.note.clone(),
        create_time: time(rule.create_time),
        update_time: time(rule.update_time),
        etag: rule.version.etag(),
    }
}

pub(super) fn licence(licence: &Licence) -> v1::Licence {
    let state = match licence.state {
        LicenceState::Active => v1::LicenceState::Active,
        LicenceState::Revoked => v1::LicenceState::Revoked,
    };
    v1::Licence {
        licence_id: licence.licence_id.to_string(),
        partner_id: licence.partner_id.to_string(),
        regulated_category: licence.regulated_category.clone(),
        licence_number: licence.licence_number.clone(),
        territories: licence.territories.clone(),
        start_time: licence.start_time.map(Micros::to_proto),
        expire_time: time(licence.expire_time),
        state: state.into(),
        revoke_reason: licence.revoke_reason.clone(),
        create_time: time(licence.create_time),
        revoke_time: licence.revoke_time.map(Micros::to_proto),
    }
}

pub(super) fn legal_entity(entity: &LegalEntity) -> v1::LegalEntity {
    let details = &entity.details;
    let state = match entity.state {
        LegalEntityState::Active => v1::LegalEntityState::Active,
        LegalEntityState::Retired => v1::LegalEntityState::Retired,
    };
    v1::LegalEntity {
        legal_entity_id: entity.legal_entity_id.to_string(),
        legal_entity_code: details.legal_entity_code.clone(),
        legal_name: details.legal_name.clone(),
        country_code: details.country_code.clone(),
        tax_number: details.tax_number.clone(),
        registered_office: details.registered_office.clone(),
        state: state.into(),
        create_time: time(entity.create_time),
        retire_time: entity.retire_time.map(Micros::to_proto),
    }
}

/// Why one of many was refused: what the status of a single call would say.
pub(super) fn refusal(refusal: &Refusal) -> v1::ListingRefusal {
    let violations = refusal.violations.iter();
    v1::ListingRefusal {
        reason: refusal.reason.into(),
        message: refusal.message.clone(),
        metadata: refusal.metadata.clone().into_iter().collect(),
        violations: violations
            .map(|violation| v1::ListingFieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            })
            .collect(),
    }
}
