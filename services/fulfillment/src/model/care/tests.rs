//! The steps of a case, one by one and in any order.

mod random;

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{CaseId, CaseMessageId, PartnerId, TopicId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const START: Micros = Micros(1_000_000_000);

/// Hours to an answer and to a resolution: 2 and 10 of an issue, 4 and 20 of a grievance, 6 and 30 of a dispute.
fn rules() -> Rules {
    let level = |times: u32| Targets {
        response: HOUR * (2 * times),
        resolution: HOUR * (10 * times),
    };
    Rules {
        targets: [[level(1), level(2), level(3)]; 4],
        shopper_wait: HOUR * 5,
        partner_wait: HOUR * 3,
        reopen_window: HOUR * 8,
        reopens_max: 2,
        messages_max: 12,
    }
}

fn at(hours: u32) -> Micros {
    START.plus(HOUR * hours)
}

fn somebody(party: Party, subject: &str) -> Actor {
    Actor {
        party,
        subject: subject.to_owned(),
        is_ops: subject == "ops",
    }
}

fn partner() -> Actor {
    somebody(Party::Partner, "gateway")
}

fn agent() -> Actor {
    somebody(Party::Retailer, "ana")
}

fn ops() -> Actor {
    somebody(Party::Retailer, "ops")
}

fn says(author: Party, visibility: Visibility) -> Draft {
    Draft {
        author,
        visibility,
        text: "hello".to_owned(),
        attachments: Vec::new(),
    }
}

fn opening(message: Draft) -> Opening {
    Opening {
        partner_id: PartnerId::from_uuid(1),
        shopper_ref: "s".to_owned(),
        category: Category::Quality,
        priority: Priority::Normal,
        references: References::default(),
        message,
    }
}

fn opened() -> Case {
    let ids = (CaseId::from_uuid(1), CaseMessageId::from_uuid(1));
    let message = says(Party::Shopper, Visibility::ShopperAndAll);
    let made = Case::open(ids, opening(message), &partner(), &rules(), START);
    made.expect("opens").0
}

fn post(
    case: &mut Case,
    draft: Draft,
    wait_for: Option<Party>,
    actor: &Actor,
    now: Micros,
) -> Result<Message, Refusal> {
    let id = CaseMessageId::from_uuid(u128::from(case.message_count.unsigned_abs()) + 1);
    case.post(id, draft, wait_for, (actor, &rules()), now)
}

fn answer(case: &mut Case, now: Micros) {
    let draft = says(Party::Retailer, Visibility::ShopperAndAll);
    post(case, draft, None, &agent(), now).expect("answers");
}

fn did(kind: OutcomeKind, what: &str, cents: Option<i64>) -> Outcome {
    let euro = "EUR".parse().expect("a currency");
    Outcome {
        kind,
        what: what.to_owned(),
        amount: cents.map(|cents| Money::new(euro, cents)),
        link_time: START,
    }
}

fn resolve(case: &mut Case, outcomes: Vec<Outcome>, now: Micros) -> Result<(), Refusal> {
    case.resolve(outcomes, &agent(), "done", &rules(), now)
}

fn disputed() -> Case {
    let mut case = opened();
    let level = Level::Dispute;
    let raised = case.escalate(level, &partner(), "no answer", &rules(), at(1));
    raised.expect("rises");
    case
}

fn chamber(subject: &str) -> Arbiter {
    Arbiter {
        display_name: "Dr. Wolf".to_owned(),
        organisation: "Chamber of Trade".to_owned(),
        subject: subject.to_owned(),
    }
}

fn ruled(ruling: Ruling, required: Vec<Required>) -> Decision {
    Decision {
        ruling,
        required,
        reason: "because".to_owned(),
        document: Some(Attachment {
            reference: "r".to_owned(),
            digest: "d".to_owned(),
            media_type: "application/pdf".to_owned(),
            size_bytes: 1,
        }),
        time: START,
    }
}

fn because<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> ErrorReason {
    refused.expect_err("is refused").reason
}

/// Nothing changes when it is refused.
fn refuses<T: std::fmt::Debug>(
    case: &mut Case,
    reason: ErrorReason,
    step: impl FnOnce(&mut Case) -> Result<T, Refusal>,
) {
    let before = case.clone();
    assert_eq!(because(step(case)), reason);
    assert_eq!(*case, before, "a refusal changes nothing");
}

fn next(case: &Case) -> (Party, ToDo, Micros) {
    let next = case.next_action().expect("something to do");
    (next.party, next.to_do, next.deadline)
}

#[test]
fn a_case_waits_for_whoever_is_to_speak() {
    let mut case = opened();
    assert_eq!(case.state, CaseState::Open);
    assert_eq!(next(&case), (Party::Retailer, ToDo::Respond, at(2)));
    answer(&mut case, at(1));
    assert_eq!(
        (case.state, case.response_time),
        (CaseState::WaitingShopper, Some(at(1)))
    );
    assert_eq!(next(&case), (Party::Shopper, ToDo::Answer, at(6)));
    let draft = says(Party::Shopper, Visibility::ShopperAndAll);
    post(&mut case, draft, None, &partner(), at(2)).expect("speaks");
    assert_eq!(next(&case), (Party::Retailer, ToDo::Resolve, at(10)));
    let draft = says(Party::Retailer, Visibility::PartnerAndRetailer);
    post(&mut case, draft, None, &agent(), at(3)).expect("asks");
    assert_eq!(next(&case), (Party::Partner, ToDo::Answer, at(6)));
    let note = says(Party::Retailer, Visibility::RetailerOnly);
    post(&mut case, note, None, &agent(), at(3)).expect("a note");
    assert_eq!(
        case.state,
        CaseState::WaitingPartner,
        "a note moves nothing"
    );
    assert_eq!((case.message_count, case.shown_count), (5, 4));
    resolve(&mut case, vec![did(OutcomeKind::Answered, "", None)], at(4)).expect("resolves");
    assert_eq!(next(&case), (Party::Shopper, ToDo::AcceptOrReopen, at(12)));
    case.close(&partner(), "", at(5)).expect("closes");
    assert_eq!(case.next_action(), None);
    assert!(case.timers.is_empty());
}

#[test]
fn nothing_changes_about_a_closed_case() {
    let mut case = opened();
    resolve(&mut case, vec![did(OutcomeKind::Declined, "", None)], at(1)).expect("resolves");
    case.close(&ops(), "", at(2)).expect("closes");
    let reason = ErrorReason::CaseClosed;
    refuses(&mut case, reason, |c| {
        post(
            c,
            says(Party::Shopper, Visibility::ShopperAndAll),
            None,
            &partner(),
            at(3),
        )
    });
    refuses(&mut case, reason, |c| c.assign("bo", &ops(), "", at(3)));
    refuses(&mut case, reason, |c| {
        c.reopen(&partner(), "no", &rules(), at(3))
    });
    refuses(&mut case, reason, |c| c.close(&partner(), "", at(3)));
    refuses(&mut case, reason, |c| {
        c.escalate(Level::Dispute, &partner(), "no", &rules(), at(3))
    });
    refuses(&mut case, reason, |c| {
        resolve(c, vec![did(OutcomeKind::Answered, "", None)], at(3))
    });
    refuses(&mut case, reason, |c| {
        c.group(TopicId::from_uuid(1), &ops(), at(3))
    });
    refuses(&mut case, reason, |c| {
        c.name_arbiter(chamber(""), &ops(), &BTreeSet::new(), at(3))
    });
    assert!(!case.fire(&rules(), at(1_000)));
}

#[test]
fn a_case_is_resolved_with_an_outcome_and_reopened_in_time() {
    let mut case = opened();
    refuses(&mut case, ErrorReason::OutcomeMissing, |c| {
        resolve(c, vec![], at(1))
    });
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.close(&partner(), "", at(1))
    });
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.reopen(&partner(), "?", &rules(), at(1))
    });
    for round in 0..2 {
        resolve(
            &mut case,
            vec![did(OutcomeKind::Refund, "r1", Some(100))],
            at(2 + round),
        )
        .expect("resolves");
        refuses(&mut case, ErrorReason::WrongState, |c| {
            resolve(c, vec![did(OutcomeKind::Answered, "", None)], at(3))
        });
        let draft = says(Party::Shopper, Visibility::ShopperAndAll);
        post(&mut case, draft, None, &partner(), at(2 + round)).expect("thanks");
        assert_eq!(case.state, CaseState::Resolved, "thanks open nothing");
        case.reopen(&partner(), "still broken", &rules(), at(3 + round))
            .expect("in time");
        assert_eq!(
            (case.response_time, case.response_due),
            (None, at(5 + round)),
            "targets count anew"
        );
    }
    assert_eq!(
        case.outcomes.len(),
        1,
        "one refund is one outcome however often it is linked"
    );
    resolve(&mut case, vec![did(OutcomeKind::Answered, "", None)], at(5)).expect("resolves");
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.reopen(&partner(), "?", &rules(), at(6))
    });
    let mut late = opened();
    resolve(&mut late, vec![did(OutcomeKind::Answered, "", None)], at(1)).expect("resolves");
    refuses(&mut late, ErrorReason::OutsideWindow, |c| {
        c.reopen(&partner(), "?", &rules(), at(9))
    });
}

