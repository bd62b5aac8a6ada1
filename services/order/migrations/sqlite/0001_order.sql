-- Allotments, drops, orders, payments, refunds, contact data. The same names stand in the PostgreSQL file.
--
-- The row of an allotment is the lock of everything that counts its units: the counters of its listings
-- and drops and of the shoppers within them. Whoever changes one of those holds that row first; an order's
-- row comes after it. Hot tables carry no foreign keys to it: each check would cost a look-up per row for
-- ids that were read under the lock a moment ago.

-- Mirrors of the catalogue, written only by its feed.

CREATE TABLE partner (
    partner_id   TEXT PRIMARY KEY,
    display_name TEXT   NOT NULL,
    state        TEXT   NOT NULL CONSTRAINT partner_state CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    etag         TEXT   NOT NULL,
    -- The number in the etag: an older word never replaces a newer one.
    version      INTEGER NOT NULL DEFAULT 0,
    update_time  INTEGER NOT NULL
) STRICT;

CREATE TABLE payment_key (
    payment_key_id TEXT PRIMARY KEY,
    partner_id     TEXT NOT NULL,
    kid            TEXT   NOT NULL,
    public_key_jwk TEXT   NOT NULL,
    state          TEXT   NOT NULL CONSTRAINT payment_key_state CHECK (state IN ('ACTIVE', 'REVOKED')),
    update_time    INTEGER NOT NULL,
    UNIQUE (partner_id, kid)
) STRICT;

