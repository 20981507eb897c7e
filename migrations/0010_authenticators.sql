-- What people sign in with beside a password. Each kind uses the columns that it needs.

-- As the person calls it: "My phone".
ALTER TABLE authenticator ADD COLUMN name TEXT;
ALTER TABLE authenticator ADD COLUMN last_used_at BIGINT;
-- Of a one-time password the seed, of a recovery code the code. Both are needed in clear to compare.
ALTER TABLE authenticator ADD COLUMN sealed TEXT;
-- Of a one-time password: the last time step whose code was accepted. A code works once (RFC 6238, section 5.2).
ALTER TABLE authenticator ADD COLUMN last_step BIGINT;
-- Of a passkey: its credential id, which belongs to one account only. The public key is the verifier.
ALTER TABLE authenticator ADD COLUMN key_id TEXT;
CREATE UNIQUE INDEX authenticator_key_id ON authenticator (key_id) WHERE key_id IS NOT NULL;