#[test]
fn levels_only_rise_and_each_has_targets_of_its_own() {
    let mut case = opened();
    answer(&mut case, at(1));
    case.escalate(Level::Grievance, &partner(), "no", &rules(), at(2))
        .expect("rises");
    assert_eq!(
        (case.state, case.response_time),
        (CaseState::WaitingRetailer, None)
    );
    assert_eq!((case.response_due, case.resolution_due), (at(6), at(22)));
    for level in [Level::Issue, Level::Grievance] {
        refuses(&mut case, ErrorReason::LevelNotHigher, |c| {
            c.escalate(level, &partner(), "no", &rules(), at(3))
        });
    }
    case.escalate(Level::Dispute, &partner(), "no", &rules(), at(3))
        .expect("rises");
    let last = case.log.last().expect("logged");
    assert_eq!(
        (last.from_level, last.to_level),
        (Some(Level::Grievance), Level::Dispute)
    );
    assert_eq!(last.reason, "no");
}

#[test]
fn an_arbiter_has_no_other_part_and_the_decision_binds() {
    let nobody = BTreeSet::new();
    let mut case = opened();
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.name_arbiter(chamber(""), &ops(), &nobody, at(1))
    });
    let mut case = disputed();
    case.assign("ana", &ops(), "", at(1)).expect("assigned");
    refuses(&mut case, ErrorReason::ArbiterMissing, |c| {
        c.decide(ruled(Ruling::ForRetailer, vec![]), &ops(), at(2))
    });
    refuses(&mut case, ErrorReason::DecisionPending, |c| {
        resolve(c, vec![did(OutcomeKind::Answered, "", None)], at(2))
    });
    for who in ["ana", "ops", "bo"] {
        let involved = BTreeSet::from(["bo".to_owned()]);
        refuses(&mut case, ErrorReason::SelfApproval, |c| {
            c.name_arbiter(chamber(who), &ops(), &involved, at(2))
        });
    }
    case.name_arbiter(chamber("wolf"), &ops(), &nobody, at(2))
        .expect("named");
    assert_eq!(next(&case), (Party::Arbiter, ToDo::Decide, at(31)));
    let wolf = somebody(Party::Retailer, "wolf");
    refuses(&mut case, ErrorReason::SelfApproval, |c| {
        c.assign("wolf", &ops(), "", at(3))
    });
    refuses(&mut case, ErrorReason::SelfApproval, |c| {
        post(
            c,
            says(Party::Retailer, Visibility::ShopperAndAll),
            None,
            &wolf,
            at(3),
        )
    });
    let least = did(OutcomeKind::Refund, "", Some(500)).amount;
    let required = vec![Required {
        kind: OutcomeKind::Refund,
        least,
    }];
    refuses(&mut case, ErrorReason::NotTheArbiter, |c| {
        c.decide(ruled(Ruling::ForShopper, required.clone()), &ops(), at(3))
    });
    refuses(&mut case, ErrorReason::InvalidField, |c| {
        c.decide(ruled(Ruling::ForShopper, vec![]), &wolf, at(3))
    });
    case.decide(ruled(Ruling::ForShopper, required.clone()), &wolf, at(3))
        .expect("decides");
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.decide(ruled(Ruling::ForRetailer, vec![]), &wolf, at(3))
    });
    assert_eq!(next(&case), (Party::Retailer, ToDo::CarryOut, at(31)));
    for short in [
        vec![did(OutcomeKind::Answered, "", None)],
        vec![did(OutcomeKind::Refund, "r1", Some(499))],
    ] {
        refuses(&mut case, ErrorReason::OutcomeMissing, |c| {
            resolve(c, short, at(4))
        });
    }
    let both = vec![
        did(OutcomeKind::Refund, "r1", Some(400)),
        did(OutcomeKind::Refund, "r2", Some(100)),
    ];
    refuses(&mut case, ErrorReason::SelfApproval, |c| {
        c.resolve(both.clone(), &wolf, "done", &rules(), at(4))
    });
    resolve(&mut case, both, at(4)).expect("all that was asked for");
    refuses(&mut case, ErrorReason::WrongState, |c| {
        c.reopen(&partner(), "no", &rules(), at(5))
    });
}

