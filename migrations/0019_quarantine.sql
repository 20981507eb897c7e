-- Cards that stand on a door system's list and are nobody's.

-- What becomes of them there: they are reported, or they are taken off (quarantine).
ALTER TABLE door_system ADD COLUMN unknown_cards TEXT NOT NULL DEFAULT 'report';

-- Those that were taken off, are to be, or are tolerated by name. One that becomes somebody's leaves.
CREATE TABLE quarantine (
    -- Goes with it.
    door_system TEXT NOT NULL,
    -- As people write it.
    card TEXT NOT NULL,
    -- What it opened when it was found last, in words, as JSON.
    opened TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    -- When it was found last, and was to be taken off from then on.
    found_at BIGINT NOT NULL,
    -- When it was read to be on no list after that. NULL until then.
    taken_off_at BIGINT,
    -- Who tolerates it there, why, and since when. NULL when nobody does.
    released_by TEXT,
    released_because TEXT,
    released_at BIGINT,
    -- Of one that is tolerated: since when it is seen on a list.
    listed_at BIGINT,
    PRIMARY KEY (door_system, card)
);

-- Door systems where so many were found that none is taken off before somebody has looked.
CREATE TABLE quarantine_brake (
    door_system TEXT NOT NULL PRIMARY KEY,
    -- How many are nobody's, of how many that are listed.
    found BIGINT NOT NULL,
    listed BIGINT NOT NULL,
    since BIGINT NOT NULL,
    -- Who has said that what was reported by then may be taken off. NULL again when that was used.
    confirmed_by TEXT,
    confirmed_at BIGINT
);
