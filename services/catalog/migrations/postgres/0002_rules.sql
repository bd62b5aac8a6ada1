-- The rules around listings: agreements with brands, regulated categories, licences, legal entities; the versions of
-- terms; and the notes of work that changes of the rules leave behind. The same names stand in the SQLite file.

-- One row. Whoever decides on a listing holds it against change first of all; whoever changes a rule changes it, so that no
-- decision is made by a rule that another transaction is about to replace.
CREATE TABLE rulebook (
    rulebook_id BIGINT PRIMARY KEY CONSTRAINT rulebook_one CHECK (rulebook_id = 1),
    version     BIGINT NOT NULL
);
INSERT INTO rulebook (rulebook_id, version) VALUES (1, 1);

CREATE TABLE legal_entity (
    legal_entity_id    TEXT COLLATE "C" PRIMARY KEY,
    legal_entity_code  TEXT COLLATE "C" NOT NULL CONSTRAINT legal_entity_code_taken UNIQUE,
    legal_name         TEXT NOT NULL CONSTRAINT legal_entity_name CHECK (legal_name <> ''),
    country_code       TEXT NOT NULL CONSTRAINT legal_entity_country CHECK (length(country_code) = 2),
    tax_number         TEXT NOT NULL CONSTRAINT legal_entity_tax_number CHECK (tax_number <> ''),
    registered_office TEXT NOT NULL,
    state              TEXT NOT NULL CONSTRAINT legal_entity_state CHECK (state IN ('ACTIVE', 'RETIRED')),
    create_time        BIGINT NOT NULL,
    retire_time        BIGINT,
    CONSTRAINT legal_entity_retired CHECK ((state = 'RETIRED') = (retire_time IS NOT NULL))
);

CREATE TABLE brand_agreement (
    brand_agreement_id  TEXT COLLATE "C" PRIMARY KEY,
    brand               TEXT NOT NULL,
    -- The brand without case and spare spaces.
    brand_key           TEXT COLLATE "C" NOT NULL CONSTRAINT brand_agreement_taken UNIQUE
        CONSTRAINT brand_agreement_key CHECK (brand_key <> ''),
    retailer_exclusive     BOOLEAN NOT NULL,
    -- Codes with a space between; empty for anywhere.
    territories         TEXT NOT NULL,
    window_start_time   BIGINT,
    window_end_time     BIGINT,
    -- Empty for any.
    legal_entity_id     TEXT COLLATE "C" NOT NULL,
    -- Ids with a space between; empty for any.
    allowed_partner_ids TEXT NOT NULL,
    note                TEXT NOT NULL,
    version             BIGINT NOT NULL CONSTRAINT brand_agreement_version CHECK (version >= 1),
    create_time         BIGINT NOT NULL,
    update_time         BIGINT NOT NULL,
    CONSTRAINT brand_agreement_window CHECK (window_end_time > window_start_time)
);

CREATE TABLE category_rule (
    regulated_category    TEXT COLLATE "C" PRIMARY KEY CONSTRAINT category_rule_category CHECK (regulated_category <> ''),
    -- Codes with a space between.
    permitted_territories TEXT NOT NULL CONSTRAINT category_rule_territories CHECK (permitted_territories <> ''),
    minimum_age_years     BIGINT NOT NULL CONSTRAINT category_rule_age CHECK (minimum_age_years BETWEEN 0 AND 99),
    licence_required       BOOLEAN NOT NULL,
    note                  TEXT NOT NULL,
    version               BIGINT NOT NULL CONSTRAINT category_rule_version CHECK (version >= 1),
    create_time           BIGINT NOT NULL,
    update_time           BIGINT NOT NULL
);

CREATE TABLE licence (
    licence_id         TEXT COLLATE "C" PRIMARY KEY,
    partner_id         TEXT COLLATE "C" NOT NULL REFERENCES partner (partner_id),
    regulated_category TEXT COLLATE "C" NOT NULL CONSTRAINT licence_category CHECK (regulated_category <> ''),
    licence_number     TEXT COLLATE "C" NOT NULL CONSTRAINT licence_number CHECK (licence_number <> ''),
    -- Codes with a space between; empty for all.
    territories        TEXT NOT NULL,
    start_time         BIGINT,
    expire_time        BIGINT NOT NULL,
    state              TEXT NOT NULL CONSTRAINT licence_state CHECK (state IN ('ACTIVE', 'REVOKED')),
    revoke_reason      TEXT NOT NULL,
    create_time        BIGINT NOT NULL,
    revoke_time        BIGINT,
    CONSTRAINT licence_number_taken UNIQUE (partner_id, regulated_category, licence_number),
    CONSTRAINT licence_period CHECK (start_time IS NULL OR expire_time > start_time),
    CONSTRAINT licence_revoked CHECK (
        (state = 'REVOKED') = (revoke_reason <> '') AND (state = 'REVOKED') = (revoke_time IS NOT NULL)
    )
);
CREATE INDEX licence_by_partner ON licence (partner_id, licence_id);

-- Terms as they were set, one row per version, never changed.
CREATE TABLE listing_terms (
    listing_id    TEXT COLLATE "C" NOT NULL REFERENCES listing (listing_id),
    terms_version BIGINT NOT NULL CONSTRAINT listing_terms_from_one CHECK (terms_version >= 1),
    -- A message of the contract, as it was rendered then.
    terms         BYTEA NOT NULL,
    set_by        TEXT NOT NULL CONSTRAINT listing_terms_set_by CHECK (set_by IN ('RETAILER', 'PARTNER')),
    create_time   BIGINT NOT NULL,
    PRIMARY KEY (listing_id, terms_version)
);

-- Changes of products, brands and categories that have not reached all of their listings yet.
CREATE TABLE refresh (
    kind        TEXT COLLATE "C" NOT NULL CONSTRAINT refresh_kind CHECK (kind IN ('PRODUCT', 'BRAND', 'CATEGORY')),
    -- A product id, a brand's key, a category.
    key         TEXT COLLATE "C" NOT NULL,
    -- The last listing or product that was reached; empty for none.
    after_id    TEXT COLLATE "C" NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX refresh_by_time ON refresh (create_time, kind, key);
