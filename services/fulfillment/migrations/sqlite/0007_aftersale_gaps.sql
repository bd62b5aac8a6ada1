-- Who opens cases for one shopper at the same time waits for each other, so that the most open cases are never exceeded.
-- The same names stand in the file of the other engine.

-- Rows to be locked and nothing else: a shopper's is found by a hash, so that nothing personal is kept for it.
CREATE TABLE care_opening (
    bucket INTEGER PRIMARY KEY CONSTRAINT care_opening_bucket CHECK (bucket >= 0 AND bucket < 64),
    turn   INTEGER NOT NULL
) STRICT;
INSERT INTO care_opening (bucket, turn)
    WITH RECURSIVE bucket (n) AS (SELECT CAST(0 AS INTEGER) UNION ALL SELECT n + 1 FROM bucket WHERE n < 63)
    SELECT n, 0 FROM bucket;
