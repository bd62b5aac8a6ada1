-- The key store: one wrapped data key for each shopper and kind of personal data. It is a database of its own, so that
-- a backup of the data never holds keys. The same names stand in the SQLite file.

CREATE TABLE data_key (
    key_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind         TEXT   NOT NULL CONSTRAINT data_key_kind CHECK (kind <> ''),
    partner_id   TEXT COLLATE "C" NOT NULL,
    shopper_ref  TEXT COLLATE "C" NOT NULL,
    wrapping_key TEXT COLLATE "C" NOT NULL CONSTRAINT data_key_wrapping CHECK (wrapping_key <> ''),
    wrapped      BYTEA  NOT NULL,
    create_time  BIGINT NOT NULL,
    -- In this order, because no other index then looks as good to a planner that knows nothing of the table yet.
    CONSTRAINT data_key_of_shopper UNIQUE (shopper_ref, partner_id, kind)
);
CREATE INDEX data_key_by_wrapping ON data_key (wrapping_key, key_id);
-- A destroyed key's row is dead at once and gone with the next vacuum, which this makes come soon.
ALTER TABLE data_key SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0.0);
