-- Partners and their keys, outlets, products and variants, listings. The same names stand in the SQLite file.
--
-- Locks are taken in the order partner, product, listing; whoever changes a listing holds the rows of its
-- partner and its product against change first.

CREATE TABLE partner (
    partner_id     TEXT COLLATE "C" PRIMARY KEY,
    partner_code   TEXT COLLATE "C" NOT NULL CONSTRAINT partner_code_taken UNIQUE,
    display_name   TEXT   NOT NULL CONSTRAINT partner_display_name CHECK (display_name <> ''),
    legal_entity   TEXT   NOT NULL CONSTRAINT partner_legal_entity CHECK (legal_entity <> ''),
    state          TEXT   NOT NULL CONSTRAINT partner_state CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    suspend_reason TEXT   NOT NULL,
    version        BIGINT NOT NULL CONSTRAINT partner_version CHECK (version >= 1),
    create_time    BIGINT NOT NULL,
    update_time    BIGINT NOT NULL,
    CONSTRAINT partner_reason CHECK ((state = 'SUSPENDED') = (suspend_reason <> ''))
);

CREATE TABLE payment_key (
    payment_key_id TEXT COLLATE "C" PRIMARY KEY,
    partner_id     TEXT COLLATE "C" NOT NULL REFERENCES partner (partner_id),
    kid            TEXT COLLATE "C" NOT NULL CONSTRAINT payment_key_kid CHECK (kid <> ''),
    public_key_jwk TEXT   NOT NULL,
    state          TEXT   NOT NULL CONSTRAINT payment_key_state CHECK (state IN ('ACTIVE', 'REVOKED')),
    revoke_reason  TEXT   NOT NULL,
    create_time    BIGINT NOT NULL,
    revoke_time    BIGINT,
    CONSTRAINT payment_key_kid_taken UNIQUE (partner_id, kid),
    CONSTRAINT payment_key_revoked CHECK (
        (state = 'REVOKED') = (revoke_reason <> '') AND (state = 'REVOKED') = (revoke_time IS NOT NULL)
    )
);
CREATE INDEX payment_key_by_partner ON payment_key (partner_id, payment_key_id);

CREATE TABLE outlet (
    outlet_id    TEXT COLLATE "C" PRIMARY KEY,
    partner_id   TEXT COLLATE "C" NOT NULL REFERENCES partner (partner_id),
    surface      TEXT   NOT NULL CONSTRAINT outlet_surface CHECK (surface IN ('APP', 'MINI_PROGRAM', 'WEB')),
    display_name TEXT   NOT NULL CONSTRAINT outlet_display_name CHECK (display_name <> ''),
    create_time  BIGINT NOT NULL
);
CREATE INDEX outlet_by_partner ON outlet (partner_id, outlet_id);

CREATE TABLE product (
    product_id   TEXT COLLATE "C" PRIMARY KEY,
    title        TEXT   NOT NULL CONSTRAINT product_title CHECK (title <> ''),
    description  TEXT   NOT NULL,
    brand        TEXT COLLATE "C" NOT NULL,
    -- The brand without case and spare spaces, as agreements name it.
    brand_key    TEXT COLLATE "C" NOT NULL,
    category     TEXT   NOT NULL,
    -- Empty for goods that anybody may sell anywhere.
    regulated_category TEXT COLLATE "C" NOT NULL,
    -- A JSON array of texts.
    image_uris   TEXT   NOT NULL,
    external_key TEXT COLLATE "C" NOT NULL,
    state        TEXT   NOT NULL CONSTRAINT product_state CHECK (state IN ('ACTIVE', 'ARCHIVED', 'DRAFT')),
    version      BIGINT NOT NULL CONSTRAINT product_version CHECK (version >= 1),
    create_time  BIGINT NOT NULL,
    update_time  BIGINT NOT NULL
);
CREATE UNIQUE INDEX product_external_key ON product (external_key) WHERE external_key <> '';
CREATE INDEX product_by_brand ON product (brand, product_id);
CREATE INDEX product_by_brand_key ON product (brand_key, product_id);
CREATE INDEX product_by_regulated_category ON product (regulated_category, product_id);

