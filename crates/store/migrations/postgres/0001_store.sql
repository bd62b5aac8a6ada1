-- Feeds, consumers, idempotency and audit of one service. The same names stand in the SQLite file.

-- Which life of this feed it is. A new value makes every cursor of the former life expire, which is what
-- has to happen after a restore from an older backup.
CREATE TABLE feed_epoch (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    epoch     TEXT   NOT NULL CHECK (epoch <> '')
);
INSERT INTO feed_epoch (singleton, epoch)
VALUES (1, replace(CAST(gen_random_uuid() AS TEXT), '-', ''));

-- The last position given in each sequence: '' is the service's own, 'audit' the audit chain's, everything
-- else a partner's id. Whoever publishes locks '' first and keeps it until commit, so positions become
-- visible in order and without a gap. `floor` is the highest position that retention took away; `hash` is
-- the last link of the audit chain.
CREATE TABLE feed_head (
    scope    TEXT COLLATE "C" PRIMARY KEY,
    position BIGINT NOT NULL CHECK (position >= 0),
    floor    BIGINT NOT NULL DEFAULT 0 CHECK (floor >= 0 AND floor <= position),
    hash     BYTEA  NOT NULL DEFAULT ''
);
INSERT INTO feed_head (scope, position) VALUES ('', 0), ('audit', 0);

CREATE TABLE feed (
    position         BIGINT PRIMARY KEY CHECK (position > 0),
    partner_id       TEXT COLLATE "C" NOT NULL DEFAULT '',
    partner_position BIGINT NOT NULL DEFAULT 0,
    aggregate_id     TEXT   NOT NULL,
    kind             TEXT   NOT NULL,
    etag             TEXT   NOT NULL,
    payload          BYTEA  NOT NULL,
    traceparent      TEXT   NOT NULL,
    commit_time      BIGINT NOT NULL,
    CHECK ((partner_id = '') = (partner_position = 0))
);
CREATE UNIQUE INDEX feed_by_partner ON feed (partner_id, partner_position) WHERE partner_id <> '';

-- How far a consumer of somebody else's feed has come. Moving it is the fence of exactly-once effects.
CREATE TABLE feed_cursor (
    consumer    TEXT COLLATE "C" PRIMARY KEY,
    cursor      TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    moved_time  BIGINT NOT NULL
);

-- Entries that could not be applied, and those of the same aggregate that wait behind them.
CREATE TABLE feed_parked (
    consumer     TEXT COLLATE "C" NOT NULL,
    position     BIGINT NOT NULL,
    aggregate_id TEXT COLLATE "C" NOT NULL,
    payload      BYTEA  NOT NULL,
    error        TEXT   NOT NULL,
    attempts     BIGINT NOT NULL CHECK (attempts >= 0),
    first_time   BIGINT NOT NULL,
    next_time    BIGINT NOT NULL,
    PRIMARY KEY (consumer, position)
);
CREATE INDEX feed_parked_by_aggregate ON feed_parked (consumer, aggregate_id, position);

-- Effects already made, by the key the caller gave. Refusals are never in here.
CREATE TABLE idempotency (
    scope        TEXT COLLATE "C" NOT NULL,
    method       TEXT COLLATE "C" NOT NULL,
    key          TEXT COLLATE "C" NOT NULL,
    fingerprint  BYTEA  NOT NULL,
    response     BYTEA  NOT NULL DEFAULT '',
    created_time BIGINT NOT NULL,
    PRIMARY KEY (scope, method, key)
);
CREATE INDEX idempotency_by_time ON idempotency (created_time);

-- Who did what. Each row's hash covers the row before it, so a change to any row shows.
CREATE TABLE audit (
    position     BIGINT PRIMARY KEY CHECK (position > 0),
    at           BIGINT NOT NULL,
    who          TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    on_behalf_of TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    resource_id  TEXT   NOT NULL,
    outcome      TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    prev_hash    BYTEA  NOT NULL,
    hash         BYTEA  NOT NULL
);
