-- The key store: one wrapped data key for each shopper and kind of personal data. It is a database of its own, so that
-- a backup of the data never holds keys. The same names stand in the PostgreSQL file.

CREATE TABLE data_key (
    key_id       TEXT NOT NULL PRIMARY KEY,
    kind         TEXT NOT NULL CONSTRAINT data_key_kind CHECK (kind <> ''),
    partner_id   TEXT NOT NULL,
    shopper_ref  TEXT NOT NULL,
    wrapping_key TEXT NOT NULL CONSTRAINT data_key_wrapping CHECK (wrapping_key <> ''),
    wrapped      BLOB NOT NULL,
    create_time  INTEGER NOT NULL,
    -- In this order, because no other index then looks as good to a planner that knows nothing of the table yet.
    CONSTRAINT data_key_of_shopper UNIQUE (shopper_ref, partner_id, kind)
) STRICT;
CREATE INDEX data_key_by_wrapping ON data_key (wrapping_key, key_id);