CREATE TABLE variant (
    variant_id    TEXT COLLATE "C" PRIMARY KEY,
    product_id    TEXT COLLATE "C" NOT NULL REFERENCES product (product_id),
    -- Where it stands among its siblings, from 0.
    place         BIGINT NOT NULL CONSTRAINT variant_place CHECK (place >= 0 AND place < 250),
    sku           TEXT COLLATE "C" NOT NULL CONSTRAINT variant_sku CHECK (sku <> ''),
    -- A JSON array of objects with name and value.
    options       TEXT   NOT NULL,
    -- The same for variants with the same options in whatever order.
    options_key   TEXT COLLATE "C" NOT NULL,
    unit          TEXT   NOT NULL CONSTRAINT variant_unit CHECK (unit IN ('EACH', 'GRAM')),
    quantity_step BIGINT NOT NULL CONSTRAINT variant_step CHECK (quantity_step BETWEEN 1 AND 1000000),
    unit_policy   TEXT   NOT NULL CONSTRAINT variant_unit_policy
        CHECK (unit_policy IN ('NONE', 'SERIAL_AT_PACK', 'UNIT_AT_HOLD')),
    gtin          TEXT   NOT NULL CONSTRAINT variant_gtin CHECK (length(gtin) IN (0, 8, 12, 13, 14)),
    weight_grams  BIGINT NOT NULL CONSTRAINT variant_weight CHECK (weight_grams >= 0),
    CONSTRAINT variant_sku_taken UNIQUE (sku),
    CONSTRAINT variant_place_taken UNIQUE (product_id, place),
    CONSTRAINT variant_options_taken UNIQUE (product_id, options_key)
);

