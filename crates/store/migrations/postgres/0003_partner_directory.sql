-- What the catalogue last said of each partner, so that a process that starts knows who is suspended before it has
-- reached the catalogue. The same names stand in the SQLite file.

CREATE TABLE partner_directory (
    partner_id TEXT COLLATE "C" NOT NULL,
    -- Its state, or how it is let in.
    part       TEXT COLLATE "C" NOT NULL CONSTRAINT partner_directory_part CHECK (part IN ('ACCESS', 'STATE')),
    -- Of two words about the same the one with the larger revision counts.
    revision   BIGINT NOT NULL,
    -- The message of the contract.
    content    BYTEA  NOT NULL,
    PRIMARY KEY (partner_id, part)
);

-- Up to where the catalogue's feed is in it. Replicas write it each; one that is behind costs a second reading.
CREATE TABLE partner_directory_cursor (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    cursor    TEXT   NOT NULL
);
