-- Links that go by mail.

-- What the link is for: 'invitation', a first password; 'recovery', one instead of a forgotten one.
ALTER TABLE invitation ADD COLUMN purpose TEXT NOT NULL DEFAULT 'invitation';
-- The fact whose letter carries the link: written again, the letter carries the same.
ALTER TABLE invitation ADD COLUMN letter TEXT;
-- The token, until the letter was taken or the link is over.
ALTER TABLE invitation ADD COLUMN token_sealed TEXT;
CREATE UNIQUE INDEX invitation_letter ON invitation (letter) WHERE letter IS NOT NULL;
CREATE INDEX invitation_token_sealed ON invitation (expires_at) WHERE token_sealed IS NOT NULL;
