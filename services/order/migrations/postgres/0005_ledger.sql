-- The ledger; refunds that people decide on; what a shopper is given beyond the price; what a bank takes back.
-- The same names stand in the file of the other engine.

-- Refunds have more reasons, and one more end. What they are composed of is in `lines`.
ALTER TABLE refund DROP CONSTRAINT refund_reason;
ALTER TABLE refund ADD CONSTRAINT refund_reason CHECK (reason IN
        ('HOLD_EXPIRED', 'ORDER_CANCELLED', 'DUPLICATE_PAYMENT', 'AMOUNT_MISMATCH', 'SALE_STOPPED',
         'LINES_CANCELLED', 'UNDELIVERED', 'RETURNED', 'GOODWILL', 'AFTERSALE', 'NEVER_ARRIVED',
         'NOT_AS_DESCRIBED', 'PRICE_ADJUSTMENT'));
ALTER TABLE refund DROP CONSTRAINT refund_state;
ALTER TABLE refund ADD CONSTRAINT refund_state CHECK (state IN ('AUTHORISED', 'EXECUTED', 'FAILED', 'WITHDRAWN'));
ALTER TABLE refund ADD COLUMN aftersale_id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE refund ADD COLUMN cost_bearer TEXT NOT NULL DEFAULT 'RETAILER'
    CONSTRAINT refund_cost_bearer CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER'));
ALTER TABLE refund ADD COLUMN partner_first BOOLEAN NOT NULL DEFAULT FALSE;

-- An aftersale is settled once.
CREATE UNIQUE INDEX refund_once_per_aftersale ON refund (aftersale_id) WHERE aftersale_id <> '';
-- What a partner paid back first it names once per order.
CREATE UNIQUE INDEX refund_partner_first ON refund (order_id, refund_reference) WHERE partner_first;

-- Aftersales whose settlement was taken, with a refund or without.
CREATE TABLE order_settlement (
    aftersale_id TEXT COLLATE "C" PRIMARY KEY,
    order_id     TEXT COLLATE "C" NOT NULL,
    record_time  BIGINT NOT NULL
);

-- What a bank took of it: the same money is never refunded as well.
ALTER TABLE payment ADD COLUMN charged_back BIGINT NOT NULL DEFAULT 0
    CONSTRAINT payment_taken_once CHECK (charged_back >= 0 AND charged_back + refunded <= amount);

-- One row for each step of each order line. The amounts of a row are moved between accounts that follow from the step,
-- the bearer and the line's kind of tax, so every row balances by itself. Rows never change.
CREATE TABLE ledger_entry (
    entry_id          TEXT COLLATE "C" PRIMARY KEY,
    order_id          TEXT COLLATE "C" NOT NULL,
    partner_id        TEXT COLLATE "C" NOT NULL,
    -- -1 for the order as a whole.
    line_number       BIGINT NOT NULL CONSTRAINT ledger_entry_line CHECK (line_number >= -1),
    step              TEXT NOT NULL CONSTRAINT ledger_entry_step CHECK (step IN
        ('SALE', 'UNAPPLIED', 'REFUND_AUTHORISED', 'REFUND_EXECUTED', 'REFUND_WITHDRAWN', 'CHARGEBACK_OPENED',
         'CHARGEBACK_WON', 'CHARGEBACK_LOST', 'COMPENSATION_AUTHORISED', 'COMPENSATION_PARTNER_PAID',
         'COMPENSATION_RETAILER_PAID')),
    cost_bearer       TEXT NOT NULL CONSTRAINT ledger_entry_cost_bearer CHECK (cost_bearer IN ('RETAILER', 'PARTNER', 'CREATOR', 'CARRIER')),
    source_id         TEXT COLLATE "C" NOT NULL,
    reversed_entry_id TEXT COLLATE "C" NOT NULL,
    currency_code     TEXT NOT NULL,
    goods             BIGINT NOT NULL CONSTRAINT ledger_entry_goods CHECK (goods >= 0),
    retailer_discount BIGINT NOT NULL CONSTRAINT ledger_entry_retailer_discount
        CHECK (retailer_discount >= 0 AND (retailer_discount = 0 OR step = 'SALE')),
    partner_amount    BIGINT NOT NULL CONSTRAINT ledger_entry_partner_amount CHECK (partner_amount >= 0),
    shipping          BIGINT NOT NULL CONSTRAINT ledger_entry_shipping CHECK (shipping >= 0),
    tax               BIGINT NOT NULL CONSTRAINT ledger_entry_tax CHECK (tax >= 0),
    tax_included      BOOLEAN NOT NULL,
    record_time       BIGINT NOT NULL,
    CONSTRAINT ledger_entry_reversal
        CHECK ((reversed_entry_id <> '') = (step IN ('REFUND_WITHDRAWN', 'CHARGEBACK_WON')))
);
CREATE INDEX ledger_entry_by_order ON ledger_entry (order_id, entry_id);
-- A step is taken once. Sales are by themselves: an order is paid once, and they are the many.
CREATE UNIQUE INDEX ledger_entry_once ON ledger_entry (source_id, step, line_number) WHERE step <> 'SALE';
-- An entry is undone once.
CREATE UNIQUE INDEX ledger_entry_reversed_once ON ledger_entry (reversed_entry_id) WHERE reversed_entry_id <> '';
CREATE FUNCTION ledger_entry_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger_entry_never_changes';
END
$$;
CREATE TRIGGER ledger_entry_never_changes BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_never_changes();

