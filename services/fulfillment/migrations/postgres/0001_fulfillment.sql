-- Fulfilments, shipments, and cancellations that came before their order. The same names stand in the
-- SQLite file.

-- One row per order that has arrived, or for which a cancellation has come ahead of it. Whoever lets the
-- order in and whoever leaves a cancellation for it lock this row first, so neither misses the other.
CREATE TABLE order_arrival (
    order_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- '' until the order has arrived.
    fulfillment_id TEXT COLLATE "C" NOT NULL DEFAULT '',
    -- Cancellations that came ahead of it.
    tombstones     BIGINT NOT NULL DEFAULT 0 CHECK (tombstones >= 0),
    touch_time     BIGINT NOT NULL
);
CREATE INDEX order_arrival_expected ON order_arrival (touch_time) WHERE fulfillment_id = '';

-- A cancellation that waits for its order; gone once it is decided. `lines` is a JSON array of
-- [order_line_id, quantity]; an empty one means all that is left.
CREATE TABLE tombstone (
    tombstone_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    order_id     TEXT COLLATE "C" NOT NULL REFERENCES order_arrival (order_id) ON DELETE CASCADE,
    partner_id   TEXT COLLATE "C" NOT NULL,
    lines        TEXT NOT NULL,
    reason       TEXT NOT NULL CHECK (reason IN
                 ('SHOPPER_REQUEST', 'PARTNER_REQUEST', 'SHORTAGE', 'FRAUD', 'PRODUCT_SAFETY')),
    create_time  BIGINT NOT NULL
);
CREATE INDEX tombstone_by_order ON tombstone (order_id, tombstone_id);

-- One order's goods. Everything that changes about it or its shipments happens under the lock of this row.
CREATE TABLE fulfillment (
    fulfillment_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    order_id         TEXT COLLATE "C" NOT NULL UNIQUE,
    partner_id       TEXT COLLATE "C" NOT NULL,
    state            TEXT NOT NULL CHECK (state IN
                     ('WAITING', 'READY', 'IN_PROGRESS', 'SHIPPED', 'FINISHED', 'CANCELLED')),
    remorse          BOOLEAN NOT NULL,
    fraud            BOOLEAN NOT NULL,
    address_missing  BOOLEAN NOT NULL,
    presale          BOOLEAN NOT NULL,
    inspection       BOOLEAN NOT NULL,
    ship_not_before  BIGINT NOT NULL,
    ship_by          BIGINT NOT NULL,
    -- `ship_by` while it can be shipped, which puts it into the work queue; else absent.
    work_time        BIGINT,
    region_code      TEXT NOT NULL,
    subdivision_code TEXT NOT NULL,
    create_time      BIGINT NOT NULL,
    version          BIGINT NOT NULL CHECK (version > 0),
    CONSTRAINT fulfillment_waits_for_something CHECK
        (state <> 'WAITING' OR remorse OR fraud OR address_missing OR presale OR inspection),
    CONSTRAINT fulfillment_blocked_only_while_something_is_left CHECK
        (state IN ('WAITING', 'IN_PROGRESS') OR NOT (remorse OR fraud OR address_missing OR presale OR inspection)),
    CONSTRAINT fulfillment_is_work_while_it_can_be_shipped CHECK
        ((work_time IS NOT NULL) = (state IN ('READY', 'IN_PROGRESS')
         AND NOT (remorse OR fraud OR address_missing OR presale OR inspection))
         AND (work_time IS NULL OR work_time = ship_by))
);
CREATE INDEX fulfillment_by_partner ON fulfillment (partner_id, fulfillment_id);
CREATE INDEX fulfillment_by_state ON fulfillment (state, fulfillment_id);
CREATE INDEX fulfillment_work ON fulfillment (work_time, fulfillment_id) WHERE work_time IS NOT NULL;
CREATE INDEX fulfillment_lifted_by_time ON fulfillment (ship_not_before, fulfillment_id) WHERE remorse OR presale;

