-- What units of work leave behind, and a parent that is looked for only at the commit.
CREATE TABLE parent (
    id TEXT NOT NULL PRIMARY KEY
);
CREATE TABLE effect (
    id TEXT NOT NULL PRIMARY KEY,
    amount BIGINT NOT NULL,
    parent_id TEXT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED
);
