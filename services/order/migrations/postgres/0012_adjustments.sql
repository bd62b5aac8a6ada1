-- Corrections of the ledger by hand, and who decided that a shopper gets money.
-- The same names stand in the file of the other engine.

-- Proposed by somebody of finance, decided by somebody else; those that were approved are in the ledger, beside its
-- entries, and never change.
CREATE TABLE ledger_adjustment (
    ledger_adjustment_id TEXT COLLATE "C" PRIMARY KEY,
    order_id             TEXT COLLATE "C" NOT NULL,
    partner_id           TEXT COLLATE "C" NOT NULL,
    -- -1 for the order as a whole, as the entry that is adjusted.
    line_number          BIGINT NOT NULL CONSTRAINT ledger_adjustment_line CHECK (line_number >= -1),
    adjusted_entry_id    TEXT COLLATE "C" NOT NULL,
    reason               TEXT NOT NULL CONSTRAINT ledger_adjustment_reason CHECK (reason IN
        ('OTHER_BEARER', 'CLAIM_REFUSED', 'WRONG_ACCOUNT', 'TAKEN_BACK', 'OTHER')),
    credit_account       TEXT NOT NULL,
    debit_account        TEXT NOT NULL,
    currency_code        TEXT NOT NULL,
    amount               BIGINT NOT NULL CONSTRAINT ledger_adjustment_amount CHECK (amount > 0),
    note                 TEXT NOT NULL,
    state                TEXT NOT NULL CONSTRAINT ledger_adjustment_state
        CHECK (state IN ('PROPOSED', 'APPROVED', 'REJECTED')),
    proposer             TEXT NOT NULL,
    decider              TEXT NOT NULL DEFAULT '' CONSTRAINT ledger_adjustment_other CHECK (decider <> proposer),
    decision_note        TEXT NOT NULL DEFAULT '',
    entry_id             TEXT COLLATE "C" NOT NULL DEFAULT '',
    create_time          BIGINT NOT NULL,
    decide_time          BIGINT,
    -- No signed statement decides on these.
    CONSTRAINT ledger_adjustment_accounts CHECK (credit_account <> debit_account
        AND credit_account IN ('SALES', 'DISCOUNTS', 'SHIPPING', 'TAX', 'COMPENSATIONS', 'CHARGEBACKS_LOST',
            'PARTNER_CLAIM', 'CREATOR_CLAIM', 'CARRIER_CLAIM')
        AND debit_account IN ('SALES', 'DISCOUNTS', 'SHIPPING', 'TAX', 'COMPENSATIONS', 'CHARGEBACKS_LOST',
            'PARTNER_CLAIM', 'CREATOR_CLAIM', 'CARRIER_CLAIM')),
    CONSTRAINT ledger_adjustment_decided CHECK ((state = 'PROPOSED') = (decider = '')
        AND (state = 'PROPOSED') = (decide_time IS NULL) AND (state = 'APPROVED') = (entry_id <> ''))
);
CREATE INDEX ledger_adjustment_by_order ON ledger_adjustment (order_id, ledger_adjustment_id);
CREATE INDEX ledger_adjustment_by_state ON ledger_adjustment (state, ledger_adjustment_id);
CREATE UNIQUE INDEX ledger_adjustment_entry ON ledger_adjustment (entry_id) WHERE entry_id <> '';
CREATE FUNCTION ledger_adjustment_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger_adjustment_never_changes';
END
$$;
CREATE TRIGGER ledger_adjustment_never_changes BEFORE UPDATE ON ledger_adjustment
    FOR EACH ROW WHEN (OLD.state <> 'PROPOSED') EXECUTE FUNCTION ledger_adjustment_never_changes();
CREATE TRIGGER ledger_adjustment_never_goes BEFORE DELETE ON ledger_adjustment
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_adjustment_never_changes();

-- Who of the retailer decided on a refund or a compensation, so that nobody is the arbiter of their own decision. What
-- one person decided alone before this table is in the audit only.
CREATE TABLE money_decision (
    made_id     TEXT COLLATE "C" PRIMARY KEY,
    order_id    TEXT COLLATE "C" NOT NULL,
    proposer    TEXT NOT NULL,
    decider     TEXT NOT NULL,
    decide_time BIGINT NOT NULL
);
CREATE INDEX money_decision_by_order ON money_decision (order_id, decide_time, made_id);
-- Rows of all partners are read here, so this unit is the suite's own, as in 0009.
SELECT set_config('vitrine.partners', '*', true);
INSERT INTO money_decision (made_id, order_id, proposer, decider, decide_time)
    SELECT made_id, order_id, proposer, decider, decide_time FROM refund_proposal WHERE state = 'APPROVED';

-- Row-level security, as 0009 has it for the other tables.
ALTER TABLE ledger_adjustment ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_adjustment FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON ledger_adjustment USING ((SELECT current_setting('vitrine.partners', true)) = '*'
    OR partner_id = ANY ((SELECT string_to_array(current_setting('vitrine.partners', true), ','))::TEXT[]));

ALTER TABLE money_decision ENABLE ROW LEVEL SECURITY;
ALTER TABLE money_decision FORCE ROW LEVEL SECURITY;
CREATE POLICY tenancy ON money_decision USING ((SELECT current_setting('vitrine.partners', true)) = '*');
