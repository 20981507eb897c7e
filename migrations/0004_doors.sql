-- Doors and what opens them, as people want it (directory), and as it is (bridge).

CREATE TABLE area (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    protection_class BIGINT NOT NULL CHECK (protection_class BETWEEN -1 AND 5),
    updated_at BIGINT NOT NULL
);

CREATE TABLE door_system (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    connector TEXT NOT NULL,
    config TEXT NOT NULL,
    secret_sealed TEXT,
    updated_at BIGINT NOT NULL
);

-- Where a credential is shown. Its address on the wire is in the door system's config.
CREATE TABLE access_point (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    door_system TEXT NOT NULL REFERENCES door_system (name),
    area TEXT NOT NULL REFERENCES area (name),
    updated_at BIGINT NOT NULL
);
CREATE INDEX access_point_door_system ON access_point (door_system);

CREATE TABLE access_profile (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    project TEXT,
    updated_at BIGINT NOT NULL
);

CREATE TABLE access_profile_point (
    access_profile TEXT NOT NULL REFERENCES access_profile (name),
    access_point TEXT NOT NULL REFERENCES access_point (name),
    PRIMARY KEY (access_profile, access_point)
);

-- Numbers are given once, rising, and never again.
CREATE TABLE card_pool (
    name TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    format TEXT NOT NULL,
    facility BIGINT NOT NULL,
    first_number BIGINT NOT NULL,
    last_number BIGINT NOT NULL,
    next_number BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE credential (
    id TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    format TEXT NOT NULL,
    facility BIGINT NOT NULL,
    number BIGINT NOT NULL,
    pool TEXT,
    -- active: as policy says; suspended: on no list, may come back; revoked: for good.
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'revoked')),
    issued_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX credential_format_facility_number ON credential (format, facility, number);
CREATE INDEX credential_user_id ON credential (user_id);

-- What policy says each user holds, and why.
CREATE TABLE entitlement (
    user_id TEXT NOT NULL REFERENCES users (id),
    access_profile TEXT NOT NULL REFERENCES access_profile (name),
    because TEXT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (user_id, access_profile)
);
CREATE INDEX entitlement_access_profile ON entitlement (access_profile);

-- One credential on one door system: what is wanted there, and how far it is proven.
CREATE TABLE placement (
    door_system TEXT NOT NULL,
    credential_id TEXT NOT NULL REFERENCES credential (id),
    -- The delivery's version when it was last worked on: what comes late never writes over it.
    version BIGINT NOT NULL,
    -- The credential's version that it is wanted for: a proof for one state proves nothing of the next.
    credential_version BIGINT NOT NULL,
    wanted TEXT NOT NULL CHECK (wanted IN ('present', 'absent')),
    -- What is wanted, as JSON.
    rights TEXT NOT NULL,
    -- How far it is proven at each access point that it is about, as JSON.
    points TEXT NOT NULL,
    -- 0 to 4: acknowledgement A0 to A4 of what is wanted now, the lowest over all access points.
    ack BIGINT NOT NULL,
    cause TEXT,
    requested_at BIGINT NOT NULL,
    sent_at BIGINT,
    accepted_at BIGINT,
    read_back_at BIGINT,
    lock_confirmed_at BIGINT,
    denial_observed_at BIGINT,
    -- When everything had been read that happened at the doors until absence was read back: a denial that is
    -- read first after this happened after it, whatever the clock of a panel says.
    watched_at BIGINT,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (door_system, credential_id)
);
CREATE INDEX placement_credential_id ON placement (credential_id);
CREATE INDEX placement_unwatched ON placement (door_system)
    WHERE wanted = 'absent' AND ack >= 2 AND watched_at IS NULL;

-- How far the events of one door system were read.
CREATE TABLE event_cursor (
    door_system TEXT NOT NULL PRIMARY KEY,
    cursor TEXT NOT NULL
);

-- Which events were recorded, by the id that their door system gives them: a double is refused here.
CREATE TABLE door_event (
    door_system TEXT NOT NULL,
    source TEXT NOT NULL,
    event_index BIGINT NOT NULL,
    PRIMARY KEY (door_system, source, event_index)
);

CREATE TABLE receipt (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    cause TEXT NOT NULL,
    revision BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX receipt_cause_revision ON receipt (cause, revision);
CREATE INDEX receipt_user_id ON receipt (user_id, created_at);

-- What somebody must look at; one open row per kind and subject.
CREATE TABLE alert (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    PRIMARY KEY (kind, subject, opened_at)
);
CREATE UNIQUE INDEX alert_kind_subject ON alert (kind, subject) WHERE closed_at IS NULL;
