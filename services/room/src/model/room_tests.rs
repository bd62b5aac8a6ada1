use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Command {
    Schedule,
    GoLive,
    Pause,
    Resume,
    End,
}

/// The state diagram, written down once more and apart from the code.
fn allowed(state: RoomState, command: Command) -> Option<RoomState> {
    match (state, command) {
        (RoomState::Draft | RoomState::Scheduled, Command::Schedule) => Some(RoomState::Scheduled),
        (RoomState::Scheduled, Command::GoLive) => Some(RoomState::Live),
        (RoomState::Live, Command::Pause) => Some(RoomState::Paused),
        (RoomState::Paused, Command::Resume) => Some(RoomState::Live),
        (RoomState::Ended, Command::End) => None,
        (_, Command::End) => Some(RoomState::Ended),
        _ => None,
    }
}

fn draft() -> Room {
    Room {
        id: RoomId::from_uuid(1),
        title: "Evening".into(),
        theme: String::new(),
        drop_id: None,
        session: SessionType::Shopping,
        channel_id: None,
        venue: String::new(),
        slot: None,
        overridden: false,
        next: None,
        hosts: vec![HostId::from_uuid(1)],
        places: vec![place(1, 1), place(2, 2), place(3, 1)],
        brands: Vec::new(),
        schedule: Schedule {
            start: None,
            end: None,
        },
        state: RoomState::Draft,
        announced: false,
        state_reason: String::new(),
        live_time: None,
        end_time: None,
        create_time: Micros(0),
        version: 1,
    }
}

fn place(outlet: u128, partner: u128) -> Place {
    Place {
        outlet_id: OutletId::from_uuid(outlet),
        partner_id: PartnerId::from_uuid(partner),
    }
}

fn apply(room: &mut Room, command: Command, now: Micros) -> Result<(), Refusal> {
    match command {
        Command::Schedule => room.schedule(now, Micros(now.0 + 10), now),
        Command::GoLive => room.go_live(now),
        Command::Pause => room.pause("break".into()),
        Command::Resume => room.resume(),
        Command::End => room.end("over".into(), now),
    }
}

/// What the tables check too.
fn check(room: &Room) {
    let before_air = matches!(room.state, RoomState::Draft | RoomState::Scheduled);
    assert_eq!(room.state == RoomState::Ended, room.end_time.is_some());
    assert!(!room.state.is_on_air() || room.live_time.is_some());
    assert!(!before_air || room.live_time.is_none());
    assert!(room.state != RoomState::Draft || !room.announced);
    let planned = room.schedule.start.is_some() && room.schedule.end.is_some();
    assert!(
        matches!(room.state, RoomState::Draft | RoomState::Ended) || (room.announced && planned)
    );
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Schedule),
        Just(Command::GoLive),
        Just(Command::Pause),
        Just(Command::Resume),
        Just(Command::End),
    ]
}

proptest! {
    /// Whatever is asked for in whatever order, a room does what the diagram allows and nothing else; a refusal
    /// changes nothing; the first time on air is kept.
    #[test]
    fn follows_its_diagram(commands in proptest::collection::vec(command(), 0..40)) {
        let mut room = draft();
        let mut first_live = None;
        for (at, command) in commands.into_iter().enumerate() {
            let now = Micros(at as i64 + 1);
            let before = room.clone();
            let answer = apply(&mut room, command, now);
            match allowed(before.state, command) {
                Some(state) => {
                    prop_assert_eq!(&answer, &Ok(()));
                    prop_assert_eq!(room.state, state);
                    prop_assert_eq!(room.version, before.version + 1);
                    if matches!(command, Command::GoLive) {
                        prop_assert_eq!(first_live, None);
                        first_live = Some(now);
                    }
                }
                None => {
                    prop_assert_eq!(answer.expect_err("not allowed").reason, ErrorReason::WrongState);
                    prop_assert_eq!(&room, &before);
                }
            }
            prop_assert_eq!(room.live_time, first_live);
            check(&room);
        }
    }
}

#[test]
fn a_schedule_that_is_over_is_refused() {
    let mut room = draft();
    let refusal = room
        .schedule(Micros(1), Micros(5), Micros(5))
        .expect_err("over");
    assert_eq!(refusal.violations[0].field, "schedule.end_time");
    assert_eq!(room, draft());
}

#[test]
fn brand_rules_name_what_may_be_shown() {
    let mut room = draft();
    assert_eq!(room.require_brand("Acme"), Ok(()));
    room.brands = vec!["Acme".into(), "Globex".into()];
    assert_eq!(room.require_brand("Globex"), Ok(()));
    for other in ["Initech", "acme", ""] {
        assert_eq!(
            room.require_brand(other).expect_err(other).reason,
            ErrorReason::NotAllowedHere
        );
    }
}

#[test]
fn partners_see_announced_rooms_on_their_own_outlets_with_only_those() {
    let mut room = draft();
    let (first, stranger) = (
        Eyes::Partner(PartnerId::from_uuid(1)),
        Eyes::Partner(PartnerId::from_uuid(9)),
    );
    assert!(room.is_visible_to(&Eyes::Retailer) && !room.is_visible_to(&first));
    room.schedule(Micros(1), Micros(9), Micros(0))
        .expect("a schedule");
    assert!(room.is_visible_to(&first) && !room.is_visible_to(&stranger));
    assert_eq!(
        room.places_for(&first).collect::<Vec<_>>(),
        [place(1, 1), place(3, 1)]
    );
    assert_eq!(room.places_for(&Eyes::Retailer).count(), 3);
    let foreign = room
        .place_of(&OutletId::from_uuid(2), &first)
        .expect_err("foreign");
    let unknown = room
        .place_of(&OutletId::from_uuid(99), &first)
        .expect_err("unknown");
    assert_eq!(foreign, unknown);
}