-- The latest word on a product; what else is known of it stands with its variants and listings.
CREATE TABLE product (
    product_id TEXT PRIMARY KEY,
    version    INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE variant (
    variant_id    TEXT PRIMARY KEY,
    product_id    TEXT NOT NULL,
    sku           TEXT   NOT NULL,
    unit          TEXT   NOT NULL CONSTRAINT variant_unit CHECK (unit IN ('EACH', 'GRAM')),
    quantity_step INTEGER NOT NULL CONSTRAINT variant_step CHECK (quantity_step >= 1)
) STRICT;

CREATE TABLE listing (
    listing_id                     TEXT PRIMARY KEY,
    partner_id                     TEXT NOT NULL REFERENCES partner (partner_id),
    variant_id                     TEXT NOT NULL,
    product_id                     TEXT NOT NULL,
    sku                            TEXT    NOT NULL,
    title                          TEXT    NOT NULL,
    unit                           TEXT    NOT NULL CONSTRAINT listing_unit CHECK (unit IN ('EACH', 'GRAM')),
    quantity_step                  INTEGER  NOT NULL CONSTRAINT listing_step CHECK (quantity_step >= 1),
    state                          TEXT    NOT NULL CONSTRAINT listing_state
        CHECK (state IN ('PROPOSED', 'APPROVED', 'LIVE', 'PAUSED', 'ENDED', 'REJECTED')),
    terms_version                  INTEGER  NOT NULL CONSTRAINT listing_terms_version CHECK (terms_version >= 1),
    currency_code                  TEXT    NOT NULL,
    price                          INTEGER  NOT NULL CONSTRAINT listing_price CHECK (price >= 0),
    per_quantity                   INTEGER  NOT NULL CONSTRAINT listing_per_quantity CHECK (per_quantity >= 1),
    retailer_discount_basis_points INTEGER  NOT NULL CONSTRAINT listing_discount
        CHECK (retailer_discount_basis_points BETWEEN 0 AND 10000),
    shipping                       INTEGER  NOT NULL CONSTRAINT listing_shipping CHECK (shipping >= 0),
    tax_basis_points               INTEGER  NOT NULL CONSTRAINT listing_tax CHECK (tax_basis_points BETWEEN 0 AND 10000),
    tax_included                   INTEGER NOT NULL,
    window_start_time              INTEGER,
    window_end_time                INTEGER,
    per_shopper_limit              INTEGER  NOT NULL CONSTRAINT listing_limit CHECK (per_shopper_limit >= 0),
    -- Region codes separated by blanks; empty for anywhere.
    territories                    TEXT    NOT NULL,
    commission_basis_points        INTEGER  NOT NULL CONSTRAINT listing_commission
        CHECK (commission_basis_points BETWEEN 0 AND 10000),
    legal_entity                   TEXT    NOT NULL,
    purchase_mode                  TEXT    NOT NULL CONSTRAINT listing_purchase_mode
        CHECK (purchase_mode IN ('IN_APP', 'REDIRECT')),
    -- Switches of the mode by time, as JSON.
    dated_purchase_modes           TEXT    NOT NULL,
    remorse_us                     INTEGER  NOT NULL CONSTRAINT listing_remorse CHECK (remorse_us >= 0),
    ship_within_us                 INTEGER  NOT NULL CONSTRAINT listing_ship_within CHECK (ship_within_us >= 0),
    ship_not_before                INTEGER,
    etag                           TEXT    NOT NULL,
    version                        INTEGER  NOT NULL DEFAULT 0,
    update_time                    INTEGER  NOT NULL
) STRICT;
CREATE INDEX listing_by_product ON listing (product_id);
CREATE INDEX listing_by_partner ON listing (partner_id, listing_id);

-- Units.

CREATE TABLE allotment (
    allotment_id TEXT PRIMARY KEY,
    variant_id   TEXT NOT NULL,
    display_name TEXT   NOT NULL,
    supplied     INTEGER NOT NULL,
    available    INTEGER NOT NULL CONSTRAINT allotment_available CHECK (available >= 0),
    held         INTEGER NOT NULL CONSTRAINT allotment_held CHECK (held >= 0),
    sold         INTEGER NOT NULL CONSTRAINT allotment_sold CHECK (sold >= 0),
    version      INTEGER NOT NULL CONSTRAINT allotment_version CHECK (version >= 1),
    create_time  INTEGER NOT NULL,
    CONSTRAINT allotment_conserved CHECK (available + held + sold = supplied)
) STRICT;

CREATE TABLE allotment_movement (
    movement_id  TEXT PRIMARY KEY,
    allotment_id TEXT NOT NULL REFERENCES allotment (allotment_id),
    kind         TEXT   NOT NULL CONSTRAINT movement_kind
        CHECK (kind IN ('INITIAL', 'TOP_UP', 'RESTOCK', 'SHRINKAGE', 'WITHDRAWN')),
    quantity     INTEGER NOT NULL,
    reason       TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    create_time  INTEGER NOT NULL,
    CONSTRAINT movement_sign CHECK ((kind = 'INITIAL' AND quantity >= 0)
        OR (kind IN ('TOP_UP', 'RESTOCK') AND quantity > 0) OR (kind IN ('SHRINKAGE', 'WITHDRAWN') AND quantity < 0))
) STRICT;
CREATE INDEX allotment_movement_by_allotment ON allotment_movement (allotment_id, movement_id);

-- A listing draws from exactly one allotment, for good; only the cap changes.
CREATE TABLE allotment_listing (
    listing_id   TEXT PRIMARY KEY REFERENCES listing (listing_id),
    allotment_id TEXT NOT NULL REFERENCES allotment (allotment_id),
    partner_id   TEXT NOT NULL,
    unit_cap     INTEGER NOT NULL CONSTRAINT allotment_listing_unit_cap CHECK (unit_cap >= 0),
    taken        INTEGER NOT NULL CONSTRAINT allotment_listing_taken CHECK (taken >= 0),
    CONSTRAINT allotment_listing_cap CHECK (unit_cap = 0 OR taken <= unit_cap)
) STRICT;
CREATE INDEX allotment_listing_by_allotment ON allotment_listing (allotment_id, listing_id);

-- `drop` is a word of SQL, so the table has another name.
CREATE TABLE drop_sale (
    drop_id          TEXT PRIMARY KEY,
    allotment_id     TEXT NOT NULL REFERENCES allotment (allotment_id),
    display_name     TEXT   NOT NULL,
    start_time       INTEGER NOT NULL,
    end_time         INTEGER NOT NULL,
    total_limit      INTEGER NOT NULL CONSTRAINT drop_sale_total_limit CHECK (total_limit >= 1),
    per_person_limit INTEGER NOT NULL CONSTRAINT drop_sale_per_person_limit CHECK (per_person_limit >= 0),
    taken            INTEGER NOT NULL CONSTRAINT drop_sale_taken CHECK (taken >= 0 AND taken <= total_limit),
    ended_time       INTEGER,
    end_reason       TEXT   NOT NULL,
    version          INTEGER NOT NULL CONSTRAINT drop_sale_version CHECK (version >= 1),
    create_time      INTEGER NOT NULL,
    CONSTRAINT drop_sale_window CHECK (start_time < end_time)
) STRICT;
CREATE INDEX drop_sale_by_allotment ON drop_sale (allotment_id, end_time);

-- `taken` is what this listing sold in the drop: what its partner may know.
CREATE TABLE drop_listing (
    drop_id    TEXT NOT NULL REFERENCES drop_sale (drop_id),
    listing_id TEXT NOT NULL REFERENCES allotment_listing (listing_id),
    taken      INTEGER NOT NULL CONSTRAINT drop_listing_taken CHECK (taken >= 0),
    PRIMARY KEY (drop_id, listing_id)
) STRICT;
CREATE INDEX drop_listing_by_listing ON drop_listing (listing_id);

-- Units that one shopper holds and has bought, by listing and by drop: `scope` is the id of either. Listings
-- are always counted, so that a limit set later knows what was bought before; drops where they have a limit.
CREATE TABLE shopper_count (
    scope       TEXT NOT NULL,
    partner_id  TEXT NOT NULL,
    shopper_ref TEXT NOT NULL,
    taken       INTEGER NOT NULL CONSTRAINT shopper_count_taken CHECK (taken >= 0),
    PRIMARY KEY (scope, partner_id, shopper_ref)
) STRICT;

CREATE TABLE sale_stop (
    stop_id     TEXT PRIMARY KEY,
    target_kind TEXT   NOT NULL CONSTRAINT sale_stop_target_kind
        CHECK (target_kind IN ('LISTING', 'ALLOTMENT', 'PRODUCT')),
    target_id   TEXT NOT NULL,
    reason      TEXT   NOT NULL,
    actor       TEXT   NOT NULL,
    create_time INTEGER NOT NULL,
    ended_time  INTEGER,
    ended_by    TEXT   NOT NULL
) STRICT;
CREATE INDEX sale_stop_active ON sale_stop (target_id) WHERE ended_time IS NULL;

-- Orders.

-- Everything above `state` was agreed at placement and never changes; repeated calls are answered from it.
CREATE TABLE orders (
    order_id              TEXT PRIMARY KEY,
    partner_id            TEXT NOT NULL,
    partner_order_id      TEXT NOT NULL,
    partner_checkout_id   TEXT NOT NULL,
    shopper_ref           TEXT NOT NULL,
    fingerprint           BLOB  NOT NULL,
    region_code           TEXT   NOT NULL,
    subdivision_code      TEXT   NOT NULL,
    currency_code         TEXT   NOT NULL,
    price                 INTEGER NOT NULL CONSTRAINT orders_price CHECK (price >= 0),
    retailer_discount     INTEGER NOT NULL CONSTRAINT orders_retailer_discount CHECK (retailer_discount >= 0),
    partner_discount      INTEGER NOT NULL CONSTRAINT orders_partner_discount CHECK (partner_discount >= 0),
    shipping              INTEGER NOT NULL CONSTRAINT orders_shipping CHECK (shipping >= 0),
    tax                   INTEGER NOT NULL CONSTRAINT orders_tax CHECK (tax >= 0),
    payable               INTEGER NOT NULL CONSTRAINT orders_payable CHECK (payable >= 0),
    commission            INTEGER NOT NULL CONSTRAINT orders_commission CHECK (commission >= 0),
    remorse_us            INTEGER NOT NULL CONSTRAINT orders_remorse CHECK (remorse_us >= 0),
    ship_within_us        INTEGER NOT NULL CONSTRAINT orders_ship_within CHECK (ship_within_us >= 0),
    presale_time          INTEGER,
    placed_hold_end       INTEGER NOT NULL,
    place_time            INTEGER NOT NULL,

    state                 TEXT   NOT NULL CONSTRAINT orders_state
        CHECK (state IN ('PENDING_PAYMENT', 'CONFIRMED', 'CANCELLED', 'EXPIRED', 'COMPLETED')),
    payment_state         TEXT   NOT NULL CONSTRAINT orders_payment_state
        CHECK (payment_state IN ('UNPAID', 'PARTIALLY_PAID', 'PAID', 'NEEDS_REVIEW', 'REFUND_DUE',
                                 'PARTIALLY_REFUNDED', 'REFUNDED')),
    fulfillment_state      TEXT   NOT NULL CONSTRAINT orders_fulfillment_state
        CHECK (fulfillment_state IN ('UNFULFILLED', 'PARTIALLY_SHIPPED', 'SHIPPED', 'DELIVERED', 'UNDELIVERED')),
    aftersale_state       TEXT   NOT NULL CONSTRAINT orders_aftersale_state
        CHECK (aftersale_state IN ('NONE', 'RETURN_OPEN', 'RETURNED')),
    hold_expire_time      INTEGER NOT NULL,
    pay_time              INTEGER,
    ship_not_before       INTEGER,
    ship_by               INTEGER,
    complete_after        INTEGER,
    has_contact           INTEGER NOT NULL,
    care_blocks           TEXT   NOT NULL DEFAULT '' CONSTRAINT orders_care_blocks
        CHECK (care_blocks IN ('', 'FRAUD', 'INSPECTION', 'FRAUD INSPECTION')),
    cancel_reason         TEXT   NOT NULL CONSTRAINT orders_cancel_reason CHECK (cancel_reason IN
        ('', 'SHOPPER_REQUEST', 'PARTNER_REQUEST', 'SHORTAGE', 'FRAUD', 'PRODUCT_SAFETY')),
    -- Fulfilment's version that the blocks are of: an older word never replaces a newer one.
    care_version          INTEGER NOT NULL DEFAULT 0,
    -- Due is what refunds say that are not executed, refunded what the others say: the shopper's part, in this currency.
    refund_due            INTEGER NOT NULL CONSTRAINT orders_refund_due CHECK (refund_due >= 0),
    refunded              INTEGER NOT NULL DEFAULT 0 CONSTRAINT orders_refunded CHECK (refunded >= 0),
    refunds_open          INTEGER NOT NULL DEFAULT 0 CONSTRAINT orders_refunds_open CHECK (refunds_open >= 0),
    -- Of the payment that paid the order.
    paid_back             INTEGER NOT NULL DEFAULT 0 CONSTRAINT orders_paid_back
        CHECK (paid_back >= 0 AND paid_back <= payable),
    partner_paid_back     INTEGER NOT NULL DEFAULT 0 CONSTRAINT orders_partner_paid_back
        CHECK (partner_paid_back >= 0 AND partner_paid_back <= partner_discount),
    returns_open          INTEGER NOT NULL DEFAULT 0 CONSTRAINT orders_returns_open CHECK (returns_open >= 0),
    version               INTEGER NOT NULL CONSTRAINT orders_version CHECK (version >= 1),
    update_time           INTEGER NOT NULL,
    CONSTRAINT orders_hold_never_shorter CHECK (hold_expire_time >= placed_hold_end),
    CONSTRAINT orders_paid CHECK (state NOT IN ('CONFIRMED', 'COMPLETED') OR pay_time IS NOT NULL),
    CONSTRAINT orders_unpaid CHECK (state NOT IN ('PENDING_PAYMENT', 'EXPIRED') OR pay_time IS NULL),
    CONSTRAINT orders_ship_times CHECK ((pay_time IS NULL) = (ship_not_before IS NULL)
        AND (pay_time IS NULL) = (ship_by IS NULL)),
    CONSTRAINT orders_refund_state CHECK ((payment_state = 'REFUND_DUE') = (refunds_open > 0)),
    CONSTRAINT orders_nothing_due CHECK (refund_due = 0 OR refunds_open > 0),
    CONSTRAINT orders_return_state CHECK ((aftersale_state = 'RETURN_OPEN') = (returns_open > 0)),
    -- In this order, because no other index then looks as good to a planner that knows nothing of the table yet.
    CONSTRAINT orders_key UNIQUE (partner_order_id, partner_id)
) STRICT;
CREATE INDEX orders_by_hold ON orders (hold_expire_time, order_id) WHERE state = 'PENDING_PAYMENT';
CREATE INDEX orders_by_completion ON orders (complete_after, order_id)
    WHERE state = 'CONFIRMED' AND complete_after IS NOT NULL AND returns_open = 0;
CREATE INDEX orders_by_partner ON orders (partner_id, order_id);
CREATE INDEX orders_by_checkout ON orders (partner_id, partner_checkout_id, order_id) WHERE partner_checkout_id <> '';

-- Counters only grow; everything else of a line never changes.
CREATE TABLE order_line (
    order_id          TEXT NOT NULL REFERENCES orders (order_id),
    line_number       INTEGER  NOT NULL,
    order_line_id     TEXT NOT NULL,
    listing_id        TEXT NOT NULL,
    allotment_id      TEXT NOT NULL,
    variant_id        TEXT    NOT NULL,
    product_id        TEXT    NOT NULL,
    sku               TEXT    NOT NULL,
    title             TEXT    NOT NULL,
    unit              TEXT    NOT NULL CONSTRAINT order_line_unit CHECK (unit IN ('EACH', 'GRAM')),
    terms_version     INTEGER  NOT NULL,
    unit_price        INTEGER  NOT NULL,
    per_quantity      INTEGER  NOT NULL CONSTRAINT order_line_per_quantity CHECK (per_quantity >= 1),
    price             INTEGER  NOT NULL,
    retailer_discount INTEGER  NOT NULL,
    partner_discount  INTEGER  NOT NULL,
    shipping          INTEGER  NOT NULL,
    tax               INTEGER  NOT NULL,
    tax_included      INTEGER NOT NULL,
    payable           INTEGER  NOT NULL,
    commission        INTEGER  NOT NULL,
    drop_id           TEXT NOT NULL,
    drop_person_limited INTEGER NOT NULL,
    collected_by      TEXT    NOT NULL CONSTRAINT order_line_collected_by CHECK (collected_by IN ('PARTNER', 'RETAILER')),
    legal_entity      TEXT    NOT NULL,
    touchpoints       TEXT    NOT NULL,

    ordered           INTEGER  NOT NULL CONSTRAINT order_line_ordered CHECK (ordered >= 1),
    cancelled         INTEGER  NOT NULL CONSTRAINT order_line_cancelled CHECK (cancelled >= 0),
    shipped           INTEGER  NOT NULL CONSTRAINT order_line_shipped CHECK (shipped >= 0),
    delivered         INTEGER  NOT NULL CONSTRAINT order_line_delivered CHECK (delivered >= 0),
    undelivered       INTEGER  NOT NULL CONSTRAINT order_line_undelivered CHECK (undelivered >= 0),
    returned          INTEGER  NOT NULL CONSTRAINT order_line_returned CHECK (returned >= 0),
    refunded          INTEGER  NOT NULL CONSTRAINT order_line_refunded CHECK (refunded >= 0),
    PRIMARY KEY (order_id, line_number),
    CONSTRAINT order_line_amount CHECK (price >= 0 AND retailer_discount >= 0 AND partner_discount >= 0
        AND shipping >= 0 AND tax >= 0 AND payable >= 0 AND commission >= 0
        AND retailer_discount + partner_discount <= price),
    CONSTRAINT order_line_payable CHECK (payable = price - retailer_discount - partner_discount + shipping
        + CASE WHEN tax_included THEN 0 ELSE tax END),
    CONSTRAINT order_line_cancelled_or_shipped CHECK (cancelled + shipped <= ordered),
    CONSTRAINT order_line_arrived CHECK (delivered + undelivered <= shipped),
    CONSTRAINT order_line_returned_arrived CHECK (returned <= delivered),
    CONSTRAINT order_line_refunded_for CHECK (refunded <= cancelled + undelivered + returned)
) STRICT;

-- Money that a partner stated, signed. `amount` is the shopper's money, `partner_amount` what the partner
-- added at its own cost; what is to go back never exceeds either, and what went back
-- never exceeds that.
CREATE TABLE payment (
    payment_id        TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL,
    partner_id        TEXT NOT NULL,
    payment_reference TEXT NOT NULL,
    currency_code     TEXT   NOT NULL,
    amount            INTEGER NOT NULL CONSTRAINT payment_amount CHECK (amount >= 0),
    partner_amount    INTEGER NOT NULL CONSTRAINT payment_partner_amount CHECK (partner_amount >= 0),
    refunded          INTEGER NOT NULL CONSTRAINT payment_refunded CHECK (refunded >= 0 AND refunded <= amount),
    partner_refunded  INTEGER NOT NULL CONSTRAINT payment_partner_refunded
        CHECK (partner_refunded >= 0 AND partner_refunded <= partner_amount),
    paid_back         INTEGER NOT NULL DEFAULT 0 CONSTRAINT payment_paid_back
        CHECK (paid_back >= 0 AND paid_back <= refunded),
    partner_paid_back INTEGER NOT NULL DEFAULT 0 CONSTRAINT payment_partner_paid_back
        CHECK (partner_paid_back >= 0 AND partner_paid_back <= partner_refunded),
    outcome           TEXT   NOT NULL CONSTRAINT payment_outcome
        CHECK (outcome IN ('PAID', 'PARTIALLY_PAID', 'NEEDS_REVIEW', 'REFUND_DUE')),
    refund_id         TEXT   NOT NULL,
    refund_reason     TEXT   NOT NULL CONSTRAINT payment_refund_reason CHECK (refund_reason IN
        ('', 'HOLD_EXPIRED', 'ORDER_CANCELLED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'SALE_STOPPED')),
    kid               TEXT   NOT NULL,
    statement         TEXT   NOT NULL,
    pay_time          INTEGER NOT NULL,
    record_time       INTEGER NOT NULL,
    CONSTRAINT payment_key_once UNIQUE (order_id, payment_reference),
    CONSTRAINT payment_refund_with_reason CHECK ((outcome = 'REFUND_DUE') = (refund_reason <> '')
        AND (outcome = 'REFUND_DUE') = (refund_id <> ''))
) STRICT;
-- An order is paid once.
CREATE UNIQUE INDEX payment_paid_once ON payment (order_id) WHERE outcome = 'PAID';

CREATE TABLE refund (
    refund_id         TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL,
    partner_id        TEXT NOT NULL,
    payment_id        TEXT NOT NULL REFERENCES payment (payment_id),
    payment_reference TEXT   NOT NULL,
    reason            TEXT   NOT NULL CONSTRAINT refund_reason CHECK (reason IN
        ('HOLD_EXPIRED', 'ORDER_CANCELLED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'SALE_STOPPED',
         'LINES_CANCELLED', 'UNDELIVERED', 'RETURNED')),
    currency_code     TEXT   NOT NULL,
    shopper_amount    INTEGER NOT NULL CONSTRAINT refund_shopper_amount CHECK (shopper_amount >= 0),
    partner_amount    INTEGER NOT NULL CONSTRAINT refund_partner_amount CHECK (partner_amount >= 0),
    state             TEXT   NOT NULL CONSTRAINT refund_state CHECK (state IN ('AUTHORISED', 'EXECUTED', 'FAILED')),
    lines             TEXT   NOT NULL,
    return_id         TEXT NOT NULL DEFAULT '',
    attempt           INTEGER NOT NULL DEFAULT 1 CONSTRAINT refund_attempt CHECK (attempt >= 1),
    failure           TEXT   NOT NULL DEFAULT '' CONSTRAINT refund_failure CHECK (failure IN
        ('', 'ACCOUNT_CLOSED', 'DECLINED', 'PAYMENT_TOO_OLD', 'INSUFFICIENT_FUNDS', 'OTHER')),
    refund_reference  TEXT   NOT NULL DEFAULT '',
    report_time       INTEGER,
    create_time       INTEGER NOT NULL,
    finish_time       INTEGER,
    version           INTEGER NOT NULL CONSTRAINT refund_version CHECK (version >= 1),
    CONSTRAINT refund_finished CHECK ((state = 'AUTHORISED') = (finish_time IS NULL)),
    -- What pays nothing back needs no report, so it has no reference.
    CONSTRAINT refund_reported CHECK ((state = 'AUTHORISED') = (report_time IS NULL)
        AND (state <> 'AUTHORISED' OR refund_reference = '')
        AND (state = 'AUTHORISED' OR refund_reference <> '' OR (shopper_amount = 0 AND partner_amount = 0))),
    CONSTRAINT refund_failed CHECK ((state = 'FAILED') = (failure <> '')),
    CONSTRAINT refund_of_return CHECK ((reason = 'RETURNED') = (return_id <> ''))
) STRICT;
CREATE INDEX refund_by_order ON refund (order_id, refund_id);
CREATE INDEX refund_by_partner ON refund (partner_id, refund_id);

-- Goods are paid back for once per return.
CREATE UNIQUE INDEX refund_once_per_return ON refund (return_id) WHERE return_id <> '';

-- What the partner stated of a refund, signed: once per attempt, and each reference once.
CREATE TABLE refund_report (
    refund_id        TEXT NOT NULL REFERENCES refund (refund_id),
    refund_reference TEXT NOT NULL,
    attempt          INTEGER NOT NULL CONSTRAINT refund_report_attempt CHECK (attempt >= 1),
    failure          TEXT   NOT NULL CONSTRAINT refund_report_failure CHECK (failure IN
        ('', 'ACCOUNT_CLOSED', 'DECLINED', 'PAYMENT_TOO_OLD', 'INSUFFICIENT_FUNDS', 'OTHER')),
    kid              TEXT   NOT NULL,
    statement        TEXT   NOT NULL,
    version          INTEGER NOT NULL,
    report_time      INTEGER NOT NULL,
    record_time      INTEGER NOT NULL,
    PRIMARY KEY (refund_id, refund_reference),
    CONSTRAINT refund_report_once UNIQUE (refund_id, attempt)
) STRICT;
-- What is executed is final.
CREATE UNIQUE INDEX refund_report_executed ON refund_report (refund_id) WHERE failure = '';

-- How far the returns have come that fulfilment told of; a stage only rises.
CREATE TABLE order_return (
    return_id   TEXT PRIMARY KEY,
    order_id    TEXT NOT NULL,
    stage       TEXT   NOT NULL CONSTRAINT order_return_stage CHECK (stage IN ('OPEN', 'ENDED', 'RECEIVED')),
    update_time INTEGER NOT NULL
) STRICT;

-- How to reach the shopper: here and nowhere else.
CREATE TABLE contact (
    order_id        TEXT PRIMARY KEY REFERENCES orders (order_id),
    form            TEXT   NOT NULL CONSTRAINT contact_form CHECK (form IN ('PLAIN', 'TOKEN')),
    recipient_name  TEXT   NOT NULL,
    phone_number    TEXT   NOT NULL,
    address_lines   TEXT   NOT NULL,
    locality        TEXT   NOT NULL,
    postal_code     TEXT   NOT NULL,
    region_code     TEXT   NOT NULL,
    token           TEXT   NOT NULL,
    masked_text     TEXT   NOT NULL,
    contact_version INTEGER NOT NULL CONSTRAINT contact_version_positive CHECK (contact_version >= 1),
    update_time     INTEGER NOT NULL
) STRICT;
