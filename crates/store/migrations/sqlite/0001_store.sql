-- Feeds, consumers, idempotency and audit of one service. The same names stand in the PostgreSQL file.

-- Which life of this feed it is. A new value makes every cursor of the former life expire, which is what
-- has to happen after a restore from an older backup.
CREATE TABLE feed_epoch (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    epoch     TEXT   NOT NULL CHECK (epoch <> '')
) STRICT;
INSERT INTO feed_epoch (singleton, epoch)
VALUES (1, lower(hex(randomblob(16))));

-- The last position given in each sequence: '' is the service's own, 'audit' the audit chain's, everything
-- else a partner's id. Whoever publishes locks '' first and keeps it until commit, so positions become
-- visible in order and without a gap. `floor` is the highest position that retention took away; `hash` is
-- the last link of the audit chain.
CREATE TABLE feed_head (
    scope    TEXT PRIMARY KEY,
    position INTEGER NOT NULL CHECK (position >= 0),
    floor    INTEGER NOT NULL DEFAULT 0 CHECK (floor >= 0 AND floor <= position),
    hash     BLOB   NOT NULL DEFAULT x''
) STRICT;
INSERT INTO feed_head (scope, position) VALUES ('', 0), ('audit', 0);

CREATE TABLE feed (
    position         INTEGER PRIMARY KEY CHECK (position > 0),
    partner_id       TEXT NOT NULL DEFAULT '',
    partner_position INTEGER NOT NULL DEFAULT 0,
    aggregate_id     TEXT   NOT NULL,
    kind             TEXT   NOT NULL,
    etag             TEXT   NOT NULL,
    payload          BLOB   NOT NULL,
    traceparent      TEXT   NOT NULL,
    commit_time      INTEGER NOT NULL,
    CHECK ((partner_id = '') = (partner_position = 0))
) STRICT;
CREATE UNIQUE INDEX feed_by_partner ON feed (partner_id, partner_position) WHERE partner_id <> '';

-- How far a consumer of somebody else's feed has come. Moving it is the fence of exactly-once effects.
CREATE TABLE feed_cursor (
    consumer    TEXT PRIMARY KEY,
    cursor      TEXT   NOT NULL,
    position    INTEGER NOT NULL,
    moved_time  INTEGER NOT NULL
) STRICT;

-- Entries that could not be applied, and those of the same aggregate that wait behind them.
CREATE TABLE feed_parked (
    consumer     TEXT NOT NULL,
    position     INTEGER NOT NULL,
    aggregate_id TEXT NOT NULL,
    payload      BLOB   NOT NULL,
    error        TEXT   NOT NULL,
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    first_time   INTEGER NOT NULL,
    next_time    INTEGER NOT NULL,
    PRIMARY KEY (consumer, position)
) STRICT;
CREATE INDEX feed_parked_by_aggregate ON feed_parked (consumer, aggregate_id, position);

-- Effects already made, by the key the caller gave. Refusals are never in here.
CREATE TABLE idempotency (
    scope        TEXT NOT NULL,
    method       TEXT NOT NULL,
    key          TEXT NOT NULL,
    fingerprint  BLOB   NOT NULL,
    response     BLOB   NOT NULL DEFAULT x'',
    created_time INTEGER NOT NULL,
    PRIMARY KEY (scope, method, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (created_time);

-- Who did what. Each row's hash covers the row before it, so a change to any row shows.
CREATE TABLE audit (
    position     INTEGER PRIMARY KEY CHECK (position > 0),
    at           INTEGER NOT NULL,
    who          TEXT   NOT NULL,
    issuer       TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    on_behalf_of TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    resource_id  TEXT   NOT NULL,
    outcome      TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    prev_hash    BLOB   NOT NULL,
    hash         BLOB   NOT NULL
) STRICT;
