-- One column of each kind, for what the macros can bind and read.
CREATE TABLE sample (
    id TEXT NOT NULL PRIMARY KEY,
    number BIGINT,
    flag BOOLEAN,
    words TEXT,
    bytes BYTEA,
    CONSTRAINT sample_number CHECK (number IS NULL OR number <> 13)
);
