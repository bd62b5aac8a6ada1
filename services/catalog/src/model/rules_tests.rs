use contracts::id::{BrandAgreementId, LicenceId};
use proptest::prelude::*;

use super::*;
use crate::model::brand::BrandTerms;
use crate::model::regulation::{LicenceState, RuleTerms};

const CODES: [&str; 4] = ["AT", "CH", "DE", "FR"];

fn codes() -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(CODES.to_vec(), 0..=3)
        .prop_map(|codes| codes.into_iter().map(str::to_owned).collect())
}

fn windows() -> impl Strategy<Value = Window> {
    let moment = || proptest::option::of(0_i64..12);
    (moment(), moment())
        .prop_filter("a window has a length", |(start, end)| {
            start.zip(*end).is_none_or(|(start, end)| start < end)
        })
        .prop_map(|(start, end)| Window {
            start: start.map(Micros),
            end: end.map(Micros),
        })
}

fn claims() -> impl Strategy<Value = Claim> {
    (0_u128..4, codes(), windows(), any::<bool>()).prop_map(
        |(partner, territories, window, is_exclusive)| Claim {
            partner_id: PartnerId::from_uuid(partner),
            territories,
            window,
            is_exclusive,
        },
    )
}

fn reach(claim: &Claim) -> Reach<'_> {
    Reach {
        partner_id: &claim.partner_id,
        territories: &claim.territories,
        window: claim.window,
        legal_entity_id: None,
        is_exclusive: claim.is_exclusive,
    }
}

fn sells(claim: &Claim, code: &str, at: Micros) -> bool {
    let there = claim.territories.is_empty() || claim.territories.iter().any(|own| own == code);
    there && claim.window.contains(at)
}

proptest! {
    /// However listings are agreed one after the other, nobody ever sells where and when another partner sells
    /// alone; and nobody is refused without such a place and time.
    #[test]
    fn who_sells_alone_sells_alone(wanted in prop::collection::vec(claims(), 1..12), now in 0_i64..12) {
        let mut agreed: Vec<Claim> = Vec::new();
        let places = || CODES.into_iter().chain(["XX"]);
        let times = || (now..=13).map(Micros);
        for claim in wanted {
            let clash = agreed.iter().any(|other| {
                other.partner_id != claim.partner_id
                    && (other.is_exclusive || claim.is_exclusive)
                    && places().any(|code| {
                        times().any(|at| sells(other, code, at) && sells(&claim, code, at))
                    })
            });
            let refused = rivalry(&agreed, &reach(&claim), Micros(now));
            prop_assert_eq!(refused.is_some(), clash);
            if refused.is_none() {
                agreed.push(claim);
            }
        }
        for code in places() {
            for at in times() {
                let selling: Vec<_> = agreed.iter().filter(|claim| sells(claim, code, at)).collect();
                for alone in selling.iter().filter(|claim| claim.is_exclusive) {
                    prop_assert!(selling.iter().all(|other| other.partner_id == alone.partner_id));
                }
            }
        }
    }
}

fn own(territories: &[&str], window: Window) -> Claim {
    Claim {
        partner_id: PartnerId::from_uuid(1),
        territories: territories.iter().map(|code| (*code).to_owned()).collect(),
        window,
        is_exclusive: false,
    }
}

