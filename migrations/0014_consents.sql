-- Applications of others, and what each person lets them know.

-- Whether it belongs to somebody else: then each person is asked before it learns anything. Those from before this
-- are the organisation's own.
ALTER TABLE client ADD COLUMN third_party BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE consent (
    user_id TEXT NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL REFERENCES client (id) ON DELETE CASCADE,
    -- Everything that was consented to so far, space-separated.
    scope TEXT NOT NULL,
    given_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consent_client_id ON consent (client_id);
-- What a client was granted by one person ends with the consent.
CREATE INDEX oauth_grant_user_id_client_id ON oauth_grant (user_id, client_id) WHERE ended_at IS NULL;
