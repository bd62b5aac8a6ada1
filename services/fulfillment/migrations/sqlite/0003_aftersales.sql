-- Matters after the sale. The same names stand in the PostgreSQL file.

-- One matter between a shopper and the retailer. Everything that changes about it happens under the lock of its
-- fulfilment's row. Its timer is `due_time` and is fenced by `version`.
CREATE TABLE aftersale (
    aftersale_id           TEXT NOT NULL PRIMARY KEY,
    fulfillment_id         TEXT NOT NULL REFERENCES fulfillment (fulfillment_id),
    order_id               TEXT NOT NULL,
    partner_id             TEXT NOT NULL,
    kind                   TEXT NOT NULL CHECK (kind IN
                           ('REFUND_ONLY', 'RETURN_AND_REFUND', 'EXCHANGE', 'REPLACEMENT')),
    state                  TEXT NOT NULL CHECK (state IN
                           ('REQUESTED', 'COUNTER_OFFERED', 'AWAITING_APPROVAL', 'AWAITING_GOODS', 'GOODS_RECEIVED',
                            'AWAITING_RESHIPMENT', 'REFUNDING', 'RESOLVED', 'REJECTED', 'WITHDRAWN', 'EXPIRED')),
    reason                 TEXT NOT NULL CHECK (reason IN
                           ('DAMAGED', 'WRONG_ITEM', 'NOT_AS_DESCRIBED', 'COUNTERFEIT_CLAIM', 'MISSING_PARTS',
                            'NEVER_ARRIVED', 'CHANGED_MIND', 'LATE', 'DEFECTIVE', 'DOES_NOT_FIT', 'OTHER',
                            'CARRIER_LOST', 'CARRIER_DAMAGED', 'CARRIER_REFUSED', 'CARRIER_RETURNED')),
    opened_by              TEXT NOT NULL CHECK (opened_by IN ('SHOPPER', 'RETAILER', 'CARRIER')),
    message                TEXT NOT NULL,
    cost_bearer            TEXT NOT NULL CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER')),
    -- Who has granted it: never who agrees to an amount above the limit. '' until then, and when time has.
    granted_by             TEXT NOT NULL,
    -- The latest offer; 0 and '' before the first.
    offer_number           INTEGER NOT NULL CHECK (offer_number >= 0),
    offer_kind             TEXT NOT NULL CHECK (offer_kind IN
                           ('', 'REFUND_ONLY', 'RETURN_AND_REFUND', 'EXCHANGE', 'REPLACEMENT')),
    offer_message          TEXT NOT NULL,
    -- '' until granted or offered, and where no goods come back.
    return_site_reference  TEXT NOT NULL,
    carrier_code           TEXT NOT NULL,
    tracking_number        TEXT NOT NULL,
    return_by_time         INTEGER,
    -- The goods that come back; '' where none do.
    return_id              TEXT NOT NULL,
    -- The parcel whose end opened it; '' otherwise.
    shipment_id            TEXT NOT NULL,
    reship_carrier_code    TEXT NOT NULL,
    reship_tracking_number TEXT NOT NULL,
    reship_time            INTEGER,
    -- '' until the order service has told of one, like the rest of the refund.
    refund_id              TEXT NOT NULL,
    refund_state           TEXT NOT NULL CHECK (refund_state IN ('', 'AUTHORISED', 'EXECUTED', 'FAILED', 'WITHDRAWN')),
    refund_attempt         INTEGER NOT NULL CHECK (refund_attempt >= 0),
    refund_currency        TEXT NOT NULL,
    refund_minor_units     INTEGER NOT NULL CHECK (refund_minor_units >= 0),
    -- How many steps and pieces of evidence it has.
    step_count             INTEGER NOT NULL CHECK (step_count > 0),
    evidence_count         INTEGER NOT NULL CHECK (evidence_count >= 0),
    -- When the service acts itself; absent once it is over.
    due_time               INTEGER,
    create_time            INTEGER NOT NULL,
    settle_time            INTEGER,
    finish_time            INTEGER,
    version                INTEGER NOT NULL CHECK (version > 0),
    CONSTRAINT aftersale_has_a_timer_while_it_is_open CHECK
        ((due_time IS NULL) = (state IN ('RESOLVED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'))),
    CONSTRAINT aftersale_ends_at_a_time CHECK
        ((finish_time IS NOT NULL) = (state IN ('RESOLVED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'))),
    CONSTRAINT aftersale_is_settled_once CHECK
        (CASE WHEN state IN ('REFUNDING', 'RESOLVED') THEN settle_time IS NOT NULL
              -- The retailer gave up a refund that had failed.
              WHEN state = 'REJECTED' THEN (settle_time IS NOT NULL) = (refund_state = 'WITHDRAWN')
              ELSE settle_time IS NULL END),
    CONSTRAINT aftersale_is_refunded_when_settled CHECK
        ((refund_state = '' OR settle_time IS NOT NULL)
         AND (refund_state = '') = (refund_id = '') AND (refund_state = '') = (refund_currency = '')),
    CONSTRAINT aftersale_offer_is_whole CHECK ((offer_number = 0) = (offer_kind = ''))
) STRICT;
CREATE INDEX aftersale_by_partner ON aftersale (partner_id, aftersale_id);
CREATE INDEX aftersale_by_order ON aftersale (order_id, aftersale_id);
CREATE INDEX aftersale_by_state ON aftersale (state, aftersale_id);
CREATE INDEX aftersale_due ON aftersale (due_time, aftersale_id) WHERE due_time IS NOT NULL;
-- The end of a parcel opens one matter.
CREATE UNIQUE INDEX aftersale_of_shipment ON aftersale (shipment_id) WHERE shipment_id <> '';

