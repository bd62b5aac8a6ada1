//! What the evening will hold, decided before it begins: the same seed gives the same shoppers, lines and stories.
//!
//! Stories are laid out so that their outcome does not hang on who comes first: the drop's first wave asks for
//! exactly what there is, the second for exactly what was given back.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A partner platform that takes part.
pub struct PartnerPlan {
    pub code: &'static str,
    pub name: &'static str,
    pub legal_entity: &'static str,
    pub currency: &'static str,
    pub region: &'static str,
}

/// The two platforms: one settles in euros, one in yen, which has no minor unit.
pub const PARTNERS: [PartnerPlan; 2] = [
    PartnerPlan {
        code: "lumen",
        name: "Lumen",
        legal_entity: "Lumen Video SAS",
        currency: "EUR",
        region: "FR",
    },
    PartnerPlan {
        code: "kawa",
        name: "Kawa",
        legal_entity: "Kawa Social KK",
        currency: "JPY",
        region: "JP",
    },
];

/// Something that is sold this evening. Prices are in minor units, one for each partner.
pub struct ProductPlan {
    pub title: &'static str,
    pub brand: &'static str,
    pub category: &'static str,
    pub sku: &'static str,
    pub prices: [i64; 2],
    pub discount_basis_points: i32,
    pub shipping: [i64; 2],
    pub tax_basis_points: i32,
    pub tax_included: bool,
    /// Sold by weight: units are grams and prices are for 500 of them.
    pub by_weight: bool,
    pub units: i64,
}

/// Index of the product that the drop sells.
pub const DROP_PRODUCT: usize = 2;

/// The goods, two for each room around the drop's one.
pub const PRODUCTS: [ProductPlan; 5] = [
    ProductPlan {
        title: "Saddle bag, 1998",
        brand: "Maison Alma",
        category: "handbags/vintage",
        sku: "ALMA-SADDLE-98",
        prices: [129_000, 210_000],
        discount_basis_points: 0,
        shipping: [1_500, 1_800],
        tax_basis_points: 2_000,
        tax_included: true,
        by_weight: false,
        units: 900,
    },
    ProductPlan {
        title: "Silk square, Ginkgo",
        brand: "Maison Alma",
        category: "accessories/scarves",
        sku: "ALMA-GINKGO-90",
        prices: [34_500, 57_000],
        discount_basis_points: 1_000,
        shipping: [0, 0],
        tax_basis_points: 2_000,
        tax_included: true,
        by_weight: false,
        units: 1_200,
    },
    ProductPlan {
        title: "Lip colour No. 7",
        brand: "Orlay",
        category: "beauty/lips",
        sku: "ORLAY-LIP-7",
        prices: [2_990, 4_800],
        discount_basis_points: 1_500,
        shipping: [390, 500],
        tax_basis_points: 1_000,
        tax_included: false,
        by_weight: false,
        units: 14_000,
    },
    ProductPlan {
        title: "White peaches",
        brand: "Ferme du Lac",
        category: "food/fruit",
        sku: "LAC-PEACH",
        prices: [690, 1_180],
        discount_basis_points: 0,
        shipping: [490, 700],
        tax_basis_points: 550,
        tax_included: true,
        by_weight: true,
        units: 2_500_000,
    },
    ProductPlan {
        title: "Chestnut honey, 250 g",
        brand: "Ferme du Lac",
        category: "food/honey",
        sku: "LAC-HONEY-250",
        prices: [1_250, 1_980],
        discount_basis_points: 500,
        shipping: [490, 700],
        tax_basis_points: 550,
        tax_included: true,
        by_weight: false,
        units: 2_000,
    },
];

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

/// One room of the evening.
pub struct RoomPlan {
    pub title: &'static str,
    pub theme: &'static str,
    pub host: &'static str,
    pub products: Vec<usize>,
    /// Shoppers of the first wave.
    pub first_wave: Vec<ShopperPlan>,
    /// Shoppers who take what was given back, in the drop's room.
    pub second_wave: Vec<ShopperPlan>,
    /// Shoppers who find nothing left, in the drop's room.
    pub latecomers: Vec<ShopperPlan>,
    pub questions: Vec<&'static str>,
    pub is_drop: bool,
}

/// How large the evening is.
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
            room_shoppers: 240,
            viewers_per_outlet: 24,
        }
    }
}

/// The most units one shopper may buy in the drop.
pub const DROP_PER_PERSON: i64 = 2;

/// The whole evening.
pub struct Plan {
    pub scale: Scale,
    pub rooms: Vec<RoomPlan>,
}

impl Plan {
    /// Lays out the evening. `run` keeps references apart when one suite is played against several times.
    pub fn new(seed: u64, scale: Scale, run: &str) -> Plan {
        let mut dealer = Dealer {
            rng: StdRng::seed_from_u64(seed),
            run: run.to_owned(),
            count: 0,
        };
        let rooms = vec![
            RoomPlan {
                title: "Vintage at the atelier",
                theme: "vintage",
                host: "Inès Marchal",
                products: vec![0, 1],
                first_wave: dealer.room_wave(&[0, 1], scale.room_shoppers),
                second_wave: Vec::new(),
                latecomers: Vec::new(),
                questions: vec![
                    "Is the clasp the original one?",
                    "Does the strap come off?",
                    "How do I care for the leather?",
                ],
                is_drop: false,
            },
            dealer.drop_room(scale.drop_units),
            RoomPlan {
                title: "Straight from the orchard",
                theme: "farm",
                host: "Jun Okada",
                products: vec![3, 4],
                first_wave: dealer.room_wave(&[3, 4], scale.room_shoppers),
                second_wave: Vec::new(),
                latecomers: Vec::new(),
                questions: vec![
                    "When were they picked?",
                    "Do you ship on Saturdays?",
                    "How long do they keep?",
                ],
                is_drop: false,
            },
        ];
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
        let partner = usize::from(self.rng.random_bool(0.42));
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
            Story::Buy,
        ];
        (0..shoppers)
            .map(|i| {
                let story = if i == 7 {
                    Story::ParcelLost
                } else {
                    STORIES[i % STORIES.len()]
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

    fn drop_room(&mut self, units: i64) -> RoomPlan {
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
            if !story.pays_at_once() {
                given_back += quantity;
            }
            let story = if quantity < wish { Story::Buy } else { story };
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
        RoomPlan {
            title: "Fourteen thousand, one minute",
            theme: "beauty",
            host: "Mireille Dufour",
            products: vec![DROP_PRODUCT],
            first_wave,
            second_wave,
            latecomers,
            questions: vec![
                "Does it smudge?",
                "Is it refillable?",
                "Will there be more?",
            ],
            is_drop: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_evening() {
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
        for seed in 0..20 {
            let plan = Plan::new(seed, Scale::default(), "r");
            let room = plan
                .rooms
                .iter()
                .find(|r| r.is_drop)
                .expect("the evening has a drop");
            let sum = |shoppers: &[ShopperPlan], keep: fn(&ShopperPlan) -> bool| -> i64 {
                shoppers
                    .iter()
                    .filter(|s| keep(s))
                    .map(|s| s.lines[0].1)
                    .sum()
            };
            assert_eq!(sum(&room.first_wave, |_| true), 14_000);
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
            assert!(paid >= 7_000, "{paid} paid orders");
        }
    }
}