CREATE TABLE listing (
    listing_id                     TEXT COLLATE "C" PRIMARY KEY,
    partner_id                     TEXT COLLATE "C" NOT NULL REFERENCES partner (partner_id),
    variant_id                     TEXT COLLATE "C" NOT NULL REFERENCES variant (variant_id),
    product_id                     TEXT COLLATE "C" NOT NULL REFERENCES product (product_id),
    -- The product's title; follows it until the listing is over.
    title                          TEXT    NOT NULL,
    currency_code                  TEXT    NOT NULL CONSTRAINT listing_currency CHECK (length(currency_code) = 3),
    price                          BIGINT  NOT NULL CONSTRAINT listing_price CHECK (price > 0),
    per_quantity                   BIGINT  NOT NULL CONSTRAINT listing_per_quantity
        CHECK (per_quantity BETWEEN 1 AND 1000000),
    retailer_discount_basis_points BIGINT  NOT NULL CONSTRAINT listing_discount
        CHECK (retailer_discount_basis_points BETWEEN 0 AND 10000),
    shipping                       BIGINT  NOT NULL CONSTRAINT listing_shipping CHECK (shipping >= 0),
    tax_basis_points               BIGINT  NOT NULL CONSTRAINT listing_tax CHECK (tax_basis_points BETWEEN 0 AND 10000),
    tax_included                   BOOLEAN NOT NULL,
    window_start_time              BIGINT,
    window_end_time                BIGINT,
    per_shopper_limit              BIGINT  NOT NULL CONSTRAINT listing_limit CHECK (per_shopper_limit >= 0),
    -- Codes with a space between; empty for anywhere.
    territories                    TEXT    NOT NULL,
    exclusivity                    TEXT    NOT NULL CONSTRAINT listing_exclusivity
        CHECK (exclusivity IN ('NONE', 'THIS_PARTNER')),
    commission_basis_points        BIGINT  NOT NULL CONSTRAINT listing_commission
        CHECK (commission_basis_points BETWEEN 0 AND 10000),
    -- A lower commission that waits for its time.
    next_commission_basis_points   BIGINT,
    commission_effective_time      BIGINT,
    legal_entity                   TEXT    NOT NULL,
    -- Empty when the terms name nobody who is registered.
    legal_entity_id                TEXT COLLATE "C" NOT NULL,
    purchase_mode                  TEXT    NOT NULL CONSTRAINT listing_purchase_mode
        CHECK (purchase_mode IN ('IN_APP', 'REDIRECT')),
    -- Switches of the mode as `micros=MODE`, with a space between.
    dated_purchase_modes           TEXT    NOT NULL,
    remorse_us                     BIGINT  NOT NULL CONSTRAINT listing_remorse CHECK (remorse_us >= 0),
    ship_within_us                 BIGINT  NOT NULL CONSTRAINT listing_ship_within CHECK (ship_within_us > 0),
    ship_not_before                BIGINT,
    terms_version                  BIGINT  NOT NULL CONSTRAINT listing_terms_version CHECK (terms_version >= 1),
    state                          TEXT    NOT NULL CONSTRAINT listing_state
        CHECK (state IN ('PROPOSED', 'APPROVED', 'LIVE', 'PAUSED', 'ENDED', 'REJECTED')),
    proposed_by                    TEXT    NOT NULL CONSTRAINT listing_proposed_by
        CHECK (proposed_by IN ('RETAILER', 'PARTNER')),
    proposer_issuer                TEXT    NOT NULL,
    proposer_subject               TEXT    NOT NULL,
    -- Empty while nobody has decided.
    decided_by                     TEXT    NOT NULL CONSTRAINT listing_decided_by
        CHECK (decided_by IN ('', 'RETAILER', 'PARTNER')),
    decision_reason                TEXT    NOT NULL,
    state_reason                   TEXT    NOT NULL,
    version                        BIGINT  NOT NULL CONSTRAINT listing_version CHECK (version >= 1),
    create_time                    BIGINT  NOT NULL,
    update_time                    BIGINT  NOT NULL,
    -- When the listing is to be looked at again, because a date of it or of the rules around it passes; none for never.
    due_time                       BIGINT,
    -- What was last published of what can change without a change of the listing's own.
    shown                          TEXT    NOT NULL,
    CONSTRAINT listing_next_commission CHECK (
        (next_commission_basis_points IS NULL) = (commission_effective_time IS NULL)
        AND (next_commission_basis_points IS NULL
            OR (next_commission_basis_points >= 0 AND next_commission_basis_points < commission_basis_points))
    ),
    CONSTRAINT listing_window CHECK (window_end_time > window_start_time),
    CONSTRAINT listing_self_approval CHECK (decided_by <> proposed_by),
    CONSTRAINT listing_agreed CHECK (
        CASE state WHEN 'PROPOSED' THEN decided_by = '' WHEN 'ENDED' THEN true ELSE decided_by <> '' END
    ),
    CONSTRAINT listing_decision_reason CHECK (state <> 'REJECTED' OR decision_reason <> ''),
    CONSTRAINT listing_state_reason CHECK ((state IN ('PAUSED', 'ENDED')) = (state_reason <> ''))
);
CREATE INDEX listing_by_partner ON listing (partner_id, listing_id);
CREATE INDEX listing_by_partner_state ON listing (partner_id, state, listing_id);
CREATE INDEX listing_by_partner_product ON listing (partner_id, product_id, listing_id);
CREATE INDEX listing_by_state ON listing (state, listing_id);
CREATE INDEX listing_by_product ON listing (product_id, listing_id);
CREATE INDEX listing_by_due_time ON listing (due_time, listing_id) WHERE due_time IS NOT NULL;
-- Who stands in the way of an exclusive listing, or is one.
CREATE INDEX listing_agreed_by_variant ON listing (variant_id, listing_id) WHERE state IN ('APPROVED', 'LIVE', 'PAUSED');
CREATE INDEX listing_assortment ON listing (partner_id, listing_id) WHERE state IN ('APPROVED', 'LIVE');
