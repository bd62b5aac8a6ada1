use std::sync::Arc;
use std::time::Duration;

use contracts::id::{BrandAgreementId, LicenceId, ListingId, PartnerId, ProductId, VariantId};
use contracts::money::{Currency, Money, Price};
use kit::validate::Window;
use proptest::prelude::*;

use super::*;
use crate::model::brand::{BrandAgreement, BrandTerms};
use crate::model::listing::{Action, Actor, Party, Proposal, Standing};
use crate::model::partner::PartnerState;
use crate::model::product::{ProductState, Unit, UnitPolicy, Variant, VariantDetails};
use crate::model::regulation::{CategoryRule, Licence, LicenceState, RuleTerms};
use crate::model::rules::Regulated;
use crate::model::terms::{
    DatedMode, Exclusivity, ModeSchedule, NextCommission, SHIP_WITHIN_DEFAULT, Terms,
};

fn face() -> ProductFace {
    ProductFace {
        title: "Teapot".into(),
        ..ProductFace::default()
    }
}

fn terms(modes: ModeSchedule, end: Option<i64>, next: Option<i64>) -> Terms {
    Terms {
        price: Price::new(Money::new(Currency::EUR, 1_990), 1).expect("a price"),
        retailer_discount_basis_points: 0,
        shipping: 0,
        tax_basis_points: 0,
        tax_included: true,
        sale_window: Window {
            start: None,
            end: end.map(Micros),
        },
        per_shopper_limit: 0,
        territories: vec!["DE".into()],
        exclusivity: Exclusivity::None,
        commission_basis_points: 1_000,
        next_commission: next.map(|time| NextCommission {
            basis_points: 900,
            effective_time: Micros(time),
        }),
        legal_entity: String::new(),
        legal_entity_id: None,
        purchase_modes: modes,
        remorse_period: Duration::ZERO,
        ship_within: SHIP_WITHIN_DEFAULT,
        ship_not_before: None,
    }
}

fn live(terms: Terms) -> Listing {
    let party = |party| Actor {
        party,
        issuer: "issuer".into(),
        subject: format!("{party}"),
    };
    let standing = Standing {
        partner: PartnerState::Active,
        product: ProductState::Active,
        rules: Rules::default(),
        claims: Vec::new(),
    };
    let variant = Variant {
        variant_id: VariantId::from_uuid(1),
        product_id: ProductId::from_uuid(1),
        details: VariantDetails {
            sku: "TEA-1".into(),
            options: Vec::new(),
            unit: Unit::Each,
            quantity_step: 1,
            unit_policy: UnitPolicy::None,
            gtin: String::new(),
            weight_grams: 0,
        },
    };
    let proposal = Proposal {
        listing_id: ListingId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
        variant,
        product: face(),
        terms,
        proposer: party(Party::Retailer),
    };
    let mut listing = Listing::propose(proposal, &standing, Micros(0)).expect("a listing");
    let approve = Action::Approve {
        reason: String::new(),
    };
    for (action, by) in [
        (approve, Party::Partner),
        (Action::Publish, Party::Retailer),
    ] {
        let done = listing.act(&action, &party(by), &standing, Micros(0));
        assert_eq!(done, Ok(true));
    }
    listing
}

fn rules((start, end): (i64, i64), licence_end: Option<i64>) -> Rules {
    let terms = BrandTerms {
        brand: "Lund".into(),
        retailer_exclusive: true,
        window: Window::default(),
        ..BrandTerms::default()
    };
    let mut agreement = BrandAgreement::new(BrandAgreementId::from_uuid(1), terms, Micros(0));
    // Set behind the listing's back, so that it may end before the listing does.
    agreement.terms.window = Window {
        start: Some(Micros(start)),
        end: Some(Micros(end)),
    };
    let rule = RuleTerms {
        regulated_category: "alcohol".into(),
        permitted_territories: vec!["DE".into()],
        minimum_age_years: 18,
        licence_required: true,
        note: String::new(),
    };
    let regulated = licence_end.map(|expire| Regulated {
        rule: Some(Arc::new(CategoryRule::new(rule, Micros(0)))),
        licences: vec![Licence {
            licence_id: LicenceId::from_uuid(1),
            partner_id: PartnerId::from_uuid(1),
            regulated_category: "alcohol".into(),
            licence_number: "1".into(),
            territories: Vec::new(),
            start_time: None,
            expire_time: Micros(expire),
            state: LicenceState::Active,
            revoke_reason: String::new(),
            create_time: Micros(0),
            revoke_time: None,
        }],
    });
    Rules {
        agreement: regulated.is_none().then(|| Arc::new(agreement)),
        regulated,
    }
}

/// All that callers see of a look.
fn seen(listing: &Listing) -> (String, ListingState, i64, String) {
    let state = listing.state;
    (
        listing.shown_key(),
        state,
        listing.terms_version,
        listing.state_reason.clone(),
    )
}

proptest! {
    /// Whoever looks only when it is time misses nothing: between two looks nothing changes that is shown.
    #[test]
    fn nothing_changes_between_looks(
        dates in prop::collection::btree_map(1_i64..40, any::<bool>(), 0..8),
        end in prop::option::of(1_i64..40),
        next in prop::option::of(1_i64..40),
        start in 1_i64..40,
        length in 1_i64..20,
        licence_end in prop::option::of(1_i64..40),
    ) {
        let dated = dates.into_iter().map(|(start, redirect)| DatedMode {
            start: Micros(start),
            mode: if redirect { PurchaseMode::Redirect } else { PurchaseMode::InApp },
        });
        let modes = ModeSchedule { first: PurchaseMode::InApp, dated: dated.collect() };
        let rules = rules((start, start + length), licence_end);
        let mut looked = live(terms(modes, end, next));
        looked.look_again(&rules, face(), Micros(0));
        let mut due = looked.next_look(&rules);
        for now in (1..=60).map(Micros) {
            let mut fresh = looked.clone();
            fresh.look_again(&rules, face(), now);
            if due == Some(now) {
                looked = fresh;
                due = looked.next_look(&rules);
                prop_assert!(due.is_none_or(|due| due > now), "each look is followed by a later one");
            } else {
                prop_assert_eq!(seen(&fresh), seen(&looked));
            }
        }
        prop_assert_eq!(due, None, "in the end there is nothing to wait for");
    }
}

#[test]
fn what_is_over_stays_as_it_was() {
    let mut listing = live(terms(
        ModeSchedule::always(PurchaseMode::InApp),
        None,
        Some(5),
    ));
    let retailer = listing.proposer.clone();
    let standing = Standing {
        partner: PartnerState::Active,
        product: ProductState::Active,
        rules: Rules::default(),
        claims: Vec::new(),
    };
    let end = Action::End {
        reason: "over".into(),
    };
    assert_eq!(listing.act(&end, &retailer, &standing, Micros(1)), Ok(true));
    let before = listing.clone();
    assert_eq!(
        listing.look_again(&Rules::default(), ProductFace::default(), Micros(9)),
        Look::Same
    );
    assert_eq!(listing, before);
    assert_eq!(listing.next_look(&Rules::default()), None);
}
