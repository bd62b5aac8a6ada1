-- Channels, their programme, creators, followers, what is on air, and what was shown when. The same names stand in the
-- PostgreSQL file.

-- A channel that is on air around the clock.
CREATE TABLE channel (
    channel_id    TEXT PRIMARY KEY,
    display_name  TEXT NOT NULL,
    time_zone     TEXT NOT NULL,
    auto_handover INTEGER NOT NULL CHECK (auto_handover IN (0, 1)),
    state         TEXT NOT NULL CHECK (state IN ('ACTIVE', 'ARCHIVED')),
    create_time   INTEGER NOT NULL,
    version       INTEGER NOT NULL CHECK (version > 0)
) STRICT;
CREATE INDEX channel_auto ON channel (channel_id) WHERE auto_handover AND state = 'ACTIVE';

CREATE TABLE channel_outlet (
    channel_id TEXT NOT NULL REFERENCES channel (channel_id),
    outlet_id  TEXT NOT NULL REFERENCES outlet (outlet_id),
    partner_id TEXT NOT NULL,
    place      INTEGER NOT NULL,
    PRIMARY KEY (channel_id, outlet_id)
) STRICT;
CREATE INDEX channel_outlet_by_partner ON channel_outlet (partner_id, channel_id);

-- How often what a channel shows changed: those who watch it ask for what they have not seen.
CREATE TABLE channel_head (
    channel_id TEXT PRIMARY KEY REFERENCES channel (channel_id),
    position   INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0)
) STRICT;

-- Whoever plans something keeps this row locked until the commit, so that nobody plans something else meanwhile.
CREATE TABLE programme_head (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    position  INTEGER NOT NULL CHECK (position >= 0)
) STRICT;
INSERT INTO programme_head (singleton, position) VALUES (1, 0);

-- A place in a channel's programme. Lists are JSON: they are read and written whole.
CREATE TABLE slot (
    slot_id         TEXT PRIMARY KEY,
    channel_id      TEXT NOT NULL REFERENCES channel (channel_id),
    title           TEXT NOT NULL,
    theme           TEXT NOT NULL,
    session_type    TEXT NOT NULL CHECK (session_type IN ('SHOPPING', 'COURSE', 'TUTORIAL', 'ORIGINAL')),
    venue           TEXT NOT NULL,
    hosts           TEXT NOT NULL,
    outlets         TEXT NOT NULL,
    brands          TEXT NOT NULL,
    local_start     TEXT NOT NULL,
    duration_s      INTEGER NOT NULL CHECK (duration_s > 0),
    recurrence_rule TEXT NOT NULL,
    exceptions      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('ACTIVE', 'CANCELLED')),
    create_time     INTEGER NOT NULL,
    version         INTEGER NOT NULL CHECK (version > 0)
) STRICT;
CREATE INDEX slot_by_channel ON slot (channel_id, slot_id);

-- What an active slot takes while it takes place.
CREATE TABLE slot_resource (
    kind         TEXT NOT NULL CHECK (kind IN ('CHANNEL', 'HOST', 'VENUE')),
    resource_key TEXT NOT NULL CHECK (resource_key <> ''),
    slot_id      TEXT NOT NULL REFERENCES slot (slot_id),
    PRIMARY KEY (kind, resource_key, slot_id)
) STRICT;
CREATE INDEX slot_resource_by_slot ON slot_resource (slot_id);

-- What rooms on channels take, from SCHEDULED until they end. Whoever writes here has locked programme_head and looked
-- for what overlaps.
CREATE TABLE occupancy (
    kind         TEXT NOT NULL CHECK (kind IN ('CHANNEL', 'HOST', 'VENUE')),
    resource_key TEXT NOT NULL CHECK (resource_key <> ''),
    start_time   INTEGER NOT NULL,
    end_time     INTEGER NOT NULL,
    room_id      TEXT NOT NULL REFERENCES room (room_id),
    PRIMARY KEY (kind, resource_key, start_time),
    CONSTRAINT occupancy_runs_forward CHECK (start_time < end_time)
) STRICT;
CREATE INDEX occupancy_by_end ON occupancy (kind, resource_key, end_time);
CREATE INDEX occupancy_by_room ON occupancy (room_id);

