-- PostgreSQL only, run at each start, must not change any answer.
-- Rows of these tables are updated in place all the time: leave room for that, and vacuum early.
ALTER TABLE delivery SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
