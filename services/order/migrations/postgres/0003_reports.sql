-- What reports need beside the orders themselves: dated exchange rates, and ways to find what happened on a day.
-- The same names stand in the file of the other engine.

-- A rate is never edited: a correction is the next revision of its pair and day. `rate_units / 10^rate_scale` of the
-- quote currency is worth one of the base currency; days count from 1970-01-01.
CREATE TABLE exchange_rate (
    exchange_rate_id    TEXT COLLATE "C" PRIMARY KEY,
    base_currency_code  TEXT COLLATE "C" NOT NULL,
    quote_currency_code TEXT COLLATE "C" NOT NULL,
    effective_day       BIGINT NOT NULL CONSTRAINT exchange_rate_day CHECK (effective_day >= 0),
    revision            BIGINT NOT NULL CONSTRAINT exchange_rate_revision CHECK (revision >= 1),
    rate_units          BIGINT NOT NULL CONSTRAINT exchange_rate_units CHECK (rate_units BETWEEN 1 AND 1000000000000),
    rate_scale          BIGINT NOT NULL CONSTRAINT exchange_rate_scale CHECK (rate_scale BETWEEN 0 AND 12),
    source              TEXT NOT NULL,
    actor               TEXT NOT NULL,
    record_time         BIGINT NOT NULL,
    CONSTRAINT exchange_rate_pair CHECK (base_currency_code <> quote_currency_code),
    CONSTRAINT exchange_rate_key UNIQUE (base_currency_code, quote_currency_code, effective_day, revision)
);

CREATE INDEX payment_paid_by_partner ON payment (partner_id, payment_id) WHERE outcome = 'PAID';
CREATE INDEX refund_executed_by_time ON refund (finish_time) WHERE state = 'EXECUTED';
CREATE INDEX refund_executed_by_partner_time ON refund (partner_id, finish_time) WHERE state = 'EXECUTED';
