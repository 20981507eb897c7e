-- Claims and waiting messages of deliveries.

-- The process that claimed the row, until it settles it: should that process die, others give the row back at
-- once instead of waiting for its lease. A random number, which its process holds as an advisory lock on
-- PostgreSQL. NULL: nobody, or one who cannot be asked, whose lease must run out.
ALTER TABLE delivery ADD COLUMN claimed_by BIGINT;
CREATE INDEX delivery_claimed_by ON delivery (claimed_by) WHERE claimed_by IS NOT NULL;

-- Dead letters stand before nobody, so nobody looks past them.
DROP INDEX delivery_order;
CREATE INDEX delivery_order ON delivery (sink, subject, position) WHERE NOT reconcile AND dead_at IS NULL;

-- A message without due_at waits behind one that failed, until that one is delivered or given up.
CREATE INDEX delivery_held_back ON delivery (sink) WHERE due_at IS NULL AND dead_at IS NULL AND NOT reconcile;
