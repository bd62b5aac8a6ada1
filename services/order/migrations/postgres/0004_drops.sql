-- Prices, announcements and quotas of drops; limits per person.
--
-- New columns have a default that says: as before.

-- People are counted in `shopper_count` too, with no partner and with the person's hash in the place of the shopper.
ALTER TABLE allotment ADD COLUMN per_person_limit BIGINT NOT NULL DEFAULT 0
    CONSTRAINT allotment_per_person_limit CHECK (per_person_limit >= 0);

-- From when on partners see it; 0 for from the beginning.
ALTER TABLE drop_sale ADD COLUMN announce_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE drop_sale ADD COLUMN discount_basis_points BIGINT NOT NULL DEFAULT 0
    CONSTRAINT drop_sale_discount CHECK (discount_basis_points BETWEEN 0 AND 10000);
-- The sum of its quotas: never more than the drop. 0 when it has none.
ALTER TABLE drop_sale ADD COLUMN quota_total BIGINT NOT NULL DEFAULT 0
    CONSTRAINT drop_sale_quota_total CHECK (quota_total >= 0 AND quota_total <= total_limit);

-- The listing's price in the drop; no currency for none.
ALTER TABLE drop_listing ADD COLUMN currency_code TEXT NOT NULL DEFAULT '';
ALTER TABLE drop_listing ADD COLUMN price BIGINT NOT NULL DEFAULT 0
    CONSTRAINT drop_listing_price CHECK (price >= 0);
ALTER TABLE drop_listing ADD COLUMN per_quantity BIGINT NOT NULL DEFAULT 1
    CONSTRAINT drop_listing_per_quantity CHECK (per_quantity >= 1);

-- Units of a drop set aside for a creator or an outlet. The sum of `taken` is a part of the drop's.
CREATE TABLE drop_quota (
    drop_id      TEXT COLLATE "C" NOT NULL REFERENCES drop_sale (drop_id),
    -- The creator's or the outlet's id.
    owner        TEXT COLLATE "C" NOT NULL,
    unit_limit   BIGINT NOT NULL CONSTRAINT drop_quota_unit_limit CHECK (unit_limit >= 1),
    taken        BIGINT NOT NULL CONSTRAINT drop_quota_taken CHECK (taken >= 0 AND taken <= unit_limit),
    release_time BIGINT,
    PRIMARY KEY (drop_id, owner)
);

-- Whose terms made the line's price, and what else counts its units: a quota of its drop, a person.
ALTER TABLE order_line ADD COLUMN price_source TEXT NOT NULL DEFAULT 'LISTING'
    CONSTRAINT order_line_price_source CHECK (price_source IN ('LISTING', 'DROP'));
ALTER TABLE order_line ADD COLUMN drop_quota TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE order_line ADD COLUMN allotment_person_limited BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE order_line ADD COLUMN person TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Which shoppers are which person: a keyed hash of the retailer's key.
CREATE TABLE person_link (
    partner_id  TEXT COLLATE "C" NOT NULL,
    shopper_ref TEXT COLLATE "C" NOT NULL,
    person      TEXT COLLATE "C" NOT NULL CONSTRAINT person_link_person CHECK (person <> ''),
    actor       TEXT   NOT NULL,
    update_time BIGINT NOT NULL,
    PRIMARY KEY (partner_id, shopper_ref)
);
CREATE INDEX person_link_by_person ON person_link (person, partner_id, shopper_ref);
