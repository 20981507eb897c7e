-- Where doors ask us at each swipe: the access points whose events have been read to their end, and under which version of
-- the door system's configuration, as JSON. What is read there for the first time after that happened after it. NULL: none.
ALTER TABLE event_cursor ADD COLUMN read_to_end TEXT;
