//! Every order of events that matters can see, walked exhaustively over the real transitions.
//!
//! Two partners, a pool of two units, three orders of one unit each that compete for them. Goods, matters, legs and
//! promises are the model's own types and functions; the order service is the few lines of `world.rs` that its contract
//! promises: it takes each settlement once however often it is read, caps it at what is left, and refunds are authorised,
//! executed, failed, issued again or given up. News of refunds arrive late, twice and in any order. A crash is a unit of
//! work that leaves nothing, which is to stay in the same state; a retry after an answer that was lost is the same act
//! again, which the walk tries in every state.
//!
//! In every state every act is tried. Where the table of `allowed` says no, it must be refused with nothing changed.
//! Deadlines may pass in any state that has one, however far the clock jumps. Checked in every state: the invariants of
//! the module; and over the whole graph: from every state all matters can come to their end.
//!
//! The walks of the suite, in a debug build on a busy machine: one order with everything in the menu (2,731 states, 70,086
//! refusals, 1 s); one order with two matters that share its money (17,333 states, 712,500 refusals, 11 s); three orders
//! that share two units, without failed refunds and acts that are refused (39,247 states, 19 s). Compile with
//! `VITRINE_EXPLORE=full` for everything in the menu in all three. Three orders then have about the third power of the states
//! of one, which nobody walks to the end, so those walks stop after [`FULL_STATES_MAX`] states: invariants and refusals are
//! checked in all of them, dead ends only where the walk came to its end, and what is printed says which.

mod acts;
mod order;
mod world;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use world::{Menu, World};

/// The most states of a walk with everything in its menu: some minutes, and a few gigabytes.
const FULL_STATES_MAX: usize = 1_000_000;

/// What a walk came to.
#[derive(Debug)]
#[expect(dead_code, reason = "the counts are printed")]
struct Walk {
    states: usize,
    moves: usize,
    refused: usize,
    /// Whether it came to its end, and so was looked at for dead ends.
    complete: bool,
}

/// Breadth first over hashed states.
fn walk(menu: &Menu) -> Walk {
    walk_at_most(menu, usize::MAX)
}

/// The same over so many states; what was found is checked, what was not found is not.
fn walk_at_most(menu: &Menu, states_max: usize) -> Walk {
    let first = World::new(menu);
    let key = |world: &World| {
        let mut hasher = DefaultHasher::new();
        world.key().hash(&mut hasher);
        hasher.finish()
    };
    let mut numbers = HashMap::from([(key(&first), 0_u32)]);
    let mut frontier = vec![first];
    let mut comes_from: Vec<Vec<u32>> = vec![Vec::new()];
    let mut at_rest: Vec<u32> = Vec::new();
    let (mut moves, mut refused, mut number) = (0, 0, 0_u32);
    let mut complete = true;
    while !frontier.is_empty() {
        if numbers.len() > states_max {
            complete = false;
            frontier.iter().for_each(World::check);
            break;
        }
        let mut next = Vec::new();
        for world in frontier {
            world.check();
            if world.is_at_rest() {
                at_rest.push(number);
            }
            let tried = world.all_moves();
            refused += tried.refused;
            for after in tried.worlds {
                moves += 1;
                let fresh = u32::try_from(numbers.len()).expect("fewer than four billion states");
                let known = *numbers.entry(key(&after)).or_insert(fresh);
                if known == fresh {
                    comes_from.push(Vec::new());
                    next.push(after);
                }
                comes_from[known as usize].push(number);
            }
            number += 1;
        }
        frontier = next;
    }
    let states = numbers.len();
    let ends = match complete {
        true => reaching(&comes_from, at_rest),
        false => states,
    };
    assert_eq!(
        ends,
        states,
        "{} states can never come to an end",
        states - ends
    );
    Walk {
        states,
        moves,
        refused,
        complete,
    }
}

/// How many states can come to one of `ends`.
fn reaching(comes_from: &[Vec<u32>], ends: Vec<u32>) -> usize {
    let mut seen = vec![false; comes_from.len()];
    let mut open = ends;
    for end in &open {
        seen[*end as usize] = true;
    }
    while let Some(state) = open.pop() {
        for before in &comes_from[state as usize] {
            if !std::mem::replace(&mut seen[*before as usize], true) {
                open.push(*before);
            }
        }
    }
    seen.into_iter().filter(|seen| *seen).count()
}

#[test]
fn one_order_has_no_dead_end_and_no_illegal_move() {
    let walk = walk(&Menu::everything(1, 1));
    println!("one order: {walk:?}");
    assert!(walk.states > 500, "{walk:?}");
}

#[test]
fn two_matters_share_the_money_of_a_line() {
    let walk = match option_env!("VITRINE_EXPLORE") {
        Some("full") => walk_at_most(&Menu::everything(1, 2), FULL_STATES_MAX),
        _ => walk(&Menu::twice()),
    };
    println!("one order, two matters: {walk:?}");
    assert!(walk.states > 1_000, "{walk:?}");
}

#[test]
fn three_orders_of_two_partners_share_two_units() {
    let walk = match option_env!("VITRINE_EXPLORE") {
        Some("full") => walk_at_most(&Menu::everything(3, 1), FULL_STATES_MAX),
        _ => walk(&Menu::short(3)),
    };
    println!("three orders: {walk:?}");
    assert!(walk.states > 1_000, "{walk:?}");
}
