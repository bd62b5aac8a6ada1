-- What the catalogue last said of each partner, so that a process that starts knows who is suspended before it has
-- reached the catalogue. The same names stand in the PostgreSQL file.

CREATE TABLE partner_directory (
    partner_id TEXT NOT NULL,
    -- Its state, or how it is let in.
    part       TEXT NOT NULL CONSTRAINT partner_directory_part CHECK (part IN ('ACCESS', 'STATE')),
    -- Of two words about the same the one with the larger revision counts.
    revision   INTEGER NOT NULL,
    -- The message of the contract.
    content    BLOB   NOT NULL,
    PRIMARY KEY (partner_id, part)
) STRICT;

-- Up to where the catalogue's feed is in it. Replicas write it each; one that is behind costs a second reading.
CREATE TABLE partner_directory_cursor (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    cursor    TEXT   NOT NULL
) STRICT;
