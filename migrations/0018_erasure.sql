-- Bodies of facts go when their time is over.

-- How far those of each kind are erased: the time and the id of the last one. Who erases goes on behind it, along
-- fact_kind, and sees nothing twice.
CREATE TABLE erasure (
    kind TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    id TEXT NOT NULL
);

-- One row: when it was last looked for bodies whose time is over, and for how many milliseconds of looks the clock has
-- gone on since it leapt. What erases by age must not believe a clock that was years ahead a moment ago.
CREATE TABLE erasure_look (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    looked_at BIGINT NOT NULL,
    steady BIGINT NOT NULL
);

-- Whether a message is still on its way with a fact: then its body stays.
CREATE INDEX delivery_fact ON delivery (fact) WHERE NOT reconcile;

-- When a reader of the journal last moved, or was first waited for: one that stands still for long is waited for no
-- longer. NULL: nobody waits for it.
ALTER TABLE follower ADD COLUMN moved_at BIGINT;