-- Where rooms that are LIVE or PAUSED are shown. Written when a room goes on air, gone when it ends.
CREATE TABLE on_air (
    room_id    TEXT NOT NULL REFERENCES room (room_id),
    outlet_id  TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    theme      TEXT NOT NULL,
    live_time  INTEGER NOT NULL,
    PRIMARY KEY (room_id, outlet_id)
) STRICT;
CREATE INDEX on_air_all ON on_air (live_time, room_id);
CREATE INDEX on_air_by_theme ON on_air (theme, live_time, room_id);
CREATE INDEX on_air_by_partner ON on_air (partner_id, live_time, room_id);
CREATE INDEX on_air_by_partner_theme ON on_air (partner_id, theme, live_time, room_id);
CREATE INDEX on_air_by_outlet ON on_air (outlet_id, live_time, room_id);
CREATE INDEX on_air_by_outlet_theme ON on_air (outlet_id, theme, live_time, room_id);
CREATE INDEX on_air_by_channel ON on_air (channel_id, live_time, room_id);

-- The creators behind the hosts of rooms that are on air.
CREATE TABLE on_air_creator (
    creator_id TEXT NOT NULL,
    room_id    TEXT NOT NULL REFERENCES room (room_id),
    PRIMARY KEY (creator_id, room_id)
) STRICT;
CREATE INDEX on_air_creator_by_room ON on_air_creator (room_id);

-- Who is paid commission for a room or a click.
CREATE TABLE creator (
    creator_id      TEXT PRIMARY KEY,
    display_name    TEXT NOT NULL,
    payee_reference TEXT NOT NULL,
    create_time     INTEGER NOT NULL
) STRICT;

-- Who follows what: `target_id` is a channel or a creator.
CREATE TABLE follow (
    partner_id  TEXT NOT NULL,
    shopper_ref TEXT NOT NULL,
    target_id   TEXT NOT NULL,
    follow_time INTEGER NOT NULL,
    PRIMARY KEY (partner_id, shopper_ref, target_id)
) STRICT;
CREATE INDEX follow_by_time ON follow (partner_id, shopper_ref, follow_time, target_id);

-- How many follow something, over all partners.
CREATE TABLE follow_count (
    target_id TEXT PRIMARY KEY,
    followers INTEGER NOT NULL DEFAULT 0 CHECK (followers >= 0)
) STRICT;

-- A stretch of time in which one product was explained. `segment` counts from 1 in each room.
CREATE TABLE segment (
    room_id          TEXT NOT NULL REFERENCES room (room_id),
    segment          INTEGER NOT NULL CHECK (segment > 0),
    showcase_item_id TEXT NOT NULL,
    product_id       TEXT NOT NULL,
    title            TEXT NOT NULL,
    start_time       INTEGER NOT NULL,
    end_time         INTEGER,
    PRIMARY KEY (room_id, segment),
    CONSTRAINT segment_runs_forward CHECK (end_time IS NULL OR start_time <= end_time)
) STRICT;
-- At most one segment of a room goes on.
CREATE UNIQUE INDEX segment_open ON segment (room_id) WHERE end_time IS NULL;
CREATE INDEX segment_open_by_product ON segment (product_id) WHERE end_time IS NULL;

-- Prices as they were shown during a segment.
CREATE TABLE shown_price (
    room_id                        TEXT NOT NULL,
    segment                        INTEGER NOT NULL,
    listing_id                     TEXT NOT NULL,
    shown_time                     INTEGER NOT NULL,
    partner_id                     TEXT NOT NULL,
    variant_id                     TEXT NOT NULL,
    currency_code                  TEXT NOT NULL,
    minor_units                    INTEGER NOT NULL CHECK (minor_units >= 0),
    per_quantity                   INTEGER NOT NULL CHECK (per_quantity > 0),
    retailer_discount_basis_points INTEGER NOT NULL CHECK (retailer_discount_basis_points BETWEEN 0 AND 10000),
    on_sale                        INTEGER NOT NULL CHECK (on_sale IN (0, 1)),
    PRIMARY KEY (room_id, segment, listing_id, shown_time),
    FOREIGN KEY (room_id, segment) REFERENCES segment (room_id, segment)
) STRICT;