-- Units of one line of a matter.
CREATE TABLE aftersale_line (
    aftersale_id  TEXT NOT NULL REFERENCES aftersale (aftersale_id),
    order_line_id TEXT NOT NULL,
    line_no       INTEGER NOT NULL CHECK (line_no >= 0),
    variant_id    TEXT NOT NULL,
    sku           TEXT NOT NULL,
    unit          TEXT NOT NULL CHECK (unit IN ('EACH', 'GRAM')),
    quantity      INTEGER NOT NULL CHECK (quantity > 0),
    -- '' where the order service pays back by itself.
    currency_code TEXT NOT NULL,
    amount        INTEGER NOT NULL CHECK (amount >= 0),
    offer_amount  INTEGER NOT NULL CHECK (offer_amount >= 0),
    -- What the inspection found.
    sellable      INTEGER NOT NULL CHECK (sellable >= 0),
    damaged       INTEGER NOT NULL CHECK (damaged >= 0),
    counterfeit   INTEGER NOT NULL CHECK (counterfeit >= 0),
    not_ours      INTEGER NOT NULL CHECK (not_ours >= 0),
    restock       INTEGER NOT NULL CHECK (restock >= 0),
    PRIMARY KEY (aftersale_id, order_line_id),
    CONSTRAINT aftersale_line_accepts_what_it_has CHECK
        (sellable + damaged + counterfeit <= quantity AND restock <= sellable),
    CONSTRAINT aftersale_line_without_a_currency_has_no_amount CHECK
        (currency_code <> '' OR (amount = 0 AND offer_amount = 0))
) STRICT, WITHOUT ROWID;

-- Goods that went out in place of others.
CREATE TABLE aftersale_reshipped (
    aftersale_id  TEXT NOT NULL,
    item_no       INTEGER NOT NULL CHECK (item_no >= 0),
    order_line_id TEXT NOT NULL,
    variant_id    TEXT NOT NULL,
    quantity      INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (aftersale_id, item_no),
    FOREIGN KEY (aftersale_id, order_line_id) REFERENCES aftersale_line (aftersale_id, order_line_id)
) STRICT, WITHOUT ROWID;

