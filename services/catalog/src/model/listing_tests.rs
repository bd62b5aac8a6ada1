use std::time::Duration;

use contracts::id::{ProductId, VariantId};
use contracts::money::{Currency, Money, Price};
use kit::validate::Window;
use proptest::prelude::*;

use super::*;
use crate::model::product::{Unit, UnitPolicy, VariantDetails};
use crate::model::terms::{ModeSchedule, PurchaseMode, SHIP_WITHIN_DEFAULT};

static OPEN: Standing = Standing {
    partner: PartnerState::Active,
    product: ProductState::Active,
    rules: Rules {
        agreement: None,
        regulated: None,
    },
    claims: Vec::new(),
};
static SUSPENDED: Standing = Standing {
    partner: PartnerState::Suspended,
    product: ProductState::Active,
    rules: Rules {
        agreement: None,
        regulated: None,
    },
    claims: Vec::new(),
};
static ARCHIVED: Standing = Standing {
    partner: PartnerState::Active,
    product: ProductState::Archived,
    rules: Rules {
        agreement: None,
        regulated: None,
    },
    claims: Vec::new(),
};

fn actor(party: Party, subject: &str) -> Actor {
    Actor {
        party,
        issuer: "issuer".into(),
        subject: subject.into(),
    }
}

fn retailer() -> Actor {
    actor(Party::Retailer, "ops")
}

fn partner() -> Actor {
    actor(Party::Partner, "north")
}

fn price(minor_units: i64) -> Price {
    Price::new(Money::new(Currency::EUR, minor_units), 1).expect("a price")
}

fn terms() -> Terms {
    Terms {
        price: price(1_990),
        retailer_discount_basis_points: 0,
        shipping: 490,
        tax_basis_points: 1_900,
        tax_included: true,
        sale_window: Window::default(),
        per_shopper_limit: 2,
        territories: vec!["DE".into()],
        exclusivity: Exclusivity::None,
        commission_basis_points: 1_000,
        next_commission: None,
        legal_entity: String::new(),
        legal_entity_id: None,
        purchase_modes: ModeSchedule::always(PurchaseMode::InApp),
        remorse_period: Duration::ZERO,
        ship_within: SHIP_WITHIN_DEFAULT,
        ship_not_before: None,
    }
}

fn variant(quantity_step: i64) -> Variant {
    Variant {
        variant_id: VariantId::from_uuid(1),
        product_id: ProductId::from_uuid(1),
        details: VariantDetails {
            sku: "TEA-1".into(),
            options: Vec::new(),
            unit: Unit::Each,
            quantity_step,
            unit_policy: UnitPolicy::None,
            gtin: String::new(),
            weight_grams: 0,
        },
    }
}

fn proposal(proposer: Actor) -> Proposal {
    Proposal {
        listing_id: ListingId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
        variant: variant(1),
        product: ProductFace {
            title: "Teapot".into(),
            ..ProductFace::default()
        },
        terms: terms(),
        proposer,
    }
}

fn proposed(proposer: Actor) -> Listing {
    Listing::propose(proposal(proposer), &OPEN, Micros(1)).expect("a listing")
}

fn approve() -> Action {
    Action::Approve {
        reason: String::new(),
    }
}

fn reject() -> Action {
    Action::Reject {
        reason: "too dear".into(),
    }
}

fn pause() -> Action {
    Action::Pause {
        reason: "recount".into(),
    }
}

fn end() -> Action {
    Action::End {
        reason: "season over".into(),
    }
}

fn live() -> Listing {
    let mut listing = proposed(retailer());
    for (action, by) in [(approve(), partner()), (Action::Publish, retailer())] {
        assert_eq!(listing.act(&action, &by, &OPEN, Micros(2)), Ok(true));
    }
    listing
}

fn refused(listing: &mut Listing, action: &Action, by: &Actor, standing: &Standing) -> ErrorReason {
    let before = listing.clone();
    let refusal = listing
        .act(action, by, standing, Micros(9))
        .expect_err("refused");
    assert_eq!(*listing, before, "a refusal changes nothing");
    refusal.reason
}

