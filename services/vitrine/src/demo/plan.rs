//! What the channel's day will hold, decided before it begins: the same seed gives the same shoppers, lines and stories.
//!
//! Stories are laid out so that their outcome does not hang on who comes first: the drop's first wave asks for
//! exactly what there is, the second for exactly what was given back.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::goods::{DROP_PRODUCT, PRODUCTS, REDIRECT_PRODUCT};

/// What a shopper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Story {
    /// Sees a price, orders, pays, gives an address.
    Buy,
    /// Asks for a quote first.
    QuoteAndBuy,
    /// Orders and walks away; the hold runs out.
    Abandon,
    /// Orders, then cancels before paying.
    CancelBeforePaying,
    /// Pays after the hold ran out.
    PayLate,
    /// The partner charges twice by mistake.
    PayTwice,
    /// The partner reports the same payment twice.
    ReportTwice,
    /// The partner charges too little, then the right amount.
    PayWrongAmount,
    /// Pays, then cancels all before it ships.
    CancelAfterPaying,
    /// Pays for two, then cancels one of them.
    CancelOneOfTwo,
    /// Cancels when the parcel is long gone.
    CancelTooLate,
    /// The parcel is lost on the way.
    ParcelLost,
    /// Sends the goods back, all of the first line.
    SendBack,
    /// Sends the goods back, and the first attempt to pay back fails.
    SendBackAndRefundFails,
    /// Comes when nothing is left.
    ComeTooLate,
    /// Bought as many as one person may, and asks for more.
    AskForMore,
}

impl Story {
    /// Whether an order that is placed under this story ends up paid in the first wave.
    pub fn pays_at_once(self) -> bool {
        !matches!(
            self,
            Story::Abandon | Story::CancelBeforePaying | Story::PayLate | Story::ComeTooLate
        )
    }
}

/// One shopper with one order.
#[derive(Clone, Debug)]
pub struct ShopperPlan {
    pub partner: usize,
    pub shopper_ref: String,
    pub partner_order_id: String,
    pub story: Story,
    /// Product index and quantity.
    pub lines: Vec<(usize, i64)>,
}

/// What kind of session a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With a cart.
    Shop,
    /// With a cart, presented by a guest for one day.
    Guest,
    /// Only one brand's products.
    Brand(&'static str),
    /// A course: goods are shown, none are sold.
    Course,
    /// The drop.
    Drop,
}

/// One slot of the channel's day.
pub struct RoomPlan {
    /// Hour of the day, in the channel's time zone.
    pub hour: u32,
    pub title: &'static str,
    pub theme: &'static str,
    pub host: &'static str,
    pub kind: Kind,
    pub products: Vec<usize>,
    /// Shoppers of the first wave.
    pub first_wave: Vec<ShopperPlan>,
    /// Shoppers who take what was given back, in the drop's room.
    pub second_wave: Vec<ShopperPlan>,
    /// Shoppers who find nothing left, in the drop's room.
    pub latecomers: Vec<ShopperPlan>,
    pub questions: Vec<&'static str>,
}

impl RoomPlan {
    pub fn is_drop(&self) -> bool {
        self.kind == Kind::Drop
    }
}

