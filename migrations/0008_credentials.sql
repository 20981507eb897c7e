-- Who took a credential off its lists for a while: what an account's end did, its return undoes; what a hand did (a
-- card was lost), only a hand undoes. NULL of a suspended one is 'account': before this, nobody else could.
ALTER TABLE credential ADD COLUMN suspended_by TEXT CHECK (suspended_by IN ('account', 'hand'));

-- Absences that may have to be watched yet, door by door: one door out of reach keeps no other from proving.
DROP INDEX placement_unwatched;
CREATE INDEX placement_unwatched ON placement (door_system) WHERE wanted = 'absent' AND watched_at IS NULL;

-- A door system's events began anew, by this fact, and no pass has read all of them since: what they tell may be
-- older than any absence that was proven.
CREATE TABLE event_restart (
    door_system TEXT NOT NULL PRIMARY KEY,
    fact TEXT NOT NULL
);