#[test]
fn an_arbiter_without_a_token_is_written_down_with_the_document() {
    let mut case = disputed();
    case.assign("ops", &ops(), "", at(1)).expect("assigned");
    case.name_arbiter(chamber(""), &ops(), &BTreeSet::new(), at(2))
        .expect("named");
    let decision = ruled(Ruling::ForRetailer, vec![]);
    refuses(&mut case, ErrorReason::NotTheArbiter, |c| {
        c.decide(decision.clone(), &agent(), at(3))
    });
    refuses(&mut case, ErrorReason::NotTheArbiter, |c| {
        c.decide(decision.clone(), &ops(), at(3))
    });
    case.assign("ana", &ops(), "", at(3)).expect("assigned");
    let bare = Decision {
        document: None,
        ..decision.clone()
    };
    refuses(&mut case, ErrorReason::InvalidField, |c| {
        c.decide(bare, &ops(), at(3))
    });
    case.decide(decision, &ops(), at(3)).expect("written down");
    resolve(&mut case, vec![did(OutcomeKind::Declined, "", None)], at(4)).expect("resolves");
}

#[test]
fn time_misses_targets_once_and_ends_silence() {
    let mut case = opened();
    assert!(!case.fire(&rules(), at(2).minus(Duration::from_micros(1))));
    assert!(case.fire(&rules(), at(2)));
    assert!(!case.fire(&rules(), at(3)), "nothing fires twice");
    assert_eq!(case.breach_count, 1);
    assert!(case.fire(&rules(), at(10)));
    assert_eq!((case.breach_count, case.state), (2, CaseState::Open));
    let missed: Vec<_> = case.log.iter().filter_map(|a| a.missed).collect();
    assert_eq!(
        missed,
        [(Target::FirstResponse, at(2)), (Target::Resolution, at(10))]
    );
    // The shopper is silent: it is resolved, and closed when nobody opens it again.
    let mut case = opened();
    answer(&mut case, at(1));
    assert!(case.fire(&rules(), at(6)));
    assert_eq!(
        (case.state, case.outcomes[0].kind),
        (CaseState::Resolved, OutcomeKind::Unanswered)
    );
    assert_eq!(case.breach_count, 0);
    assert!(case.fire(&rules(), at(14)));
    assert_eq!(
        (case.state, case.close_time),
        (CaseState::Closed, Some(at(14)))
    );
    // The partner is silent: it is the retailer's turn.
    let mut case = opened();
    let draft = says(Party::Retailer, Visibility::PartnerAndRetailer);
    post(&mut case, draft, None, &agent(), at(1)).expect("asks");
    assert!(case.fire(&rules(), at(4)));
    assert_eq!(
        (case.state, case.breach_count),
        (CaseState::WaitingRetailer, 1)
    );
}

