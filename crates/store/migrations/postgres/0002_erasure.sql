-- Erasing shoppers' personal data. The same names stand in the SQLite file.

-- What was asked to be erased, by kind of personal data, and what has become of it.
CREATE TABLE shopper_erasure (
    partner_id   TEXT COLLATE "C" NOT NULL,
    shopper_ref  TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL CONSTRAINT shopper_erasure_kind CHECK (kind <> ''),
    -- DESTROYING: nothing needs the key any more and nothing is sealed with it; the key store is told.
    state        TEXT NOT NULL CONSTRAINT shopper_erasure_state CHECK (state IN ('PENDING', 'DESTROYING', 'ERASED')),
    -- Why not yet; '' when nothing keeps it.
    deferral     TEXT NOT NULL,
    until_time   BIGINT,
    -- When it is looked at again.
    next_time    BIGINT NOT NULL,
    -- The key that is destroyed; '' when there was none.
    key_id       TEXT NOT NULL,
    request_time BIGINT NOT NULL,
    erase_time   BIGINT,
    PRIMARY KEY (partner_id, shopper_ref, kind),
    CONSTRAINT shopper_erasure_ends CHECK ((state = 'ERASED') = (erase_time IS NOT NULL)),
    CONSTRAINT shopper_erasure_reason CHECK (state = 'PENDING' OR deferral = '')
);
CREATE INDEX shopper_erasure_due ON shopper_erasure (next_time, partner_id, shopper_ref, kind) WHERE state <> 'ERASED';

-- Keys that are destroyed for good: a key store that is restored from a backup loses them again.
CREATE TABLE destroyed_key (
    key_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    destroy_time BIGINT NOT NULL
);
