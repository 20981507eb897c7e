-- Bodies of facts go when their time is over.

-- How far those of each kind are erased: the time and the id of the last one. Who erases goes on behind it, along
-- fact_kind, and sees nothing twice.
CREATE TABLE erasure (
    kind TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    id TEXT NOT NULL
);

-- Whether a message is still on its way with a fact: then its body stays.
CREATE INDEX delivery_fact ON delivery (fact) WHERE NOT reconcile;

-- When a reader of the journal last moved, or was first waited for: one that stands still for long is waited for no
-- longer. NULL: nobody waits for it.
ALTER TABLE follower ADD COLUMN moved_at BIGINT;