-- One line of it and its counters, which only grow but for in_returns.
CREATE TABLE fulfillment_line (
    fulfillment_id TEXT COLLATE "C" NOT NULL REFERENCES fulfillment (fulfillment_id),
    order_line_id  TEXT COLLATE "C" NOT NULL,
    line_no        BIGINT NOT NULL CHECK (line_no >= 0),
    variant_id     TEXT COLLATE "C" NOT NULL,
    sku            TEXT NOT NULL,
    title          TEXT NOT NULL,
    unit           TEXT NOT NULL CHECK (unit IN ('EACH', 'GRAM')),
    ordered        BIGINT NOT NULL CHECK (ordered > 0),
    cancelled      BIGINT NOT NULL CHECK (cancelled >= 0),
    shipped        BIGINT NOT NULL CHECK (shipped >= 0),
    delivered      BIGINT NOT NULL CHECK (delivered >= 0),
    undelivered    BIGINT NOT NULL CHECK (undelivered >= 0),
    -- Delivered, and set aside for open returns; the one counter that falls as well.
    in_returns     BIGINT NOT NULL CHECK (in_returns >= 0),
    returned       BIGINT NOT NULL CHECK (returned >= 0),
    PRIMARY KEY (fulfillment_id, order_line_id),
    CONSTRAINT line_cancelled_or_shipped_once CHECK (cancelled + shipped <= ordered),
    CONSTRAINT line_ends_only_what_was_shipped CHECK (delivered + undelivered <= shipped),
    CONSTRAINT line_comes_back_once_and_only_when_delivered CHECK (in_returns + returned <= delivered)
);

-- Blocks that people set and lifted, and why.
CREATE TABLE block_change (
    change_id      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fulfillment_id TEXT COLLATE "C" NOT NULL REFERENCES fulfillment (fulfillment_id),
    ship_block     TEXT NOT NULL CHECK (ship_block IN ('FRAUD', 'INSPECTION')),
    lifted         BOOLEAN NOT NULL,
    reason         TEXT NOT NULL,
    who            TEXT NOT NULL,
    change_time    BIGINT NOT NULL
);
CREATE INDEX block_change_by_fulfillment ON block_change (fulfillment_id, change_id);

-- One parcel.
CREATE TABLE shipment (
    shipment_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fulfillment_id  TEXT COLLATE "C" NOT NULL REFERENCES fulfillment (fulfillment_id),
    order_id        TEXT COLLATE "C" NOT NULL,
    partner_id      TEXT COLLATE "C" NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('PACKED', 'SHIPPED', 'DELIVERED', 'FAILED')),
    carrier_code    TEXT NOT NULL,
    tracking_number TEXT NOT NULL,
    event_count     BIGINT NOT NULL CHECK (event_count >= 0),
    ship_time       BIGINT NOT NULL,
    finish_time     BIGINT,
    version         BIGINT NOT NULL CHECK (version > 0),
    CONSTRAINT shipment_ends_at_a_time CHECK ((state IN ('DELIVERED', 'FAILED')) = (finish_time IS NOT NULL))
);
CREATE INDEX shipment_by_partner ON shipment (partner_id, shipment_id);
CREATE INDEX shipment_by_order ON shipment (order_id, shipment_id);
CREATE INDEX shipment_by_state ON shipment (state, shipment_id);

-- Units of one line in a parcel.
CREATE TABLE shipment_line (
    shipment_id   TEXT COLLATE "C" NOT NULL REFERENCES shipment (shipment_id),
    line_no       BIGINT NOT NULL CHECK (line_no >= 0),
    order_line_id TEXT COLLATE "C" NOT NULL,
    quantity      BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, order_line_id)
);

-- What the carrier said.
CREATE TABLE tracking_event (
    shipment_id      TEXT COLLATE "C" NOT NULL REFERENCES shipment (shipment_id),
    carrier_event_id TEXT COLLATE "C" NOT NULL,
    status           TEXT NOT NULL CHECK (status IN
                     ('IN_TRANSIT', 'OUT_FOR_DELIVERY', 'ATTEMPT_FAILED', 'DELIVERED', 'LOST', 'RETURNED_TO_SENDER')),
    event_time       BIGINT NOT NULL,
    description      TEXT NOT NULL,
    record_time      BIGINT NOT NULL,
    PRIMARY KEY (shipment_id, carrier_event_id)
);