#[test]
fn a_leap_of_the_clock_does_what_looking_at_each_moment_would_have_done() {
    // Silence ends the case before the resolution would have been late.
    let mut case = opened();
    answer(&mut case, at(1));
    assert!(case.fire(&rules(), at(500)));
    assert_eq!((case.state, case.breach_count), (CaseState::Resolved, 0));
    assert_eq!(
        case.reopen_until,
        Some(at(508)),
        "nobody is robbed of the time for reopening"
    );
    // Both targets are missed, in their order.
    let mut case = opened();
    assert!(case.fire(&rules(), at(500)));
    assert_eq!((case.state, case.breach_count), (CaseState::Open, 2));
}

#[test]
fn a_silent_shopper_never_ends_a_dispute() {
    let mut case = disputed();
    answer(&mut case, at(2));
    assert_eq!(case.state, CaseState::WaitingShopper);
    assert!(case.fire(&rules(), at(7)));
    assert_eq!(case.state, CaseState::WaitingRetailer);
    assert_eq!(next(&case).1, ToDo::NameArbiter);
}

#[test]
fn who_speaks_and_who_hears_fit() {
    let mut case = opened();
    let wrong = [
        (says(Party::Retailer, Visibility::ShopperAndAll), partner()),
        (
            says(Party::Shopper, Visibility::PartnerAndRetailer),
            partner(),
        ),
        (says(Party::Partner, Visibility::RetailerOnly), partner()),
        (says(Party::Shopper, Visibility::ShopperAndAll), agent()),
        (says(Party::Arbiter, Visibility::ShopperAndAll), agent()),
    ];
    for (draft, actor) in wrong {
        refuses(&mut case, ErrorReason::InvalidField, |c| {
            post(c, draft, None, &actor, at(1))
        });
    }
    let wrong = [
        (
            says(Party::Shopper, Visibility::ShopperAndAll),
            Party::Retailer,
            partner(),
        ),
        (
            says(Party::Retailer, Visibility::RetailerOnly),
            Party::Partner,
            agent(),
        ),
        (
            says(Party::Retailer, Visibility::PartnerAndRetailer),
            Party::Shopper,
            agent(),
        ),
        (
            says(Party::Retailer, Visibility::ShopperAndAll),
            Party::Arbiter,
            agent(),
        ),
    ];
    for (draft, party, actor) in wrong {
        refuses(&mut case, ErrorReason::InvalidField, |c| {
            post(c, draft, Some(party), &actor, at(1))
        });
    }
    for _ in 0..11 {
        post(
            &mut case,
            says(Party::Shopper, Visibility::ShopperAndAll),
            None,
            &partner(),
            at(1),
        )
        .expect("fits");
    }
    refuses(&mut case, ErrorReason::WrongState, |c| {
        post(
            c,
            says(Party::Shopper, Visibility::ShopperAndAll),
            None,
            &partner(),
            at(1),
        )
    });
}

