//! Everything that can happen to a case, in any order: what a case promises holds after each step.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Say(Party, Visibility, Option<Party>),
    Assign(&'static str),
    Escalate(Level),
    Arbiter(&'static str),
    Decide(&'static str, Ruling, Option<i64>),
    Resolve(&'static str, Option<i64>),
    Reopen,
    Close,
    Group,
    Wait(u32),
}

const PEOPLE: [&str; 4] = ["ana", "bo", "ops", "wolf"];

fn step() -> impl Strategy<Value = Step> {
    let who = || proptest::sample::select(&PEOPLE[..]);
    let cents = || proptest::option::of(0i64..800);
    prop_oneof![
        6 => (
            proptest::sample::select(Party::ALL),
            proptest::sample::select(Visibility::ALL),
            proptest::option::of(proptest::sample::select(Party::ALL)),
        ).prop_map(|(author, seen, wait)| Step::Say(author, seen, wait)),
        2 => proptest::sample::select(&["", "ana", "bo", "wolf"][..]).prop_map(Step::Assign),
        2 => proptest::sample::select(Level::ALL).prop_map(Step::Escalate),
        3 => proptest::sample::select(&["", "ana", "wolf"][..]).prop_map(Step::Arbiter),
        3 => (who(), proptest::sample::select(Ruling::ALL), cents())
            .prop_map(|(who, ruling, cents)| Step::Decide(who, ruling, cents)),
        3 => (who(), cents()).prop_map(|(who, cents)| Step::Resolve(who, cents)),
        2 => Just(Step::Reopen),
        1 => Just(Step::Close),
        1 => Just(Step::Group),
        5 => (0u32..20).prop_map(Step::Wait),
    ]
}

fn take(case: &mut Case, step: &Step, now: &mut Micros) -> Result<(), Refusal> {
    let amount = |cents: i64| did(OutcomeKind::Refund, "", Some(cents)).amount;
    match step {
        Step::Say(author, seen, wait) => {
            let actor = match author {
                Party::Retailer => agent(),
                _ => partner(),
            };
            post(case, says(*author, *seen), *wait, &actor, *now).map(drop)
        }
        Step::Assign(who) => case.assign(who, &ops(), "", *now),
        Step::Escalate(level) => case.escalate(*level, &partner(), "no", &rules(), *now),
        Step::Arbiter(who) => case.name_arbiter(chamber(who), &ops(), &acted(case), *now),
        Step::Decide(who, ruling, cents) => {
            let required = cents.map(|cents| Required {
                kind: OutcomeKind::Refund,
                least: amount(cents),
            });
            let decision = ruled(*ruling, required.into_iter().collect());
            case.decide(decision, &somebody(Party::Retailer, who), *now)
        }
        Step::Resolve(who, cents) => {
            let outcome = match cents {
                Some(cents) => did(OutcomeKind::Refund, &cents.to_string(), Some(*cents)),
                None => did(OutcomeKind::Answered, "", None),
            };
            let who = somebody(Party::Retailer, who);
            case.resolve(vec![outcome], &who, "done", &rules(), *now)
        }
        Step::Reopen => case.reopen(&partner(), "no", &rules(), *now),
        Step::Close => case.close(&partner(), "", *now),
        Step::Group => case.group(TopicId::from_uuid(1), &ops(), *now),
        Step::Wait(hours) => {
            *now = now.plus(HOUR * *hours);
            case.fire(&rules(), *now);
            assert!(!case.fire(&rules(), *now), "nothing fires twice");
            Ok(())
        }
    }
}

/// Who acted for the retailer, as the log has it.
fn acted(case: &Case) -> BTreeSet<String> {
    let own = case.log.iter().filter(|a| a.party == Party::Retailer);
    own.map(|action| action.subject.clone()).collect()
}

fn holds(before: &Case, case: &Case, now: Micros) {
    assert!(case.level >= before.level, "levels only rise");
    assert_eq!(
        case.next_action().is_none(),
        case.state == CaseState::Closed
    );
    assert_eq!(case.queue_time().is_some(), case.is_open());
    // Whatever is not over has something that ends it, or a target that was told as missed.
    match case.state {
        CaseState::Closed => assert!(case.timers.is_empty()),
        CaseState::Resolved => assert_eq!(
            case.timers.keys().copied().collect::<Vec<_>>(),
            [Timer::Close]
        ),
        CaseState::WaitingPartner | CaseState::WaitingShopper => {
            assert_eq!(case.timers.get(&Timer::Wait).copied(), case.wait_until);
            assert!(case.wait_until.is_some());
        }
        CaseState::Open | CaseState::WaitingRetailer | CaseState::WaitingArbiter => {
            assert_eq!(case.wait_until, None);
            assert!(!case.timers.contains_key(&Timer::Wait));
            let misses = case.log.iter().filter(|a| a.missed.is_some()).count();
            assert!(case.timers.contains_key(&Timer::Resolution) || misses > 0);
        }
    }
    let is_over = matches!(case.state, CaseState::Resolved | CaseState::Closed);
    assert_eq!(case.resolve_time.is_some(), is_over);
    assert_eq!(case.reopen_until.is_some(), is_over);
    assert_eq!(case.close_time.is_some(), case.state == CaseState::Closed);
    if is_over {
        assert!(!case.outcomes.is_empty(), "resolved with an outcome");
        assert!(
            case.level != Level::Dispute || case.decision.is_some(),
            "a dispute is decided"
        );
    }
    if case.state == CaseState::WaitingArbiter {
        assert!(case.arbiter.is_some() && case.decision.is_none());
    }
    assert!(case.arbiter.is_none() || case.level == Level::Dispute);
    assert!(
        !case.is_arbiter(&case.agent),
        "the arbiter is not the agent"
    );
    assert!(
        case.timers.values().all(|due| *due > now),
        "what is due has fired"
    );
    for (number, action) in (1..).zip(&case.log) {
        assert_eq!(action.number, number, "the log has no gap");
    }
    assert!(
        case.log.starts_with(&before.log),
        "the log is only added to"
    );
    let misses = case.log.iter().filter(|a| a.missed.is_some()).count();
    assert_eq!(i64::try_from(misses), Ok(case.breach_count));
}

/// No target that was set once is missed twice: each miss has a due time of its own for its kind.
fn missed_once(case: &Case) {
    let mut seen = BTreeSet::new();
    for (number, missed) in case
        .log
        .iter()
        .filter_map(|a| a.missed.map(|m| (a.number, m)))
    {
        let set = case.log.iter().rev().find(|a| {
            let sets = matches!(
                a.change,
                Change::Opened | Change::Escalated | Change::Reopened
            );
            let waits = missed.0 == Target::PartnerAnswer && a.change == Change::Message;
            a.number < number && (sets || waits)
        });
        let set = set.map(|action| action.number);
        assert!(seen.insert((missed.0, set)), "missed once: {missed:?}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_case_keeps_its_promises(steps in proptest::collection::vec(step(), 1..60)) {
        let mut now = START;
        let mut case = opened();
        for step in &steps {
            let before = case.clone();
            let answer = take(&mut case, step, &mut now);
            if let Err(refusal) = answer {
                prop_assert_eq!(&case, &before, "a refusal changes nothing: {}", refusal);
                if before.state == CaseState::Closed {
                    prop_assert!(matches!(refusal.reason, ErrorReason::CaseClosed));
                }
            } else if before.state == CaseState::Closed {
                prop_assert_eq!(&case, &before, "nothing changes about a closed case");
            }
            // Time is looked at before anything else is asked of the case.
            case.fire(&rules(), now);
            holds(&before, &case, now);
        }
        missed_once(&case);
    }

    /// However often somebody looks, the same comes out in the end.
    #[test]
    fn looking_seldom_misses_the_same_targets(hours in proptest::collection::vec(0u32..9, 0..20)) {
        let answered = |mut case: Case| {
            let draft = says(Party::Retailer, Visibility::PartnerAndRetailer);
            post(&mut case, draft, None, &agent(), at(1)).expect("asks");
            case
        };
        for case in [opened(), answered(opened()), disputed()] {
            let (mut often, mut seldom) = (case.clone(), case);
            let mut passed = 1;
            for step in &hours {
                passed += step;
                often.fire(&rules(), at(passed));
            }
            seldom.fire(&rules(), at(passed));
            let misses = |case: &Case| case.log.iter().filter_map(|a| a.missed).collect::<Vec<_>>();
            prop_assert_eq!(misses(&often), misses(&seldom));
            prop_assert_eq!(often.state, seldom.state);
        }
    }
}
