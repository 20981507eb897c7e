-- What somebody does about a card whose revocation is not proven at a door system: one open task per card and system.
CREATE TABLE task (
    id TEXT NOT NULL PRIMARY KEY,
    -- No reference: it may go, what was done about it stays.
    door_system TEXT NOT NULL,
    credential_id TEXT NOT NULL REFERENCES credential (id),
    user_id TEXT NOT NULL,
    -- The access points that it was opened for, or widened to since, as JSON.
    doors TEXT NOT NULL,
    -- When the revocation was requested.
    since BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    -- Who accepted the risk by name, why, and until when; of which access points, as JSON, and of which version of the
    -- credential. NULL again when that time has passed unproven, or when more may be opened than was accepted.
    accepted_by TEXT,
    accepted_because TEXT,
    accepted_at BIGINT,
    accepted_until BIGINT,
    accepted_doors TEXT,
    accepted_version BIGINT,
    -- Who carried out which compensation, the last that was noted.
    done_by TEXT,
    done_what TEXT,
    done_at BIGINT
);
CREATE UNIQUE INDEX task_credential_id_door_system ON task (credential_id, door_system) WHERE closed_at IS NULL;
CREATE INDEX task_accepted_until ON task (accepted_until) WHERE closed_at IS NULL AND accepted_until IS NOT NULL;
