-- Members who left a group in a change of many: each of them is still to be looked at again.
CREATE TABLE departure (
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (group_id, member_id)
);

-- Every mail address of a user, for whoever looks for one. The key is the beginning of the folded address: it
-- finds candidates, which are then compared as a whole.
CREATE TABLE user_email (
    email_key TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (email_key, user_id)
);
CREATE INDEX user_email_user_id ON user_email (user_id);

-- Whether all addresses of a user are in the table above. Those from before it are filled in page by page, and
-- until the last one is, nobody is looked for there.
ALTER TABLE users ADD COLUMN emails_kept BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX users_emails_kept ON users (id) WHERE NOT emails_kept AND deleted_at IS NULL;
