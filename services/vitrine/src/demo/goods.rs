//! The platforms of the channel's day and the goods that are sold on it.

/// A partner platform that takes part.
pub struct PartnerPlan {
    pub code: &'static str,
    pub name: &'static str,
    pub legal_entity: &'static str,
    pub currency: &'static str,
    pub region: &'static str,
}

/// The three platforms settle in currencies with two, no and three decimal places.
pub const PARTNERS: [PartnerPlan; 3] = [
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
    PartnerPlan {
        code: "dana",
        name: "Dana",
        legal_entity: "Dana Apps WLL",
        currency: "KWD",
        region: "KW",
    },
];

/// Something that is sold on the channel. Prices are in minor units, one for each partner.
pub struct ProductPlan {
    pub title: &'static str,
    pub brand: &'static str,
    pub category: &'static str,
    pub sku: &'static str,
    pub prices: [i64; 3],
    pub discount_basis_points: i32,
    pub shipping: [i64; 3],
    pub tax_basis_points: i32,
    pub tax_included: bool,
    /// Sold by weight: units are grams and prices are for 500 of them.
    pub by_weight: bool,
    /// Sold in the retailer's own shop: partners send the shopper there.
    pub redirects: bool,
    pub units: i64,
}

impl ProductPlan {
    /// A piece with tax included, shipped free.
    const fn piece(
        title: &'static str,
        brand: &'static str,
        category: &'static str,
        sku: &'static str,
        prices: [i64; 3],
        units: i64,
    ) -> ProductPlan {
        ProductPlan {
            title,
            brand,
            category,
            sku,
            prices,
            discount_basis_points: 0,
            shipping: [0; 3],
            tax_basis_points: 2_000,
            tax_included: true,
            by_weight: false,
            redirects: false,
            units,
        }
    }
}

/// Index of the product that the drop sells.
pub const DROP_PRODUCT: usize = 2;
/// Index of the product whose price changes and whose sale is stopped for a while.
pub const DOUBTED_PRODUCT: usize = 1;
/// Index of the product that is sold in the retailer's own shop.
pub const REDIRECT_PRODUCT: usize = 8;

/// The goods of the channel's day.
pub const PRODUCTS: [ProductPlan; 9] = [
    ProductPlan {
        shipping: [1_500, 1_800, 4_750],
        ..ProductPlan::piece(
            "Saddle bag, 1998",
            "Maison Alma",
            "handbags/vintage",
            "ALMA-SADDLE-98",
            [129_000, 210_000, 431_500],
            900,
        )
    },
    ProductPlan {
        discount_basis_points: 1_000,
        ..ProductPlan::piece(
            "Silk square, Ginkgo",
            "Maison Alma",
            "accessories/scarves",
            "ALMA-GINKGO-90",
            [34_500, 57_000, 115_400],
            1_200,
        )
    },
    ProductPlan {
        discount_basis_points: 1_500,
        shipping: [390, 500, 1_250],
        tax_basis_points: 1_000,
        tax_included: false,
        ..ProductPlan::piece(
            "Lip colour No. 7",
            "Orlay",
            "beauty/lips",
            "ORLAY-LIP-7",
            [2_990, 4_800, 9_995],
            14_000,
        )
    },
    ProductPlan {
        shipping: [490, 700, 1_600],
        tax_basis_points: 550,
        by_weight: true,
        ..ProductPlan::piece(
            "White peaches",
            "Ferme du Lac",
            "food/fruit",
            "LAC-PEACH",
            [690, 1_180, 2_305],
            2_500_000,
        )
    },
    ProductPlan {
        discount_basis_points: 500,
        shipping: [490, 700, 1_600],
        tax_basis_points: 550,
        ..ProductPlan::piece(
            "Chestnut honey, 250 g",
            "Ferme du Lac",
            "food/honey",
            "LAC-HONEY-250",
            [1_250, 1_980, 4_180],
            2_000,
        )
    },
    ProductPlan {
        discount_basis_points: 2_000,
        shipping: [900, 1_200, 2_900],
        ..ProductPlan::piece(
            "Linen coat, sand",
            "Orlay",
            "fashion/coats",
            "ORLAY-COAT-S",
            [28_900, 46_000, 96_650],
            800,
        )
    },
    ProductPlan::piece(
        "Box bag No. 3",
        "Atelier Nord",
        "handbags/new",
        "NORD-BOX-3",
        [74_000, 119_000, 247_500],
        900,
    ),
    ProductPlan {
        shipping: [700, 900, 2_250],
        tax_included: false,
        ..ProductPlan::piece(
            "Penny loafer, oxblood",
            "Calzo",
            "shoes/loafers",
            "CALZO-PENNY-42",
            [19_900, 31_500, 66_550],
            1_000,
        )
    },
    ProductPlan {
        redirects: true,
        ..ProductPlan::piece(
            "Trunk, made to order",
            "Maison Alma",
            "luggage/made-to-order",
            "ALMA-TRUNK",
            [890_000, 1_450_000, 2_977_000],
            0,
        )
    },
];
