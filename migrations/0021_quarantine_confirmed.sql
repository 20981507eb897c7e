-- Of a card of nobody that goes by somebody's word, although there were too many: when that was said. NULL: it goes unasked,
-- and counts among those of a day that are too many or not.
ALTER TABLE quarantine ADD COLUMN confirmed_at BIGINT;
