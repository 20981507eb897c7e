-- What a session rests on, and when it was last heard of.

-- JSON array of what was proven in it: password, totp, recovery-code, synced-passkey, device-bound-passkey; the
-- last two with +touch where the device did not verify its user. Sessions from before this began with a password.
ALTER TABLE session ADD COLUMN methods TEXT NOT NULL DEFAULT '["password"]';
-- When its browser was last here, to the minute.
ALTER TABLE session ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
-- After so many milliseconds without its browser it must sign in again; NULL: never for that.
ALTER TABLE session ADD COLUMN idle_time BIGINT;
-- As its owner would call the browser: "Firefox, Windows".
ALTER TABLE session ADD COLUMN device TEXT NOT NULL DEFAULT '';
