-- Sign-ins: whether a client must use PKCE, what a grant rests on, and how old rows are found.

-- required, or optional for a client that keeps a secret. A public client must use it, whatever stands here.
-- (An authorization_code with an empty code_challenge was asked for without one.)
ALTER TABLE client ADD COLUMN pkce TEXT NOT NULL DEFAULT 'required';

-- What was proven when it was granted: its session may be authenticated again, and then says something else.
-- NULL in grants that were made before this; then what the session says holds, and a remote network.
ALTER TABLE oauth_grant ADD COLUMN authenticated_at BIGINT;
ALTER TABLE oauth_grant ADD COLUMN assurance BIGINT;
ALTER TABLE oauth_grant ADD COLUMN amr TEXT;
-- internal, remote: where the person was.
ALTER TABLE oauth_grant ADD COLUMN network TEXT;

-- What is over goes, the oldest first.
CREATE INDEX session_expires_at ON session (expires_at);
CREATE INDEX oauth_grant_expires_at ON oauth_grant (expires_at);
CREATE INDEX invitation_expires_at ON invitation (expires_at);
