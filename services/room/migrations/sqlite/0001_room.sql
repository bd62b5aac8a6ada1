-- Rooms, hosts, showcase, questions, the room log, and what the catalogue's feed told. The same names stand in the
-- PostgreSQL file.

-- How many changes the catalogue's feed has brought. Whoever writes a mirror takes the next number and keeps this row
-- locked until the commit, so numbers become visible in order: live rooms ask for what is new since the last one.
CREATE TABLE mirror_head (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    position  INTEGER NOT NULL CHECK (position >= 0)
) STRICT;
INSERT INTO mirror_head (singleton, position) VALUES (1, 0);

-- A partner as the catalogue has it.
CREATE TABLE partner (
    partner_id      TEXT PRIMARY KEY,
    suspended       INTEGER NOT NULL CHECK (suspended IN (0, 1)),
    change_position INTEGER NOT NULL
) STRICT;
CREATE INDEX partner_by_change ON partner (change_position);

-- A place where rooms are shown; it never changes hands.
CREATE TABLE outlet (
    outlet_id  TEXT PRIMARY KEY,
    partner_id TEXT NOT NULL
) STRICT;

-- A product as the catalogue has it.
CREATE TABLE product (
    product_id      TEXT PRIMARY KEY,
    title           TEXT NOT NULL,
    brand           TEXT NOT NULL,
    change_position INTEGER NOT NULL
) STRICT;
CREATE INDEX product_by_change ON product (change_position);

-- A listing as the catalogue has it.
CREATE TABLE listing (
    listing_id                     TEXT PRIMARY KEY,
    partner_id                     TEXT NOT NULL,
    product_id                     TEXT NOT NULL,
    variant_id                     TEXT NOT NULL,
    variant_label                  TEXT NOT NULL,
    currency_code                  TEXT NOT NULL,
    minor_units                    INTEGER NOT NULL CHECK (minor_units >= 0),
    per_quantity                   INTEGER NOT NULL CHECK (per_quantity > 0),
    retailer_discount_basis_points INTEGER NOT NULL CHECK (retailer_discount_basis_points BETWEEN 0 AND 10000),
    purchase_mode                  TEXT NOT NULL CHECK (purchase_mode IN ('IN_APP', 'REDIRECT')),
    state                          TEXT NOT NULL CHECK (state IN
                                   ('PROPOSED', 'APPROVED', 'LIVE', 'PAUSED', 'ENDED', 'REJECTED')),
    window_start                   INTEGER,
    window_end                     INTEGER,
    change_position                INTEGER NOT NULL
) STRICT;
CREATE INDEX listing_by_product ON listing (product_id, partner_id, listing_id);
CREATE INDEX listing_by_change ON listing (change_position);

CREATE TABLE host (
    host_id         TEXT PRIMARY KEY,
    display_name    TEXT NOT NULL,
    creator_id      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'REJECTED')),
    decision_reason TEXT NOT NULL,
    create_time     INTEGER NOT NULL,
    version         INTEGER NOT NULL CHECK (version > 0)
) STRICT;

-- A live session. `announced` says that it was scheduled once: from then on its partners know of it.
CREATE TABLE room (
    room_id        TEXT PRIMARY KEY,
    title          TEXT NOT NULL,
    theme          TEXT NOT NULL,
    drop_id        TEXT NOT NULL,
    session_type   TEXT NOT NULL CHECK (session_type IN ('SHOPPING', 'COURSE', 'TUTORIAL', 'ORIGINAL')),
    channel_id     TEXT NOT NULL,
    venue          TEXT NOT NULL,
    slot_id        TEXT NOT NULL,
    slot_start     INTEGER NOT NULL,
    overridden     INTEGER NOT NULL CHECK (overridden IN (0, 1)),
    next_room_id   TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('DRAFT', 'SCHEDULED', 'LIVE', 'PAUSED', 'ENDED')),
    announced      INTEGER NOT NULL CHECK (announced IN (0, 1)),
    state_reason   TEXT NOT NULL,
    schedule_start INTEGER,
    schedule_end   INTEGER,
    live_time      INTEGER,
    end_time       INTEGER,
    create_time    INTEGER NOT NULL,
    version        INTEGER NOT NULL CHECK (version > 0),
    CONSTRAINT room_schedule_runs_forward CHECK
        (schedule_start IS NULL OR schedule_end IS NULL OR schedule_start < schedule_end),
    CONSTRAINT room_is_scheduled_before_it_is_on_air CHECK
        (state IN ('DRAFT', 'ENDED') OR (announced AND schedule_start IS NOT NULL AND schedule_end IS NOT NULL)),
    CONSTRAINT room_draft_is_not_announced CHECK (state <> 'DRAFT' OR NOT announced),
    CONSTRAINT room_live_time_is_of_the_first_time_on_air CHECK
        ((state NOT IN ('LIVE', 'PAUSED') OR live_time IS NOT NULL)
         AND (state NOT IN ('DRAFT', 'SCHEDULED') OR live_time IS NULL)),
    CONSTRAINT room_end_time_is_of_the_end CHECK ((state = 'ENDED') = (end_time IS NOT NULL)),
    CONSTRAINT room_without_a_cart_has_no_drop CHECK (session_type = 'SHOPPING' OR drop_id = ''),
    CONSTRAINT room_of_a_slot_is_on_its_channel CHECK
        ((slot_id = '') = (slot_start = 0) AND (slot_id = '' OR channel_id <> '') AND (slot_id <> '' OR NOT overridden)),
    CONSTRAINT room_goes_on_after_its_end CHECK (next_room_id = '' OR (state = 'ENDED' AND channel_id <> ''))
) STRICT;
CREATE INDEX room_by_state ON room (state, room_id);
-- A channel has at most one room on air, and each time of a slot at most one room.
CREATE UNIQUE INDEX room_on_air_of_channel ON room (channel_id) WHERE channel_id <> '' AND state IN ('LIVE', 'PAUSED');
CREATE UNIQUE INDEX room_of_slot ON room (slot_id, slot_start) WHERE slot_id <> '';
CREATE INDEX room_by_channel ON room (channel_id, schedule_start) WHERE channel_id <> '';
CREATE INDEX room_due ON room (schedule_start) WHERE channel_id <> '' AND state = 'SCHEDULED';