-- Orders with money from before there was a ledger; a task writes their entries and takes them out.
CREATE TABLE ledger_backlog (
    order_id TEXT COLLATE "C" PRIMARY KEY
);
INSERT INTO ledger_backlog (order_id) SELECT DISTINCT order_id FROM payment;

-- What one person may not decide alone. `draft` is what was proposed.
CREATE TABLE refund_proposal (
    refund_proposal_id  TEXT COLLATE "C" PRIMARY KEY,
    order_id            TEXT COLLATE "C" NOT NULL,
    kind                TEXT NOT NULL CONSTRAINT refund_proposal_kind CHECK (kind IN ('REFUND', 'COMPENSATION')),
    draft               TEXT NOT NULL,
    note                TEXT NOT NULL,
    state               TEXT NOT NULL CONSTRAINT refund_proposal_state
        CHECK (state IN ('PROPOSED', 'APPROVED', 'REJECTED')),
    proposer            TEXT NOT NULL,
    decider             TEXT NOT NULL DEFAULT '' CONSTRAINT refund_proposal_other CHECK (decider <> proposer),
    decision_note       TEXT NOT NULL DEFAULT '',
    made_id             TEXT COLLATE "C" NOT NULL DEFAULT '',
    create_time         BIGINT NOT NULL,
    decide_time         BIGINT,
    CONSTRAINT refund_proposal_decided CHECK ((state = 'PROPOSED') = (decider = '')
        AND (state = 'PROPOSED') = (decide_time IS NULL) AND (state = 'APPROVED') = (made_id <> ''))
);
CREATE INDEX refund_proposal_by_state ON refund_proposal (state, refund_proposal_id);

CREATE TABLE compensation (
    compensation_id        TEXT COLLATE "C" PRIMARY KEY,
    order_id               TEXT COLLATE "C" NOT NULL,
    partner_id             TEXT COLLATE "C" NOT NULL,
    -- -1 for the order as a whole.
    line_number            BIGINT NOT NULL CONSTRAINT compensation_line CHECK (line_number >= -1),
    reason                 TEXT NOT NULL CONSTRAINT compensation_reason CHECK (reason IN
        ('COUNTERFEIT', 'LATE', 'DAMAGE', 'BROKEN_PROMISE', 'OTHER')),
    currency_code          TEXT NOT NULL,
    amount                 BIGINT NOT NULL CONSTRAINT compensation_amount CHECK (amount > 0),
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
    create_time            BIGINT NOT NULL,
    finish_time            BIGINT,
    version                BIGINT NOT NULL CONSTRAINT compensation_version CHECK (version >= 1),
    CONSTRAINT compensation_finished CHECK ((state = 'AUTHORISED') = (finish_time IS NULL)
        AND (state = 'AUTHORISED') = (compensation_reference = '')),
    CONSTRAINT compensation_failed CHECK ((state = 'FAILED') = (failure <> '')),
    CONSTRAINT compensation_proven CHECK (state = 'AUTHORISED' OR payer = 'RETAILER' OR statement <> '')
);
CREATE INDEX compensation_by_order ON compensation (order_id, compensation_id);
CREATE INDEX compensation_by_partner ON compensation (partner_id, compensation_id);

CREATE TABLE chargeback (
    chargeback_id        TEXT COLLATE "C" PRIMARY KEY,
    order_id             TEXT COLLATE "C" NOT NULL,
    partner_id           TEXT COLLATE "C" NOT NULL,
    payment_id           TEXT COLLATE "C" NOT NULL REFERENCES payment (payment_id),
    payment_reference    TEXT NOT NULL,
    chargeback_reference TEXT COLLATE "C" NOT NULL,
    currency_code        TEXT NOT NULL,
    amount               BIGINT NOT NULL CONSTRAINT chargeback_amount CHECK (amount > 0),
    state                TEXT NOT NULL CONSTRAINT chargeback_state CHECK (state IN ('OPENED', 'WON', 'LOST')),
    open_time            BIGINT NOT NULL,
    decide_time          BIGINT,
    open_kid             TEXT NOT NULL,
    open_statement       TEXT NOT NULL,
    decide_kid           TEXT NOT NULL DEFAULT '',
    decide_statement     TEXT NOT NULL DEFAULT '',
    create_time          BIGINT NOT NULL,
    version              BIGINT NOT NULL CONSTRAINT chargeback_version CHECK (version >= 1),
    CONSTRAINT chargeback_key UNIQUE (order_id, chargeback_reference),
    CONSTRAINT chargeback_decided CHECK ((state = 'OPENED') = (decide_time IS NULL)
        AND (state = 'OPENED') = (decide_statement = ''))
);
CREATE INDEX chargeback_by_partner ON chargeback (partner_id, chargeback_id);