#[test]
fn goes_from_proposal_to_sale_and_to_its_end() {
    let mut listing = live();
    assert_eq!(
        (listing.state, listing.decided_by),
        (ListingState::Live, Some(Party::Partner))
    );
    assert_eq!(
        listing.act(&pause(), &partner(), &OPEN, Micros(3)),
        Ok(true)
    );
    assert_eq!(
        (listing.state, listing.state_reason.as_str()),
        (ListingState::Paused, "recount")
    );
    assert_eq!(
        listing.act(&Action::Resume, &retailer(), &OPEN, Micros(4)),
        Ok(true)
    );
    assert_eq!(
        (listing.state, listing.state_reason.as_str()),
        (ListingState::Live, "")
    );
    assert_eq!(listing.act(&end(), &partner(), &OPEN, Micros(5)), Ok(true));
    assert_eq!((listing.version, listing.terms_version), (Version(6), 1));
    assert_eq!(
        refused(&mut listing, &end(), &partner(), &OPEN),
        ErrorReason::WrongState
    );
}

#[test]
fn whoever_proposes_never_decides() {
    for (proposer, other) in [(retailer(), partner()), (partner(), retailer())] {
        let mut listing = proposed(proposer.clone());
        for action in [approve(), reject()] {
            let colleague = actor(proposer.party, "a colleague");
            let both_hats = actor(other.party, &proposer.subject);
            for by in [&proposer, &colleague, &both_hats] {
                assert_eq!(
                    refused(&mut listing, &action, by, &OPEN),
                    ErrorReason::SelfApproval
                );
            }
        }
        let namesake = Actor {
            issuer: "another issuer".into(),
            ..actor(other.party, &proposer.subject)
        };
        assert_eq!(
            listing.act(&approve(), &namesake, &OPEN, Micros(2)),
            Ok(true)
        );
    }
}

#[test]
fn new_terms_for_a_waiting_listing_are_the_proposal_of_whoever_sets_them() {
    let mut listing = proposed(partner());
    let dearer = Action::ChangeTerms(TermsChange {
        price: Some(price(9_990)),
        ..TermsChange::default()
    });
    assert_eq!(
        listing.act(&dearer, &retailer(), &OPEN, Micros(2)),
        Ok(true)
    );
    assert_eq!(
        refused(&mut listing, &approve(), &retailer(), &OPEN),
        ErrorReason::SelfApproval
    );
    assert_eq!(
        listing.act(&approve(), &partner(), &OPEN, Micros(3)),
        Ok(true)
    );
    assert_eq!(listing.terms_version, 2);
}

#[test]
fn a_suspended_partner_gets_nothing_new_and_keeps_the_brakes() {
    let refusal = Listing::propose(proposal(retailer()), &SUSPENDED, Micros(1));
    assert_eq!(
        refusal.expect_err("suspended").reason,
        ErrorReason::PartnerSuspended
    );
    let mut listing = proposed(retailer());
    assert_eq!(
        refused(&mut listing, &approve(), &partner(), &SUSPENDED),
        ErrorReason::PartnerSuspended
    );
    let mut approved = proposed(retailer());
    assert_eq!(
        approved.act(&approve(), &partner(), &OPEN, Micros(2)),
        Ok(true)
    );
    assert_eq!(
        refused(&mut approved, &Action::Publish, &retailer(), &SUSPENDED),
        ErrorReason::PartnerSuspended
    );
    let mut listing = live();
    assert_eq!(
        listing.act(&pause(), &partner(), &SUSPENDED, Micros(3)),
        Ok(true)
    );
    assert_eq!(
        refused(&mut listing, &Action::Resume, &retailer(), &SUSPENDED),
        ErrorReason::PartnerSuspended
    );
    assert_eq!(
        listing.act(&end(), &partner(), &SUSPENDED, Micros(4)),
        Ok(true)
    );
    assert_eq!(
        proposed(retailer()).act(&reject(), &partner(), &SUSPENDED, Micros(2)),
        Ok(true)
    );
}

#[test]
fn an_archived_product_is_listed_no_more_and_what_is_live_goes_on() {
    let refusal = Listing::propose(proposal(retailer()), &ARCHIVED, Micros(1));
    assert_eq!(
        refusal.expect_err("archived").reason,
        ErrorReason::WrongState
    );
    let mut listing = proposed(retailer());
    assert_eq!(
        refused(&mut listing, &approve(), &partner(), &ARCHIVED),
        ErrorReason::WrongState
    );
    let mut listing = live();
    for (action, by) in [(pause(), partner()), (Action::Resume, retailer())] {
        assert_eq!(listing.act(&action, &by, &ARCHIVED, Micros(3)), Ok(true));
    }
}

