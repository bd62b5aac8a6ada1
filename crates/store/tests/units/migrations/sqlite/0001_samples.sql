-- One column of each kind, for what the macros can bind and read.
CREATE TABLE sample (
    id TEXT NOT NULL PRIMARY KEY,
    number INTEGER,
    flag INTEGER,
    words TEXT,
    bytes BLOB,
    CONSTRAINT sample_number CHECK (number IS NULL OR number <> 13)
) STRICT;
