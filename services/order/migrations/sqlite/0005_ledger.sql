-- The ledger; refunds that people decide on; what a shopper is given beyond the price; what a bank takes back.
-- The same names stand in the file of the other engine.

-- Refunds have more reasons, and one more end. What they are composed of is in `lines`.
-- SQLite cannot change a check, so the table is made anew, with what refers to it.
CREATE TABLE refund_anew (
    refund_id         TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL,
    partner_id        TEXT NOT NULL,
    payment_id        TEXT NOT NULL REFERENCES payment (payment_id),
    payment_reference TEXT   NOT NULL,
    reason            TEXT   NOT NULL CONSTRAINT refund_reason CHECK (reason IN
        ('HOLD_EXPIRED', 'ORDER_CANCELLED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'SALE_STOPPED',
         'LINES_CANCELLED', 'UNDELIVERED', 'RETURNED', 'GOODWILL', 'AFTERSALE', 'NEVER_ARRIVED',
         'NOT_AS_DESCRIBED', 'PRICE_ADJUSTMENT')),
    currency_code     TEXT   NOT NULL,
    shopper_amount    INTEGER NOT NULL CONSTRAINT refund_shopper_amount CHECK (shopper_amount >= 0),
    partner_amount    INTEGER NOT NULL CONSTRAINT refund_partner_amount CHECK (partner_amount >= 0),
    state             TEXT   NOT NULL CONSTRAINT refund_state CHECK (state IN ('AUTHORISED', 'EXECUTED', 'FAILED', 'WITHDRAWN')),
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
    aftersale_id      TEXT NOT NULL DEFAULT '',
    cost_bearer       TEXT NOT NULL DEFAULT 'RETAILER' CONSTRAINT refund_cost_bearer CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER')),
    partner_first     INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT refund_finished CHECK ((state = 'AUTHORISED') = (finish_time IS NULL)),
    -- What pays nothing back needs no report, so it has no reference.
    CONSTRAINT refund_reported CHECK ((state = 'AUTHORISED') = (report_time IS NULL)
        AND (state <> 'AUTHORISED' OR refund_reference = '')
        AND (state = 'AUTHORISED' OR refund_reference <> '' OR (shopper_amount = 0 AND partner_amount = 0))),
    CONSTRAINT refund_failed CHECK ((state = 'FAILED') = (failure <> '')),
    CONSTRAINT refund_of_return CHECK ((reason = 'RETURNED') = (return_id <> ''))
) STRICT;
INSERT INTO refund_anew (refund_id, order_id, partner_id, payment_id, payment_reference, reason, currency_code,
    shopper_amount, partner_amount, state, lines, return_id, attempt, failure, refund_reference, report_time,
    create_time, finish_time, version)
    SELECT refund_id, order_id, partner_id, payment_id, payment_reference, reason, currency_code,
    shopper_amount, partner_amount, state, lines, return_id, attempt, failure, refund_reference, report_time,
    create_time, finish_time, version FROM refund;
