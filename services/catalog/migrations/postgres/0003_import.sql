-- What imports said of products and variants and the catalogue itself does not use. The same names stand in the SQLite
-- file.

CREATE TABLE product_source (
    product_id TEXT COLLATE "C" PRIMARY KEY REFERENCES product (product_id),
    -- The source's name; a product is changed by imports of this source only.
    source     TEXT COLLATE "C" NOT NULL CONSTRAINT product_source_name CHECK (source <> ''),
    -- The state there; may be empty.
    status     TEXT NOT NULL,
    -- A JSON array of texts.
    tags       TEXT NOT NULL
);

CREATE TABLE variant_source (
    variant_id       TEXT COLLATE "C" PRIMARY KEY REFERENCES variant (variant_id),
    product_id       TEXT COLLATE "C" NOT NULL REFERENCES product (product_id),
    -- Of both prices; empty when there is none.
    currency_code    TEXT NOT NULL,
    reference_price  BIGINT CONSTRAINT variant_source_reference_price CHECK (reference_price >= 0),
    compare_at_price BIGINT CONSTRAINT variant_source_compare_at_price CHECK (compare_at_price >= 0),
    reported_stock   BIGINT CONSTRAINT variant_source_reported_stock CHECK (reported_stock >= 0),
    CONSTRAINT variant_source_currency CHECK (
        (currency_code <> '') = (reference_price IS NOT NULL OR compare_at_price IS NOT NULL)
    )
);
CREATE INDEX variant_source_by_product ON variant_source (product_id, variant_id);
