-- PostgreSQL only, run at each start, must not change any answer.
-- Rows of these tables are updated in place all the time: leave room for that, and vacuum early.
ALTER TABLE delivery SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Each fact is changed once, soon after it was recorded, to give it its place. A share of all facts would be too many
-- to wait for once there are many.
ALTER TABLE fact SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