CREATE TABLE refund_report_anew (
    refund_id        TEXT NOT NULL REFERENCES refund_anew (refund_id),
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
INSERT INTO refund_report_anew (refund_id, refund_reference, attempt, failure, kid, statement, version, report_time,
    record_time)
    SELECT refund_id, refund_reference, attempt, failure, kid, statement, version, report_time, record_time
    FROM refund_report;
DROP TABLE refund_report;
DROP TABLE refund;
ALTER TABLE refund_anew RENAME TO refund;
ALTER TABLE refund_report_anew RENAME TO refund_report;
CREATE INDEX refund_by_order ON refund (order_id, refund_id);
CREATE INDEX refund_by_partner ON refund (partner_id, refund_id);
-- Goods are paid back for once per return.
CREATE UNIQUE INDEX refund_once_per_return ON refund (return_id) WHERE return_id <> '';
CREATE INDEX refund_executed_by_time ON refund (finish_time) WHERE state = 'EXECUTED';
CREATE INDEX refund_executed_by_partner_time ON refund (partner_id, finish_time) WHERE state = 'EXECUTED';
-- What is executed is final.
CREATE UNIQUE INDEX refund_report_executed ON refund_report (refund_id) WHERE failure = '';

-- An aftersale is settled once.
CREATE UNIQUE INDEX refund_once_per_aftersale ON refund (aftersale_id) WHERE aftersale_id <> '';
-- What a partner paid back first it names once per order.
CREATE UNIQUE INDEX refund_partner_first ON refund (order_id, refund_reference) WHERE partner_first = 1;

-- Aftersales whose settlement was taken, with a refund or without.
CREATE TABLE order_settlement (
    aftersale_id TEXT PRIMARY KEY,
    order_id     TEXT NOT NULL,
    record_time  INTEGER NOT NULL
) STRICT;

-- What a bank took of it: the same money is never refunded as well.
ALTER TABLE payment ADD COLUMN charged_back INTEGER NOT NULL DEFAULT 0
    CONSTRAINT payment_taken_once CHECK (charged_back >= 0 AND charged_back + refunded <= amount);

-- One row for each step of each order line. The amounts of a row are moved between accounts that follow from the step,
-- the bearer and the line's kind of tax, so every row balances by itself. Rows never change.
CREATE TABLE ledger_entry (
    entry_id          TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL,
    partner_id        TEXT NOT NULL,
    -- -1 for the order as a whole.
    line_number       INTEGER NOT NULL CONSTRAINT ledger_entry_line CHECK (line_number >= -1),
    step              TEXT NOT NULL CONSTRAINT ledger_entry_step CHECK (step IN
        ('SALE', 'UNAPPLIED', 'REFUND_AUTHORISED', 'REFUND_EXECUTED', 'REFUND_WITHDRAWN', 'CHARGEBACK_OPENED',
         'CHARGEBACK_WON', 'CHARGEBACK_LOST', 'COMPENSATION_AUTHORISED', 'COMPENSATION_PARTNER_PAID',
         'COMPENSATION_RETAILER_PAID')),
    cost_bearer       TEXT NOT NULL CONSTRAINT ledger_entry_cost_bearer CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER')),
    source_id         TEXT NOT NULL,
    reversed_entry_id TEXT NOT NULL,
    currency_code     TEXT NOT NULL,
    goods             INTEGER NOT NULL CONSTRAINT ledger_entry_goods CHECK (goods >= 0),
    retailer_discount INTEGER NOT NULL CONSTRAINT ledger_entry_retailer_discount
        CHECK (retailer_discount >= 0 AND (retailer_discount = 0 OR step = 'SALE')),
    partner_amount    INTEGER NOT NULL CONSTRAINT ledger_entry_partner_amount CHECK (partner_amount >= 0),
    shipping          INTEGER NOT NULL CONSTRAINT ledger_entry_shipping CHECK (shipping >= 0),
    tax               INTEGER NOT NULL CONSTRAINT ledger_entry_tax CHECK (tax >= 0),
    tax_included      INTEGER NOT NULL,
    record_time       INTEGER NOT NULL,
    CONSTRAINT ledger_entry_reversal
        CHECK ((reversed_entry_id <> '') = (step IN ('REFUND_WITHDRAWN', 'CHARGEBACK_WON')))
) STRICT;
CREATE INDEX ledger_entry_by_order ON ledger_entry (order_id, entry_id);
-- A step is taken once. Sales are by themselves: an order is paid once, and they are the many.
CREATE UNIQUE INDEX ledger_entry_once ON ledger_entry (source_id, step, line_number) WHERE step <> 'SALE';
-- An entry is undone once.
CREATE UNIQUE INDEX ledger_entry_reversed_once ON ledger_entry (reversed_entry_id) WHERE reversed_entry_id <> '';
CREATE TRIGGER ledger_entry_never_changes BEFORE UPDATE ON ledger_entry
BEGIN
    SELECT RAISE(ABORT, 'ledger_entry_never_changes');
END;
CREATE TRIGGER ledger_entry_never_goes BEFORE DELETE ON ledger_entry
BEGIN
    SELECT RAISE(ABORT, 'ledger_entry_never_changes');
END;

-- Orders with money from before there was a ledger; a task writes their entries and takes them out.
CREATE TABLE ledger_backlog (
    order_id TEXT PRIMARY KEY
) STRICT;
INSERT INTO ledger_backlog (order_id) SELECT DISTINCT order_id FROM payment;

-- What one person may not decide alone. `draft` is what was proposed.
CREATE TABLE refund_proposal (
    refund_proposal_id  TEXT PRIMARY KEY,
    order_id            TEXT NOT NULL,
    kind                TEXT NOT NULL CONSTRAINT refund_proposal_kind CHECK (kind IN ('REFUND', 'COMPENSATION')),
    draft               TEXT NOT NULL,
    note                TEXT NOT NULL,
    state               TEXT NOT NULL CONSTRAINT refund_proposal_state
        CHECK (state IN ('PROPOSED', 'APPROVED', 'REJECTED')),
    proposer            TEXT NOT NULL,
    decider             TEXT NOT NULL DEFAULT '' CONSTRAINT refund_proposal_other CHECK (decider <> proposer),
    decision_note       TEXT NOT NULL DEFAULT '',
    made_id             TEXT NOT NULL DEFAULT '',
    create_time         INTEGER NOT NULL,
    decide_time         INTEGER,
    CONSTRAINT refund_proposal_decided CHECK ((state = 'PROPOSED') = (decider = '')
        AND (state = 'PROPOSED') = (decide_time IS NULL) AND (state = 'APPROVED') = (made_id <> ''))
) STRICT;
CREATE INDEX refund_proposal_by_state ON refund_proposal (state, refund_proposal_id);

CREATE TABLE compensation (
    compensation_id        TEXT PRIMARY KEY,
    order_id               TEXT NOT NULL,
    partner_id             TEXT NOT NULL,
    -- -1 for the order as a whole.
    line_number            INTEGER NOT NULL CONSTRAINT compensation_line CHECK (line_number >= -1),
    reason                 TEXT NOT NULL CONSTRAINT compensation_reason CHECK (reason IN
        ('COUNTERFEIT', 'LATE', 'DAMAGE', 'BROKEN_PROMISE', 'OTHER')),
    currency_code          TEXT NOT NULL,
    amount                 INTEGER NOT NULL CONSTRAINT compensation_amount CHECK (amount > 0),
    cost_bearer            TEXT NOT NULL CONSTRAINT compensation_cost_bearer CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER')),
    payer                  TEXT NOT NULL CONSTRAINT compensation_payer CHECK (payer IN ('PARTNER', 'RETAILER')),
    state                  TEXT NOT NULL CONSTRAINT compensation_state
        CHECK (state IN ('AUTHORISED', 'EXECUTED', 'FAILED')),
    failure                TEXT NOT NULL CONSTRAINT compensation_failure CHECK (failure IN
        ('', 'ACCOUNT_CLOSED', 'DECLINED', 'PAYMENT_TOO_OLD', 'INSUFFICIENT_FUNDS', 'OTHER')),
    compensation_reference TEXT NOT NULL,
    matter_reference       TEXT NOT NULL,
    kid                    TEXT NOT NULL,
    statement              TEXT NOT NULL,
    create_time            INTEGER NOT NULL,
    finish_time            INTEGER,
    version                INTEGER NOT NULL CONSTRAINT compensation_version CHECK (version >= 1),
    CONSTRAINT compensation_finished CHECK ((state = 'AUTHORISED') = (finish_time IS NULL)
        AND (state = 'AUTHORISED') = (compensation_reference = '')),
    CONSTRAINT compensation_failed CHECK ((state = 'FAILED') = (failure <> '')),
    CONSTRAINT compensation_proven CHECK (state = 'AUTHORISED' OR payer = 'RETAILER' OR statement <> '')
) STRICT;
CREATE INDEX compensation_by_order ON compensation (order_id, compensation_id);
CREATE INDEX compensation_by_partner ON compensation (partner_id, compensation_id);

CREATE TABLE chargeback (
    chargeback_id        TEXT PRIMARY KEY,
    order_id             TEXT NOT NULL,
    partner_id           TEXT NOT NULL,
    payment_id           TEXT NOT NULL REFERENCES payment (payment_id),
    payment_reference    TEXT NOT NULL,
    chargeback_reference TEXT NOT NULL,
    currency_code        TEXT NOT NULL,
    amount               INTEGER NOT NULL CONSTRAINT chargeback_amount CHECK (amount > 0),
    state                TEXT NOT NULL CONSTRAINT chargeback_state CHECK (state IN ('OPENED', 'WON', 'LOST')),
    open_time            INTEGER NOT NULL,
    decide_time          INTEGER,
    open_kid             TEXT NOT NULL,
    open_statement       TEXT NOT NULL,
    decide_kid           TEXT NOT NULL DEFAULT '',
    decide_statement     TEXT NOT NULL DEFAULT '',
    create_time          INTEGER NOT NULL,
    version              INTEGER NOT NULL CONSTRAINT chargeback_version CHECK (version >= 1),
    CONSTRAINT chargeback_key UNIQUE (order_id, chargeback_reference),
    CONSTRAINT chargeback_decided CHECK ((state = 'OPENED') = (decide_time IS NULL)
        AND (state = 'OPENED') = (decide_statement = ''))
) STRICT;
CREATE INDEX chargeback_by_partner ON chargeback (partner_id, chargeback_id);
