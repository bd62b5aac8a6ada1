-- Goods that come back. The same names stand in the SQLite file.

-- A return. Everything that changes about it happens under the lock of its fulfilment's row, which holds the counters
-- of units in returns.
CREATE TABLE goods_return (
    return_id                TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    fulfillment_id           TEXT COLLATE "C" NOT NULL REFERENCES fulfillment (fulfillment_id),
    order_id                 TEXT COLLATE "C" NOT NULL,
    partner_id               TEXT COLLATE "C" NOT NULL,
    kind                     TEXT NOT NULL CHECK (kind IN
                             ('RETURN_AND_REFUND', 'REFUND_ONLY', 'EXCHANGE', 'REPLACEMENT')),
    state                    TEXT NOT NULL CHECK (state IN
                             ('REQUESTED', 'APPROVED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'RECEIVED', 'COMPLETED')),
    initiator                TEXT NOT NULL CHECK (initiator IN ('PARTNER', 'RETAILER')),
    -- The shopper's words: personal data, read by GetReturn alone, and emptied some time after the end.
    shopper_note             TEXT NOT NULL,
    -- '' until it is approved, and where there is nothing to say.
    return_site_reference TEXT NOT NULL,
    carrier_code             TEXT NOT NULL,
    tracking_number          TEXT NOT NULL,
    -- Absent until it is approved.
    return_by_time           BIGINT,
    decision_message         TEXT NOT NULL,
    create_time              BIGINT NOT NULL,
    decide_time              BIGINT,
    receive_time             BIGINT,
    finish_time              BIGINT,
    -- '' until the order service has told of one, like the rest of the refund.
    refund_id                TEXT COLLATE "C" NOT NULL,
    refund_state             TEXT NOT NULL CHECK (refund_state IN ('', 'AUTHORISED', 'EXECUTED', 'FAILED')),
    refund_attempt           BIGINT NOT NULL CHECK (refund_attempt >= 0),
    refund_currency          TEXT NOT NULL,
    refund_minor_units       BIGINT NOT NULL CHECK (refund_minor_units >= 0),
    version                  BIGINT NOT NULL CHECK (version > 0),
    CONSTRAINT return_goes_somewhere_once_approved CHECK
        (CASE WHEN state IN ('REQUESTED', 'REJECTED') THEN return_by_time IS NULL
              WHEN state = 'CANCELLED' THEN (return_by_time IS NULL) = (decide_time IS NULL)
              ELSE return_by_time IS NOT NULL END),
    CONSTRAINT return_is_decided_once CHECK
        (state = 'CANCELLED' OR (state = 'REQUESTED') = (decide_time IS NULL)),
    CONSTRAINT return_is_received_at_a_time CHECK ((state IN ('RECEIVED', 'COMPLETED')) = (receive_time IS NOT NULL)),
    CONSTRAINT return_ends_at_a_time CHECK
        ((state IN ('REJECTED', 'CANCELLED', 'EXPIRED', 'COMPLETED')) = (finish_time IS NOT NULL)),
    CONSTRAINT return_is_refunded_when_received CHECK
        ((refund_state = '' OR receive_time IS NOT NULL) AND (state = 'COMPLETED') = (refund_state = 'EXECUTED')
         AND (refund_state = '') = (refund_id = '') AND (refund_state = '') = (refund_currency = ''))
);
CREATE INDEX goods_return_by_partner ON goods_return (partner_id, return_id);
CREATE INDEX goods_return_by_order ON goods_return (order_id, return_id);
CREATE INDEX goods_return_by_state ON goods_return (state, return_id);
CREATE INDEX goods_return_overdue ON goods_return (return_by_time, return_id) WHERE state = 'APPROVED';
CREATE INDEX goods_return_with_note ON goods_return (finish_time, return_id) WHERE shopper_note <> '';

-- Units of one line of a return.
CREATE TABLE goods_return_line (
    return_id     TEXT COLLATE "C" NOT NULL REFERENCES goods_return (return_id),
    order_line_id TEXT COLLATE "C" NOT NULL,
    line_no       BIGINT NOT NULL CHECK (line_no >= 0),
    reason        TEXT NOT NULL CHECK (reason IN
                  ('CHANGED_MIND', 'DOES_NOT_FIT', 'NOT_AS_DESCRIBED', 'DEFECTIVE', 'DAMAGED_IN_TRANSIT',
                   'WRONG_ITEM', 'ARRIVED_LATE', 'OTHER')),
    requested     BIGINT NOT NULL CHECK (requested > 0),
    approved      BIGINT NOT NULL CHECK (approved >= 0),
    received      BIGINT NOT NULL CHECK (received >= 0),
    PRIMARY KEY (return_id, order_line_id),
    CONSTRAINT return_line_narrows CHECK (received <= approved AND approved <= requested)
);

-- Received units of one line in one condition. Damaged and defective goods do not go back on sale.
CREATE TABLE goods_return_condition (
    return_id       TEXT COLLATE "C" NOT NULL,
    order_line_id   TEXT COLLATE "C" NOT NULL,
    goods_condition TEXT NOT NULL CHECK (goods_condition IN ('AS_NEW', 'OPENED', 'USED', 'DAMAGED', 'DEFECTIVE')),
    quantity        BIGINT NOT NULL CHECK (quantity > 0),
    restock         BIGINT NOT NULL CHECK (restock >= 0),
    PRIMARY KEY (return_id, order_line_id, goods_condition),
    FOREIGN KEY (return_id, order_line_id) REFERENCES goods_return_line (return_id, order_line_id),
    CONSTRAINT condition_restocks_what_came CHECK
        (restock <= quantity AND (restock = 0 OR goods_condition NOT IN ('DAMAGED', 'DEFECTIVE')))
);
