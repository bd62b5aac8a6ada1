-- Links into the retailer's shop and the purchases that they led to. The retailer takes this money: nothing here touches
-- orders, payments or refunds. The same names stand in the file of the other engine.

-- A link never changes; what it stands for is read from here, its token only proves it.
CREATE TABLE deep_link (
    deep_link_id            TEXT PRIMARY KEY,
    partner_id              TEXT NOT NULL,
    listing_id              TEXT NOT NULL,
    shopper_ref             TEXT NOT NULL,
    touchpoints             TEXT NOT NULL,
    terms_version           INTEGER NOT NULL,
    commission_basis_points INTEGER NOT NULL CONSTRAINT deep_link_commission
        CHECK (commission_basis_points BETWEEN 0 AND 10000),
    legal_entity            TEXT NOT NULL,
    create_time             INTEGER NOT NULL,
    expire_time             INTEGER NOT NULL,
    CONSTRAINT deep_link_life CHECK (create_time < expire_time)
) STRICT;

-- `amount` is all that was paid; the lines' amounts are the goods, the rest of it is shipping and tax.
CREATE TABLE conversion (
    conversion_id         TEXT PRIMARY KEY,
    deep_link_id          TEXT NOT NULL REFERENCES deep_link (deep_link_id),
    partner_id            TEXT NOT NULL,
    listing_id            TEXT NOT NULL,
    shop_order_reference  TEXT NOT NULL,
    legal_entity          TEXT NOT NULL,
    currency_code         TEXT NOT NULL,
    amount                INTEGER NOT NULL,
    goods_amount          INTEGER NOT NULL,
    commission            INTEGER NOT NULL,
    click_time            INTEGER NOT NULL,
    convert_time          INTEGER NOT NULL,
    record_time           INTEGER NOT NULL,

    reversed_amount       INTEGER NOT NULL,
    reversed_goods_amount INTEGER NOT NULL,
    reversed_commission   INTEGER NOT NULL,
    reversals             INTEGER NOT NULL CONSTRAINT conversion_reversals CHECK (reversals BETWEEN 0 AND 100),
    version               INTEGER NOT NULL CONSTRAINT conversion_version CHECK (version = reversals + 1),
    CONSTRAINT conversion_key UNIQUE (deep_link_id, shop_order_reference),
    CONSTRAINT conversion_amounts CHECK (goods_amount >= 0 AND amount >= goods_amount
        AND commission >= 0 AND commission <= goods_amount),
    CONSTRAINT conversion_times CHECK (click_time <= convert_time),
    CONSTRAINT conversion_reversed CHECK (reversed_amount >= 0 AND reversed_amount <= amount),
    CONSTRAINT conversion_reversed_goods CHECK (reversed_goods_amount >= 0 AND reversed_goods_amount <= goods_amount),
    CONSTRAINT conversion_reversed_rest CHECK (reversed_amount - reversed_goods_amount >= 0
        AND reversed_amount - reversed_goods_amount <= amount - goods_amount),
    CONSTRAINT conversion_reversed_commission CHECK (reversed_commission >= 0 AND reversed_commission <= commission),
    CONSTRAINT conversion_untouched CHECK (reversals > 0 OR (reversed_amount = 0 AND reversed_commission = 0))
) STRICT;
CREATE INDEX conversion_by_partner ON conversion (partner_id, conversion_id);
CREATE INDEX conversion_by_link ON conversion (deep_link_id, conversion_id);
CREATE INDEX conversion_by_time ON conversion (convert_time);
CREATE INDEX conversion_by_partner_time ON conversion (partner_id, convert_time);

CREATE TABLE conversion_line (
    conversion_id     TEXT NOT NULL REFERENCES conversion (conversion_id),
    line_number       INTEGER NOT NULL,
    sku               TEXT NOT NULL,
    quantity          INTEGER NOT NULL CONSTRAINT conversion_line_quantity CHECK (quantity >= 1),
    amount            INTEGER NOT NULL CONSTRAINT conversion_line_amount CHECK (amount >= 0),
    reversed_quantity INTEGER NOT NULL CONSTRAINT conversion_line_reversed_quantity
        CHECK (reversed_quantity >= 0 AND reversed_quantity <= quantity),
    reversed_amount   INTEGER NOT NULL CONSTRAINT conversion_line_reversed_amount
        CHECK (reversed_amount >= 0 AND reversed_amount <= amount),
    PRIMARY KEY (conversion_id, line_number),
    CONSTRAINT conversion_line_sku UNIQUE (conversion_id, sku)
) STRICT;

CREATE TABLE conversion_reversal (
    conversion_reversal_id TEXT PRIMARY KEY,
    conversion_id          TEXT NOT NULL REFERENCES conversion (conversion_id),
    number                 INTEGER NOT NULL CONSTRAINT conversion_reversal_number CHECK (number BETWEEN 1 AND 100),
    partner_id             TEXT NOT NULL,
    currency_code          TEXT NOT NULL,
    lines                  TEXT NOT NULL,
    amount                 INTEGER NOT NULL CONSTRAINT conversion_reversal_amount CHECK (amount >= 0),
    commission             INTEGER NOT NULL CONSTRAINT conversion_reversal_commission
        CHECK (commission >= 0 AND commission <= amount),
    reverse_time           INTEGER NOT NULL,
    record_time            INTEGER NOT NULL,
    CONSTRAINT conversion_reversal_once UNIQUE (conversion_id, number)
) STRICT;
CREATE INDEX conversion_reversal_by_time ON conversion_reversal (reverse_time);
CREATE INDEX conversion_reversal_by_partner_time ON conversion_reversal (partner_id, reverse_time);