#[test]
fn terms_fit_the_variant_and_keep_their_currency() {
    let mut grams = proposal(retailer());
    grams.variant = variant(500);
    let refusal = Listing::propose(grams.clone(), &OPEN, Micros(1)).expect_err("2 of 500");
    assert_eq!(refusal.violations[0].field, "terms.per_shopper_limit");
    grams.terms.per_shopper_limit = 0;
    assert!(Listing::propose(grams, &OPEN, Micros(1)).is_ok());

    let mut listing = live();
    let yen = Money::new(Currency::JPY, 1);
    for (change, field) in [
        (
            TermsChange {
                price: Some(Price::new(yen, 1).expect("a price")),
                ..TermsChange::default()
            },
            "price.amount.currency_code",
        ),
        (
            TermsChange {
                shipping: Some(yen),
                ..TermsChange::default()
            },
            "shipping.currency_code",
        ),
    ] {
        let refusal = listing.act(&Action::ChangeTerms(change), &retailer(), &OPEN, Micros(3));
        assert_eq!(refusal.expect_err("yen").violations[0].field, field);
    }
    let same = TermsChange {
        price: Some(price(1_990)),
        ..TermsChange::default()
    };
    assert_eq!(
        listing.act(&Action::ChangeTerms(same), &retailer(), &OPEN, Micros(3)),
        Ok(false)
    );
    assert_eq!((listing.terms_version, listing.version), (1, Version(3)));
}

#[test]
fn nothing_goes_on_sale_after_its_window() {
    let mut over = proposal(retailer());
    over.terms.sale_window.end = Some(Micros(5));
    assert!(Listing::propose(over.clone(), &OPEN, Micros(4)).is_ok());
    let refusal = Listing::propose(over, &OPEN, Micros(5)).expect_err("over");
    assert_eq!(refusal.reason, ErrorReason::OutsideWindow);

    let close = |end| {
        Action::ChangeTerms(TermsChange {
            sale_window: Some(Window {
                start: None,
                end: Some(Micros(end)),
            }),
            ..TermsChange::default()
        })
    };
    let mut listing = live();
    for (action, by) in [(pause(), retailer()), (close(5), retailer())] {
        assert_eq!(listing.act(&action, &by, &OPEN, Micros(3)), Ok(true));
    }
    assert_eq!(
        refused(&mut listing, &Action::Resume, &retailer(), &OPEN),
        ErrorReason::OutsideWindow
    );
    assert_eq!(
        listing.act(&close(50), &retailer(), &OPEN, Micros(9)),
        Ok(true)
    );
    assert_eq!(
        listing.act(&Action::Resume, &retailer(), &OPEN, Micros(9)),
        Ok(true)
    );
}

/// What may follow what.
fn may_follow(before: ListingState, after: ListingState) -> bool {
    use ListingState as S;
    matches!(
        (before, after),
        (S::Proposed, S::Approved | S::Rejected | S::Ended)
            | (S::Approved, S::Live | S::Ended)
            | (S::Live, S::Paused | S::Ended)
            | (S::Paused, S::Live | S::Ended)
    )
}

fn actors() -> impl Strategy<Value = Actor> {
    let party = prop::sample::select(Party::ALL);
    (party, prop::sample::select(vec!["a", "b", "c"]))
        .prop_map(|(party, subject)| actor(party, subject))
}

fn standings() -> impl Strategy<Value = Standing> {
    let standing = |partner, product| Standing {
        partner,
        product,
        ..OPEN.clone()
    };
    prop_oneof![
        6 => Just(OPEN.clone()),
        1 => Just(SUSPENDED.clone()),
        1 => Just(ARCHIVED.clone()),
        1 => Just(standing(PartnerState::Suspended, ProductState::Archived)),
    ]
}