/// A slot without its shoppers.
struct Slot(
    u32,
    &'static str,
    &'static str,
    &'static str,
    Kind,
    &'static [usize],
    [&'static str; 3],
);

/// Eight slots of three hours.
const DAY: [Slot; 8] = [
    Slot(
        0,
        "Vintage after midnight",
        "vintage",
        "Inès Marchal",
        Kind::Shop,
        &[0, 1],
        [
            "Is the clasp the original one?",
            "Does the strap come off?",
            "How do I care for the leather?",
        ],
    ),
    Slot(
        3,
        "How leather is kept",
        "care",
        "Inès Marchal",
        Kind::Course,
        &[0],
        [
            "Which wax do you use?",
            "How often?",
            "Does it work on suede?",
        ],
    ),
    Slot(
        6,
        "The morning wardrobe",
        "fashion",
        "Mireille Dufour",
        Kind::Shop,
        &[5, 1],
        ["Does it crease?", "Is it lined?", "Which size do you wear?"],
    ),
    Slot(
        9,
        "Handbags, and one trunk",
        "handbags",
        "Mireille Dufour",
        Kind::Shop,
        &[6, 0, REDIRECT_PRODUCT],
        [
            "Does a laptop fit?",
            "How long does the trunk take?",
            "Is the lining silk?",
        ],
    ),
    Slot(
        12,
        "Atelier Nord at noon",
        "handbags",
        "Astrid Holm",
        Kind::Brand("Atelier Nord"),
        &[6],
        [
            "Where is it made?",
            "Which colours are there?",
            "Can it be repaired?",
        ],
    ),
    Slot(
        15,
        "Shoes",
        "shoes",
        "Inès Marchal",
        Kind::Shop,
        &[7],
        [
            "Do they run large?",
            "Can they be resoled?",
            "Is that oxblood?",
        ],
    ),
    Slot(
        18,
        "Straight from the orchard",
        "guest",
        "Jun Okada",
        Kind::Guest,
        &[3, 4],
        [
            "When were they picked?",
            "Do you ship on Saturdays?",
            "How long do they keep?",
        ],
    ),
    Slot(
        21,
        "Fourteen thousand, one minute",
        "beauty",
        "Mireille Dufour",
        Kind::Drop,
        &[DROP_PRODUCT],
        [
            "Does it smudge?",
            "Is it refillable?",
            "Will there be more?",
        ],
    ),
];

/// How large the day is.
#[derive(Clone, Copy)]
pub struct Scale {
    pub drop_units: i64,
    pub room_shoppers: usize,
    pub viewers_per_outlet: usize,
}

impl Default for Scale {
    fn default() -> Self {
        Scale {
            drop_units: PRODUCTS[DROP_PRODUCT].units,
            room_shoppers: 120,
            viewers_per_outlet: 16,
        }
    }
}

/// The most units one shopper may buy in the drop.
pub const DROP_PER_PERSON: i64 = 2;

/// The whole day.
pub struct Plan {
    pub scale: Scale,
    pub rooms: Vec<RoomPlan>,
}

impl Plan {
    /// Lays out the day. `run` keeps references apart when one suite is played against several times.
    pub fn new(seed: u64, scale: Scale, run: &str) -> Plan {
        let mut dealer = Dealer {
            rng: StdRng::seed_from_u64(seed),
            run: run.to_owned(),
            count: 0,
        };
        let rooms = DAY
            .iter()
            .map(
                |Slot(hour, title, theme, host, kind, products, questions)| {
                    let mut room = RoomPlan {
                        hour: *hour,
                        title,
                        theme,
                        host,
                        kind: *kind,
                        products: products.to_vec(),
                        first_wave: Vec::new(),
                        second_wave: Vec::new(),
                        latecomers: Vec::new(),
                        questions: questions.to_vec(),
                    };
                    match kind {
                        Kind::Course => {}
                        Kind::Drop => dealer.fill_drop(&mut room, scale.drop_units),
                        _ => {
                            let sold: Vec<usize> = products
                                .iter()
                                .copied()
                                .filter(|p| !PRODUCTS[*p].redirects)
                                .collect();
                            room.first_wave = dealer.room_wave(&sold, scale.room_shoppers);
                        }
                    }
                    room
                },
            )
            .collect();
        Plan { scale, rooms }
    }

    /// How many shoppers take part in all.
    pub fn shoppers(&self) -> usize {
        self.rooms
            .iter()
            .map(|r| r.first_wave.len() + r.second_wave.len() + r.latecomers.len())
            .sum()
    }
}

struct Dealer {
    rng: StdRng,
    run: String,
    count: usize,
}

impl Dealer {
    fn shopper(&mut self, story: Story, lines: Vec<(usize, i64)>) -> ShopperPlan {
        self.count += 1;
        let partner = match self.rng.random_range(0..100) {
            0..50 => 0,
            50..85 => 1,
            _ => 2,
        };
        ShopperPlan {
            partner,
            shopper_ref: format!("{}-shopper-{:05}", self.run, self.count),
            partner_order_id: format!("{}-{:05}", self.run, self.count),
            story,
            lines,
        }
    }

    fn quantity(&mut self, product: usize) -> i64 {
        if PRODUCTS[product].by_weight {
            // A kilo to five, in steps of half a kilo.
            500 * self.rng.random_range(2..=10)
        } else {
            self.rng.random_range(1..=2)
        }
    }

    fn room_wave(&mut self, products: &[usize], shoppers: usize) -> Vec<ShopperPlan> {
        const STORIES: [Story; 20] = [
            Story::Buy,
            Story::Buy,
            Story::Buy,
            Story::Buy,
            Story::Buy,
            Story::Buy,
            Story::Buy,
            Story::QuoteAndBuy,
            Story::QuoteAndBuy,
            Story::QuoteAndBuy,
            Story::Abandon,
            Story::CancelBeforePaying,
            Story::PayLate,
            Story::PayTwice,
            Story::ReportTwice,
            Story::PayWrongAmount,
            Story::CancelAfterPaying,
            Story::CancelOneOfTwo,
            Story::CancelTooLate,
            Story::SendBack,
        ];
        (0..shoppers)
            .map(|i| {
                let story = match i {
                    7 => Story::ParcelLost,
                    4 => Story::SendBackAndRefundFails,
                    _ => STORIES[i % STORIES.len()],
                };
                let mut lines = BTreeMap::new();
                let first = products[self.rng.random_range(0..products.len())];
                let quantity = match story {
                    Story::CancelOneOfTwo if PRODUCTS[first].by_weight => 1_000,
                    Story::CancelOneOfTwo => 2,
                    _ => self.quantity(first),
                };
                lines.insert(first, quantity);
                if story != Story::CancelOneOfTwo && self.rng.random_bool(0.3) {
                    let other = products[self.rng.random_range(0..products.len())];
                    let quantity = self.quantity(other);
                    lines.entry(other).or_insert(quantity);
                }
                self.shopper(story, lines.into_iter().collect())
            })
            .collect()
    }

    fn fill_drop(&mut self, room: &mut RoomPlan, units: i64) {
        let mut first_wave = Vec::new();
        let mut left = units;
        let mut given_back = 0;
        let mut i = 0_usize;
        while left > 0 {
            let story = match i % 100 {
                3 | 53 => Story::Abandon,
                13 => Story::CancelBeforePaying,
                23 => Story::PayLate,
                33 => Story::PayTwice,
                43 => Story::CancelAfterPaying,
                63 => Story::ReportTwice,
                73 => Story::AskForMore,
                _ => Story::Buy,
            };
            let wish = if story == Story::AskForMore {
                DROP_PER_PERSON
            } else {
                1 + i64::from(self.rng.random_bool(0.4))
            };
            let quantity = wish.min(left);
            left -= quantity;
            // Whoever gets the last unit instead of two simply buys it.
            let story = if quantity < wish { Story::Buy } else { story };
            if !story.pays_at_once() {
                given_back += quantity;
            }
            first_wave.push(self.shopper(story, vec![(DROP_PRODUCT, quantity)]));
            i += 1;
        }
        let mut second_wave = Vec::new();
        while given_back > 0 {
            let quantity = (1 + i64::from(self.rng.random_bool(0.4))).min(given_back);
            given_back -= quantity;
            second_wave.push(self.shopper(Story::Buy, vec![(DROP_PRODUCT, quantity)]));
        }
        let latecomers = (0..150)
            .map(|_| self.shopper(Story::ComeTooLate, vec![(DROP_PRODUCT, 1)]))
            .collect();
        (room.first_wave, room.second_wave, room.latecomers) =
            (first_wave, second_wave, latecomers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_day() {
        let (a, b) = (
            Plan::new(7, Scale::default(), "r"),
            Plan::new(7, Scale::default(), "r"),
        );
        let flat = |p: &Plan| {
            format!(
                "{:?}",
                p.rooms
                    .iter()
                    .map(|r| (&r.first_wave, &r.second_wave))
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(flat(&a), flat(&b));
        assert_ne!(flat(&a), flat(&Plan::new(8, Scale::default(), "r")));
    }

    #[test]
    fn the_drop_asks_for_what_there_is_and_then_for_what_was_given_back() {
        for (seed, drop_units) in (0..400).flat_map(|seed| [(seed, 300), (seed, 14_000)]) {
            let scale = Scale {
                drop_units,
                room_shoppers: 1,
                ..Scale::default()
            };
            let plan = Plan::new(seed, scale, "r");
            let room = plan
                .rooms
                .iter()
                .find(|r| r.is_drop())
                .expect("the day has a drop");
            let sum = |shoppers: &[ShopperPlan], keep: fn(&ShopperPlan) -> bool| -> i64 {
                shoppers
                    .iter()
                    .filter(|s| keep(s))
                    .map(|s| s.lines[0].1)
                    .sum()
            };
            assert_eq!(sum(&room.first_wave, |_| true), drop_units);
            assert_eq!(
                sum(&room.second_wave, |_| true),
                sum(&room.first_wave, |s| !s.story.pays_at_once())
            );
            let paid = room
                .first_wave
                .iter()
                .filter(|s| s.story.pays_at_once())
                .count()
                + room.second_wave.len();
            assert!(
                paid as i64 >= drop_units / DROP_PER_PERSON,
                "{paid} paid orders"
            );
        }
    }
}