CREATE TABLE room_host (
    room_id TEXT NOT NULL REFERENCES room (room_id),
    host_id TEXT NOT NULL REFERENCES host (host_id),
    place   INTEGER NOT NULL,
    PRIMARY KEY (room_id, host_id)
) STRICT;

CREATE TABLE room_outlet (
    room_id    TEXT NOT NULL REFERENCES room (room_id),
    outlet_id  TEXT NOT NULL REFERENCES outlet (outlet_id),
    partner_id TEXT NOT NULL,
    place      INTEGER NOT NULL,
    PRIMARY KEY (room_id, outlet_id)
) STRICT;
CREATE INDEX room_outlet_by_partner ON room_outlet (partner_id, room_id);

CREATE TABLE room_brand (
    room_id TEXT NOT NULL REFERENCES room (room_id),
    brand   TEXT NOT NULL,
    place   INTEGER NOT NULL,
    PRIMARY KEY (room_id, brand)
) STRICT;

CREATE TABLE showcase_item (
    showcase_item_id TEXT PRIMARY KEY,
    room_id          TEXT NOT NULL REFERENCES room (room_id),
    product_id       TEXT NOT NULL REFERENCES product (product_id),
    rank             INTEGER NOT NULL CHECK (rank BETWEEN 0 AND 100000),
    pinned           INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    explaining       INTEGER NOT NULL CHECK (explaining IN (0, 1)),
    CONSTRAINT showcase_item_product_once UNIQUE (room_id, product_id)
) STRICT;
-- At most one item of a room is being explained.
CREATE UNIQUE INDEX showcase_item_explained ON showcase_item (room_id) WHERE explaining;
CREATE INDEX showcase_item_by_product ON showcase_item (product_id);

-- Where a room's log stands, per class. It is locked after the room; a question locks it alone. `epoch` is the room's
-- life: cursors of another one start over.
CREATE TABLE room_log (
    room_id         TEXT PRIMARY KEY REFERENCES room (room_id),
    epoch           TEXT NOT NULL CHECK (epoch <> ''),
    ledger_position INTEGER NOT NULL DEFAULT 0 CHECK (ledger_position >= 0),
    chat_position   INTEGER NOT NULL DEFAULT 0 CHECK (chat_position >= 0),
    questions       INTEGER NOT NULL DEFAULT 0 CHECK (questions >= 0)
) STRICT;

-- What happened in a room, in order within each class and without a gap. CHAT rows only name a question.
CREATE TABLE room_event (
    room_id    TEXT NOT NULL REFERENCES room (room_id),
    class      TEXT NOT NULL CHECK (class IN ('LEDGER', 'CHAT')),
    position   INTEGER NOT NULL CHECK (position > 0),
    payload    BLOB NOT NULL,
    event_time INTEGER NOT NULL,
    PRIMARY KEY (room_id, class, position)
) STRICT;

-- Totals that are gathered in memory and added here about once a second.
CREATE TABLE room_counter (
    room_id TEXT PRIMARY KEY REFERENCES room (room_id),
    views   INTEGER NOT NULL DEFAULT 0 CHECK (views >= 0),
    likes   INTEGER NOT NULL DEFAULT 0 CHECK (likes >= 0)
) STRICT;

-- The last flush of each process, so that one which is tried again adds nothing twice.
CREATE TABLE counter_writer (
    writer     TEXT PRIMARY KEY,
    sequence   INTEGER NOT NULL CHECK (sequence > 0),
    flush_time INTEGER NOT NULL
) STRICT;
CREATE INDEX counter_writer_by_time ON counter_writer (flush_time);

-- What shoppers ask. Text and answer stand here and nowhere else.
CREATE TABLE question (
    question_id TEXT PRIMARY KEY,
    room_id     TEXT NOT NULL REFERENCES room (room_id),
    outlet_id   TEXT NOT NULL,
    partner_id  TEXT NOT NULL,
    shopper_ref TEXT NOT NULL,
    text        TEXT NOT NULL CHECK (text <> ''),
    product_id  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('OPEN', 'ANSWERED')),
    answer      TEXT NOT NULL,
    ask_time    INTEGER NOT NULL,
    answer_time INTEGER,
    CONSTRAINT question_answered_means_answer CHECK
        ((state = 'ANSWERED') = (answer <> '') AND (state = 'ANSWERED') = (answer_time IS NOT NULL))
) STRICT;
CREATE INDEX question_by_room ON question (room_id, question_id);
CREATE INDEX question_by_state ON question (room_id, state, question_id);
CREATE INDEX question_by_partner ON question (room_id, partner_id, question_id);
CREATE INDEX question_answered ON question (room_id, answer_time, question_id) WHERE state = 'ANSWERED';
CREATE INDEX question_open ON question (room_id, outlet_id, shopper_ref) WHERE state = 'OPEN';