fn strings(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

fn from_to(start: i64, end: i64) -> Window {
    Window {
        start: Some(Micros(start)),
        end: Some(Micros(end)),
    }
}

fn forbidden(rules: &Rules, claim: &Claim, now: i64) -> Option<Rule> {
    let forbidden = rules.forbid(&reach(claim), Micros(now));
    forbidden.map(|forbidden| forbidden.rule)
}

fn with_brand(change: impl FnOnce(&mut BrandTerms)) -> Rules {
    let mut terms = BrandTerms {
        brand: "Lund".into(),
        ..BrandTerms::default()
    };
    change(&mut terms);
    let agreement = BrandAgreement::new(BrandAgreementId::from_uuid(1), terms, Micros(0));
    Rules {
        agreement: Some(Arc::new(agreement)),
        regulated: None,
    }
}

#[test]
fn an_agreement_with_a_brand_binds_partner_place_time_and_seller() {
    let free = own(&["DE"], Window::default());
    assert_eq!(forbidden(&with_brand(|_| ()), &free, 5), None);
    let of_brand = Some(Rule::BrandAgreement);

    let rules = with_brand(|terms| terms.allowed_partner_ids = vec![PartnerId::from_uuid(2)]);
    assert_eq!(forbidden(&rules, &free, 5), of_brand);
    let rules = with_brand(|terms| terms.allowed_partner_ids = vec![PartnerId::from_uuid(1)]);
    assert_eq!(forbidden(&rules, &free, 5), None);

    let rules = with_brand(|terms| terms.territories = strings(&["DE", "FR"]));
    assert_eq!(forbidden(&rules, &free, 5), None);
    assert_eq!(
        forbidden(&rules, &own(&["DE", "AT"], Window::default()), 5),
        of_brand
    );
    assert_eq!(forbidden(&rules, &own(&[], Window::default()), 5), of_brand);

    let rules = with_brand(|terms| terms.window = from_to(3, 9));
    assert_eq!(forbidden(&rules, &free, 5), of_brand);
    assert_eq!(forbidden(&rules, &own(&["DE"], from_to(3, 9)), 5), None);
    assert_eq!(forbidden(&rules, &own(&["DE"], from_to(2, 9)), 5), of_brand);

    let entity = LegalEntityId::from_uuid(7);
    let rules = with_brand(|terms| terms.legal_entity_id = Some(entity));
    assert_eq!(forbidden(&rules, &free, 5), of_brand);
    let named = Reach {
        legal_entity_id: Some(&entity),
        ..reach(&free)
    };
    assert_eq!(rules.forbid(&named, Micros(5)), None);
}

#[test]
fn the_retailer_is_the_only_outlet_where_and_while_the_agreement_says_so() {
    let rules = with_brand(|terms| {
        terms.retailer_exclusive = true;
        terms.territories = strings(&["DE", "FR"]);
        terms.window = from_to(3, 9);
    });
    let at = |codes: &[&str], now| rules.is_retailer_exclusive(&strings(codes), Micros(now));
    assert!(at(&["DE"], 3) && at(&["DE", "FR"], 8));
    assert!(!at(&["DE"], 2) && !at(&["DE"], 9) && !at(&["AT", "DE"], 5) && !at(&[], 5));
    assert_eq!(rules.dates().collect::<Vec<_>>(), [Micros(3), Micros(9)]);
    assert!(!with_brand(|_| ()).is_retailer_exclusive(&strings(&["DE"]), Micros(5)));
}

fn licence(number: &str, codes: &[&str], start: Option<i64>, expire: i64) -> Licence {
    Licence {
        licence_id: LicenceId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
        regulated_category: "alcohol".into(),
        licence_number: number.into(),
        territories: strings(codes),
        start_time: start.map(Micros),
        expire_time: Micros(expire),
        state: LicenceState::Active,
        revoke_reason: String::new(),
        create_time: Micros(0),
        revoke_time: None,
    }
}

fn regulated(licence_required: bool, licences: Vec<Licence>) -> Rules {
    let terms = RuleTerms {
        regulated_category: "alcohol".into(),
        permitted_territories: strings(&["AT", "DE"]),
        minimum_age_years: 18,
        licence_required,
        note: String::new(),
    };
    Rules {
        agreement: None,
        regulated: Some(Regulated {
            rule: Some(Arc::new(CategoryRule::new(terms, Micros(0)))),
            licences,
        }),
    }
}

#[test]
fn regulated_goods_need_a_rule_and_permitted_territories() {
    let none = Rules {
        agreement: None,
        regulated: Some(Regulated::default()),
    };
    let free = own(&["DE"], Window::default());
    assert_eq!(forbidden(&none, &free, 5), Some(Rule::CategoryRule));
    let rules = regulated(false, Vec::new());
    assert_eq!(forbidden(&rules, &free, 5), None);
    assert_eq!(rules.minimum_age_years(), 18);
    for codes in [&[][..], &["FR"], &["DE", "FR"]] {
        let claim = own(codes, Window::default());
        assert_eq!(forbidden(&rules, &claim, 5), Some(Rule::CategoryRule));
    }
}

#[test]
fn a_licence_counts_where_and_while_it_does() {
    let rules = regulated(
        true,
        vec![
            licence("1", &["DE"], Some(3), 9),
            licence("2", &["AT"], None, 6),
        ],
    );
    let both = own(&["DE", "AT"], Window::default());
    let german = own(&["DE"], Window::default());
    let lacking = Some(Rule::Licence);
    assert_eq!(forbidden(&rules, &both, 2), lacking, "not begun");
    assert_eq!(forbidden(&rules, &both, 3), None);
    assert_eq!(forbidden(&rules, &both, 6), lacking, "one expired");
    assert_eq!(forbidden(&rules, &german, 8), None);
    assert_eq!(
        forbidden(&rules, &german, 9),
        lacking,
        "expired to the moment"
    );
    let dates: Vec<_> = rules.dates().map(|date| date.0).collect();
    assert_eq!(dates, [3, 9, 6]);

    let mut taken_back = licence("1", &[], None, 9);
    taken_back.revoke("fraud", Micros(4)).expect("revoked");
    assert!(taken_back.revoke("again", Micros(5)).is_err());
    assert_eq!(
        forbidden(&regulated(true, vec![taken_back]), &german, 5),
        lacking
    );
    let everywhere = licence("1", &[], None, 9);
    assert_eq!(
        forbidden(&regulated(true, vec![everywhere]), &both, 5),
        None
    );
}