fn changes() -> impl Strategy<Value = TermsChange> {
    let currency = prop::sample::select(vec![Currency::EUR, Currency::EUR, Currency::JPY]);
    let limit = prop::option::of(0i64..4);
    let end = prop::option::of(prop::option::of(1i64..400));
    (currency, prop::option::of(1i64..4), limit, end).prop_map(
        |(currency, amount, per_shopper_limit, end)| TermsChange {
            price: amount
                .map(|amount| Price::new(Money::new(currency, amount), 1).expect("a price")),
            per_shopper_limit,
            sale_window: end.map(|end| Window {
                start: None,
                end: end.map(Micros),
            }),
            ..TermsChange::default()
        },
    )
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(approve()),
        1 => Just(reject()),
        4 => Just(Action::Publish),
        4 => changes().prop_map(Action::ChangeTerms),
        3 => Just(pause()),
        3 => Just(Action::Resume),
        1 => Just(end()),
    ]
}

/// What the test knows of a listing beside what the listing says.
struct Watcher {
    /// Who set the terms that stand.
    terms_by: Actor,
    approved_by: Option<Actor>,
}

impl Watcher {
    fn check(&mut self, before: &Listing, action: &Action, by: &Actor, after: &Listing) {
        assert_eq!(after.version, before.version.next());
        assert!(after.state == before.state || may_follow(before.state, after.state));
        let terms_changed = after.terms != before.terms;
        assert_eq!(
            after.terms_version,
            before.terms_version + i64::from(terms_changed)
        );
        assert_eq!(
            after.terms.price.amount().currency,
            before.terms.price.amount().currency
        );
        assert_eq!(terms_changed, matches!(action, Action::ChangeTerms(_)));
        if terms_changed && before.state == ListingState::Proposed {
            self.terms_by = by.clone();
        }
        if after.state == ListingState::Approved && before.state == ListingState::Proposed {
            assert_ne!(by.party, self.terms_by.party, "its own terms approved");
            assert_ne!(
                by.subject, self.terms_by.subject,
                "one somebody with two hats"
            );
            self.approved_by = Some(by.clone());
        }
    }

    fn check_always(&self, listing: &Listing) {
        use ListingState as S;
        let agreed = matches!(listing.state, S::Approved | S::Live | S::Paused);
        assert!(
            !agreed || self.approved_by.is_some(),
            "on its way without approval"
        );
        assert_eq!(
            self.approved_by.as_ref().map(|actor| actor.party),
            listing.decided_by.filter(|_| listing.state != S::Rejected)
        );
        assert!(listing.decided_by != Some(listing.proposer.party));
        assert_eq!(
            listing.decided_by.is_none(),
            listing.state == S::Proposed
                || (listing.state == S::Ended && self.approved_by.is_none())
        );
        assert!(listing.state != S::Rejected || !listing.decision_reason.is_empty());
        assert_eq!(
            !listing.state_reason.is_empty(),
            matches!(listing.state, S::Paused | S::Ended)
        );
    }
}

proptest! {
    #[test]
    fn no_sequence_of_actions_breaks_the_invariants(
        proposer in actors(),
        steps in prop::collection::vec((actions(), actors(), standings(), 1i64..10), 1..60),
    ) {
        let mut listing = proposed(proposer.clone());
        let mut watcher = Watcher { terms_by: proposer, approved_by: None };
        let mut now = 1;
        for (action, by, standing, pause) in steps {
            now += pause;
            let before = listing.clone();
            match listing.act(&action, &by, &standing, Micros(now)) {
                Ok(true) => {
                    watcher.check(&before, &action, &by, &listing);
                    prop_assert_eq!(listing.update_time, Micros(now));
                    let enters_live = listing.state == ListingState::Live && before.state != ListingState::Live;
                    if enters_live {
                        prop_assert_eq!(standing.partner, PartnerState::Active);
                        prop_assert!(listing.terms.sale_window.end.is_none_or(|end| end > Micros(now)));
                    }
                }
                Ok(false) => {
                    prop_assert!(matches!(action, Action::ChangeTerms(_)));
                    prop_assert_eq!(&listing, &before);
                }
                Err(_) => prop_assert_eq!(&listing, &before),
            }
            prop_assert!(!before.state.is_over() || listing == before, "what is over stays over");
            watcher.check_always(&listing);
        }
    }
}