-- Evidence, which is kept elsewhere. Only added.
CREATE TABLE aftersale_evidence (
    aftersale_id       TEXT NOT NULL REFERENCES aftersale (aftersale_id),
    evidence_no        INTEGER NOT NULL CHECK (evidence_no > 0),
    evidence_reference TEXT NOT NULL,
    sha256_hex         TEXT NOT NULL CHECK (LENGTH(sha256_hex) = 64),
    media_type         TEXT NOT NULL,
    size_bytes         INTEGER NOT NULL CHECK (size_bytes > 0),
    party              TEXT NOT NULL CHECK (party IN ('SHOPPER', 'RETAILER')),
    create_time        INTEGER NOT NULL,
    PRIMARY KEY (aftersale_id, evidence_no)
) STRICT, WITHOUT ROWID;

-- What happened. Only added.
CREATE TABLE aftersale_step (
    aftersale_id TEXT NOT NULL REFERENCES aftersale (aftersale_id),
    step_no      INTEGER NOT NULL CHECK (step_no > 0),
    kind         TEXT NOT NULL CHECK (kind IN
                 ('OPENED', 'OFFERED', 'OFFER_ACCEPTED', 'OFFER_DECLINED', 'GRANTED', 'APPROVAL_ASKED', 'APPROVED',
                  'REJECTED', 'WITHDRAWN', 'RECEIVED', 'INSPECTED', 'RESHIPPED', 'SETTLED', 'REFUND_AUTHORISED',
                  'REFUND_FAILED', 'REFUND_EXECUTED', 'EVIDENCE_ADDED', 'EXPIRED', 'REMINDED')),
    party        TEXT NOT NULL CHECK (party IN ('SHOPPER', 'PARTNER', 'RETAILER', 'CARRIER', 'TIME')),
    state        TEXT NOT NULL,
    message      TEXT NOT NULL,
    -- As the audit names them; '' for time. Never shown to partners.
    who          TEXT NOT NULL,
    step_time    INTEGER NOT NULL,
    PRIMARY KEY (aftersale_id, step_no)
) STRICT, WITHOUT ROWID;

-- What was paid for a line, and what of it open and settled matters have promised to pay back.
CREATE TABLE line_money (
    fulfillment_id TEXT NOT NULL,
    order_line_id  TEXT NOT NULL,
    currency_code  TEXT NOT NULL,
    payable        INTEGER NOT NULL CHECK (payable >= 0),
    promised       INTEGER NOT NULL CHECK (promised >= 0),
    PRIMARY KEY (fulfillment_id, order_line_id),
    FOREIGN KEY (fulfillment_id, order_line_id) REFERENCES fulfillment_line (fulfillment_id, order_line_id),
    CONSTRAINT line_promises_no_more_than_was_paid CHECK (promised <= payable)
) STRICT, WITHOUT ROWID;

-- The matter that a return is a part of; '' for one that was asked for by itself.
ALTER TABLE goods_return ADD COLUMN aftersale_id TEXT NOT NULL DEFAULT '';
DROP INDEX goods_return_overdue;
CREATE INDEX goods_return_overdue ON goods_return (return_by_time, return_id)
    WHERE state = 'APPROVED' AND aftersale_id = '';

-- Parcels are refused and destroyed as well: the table is made anew, because its CHECK cannot be changed.
CREATE TABLE tracking_event_new (
    shipment_id      TEXT NOT NULL REFERENCES shipment (shipment_id),
    carrier_event_id TEXT NOT NULL,
    status           TEXT NOT NULL CHECK (status IN
                     ('IN_TRANSIT', 'OUT_FOR_DELIVERY', 'ATTEMPT_FAILED', 'DELIVERED', 'LOST', 'RETURNED_TO_SENDER',
                      'REFUSED', 'DESTROYED')),
    event_time       INTEGER NOT NULL,
    description      TEXT NOT NULL,
    record_time      INTEGER NOT NULL,
    PRIMARY KEY (shipment_id, carrier_event_id)
) STRICT, WITHOUT ROWID;
INSERT INTO tracking_event_new SELECT shipment_id, carrier_event_id, status, event_time, description, record_time
    FROM tracking_event;
DROP TABLE tracking_event;
ALTER TABLE tracking_event_new RENAME TO tracking_event;
