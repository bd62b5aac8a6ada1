//! What follows from a drop alone.

use super::*;

fn sale() -> DropSale {
    DropSale {
        drop_id: DropId::from_uuid(1),
        allotment_id: AllotmentId::from_uuid(1),
        display_name: String::new(),
        announce_time: Some(Micros(10)),
        start_time: Micros(20),
        end_time: Micros(30),
        total_limit: 2,
        per_person_limit: 0,
        discount_basis_points: 0,
        quota_total: 0,
        taken: 0,
        ended_time: None,
        end_reason: String::new(),
        version: 1,
        create_time: Micros(0),
    }
}

#[test]
fn the_clock_moves_a_drop_along() {
    let states = |sale: &DropSale| {
        [9, 10, 19, 20, 29, 30].map(|now| {
            let now = Micros(now);
            (sale.state_with(now, 1).as_str(), sale.binds(now))
        })
    };
    assert_eq!(
        states(&sale()),
        [
            ("SCHEDULED", false),
            ("SCHEDULED", true),
            ("SCHEDULED", true),
            ("OPEN", true),
            ("OPEN", true),
            ("ENDED", false)
        ]
    );
    let ended = DropSale {
        ended_time: Some(Micros(5)),
        ..sale()
    };
    assert!(
        states(&ended)
            .iter()
            .all(|state| *state == ("ENDED", false))
    );
    let at_once = DropSale {
        announce_time: None,
        ..sale()
    };
    assert_eq!(states(&at_once)[0], ("SCHEDULED", true));
}

#[test]
fn sold_out_is_a_view_that_passes() {
    let full = DropSale { taken: 2, ..sale() };
    assert_eq!(full.state_with(Micros(20), 9), DropState::SoldOut);
    assert_eq!(full.state_with(Micros(19), 9), DropState::Scheduled);
    assert_eq!(full.state_with(Micros(30), 9), DropState::Ended);
    let less = DropSale { taken: 1, ..sale() };
    assert_eq!(less.state_with(Micros(20), 9), DropState::Open);
    assert_eq!(
        less.state_with(Micros(20), 0),
        DropState::SoldOut,
        "nothing in stock"
    );
}

#[test]
fn the_last_touchpoint_says_which_quota() {
    let touch = |creator: u128, outlet: u128, at: Option<i64>| Touchpoint {
        outlet_id: (outlet > 0).then(|| OutletId::from_uuid(outlet)),
        room_id: None,
        creator_id: (creator > 0).then(|| CreatorId::from_uuid(creator)),
        surface: String::new(),
        media_time_ms: 0,
        touch_time: at.map(Micros),
    };
    let creator = QuotaOwner::Creator(CreatorId::from_uuid(1));
    let outlet = QuotaOwner::Outlet(OutletId::from_uuid(1));
    let quota = |owner, release: i64| Quota {
        owner,
        unit_limit: 1,
        release_time: Some(Micros(release)),
        taken: 0,
    };
    let quotas = [quota(creator, 50), quota(outlet, 90)];
    let drawn = |touches: &[Touchpoint], now| quota_of(quotas.iter(), touches, Micros(now));
    assert_eq!(drawn(&[], 1), None);
    assert_eq!(
        drawn(&[touch(1, 1, None)], 1),
        Some(creator),
        "the creator's goes first"
    );
    assert_eq!(
        drawn(&[touch(1, 1, None)], 50),
        Some(outlet),
        "when it is not released"
    );
    assert_eq!(drawn(&[touch(1, 1, None)], 90), None);
    let (ours, theirs) = (touch(1, 0, Some(5)), touch(2, 0, Some(4)));
    assert_eq!(
        drawn(&[ours.clone(), theirs.clone()], 1),
        Some(creator),
        "the latest"
    );
    assert_eq!(
        drawn(&[ours.clone(), touch(2, 1, Some(5))], 1),
        Some(outlet),
        "the last of equals"
    );
    assert_eq!(
        drawn(&[ours, touch(2, 0, Some(9))], 1),
        None,
        "only the last one counts"
    );
}

#[test]
fn an_owner_is_told_by_the_prefix_of_its_id() {
    for owner in [
        QuotaOwner::Creator(CreatorId::from_uuid(7)),
        QuotaOwner::Outlet(OutletId::from_uuid(7)),
    ] {
        assert_eq!(QuotaOwner::parse(owner.as_str()), Some(owner));
    }
    assert_eq!(QuotaOwner::parse(ListingId::from_uuid(7).as_str()), None);
    assert_eq!(QuotaOwner::parse(""), None);
}
