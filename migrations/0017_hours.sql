-- Hours, days and whereabouts: on which schedule and from when to when something opens, and who was last let in where.

-- Hours by a name that all door systems share; which of its own time profiles that is, each says for itself.
CREATE TABLE schedule (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE door_system_schedule (
    door_system TEXT NOT NULL REFERENCES door_system (name),
    schedule TEXT NOT NULL REFERENCES schedule (name),
    time_profile BIGINT NOT NULL CHECK (time_profile BETWEEN 1 AND 255),
    PRIMARY KEY (door_system, schedule)
);

-- NULL: always.
ALTER TABLE access_profile_point ADD COLUMN schedule TEXT REFERENCES schedule (name);

-- First and last whole day (YYYY-MM-DD), each in the local time of the door. NULL: no limit.
ALTER TABLE access_profile ADD COLUMN valid_from TEXT;
ALTER TABLE access_profile ADD COLUMN valid_until TEXT;

-- First whole day, in the local time of the door, and the instant at which it is over. NULL: no limit.
ALTER TABLE credential ADD COLUMN valid_from TEXT;
ALTER TABLE credential ADD COLUMN valid_until BIGINT;

-- When what is wanted of a credential at a door system changes although nobody does anything: the next time only.
CREATE TABLE placement_due (
    door_system TEXT NOT NULL,
    credential_id TEXT NOT NULL REFERENCES credential (id),
    at BIGINT NOT NULL,
    takes_away BOOLEAN NOT NULL,
    PRIMARY KEY (door_system, credential_id)
);
CREATE INDEX placement_due_at ON placement_due (at, door_system, credential_id);

-- What lies before an access point, beside what is behind it (area). NULL: nobody says.
ALTER TABLE access_point ADD COLUMN area_from TEXT REFERENCES area (name);

-- Where each person was last let in. Forgotten with the account, and when it is too long ago to mean anything.
CREATE TABLE presence (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    -- NULL: let out, and nobody says into what. The row stays, so that what is read late cannot write over it.
    area TEXT,
    access_point TEXT NOT NULL,
    at BIGINT NOT NULL,
    fact TEXT NOT NULL
);
CREATE INDEX presence_at ON presence (at);
