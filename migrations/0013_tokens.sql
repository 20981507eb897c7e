-- Refresh tokens, and how applications take part in signing out.

-- Rows are added and never changed: a token is used up by the row of the one that was given for it.
CREATE TABLE refresh_token (
    token_hash TEXT NOT NULL PRIMARY KEY,
    -- The token that was presented for this one; NULL of the first of a grant.
    predecessor_hash TEXT,
    grant_id TEXT NOT NULL REFERENCES oauth_grant (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL
);
-- Each gives one successor, whoever presents it how often.
CREATE UNIQUE INDEX refresh_token_predecessor_hash ON refresh_token (predecessor_hash)
    WHERE predecessor_hash IS NOT NULL;
CREATE INDEX refresh_token_grant_id ON refresh_token (grant_id);

-- NULL: a client that keeps a secret is given refresh tokens, another is not.
ALTER TABLE client ADD COLUMN refresh_tokens BOOLEAN;
-- Where a browser may be sent after signing out, compared exactly.
ALTER TABLE client ADD COLUMN post_logout_redirect_uris TEXT NOT NULL DEFAULT '[]';
-- Where logout tokens go; NULL: it is not told.
ALTER TABLE client ADD COLUMN backchannel_logout_uri TEXT;
-- Whether each of them must name a session.
ALTER TABLE client ADD COLUMN backchannel_logout_session_required BOOLEAN NOT NULL DEFAULT FALSE;