#[test]
fn a_topic_is_heard_once_and_ends_nobodys_case() {
    let mut topic = Topic {
        id: TopicId::from_uuid(1),
        title: "t".to_owned(),
        product_id: None,
        room_id: None,
        answer: String::new(),
        answered_by: String::new(),
        answer_count: 0,
        is_pending: false,
        create_time: START,
        version: 1,
    };
    let id = CaseMessageId::from_uuid(77);
    let mut case = opened();
    assert_eq!(case.hear(&topic, id, at(1)), None);
    case.group(topic.id, &ops(), at(1)).expect("grouped");
    assert_eq!(case.hear(&topic, id, at(1)), None, "nothing was said yet");
    topic.say("They are genuine".to_owned(), &ops());
    let heard = case.hear(&topic, id, at(1)).expect("heard");
    assert_eq!(
        (heard.author, heard.visibility),
        (Party::Retailer, Visibility::ShopperAndAll)
    );
    assert_eq!(case.hear(&topic, id, at(1)), None, "once");
    assert_eq!(
        (case.state, case.response_time),
        (CaseState::WaitingRetailer, Some(at(1)))
    );
    topic.say("They are still".to_owned(), &ops());
    resolve(&mut case, vec![did(OutcomeKind::Answered, "", None)], at(2)).expect("resolves");
    assert!(case.hear(&topic, id, at(3)).is_some());
    assert_eq!(case.state, CaseState::Resolved);
}
